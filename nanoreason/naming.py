"""How PLAN names where the operands of a step come from.

EXECUTE shows numbers alone. Where a value stands twice, the rule of `provenance` decides by the
wording of the question; where the solution means another source than the rule would find, the
teacher lets PLAN say so, and every reader of a trace goes by it:

    Find the pens in the small boxes, using the result of step 1 and the 3rd given.

The givens are counted as UNDERSTAND lists them.
"""
from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from fractions import Fraction

from nanoreason.arithmetic import Number
from nanoreason.quantities import Quantity

_NAMED = re.compile(r"\bthe result of step (?P<step>[0-9]{1,4})\b"
                    r"|\bthe (?P<given>[1-9][0-9]{0,3})(?:st|nd|rd|th) given\b"
                    r"|\bthe constant (?P<constant>[0-9]{1,6}(?:/[1-9][0-9]{0,5})?)\b"
                    r"(?![.,/]?[0-9])(?!/)")


def named_sources(line: str) -> list[tuple]:
    """The nodes (see `graph`) that a line of PLAN names, in order; most lines name none."""
    found = []
    for name in _NAMED.finditer(line):
        if name["step"]:
            found.append(("step", int(name["step"])))
        elif name["given"]:
            found.append(("given", int(name["given"]) - 1))
        else:
            found.append(("constant", str(Fraction(name["constant"]))))
    return found


def assigned(names: list[tuple], numbers: Sequence[Number], given: Sequence[Quantity],
             results: Mapping[tuple, Fraction], constants: Collection[Fraction]
             ) -> dict[int, tuple]:
    """The operands (by position) whose source PLAN names: one of their value, in order.

    names: of a line; those that an operand took are removed, so that each is for one operand.
    """
    found = {}
    for k, number in enumerate(numbers):
        values = (number.value, 100 * number.value) if number.percent else (number.value,)
        for source in names:
            kind, name = source
            if kind == "given":
                fits = name < len(given) and any(v in given[name].values for v in values)
            elif kind == "step":
                fits = results.get(source) in values
            else:
                fits = Fraction(name) in constants and Fraction(name) in values
            if fits:
                names.remove(source)
                found[k] = source
                break
    return found


def name_of(source: tuple) -> str:
    """The words for a result, a quantity of the question or a constant."""
    kind, name = source
    if kind == "given":
        return f"the {ordinal(name + 1)} given"
    return f"the result of step {name}" if kind == "step" else f"the constant {name}"


def using(line: str, sources: Sequence[tuple]) -> str:
    """A line of PLAN that also names the sources of its step, those that it does not yet."""
    told = named_sources(line)
    names = [name_of(source) for source in sources if source not in told]
    if not names:
        return line
    mark = line[-1] if line[-1:] in ("." , "?") else ""
    return f"{line.removesuffix(mark)}, using {' and '.join(names)}{mark or '.'}"


def ordinal(number: int) -> str:
    """1st, 2nd, 3rd, 4th; 11th, 12th, 13th."""
    ending = {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{'th' if number % 100 in (11, 12, 13) else ending}"
