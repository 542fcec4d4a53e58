"""Interventions and what came of them: one by one, and by the kind of line that was changed.

A causal rate over all interventions may hide that a model carries sums on and not shares,
or the first line's value and not the third's. So every intervention is kept with what its
changed line does: its operation, and its depth in the trace's own dependency graph.
"""
from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import networkx as nx

from nanoreason.arithmetic import Binary, Negative, Node
from nanoreason.intervention import followed
from nanoreason.rows import graph_of, name_of
from nanoreason.scorecard import rate_of

OPERATIONS = {"+": "addition", "-": "subtraction", "*": "multiplication", "/": "division",
              "^": "power"}
COPY, SEVERAL, UNKNOWN = "a number alone", "several", "not known"


@dataclass(frozen=True)
class Case:
    """One intervention: whether it was followed, and which line was changed.

    problem: the id of its problem. right: whether its parent's answer is. operation: of the
    changed line, a value of OPERATIONS, `several`, `a number alone`, or `not known` in a row
    without texts. depth: 1 for a line that uses quantities of the question alone, else one
    more than the deepest line that it uses; None where it is not known.
    """

    problem: str
    right: bool
    followed: bool
    operation: str
    depth: int | None


def judge_interventions(rows: Iterable[Mapping], parents: Mapping[tuple, tuple[Mapping, bool]]
                        ) -> tuple[list[Case], dict[str, list[str]]]:
    """The cases of intervened rows, and the names of rows left out, by reason.

    parents: (problem_id, sample) -> (natural row, whether its answer is right).
    """
    cases: list[Case] = []
    left_out: dict[str, list[str]] = {}
    for row in rows:
        key = str(row.get("problem_id", row.get("id"))), str(row.get("parent_sample"))
        if key not in parents:
            left_out.setdefault("intervention without its parent", []).append(name_of(row))
            continue
        parent, right = parents[key]
        outcome, operation, depth = _judge(row, parent)
        if outcome is None:
            left_out.setdefault("intervention without dependents", []).append(name_of(row))
        else:
            cases.append(Case(key[0], right, outcome, operation, depth))
    return cases, left_out


def _judge(row: Mapping, parent: Mapping) -> tuple[bool | None, str, int | None]:
    if row.get("text") is None or parent.get("text") is None:
        scores = row.get("scores") or {}
        return (scores.get("followed"), scores.get("operation") or UNKNOWN,
                scores.get("depth"))
    before = graph_of(parent["text"], parent["question"])
    after = graph_of(row["text"], parent["question"])
    outcome = followed(before, after, row["intervention"])
    if outcome is None:
        return None, UNKNOWN, None
    node = "step", row["intervention"]["step"]
    return outcome, operation_of(before.nodes[node]["tree"]), depth_of(before, node)


def operation_of(tree: Node) -> str:
    """The name of what an expression computes; `several` where it has unlike operators."""
    found, waiting = set(), [tree]
    while waiting:
        node = waiting.pop()
        if isinstance(node, Negative):
            waiting.append(node.operand)
        elif isinstance(node, Binary):
            found.add(node.op)
            waiting += [node.left, node.right]
    return COPY if not found else OPERATIONS[found.pop()] if len(found) == 1 else SEVERAL


def depth_of(graph: nx.DiGraph, step: tuple) -> int:
    """How many steps the longest chain that ends in this step has, itself included."""
    depth: dict[tuple, int] = {}
    for node in nx.topological_sort(graph.subgraph(nx.ancestors(graph, step) | {step})):
        below = max((depth[source] for source in graph.predecessors(node)), default=0)
        depth[node] = below + (node[0] == "step")
    return depth[step]


def by_kind_of_line(cases: Iterable[Case]) -> dict[str, dict[str, dict]]:
    """{"operation": {name: score}, "depth": {"1": score}}: followed / interventions.

    A score is {value, counts, interval, null: None}, see `scorecard.rate_of`. Cases of which
    operation or depth is not known stand under `not known`.
    """
    cases = list(cases)
    order = [*OPERATIONS.values(), SEVERAL, COPY, UNKNOWN]
    names = sorted({case.operation for case in cases}, key=lambda name: (
        order.index(name) if name in order else len(order), name))
    depths = sorted({case.depth for case in cases if case.depth is not None})
    groups = {
        "operation": {name: [c for c in cases if c.operation == name] for name in names},
        "depth": {str(depth): [c for c in cases if c.depth == depth] for depth in depths},
    }
    unknown = [case for case in cases if case.depth is None]
    if unknown:
        groups["depth"][UNKNOWN] = unknown
    return {by: {name: _score(found) for name, found in part.items()}
            for by, part in groups.items()}


def _score(cases: list[Case]) -> dict:
    return rate_of([case.followed for case in cases], [case.problem for case in cases])
