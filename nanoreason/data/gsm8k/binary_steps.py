"""An arithmetic expression as a row of steps of two operands each.

GSM8K writes `100 - 50 - 30 - 15 = 5` in one line; a trace takes one operation at a time,
so that every line has the same few kinds of check and every line can be the wrong one.
Operations are taken in the order in which the expression is worked out, with four
exceptions, all exact:

- `20 / 100 * 50` is `50 * 20%` where the question speaks of 20%, and `0.6 * 50` is
  `50 * 60%` where 60 was worked out;
- `1 / 2 * 60` is `60 / 2`, `30 * (1 / 60)` is `30 / 60`, and `3 / 4 * 60` is `0.75 * 60`
  where the question has the fraction 3/4 in digits (`60 * (2/3)` where no decimal is exact);
- factors are multiplied before they are divided where dividing first is not exact in the
  four decimal places that a trace shows;
- terms are added before they are subtracted where subtracting first goes below zero.
"""
from __future__ import annotations

from fractions import Fraction

from nanoreason.arithmetic.expression import (ArithmeticTextError, Binary, Negative, Node,
                                              Number, value_of)
from nanoreason.data.problem import Operand, Step
from nanoreason.data.verify_lines import compute, write_number
from nanoreason.graph.provenance import CONSTANTS
from nanoreason.graph.quantities import Quantity


class StepError(ValueError):
    """An expression does not come apart into exact binary steps; the message says why."""


def exact(value: Fraction) -> bool:
    """Whether four decimal places show the value exactly."""
    return (value * 10_000).denominator == 1


class BinarySteps:
    """Collects the steps of one solution; `add` takes its expressions one by one.

    steps: what was collected. An operand that a step of the same expression computed has
    kind "step" and that step's number; every other operand has kind "given", wherever it
    comes from: telling that apart is `graph.provenance`'s work.
    """

    def __init__(self, given: tuple[Quantity, ...]):
        self.given = given
        self.steps: list[Step] = []

    def add(self, node: Node) -> Operand:
        """Append the steps of an expression; returns its value as an operand.

        Raises `StepError` and then leaves `steps` as they were.
        """
        count = len(self.steps)
        try:
            value_of(node)
            return self._read(node)
        except (ArithmeticTextError, StepError) as error:
            del self.steps[count:]
            raise StepError(str(error)) from error

    def _step(self, operator: str, left: Operand, right: Operand) -> Operand:
        if operator == "/" and right.value == 0:
            raise StepError(f"division of {left.text} by zero")
        if operator in "*/" and 0 in (left.value, right.value):
            raise StepError(f"{left.text} {operator} {right.text} cannot be undone")
        if operator in "+-" and right.value == 0:
            return left  # `5 + 8 + 0`, of those who got none: there is nothing to work out
        if operator == "+" and left.value == 0:
            return right
        value = compute(operator, left.value, right.value)
        if not exact(value):
            raise StepError(f"{left.text} {operator} {right.text} has no exact decimal")
        self.steps.append(Step(operator, left, right, value, ""))
        return Operand("step", len(self.steps), value, write_number(value))

    def _read(self, node: Node) -> Operand:
        if isinstance(node, Number):
            return _leaf(node)
        if isinstance(node, Negative):
            return self._sum(_terms(node))
        if node.op == "^":
            raise StepError("a power")
        if node.op in "*/":
            return self._product(self._factors(node))
        return self._sum(_terms(node))

    def _sum(self, terms: list[tuple[str, Node]]) -> Operand:
        total, lowest = Fraction(0), Fraction(0)
        for sign, node in terms:
            total += value_of(node) if sign == "+" else -value_of(node)
            lowest = min(lowest, total)
        if lowest < 0 <= total:
            terms = sorted(terms, key=lambda term: term[0] == "-")
        if terms[0][0] == "-":
            raise StepError("a number with a minus sign in front")
        result = self._read(terms[0][1])
        for sign, node in terms[1:]:
            result = self._step(sign, result, self._read(node))
        return result

    def _factors(self, node: Node) -> list[tuple[str, Node]]:
        """Signed factors of a product; a ratio in parentheses only where it must be."""
        if not isinstance(node, Binary) or node.op not in "*/":
            return [("*", node)]
        left, right = self._factors(node.left), node.right
        if node.op == "*" and isinstance(right, Binary) and right.op in "*/":
            one = isinstance(right.left, Number) and right.left.value == 1
            share = self._share(right.left, right.right)
            if one and right.op == "/" and not share:
                return [*left, *self._factors(right)[1:]]  # `30 * (1 / 60)` is `30 / 60`
            if one or not exact(value_of(right)) or share:
                return [*left, *self._factors(right)]
        return [*left, (node.op, right)]

    def _share(self, above: Node, below: Node) -> Operand | None:
        """`20 / 100` or `3 / 4` as one operand, where the question has it as one."""
        if not (isinstance(above, Number) and isinstance(below, Number) and below.value):
            return None
        value = above.value / below.value
        for quantity in self.given:
            if value in quantity.values and not (above.percent or below.percent):
                if below.value == 100 and above.value in quantity.values:
                    return per_cent(value)
                if "/" in quantity.text and value == quantity.values[0]:
                    text = write_number(value)
                    return Operand("given", 0, value, f"({text})" if "/" in text else text)
        return None

    def _joined(self, factors: list[tuple[str, Node]]) -> list[tuple[str, Node | Operand]]:
        """The factors with each `* 20 ... / 100` that is a share joined into one operand."""
        joined = list(factors)
        for k, (sign, above) in enumerate(factors):
            for other, (other_sign, below) in enumerate(factors):
                if sign == "*" and other_sign == "/" and None not in (joined[k], joined[other]):
                    share = self._share(above, below)
                    if share is not None:
                        joined[k], joined[other] = ("*", share), None
                        break
        return [factor for factor in joined if factor is not None]

    def _factor(self, node: Node | Operand) -> Operand:
        """One factor as an operand; `0.2` is `20%` where the question says per cent."""
        if isinstance(node, Operand):
            return node
        if isinstance(node, Number) and not node.percent and 0 < node.value < 1:
            for quantity in self.given:
                if (quantity.values[0] == node.value
                        and 100 * node.value in quantity.values):
                    return per_cent(node.value)
            found = {step.value for step in self.steps}
            known = found.union(CONSTANTS, *(quantity.values for quantity in self.given))
            if node.value not in known and 100 * node.value in found:
                return per_cent(node.value)  # 100 - 40 = 60, and then 0.6 of something
        return self._read(node)

    def _product(self, factors: list[tuple[str, Node]]) -> Operand:
        factors = self._joined(factors)
        # `1 / 2 * 60`, `60 * 1 / 2`: the one has no other sense than to make a fraction.
        stars = [sign for sign, _ in factors].count("*")
        for k in reversed(range(len(factors) - 1)):
            factor, signs = factors[k][1], (factors[k][0], factors[k + 1][0])
            one = isinstance(factor, Number) and factor.value == 1
            if one and signs == ("*", "/") and stars > 1:
                del factors[k]
                stars -= 1
        read = [(sign, self._factor(factor)) for sign, factor in factors]
        times = [k for k, (sign, _) in enumerate(read) if sign == "*"]
        if times[0] or _is_share(read[0][1]) and len(times) > 1:
            # Start from what the share is taken of: `50 * 20%`, not `20% * 50`.
            first = next((k for k in times if not _is_share(read[k][1])), times[0])
            read.insert(0, read.pop(first))
        total = Fraction(1)
        for sign, operand in read:
            total = compute(sign, total, operand.value) if operand.value else Fraction(0)
            if not exact(total):
                read = read[:1] + sorted(read[1:], key=lambda part: part[0] == "/")
                break
        result = read[0][1]
        for sign, operand in read[1:]:
            result = self._step(sign, result, operand)
        return result


def _terms(node: Node) -> list[tuple[str, Node]]:
    """Signed terms of a sum, minus signs in front of a term drawn into its sign."""
    if isinstance(node, Binary) and node.op in "+-":
        sign, right = node.op, node.right
        while isinstance(right, Negative):
            sign, right = "-" if sign == "+" else "+", right.operand
        return [*_terms(node.left), (sign, right)]
    if isinstance(node, Negative):
        return [("-", node.operand)]
    return [("+", node)]


def per_cent(value: Fraction) -> Operand:
    """A share as an operand that is written with a per cent sign."""
    return Operand("given", 0, value, f"{write_number(100 * value)}%")


def _leaf(node: Number) -> Operand:
    if node.percent:
        return per_cent(node.value)
    if not exact(node.value):
        raise StepError(f"{node.text} has more than four decimal places")
    return Operand("given", 0, node.value, write_number(node.value))


def _is_share(operand: Operand) -> bool:
    return operand.text.endswith(("%", ")"))
