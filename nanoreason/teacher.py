"""The rule-based teacher of procedural problems: from the known graph to a trace.

Deterministic: the only choice, which kind of check VERIFY makes of each step, is seeded
by the problem's id.
"""
from __future__ import annotations

import random

from nanoreason.checks import check_line, draw_kinds, equation
from nanoreason.problem import Problem
from nanoreason.trace import Trace


def procedural_trace(problem: Problem) -> Trace:
    """The right four-stage trace of a problem with known steps.

    Raises `ValueError` for a problem that brings no steps.
    """
    if not problem.steps:
        raise ValueError(f"problem {problem.id} brings no steps; this teacher writes traces "
                         "of procedural problems only")
    rng = random.Random(f"checks/{problem.id}")
    kinds = draw_kinds(len(problem.steps), rng)
    lines = tuple(equation(s.operator, s.left, s.right, s.value) for s in problem.steps)
    return Trace(
        understand=("Given: " + "; ".join(problem.details["given"]),
                    "Find: " + problem.details["find"]),
        plan=tuple(step.plan for step in problem.steps),
        execute=lines, result=problem.answer,
        checks=tuple(check_line(kind, step, step.value)
                     for kind, step in zip(kinds, problem.steps)),
        verdict=None, repairs=(), answer=problem.answer)
