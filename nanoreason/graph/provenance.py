"""Where an operand comes from: the one rule of teacher, filter and scores alike.

EXECUTE shows numbers alone, so a source is found by its value, and `possible_sources` fixes an
order: no weight and no wording stands in it. Where a value has several sources, the operand is
*ambiguous* and the rule's choice a convention. Where a solution means another source, the teacher
lets PLAN say so, and every reader of a trace goes by it:

    Find the pens in the small boxes, using the result of step 1 and the 3rd given.

The givens are the quantities of the question, counted by their place in it.

Named constants are the numbers that a solution may use though no question states them. Twelve is
a constant where the question speaks of dozens, months, years or feet, not everywhere: a table
that always holds would explain almost any small number. So each entry of
`assets/constants.yaml` has the words that must stand in the question, as patterns of word
beginnings.
"""
from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from fractions import Fraction
from functools import lru_cache

from nanoreason.arithmetic.expression import Number
from nanoreason.paths import asset_table

_TABLE = asset_table("constants.yaml")
_PATTERNS, UNITS = _TABLE["patterns"], _TABLE["units"]
CONSTANTS = {Fraction(constant["value"]): constant["stands_for"]
             for constant in _TABLE["constants"]}


def _words_of(constant: dict) -> re.Pattern:
    words = "|".join(constant["words"])
    for name, pattern in _PATTERNS.items():
        words = words.replace(f"{{{name}}}", pattern)
    return re.compile(rf"(?<![^\W\d_])(?:{words})", re.IGNORECASE)


_WORDS = {Fraction(constant["value"]): _words_of(constant) for constant in _TABLE["constants"]}

_NAMED = re.compile(r"\b[A-Z][a-z]+((?:, [A-Z][a-z]+)*),? and [A-Z][a-z]+\b")
_ORDINAL = re.compile(r"\b([0-9]{1,4})(?:st|nd|rd|th)\b")
_DAYS = "monday tuesday wednesday thursday friday saturday sunday".split()
# Alone, `may` is mostly a verb.
_YEAR = _PATTERNS["months"].replace("april", "april|may").split("|")
_SPANS = [(names, re.compile(rf"\b({'|'.join(names)})\s(?:to|through|until|till)\s"
                             rf"({'|'.join(names)})\b", re.IGNORECASE))
          for names in (_DAYS, _YEAR)]


@lru_cache(maxsize=4096)  # the questions of a run: scores come back to each
def constants_of(question: str) -> frozenset[Fraction]:
    """The values that hold for a question though it does not state them.

    Those of `CONSTANTS` whose words stand in it; how many are named together (`Ann, Bob and
    Cy`, `Monday and Friday`); the days or months of a span (`from Monday to Thursday`); and
    the numbers of ordinals (`her 15th birthday`).
    """
    found = {value for value, words in _WORDS.items() if words.search(question)}
    found.update(Fraction(2 + names[1].count(",")) for names in _NAMED.finditer(question))
    found.update(Fraction(number) for number in _ORDINAL.findall(question))
    for names, span in _SPANS:
        for first, last in span.findall(question):
            ahead = (names.index(last.lower()) - names.index(first.lower())) % len(names)
            found.add(Fraction(ahead + 1))
    return frozenset(found)


_NAMES = re.compile(r"\bthe result of step (?P<step>[0-9]{1,4})\b"
                    r"|\bthe (?P<given>[1-9][0-9]{0,3})(?:st|nd|rd|th) given\b"
                    r"|\bthe constant (?P<constant>[0-9]{1,6}(?:/[1-9][0-9]{0,5})?)\b"
                    r"(?![.,/]?[0-9])(?!/)")


def named_sources(line: str) -> list[tuple]:
    """The nodes (see `builder`) that a line of PLAN names, in order; most lines name none."""
    found = []
    for name in _NAMES.finditer(line):
        kind, number = name.lastgroup, name[name.lastgroup]
        found.append((kind, str(Fraction(number)) if kind == "constant"
                      else int(number) - (kind == "given")))
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


def possible_sources(number: Number, results: Mapping[tuple, Fraction], used: Collection[tuple],
                     given: Sequence, constants: Collection[Fraction] = CONSTANTS
                     ) -> list[tuple]:
    """Every node that an operand may come from, the one that the rule takes first; maybe none.

    In this order: the earlier results not yet used (latest first), the quantities of the
    question (by position, those not yet used first), the earlier results already used
    (latest first), a named constant.

    number: the operand; `20%` may also be the number 20. results: earlier step nodes in order
    with their values. used: the nodes that some operand came from already; the caller keeps
    it. given: the question's `quantities`. constants: those that the question speaks of.
    """
    values = (number.value, 100 * number.value) if number.percent else (number.value,)
    latest = [node for node in reversed(results) if results[node] in values]
    asked = [("given", quantity.index) for quantity in given
             if any(v in quantity.values for v in values)]
    return [*(node for node in latest if node not in used),
            *sorted(asked, key=lambda node: node in used),
            *(node for node in latest if node in used),
            *(("constant", str(v)) for v in values if v in constants)]
