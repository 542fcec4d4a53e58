"""Where an operand comes from: the one rule of teacher, filter and scores alike.

EXECUTE shows numbers alone, so a source is found by its value, and `possible_sources` fixes an
order: no weight and no wording stands in it. Where a value has several sources, the operand is
*ambiguous* and the rule's choice a convention. Where a solution means another source, the teacher
lets PLAN say so, and every reader of a trace goes by it:

    Find the pens in the small boxes, using the result of step 1 and the 3rd given.

The givens are counted as UNDERSTAND lists them.

Named constants are the numbers that a solution may use though no question states them. Twelve is
a constant where the question speaks of dozens, months, years or feet, not everywhere: a table
that always holds would explain almost any small number. So each entry has the words that must
stand in the question, as a pattern of word beginnings.
"""
from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from fractions import Fraction
from functools import lru_cache

from nanoreason.arithmetic.expression import Number
from nanoreason.graph.quantities import Quantity

_PART = r"half|halv|quarter|third|fourth|fifth|sixth|seventh|eighth|ninth|tenth|[0-9]/[0-9]"
_PERCENT = r"percent|per\s+cent|[0-9]\s?%"
# `Ann has 8 more than Ben; together they have 66`: of Ben's, there are one and one.
_SUM, _MORE = r"(?:total|together|sum|combined|in\s+all)", r"(?:more|less|fewer|older|younger)"
_COMPARED = rf"{_SUM}\b.{{0,300}}\b{_MORE}\b|{_MORE}\b.{{0,300}}\b{_SUM}\b"
_MONTHS = (r"january|february|march|april|june|july|august|september|october|november|"
           r"december")

# value, what it stands for, the words of the question that speak of it
_TABLE: tuple[tuple[str, str, str], ...] = (
    ("1", "the whole, one more",
     rf"{_PART}|{_PERCENT}|{_COMPARED}|another|others?\b|including|himself|herself|"
     r"friends|siblings|cousins|brothers|sisters|wife|(?:next|last)\s+year|beat|lose|loses|"
     r"shared?\b|twice|thrice|triple|doubl|times\s+(?:as|more|the|what|that)"),
    ("2", "halves of a whole, one for each of a pair",
     rf"{_COMPARED}|half|halv|pair|both|coupl|average|twin|each\s+other|round\s+trip|rectang|"
     r"weekend|every\s+other|ways?\b|back\b|twice|doubl|parents|split|equally|wife|husband|"
     r"perimeter|the\s+other|to\s+and\s+from|legs|wheels|wings|eyes|ears|radius|diameter|"
     r"bicycl|motorcycl|get\s+one|"
     r"each\s+(?:arm|ear|eye|hand|leg|shoe|cuff)\b|"
     r"and\s+(?:his|her)\s+(?:brother|sister|friend|dad|mom|father|mother|son|daughter)\b"),
    ("3", "feet a yard, months a quarter",
     r"yard|feet|foot|quarter|triangle|tricycle|average|every\s+third"),
    ("4", "quarters of a whole, weeks a month, quarts a gallon",
     r"quarter|month|quart|gallon|square|rectang|fourth|season|legs|tires|wheels|dogs|cows|cars|"
     r"sheep|goats|horses"),
    ("5", "working days a week, cents a nickel",
     r"nickel|monday|friday|weekday|work\s?week|work\s?day|(?:work|school|class)(?=.{0,200}week)|"
     r"week(?=.{0,200}(?:work|school|class))"),
    ("7", "days a week", r"week|daily|day"),
    ("8", "pints a gallon, ounces a cup", r"pint|gallon|ounce|\bcups?\b"),
    ("10", "cents a dime, years a decade", r"dime|decade|millimet|centimet"),
    ("12", "a dozen, months a year, inches a foot",
     r"dozen|month|year|annual|inch|feet|foot|noon|midnight|[ap]\.?m\b|o'?clock"),
    ("16", "ounces a pound", r"ounce|pound"),
    ("32", "ounces a quart", r"quarts?\b(?=.*ounce)|ounce(?=.*quart)"),
    ("24", "hours a day", r"hour|day\b|days\b|daily"),
    ("25", "cents a quarter", r"quarters?\b"),
    ("30", "days a month, minutes in half an hour", rf"month|minute|half\s+an?\s+hour|{_MONTHS}"),
    ("31", "days in a long month", rf"month|{_MONTHS}"),
    ("36", "inches a yard", r"yard|inch"),
    ("52", "weeks a year", r"year|annual|week"),
    ("60", "minutes an hour, seconds a minute",
     r"hour|minute|seconds\b|(?:per|a|every)\s+second\b|speed|mph|[ap]\.?m\b|[0-9]:[0-9]"),
    ("90", "degrees in a right angle", r"right\s+angle|degree"),
    ("100", "per cent, cents a dollar, centimetres a metre, years a century",
     rf"{_PERCENT}|cent|dollar|pen(?:ny|nies)|met(?:er|re)|dime|nickel|quarter|discount"),
    ("128", "ounces a gallon", r"gallon"),
    ("180", "degrees of a triangle's angles", r"angle|degree"),
    ("360", "degrees of a circle", r"circle|degree"),
    ("365", "days a year", r"year|annual"),
    ("1000", "metres a kilometre, grams a kilogram",
     r"kilo|\bk[mg]\b|met(?:er|re)|gram|lit(?:er|re)|\bm?l\b|ton"),
    ("2000", "pounds a ton", r"tons?\b"),
    ("3600", "seconds an hour", r"hour|second"),
    ("5280", "feet a mile", r"mile|feet|foot"),
    ("1/2", "half of a whole", r"half|halv|minutes"),
    ("1/4", "dollars a quarter, a quarter of a whole", r"quarter"),
    ("1/10", "dollars a dime", r"dime"),
    ("1/20", "dollars a nickel", r"nickel"),
    ("1/100", "one per cent, dollars a cent", rf"{_PERCENT}|cent|pen(?:ny|nies)"),
)
CONSTANTS: dict[Fraction, str] = {Fraction(value): name for value, name, _ in _TABLE}
_WORDS = {Fraction(value): re.compile(rf"(?<![^\W\d_])(?:{words})", re.IGNORECASE)
          for value, _, words in _TABLE}


_NAMED = re.compile(r"\b[A-Z][a-z]+((?:, [A-Z][a-z]+)*),? and [A-Z][a-z]+\b")
_ORDINAL = re.compile(r"\b([0-9]{1,4})(?:st|nd|rd|th)\b")
_DAYS = "monday tuesday wednesday thursday friday saturday sunday".split()
_YEAR = _MONTHS.replace("april", "april|may").split("|")  # alone, `may` is mostly a verb
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
    """The nodes (see `graph`) that a line of PLAN names, in order; most lines name none."""
    found = []
    for name in _NAMES.finditer(line):
        if name["step"]:
            found.append(("step", int(name["step"])))
        elif name["given"]:
            found.append(("given", int(name["given"]) - 1))
        else:
            found.append(("constant", str(Fraction(name["constant"]))))
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
                     given: Sequence[Quantity], constants: Collection[Fraction] = CONSTANTS
                     ) -> list[tuple]:
    """Every node that an operand may come from, the one that the rule takes first; maybe none.

    In this order: the earlier results not yet used (latest first), the quantities of the
    question (by position, those not yet used first), the earlier results already used
    (latest first), a named constant.

    number: the operand; `20%` may also be the number 20. results: earlier step nodes in order
    with their values. used: the nodes that some operand came from already; the caller keeps
    it. constants: those that the question speaks of.
    """
    values = (number.value, 100 * number.value) if number.percent else (number.value,)
    latest = [node for node in reversed(results) if results[node] in values]
    asked = [("given", quantity.index) for quantity in given
             if any(v in quantity.values for v in values)]
    return [*(node for node in latest if node not in used),
            *sorted(asked, key=lambda node: node in used),
            *(node for node in latest if node in used),
            *(("constant", str(v)) for v in values if v in constants)]
