"""GSM8K: its records, and the rule-based teacher that makes four-stage traces of them.

A record's `answer` has a step a line and the final answer after `####`. Steps carry
calculator annotations `<<48/2=24>>`; in the socratic form a sub-question stands in front,
`sub-question ** step`. The teacher takes PLAN from the sub-questions, EXECUTE from the
annotations (or, where they are not enough, from the equations in plain text and those in an
unknown, see `solutions`), UNDERSTAND from the question, and lets VERIFY undo or work out
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
from collections.abc import Sequence
from contextlib import suppress
from fractions import Fraction
from functools import lru_cache

from nanoreason import paths
from nanoreason.arithmetic.expression import ArithmeticTextError, evaluate
from nanoreason.data.gsm8k.solutions import Unteachable, read_steps
from nanoreason.data.gsm8k.steps import as_operand
from nanoreason.data.gsm8k.wording import asking_part, given_labels, imperative
from nanoreason.data.problem import Problem, Step, write_number
from nanoreason.data.verify_lines import check_lines, equation
from nanoreason.graph.builder import execute_graph, sources_of, unknown_operands
from nanoreason.graph.provenance import constants_of, name_of, using
from nanoreason.graph.quantities import quantities
from nanoreason.trace import Trace, TraceError

DIGITS = 12  # of a fingerprint: 48 bits
REFUSALS = ("read_and_wrong", "operand_in_doubt")  # those that the table of sources gives
_OPERATIONS = {"+": "Add {left} and {right}.", "-": "Subtract {right} from {left}.",
               "*": "Multiply {left} by {right}.", "/": "Divide {left} by {right}."}


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
