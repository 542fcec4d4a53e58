"""The filter: which traces are good enough to learn from, in three layers.

| layer       | code                    | refused is                                          |
|-------------|-------------------------|-----------------------------------------------------|
| syntax      | not_a_trace             | a text that `parse_trace` refuses                   |
| mathematics | false_equation          | a readable equation that is wrong, outside what a   |
|             |                         | verdict blames                                      |
|             | wrong_answer            | `Answer:` that is not the gold answer               |
|             | wrong_result            | `Result:` that is wrong though nothing is blamed    |
| consistency | steps_off_plan          | EXECUTE with more or fewer lines than PLAN          |
|             | operation_off_plan      | PLAN says add, EXECUTE multiplies                   |
|             | result_off_execute      | `Result:` that is not the last line's value         |
|             | unreadable_line         | an EXECUTE line without a readable equation         |
|             | operand_without_source  | a number that neither question nor an earlier line  |
|             |                         | nor a named constant explains                       |
|             | ambiguous_operand       | a number of several possible sources, none of them  |
|             |                         | named by PLAN; only where `drop_ambiguous` asks     |

The last four are not asked of MATH and VNHSGE, whose steps may be prose or LaTeX.

A trace is refused by the first layer that it fails. kept + rejected = read, always.
"""
from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import chain

from nanoreason.arithmetic.answers import same_answer
from nanoreason.arithmetic.equations import read_equations
from nanoreason.arithmetic.expression import value_or_none
from nanoreason.data.problem import Problem, Rejection
from nanoreason.data.verify_lines import CorruptionError, repaired
from nanoreason.graph.builder import execute_graph
from nanoreason.trace import Trace, TraceError, parse_trace

# In these data sets a step may be prose or LaTeX: of it only the equations that can be read
# are judged, by the mathematics layer.
PROSE = ("math", "vnhsge")
_OPERATIONS = {"add": "+", "subtract": "-", "multiply": "*", "divide": "/",
               "cộng": "+", "trừ": "-", "nhân": "*", "chia": "/"}


def filter_traces(pairs: Iterable[tuple[Problem | Rejection, Trace | Rejection | str]],
                  drop_ambiguous: bool = False
                  ) -> tuple[list[tuple[Problem, Trace]], list[Rejection]]:
    """Split (problem, trace) pairs into what is kept and what is rejected, in order.

    A trace may also be its text, or a `Rejection` of an earlier stage, which is passed on.
    Every pair ends up in exactly one of the two lists. drop_ambiguous: reject a trace too
    where the source of an operand is a choice among several (see `graph.provenance`).
    """
    kept, rejected = [], []
    for problem, trace in pairs:
        rejection = next((x for x in (problem, trace) if isinstance(x, Rejection)), None)
        if rejection is None:
            trace, rejection = examine(problem, trace, drop_ambiguous)
        if rejection is None:
            kept.append((problem, trace))
        else:
            rejected.append(rejection)
    return kept, rejected


def reasons(rejected: Iterable[Rejection]) -> dict[str, int]:
    """How often each reason code occurs, most frequent first."""
    return dict(Counter(rejection.reason for rejection in rejected).most_common())


def examine(problem: Problem, trace: Trace | str, drop_ambiguous: bool = False
            ) -> tuple[Trace | None, Rejection | None]:
    """One trace through the three layers: (trace, None) or (None, why not)."""
    try:
        trace = parse_trace(trace) if isinstance(trace, str) else trace
    except TraceError as error:
        return None, Rejection(problem.id, "syntax/not_a_trace", error.stage.value, error.reason)
    fault = next(chain(_mathematics(problem, trace),
                       consistency(problem, trace, drop_ambiguous)), None)
    return (None, Rejection(problem.id, *fault)) if fault else (trace, None)


def _same(text: str, problem: Problem) -> bool:
    return text == problem.answer or same_answer(text, problem.answer, problem.language == "vi")


def _places(trace: Trace) -> Iterator[tuple[str, str]]:
    """(place, text) of all that must be true: EXECUTE before a blamed step, VERIFY after."""
    sound = trace.execute if trace.verdict is None else trace.execute[:trace.verdict - 1]
    named = (("UNDERSTAND", trace.understand, 1), ("PLAN", trace.plan, 1),
             ("EXECUTE", sound, 1), ("VERIFY check", trace.checks, 1),
             ("VERIFY repair", trace.repairs, trace.verdict or 1))
    for name, lines, first in named:
        for number, line in enumerate(lines, first):
            yield f"{name} line {number}", line


# Each yields (layer/code, place, what was found), the first fault first.
def _mathematics(problem: Problem, trace: Trace) -> Iterator[tuple[str, str, str]]:
    for place, text in _places(trace):
        for equation in read_equations(text):
            if equation.holds is False:
                yield "mathematics/false_equation", place, f"{equation.text!r} is not true"
    if not _same(trace.answer, problem):
        yield ("mathematics/wrong_answer", "Answer:",
               f"{trace.answer!r}, but it is {problem.answer!r}")
    if trace.verdict is None and not _same(trace.result, problem):
        yield ("mathematics/wrong_result", "Result:",
               f"{trace.result!r}, but it is {problem.answer!r}")


def consistency(problem: Problem, trace: Trace, drop_ambiguous: bool = False
                ) -> Iterator[tuple[str, str, str]]:
    """The faults of the third layer; they need no gold answer."""
    try:
        right = repaired(trace)
    except CorruptionError as error:
        yield "consistency/steps_off_plan", "VERIFY", str(error)
        return
    if len(right.execute) != len(right.plan):
        place, once = ("EXECUTE", "") if trace is right else ("VERIFY", " once repaired,")
        yield ("consistency/steps_off_plan", place,
               f"{len(right.execute)} lines{once} for {len(right.plan)} steps of PLAN")
    for number, (plan, line) in enumerate(zip(right.plan, right.execute), 1):
        sign = _OPERATIONS.get(re.match(r"\w*", plan)[0].lower())
        if sign and sign not in line:
            yield ("consistency/operation_off_plan", f"EXECUTE line {number}",
                   f"PLAN says {plan!r}, EXECUTE does {line!r}")
    if problem.source in PROSE:
        return
    graph = execute_graph(right.execute, problem.question, plan=right.plan)
    if graph.graph["unreadable"]:
        yield "consistency/unreadable_line", "EXECUTE", graph.graph["unreadable"]
        return
    for node, attributes in graph.nodes(data=True):
        if attributes["kind"] == "unknown":
            yield ("consistency/operand_without_source", f"EXECUTE {node[1]}",
                   f"nothing explains {attributes['value']}")
    if drop_ambiguous and graph.graph["ambiguous"]:
        yield ("consistency/ambiguous_operand", f"EXECUTE {graph.graph['ambiguous'][0]}",
               "several sources have its value, and PLAN names none")
    last = graph.nodes["step", len(right.execute)]["value"]
    if value_or_none(right.result.strip().rstrip(".")) != last:
        yield ("consistency/result_off_execute", "Result:",
               f"{right.result!r}, but the last line comes to {last}")
