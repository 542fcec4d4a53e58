"""What the lines of a worked solution calculate, as binary steps.

A line carries calculator annotations `<<48/2=24>>`, or equations in plain text, or an
equation in an unknown. Most solutions need their annotations alone; the rest of the text is
read only where these give no trace.
"""
from __future__ import annotations

import re
from dataclasses import replace
from fractions import Fraction

from nanoreason.arithmetic.equations import read_equations
from nanoreason.arithmetic.expression import (ArithmeticTextError, Node, evaluate, parse_expression,
                                              value_of, value_or_none)
from nanoreason.data.gsm8k.algebra import ANNOTATION, solved, without_annotations
from nanoreason.data.gsm8k.steps import BinarySteps, StepError, complete, exact
from nanoreason.data.problem import Problem, Rejection, Step, write_number
from nanoreason.graph.quantities import quantities

_SIGNS = str.maketrans({"–": "-", "[": "(", "]": ")", "½": "(1/2)", "¼": "(1/4)", "¾": "(3/4)"})
# How solutions write arithmetic, and how it is read.
_WRITTEN = [(re.compile(pattern), instead) for pattern, instead in (
    (r"(?<=\b[0-9])(:00)(?![0-9])", "   "),  # 7:00 - 1:00 = 6 hours
    (r"\b([^\W\d_]+)\s[0-9]:(?=[0-9])", r"\1: "),  # Day 2:50 * 2 = 100
    (r"(?<=[0-9])\s?/\s?(1/[2-9])(?![0-9./])", r" / (\1)"),  # 25 / 1/3 = 75
    (r"(?<=[0-9])\((?=[^()=]*\))", " * ("),  # 2(6 + 12) = 36, 5(4) = 20
    (r"(?<=/[0-9]\))\s?\$?(?=[0-9(])", " * "),  # (1/2) 18 = 9
)]
_MIXED = re.compile(r"(?<![\w./])([0-9]+)\s(?:and\s)?([1-9])/([2-9])(?![0-9./])")


class Unteachable(ValueError):
    """The rules make no right trace of a problem. `reason`, `place`, `detail` say why."""

    def __init__(self, reason: str, place: str, detail: str):
        super().__init__(f"{reason} at {place}: {detail}")
        self.reason, self.place, self.detail = reason, place, detail

    def rejection(self, problem_id: str) -> Rejection:
        """The same as a record for `rejected.jsonl`."""
        return Rejection(problem_id, self.reason, self.place, self.detail)


def line_expressions(step: str, all_text: bool = False) -> list[tuple[str, str]]:
    """The (expression, value) texts of one step: its annotations, else its equations.

    all_text: the equations in plain text beside the annotations are read too, in order. Where
    both come to one value, the equation counts: of `40 - (6 + 4) = 40 - 10 = <<40-10=30>>30`
    the annotation is only the end.
    """
    marks = []
    for annotation in ANNOTATION.finditer(step):
        left, _, right = annotation[1].rpartition("=")
        left = left.strip().lstrip("+")
        if re.search(r"[-+*/^]", left):
            marks.append((annotation.start(), left, right.strip()))
    if all_text or not marks:
        text = _as_equations(without_annotations(step))
        read = [(e.span[0], e.left, e.right) for e in read_equations(text)
                if e.has_operator and e.holds]
        values = {value_or_none(right) for _, _, right in read}
        marks = [mark for mark in marks if value_or_none(mark[2]) not in values] + read
        marks.sort(key=lambda mark: mark[0])
    return [_in_per_cent(left, right) for _, left, right in marks]


def _as_equations(text: str) -> str:
    """A line of a solution with its arithmetic as `read_equations` expects it."""
    text = _MIXED.sub(_decimal, text.translate(_SIGNS))
    for pattern, instead in _WRITTEN:
        text = pattern.sub(instead, text)
    return text


def _decimal(mixed: re.Match) -> str:
    """`1 1/2` as `1.5`, where a decimal is exact."""
    whole, above, below = map(int, mixed.groups())
    value = whole + Fraction(above, below)
    return write_number(value) if above < below and exact(value) else mixed[0]


def _in_per_cent(left: str, right: str) -> tuple[str, str]:
    """`100% - 80% = 20%` and `7 / 20 * 100% = 35%` without their signs, if that is true."""
    bare = left.replace("%", ""), right.replace("%", "")
    true = right.endswith("%") and None is not value_or_none(bare[0]) == value_or_none(bare[1])
    return bare if true else (left, right)


def read_steps(problem: Problem, all_text: bool) -> tuple[list[Step], Unteachable | None]:
    """The binary steps of the solution, and why the first expression that gave none did not.

    A step's `plan` is the sub-question that it answers, "" where it has none. all_text: whether
    all equations in the text are read, those in an unknown too, or annotations where there are
    some.
    """
    collected = BinarySteps(quantities(problem.question))
    solution = problem.details.get("solution", ())
    by_algebra = solved([step for _, step in solution]) if all_text else {}
    failure = None
    for number, (sub_question, step) in enumerate(solution, 1):
        for expression in (*by_algebra.get(number - 1, ()), *line_expressions(step, all_text)):
            before = len(collected.steps)
            try:
                _add(collected, expression, f"solution line {number}")
            except Unteachable as error:
                # Perhaps nothing depends on it: a trace without an unexplained number says.
                failure = failure or error
            if by_algebra and _said_again(collected.steps, before):
                # An equation is solved at once; what follows it simplifies it.
                del collected.steps[before:]
            if len(collected.steps) > before:
                collected.steps[-1] = replace(collected.steps[-1], plan=sub_question)
    return complete(collected.steps, problem.question), failure


def _said_again(steps: list[Step], count: int) -> bool:
    """Whether all steps after the first `count` were worked out before, on the same numbers."""
    said = [(step.operator, step.left.value, step.right.value) for step in steps]
    return all(step in said[:count] for step in said[count:])


def _add(collected: BinarySteps, expression: Node | tuple[str, str], place: str) -> None:
    """expression: as an equation works it out, or its text and that of its value."""
    left, right = expression if isinstance(expression, tuple) else ("an unknown", "its value")
    try:
        if isinstance(expression, tuple):
            expression = parse_expression(left)
            if value_of(expression) != evaluate(right):
                raise Unteachable("false_equation", place, f"{left} is not {right}")
        collected.add(expression)
    except ArithmeticTextError as error:
        raise Unteachable("unreadable_expression", place, str(error)) from error
    except StepError as error:
        raise Unteachable("no_binary_steps", place, f"{left} = {right}: {error}") from error
