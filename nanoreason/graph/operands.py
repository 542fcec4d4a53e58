"""An equation of EXECUTE as its operands, in order, and the value that it claims.

An operand is mostly a number. So is a negative result (`-2 + 10`), and a fraction that the
question has as one quantity (`3/4`).
"""
from __future__ import annotations

from collections.abc import Collection, Sequence
from fractions import Fraction

from nanoreason.arithmetic.equations import Equation, read_equations
from nanoreason.arithmetic.expression import (ArithmeticTextError, Binary, Negative, Node,
                                              Number, parse_expression, value_of)
from nanoreason.graph.quantities import Quantity


def _sides(equation: Equation) -> tuple[Node, Fraction] | None:
    """What an equation computes, and the value that it claims; None if unreadable."""
    try:
        left, right = parse_expression(equation.left), parse_expression(equation.right)
        if isinstance(left, Number) and not isinstance(right, Number):
            left, right = right, left  # `72 = 24 + 48` claims 72 too
        value, worked_out = value_of(right), value_of(left)
        # `1 / 4 * 100 = 25%` claims 25: a lone percentage may stand for its number.
        if isinstance(right, Number) and right.percent and 100 * value == worked_out:
            value *= 100
        return left, value
    except ArithmeticTextError:
        return None


def readable(text: str) -> list[tuple[Equation, Node, Fraction]]:
    """The equations of a line that can be read, with what each computes and claims."""
    found = [(equation, _sides(equation)) for equation in read_equations(text)]
    return [(equation, *sides) for equation, sides in found if sides]


class Operands:
    """Reads expressions as rows of operands, by the quantities of the question."""

    def __init__(self, given: Sequence[Quantity]):
        self.given = given

    def read(self, tree: Node, results: Collection[Fraction]) -> tuple[Node, list[Number]]:
        """The expression with every operand as one Number, and these in order.

        results: the values that were computed before.
        """
        numbers: list[Number] = []
        return self._read(tree, results, numbers), numbers

    def _read(self, tree: Node, results: Collection[Fraction], numbers: list[Number]) -> Node:
        whole = self._one_operand(tree, results)
        if whole is not None:
            numbers.append(whole)
            return whole
        if isinstance(tree, Negative):
            return Negative(self._read(tree.operand, results, numbers))
        if tree.op == "/" and isinstance(tree.left, Binary) and tree.left.op == "*":
            share = self._written_fraction(tree.left.right, tree.right)
            if share:  # `80 * 3/4` is read as (80 * 3) / 4
                tree = Binary("*", tree.left.left, share)
        return Binary(tree.op, self._read(tree.left, results, numbers),
                      self._read(tree.right, results, numbers))

    def _one_operand(self, tree: Node, results) -> Number | None:
        """The number that an expression is when it is a single operand, else None."""
        if isinstance(tree, Number):
            return tree
        if isinstance(tree, Negative) and isinstance(tree.operand, Number):
            value = -tree.operand.value
            known = value in results
            return Number(value, f"-{tree.operand.text}") if known else None
        if isinstance(tree, Binary) and tree.op == "/":
            return self._written_fraction(tree.left, tree.right)
        return None

    def _written_fraction(self, above: Node, below: Node) -> Number | None:
        """`3/4` as one number where the question has that share as one quantity."""
        if any(not isinstance(part, Number) or part.percent for part in (above, below)):
            return None
        if not below.value:
            return None
        share = above.value / below.value
        given = {value for quantity in self.given for value in quantity.values}
        apart = {above.value, below.value} <= given  # the question may mean 3 of 4
        lowest = (share.numerator, share.denominator) == (above.value, below.value)
        for quantity in self.given:
            written = "/" in quantity.text and share == quantity.values[0]
            if written or share in quantity.values and lowest and not apart:
                return Number(share, f"{above.text}/{below.text}")
        return None
