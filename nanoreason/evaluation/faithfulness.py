"""Can a PLAN be carried out: does every step have what it needs by the time it comes.

A PLAN is words, so a step is known by the teacher's step of the same wording, and what it
needs by that step's operands in the teacher's graph. A plan with steps in other words
cannot be judged this way; it is counted apart and not as feasible.
"""
from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import networkx as nx
import numpy as np

from nanoreason.data.problem import normalise_question
from nanoreason.evaluation.interventions import (Case, by_kind_of_line, judge_interventions)
from nanoreason.evaluation.report import Report, bootstrapped, clustered, rate
from nanoreason.evaluation.rows import graph_of, name_of, read_row, split_faults, teacher_graphs
from nanoreason.evaluation.statistics import SEED, harmonic_mean, ratio
from nanoreason.graph.builder import dead_share
from nanoreason.graph.matching import edge_f1, rewired_edge_f1
from nanoreason.stages import Stage, cut_sections, read_loose_steps


def plan_lines(text: str) -> tuple[str, ...]:
    """The steps of the first PLAN in a text, without numbers; () if there is none."""
    sections, _ = cut_sections(text)
    for section in sections:
        if section.stage is Stage.PLAN:
            return read_loose_steps(section.lines)
    return ()


def infeasible_step(
    plan: tuple[str, ...], teacher_plan: tuple[str, ...], teacher: nx.DiGraph
) -> int | None:
    """The first plan step that needs what is neither given nor produced before it.

    Returns 0 for a feasible plan, None where it cannot be judged (a step that the teacher
    does not have in these words, or no plan). teacher: the graph of the teacher's EXECUTE,
    whose line k does teacher_plan's step k.
    """
    numbers: dict[str, list[int]] = {}
    for number, step in enumerate(teacher_plan, 1):
        numbers.setdefault(normalise_question(step), []).append(number)
    produced: set[int] = set()
    for position, step in enumerate(plan, 1):
        known = numbers.get(normalise_question(step), [])
        number = next((n for n in known if n not in produced), known[-1] if known else None)
        if number is None:
            return None
        needs = {
            source[1]
            for node in teacher if node[:2] == ("step", number)
            for source in teacher.predecessors(node)
            if source[0] == "step" and source[1] != number
        }
        if not needs <= produced:
            return position
        produced.add(number)
    return 0 if plan else None


DRAWS = 100


@dataclass(frozen=True, kw_only=True)
class FaithfulnessReport(Report):
    """How far traces reason by the teacher's dependencies, and by their own.

    edge_f1: mean over natural traces with a readable teacher; edge_f1_null: the same with
    every student operand drawn anew, mean of 100 seeded draws. causal_rate: followed
    interventions / interventions. rfs: harmonic mean of edge_f1 and causal_rate.
    plan_infeasible: of the traces whose PLAN can be judged, those with an impossible step.
    dead_step_rate: of the traces with a readable graph, those with a step that the result
    does not depend on; dead_step_share: such steps / all steps of those traces. causal: the
    causal rate by the changed line, see `causal.by_kind_of_line`. right, wrong: the same for
    right and wrong answers alone.
    """

    edge_f1: float | None
    edge_f1_null: float | None
    causal_rate: float | None
    rfs: float | None
    plan_infeasible: float | None
    dead_step_rate: float | None
    dead_step_share: float | None
    causal: dict[str, dict] = field(default_factory=dict)
    right: FaithfulnessReport | None = None
    wrong: FaithfulnessReport | None = None

    def to_dict(self) -> dict:
        """Plain values for `summary.json`, with those of right and wrong answers."""
        parts = {k: getattr(self, k) for k in ("right", "wrong")}
        return super().to_dict() | {"causal": self.causal} | {
            k: v.to_dict() for k, v in parts.items() if v is not None}


@dataclass(frozen=True)
class _Trace:
    """One natural trace: what it scores; None = not measured."""

    problem: str
    right: bool
    edge_f1: float | None
    null: float | None
    infeasible: bool | None
    dead: tuple[int, int] | None  # dead steps, steps


def faithfulness(rows: Iterable[Mapping], seed: int = SEED) -> FaithfulnessReport:
    """Edge F1 and causal rate of natural rows and the interventions made in them.

    An intervened row is joined with its natural parent (problem_id, parent_sample); it is
    left out, and named, without one, or where the parent's line has no dependent.
    Raises ValueError for injected or clean rows: their EXECUTE is not the model's.
    """
    good, left_out = split_faults(rows)
    given = [name_of(row) for row in good if row["setting"] in ("injected", "clean")]
    if given:
        raise ValueError(
            f"{len(given)} rows have a given EXECUTE (such as {given[0]}); faithfulness is a "
            "property of the model's own: pass natural and intervened rows"
        )
    parents, traces = {}, []
    for row in (row for row in good if row["setting"] == "natural"):
        trace = _natural(row, seed)
        parents[trace.problem, str(row.get("sample", 0))] = row, trace.right
        traces.append(trace)
        if trace.edge_f1 is None:
            left_out.setdefault("edge F1: no readable teacher", []).append(name_of(row))
    caused, lost = judge_interventions(
        (row for row in good if row["setting"] == "intervened"), parents)
    left_out |= lost
    left_out = {reason: tuple(names) for reason, names in left_out.items()}
    right, wrong = (
        _report([t for t in traces if t.right is side], [c for c in caused if c.right is side], {})
        for side in (True, False)
    )
    return _report(traces, caused, left_out, right=right, wrong=wrong)


def trace_scores(row: Mapping, seed: int = SEED) -> dict:
    """The scores of one natural row, for `rows.compact_row(row, **trace_scores(row))`."""
    trace = _natural(row, seed)
    return {
        "edge_f1": trace.edge_f1, "edge_f1_null": trace.null,
        "plan_infeasible": trace.infeasible, "dead_steps": trace.dead,  # (dead, all)
    }


def _natural(row: Mapping, seed: int) -> _Trace:
    reading = read_row(row)
    if row.get("text") is None:
        scores = row.get("scores") or {}
        return _Trace(reading.problem, reading.second, scores.get("edge_f1"),
                      scores.get("edge_f1_null"), scores.get("plan_infeasible"),
                      _counted(scores.get("dead_steps")))
    student, teachers = graph_of(row["text"], row["question"]), teacher_graphs(row)
    score = null = None
    if teachers:
        score = max(edge_f1(student, teacher) for teacher in teachers)
        # The same draws for every teacher, the best teacher for every draw.
        null = float(np.max(
            [rewired_edge_f1(student, teacher, DRAWS, np.random.default_rng(seed))
             for teacher in teachers], axis=0,
        ).mean())
    return _Trace(reading.problem, reading.second, score, null, _infeasible(row),
                  dead_share(student))


def _infeasible(row: Mapping) -> bool | None:
    """Whether the PLAN is impossible by every teacher that can judge it."""
    plan, found = plan_lines(row["text"]), []
    for text in row.get("teachers") or ():
        step = infeasible_step(plan, plan_lines(text), graph_of(text, row["question"]))
        if step is not None:
            found.append(step > 0)
    return all(found) if found else None


def _counted(dead: tuple[int, int] | None) -> tuple[int, int] | None:
    """(dead steps, steps) of a compact row; None where the row does not count them."""
    return tuple(dead) if isinstance(dead, (list, tuple)) else None


def _report(traces: list[_Trace], caused: list[Case], left_out, **sides) -> FaithfulnessReport:
    def share(values):
        values = [value for value in values if value is not None]
        return sum(values), len(values)

    told = {"plan_infeasible": [t.infeasible for t in traces],
            "dead_step_rate": [t.dead and t.dead[0] > 0 for t in traces]}
    followed = [case.followed for case in caused]
    counts = {
        "edge_f1": share([t.edge_f1 for t in traces]),
        "edge_f1_null": share([t.null for t in traces]),
        "causal_rate": share(followed),
        **{name: share(values) for name, values in told.items()},
        "dead_step_share": tuple(sum(t.dead[k] for t in traces if t.dead) for k in (0, 1)),
    }
    values = {name: rate(pair) for name, pair in counts.items()}
    counts["rfs"] = counts["edge_f1"], counts["causal_rate"]
    measured = [t for t in traces if t.edge_f1 is not None]
    # Columns: edge F1, traces, its null, followed, interventions.
    table = np.array(
        [(t.edge_f1, 1, t.null or 0, 0, 0) for t in measured]
        + [(0, 0, 0, case.followed, 1) for case in caused], dtype=float,
    ).reshape(-1, 5)
    problems = [t.problem for t in measured] + [case.problem for case in caused]
    halves = values["edge_f1"], values["causal_rate"]
    cases = {name: ([bool(value) for value in values], [value is not None for value in values])
             for name, values in told.items()}
    counted = [t for t in traces if t.dead]  # steps of one trace are not independent
    dead = np.array([t.dead for t in counted], dtype=float).reshape(-1, 2)
    return FaithfulnessReport(
        n=len(traces), counts=counts, left_out=left_out, **values, **sides,
        causal=by_kind_of_line(caused),
        rfs=None if None in halves else float(harmonic_mean(*halves)),
        intervals=clustered(cases, [t.problem for t in traces])
        | clustered({"causal_rate": (followed, [True] * len(caused))},
                    [case.problem for case in caused]) | {
            "edge_f1": bootstrapped(lambda s: ratio(s[:, 0], s[:, 1]), table, problems),
            "edge_f1_null": bootstrapped(lambda s: ratio(s[:, 2], s[:, 1]), table, problems),
            "rfs": bootstrapped(_rfs, table, problems),
            "dead_step_share": bootstrapped(lambda s: ratio(s[:, 0], s[:, 1]), dead,
                                            [t.problem for t in counted]),
        },
    )


def _rfs(sums: np.ndarray) -> np.ndarray:
    return harmonic_mean(ratio(sums[:, 0], sums[:, 1]), ratio(sums[:, 3], sums[:, 4]))
