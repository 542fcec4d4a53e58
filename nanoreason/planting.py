"""Which kind of error is planted in a trace, drawn by seed and problem."""
from __future__ import annotations

import math
import random
from collections.abc import Mapping

from nanoreason.errors import KINDS, CorruptionError, corrupt
from nanoreason.filters import examine
from nanoreason.problem import Problem
from nanoreason.trace import Trace


def check_mix(kinds: Mapping[str, float] | None) -> None:
    """Raise `ValueError` unless `kinds` gives known kinds finite weights, one above 0."""
    if kinds is None:
        return
    for kind, weight in kinds.items():
        if kind not in KINDS:
            raise ValueError(f"kind of error {kind!r} is unknown; choose of {', '.join(KINDS)}")
        if isinstance(weight, bool) or not isinstance(weight, (int, float)) \
                or not 0 <= weight < math.inf:
            raise ValueError(f"the weight of {kind} must be a number, 0 or more, not {weight!r}")
    if not any(kinds.values()):
        raise ValueError(f"all weights of {dict(kinds)} are 0: at least one must be above 0")


def plant(problem: Problem, trace: Trace, seed: int,
          kinds: Mapping[str, float] | None = None) -> tuple[Trace, str] | None:
    """The trace with a planted error and the error's kind; None if no kind fits.

    The kinds are tried in an order drawn by seed and problem; the first that the trace has
    room for, and whose result passes the filter, is taken. kinds: weights by kind, in which
    the first to be tried is drawn, then the next of the rest; a kind that is not named, or
    has weight 0, is never planted. None: all alike.
    """
    rng = random.Random(f"plant/{seed}/{problem.id}")
    for kind in _order(kinds, rng):
        try:
            wrong = corrupt(trace, kind, rng, problem.question)
        except CorruptionError:
            continue
        if examine(problem, wrong)[1] is None:
            return wrong, kind
    return None


def _order(kinds: Mapping[str, float] | None, rng: random.Random) -> list[str]:
    if kinds is None:
        return rng.sample(KINDS, len(KINDS))
    # Exponential waiting times: who comes first is drawn in proportion to the weights
    # (Efraimidis and Spirakis 2006).
    waits = {kind: -math.log(1 - rng.random()) / kinds[kind]
             for kind in KINDS if kinds.get(kind, 0) > 0}
    return sorted(waits, key=waits.get)
