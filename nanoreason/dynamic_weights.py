"""Multipliers of the loss groups that follow how fast each group still learns.

Dynamic weight average (Liu, Johns and Davison 2019, "End-to-End Multi-Task Learning with
Attention", arXiv:1803.10704): a group whose loss falls slowly gets more weight. Means over
twenty steps take the place of the paper's epochs.
"""
from __future__ import annotations

import math
from collections import deque

GROUPS = ("understand", "plan", "execute", "verify", "transition")
MODES = ("none", "dwa")
WINDOW = 20  # optimiser steps
TEMPERATURE = 2.0
LOWEST, HIGHEST = 0.5, 2.0


class DynamicWeights:
    """c_s of every optimiser step, from the losses of the 40 steps before it.

    r_s = mean loss of group s over the last 20 steps / the mean over the 20 before;
    c_s = 5 * softmax(r / 2)_s, clipped to [0.5, 2]; 1 before step 40 (steps count from 0).

    The mean over a window is that of the steps' means (nats per token), over the steps in
    which the group had tokens and a finite loss. A group that had none in one of the two
    windows, or a mean of 0 in the earlier one, has r_s = 1: nothing is known of its pace.

    Read `multipliers` before a step, call `update` once after it with the sums and counts
    of the whole step (all processes, so that all keep the same weights). Mode "none"
    always gives 1. `state_dict` belongs into the checkpoint; it is plain JSON.
    """

    def __init__(self, mode="dwa"):
        if mode not in MODES:
            raise ValueError(f"dynamic is {mode!r}; choose one of {MODES}")
        self.mode = mode
        self._history = deque(maxlen=2 * WINDOW)  # per step: 5 x (nats per token or None)

    def update(self, sums, counts):
        """Record one optimiser step. sums: (5,) nats, counts: (5,) supervised tokens."""
        means = [float(total) / int(count) if count else None
                 for total, count in zip(sums, counts, strict=True)]
        if len(means) != len(GROUPS):
            raise ValueError(f"{len(means)} sums; give {len(GROUPS)}, for {GROUPS}")
        self._history.append([mean if mean is not None and math.isfinite(mean) else None
                              for mean in means])

    @property
    def multipliers(self):
        """Five floats in the order of GROUPS, for the step that comes next."""
        if self.mode == "none" or len(self._history) < 2 * WINDOW:
            return (1.0,) * len(GROUPS)
        steps = list(self._history)
        ratios = [_ratio(_mean(steps[WINDOW:], group), _mean(steps[:WINDOW], group))
                  for group in range(len(GROUPS))]
        highest = max(ratios)
        powers = [math.exp((ratio - highest) / TEMPERATURE) for ratio in ratios]
        return tuple(min(max(len(GROUPS) * power / sum(powers), LOWEST), HIGHEST)
                     for power in powers)

    def state_dict(self):
        """{"mode", "history": the last 40 steps, oldest first, None where nothing was}."""
        return {"mode": self.mode, "history": [list(step) for step in self._history]}

    def load_state_dict(self, state):
        """Go on where `state_dict` stopped; the mode must be the same."""
        if state["mode"] != self.mode:
            raise ValueError(f"the checkpoint has dynamic {state['mode']!r}, this run "
                             f"{self.mode!r}; use the same")
        self._history = deque((list(step) for step in state["history"]), maxlen=2 * WINDOW)


def _mean(steps, group):
    values = [step[group] for step in steps if step[group] is not None]
    return sum(values) / len(values) if values else None


def _ratio(last, earlier):
    return 1.0 if last is None or not earlier else last / earlier
