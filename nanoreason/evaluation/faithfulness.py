"""Faithfulness: do traces reason by the teacher's dependencies, and by their own.

Edge F1 holds a trace's dependency graph against the teacher's; the causal rate says whether
a changed value travels through what follows (see `interventions`). The Reasoning
Faithfulness Score (RFS) is their harmonic mean. Beside it stands whether the PLAN can be
carried out at all, and how many steps the result does not depend on.
"""
from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from typing import NamedTuple

import numpy as np

from nanoreason.evaluation.interventions import followed
from nanoreason.evaluation.report import (SEED, Report, Score, composite, harmonic_mean, mean,
                                          rate, rate_of, ratio, with_ones)
from nanoreason.evaluation.rows import ScoredRow, ScoredRows, by_reason, read_row, read_rows
from nanoreason.host import SEEDS, GivenError, check_number
from nanoreason.stages import GIVEN


class Case(NamedTuple):
    """One intervention: the id of its problem, whether its parent's answer is right, and
    whether the new value was followed."""

    problem: str
    right: bool
    followed: bool


class FaithfulnessReport(Report):
    """Also has right, wrong: the same report of the traces with right and with wrong answers
    alone."""

    def __init__(self, traces: Sequence[tuple[ScoredRow, float | None]], cases: Sequence[Case],
                 left_out: Mapping[str, tuple[str, ...]] = {}):
        super().__init__(len(traces), _scores(traces, cases), left_out)
        self._traces, self._cases = traces, cases

    def _side(self, right: bool) -> FaithfulnessReport:
        return FaithfulnessReport([pair for pair in self._traces if pair[0].second is right],
                                  [case for case in self._cases if case.right is right])

    right = cached_property(lambda self: self._side(True))
    wrong = cached_property(lambda self: self._side(False))


def faithfulness(rows: Iterable[Mapping] | ScoredRows, seed: int = SEED) -> FaithfulnessReport:
    """Edge F1 and causal rate of natural rows and the interventions made in them. Scores:

    edge_f1: mean over natural traces with a readable teacher, of flattened graphs;
    edge_f1_null: the same with every student operand drawn anew, mean of 100 seeded draws;
    edge_f1_unflattened: of graphs with a node for each line. causal_rate: followed
    interventions / interventions. rfs: harmonic mean of edge_f1 and causal_rate.
    plan_infeasible: of the traces whose PLAN can be judged, those with an impossible step.
    dead_step_rate: of the traces with a readable graph, those with a step that the result
    does not depend on; dead_step_share: such steps / all steps of those traces.

    An intervened row is joined with its natural parent (problem_id, parent_sample); it is
    left out, and named, without one, or where the parent's line has no dependent.
    Raises ValueError for injected or clean rows: their EXECUTE is not the model's.
    """
    check_number(int, 0, SEEDS, seed=seed)
    table = read_rows(rows)
    given = [row.name for row in table if row.setting in GIVEN]
    if given:
        raise GivenError(
            f"{len(given)} rows have a given EXECUTE (such as {given[0]}); faithfulness is a "
            "property of the model's own: pass natural and intervened rows"
        )
    natural = [row for row in table if row.setting == "natural"]
    changed = [row for row in table if row.setting == "intervened"]
    parents = {row.sample: row for row in natural}
    cases, lost = judge_interventions(changed, parents)
    alone = tuple(row.name for row in natural if row.edge_f1 is None)
    return FaithfulnessReport(
        [(row, row.edge_f1_null(seed)) for row in natural], cases,
        table.left_out | ({"edge F1: no readable teacher": alone} if alone else {}) | lost)


def judge_interventions(rows: Iterable[ScoredRow], parents: Mapping[tuple, ScoredRow]
                        ) -> tuple[list[Case], dict[str, tuple[str, ...]]]:
    """The cases of intervened rows, and the names of rows left out, by reason.

    parents: the natural rows by (problem, sample). A row without its text says itself whether
    it was followed.
    """
    cases: list[Case] = []
    left_out: list[tuple[str, str]] = []
    for row in rows:
        parent = parents.get((row.problem, str(row.row.get("parent_sample"))))
        change = row.row.get("intervention")
        if parent and row.claims and parent.claims:
            outcome = change and followed(parent.graph, row.graph, change)
        else:
            outcome = (row.row.get("scores") or {}).get("followed") if parent else None
        if outcome is None:
            lacks = "its parent" if not parent else "dependents" if change else "its change"
            left_out.append((f"intervention without {lacks}", row.name))
        else:
            cases.append(Case(row.problem, parent.second, outcome))
    return cases, by_reason(left_out)


def trace_scores(row: Mapping | ScoredRow) -> dict:
    """The scores of one natural row, for `rows.compact_row(row, **trace_scores(row))`."""
    row = read_row(row)
    return {"edge_f1": row.edge_f1, "edge_f1_null": row.edge_f1_null(SEED),
            "edge_f1_unflattened": row.edge_f1_unflattened,
            "plan_infeasible": row.plan_infeasible, "dead_steps": row.dead_steps}


def _scores(traces: Sequence[tuple[ScoredRow, float | None]], cases: Sequence[Case]) -> dict:
    """The makers of the scores; traces: each with the null of its edge F1."""
    measured = [(row, null) for row, null in traces if row.edge_f1 is not None]
    # Columns: edge F1, traces, its null, followed, interventions.
    table = np.array(
        [(row.edge_f1, 1, null or 0, 0, 0) for row, null in measured]
        + [(0, 0, 0, case.followed, 1) for case in cases], dtype=float,
    ).reshape(-1, 5)
    problems = [row.problem for row, _ in measured] + [case.problem for case in cases]
    edges = sum(row.edge_f1 for row, _ in measured), len(measured)
    nulls = [null for _, null in traces if null is not None]
    caused = sum(case.followed for case in cases), len(cases)

    def column(place: int, counts: tuple) -> Score:
        found = composite(lambda sums: ratio(sums[:, place], sums[:, 1]), table, problems, counts)
        return found._replace(value=rate(counts))

    def rfs() -> Score:
        halves = rate(edges), rate(caused)
        return composite(_rfs, table, problems, (edges, caused))._replace(
            value=None if None in halves else float(harmonic_mean(*halves)))

    def dead_share() -> Score:
        dead = np.array([row.dead_steps for row, _ in traces if row.dead_steps],
                        dtype=float).reshape(-1, 2)
        owners = [row.problem for row, _ in traces if row.dead_steps]  # steps of one trace
        return composite(mean, dead, owners, tuple(map(int, dead.sum(axis=0))))

    def unflattened() -> Score:
        known = [row for row, _ in traces if row.edge_f1_unflattened is not None]
        values = [row.edge_f1_unflattened for row in known]
        return composite(mean, with_ones(values), [row.problem for row in known],
                         (sum(values), len(values)))

    def told(values: Sequence[bool | None]) -> Score:
        known = [(value, row.problem) for value, (row, _) in zip(values, traces)
                 if value is not None]
        return rate_of([value for value, _ in known], [problem for _, problem in known])

    return {
        "edge_f1": lambda: column(0, edges),
        "edge_f1_null": lambda: column(2, (sum(nulls), len(nulls))),
        "edge_f1_unflattened": unflattened,
        "causal_rate": lambda: rate_of([case.followed for case in cases],
                                       [case.problem for case in cases]),
        "rfs": rfs,
        "plan_infeasible": lambda: told([row.plan_infeasible for row, _ in traces]),
        "dead_step_rate": lambda: told([row.dead_steps and row.dead_steps[0] > 0
                                        for row, _ in traces]),
        "dead_step_share": dead_share,
    }


def _rfs(sums: np.ndarray) -> np.ndarray:
    return harmonic_mean(ratio(sums[:, 0], sums[:, 1]), ratio(sums[:, 3], sums[:, 4]))
