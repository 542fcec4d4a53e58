"""Steps that a solution takes in its head: `1 + 20% = 1.2` before `50 * 1.2 = 60`.

A solution multiplies by 1.2 where the question says 20 % more, by 0.8 where it says 20 % off,
takes 80 for the per cent that are left, divides by 3 where one has twice as many as the
other, by 14 where it says two weeks. Nothing in the question has that value; one step from a
quantity of the question does, and a trace must show it. Completed so are a share, a
percentage and a multiple, with the one or the hundred that the question's words license, and
a measure in another unit, and only where its value has no other source and one quantity alone
explains it.

`150 / 2` where the question says 50 % becomes `150 * 50%`: the same operation, by the
number that the question gives.
"""
from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from fractions import Fraction

from nanoreason.arithmetic.lexer import MULTIPLES, PARTS
from nanoreason.data.gsm8k.binary_steps import per_cent
from nanoreason.data.problem import Operand, Step
from nanoreason.data.verify_lines import compute, write_number
from nanoreason.graph.provenance import constants_of
from nanoreason.graph.quantities import Quantity, quantities

_TIMES = re.compile(r"\s+times\b(?!\s+(?:a|per|each|every)\b)", re.IGNORECASE)
_COMPANY = re.compile(  # four friends, and the one whose friends they are
    r"(?:\s+(?!of|more|fewer|older|younger)\w+|\s+of\s+(?:his|her|their))?\s+"
    r"(?:friends|siblings|brothers|sisters|cousins|others|roommates|classmates|co-?workers|"
    r"colleagues|neighbors)\b", re.IGNORECASE)
_UNIT = re.compile(r"[\s-]*(?:(?:of|more|full|whole|the|and|a|an)\s+)*([^\W\d_]+)")
# What one of a unit is in the next smaller one that a solution counts in.
_SMALLER = {"week": (7,), "hour": (60,), "minute": (60,), "day": (24,), "year": (12, 52, 365),
            "foot": (12,), "feet": (12,), "yard": (3, 36), "pound": (16,), "$": (100,),
            "gallon": (4, 8, 128), "kilogram": (1000,), "kg": (1000,), "kilometer": (1000,),
            "km": (1000,), "ton": (2000,), "meter": (100,)}
_LARGER = {"gram": 1000, "minute": 60, "inch": 12, "day": 7, "month": 12, "ounce": 16, "cent": 100,
           "meter": 1000, "second": 60}


def complete(steps: Sequence[Step], question: str) -> list[tuple[int, Step]]:
    """The steps with implied ones in front of those that need them.

    Returns (position in `steps`, step) pairs; an implied step has the position of the one
    that needs it.
    """
    given = quantities(question)
    known = {value for quantity in given for value in quantity.values} | constants_of(question)
    completed: list[tuple[int, Step]] = []
    for position, step in enumerate(steps):
        step = _by_per_cent(step, given, known)
        for operand in (step.left, step.right):
            if operand.value not in known and not operand.text.endswith("%"):
                # Equal shares make one step, but of equal measures one alone can be meant.
                implied = (_only(set(_of_the_whole(operand.value, question, given)))
                           or _only(list(_in_another_unit(operand.value, question, given))))
                if implied is not None:
                    completed.append((position, implied))
                    known.add(operand.value)
        completed.append((position, step))
        known.add(step.value)
    return completed


def _only(found: Collection[Step]) -> Step | None:
    """The step, where there is but one."""
    return next(iter(found)) if len(found) == 1 else None


def _role(quantity: Quantity, question: str) -> str:
    """`20%` is "percent", `half` a "share", `twice` and `four friends` are "times"."""
    first, after = quantity.values[0], quantity.span[1]
    if len(quantity.values) > 1 and quantity.values[1] == 100 * first:
        return "percent"
    last = re.split(r"[\s-]", quantity.text.lower())[-1]
    if first < 1 and (last in PARTS or "/" in quantity.text):
        return "share"
    multiple = last in MULTIPLES or _TIMES.match(question, after)
    return "times" if multiple or _COMPANY.match(question, after) else ""


def _by_per_cent(step: Step, given: Sequence[Quantity], known: set[Fraction]) -> Step:
    divisor = step.right.value
    if step.operator != "/" or divisor in known or divisor <= 1:
        return step
    for quantity in given:
        if quantity.values[0] == 1 / divisor and "percent" == _role(quantity, ""):
            return replace(step, operator="*", right=per_cent(quantity.values[0]))
    return step


def _number(kind: str, value: Fraction) -> Operand:
    return Operand(kind, 0, value, write_number(value))


def _of_the_whole(value: Fraction, question: str, given: Sequence[Quantity]) -> Iterator[Step]:
    """`1 + 20%`, `100 - 20`, `1 - (1/3)`, `1 + 2` that come to a value."""
    for quantity in given:
        role = _role(quantity, question)
        for whole in (Fraction(1), Fraction(100)):
            if not role or whole not in constants_of(question) or (
                    role != "percent" if whole == 100 else (value * 10_000).denominator != 1):
                continue
            part = quantity.values[whole == 100]
            operand = per_cent(part) if role == "percent" and whole == 1 else (
                _number("given", part))
            if "/" in operand.text:
                operand = replace(operand, text=f"({operand.text})")
            for operator in "+" if role == "times" else "+-":
                if compute(operator, whole, part) == value:
                    yield Step(operator, _number("constant", whole), operand, value, "")


def _in_another_unit(value: Fraction, question: str, given: Sequence[Quantity]
                     ) -> Iterator[Step]:
    """`2 * 7` for the 14 days of two weeks, `500 / 1000` for the kilograms of 500 grams."""
    for quantity in given:
        word = _UNIT.match(question, quantity.span[1])
        unit = "$" if quantity.text[0] == "$" else word[1].lower() if word else ""
        unit = {"inches": "inch"}.get(unit, unit.removesuffix("s"))
        known = quantity.values[0]
        for operator, factors in (("*", _SMALLER.get(unit, ()) if known > 1 else ()),
                                  ("/", (_LARGER.get(unit, 0),) if value != 1 else ())):
            for factor in map(Fraction, factors):
                if factor in constants_of(question) and compute(operator, known, factor) == value:
                    yield Step(operator, _number("given", known), _number("constant", factor),
                               value, "")
