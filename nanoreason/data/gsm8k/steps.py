"""Steps of two operands each: those of an expression, and those that a solution implies.

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

Some steps a solution takes in its head: `1 + 20% = 1.2` before `50 * 1.2 = 60`. It multiplies
by 1.2 where the question says 20 % more, by 0.8 where it says 20 % off, takes 80 for the per
cent that are left, divides by 3 where one has twice as many as the other, by 14 where it says
two weeks. Nothing in the question has that value; one step from a quantity of the question
does, and a trace must show it. Completed so are a share, a percentage and a multiple, with the
one or the hundred that the question's words license, and a measure in another unit, and only
where its value has no other source and one quantity alone explains it.

`150 / 2` where the question says 50 % becomes `150 * 50%`: the same operation, by the
number that the question gives.
"""
from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import replace
from fractions import Fraction
from itertools import permutations

from nanoreason.arithmetic.expression import (ArithmeticTextError, Binary, Negative, Node,
                                              Number, value_of)
from nanoreason.arithmetic.lexer import MULTIPLES, PARTS
from nanoreason.data.problem import Operand, Step, compute, write_number
from nanoreason.graph.provenance import CONSTANTS, UNITS, constants_of
from nanoreason.graph.quantities import Quantity, quantities

_TIMES = re.compile(r"\s+times\b(?!\s+(?:a|per|each|every)\b)", re.IGNORECASE)
_COMPANY = re.compile(  # four friends, and the one whose friends they are
    r"(?:\s+(?!of|more|fewer|older|younger)\w+|\s+of\s+(?:his|her|their))?\s+"
    r"(?:friends|siblings|brothers|sisters|cousins|others|roommates|classmates|co-?workers|"
    r"colleagues|neighbors)\b", re.IGNORECASE)
_UNIT = re.compile(r"[\s-]*(?:(?:of|more|full|whole|the|and|a|an)\s+)*([^\W\d_]+)")


class StepError(ValueError):
    """An expression does not come apart into exact binary steps; the message says why."""


def exact(value: Fraction) -> bool:
    """Whether four decimal places show the value exactly."""
    return (value * 10_000).denominator == 1


def as_operand(value: Fraction, kind: str = "given", index: int = 0) -> Operand:
    """A number as an operand."""
    return Operand(kind, index, value, write_number(value))


def per_cent(value: Fraction) -> Operand:
    """A share as an operand that is written with a per cent sign."""
    return Operand("given", 0, value, f"{write_number(100 * value)}%")


def _fraction(value: Fraction) -> Operand:
    """A share as an operand, in parentheses where no decimal shows it."""
    text = write_number(value)
    return Operand("given", 0, value, f"({text})" if "/" in text else text)


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
        return as_operand(value, "step", len(self.steps))

    def _read(self, node: Node) -> Operand:
        if isinstance(node, Number):
            if not node.percent and not exact(node.value):
                raise StepError(f"{node.text} has more than four decimal places")
            return per_cent(node.value) if node.percent else as_operand(node.value)
        if isinstance(node, Binary) and node.op == "^":
            raise StepError("a power")
        if isinstance(node, Binary) and node.op in "*/":
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
        return self._in_order((sign, self._read(node)) for sign, node in terms)

    def _in_order(self, operands: Iterable[tuple[str, Operand]]) -> Operand:
        """The steps that take operands one after the other; the first has no sign of its own."""
        operands = iter(operands)
        result = next(operands)[1]
        for sign, operand in operands:
            result = self._step(sign, result, operand)
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
                    return _fraction(value)
        return None

    def _joined(self, factors: list[tuple[str, Node]]) -> list[tuple[str, Node | Operand]]:
        """The factors with each `* 20 ... / 100` that is a share joined into one operand."""
        joined = list(factors)
        for (k, (sign, above)), (other, (other_sign, below)) in permutations(enumerate(factors), 2):
            if (sign, other_sign) == ("*", "/") and joined[k] is factors[k] and joined[other]:
                share = self._share(above, below)
                if share is not None:
                    joined[k], joined[other] = ("*", share), None
        return [factor for factor in joined if factor is not None]

    def _factor(self, node: Node | Operand) -> Operand:
        """One factor as an operand; `0.2` is `20%` where the question says per cent."""
        if isinstance(node, Operand):
            return node
        if isinstance(node, Number) and not node.percent and 0 < node.value < 1:
            given = [quantity.values for quantity in self.given]
            stated = any(values[0] == node.value and 100 * node.value in values
                         for values in given)
            found = {step.value for step in self.steps}  # 100 - 40 = 60, and then 0.6 of something
            unknown = node.value not in found.union(CONSTANTS, *given)
            if stated or unknown and 100 * node.value in found:
                return per_cent(node.value)
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
        return self._in_order(read)


def _terms(node: Node) -> list[tuple[str, Node]]:
    """Signed terms of a sum, minus signs in front of a term drawn into its sign."""
    if isinstance(node, Binary) and node.op in "+-":
        sign, right = node.op, node.right
        while isinstance(right, Negative):
            sign, right = "-" if sign == "+" else "+", right.operand
        return [*_terms(node.left), (sign, right)]
    return [("-", node.operand) if isinstance(node, Negative) else ("+", node)]


def _is_share(operand: Operand) -> bool:
    return operand.text.endswith(("%", ")"))


def complete(steps: Sequence[Step], question: str) -> list[Step]:
    """The steps with implied ones, which have no `plan`, in front of those that need them."""
    given = quantities(question)
    known = {value for quantity in given for value in quantity.values} | constants_of(question)
    completed: list[Step] = []
    for step in steps:
        step = _by_per_cent(step, given, known)
        for value in (part.value for part in (step.left, step.right)
                      if not part.text.endswith("%")):
            if value not in known:
                # Equal shares make one step, but of equal measures one alone can be meant.
                implied = (_only(set(_of_the_whole(value, question, given)))
                           or _only(list(_in_another_unit(value, question, given))))
                if implied is not None:
                    completed.append(implied)
                    known.add(value)
        completed.append(step)
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
    if step.operator == "/" and divisor not in known and divisor > 1:
        for quantity in given:
            if quantity.values[0] == 1 / divisor and _role(quantity, "") == "percent":
                return replace(step, operator="*", right=per_cent(quantity.values[0]))
    return step


def _of_the_whole(value: Fraction, question: str, given: Sequence[Quantity]) -> Iterator[Step]:
    """`1 + 20%`, `100 - 20`, `1 - (1/3)`, `1 + 2` that come to a value."""
    for quantity in given:
        role = _role(quantity, question)
        for whole in (Fraction(1), Fraction(100)):
            licensed = exact(value) if whole == 1 else role == "percent"
            if not role or whole not in constants_of(question) or not licensed:
                continue
            part = quantity.values[whole == 100]
            right = (per_cent if role == "percent" and whole == 1 else _fraction)(part)
            for operator in "+" if role == "times" else "+-":
                if compute(operator, whole, part) == value:
                    yield Step(operator, as_operand(whole, "constant"), right, value, "")


def _in_another_unit(value: Fraction, question: str, given: Sequence[Quantity]
                     ) -> Iterator[Step]:
    """`2 * 7` for the 14 days of two weeks, `500 / 1000` for the kilograms of 500 grams."""
    for quantity in given:
        word = _UNIT.match(question, quantity.span[1])
        unit = "$" if quantity.text[0] == "$" else word[1].lower() if word else ""
        unit = {"inches": "inch"}.get(unit, unit.removesuffix("s"))
        known = quantity.values[0]
        for operator, factors in (("*", UNITS["smaller"].get(unit, ()) if known > 1 else ()),
                                  ("/", UNITS["larger"].get(unit, ()) if value != 1 else ())):
            for factor in map(Fraction, factors):
                if factor in constants_of(question) and compute(operator, known, factor) == value:
                    yield Step(operator, as_operand(known), as_operand(factor, "constant"),
                               value, "")
