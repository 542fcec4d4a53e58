"""Expressions inside prose: which stretches of a token run can be read as arithmetic.

A run is what stands between two equals signs (or a clause's edge) of a free text. It is
read once, left to right, into pieces: `he had 12 apples + 3 apples` holds one piece, with
the strict text `12 + 3`. A piece that cannot be trusted (a variable, a mixed number) is
kept but marked unreadable.
"""
from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from nanoreason.arithmetic.lexer import (CLAUSE_WORDS, DETERMINERS, MULTIPLES, PARTS, SCALES,
                                         UNITS, WORDS, Token, matching)

MAX_UNIT_WORDS = 9
# `90 bees that left - 15 bees` is read so, but believed only where it comes out.
RELATIVE_WORDS = {"that", "he", "she", "they"}
_UNIT_LETTERS = {"a", "m", "g", "h", "s", "l", "L"}  # a metre, or the article
_ABBREVIATIONS = {*WORDS["abbreviations"].split(), *UNITS}
# Words that change the value of the number beside them; it is not read without them.
MULTIPLIERS = {*PARTS, *MULTIPLES, *SCALES, *WORDS["multipliers"].split()}
# Of these, the ones that are also things to count: eggs by the dozen, coins of a quarter.
NOUNS = {**{word: Fraction(n) for word, n in SCALES.items()},
         **{word: Fraction(1, n) for word, n in PARTS.items()}}
# How far a piece is trusted. Loose is what is doubtful only for a word that may change a
# number or be its unit: `5 dozen`, `3 quarters`, `400 fifth graders`.
UNREADABLE, LOOSE, READABLE = range(3)


@dataclass
class Piece:
    """One expression in a run.

    text: strict arithmetic; tokens: those it was read from, without trailing units;
    start, end: its places in the run, trailing units included; trust: UNREADABLE, LOOSE or
    READABLE; unit: the word right after the last operand, "" if there is none; computes: it
    holds an operation; scale: of a loose lone number the word that makes it so; units: what is
    known of its numbers' units, see `lexer.UNITS`; converted: of a sum in which each number has
    such a unit, the sum in the unit of its kind, else ""; ratio: it divides by another unit;
    about: a word like "about" stands before it.
    """

    text: str
    tokens: list[Token]
    start: int
    end: int
    trust: int
    unit: str
    computes: bool
    scale: str
    units: frozenset[tuple[str, str]]
    converted: str
    ratio: bool
    about: bool = False


def read_pieces(run: list[Token], first: bool = True, final: bool = False) -> list[Piece]:
    """All pieces of a run in order. first: no equals sign stands before, so `1/8 of 24` is
    what is asked for; final: none follows, so a dash after a word (`= 5 apples - all that
    is left`) is punctuation."""
    reader, pieces, place = _RunReader(run, first, final), [], 0
    while place < len(run):
        if reader.operand_at(place):
            pieces.append(reader.piece(place))
            place = pieces[-1].end
        else:
            place += 1
    return pieces


class _RunReader:
    """Reads pieces of one run; every call goes forward, so a run costs linear time."""

    def __init__(self, run, first, final):
        self.run = run
        self.first = first
        self.final = final
        self.pairs = matching(run)

    def operand_at(self, place):
        """Whether an operand can start here: a number, a group, or a minus before one."""
        if self.text(place) == "-":
            # "Monday - 3": a dash with a blank after it, after a word, is no sign.
            spaced = place > 0 and not (place + 1 < len(self.run) and self.run[place + 1].tight)
            return not spaced and self.kind(place + 1) in ("number", "open")
        return self.starts_operand(place)

    def piece(self, start):
        """Read the piece that starts at a place, as far as it goes."""
        place, strict, groups, words = start, [], [], 0
        trust, scale = READABLE, ""
        expecting, computes, divided_tightly = True, False, False
        last, end, taken = start, start + 1, False  # the last operand's token, the piece's end
        numbers, names = [], []  # the places in `strict`, each with its unit; units' names
        while place < len(self.run):
            token, operator, width, units = self.run[place], None, 1, 0
            if not expecting and not (groups and token.kind == "close"):
                operator, width = self.operator_at(place, words, strict)
                units = 0 if operator else self.units_at(place, words)
            if token.doubtful and (expecting or operator):
                trust = min(trust, LOOSE)
            if expecting and token.kind in ("number", "unknown"):
                numbers.append((len(strict), token.unit))
                strict.append(token.text)
                trust = trust if token.kind == "number" else UNREADABLE
                expecting = False
            elif expecting and place in self.pairs:
                strict.append("(")
                groups.append(place)
            elif expecting and token.text == "-" and self.starts_operand(place + 1):
                strict.append("-")
            elif operator:
                # "2 / 1/4" means one fourth, "2 / 1 / 4" does not.
                tight = self.tight(place)
                if operator == "/" and strict[-2:-1] == [" / "] and tight != divided_tightly:
                    trust = UNREADABLE
                if words > 1 and len(self.text(place - 1)) == 1 and (
                        self.kind(place - 1) == "word" and self.text(place - 1) not in UNITS):
                    trust = UNREADABLE  # "4 to get x + 10"
                # "6 days would be -25000 + 3000", "8 pens/3 minutes", "= 1/8 of 24"
                # "20% of the 3 + 4": of both, or of the 3.
                if (not width or words and (self.signs(place) or operator == "/" and tight)
                        or token.text in ("of", "của") and not self.first
                        or taken and operator in "+-"):
                    trust = min(trust, LOOSE)
                taken = taken or token.text == "of" and width > 1
                divided_tightly = tight
                strict.append(f" {operator} ")
                expecting = computes = True
            elif units:
                width = units
                if not words:
                    name = self.unit_at(place)
                    names.append(name)
                    if numbers and numbers[-1][1] != "$" and (  # `$0.40/page` are dollars
                            set(strict[numbers[-1][0] + 1:]) <= {")"}):
                        numbers[-1] = (numbers[-1][0], name)
                if token.text == "^" or token.text in ("/", "per"):
                    numbers = [number for number in numbers if number[1] == "$"]
                if token.text in RELATIVE_WORDS or not words and (  # "3/4 of the class", "3(boys)"
                        token.text in ("of", "của") and not self.counts(strict, place)
                        or token.kind == "open" and token.tight):
                    trust = min(trust, LOOSE)
                if not self.harmless(place, words):
                    scale, noun = token.text, token.text in NOUNS and not token.tight
                    trust = min(trust, LOOSE if noun else UNREADABLE)
            elif token.kind == "close" and groups and not expecting:
                strict.append(")")
                groups.pop()
            else:
                if not expecting and self.adjoins(place, words):
                    # "= 80 18-inch planks", but not "= 2 1/2"
                    counts = (token.kind == "number" and not token.tight
                              and self.text(place + 1) != "/")
                    trust = min(trust, LOOSE if counts else UNREADABLE)
                if not groups:
                    break
                place, groups = self.pairs[groups[0]], []
                trust, expecting = UNREADABLE, False
            words = words + units if units else 0
            place += width
            if not expecting and not groups:
                end = place
                last = last if words else place - 1
        return Piece(
            text="".join(strict), tokens=self.run[start : last + 1], start=start, end=end,
            trust=UNREADABLE if expecting else trust,
            unit=self.unit_at(last + 1) if end > last + 1 else "",
            computes=computes, scale="" if computes else scale,
            units=frozenset(UNITS[unit] for _, unit in numbers if unit in UNITS),
            converted=_converted(strict, numbers),
            ratio=len(names) > 1 and " / " in strict and len(set(names)) > 1)

    def starts_operand(self, place):
        """Whether an operand follows an operator: a number, a group, or a sign and one."""
        place += self.text(place) == "-"
        return self.kind(place) in ("number", "unknown") or place in self.pairs

    def operator_at(self, place, words, strict):
        """(operator, how many tokens it is written in, 0 in `2(3 + 4)`); (None, 1) for none."""
        token, two = self.run[place], f"{self.text(place)} {self.text(place + 1)}"
        symbol, width = None if token.math else WORDS["operators"].get(token.text), 1
        if token.kind == "operator":
            dash = token.text == "-" and words and self.final
            symbol = None if dash or (token.text == "^" and words) else token.text
        elif two in WORDS["operators"]:  # "divided by"
            symbol, width = WORDS["operators"][two], 2
        elif token.text in ("of", "của") and not words and _is_share(strict):
            symbol = "*"
            while width <= 2 and self.text(place + width) in DETERMINERS:
                width += 1
        elif not words and token.kind == "open" and token.tight and self.starts_operand(place + 1):
            return "*", 0
        after = place + width
        if token.kind == "word" and self.text(after) == "-":
            symbol = None  # "2x - 5"
        return (symbol, width) if symbol and self.starts_operand(after) else (None, 1)

    def units_at(self, place, words):
        """How many tokens at a place belong to a unit: `apples`, `/hour`, `(apples)`."""
        token = self.run[place]
        if words >= MAX_UNIT_WORDS:
            return 0
        if words and token.text == "^":  # "28 cm^2"
            return 2 if self.kind(place + 1) == "number" else (
                self.pairs.get(place + 1, place - 1) - place + 1)
        relative = words and token.text in RELATIVE_WORDS
        if token.kind == "word" and (relative or token.text not in CLAUSE_WORDS):
            return 1
        if token.text == "/" or self.hyphen_at(place):
            unit = self.text(place + 1)
            letter = words and unit in _UNIT_LETTERS
            if self.kind(place + 1) == "word" and (len(unit) > 1 or letter):
                return 2
        closing = self.pairs.get(place)
        if token.kind == "open" and closing and closing - place <= MAX_UNIT_WORDS:
            inside = self.run[place + 1 : closing]
            if inside and all(token.kind == "word" for token in inside):
                return closing - place + 1
        return 0

    def unit_at(self, place):
        """The first word of a unit, without the bracket or the stroke before it."""
        return self.text(place + (self.kind(place) != "word"))

    def harmless(self, place, words):
        """Whether a unit leaves its number alone; looked at only right after the number."""
        token = self.run[place]
        unit = token if token.kind == "word" else self.run[place + 1]
        if words or self.hyphen_at(place + 1):  # "t-shirts"
            return True
        text = unit.text
        if unit.math or (unit is not token and text.isupper()):  # "2 xy", "4/BC", "2(AB)"
            return len(text) > 1 and (text in UNITS or (
                len(text) > 3 and not text.isupper() and not unit.tight))
        if unit is not token:
            return True
        if token.tight and len(text) < 4:
            return len(text) > 1 and text in _ABBREVIATIONS  # "3x" is a variable, "3rd" no number
        if len(text) == 1 and text.isascii() and text not in _UNIT_LETTERS:
            return False
        return text not in MULTIPLIERS

    def signs(self, place):
        """Whether a minus stands as a sign does: `be -5`, but not `5 - 3` or `5-3`."""
        return (self.text(place) == "-" and not self.run[place].tight
                and self.run[place + 1].tight)

    def adjoins(self, place, words):
        """Whether what ends a piece changes its last number: `2 1/2`, `2 and a half`."""
        token = self.run[place]
        if token.text == "and":
            place += 2 if self.text(place + 1) in ("a", "one", "(") else 1
            fraction = self.kind(place) == "number" and self.text(place + 1) == "/"
            part = self.text(place) in MULTIPLIERS
            return fraction or part and (not words or self.text(place) in ("half", "quarter"))
        if token.kind == "operator":  # "5 + x", but not "5 - that is all"
            after = self.run[place + 1:place + 2]
            return token.text != "-" or any(t.kind == "word" and (
                t.math or len(t.text) == 1 or (t.tight and len(t.text) < 4)) for t in after)
        if words:
            return False
        return token.kind in ("number", "unknown") or (
            token.kind == "open" and (token.tight or token.math))

    def hyphen_at(self, place):
        return self.text(place) == "-" and self.tight(place) and self.kind(place + 1) == "word"

    def tight(self, place):
        """Whether a token has no blank on either side."""
        return self.run[place].tight and any(t.tight for t in self.run[place + 1 : place + 2])

    def kind(self, place):
        return self.run[place].kind if place < len(self.run) else "end"

    def counts(self, strict, place):
        """Whether an `of` behind a result leaves it the whole number that it is: `= 96 of the
        items`, but not `= 1 of the halves`."""
        return (not self.first and len(strict) == 1 and strict[0].isdigit()
                and int(strict[0]) > 1 and self.text(place + 1) in DETERMINERS)

    def text(self, place):
        return self.run[place].text if place < len(self.run) else ""


def _converted(strict, numbers):
    """A sum with each number times its unit's amount; "" of other pieces."""
    if not numbers or not numbers[0][1]:
        return ""
    amounts = {place: UNITS[unit][1] for place, unit in numbers if unit in UNITS}
    rest = [part for place, part in enumerate(strict) if place not in amounts]
    if len({UNITS[unit][0] for _, unit in numbers if unit in UNITS}) != 1 or not (
            set(rest) <= {" + ", " - ", "(", ")"}):
        return ""
    return "".join(f"{part} * {amounts[place]}" if place in amounts else part
                   for place, part in enumerate(strict))


def _is_share(strict):
    """Whether what was read ends with a percentage, a fraction or a group: `3/4 of 8`."""
    return strict[-1].endswith("%") or strict[-1] == ")" or strict[-2:-1] == [" / "]
