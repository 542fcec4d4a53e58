"""UNDERSTAND and PLAN of a trace that rules make of a worked solution.

PLAN has a line a step: the sub-question that it answers, as an order, else its operation in
words. Where the solution means another source than the graph would find by EXECUTE's numbers,
the line names its sources (see `naming`).
"""
from __future__ import annotations

from collections.abc import Sequence

from nanoreason.checks import equation
from nanoreason.graph import execute_graph
from nanoreason.naming import name_of, using
from nanoreason.problem import Step
from nanoreason.quantities import quantities
from nanoreason.solutions import Draft, Unteachable
from nanoreason.wording import asking_part, given_labels, imperative

_VERBS = {"+": "Add {left} and {right}.", "-": "Subtract {right} from {left}.",
          "*": "Multiply {left} by {right}.", "/": "Divide {left} by {right}."}


def written_lines(drafts: Sequence[Draft]) -> tuple[str, ...]:
    """EXECUTE's lines."""
    return tuple(equation(s.operator, s.left, s.right, s.value)
                 for s in (draft.step for draft in drafts))


def understand(question: str) -> tuple[str, str]:
    """The two lines of UNDERSTAND."""
    labels = given_labels(question, quantities(question))
    return f"Given: {'; '.join(labels)}", f"Find: {asking_part(question)}"


def plan_that_tells(drafts: Sequence[Draft], sources: Sequence[Sequence[tuple]], question: str
                    ) -> tuple[str, ...]:
    """PLAN, which names the sources of a line where the graph would find others without that."""
    named: set[int] = set()
    while True:
        plan = _plan(drafts, sources, named)
        graph = execute_graph(written_lines(drafts), question, plan=plan)
        other = {k for k, draft in enumerate(drafts)
                 if not _same_sources(draft.step.operator, sources[k],
                                      graph.nodes["step", k + 1]["operands"])}
        if not other:
            return plan
        if other <= named:
            raise Unteachable("operand_in_doubt", f"EXECUTE line {min(other) + 1}",
                              "its sources cannot be named")
        named |= other


def _same_sources(operator: str, meant: Sequence[tuple], operands) -> bool:
    found = [node for _, node in operands]
    return found == list(meant) or operator in "+*" and sorted(found, key=str) == sorted(
        meant, key=str)


def _plan(drafts: Sequence[Draft], sources: Sequence[Sequence[tuple]], named: set[int]
          ) -> tuple[str, ...]:
    """A line a step: its sub-question as an order, else its operation in words.

    Where several steps share a sub-question, only the last of them answers it. named: the
    lines (from 0) that name their sources.
    """
    # Some sub-questions end in a generator's control tokens: those are no words.
    told = [imperative(draft.asked) if draft.asked and not set(draft.asked) & set("<|>")
            else None for draft in drafts]
    lines = []
    for position, (draft, nodes) in enumerate(zip(drafts, sources)):
        line = told[position]
        if line is None or line in told[position + 1:]:
            line = _operation(draft.step, nodes)
        if position in named:
            line = using(line, nodes)
        lines.append(line)
    return tuple(lines)


def _operation(step: Step, nodes: Sequence[tuple]) -> str:
    if len(nodes) != 2:  # `1 / 4 = 0.25` of a quarter: the graph sees one quantity there
        nodes = [("given",)] * 2
    left, right = (
        # No computed value stands in PLAN: it comes before EXECUTE.
        name_of(node) if node[0] == "step" else operand.text
        for operand, node in zip((step.left, step.right), nodes))
    return _VERBS[step.operator].format(left=left, right=right)
