"""GSM8K: its records, and the rule-based teacher that makes four-stage traces of them.

A record's `answer` has a step a line and the final answer after `####`. Steps carry
calculator annotations `<<48/2=24>>`; in the socratic form a sub-question stands in front,
`sub-question ** step`. The teacher takes PLAN from the sub-questions, EXECUTE from the
annotations (or, where they are not enough, from the equations in plain text and those in an
unknown, see `algebra`), UNDERSTAND from the question, and lets VERIFY undo or work out
again every line. Operations are split into binary steps (see `steps`). A line without
arithmetic is a restatement and is left out.

Where operands come from is traced by the plain rule of `provenance`. For GSM8K's train
solutions it is known where they mean another source, or none that a trace could show:
`assets/gsm8k_sources.csv` says so (how that was found is told in `docs/gsm8k.md`), and PLAN
names the source. Of any other solution the plain rule stands alone. What cannot be turned into
a right trace is refused with a reason, never patched: a false equation, an operand that nothing
explains, a last value that is not the answer.
"""
from __future__ import annotations

import csv
import hashlib
import json
import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from fractions import Fraction
from functools import lru_cache

from nanoreason import paths
from nanoreason.arithmetic.equations import read_equations
from nanoreason.arithmetic.expression import (ArithmeticTextError, Node, evaluate, parse_expression,
                                              value_of, value_or_none)
from nanoreason.data.gsm8k.algebra import ANNOTATION, solved, without_annotations
from nanoreason.data.gsm8k.steps import BinarySteps, StepError, as_operand, complete, exact
from nanoreason.data.gsm8k.wording import asking_part, given_labels, imperative
from nanoreason.data.problem import Problem, Rejection, Step, write_number
from nanoreason.data.verify_lines import check_lines, equation
from nanoreason.graph.builder import execute_graph, sources_of, unknown_operands
from nanoreason.graph.provenance import constants_of, name_of, using
from nanoreason.graph.quantities import quantities
from nanoreason.trace import Trace, TraceError

DIGITS = 12  # of a fingerprint: 48 bits
REFUSALS = ("read_and_wrong", "operand_in_doubt")  # those that the table of sources gives
_OPERATIONS = {"+": "Add {left} and {right}.", "-": "Subtract {right} from {left}.",
               "*": "Multiply {left} by {right}.", "/": "Divide {left} by {right}."}
_SIGNS = str.maketrans({"–": "-", "[": "(", "]": ")", "½": "(1/2)", "¼": "(1/4)", "¾": "(3/4)"})
# How solutions write arithmetic, and how it is read.
_WRITTEN = [(re.compile(pattern), instead)
            for pattern, instead in paths.asset_table("spellings.yaml")["gsm8k"]]
_MIXED = re.compile(r"(?<![\w./])([0-9]+)\s(?:and\s)?([1-9])/([2-9])(?![0-9./])")


class Unteachable(ValueError):
    """The rules make no right trace of a problem. `reason`, `place`, `detail` say why."""

    def __init__(self, reason: str, place: str, detail: str):
        super().__init__(f"{reason} at {place}: {detail}")
        self.reason, self.place, self.detail = reason, place, detail

    def rejection(self, problem_id: str) -> Rejection:
        """The same as a record for `rejected.jsonl`."""
        return Rejection(problem_id, self.reason, self.place, self.detail)


def gsm8k_trace(problem: Problem) -> Trace:
    """The right four-stage trace of a GSM8K problem; deterministic.

    The annotations are enough for most; where they are not, the equations in plain text
    between them are read too, and those in an unknown (see `algebra`).

    Raises `Unteachable` with a reason code: `no_steps`, `unreadable_expression`,
    `no_binary_steps`, `false_equation`, `answer_not_a_number`, `answer_not_reached`,
    `operand_without_source`, `steps_after_answer`, `not_a_trace`, or what the table of sources
    says of a train problem: `read_and_wrong`, `operand_in_doubt`.
    """
    try:
        return _trace(problem, all_text=False)
    except Unteachable as error:
        if error.reason not in REFUSALS:  # else its other equations are the same steps
            with suppress(Unteachable):
                return _trace(problem, all_text=True)
        raise


def _trace(problem: Problem, all_text: bool) -> Trace:
    steps, failure = read_steps(problem, all_text)
    if not steps:
        raise failure or Unteachable("no_steps", "solution",
                                     "the answer shows no arithmetic to learn from")
    steps = _to_the_answer(problem, steps, failure)
    lines = tuple(equation(s.operator, s.left, s.right, s.value) for s in steps)
    sources = _sources(problem.question, lines, failure)
    given = given_labels(problem.question, quantities(problem.question))
    try:
        return Trace(
            understand=(f"Given: {'; '.join(given)}", f"Find: {asking_part(problem.question)}"),
            plan=_plan(problem.question, steps, lines, sources),
            execute=lines, result=problem.answer, checks=check_lines(problem.id, steps, lines),
            verdict=None, repairs=(), answer=problem.answer)
    except TraceError as error:
        raise Unteachable("not_a_trace", error.stage.value, error.reason) from error


def _to_the_answer(problem: Problem, steps: list[Step], failure: Unteachable | None
                   ) -> list[Step]:
    """The steps as far as the answer; what follows it may restate or test it, no more."""
    try:
        gold = evaluate(problem.answer)
    except ArithmeticTextError as error:
        raise Unteachable("answer_not_a_number", "answer", str(error)) from error
    values = [step.value for step in steps]
    if (gold not in values and gold == 100 * values[-1]
            and 100 in constants_of(problem.question)):
        # `0.25` of a dollar is asked for in cents, or a share in per cent.
        last = as_operand(values[-1], "step", len(steps))
        return [*steps, Step("*", last, as_operand(Fraction(100), "constant"), gold, "")]
    reached = [k for k, value in enumerate(values, 1) if value == gold]
    if not reached:
        raise failure or Unteachable(
            "answer_not_reached", "answer",
            f"no step comes to {problem.answer}; the last comes to {write_number(values[-1])}")
    steps, after = steps[:reached[-1]], steps[reached[-1]:]
    known = {value for quantity in quantities(problem.question) for value in quantity.values}
    known.update(step.value for step in steps)
    new = next((step for step in after if step.value not in known), None)
    if new is not None:  # the answer is that value by chance, or one of several compared
        raise Unteachable("steps_after_answer", "solution",
                          f"after {problem.answer} it works out {write_number(new.value)}")
    return steps


# --- the steps of a solution ---------------------------------------------------------------

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


# --- sources ----------------------------------------------------------------------------

def fingerprint(question: str, lines: Sequence[str]) -> str:
    """What an entry of the table of sources is about: a question and EXECUTE's lines."""
    return hashlib.sha256(json.dumps([question, list(lines)]).encode()).hexdigest()[:DIGITS]


@lru_cache(maxsize=1)
def known_sources() -> dict[str, list[dict[str, str]]]:
    """The entries of the table about GSM8K's train solutions, in order, by fingerprint.

    row: in the train file, from 1. operand: its line and its place in it, from 1 (`2.1`); ""
    stands for the whole trace. source: a quantity (`q0` is the question's first), a result
    (`r1`: of line 1) or a `constant`; of a whole trace, why it is refused.
    """
    text = paths.asset("gsm8k_sources.csv").read_text(encoding="utf-8")
    found: dict[str, list[dict[str, str]]] = {}
    for entry in csv.DictReader(text.splitlines()):
        found.setdefault(entry["fingerprint"], []).append(entry)
    return found


def _sources(question: str, lines: Sequence[str], failure: Unteachable | None
             ) -> list[list[tuple]]:
    """Where each line takes its operands from: by the plain rule, but for the table.

    An entry holds together with those before it, because what one operand takes is no longer
    the first choice for the next.
    """
    graph, named = execute_graph(lines, question), [""] * len(lines)
    if graph.graph["unreadable"]:
        raise Unteachable("unreadable_expression", "EXECUTE", graph.graph["unreadable"])
    for entry in known_sources().get(fingerprint(question, lines), ()):
        if not entry["operand"]:
            raise Unteachable(entry["source"], "EXECUTE", "the solution means a source that these "
                              "lines do not show, or its readers could not tell which")
        line, place = (int(number) - 1 for number in entry["operand"].split("."))
        nodes = sources_of(graph)[line]
        kind, number = {"q": "given", "r": "step"}.get(entry["source"][0]), entry["source"][1:]
        value = graph.nodes["step", line + 1]["operands"][place][0]
        nodes[place] = (kind, int(number)) if kind else ("constant", str(value))
        named[line] = using("", nodes)
        graph = execute_graph(lines, question, plan=named)
    for name in unknown_operands(graph):
        value = graph.nodes["unknown", name]["value"]
        raise failure or Unteachable(
            "operand_without_source", f"EXECUTE {name}",
            f"{write_number(value)} is neither in the question nor computed before")
    return sources_of(graph)


# --- PLAN -------------------------------------------------------------------------------

def _plan(question: str, steps: Sequence[Step], lines: Sequence[str],
          sources: Sequence[Sequence[tuple]]) -> tuple[str, ...]:
    """A line a step: its sub-question as an order, else its operation in words.

    Where several steps share a sub-question, only the last of them answers it. A line names its
    sources (see `provenance`) where the graph would find others without that.
    """
    # Some sub-questions end in a generator's control tokens: those are no words.
    orders = [imperative(step.plan) if step.plan and not set(step.plan) & set("<|>") else None
              for step in steps]
    plan = [order if order and order not in orders[k + 1:] else _operation(steps[k], sources[k])
            for k, order in enumerate(orders)]
    found = sources_of(execute_graph(lines, question, plan=plan))
    for k, step in enumerate(steps):
        in_order = sorted if step.operator in "+*" else list  # sums and products have no order
        if in_order(sources[k]) != in_order(found[k]):
            plan[k] = using(plan[k], sources[k])
            found = sources_of(execute_graph(lines, question, plan=plan))
    return tuple(plan)


def _operation(step: Step, nodes: Sequence[tuple]) -> str:
    if len(nodes) != 2:  # `1 / 4 = 0.25` of a quarter: the graph sees one quantity there
        nodes = [("given",)] * 2
    left, right = (
        # No computed value stands in PLAN: it comes before EXECUTE.
        name_of(node) if node[0] == "step" else part.text
        for part, node in zip((step.left, step.right), nodes))
    return _OPERATIONS[step.operator].format(left=left, right=right)
