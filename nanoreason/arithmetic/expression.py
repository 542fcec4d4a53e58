"""Exact arithmetic on untrusted text: a small parser and its evaluation in fractions.

A model writes the text, so nothing of it is ever run: the characters become tokens, the
tokens a tree of three node kinds, and the tree a `Fraction`. There are no names, no
calls and no floats. Length, nesting, digits and the size of every intermediate value are
bounded, so that `9**9**9` is refused at once and not computed for an hour.

Grammar, loosest first: `+ -`, then `* /`, then unary minus, then `^` (to the right, so
-2^2 is -4 and 2^3^2 is 2^9), then a postfix `%` (20% is 1/5). `**` is `^`; `×`, `·` and
`⋅` are `*`; `÷` is `/`; the Unicode minus is `-`. Numbers are ASCII digits with an
optional decimal part and correct thousands commas, after an optional currency sign.
"""
from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from operator import add, mul, sub, truediv
from unicodedata import normalize

from nanoreason.arithmetic.lexer import CURRENCY, MAX_DIGITS, NUMBER, OPERATORS
from nanoreason.host import Told

MAX_CHARACTERS = 500
WHOLE = 100  # from here on a whole number may be a rounded one; 7 / 2 is not 4
_REPEATING = 12  # the largest denominator of a fraction that a decimal is taken to round
MAX_NESTING = 40  # parentheses, unary minuses and towers of powers together
MAX_BITS = 4096  # of the numerator and of the denominator of every value on the way

OPERATIONS = {"+": add, "-": sub, "*": mul, "/": truediv}  # a power is bounded, see `_power`
_TOKEN = re.compile(rf"{CURRENCY}?\s*({NUMBER})|(\*\*|[-+*/^()%−×·⋅÷])|(\S)")
# Letters that Vietnamese has and other languages in Latin letters hardly have.
_VIETNAMESE = re.compile("[ăđơưĂĐƠƯ\u1ea0-\u1ef9]")
_ACCENTED = re.compile("[à-ãèéêìíò-õùúýĩũăđơư\u1ea0-\u1ef9]", re.IGNORECASE)
_WORD = re.compile(r"[^\W\d_]{2,}")


class ArithmeticTextError(Told, ValueError):
    """A text is not arithmetic that this module reads, or is beyond its bounds."""


@dataclass(frozen=True)
class Number:
    """A number as written. text: without currency; "20%" has value 1/5, percent True."""

    value: Fraction
    text: str
    percent: bool = False


@dataclass(frozen=True)
class Negative:
    """Unary minus."""

    operand: Number | Negative | Binary


@dataclass(frozen=True)
class Binary:
    """One operation. op: "+", "-", "*", "/" or "^", however it was written."""

    op: str
    left: Number | Negative | Binary
    right: Number | Negative | Binary


Node = Number | Negative | Binary
_HUNDRED_PER_CENT = Number(Fraction(1), "100%", percent=True)


def evaluate(text: str) -> Fraction:
    """The exact value of an arithmetic text such as `3 * (4 + 1/2)`, as a Fraction.

    Digits, decimals, percentages, + - * / ^ and parentheses are read, nothing is run. Raises
    ArithmeticTextError, with the reason, for anything else and beyond the bounds of this module.
    """
    return value_of(parse_expression(text))


def value_or_none(text: str | Node | None) -> Fraction | None:
    """The exact value of an arithmetic text, or of a parsed one; None where it is refused, or where
    there is none."""
    try:
        return value_of(text) if isinstance(text, Node) else evaluate(text)
    except ArithmeticTextError:
        return None


def parse_expression(text: str) -> Node:
    """Read a whole text as one expression, without evaluating it.

    Left-associative operators lean left, as deep as the text has operators; every other
    nesting is at most MAX_NESTING. Raises ArithmeticTextError.
    """
    if not isinstance(text, str):
        raise ArithmeticTextError(f"not a text: {text!r}")
    if len(text) > MAX_CHARACTERS:
        raise ArithmeticTextError(
            f"{len(text)} characters, at most {MAX_CHARACTERS}: {text[:40]!r}...")
    return _parse(text)


@lru_cache(maxsize=4096)  # most sides of equations are one of a few thousand small numbers
def _parse(text: str) -> Node:
    reader = _Reader(text)
    node = reader.sum()
    if reader.symbol is not None or reader.number is not None:
        raise reader.error("expected an operator or the end")
    return node


def value_of(node: Node) -> Fraction:
    """The exact value of a parsed expression.

    Raises ArithmeticTextError for a division by zero, an exponent that is not whole, and
    a value of more than MAX_BITS bits anywhere on the way.
    """
    # The left side of a long sum is walked, not recursed into: its depth is unbounded.
    pending = []
    while isinstance(node, Binary):
        pending.append(node)
        node = node.left
    value = node.value if isinstance(node, Number) else -value_of(node.operand)
    for parent in reversed(pending):
        value = _combine(parent.op, value, value_of(parent.right))
    return value


def _combine(sign, left, right):
    if sign == "/" and right == 0:
        raise ArithmeticTextError(f"division of {_short(left)} by zero")
    value = _power(left, right) if sign == "^" else OPERATIONS[sign](left, right)
    if _bits(value) > MAX_BITS:
        raise ArithmeticTextError(f"a value has more than {MAX_BITS} bits")
    return value


def _power(base, exponent):
    if exponent.denominator != 1:
        raise ArithmeticTextError(f"the exponent {_short(exponent)} is not whole")
    if base == 0 and exponent < 0:
        raise ArithmeticTextError("zero to a negative power is a division by zero")
    # A base of n bits to the power e has more than (n - 1) * e bits.
    if abs(exponent) > MAX_BITS or (_bits(base) - 1) * abs(exponent) > MAX_BITS:
        raise ArithmeticTextError(f"the power {_short(base)}^{_short(exponent)} is too large")
    return base ** int(exponent)


def _bits(value):
    return max(value.numerator.bit_length(), value.denominator.bit_length())


def _short(value):
    return str(value) if _bits(value) <= 64 else f"a number of {_bits(value)} bits"


def grown(node: Node) -> Fraction | None:
    """What `200 + 10%` comes to for those who mean 10 % of the 200; None of other texts."""
    if (isinstance(node, Binary) and node.op in "+-" and is_percentage(node.right)
            and not is_percentage(node.left)):
        share = value_of(node.right)
        return value_of(node.left) * (1 + share if node.op == "+" else 1 - share)
    return None


def meant(node: Node) -> Fraction:
    """The value of an expression whose decimals stand for the simple fractions that they
    round: `0.67 * 60` is 40. Of others, and where that has no value, the value itself."""
    simple = value_or_none(_restored(node))
    return value_of(node) if simple is None else simple


def _restored(node):
    if isinstance(node, Binary):
        return Binary(node.op, _restored(node.left), _restored(node.right))
    if isinstance(node, Negative):
        return Negative(_restored(node.operand))
    simple, unit = node.value.limit_denominator(_REPEATING), last_place(node)
    near = unit < Fraction(1, 10) and abs(simple - node.value) <= unit / 2
    return Number(simple if near else node.value, node.text, node.percent)


def rounds(number: Node, exact: Fraction) -> bool:
    """Whether a number is an exact value rounded to the places that it shows or cut there,
    or as near as a computer's own numbers are."""
    shown, unit = value_of(number), last_place(number)
    gap, scale = abs(exact - shown), _mantissa(number)[1]
    if unit.denominator == scale.denominator == 1 and abs(shown) < WHOLE:
        return gap == 0
    cut = unit / scale < Fraction(1, 10) and gap < unit and abs(shown) < abs(exact)
    return gap <= unit / 2 or cut or gap * 10 ** 14 < abs(exact)


def _mantissa(node):
    """The one number of which an expression consists, without its sign, and the power of ten
    that it is multiplied by (`-3.6 * 10^24`); None for the number in others."""
    scale = Fraction(1)
    if isinstance(node, Binary) and node.op == "*" and isinstance(node.right, Binary) and (
            (node.right.op, node.right.left) == ("^", Number(Fraction(10), "10"))):
        node, scale = node.left, value_of(node.right)
    node = node.operand if isinstance(node, Negative) else node
    return node if isinstance(node, Number) else None, scale


def is_number(node: Node) -> bool:
    """Whether an expression is one number, with a sign or without, also times a power of ten."""
    return _mantissa(node)[0] is not None


def last_place(node: Node) -> Fraction:
    """What the last digit of a written number counts: 1/100 for 14.29, 100 for 3.5 * 10^3."""
    number, scale = _mantissa(node)
    unit = scale / 10 ** len(number.text.rstrip("%").partition(".")[2])
    return unit / 100 if number.percent else unit


def is_percentage(node: Node) -> bool:
    """Whether an expression comes to a percentage: `20%`, `100% - 20%`, `1/5 * 100%`."""
    if isinstance(node, Binary) and node.op in "+-":
        return is_percentage(node.left) and is_percentage(node.right)
    if isinstance(node, Binary) and node.op == "*":
        return node.right == _HUNDRED_PER_CENT
    return isinstance(node, Number) and node.percent


class _Reader:
    """Recursive descent over the tokens; `number` or `symbol` is the one looked at."""

    def __init__(self, text):
        self.text = text
        self.tokens = _TOKEN.finditer(text)
        self.nesting = 0
        self.advance()

    def advance(self):
        self.match = next(self.tokens, None)
        self.number, self.symbol, other = self.match.groups() if self.match else [None] * 3
        if other:
            raise self.error("not a character of arithmetic")
        self.symbol = OPERATORS.get(self.symbol, self.symbol)

    def error(self, reason):
        place = self.match.start() if self.match else len(self.text)
        found = self.match.group() if self.match else "the end"
        return ArithmeticTextError(f"{reason} at character {place} ({found!r}): {self.text!r}")

    def sum(self):
        return self.row(("+", "-"), lambda: self.row(("*", "/"), self.signed))

    def row(self, operators, part):
        node = part()
        while self.symbol in operators:
            node = Binary(self.take(), node, part())
        return node

    def signed(self):
        if self.symbol == "-":
            self.take()
            return Negative(self.deeper(self.signed))
        return self.power()

    def power(self):
        node = self.percentage()
        if self.symbol == "^":
            return Binary(self.take(), node, self.deeper(self.signed))
        return node

    def percentage(self):
        node = self.primary()
        if self.symbol != "%":
            return node
        self.take()
        if isinstance(node, Number):
            return Number(node.value / 100, node.text + "%", percent=True)
        return Binary("/", node, Number(Fraction(100), "100"))

    def primary(self):
        if self.symbol == "(":
            self.take()
            node = self.deeper(self.sum)
            if self.symbol != ")":
                raise self.error("expected a closing parenthesis")
            self.take()
            return node
        if self.number is None:
            raise self.error("expected a number")
        text = self.number
        if len(text) > MAX_DIGITS:
            raise self.error(f"a number of more than {MAX_DIGITS} digits")
        self.advance()
        return Number(Fraction(text.replace(",", "")), text)

    def take(self):
        symbol = self.symbol
        self.advance()
        return symbol

    def deeper(self, read):
        self.nesting += 1
        if self.nesting > MAX_NESTING:
            raise self.error(f"nested more than {MAX_NESTING} deep")
        node = read()
        self.nesting -= 1
        return node


def is_vietnamese(text: str) -> bool:
    """Whether a fifth of a text's words, and two at least, have letters of Vietnamese, or two have
    and a third of all have accents, or one and half: one name does not make a question Vietnamese.
    Single letters, as those of formulas and answers to choose from, are no words."""
    words = [] if text.isascii() else _WORD.findall(normalize("NFC", text))
    marked, accented = (sum(letters.search(word) is not None for word in words)
                        for letters in (_VIETNAMESE, _ACCENTED))
    return marked >= 2 and max(5 * marked, 3 * accented) >= len(words) or (
        marked > 0 and accented > 2 and 2 * accented >= len(words))


def language_of(text: str) -> str:
    """The language of a text: "vi" for Vietnamese, else "en"."""
    return "vi" if is_vietnamese(text) else "en"
