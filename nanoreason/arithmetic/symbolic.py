"""Whether two symbolic answers are the same, by math-verify in a process of its own.

MATH answers are formulas, and comparing them takes a computer algebra system, which a
hostile or merely odd answer can keep busy for ever (`10^{10^{10}}`). So such text never
meets it in this process: a worker does the comparing, with a limit on its processor time and its
memory, and what is too long, has other characters than formulas have, or large exponents
is not compared at all. Not compared means not equal, and `compare_formulas` says which it
was, so that such answers can be counted.

The worker is this file run as a script; it reads and writes one JSON line a question. It
loads math-verify once and forks for each question, so that a question that must be killed
costs its time limit and not another load.
"""
from __future__ import annotations

import atexit
import json
import os
import re
import signal
import subprocess
import sys
from contextlib import suppress
from multiprocessing.connection import wait

MAX_CHARACTERS = 200
SECONDS = 0.9  # of the processor, for one comparison: a score must not depend on other work
WAITED = 20  # times as long it may take on the clock
START_SECONDS = 60.0  # for the worker to load math-verify
GRACE_SECONDS = 5.0  # for the worker itself to answer after the time limit
PLACES = 40  # at which values are compared
MEMORY = 2 * 1024**3  # bytes
REFUSED = "beyond the bounds of what is compared"
LATE = "not compared within time and memory"
_CHARACTERS = re.compile(r"[A-Za-z0-9 .,:;+\-*/^_=<>()\[\]{}|\\%$'&~!]*")
_POWER = r"(?:\^|\*\*)"
# An exponent of more than three digits, a power of a power, a long number, a factorial of
# more than two digits.
_LARGE = re.compile(rf"(?:[0-9]{{3}}|[^0-9])\s*!|[0-9]{{30}}|{_POWER}[^+\-*/=,^]*{_POWER}|"
                    rf"{_POWER}\s*\{{?\s*-?\s*[0-9]{{4}}")


def comparable(text: str) -> bool:
    """Whether a text is within the bounds of what the worker is given."""
    return (0 < len(text) <= MAX_CHARACTERS and _CHARACTERS.fullmatch(text) is not None
            and not _LARGE.search(text))


def compare_formulas(answer: str, gold: str, seconds: float = SECONDS) -> bool | str:
    """True or False, or why the two were not compared: `REFUSED` or `LATE`."""
    if not comparable(answer) or not comparable(gold):
        return REFUSED
    return _WORKER.ask(gold, answer, seconds)


class _Worker:
    """The process that compares; started when first needed, replaced when it hangs."""

    def __init__(self):
        self.process = None

    def ask(self, gold: str, answer: str, seconds: float) -> bool | str:
        if self.process is None or self.process.poll() is not None:
            self.stop()
            self.start()
        line = ""
        with suppress(BrokenPipeError):
            self.process.stdin.write(json.dumps([gold, answer, seconds]) + "\n")
            self.process.stdin.flush()
            line = self.read_line(WAITED * seconds + GRACE_SECONDS)
        if line:
            return json.loads(line)
        self.stop()
        return LATE

    def start(self):
        self.process = subprocess.Popen(
            [sys.executable, "-P", os.path.abspath(__file__)], text=True, bufsize=1,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        if not self.read_line(START_SECONDS):
            self.stop()
            raise RuntimeError(
                f"math-verify did not load within {START_SECONDS:.0f} s; check that it is "
                "installed (symbolic answers cannot be scored without it)")

    def read_line(self, seconds: float) -> str:
        return self.process.stdout.readline() if wait([self.process.stdout], seconds) else ""

    def stop(self):
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process.stdin.close()
            self.process.stdout.close()
        self.process = None


_WORKER = _Worker()
atexit.register(_WORKER.stop)


def _serve():
    import resource

    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    from latex2sympy2_extended import NormalizationConfig
    from math_verify import LatexExtractionConfig, parse, verify

    # Its default takes the `m` of `5 + 2m` for metres and drops it.
    letters = NormalizationConfig(units=False, malformed_operators=True, nits=True)
    formula = [LatexExtractionConfig(normalization_config=letters)]

    def equal(gold: str, answer: str) -> bool:
        # Its own limits are of time that passes, and an alarm ends in another answer.
        gold, answer = (parse(f"${text}$", formula, parsing_timeout=None)
                        for text in (gold, answer))
        # At six places, its default, 1/2^70 and 1/2^71 would be equal.
        return bool(gold and answer and verify(gold, answer, PLACES, 2 * PLACES,
                                               timeout_seconds=None))

    for pair in ((r"\frac{1}{2}+\sqrt{2}", "x^2+1"), ("(n+1)^2", "n^2+2n+1"),
                 (r"\frac{\pi}{3}", r"\pi/3")):
        equal(*pair)  # what is loaded on first use is loaded here
    print("ready", flush=True)
    for line in sys.stdin:
        gold, answer, seconds = json.loads(line)
        print(json.dumps(_forked(lambda: equal(gold, answer), seconds)), flush=True)


def _forked(question, seconds: float) -> bool | str:
    """The answer of a child process, or LATE where it has used up its time without one."""
    ours, theirs = os.pipe()
    child = os.fork()
    if not child:
        signal.setitimer(signal.ITIMER_PROF, max(seconds, 1e-3))  # whose signal ends it
        try:
            os.write(theirs, b"1" if question() else b"0")
        finally:
            os._exit(0)
    os.close(theirs)
    found = os.read(ours, 1) if wait([ours], WAITED * seconds) else b""
    os.close(ours)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return found == b"1" if found else LATE


if __name__ == "__main__":
    _serve()
