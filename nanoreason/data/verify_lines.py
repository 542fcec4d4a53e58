"""How VERIFY checks one step: by undoing it, or by working it out another way.

A check is written from the operation that the step should do, its right operands, and
the value that EXECUTE found. It never repeats the line, and it comes out as expected
exactly when the value found is right. Which of the two kinds is used is drawn before it
is known whether the step holds an error, so the form of a check says nothing about the
verdict: only its arithmetic does. A line of VERIFY is the check, the
value that it should come to, and whether it does (`71 - 24 = 47, want 48, wrong`): the
comparison is written down, not left to be made in silence.

| step      | "inverse", want | "recompute", want |
|-----------|-----------------|-------------------|
| x + y = c | c - y, want x   | y + x, want c     |
| x - y = c | c + y, want x   | x - c, want y     |
| x * y = c | c / y, want x   | y * x, want c     |
| x / y = c | c * y, want x   | y * c, want x     |

By digits a sum is worked out units first, and two numbers are compared in the same way. A small
model adds two digits and a carry by heart; a sum of three digits in one go is the hard form of it
(arXiv 2307.03381). A difference is found as the missing addend, so that all facts are sums and
products of single digits:

    87 + 15    7 + 5 = 12;8 + 1 + 1 = 10
    102 - 15   5 + 7 = 12;1 + 8 + 1 = 10
    24 * 3     4 * 3 = 12;2 * 3 + 1 = 7

A step in prose or LaTeX is checked by what it comes to: its last true equation is worked out
again, or, where it has none, its last number is found again (`-\\frac{3}{4}, want \\frac{3}{4},
wrong`). Which number that is follows from the right step alone.
"""
from __future__ import annotations

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import zip_longest

from nanoreason.arithmetic.equations import read_equations
from nanoreason.arithmetic.expression import (ArithmeticTextError, Binary, Node, Number, evaluate,
                                              parse_expression, value_or_none)
from nanoreason.data.problem import Operand, Problem, Step, compute, write_number
from nanoreason.host import GivenError, Told
from nanoreason.stages import NUMBERED
from nanoreason.trace import Trace

KINDS = ("inverse", "recompute")
SIGNS = {"+": "-", "-": "+", "*": "/", "/": "*"}


class CorruptionError(Told, ValueError):
    """An error cannot be injected into this trace; the message says why."""


def equation(sign: str, left: Operand, right: Operand, value: Fraction) -> str:
    """`left sign right = value` as EXECUTE writes it."""
    return f"{left.text} {sign} {right.text} = {write_number(value)}"


def draw_kinds(count: int, rng: random.Random) -> tuple[str, ...]:
    """The kind of check of each step, from one distribution for every trace."""
    return tuple(rng.choice(KINDS) for _ in range(count))


def _check(kind: str, step: Step, found: Fraction) -> tuple[str, Operand, Operand, Fraction]:
    """Sign and sides of a check, and the value that it should come to; see the table above."""
    x, y, sign = step.left, step.right, step.operator
    c = Operand("step", 0, found, write_number(found))
    if kind == "inverse":
        return SIGNS[sign], c, y, x.value
    if sign == "-":
        return "-", x, c, y.value
    if sign == "/":
        return "*", y, c, x.value
    return sign, y, x, found


def write_check(kind: str, step: Step, found: Fraction) -> str:
    """The equation that checks `step` when EXECUTE found the value `found` for it."""
    sign, left, right, _ = _check(kind, step, found)
    return equation(sign, left, right, compute(sign, left.value, right.value))


def check_line(kind: str, step: Step, found: Fraction) -> str:
    """A line of VERIFY: the check of `step`, the value it should come to, the outcome."""
    wanted = write_number(_check(kind, step, found)[3])
    right = found == compute(step.operator, step.left.value, step.right.value)
    return f"{write_check(kind, step, found)}, want {wanted}, {'correct' if right else 'wrong'}"


def check_lines(problem_id: str, steps: Sequence[Step], lines: Sequence[str]
                ) -> tuple[str, ...]:
    """VERIFY of a right solution: one check a step, its kind drawn by the problem's id.

    lines: EXECUTE, which no check repeats (`5 + 5` worked out the other way round would).
    """
    kinds = draw_kinds(len(steps), random.Random(f"checks/{problem_id}"))
    kinds = ["inverse" if write_check(kind, step, step.value) == line else kind
             for kind, step, line in zip(kinds, steps, lines)]
    return tuple(check_line(kind, step, step.value) for kind, step in zip(kinds, steps))


def digit_facts(sign: str, left: int, right: int) -> str | None:
    """The facts of `left sign right` for whole numbers from 0 up; None where there are none.

    Sums and differences that stay at 0 or above, and products with a factor below 10, of
    numbers that are not both single digits.
    """
    facts, carry = [], 0
    if max(left, right) < 10 or min(left, right) < 0:
        return None
    if sign == "*" and min(left, right) < 10:
        many, one = max(left, right), min(left, right)
        while many:
            total = many % 10 * one + carry
            facts.append(f"{many % 10} * {one}{f' + {carry}' if carry else ''} = {total}")
            many, carry = many // 10, total // 10
    elif sign == "+" or sign == "-" and right <= left:
        while left or right:
            first, second = left % 10, right % 10
            if sign == "-":  # right and what, with the carry, ends in the digit of left?
                first, second = second, (first - second - carry) % 10
            total = first + second + carry
            facts.append(f"{first} + {second}{' + 1' if carry else ''} = {total}")
            left, right, carry = left // 10, right // 10, total // 10
    return ";".join(facts) or None


def digit_flags(left: str, right: str) -> str:
    """Digit beside digit, units first, and of each two whether they are the same (y) or not
    (n); `-` for a missing one: `102` and `112` give `22y 01n 11y`."""
    return " ".join(f"{a or '-'}{b or '-'}{'y' if a == b else 'n'}"
                    for a, b in zip_longest(left[::-1], right[::-1]))


def worked(sign: str, left: Operand, right: Operand) -> str:
    """A sum with its digit facts, where it has some: `15 + 87: 5 + 7 = 12;...;15 + 87 = 102`."""
    text = equation(sign, left, right, compute(sign, left.value, right.value))
    whole = all(o.text.isdigit() for o in (left, right))
    facts = whole and digit_facts(sign, int(left.text), int(right.text))
    return f"{text.rsplit(' = ', 1)[0]}: {facts};{text}" if facts else text


def column_check(step: Step, found: Fraction) -> str:
    """A check by digits: by an addition or a product alone, as the operator has it.

    A sum and a product are worked out the other way round, a difference added back, a
    quotient multiplied back: `15 + 87: 5 + 7 = 12;...;15 + 87 = 102, want 112: 22y 01n 11y, wrong`.
    """
    kind = "recompute" if step.operator in "+*" else "inverse"
    sign, left, right, wanted = _check(kind, step, found)
    result, told = write_number(compute(sign, left.value, right.value)), write_number(wanted)
    return (f"{worked(sign, left, right)}, want {told}: {digit_flags(result, told)}, "
            f"{'correct' if result == told else 'wrong'}")


def by_columns(trace: Trace) -> Trace:
    """A trace of plain steps with its VERIFY by digits, the repairs too; others as they are."""
    checked = trace.execute[:len(trace.checks)]
    try:
        steps = plain_steps(repaired(trace))
        found = [evaluate(said.right) for line in checked for said in read_equations(line)[-1:]]
    except (CorruptionError, ArithmeticTextError):
        return trace
    if len(found) < len(checked) or len(checked) < (trace.verdict or 0):
        return trace  # a line without a value, or none where one is blamed
    repairs = () if trace.verdict is None else tuple(
        worked(step.operator, step.left, step.right) for step in steps[trace.verdict - 1:])
    return replace(trace, repairs=repairs, checks=tuple(
        column_check(step, value) for step, value in zip(steps[:len(trace.checks)], found)))


# A sum with its digit facts, as `worked` writes it, and what a line of VERIFY compares.
_WORKED = re.compile(r"(?P<head>(?P<left>\S+) (?P<sign>[-+*/]) (?P<right>\S+)): (?P<facts>.+);"
                     r"(?P<plain>(?P<again>\S+ [-+*/] \S+) = [^\s,]+)")
_COMPARED = re.compile(r"\bwant (?P<wanted>[^\s,;:]+)(?:: (?P<flags>[^,]*))?, "
                       r"(?P<word>correct|wrong)\b")


def stated(line: str) -> tuple[bool | None, str]:
    """Whether all holds that a line of EXECUTE or VERIFY states, and what does not: its
    equations, the digits that they are of, the flags and the word on a check's two numbers
    (`= 20, want 21, correct`). None where it states nothing that can be read."""
    equations = [equation for equation in read_equations(line) if equation.holds is not None]
    if not equations:
        return None, ""
    if not all(equation.holds for equation in equations):
        return False, "false equation"
    column, told = _WORKED.search(line), _COMPARED.search(line)
    sides = [value_or_none(column[side]) for side in ("left", "right")] if column else [None]
    if all(side is not None and side.denominator == 1 for side in sides):
        facts = digit_facts(column["sign"], *map(int, sides))
        if column["again"] != column["head"] or facts not in (None, column["facts"]):
            return False, f"not the digits of {column['head']}"
    if told:
        found, wanted = equations[-1].right, told["wanted"]
        if told["flags"] not in (None, digit_flags(found, wanted)):
            return False, f"not the digits of {found} and {wanted}"
        equal = value_or_none(found) == value_or_none(wanted)
        if equal != (told["word"] == "correct"):
            return False, f"{found} is {'' if equal else 'not '}{wanted}"
    return True, ""


def by_digits(text: str) -> bool:
    """Whether a line of a text compares two numbers by digits."""
    return any(line["flags"] for line in _COMPARED.finditer(text))


def repaired(trace: Trace) -> Trace:
    """What a blamed trace comes to once its repairs stand in EXECUTE, those by digits as plain
    sums. Raises `CorruptionError` where that is more steps than PLAN has."""
    if trace.verdict is None:
        return trace
    plain = (_WORKED.fullmatch(line) for line in trace.repairs)
    lines = [found["plain"] if found else line for found, line in zip(plain, trace.repairs)]
    lines = [*trace.execute[:trace.verdict - 1], *lines]
    if len(lines) > len(trace.plan):
        raise CorruptionError(f"{len(lines)} lines once repaired for {len(trace.plan)} steps of "
                              "PLAN")
    return replace(trace, execute=tuple(lines), result=trace.answer, verdict=None, repairs=())


def plain_steps(trace: Trace) -> list[Step]:
    """EXECUTE's lines as binary steps, every operand a "given" one.

    Raises `CorruptionError` where a line is no `a operator b = c` that holds.
    """
    steps = []
    for number, (line, plan) in enumerate(zip(trace.execute, trace.plan), 1):
        equations = read_equations(line)
        if len(equations) != 1 or len(equations[0].sides) != 2 or not equations[0].holds:
            raise CorruptionError(f"EXECUTE line {number} is no single true equation: {line!r}")
        node = parse_expression(equations[0].left)
        if not isinstance(node, Binary) or node.op not in "+-*/":
            raise CorruptionError(f"EXECUTE line {number} is no step of two operands: {line!r}")
        steps.append(Step(node.op, _number(node.left), _number(node.right),
                          evaluate(equations[0].right), plan))
    if len(steps) != len(trace.plan):
        raise CorruptionError("EXECUTE does not have a line for each step of PLAN")
    return steps


def _number(node: Node) -> Operand:
    if not isinstance(node, Number):
        raise CorruptionError("a step has an operand that is no plain number")
    return Operand("given", 0, node.value, node.text)


def with_rule_checks(trace: Trace, problem_id: str) -> Trace:
    """A right trace with the rules' VERIFY in place of another teacher's.

    An error can be injected only where the checks are the rules', so checks of another form
    would tell that a trace is clean. A trace with a verdict against a step, or without a number
    in its steps, stays as it is.
    """
    if trace.verdict is not None:
        return trace
    try:
        return replace(trace, checks=check_lines(problem_id, plain_steps(trace), trace.execute))
    except CorruptionError:
        claims = [claim_of(step) for step in trace.execute]
        return (replace(trace, checks=tuple(claim_check(c) for c in claims))
                if any(claims) else trace)


# A number in prose or LaTeX that is no exponent, index, coefficient or part of another.
TOKEN = re.compile(r"(?<![\w.,^_])(?<!\^\{)(?<!_\{)(?:(?<![\w)}\]])-)?"
                   r"(?:[0-9]{1,3}(?:,[0-9]{3})+|[0-9]+)(?:\.[0-9]+)?(?!\w|[.,][0-9]|,\\!|\{,)")
_FORMULA = re.compile(r"\$([^$\n]+)\$|\\\[(.+?)\\\]")
LONGEST = 60  # characters of a formula that a check repeats


@dataclass(frozen=True)
class Claim:
    """What a step in prose comes to: the number that its check looks at.

    index: which of the step's numbers (`TOKEN`) it is. left: what the step works out to it, ""
    where it has no such equation. before, after: the formula around the number.
    """

    index: int
    number: str
    left: str = ""
    before: str = ""
    after: str = ""

    @property
    def value(self) -> Fraction:
        """The number's value."""
        return value_of_token(self.number)


def value_of_token(number: str) -> Fraction:
    """The value of a `TOKEN`."""
    return Fraction(number.replace(",", ""))


def claim_of(step: str) -> Claim | None:
    """What a right step comes to, None where it holds no number."""
    tokens = list(TOKEN.finditer(step))
    for equation in reversed(read_equations(step)):
        if equation.holds and equation.has_operator and "%" not in equation.right:
            inside = [k for k, token in enumerate(tokens) if equation.span[0] <= token.start()
                      and token.end() <= equation.span[1]
                      and value_of_token(token[0]) == value_or_none(equation.right)]
            if inside and value_or_none(equation.left) is not None:
                return Claim(inside[-1], tokens[inside[-1]][0], equation.left)
    if not tokens:
        return None
    last = tokens[-1]
    formula = next((f for f in _FORMULA.finditer(step)
                    if f.start() < last.start() < f.end()), None)
    before = after = ""
    if formula:
        inner, begin = formula[formula.lastindex], formula.start(formula.lastindex)
        before, after = inner[:last.start() - begin], inner[last.end() - begin:].rstrip(" .,")
        before = before[before.rfind("=") + 1:].lstrip(" .,")
        piece = before + last[0] + after
        if len(piece) > LONGEST or NUMBERED.match(piece) or re.search(
                r"\\(?:begin|end)|\\\\|&", piece):
            before = after = ""
    return Claim(len(tokens) - 1, last[0], "", before, after)


def claim_check(claim: Claim | None, found: str | None = None) -> str:
    """A line of VERIFY about a step in prose. found: the number that stands in EXECUTE; None:
    the right one."""
    if claim is None:
        return "no number to check, correct"
    found = claim.number if found is None else found
    again, stands = (f"{claim.before}{number}{claim.after}" for number in (claim.number, found))
    outcome = "correct" if again == stands else "wrong"
    return f"{claim.left and f'{claim.left} = '}{again}, want {stands}, {outcome}"


def check_kinds(trace: Trace, steps: Sequence[Step]) -> list[str]:
    """Which kind of check the right trace makes of each step."""
    kinds = [next((kind for kind in KINDS if check_line(kind, step, step.value) == check), None)
             for check, step in zip(trace.checks, steps)]
    if len(kinds) != len(steps) or None in kinds:
        raise CorruptionError(f"VERIFY does not have one of the checks {KINDS} for each step")
    return kinds


def slip(value: int, rng: random.Random) -> int:
    """A positive wrong result of the kind that sums go wrong by: a digit, a carry, one off."""
    while True:
        wrong = value + rng.choice((-1, 1, -1, 1, -2, 2, -10, 10, -9, 9))
        if rng.random() < 0.3:
            digits = list(str(value))
            digits[rng.randrange(len(digits))] = str(rng.randrange(10))
            wrong = int("".join(digits))
        if wrong > 0 and wrong != value:
            return wrong


def procedural_trace(problem: Problem) -> Trace:
    """The right four-stage trace of a problem with known steps.

    Raises `ValueError` for a problem that brings no steps.
    """
    if not problem.steps:
        raise GivenError(f"problem {problem.id} brings no steps; this teacher writes traces "
                         "of procedural problems only")
    lines = tuple(equation(s.operator, s.left, s.right, s.value) for s in problem.steps)
    return Trace(
        understand=("Given: " + "; ".join(problem.details["given"]),
                    "Find: " + problem.details["find"]),
        plan=tuple(step.plan for step in problem.steps),
        execute=lines, result=problem.answer,
        checks=check_lines(problem.id, problem.steps, lines),
        verdict=None, repairs=(), answer=problem.answer)
