"""How many threads a step of training or decoding is worth, found out while it runs.

Threads that share a step wait for one another many thousand times. On a core that another
program uses too, each wait lasts until that program's turn is over, and a small model comes to
a quarter of the pace of one thread alone. Who else will use a machine nobody knows beforehand.
So every now and then a few steps are done with half or twice as many threads, and the faster
number stays.

What comes out must not depend on it. The products of a base of at most LARGEST parameters are
shared out by rows, each of which is summed by one thread, and come out the same to the last
bit; a larger one keeps the number that it was started with, and so do GPUs and groups of
processes.
"""
from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from statistics import median

import torch

LARGEST = 5_000_000  # parameters
TRIED = 4  # steps of a trial, of which the first, with threads that wake up, does not count
SOONEST, LATEST = 20, 320  # steps between two trials: twice as many after one that earned nothing
BETTER = 1.1  # times the pace: that much a trial has to earn


class ThreadChoice:
    """Sets torch's number of threads for each step, between `begin` and `end`.

    most: threads that may be used, 1 where the number is not to be changed. steps: how many were
    done with each number.
    """

    def __init__(self, model, processes: int = 1):
        size = sum(parameter.numel() for parameter in model.parameters())
        free = model.device.type == "cpu" and processes == 1 and size <= LARGEST
        self.most, self.steps = torch.get_num_threads() if free else 1, Counter()
        self.threads, self.trying, self.usual = self.most, None, 0.0
        self.paces: list[float] = []
        self.wait, self.down = SOONEST, True

    def fastest(self, measure: Callable[[], float]) -> float:
        """Begin with the number that takes the fewest seconds, with all where that earns little;
        returns the seconds."""
        found, threads = {}, self.most
        try:
            while threads:
                self._set(threads)
                found[threads], threads = measure(), threads // 2
        finally:
            self.rest()
        least = min(found, key=found.get)
        self.threads = least if BETTER * found[least] < found[self.most] else self.most
        return found[self.threads]

    def begin(self) -> None:
        """A step begins."""
        self._set(self.trying or self.threads)
        self.began = time.perf_counter()

    def end(self, tokens: float) -> None:
        """A step of so many tokens has ended."""
        seconds = time.perf_counter() - self.began
        if self.most > 1:
            self.steps[self.trying or self.threads] += 1
            self.take(tokens / seconds)
            self.rest()

    def rest(self) -> None:
        """All threads are there again, as between two steps; to be called where one has failed."""
        self._set(self.most)

    def _set(self, threads: int) -> None:
        if self.most > 1:
            torch.set_num_threads(threads)

    def take(self, pace: float) -> None:
        """Learn the pace of a step, tokens a second; begin or end a trial."""
        self.paces.append(pace)
        if self.trying is None:
            if len(self.paces) >= self.wait:
                self.usual, self.trying = median(self.paces[1 - TRIED:]), self._neighbour()
                self.paces = []
            return
        counted = self.paces[1:]
        pace = median(counted or [2 * pace])  # the first step has to be half as fast at least
        if pace < self.usual or len(self.paces) == TRIED:
            better = bool(counted) and pace > BETTER * self.usual
            self.threads = self.trying if better else self.threads
            self.wait = SOONEST if better else min(2 * self.wait, LATEST)
            self.trying, self.paces = None, []

    def _neighbour(self) -> int:
        """Half or twice as many threads in turn, as far as there are."""
        self.down = self.threads > 1 and (self.threads == self.most or not self.down)
        return self.threads // 2 if self.down else min(2 * self.threads, self.most)
