"""Injected errors: a right trace becomes one whose VERIFY has something to find.

`corrupt` spoils one step of EXECUTE, carries the consequence through the later steps,
and writes the VERIFY that checks step after step, stops at the wrong one, blames it and
repairs the answer. Each check keeps the kind that it had in the right trace, so its form
cannot tell a spoiled step from a sound one.

Which line depends on which is told by the graph of the right trace and its question. Of a
step in prose or LaTeX only numbers are changed: the value of any equation in it that can be
read, a number that the question gives, a sign, an operation, or the step is left out. What
comes of it is carried on by value: where the old number stands in a later line the new one
takes its place, and equations are worked out again. Where that does not reach the result (what
depends on the step stands in words or letters) the result becomes another number as well, from
the step on, so that an error is as likely in an early step as in the last.
"""
from __future__ import annotations

import math
import random
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from fractions import Fraction

from nanoreason.arithmetic.answers import same_answer
from nanoreason.arithmetic.equations import read_equations
from nanoreason.arithmetic.expression import value_or_none
from nanoreason.data.problem import Operand, Problem, Step, compute, write_number
from nanoreason.data.verify_lines import (TOKEN, Claim, CorruptionError, check_kinds, check_line,
                                          claim_check, claim_of, equation, plain_steps, slip,
                                          value_of_token)
from nanoreason.graph.builder import dependency_graph, sources_of
from nanoreason.graph.quantities import quantities
from nanoreason.host import GivenError, check_number, check_type
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


def _one_of(options: Sequence, rng: random.Random):
    if not options:
        raise CorruptionError("the step has nothing that this kind of error changes")
    return rng.choice(options)


def _slipped(value: Fraction, rng: random.Random) -> Fraction:
    if value.denominator != 1:
        raise CorruptionError("a slip needs a whole number to slip on")
    return Fraction(slip(abs(int(value)), rng)) * (-1 if value < 0 else 1)


def _spoil(kind: str, step: Step, steps: list[Step], rng: random.Random
           ) -> tuple[str, Operand, Operand, Fraction]:
    """One wrong version of a step: operator, operands and the value it comes to."""
    operator, sides = step.operator, [step.left, step.right]
    value = compute(operator, step.left.value, step.right.value)
    if kind == "arithmetic_slip":
        return operator, *sides, _slipped(value, rng)
    if kind == "wrong_operator":
        operator = rng.choice([sign for sign in "+-*/" if sign != operator])
    elif kind == "wrong_operand":
        other = _one_of([o for s in steps for o in (s.left, s.right) if o.kind == "given"
                         and o.text not in (step.left.text, step.right.text)], rng)
        sides[rng.random() < 0.7] = other
    else:
        side = _one_of([side for side, o in enumerate(sides)
                        if o.kind == "given" and o.value.denominator == 1], rng)
        value = _slipped(sides[side].value, rng)
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
    check_type(Trace, "a Trace, as parse_trace reads it from a text", trace=trace)
    check_type(random.Random, "a random.Random", rng=rng)
    if kind not in KINDS:
        raise GivenError(f"error kind {kind!r} is unknown; choose one of {', '.join(KINDS)}")
    if trace.verdict is not None:
        raise CorruptionError("the trace already holds an error")
    try:
        steps = read_steps(trace, question)
        kinds = check_kinds(trace, steps)
    except CorruptionError:
        claims = [claim_of(step) for step in trace.execute]
        if trace.checks != tuple(map(claim_check, claims)):
            raise
        return _corrupt_prose(trace, claims, kind, rng, question)
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


# --- steps in prose and LaTeX -------------------------------------------------------------

_OPERATIONS = {"sum": "+", "product": "*", "difference": "-"}
_TURNED = [(re.compile(pattern), other) for pattern, other in (
    (r"(?<=\S)\s*\+\s*(?=\S)", " - "), (r"(?<=[\w)}])\s*-\s*(?=[\w(\\])", " + "),
    (r"\s*(?:\\times|\\cdot|[*×·])\s*", " + "), (r"(?<=[\w)])\s*(?:/|\\div|÷)\s*(?=[\w(])", " * "))]


def _corrupt_prose(trace: Trace, claims: list[Claim | None], kind: str, rng: random.Random,
                   question: str) -> Trace:
    last = len(claims) - 1
    candidates = [k for k, claim in enumerate(claims) if claim and (
        kind != "skipped_step" or k < last and claims[k + 1])]
    given = [value for quantity in quantities(question) for value in quantity.values]
    for k in (k for k in rng.sample(candidates, len(candidates)) for _ in range(4)):
        with suppress(CorruptionError):
            first, changed = _change(kind, trace.execute[k], claims[k], given, rng)
            later, result = _outcome(trace, k, changed)
            if result == trace.result and k < last and "\\boxed" not in "".join(trace.execute[:k]):
                # What depends on the step cannot be worked out: the result is another all the same.
                end = value_of_token(_one_of(TOKEN.findall(result), rng))
                later, result = _outcome(trace, k, changed | {end: _slipped(end, rng)})
                if later[-1] == trace.execute[-1]:
                    continue
            lines = (*trace.execute[:k], *first, *later)
            if lines[k] == trace.execute[k] or same_answer(result, trace.answer):
                continue
            found = TOKEN.findall(lines[k])[claims[k + 1 if kind == "skipped_step" else k].index:]
            if found and (check := claim_check(claims[k], found[0])).endswith(" wrong"):
                return replace(trace, execute=lines, result=result, verdict=k + 1,
                               checks=(*trace.checks[:k], check), repairs=trace.execute[k:])
    raise CorruptionError(f"no number of these steps takes a {kind}")


def _outcome(trace: Trace, k: int, changed: dict[Fraction, Fraction]) -> tuple[list[str], str]:
    """The lines after step k and the result, with every number that has changed in line k."""
    return _carried(trace.execute[k + 1:], changed), _renumbered(trace.result, changed)


def _change(kind: str, step: str, claim: Claim, given: list[Fraction], rng: random.Random
            ) -> tuple[list[str], dict[Fraction, Fraction]]:
    """([the step with its error], the value that changed and what it has become)."""
    tokens = list(TOKEN.finditer(step))
    own, before = tokens[claim.index], tokens[:claim.index]
    if kind == "skipped_step":  # a number of the step is gone on with instead
        return [], {claim.value: _one_of(sorted(value_of_token(t[0]) for t in before)[-1:], rng)}
    if kind == "arithmetic_slip":
        wrong = _slipped(claim.value, rng)
    elif kind == "wrong_operator" and claim.value < 0:
        wrong = -claim.value  # a sign lost
    elif kind == "wrong_operator":
        signs = [(found, other) for pattern, other in _TURNED for found in pattern.finditer(step)
                 if found.end() <= own.start()]
        if not signs:
            return _misnamed(step, tokens, claim, rng)
        found, other = rng.choice(signs)
        return _worked_out(step[:found.start()] + other + step[found.end():], claim)
    else:  # a number of the question is another
        token = _one_of([token for token in (before if claim.left and before else [own])
                         if value_of_token(token[0]) in given], rng)
        value = value_of_token(token[0])
        wrong = _slipped(value, rng) if kind == "copying_slip" else _one_of(
            [other for other in given if other not in (value, 0) and other.denominator == 1], rng)
        if token is not own:
            return _worked_out(step[:token.start()] + write_number(wrong) + step[token.end():],
                               claim)
    return [step[:own.start()] + write_number(wrong) + step[own.end():]], {claim.value: wrong}


def _misnamed(step: str, tokens: list[re.Match], claim: Claim, rng: random.Random
              ) -> tuple[list[str], dict[Fraction, Fraction]]:
    """`the product of 6 and 7 is 42` with another operation in words, and what it comes to."""
    own, sides = tokens[claim.index], [value_of_token(token[0]) for token in tokens[
        max(claim.index - 2, 0):claim.index]]
    word = _one_of([word for word, sign in _OPERATIONS.items() if word in step
                    and len(sides) == 2 and compute(sign, *sides) == claim.value], rng)
    other = rng.choice([name for name in _OPERATIONS if name != word])
    wrong = compute(_OPERATIONS[other], *sides)
    changed = step[:own.start()] + write_number(wrong) + step[own.end():]
    return [changed.replace(word, other, 1)], {claim.value: wrong}


def _worked_out(step: str, claim: Claim) -> tuple[list[str], dict[Fraction, Fraction]]:
    """A step whose equation has changed on its left, with the value that it now comes to."""
    for token in [*TOKEN.finditer(step)][claim.index:][:1]:
        for stated in read_equations(step):
            wrong = value_or_none(stated.left)
            if stated.span[0] <= token.start() < stated.span[1] and stated.holds is False \
                    and wrong and wrong > 0 and "/" not in write_number(wrong):
                return ([step[:token.start()] + write_number(wrong) + step[token.end():]],
                        {claim.value: wrong})
    raise CorruptionError("the changed equation cannot be worked out")


def _renumbered(text: str, changed: Mapping[Fraction, Fraction]) -> str:
    return TOKEN.sub(lambda found: write_number(changed[value_of_token(found[0])])
                     if value_of_token(found[0]) in changed else found[0], text)


def _carried(lines: tuple[str, ...], changed: dict[Fraction, Fraction]) -> list[str]:
    """The lines with every changed number; what equations then come to is added to `changed`."""
    later = []
    for line in lines:
        text, turns = _renumbered(line, changed), 0
        while text != line and turns < 4 and (found := _next_false(text)):
            token, old, new = found
            changed.setdefault(old, new)
            text = (text[:token.start()] + write_number(new)
                    + _renumbered(text[token.end():], {old: new}))
            turns += 1
        later.append(text)
    return later


def _next_false(text: str) -> tuple[re.Match, Fraction, Fraction] | None:
    """The number that the first equation that no longer holds claims, its value, the right one."""
    for stated in read_equations(text):
        tokens = [token for token in TOKEN.finditer(text) if token.end() <= stated.span[1]
                  and token.start() >= stated.span[0]]
        if not stated.holds and stated.has_operator and len(stated.sides) == 2 and tokens:
            old, new = value_of_token(tokens[-1][0]), value_or_none(stated.left)
            if old == value_or_none(stated.right) and new not in (None, old) and (
                    "/" not in write_number(new)):
                return tokens[-1], old, new
    return None


def check_mix(kinds: Mapping[str, float] | None) -> None:
    """Raise `ValueError` unless `kinds` gives known kinds finite weights, one above 0."""
    if kinds is None:
        return
    for kind, weight in kinds.items():
        if kind not in KINDS:
            raise GivenError(f"kind of error {kind!r} is unknown; choose of {', '.join(KINDS)}")
        check_number(float, 0, **{f"the weight of {kind}": weight})
    if not any(kinds.values()):
        raise GivenError(f"all weights of {dict(kinds)} are 0: at least one must be above 0")


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
