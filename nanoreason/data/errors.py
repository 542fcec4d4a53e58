"""Injected errors: a right trace becomes one whose VERIFY has something to find.

`corrupt` spoils one step of EXECUTE, carries the consequence through the later steps,
and writes the VERIFY that checks step after step, stops at the wrong one, blames it and
repairs the answer. Each check keeps the kind that it had in the right trace, so its form
cannot tell a spoiled step from a sound one.

Which line depends on which is told by the graph of the right trace and its question.
"""
from __future__ import annotations

import math
import random
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from fractions import Fraction

from nanoreason.data.problem import Operand, Problem, Step, compute, write_number
from nanoreason.data.verify_lines import (CorruptionError, check_kinds, check_line, equation,
                                          plain_steps, slip)
from nanoreason.graph.builder import dependency_graph, sources_of
from nanoreason.stages import ERRORS as KINDS
from nanoreason.trace import Trace

ATTEMPTS = 40


def read_steps(trace: Trace, question: str = "") -> list[Step]:
    """EXECUTE's lines as binary steps that refer to one another.

    question: what the graph traces operands to; without one, an operand that equals an
    earlier result is that result. Raises `CorruptionError` where a line is no
    `a operator b = c` that holds.
    """
    steps = plain_steps(trace)
    for line, sources in enumerate(sources_of(dependency_graph(trace, question))):
        # One operand for two numbers is a fraction that the question has: no result.
        if len(sources) == 2:
            step = steps[line]
            steps[line] = replace(step, left=_from(step.left, sources[0]),
                                  right=_from(step.right, sources[1]))
    return steps


def _from(operand: Operand, source: tuple) -> Operand:
    if source[0] != "step" or operand.text.endswith("%"):
        return operand
    return replace(operand, kind="step", index=source[1])


def _rebuilt(operand: Operand, found: dict[int, Fraction]) -> Operand:
    if operand.kind != "step":
        return operand
    value = found[operand.index]
    return replace(operand, value=value, text=write_number(value))


def _sound(value: Fraction, steps: list[Step]) -> bool:
    """Wrong values stay of the kind that right ones are, so that they do not stand out."""
    largest = max(max(s.value, s.left.value, s.right.value) for s in steps)
    return value.denominator == 1 and 0 < value <= 2 * max(largest, 50)


def _spoil(kind: str, step: Step, steps: list[Step], rng: random.Random
           ) -> tuple[str, Operand, Operand, Fraction]:
    """One wrong version of a step: operator, operands and the value it comes to."""
    operator, sides = step.operator, [step.left, step.right]
    value = compute(operator, step.left.value, step.right.value)
    if kind == "arithmetic_slip":
        if value.denominator != 1:
            raise CorruptionError("a slip needs a whole number to slip on")
        return operator, *sides, Fraction(slip(int(value), rng))
    if kind == "wrong_operator":
        operator = rng.choice([sign for sign in "+-*/" if sign != operator])
    elif kind == "wrong_operand":
        others = [o for s in steps for o in (s.left, s.right)
                  if o.kind == "given" and o.text not in (step.left.text, step.right.text)]
        if not others:
            raise CorruptionError("the trace has no other quantity to take by mistake")
        other = rng.choice(others)
        sides[rng.random() < 0.7] = other
    else:
        givens = [side for side, o in enumerate(sides)
                  if o.kind == "given" and o.value.denominator == 1]
        if not givens:
            raise CorruptionError("the step copies no whole number from the question")
        side = rng.choice(givens)
        value = Fraction(slip(int(sides[side].value), rng))
        sides[side] = Operand("given", 0, value, write_number(value))
    return operator, *sides, compute(operator, *(side.value for side in sides))


def _execute(steps: list[Step], wrong: int, kind: str, rng: random.Random
             ) -> tuple[list[str], list[Fraction]]:
    """EXECUTE with step number `wrong` spoiled, and the value that each line comes to."""
    lines, found = [], {}
    for number, step in enumerate(steps, 1):
        if kind == "skipped_step" and number == wrong:
            # What would use this step's value takes what the step was worked from:
            # an earlier result if there is one, else the larger quantity.
            source = max((step.left, step.right), key=lambda o: (o.kind == "step", o.value))
            found[number] = _rebuilt(source, found).value
            continue
        left, right = _rebuilt(step.left, found), _rebuilt(step.right, found)
        current = replace(step, left=left, right=right)
        if number == wrong:
            operator, left, right, value = _spoil(kind, current, steps, rng)
        else:
            operator, value = step.operator, compute(step.operator, left.value, right.value)
        if not _sound(value, steps):
            raise CorruptionError(f"line {number} would come to {value}")
        lines.append(equation(operator, left, right, value))
        found[number] = value
    if kind == "skipped_step":
        del found[wrong]
    return lines, list(found.values())


def corrupt(trace: Trace, kind: str, rng: random.Random, question: str = "") -> Trace:
    """A copy of a right trace with one injected error and the VERIFY that finds it.

    trace: right, with `Verdict: correct`. kind: one of `KINDS`. question: see `read_steps`.
    The returned trace's `verdict` is the wrong step; a skipped step is never the last. Raises
    `CorruptionError` where the trace gives no room for this kind, and `ValueError` for an
    unknown kind.
    """
    if kind not in KINDS:
        raise ValueError(f"error kind {kind!r} is unknown; choose one of {', '.join(KINDS)}")
    if trace.verdict is not None:
        raise CorruptionError("the trace already holds an error")
    steps = read_steps(trace, question)
    kinds = check_kinds(trace, steps)
    candidates = len(steps) - (kind == "skipped_step")
    if candidates < 1:
        raise CorruptionError("a trace of one step has none to skip")
    reason = ""
    for _ in range(ATTEMPTS):
        wrong = rng.randint(1, candidates)
        try:
            lines, values = _execute(steps, wrong, kind, rng)
        except (CorruptionError, ZeroDivisionError) as error:
            reason = str(error)
            continue
        if values[-1] == steps[-1].value or values[wrong - 1] == steps[wrong - 1].value:
            reason = "the answer or the step comes out right all the same"
            continue
        checks = [check_line(kinds[k], steps[k], values[k]) for k in range(wrong)]
        return replace(trace, execute=tuple(lines), result=write_number(values[-1]),
                       checks=tuple(checks), verdict=wrong,
                       repairs=trace.execute[wrong - 1:])
    raise CorruptionError(f"no {kind} found in {ATTEMPTS} attempts; last: {reason}")


def check_mix(kinds: Mapping[str, float] | None) -> None:
    """Raise `ValueError` unless `kinds` gives known kinds finite weights, one above 0."""
    for kind, weight in (kinds or {}).items():
        if kind not in KINDS:
            raise ValueError(f"kind of error {kind!r} is unknown; choose of {', '.join(KINDS)}")
        if isinstance(weight, bool) or not isinstance(weight, (int, float)) \
                or not 0 <= weight < math.inf:
            raise ValueError(f"the weight of {kind} must be a number, 0 or more, not {weight!r}")
    if kinds is not None and not any(kinds.values()):
        raise ValueError(f"all weights of {dict(kinds)} are 0: at least one must be above 0")


def inject(problem: Problem, trace: Trace, seed: int,
           kinds: Mapping[str, float] | None = None) -> tuple[Trace, dict] | None:
    """The trace with an error, and what a record says of it in its field `planted`.

    The kinds are tried in an order drawn by seed and problem; the first that the trace has
    room for is taken: None if no kind fits. kinds: weights by kind, in which the first to be
    tried is drawn, then the next of the rest; a kind that is not named, or has weight 0, is
    never injected. None: all alike.
    """
    rng = random.Random(f"plant/{seed}/{problem.id}")
    for kind in _order(kinds, rng):
        with suppress(CorruptionError):
            wrong = corrupt(trace, kind, rng, problem.question)
            return wrong, {"step": wrong.verdict, "kind": kind, "origin": "planted"}
    return None


def _order(kinds: Mapping[str, float] | None, rng: random.Random) -> list[str]:
    if kinds is None:
        return rng.sample(KINDS, len(KINDS))
    # Exponential waiting times: who comes first is drawn in proportion to the weights
    # (Efraimidis and Spirakis 2006).
    waits = {kind: -math.log(1 - rng.random()) / kinds[kind]
             for kind in KINDS if kinds.get(kind, 0) > 0}
    return sorted(waits, key=waits.get)
