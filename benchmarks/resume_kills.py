"""Does a training that is killed again and again end where the unbroken one does?

    python benchmarks/resume_kills.py [OUT.json] [KILLS]

A small training runs once unbroken. Then it is started with the same parameters, killed
with SIGKILL, started again, until it ends; and that again, until there were KILLS kills.
Every other kill comes while a checkpoint is being written, as soon as its folder is seen
and a moment more; the others at a moment drawn from the time that a session takes. All is
seeded but the machine's own pace. Compared are the adapters' hash and `metrics.csv`.

Sessions are forked from a server that has imported torch and done nothing else, which
saves the seconds of the import and nothing of the work.
"""
from __future__ import annotations

import multiprocessing
import random
import shutil
import sys
import tempfile
import time
from pathlib import Path

from nanoreason import environment, paths
from nanoreason.training.checkpoints import PARTIAL
from nanoreason.files import write_json
from nanoreason.runs import Run
from nanoreason.training.resume import CHECKPOINTS

SEED = 0
KILLS = 20
SETTINGS = {"profile": "nano", "traces": 64, "epochs": 2, "batch_size": 4,
            "micro_batch_size": 4, "seed": 3, "dropout": 0.1, "dynamic": "dwa",
            "checkpoint_minutes": 0.0}
LONGEST = 600.0  # seconds that any session may take, on a busy machine too


def _session(folder: Path, settings: dict) -> None:
    """One call of `train`, with its runs below `folder`."""
    from nanoreason.params import TrainParams
    from nanoreason.training import train

    paths.RUNS = folder
    train(TrainParams(**settings))


def _start(folder: Path, settings: dict):
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["nanoreason.training"])
    process = context.Process(target=_session, args=(folder, settings))
    process.start()
    return process


def _wait(process, until, patience: float) -> bool:
    """Whether `until()` came true before the process ended and `patience` seconds passed."""
    end = time.monotonic() + patience
    while process.is_alive() and time.monotonic() < end:
        if until():
            return True
        time.sleep(0.0005)
    return False


def _kill_once(process, run: Run, inside: bool, delay: float) -> dict | None:
    """Kill a session; what was known of it then. None if it ended first.

    inside: kill while a checkpoint is written, from `delay` seconds on; else at `delay`.
    """
    began, partial = time.monotonic(), run.path(CHECKPOINTS) / PARTIAL
    _wait(process, lambda: time.monotonic() > began + delay, LONGEST)
    if inside:
        _wait(process, lambda: any(partial.glob("*/*")), LONGEST)
    if not process.is_alive():
        return None
    process.kill()
    process.join()
    if process.exitcode == 0:
        return None
    steps = [int(path.name.partition("-")[2])
             for path in run.path(CHECKPOINTS).glob("checkpoint-*")]
    return {"seconds": round(time.monotonic() - began, 3), "step": max(steps, default=0),
            "while_writing": any(partial.glob("*"))}


def _ended(process, run: Run) -> tuple[str, bytes]:
    """What the run ended with; its session must have ended by itself."""
    process.join(LONGEST)
    if process.exitcode != 0:
        raise RuntimeError(f"a session of run {run.name} ended with {process.exitcode}")
    return (run.read_environment()["training"]["adapters_sha256"],
            run.path("metrics.csv").read_bytes())


def measure(kills: int, seed: int = SEED, settings: dict = SETTINGS, span: float = 1.0) -> dict:
    """Kill `kills` times; the kills and runs, and how many runs ended unlike the unbroken.

    span: the part of an unbroken session's time in which the moments are drawn.
    """
    rng, began = random.Random(seed), time.monotonic()
    folder = Path(tempfile.mkdtemp(prefix="resume-kills-"))
    try:
        unbroken = Run(folder / "unbroken")
        start = time.monotonic()
        wanted = _ended(_start(folder, settings | {"run": unbroken.name}), unbroken)
        session = time.monotonic() - start
        done, runs = [], []
        while len(done) < kills:
            run, killed = Run(folder / f"run-{len(runs)}"), 0
            while True:
                process = _start(folder, settings | {"run": run.name})
                if len(done) == kills:
                    break
                kill = _kill_once(process, run, len(done) % 2 == 1, rng.uniform(0, span * session))
                if kill is None:
                    break
                done.append({"run": run.name, **kill})
                killed += 1
            found, facts = _ended(process, run), run.read_environment()["training"]
            runs.append({"run": run.name, "kills": killed, "resumed": facts["resumed"],
                         "steps": facts["optimiser_steps"],
                         "adapters_equal": found[0] == wanted[0],
                         "metrics_equal": found[1] == wanted[1]})
    finally:
        shutil.rmtree(folder)
    return {"seed": seed, "settings": settings, "adapters_sha256": wanted[0],
            "unbroken_seconds": round(session, 1), "kills": done, "runs": runs,
            "unequal": sum(not (r["adapters_equal"] and r["metrics_equal"]) for r in runs),
            "seconds": round(time.monotonic() - began, 1),
            "environment": environment.describe()}


if __name__ == "__main__":
    out = Path(sys.argv[1]) if sys.argv[1:] else paths.RESULTS / "resume-kills.json"
    result = measure(int(sys.argv[2]) if sys.argv[2:] else KILLS)
    write_json(out, result)
    inside = sum(kill["while_writing"] for kill in result["kills"])
    print(f"{len(result['kills'])} kills, {inside} of them while a checkpoint was written, in "
          f"{len(result['runs'])} runs: {result['unequal']} ended unlike the unbroken one")
