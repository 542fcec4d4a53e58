"""Linear equations in one unknown: what a solution by algebra works out, as arithmetic.

`Let x be the pens; x + (12 + 5x) = 108; 6x + 12 = 108; 6x = 96; x = 16` calculates
`(108 - 12) / (1 + 5) = 16`, only with a letter in between. EXECUTE has no letters, so an
equation is brought to `a x = c`, with a and c still as expressions over the numbers that the
equation states, and handed on as the expression `c / a`. An equation that holds whatever the
unknown is (`4(2x) = 8x`, `11 + 7 + y = 18 + y`) gives what it works out of a and of c.

Read are lines of numbers, one letter, `+ - * /`, parentheses and implied products; everything
else (two letters, a product of unknowns, a word inside) is passed over: the caller then has
no steps, and says so.
"""
from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from itertools import product

from nanoreason.arithmetic.expression import (ArithmeticTextError, Binary, Negative, Node, Number,
                                              parse_expression, value_of)
from nanoreason.data.problem import write_number

ANNOTATION = re.compile(r"<<([^<>]*)>>")
_LETTER = re.compile(r"(?<![^\W\d_])([^\W\d_aAI])(?![^\W\d_]|['’.])")
_SYMBOLS = str.maketrans({"×": "*", "·": "*", "÷": "/", "−": "-", "–": "-", "[": "(", "]": ")",
                          **dict.fromkeys("$€£¥₫¢₹₺₣₩₽฿₱₦₪", " ")})
_ONE = Number(Fraction(1), "1")
# What the parser reads in place of the letter: digits that no solution writes.
_UNKNOWN = "9081726354"


@dataclass(frozen=True)
class Linear:
    """a x + c: each an expression, None for nothing."""

    a: Node | None
    c: Node | None


def solved(steps: Sequence[str]) -> dict[int, list[Node]]:
    """What equations in an unknown work out: expressions by position of the step.

    Of each letter the first equation that determines it counts; the later ones only simplify,
    until one states its value (`x = 10`): what is then said of it is worked out (`2x = 20`).
    """
    texts = [without_annotations(step).translate(_SYMBOLS) for step in steps]
    letters = dict.fromkeys(letter for text in texts for letter in _LETTER.findall(text))
    found: dict[int, list[Node]] = {}
    values: dict[str, Fraction] = {}
    stated = set()
    for (number, text), letter in product(enumerate(texts), letters):
        for sides in _equations(text, letter):
            with suppress(ArithmeticTextError):
                read = [_read(side, letter) for side in sides]
                for left, right in zip(read, read[1:]):
                    nodes = _worked_out(left, right, letter not in values)
                    if nodes and not _same(left, right):
                        values[letter] = value_of(nodes[0])
                    if letter in stated:
                        nodes += _said(left, right, values[letter])
                    if nodes:
                        found.setdefault(number, []).extend(nodes)
                    if left == Linear(_ONE, None) and letter in values and (
                            right == Linear(None, _number(values[letter]))):
                        stated.add(letter)
    return found


def without_annotations(step: str) -> str:
    """A solution's line with its calculator annotations blanked out: places stay as they are."""
    return ANNOTATION.sub(lambda mark: " " * len(mark[0]), step)


def _equations(text: str, letter: str) -> Iterator[list[str]]:
    """The stretches of a text that hold nothing but arithmetic and one letter, at their `=`."""
    alone = rf"(?<![^\W\d_]){letter}(?![^\W\d_])"
    for run in re.finditer(rf"(?:{alone}|[-+*/()0-9.,=\s])+", text):
        for part in re.split(r"[.,](?:\s|$)", run[0]):
            if "=" in part and letter in part:
                yield [side.strip() for side in part.strip(" =.,").split("=")]


def _read(side: str, letter: str) -> Linear:
    """One side of an equation; `4(2x)` and `3x` are products."""
    side = re.sub(rf"(?<=[\d.)]|{letter})\s*(?=[({letter}])", "*", side)
    return _linear(parse_expression(side.replace(letter, f' {_UNKNOWN} ')))


def _linear(node: Node) -> Linear:
    if isinstance(node, Number):
        number = Number(node.value, node.text.replace(",", ""))
        return Linear(_ONE, None) if node.text == _UNKNOWN else Linear(None, number)
    if isinstance(node, Negative):
        return _add("-", Linear(None, None), _linear(node.operand))
    combine = _add if node.op in "+-" else _scale
    return combine(node.op, _linear(node.left), _linear(node.right))


def _add(sign: str, left: Linear, right: Linear) -> Linear:
    return Linear(_sum(sign, left.a, right.a), _sum(sign, left.c, right.c))


def _sum(sign: str, left: Node | None, right: Node | None) -> Node | None:
    if right is None:
        return left
    if left is None:
        return right if sign == "+" else _negated(right)
    if isinstance(right, Negative):  # what a trace writes has no signs: `15 + 5`, not `15 - (-5)`
        return _sum("-" if sign == "+" else "+", left, right.operand)
    if isinstance(right, Binary) and right.op in "+-" and _starts_negative(right):
        left = _sum(sign, left, right.left)
        return _sum("+" if sign == right.op else "-", left, right.right)
    return Binary(sign, left, right)


def _negated(node: Node) -> Node:
    return node.operand if isinstance(node, Negative) else Negative(node)


def _starts_negative(node: Node) -> bool:
    while isinstance(node, Binary) and node.op in "+-":
        node = node.left
    return isinstance(node, Negative)


def _scale(sign: str, left: Linear, right: Linear) -> Linear:
    if left.a is None and sign == "*":
        left, right = right, left
    if right.a is not None or right.c is None:
        raise ArithmeticTextError("not linear")
    return Linear(*(None if part is None else
                    _times(right.c, part) if sign == "*" else _over(part, right.c)
                    for part in (left.a, left.c)))


def _times(left: Node, right: Node) -> Node:
    if isinstance(left, Negative):
        return _negated(_times(left.operand, right))
    if isinstance(right, Negative):
        return _negated(_times(left, right.operand))
    return left if right == _ONE else right if left == _ONE else Binary("*", left, right)


def _over(above: Node, below: Node) -> Node:
    if isinstance(above, Negative):
        return _negated(_over(above.operand, below))
    return Binary("/", above, below)


def _value(node: Node | None) -> Fraction:
    return Fraction(0) if node is None else value_of(node)


def _same(left: Linear, right: Linear) -> bool:
    return (_value(left.a), _value(left.c)) == (_value(right.a), _value(right.c))


def _worked_out(left: Linear, right: Linear, wanted: bool) -> list[Node]:
    """What one equation calculates: its solution, or what both sides of an identity are."""
    if left.a is None and right.a is None:
        return []
    if _same(left, right):
        return [one for one, other in ((left.a, right.a), (left.c, right.c))
                if isinstance(one, Binary) and isinstance(other, Number)]
    a, c = _sum("-", left.a, right.a), _sum("-", right.c, left.c)
    if _value(a) < 0:
        a, c = _sum("-", right.a, left.a), _sum("-", left.c, right.c)
    if not wanted or _value(a) == 0 or c is None:
        return []
    node = c if a == _ONE else Binary("/", c, a)
    return [node] if isinstance(node, Binary) else []


def _number(value: Fraction) -> Number:
    return Number(value, write_number(value))


def _said(left: Linear, right: Linear, value: Fraction) -> list[Node]:
    """What `2x - 5 = 15` says of an unknown of known value, with the value in place of it."""
    if left.a is None or right.a is not None:
        return []
    node = _sum("+", _times(left.a, _number(value)), left.c)
    return [node] if isinstance(node, Binary) and value_of(node) == _value(right.c) else []
