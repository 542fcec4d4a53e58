"""How work grows with its input: what a test can ask of time on a machine that others share."""
import gc
import time

ENOUGH = 0.002  # seconds of processor time below which a ratio would be noise


def spent(work, size, times=3):
    """Seconds of processor time of `work(size)`: the best of `times`, at least `ENOUGH`.

    Without the garbage collector, which would go through all that other tests left behind.
    """
    best, collecting = float("inf"), gc.isenabled()
    gc.disable()
    try:
        for _ in range(times):
            began = time.process_time()
            work(size)
            best = min(best, time.process_time() - began)
            if best < ENOUGH:
                break
    finally:
        if collecting:
            gc.enable()
    return max(best, ENOUGH)


def grows_linearly(work, size=3_000):
    """Whether eight times the input costs `work` about eight times as much.

    Time that grows with the square costs 64 times as much. The bar lies between, at three
    times the linear cost; a measurement that another process spoiled is made once more.
    """
    return any(spent(work, 8 * size, times=1 + attempt) < 24 * spent(work, size)
               for attempt in (0, 2))
