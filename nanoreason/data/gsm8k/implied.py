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
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction

from nanoreason.data.problem import Operand, Step
from nanoreason.data.verify_lines import compute, write_number
from nanoreason.graph.phrases import wordings
from nanoreason.graph.provenance import constants_of
from nanoreason.graph.quantities import quantities

_COMPANY = re.compile(
    r"(?:\s+(?!of)\w+|\s+of\s+(?:his|her|their))?\s+(?:friends|siblings|brothers|sisters|cousins|"
    r"others|roommates|classmates|co-?workers|colleagues|neighbors)\b", re.IGNORECASE)
# What one of a unit is in the next smaller one that a solution counts in.
_SMALLER = {"week": (7,), "hour": (60,), "minute": (60,), "day": (24,), "year": (12, 52, 365),
            "foot": (12,), "feet": (12,), "yard": (3, 36), "pound": (16,), "dollar": (100,),
            "gallon": (4, 8, 128), "kilogram": (1000,), "kg": (1000,), "kilometer": (1000,),
            "km": (1000,), "ton": (2000,), "meter": (100,)}
_LARGER = {"gram": 1000, "minute": 60, "inch": 12, "day": 7, "month": 12, "ounce": 16, "cent": 100,
           "meter": 1000, "second": 60}


def complete(steps: Sequence[Step], question: str) -> list[tuple[int, Step]]:
    """The steps with implied ones in front of those that need them.

    Returns (position in `steps`, step) pairs; an implied step has the position of the one
    that needs it.
    """
    given, constants = quantities(question), constants_of(question)
    roles = [wording.role for wording in wordings(question)]
    known = {value for quantity in given for value in quantity.values} | set(constants)
    completed: list[tuple[int, Step]] = []
    for position, step in enumerate(steps):
        step = _by_per_cent(step, given, roles, known)
        for operand in (step.left, step.right):
            if operand.value not in known and not operand.text.endswith("%"):
                implied = _implied(operand.value, question, given, roles, constants)
                if implied is None:
                    implied = _in_another_unit(operand.value, question, given, constants)
                if implied is not None:
                    completed.append((position, implied))
                    known.add(operand.value)
        completed.append((position, step))
        known.add(step.value)
    return completed


def _by_per_cent(step: Step, given, roles, known) -> Step:
    divisor = step.right.value
    if step.operator != "/" or divisor in known or divisor <= 1:
        return step
    for quantity, role in zip(given, roles):
        if role == "percent" and quantity.values[0] == 1 / divisor:
            text = f"{write_number(100 * quantity.values[0])}%"
            return replace(step, operator="*",
                           right=Operand("given", 0, quantity.values[0], text))
    return step


def _implied(value: Fraction, question: str, given, roles, constants) -> Step | None:
    found = []
    if re.search(rf"\b{value}(?:st|nd|rd|th)\b", question):
        return None  # `every 3rd day` has the 3
    for quantity, role in zip(given, roles):
        if role == "plain" and _COMPANY.match(question, quantity.span[1]):
            role = "times"  # four friends, and the one whose friends they are
        for whole in (Fraction(1), Fraction(100)):
            part = quantity.values[whole == 100] if role == "percent" else quantity.values[0]
            if whole == 100 and role != "percent" or whole not in constants:
                continue
            if role not in ("percent", "share", "times"):
                continue
            for operator in "+" if role == "times" else "+-":
                if compute(operator, whole, part) == value:
                    found.append((quantity.index, operator, whole, part, role))
    if len({entry[1:] for entry in found}) != 1:
        return None
    _, operator, whole, part, role = found[0]
    text = f"{write_number(100 * part)}%" if role == "percent" and whole == 1 else (
        f"({write_number(part)})" if part.denominator != 1 else write_number(part))
    text = text if "/" in text else text.strip("()")
    if whole == 1 and (value * 10_000).denominator != 1:
        return None
    return Step(operator, Operand("constant", 0, whole, write_number(whole)),
                Operand("given", 0, part, text), value, "")


def _in_another_unit(value: Fraction, question: str, given, constants) -> Step | None:
    """`2 * 7` for the 14 days of two weeks, `500 / 1000` for the kilograms of 500 grams."""
    found = []
    for quantity, wording in zip(given, wordings(question)):
        unit = "dollar" if wording.money and quantity.text[0] == "$" else wording.unit
        known = quantity.values[0]
        for factor in map(Fraction, _SMALLER.get(unit, ())):
            if known > 1 and known * factor == value and factor in constants:
                found.append(("*", known, factor))
        factor = Fraction(_LARGER.get(unit, 0))
        if factor in constants and known / factor == value and value != 1:
            found.append(("/", known, factor))
    if len(found) != 1:
        return None
    operator, known, factor = found[0]
    return Step(operator, Operand("given", 0, known, write_number(known)),
                Operand("constant", 0, factor, write_number(factor)), value, "")
