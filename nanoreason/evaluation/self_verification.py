"""Accuracy and self-verification: is the answer right, and did checking make it so.

A trace states three things that are scored apart: a1 (the result of EXECUTE), v (the
verdict of VERIFY) and a2 (the final answer). The Self-Verification Rate (SVR) asks for
both halves of verifying, catching and repairing what is wrong and keeping what is right,
so that a verifier which always agrees, always objects or only copies scores 0. Its null,
the same verdicts dealt to other traces, says what such a score is worth.
"""
from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from nanoreason.evaluation.report import (Report, bootstrapped, clustered, rate, scores_of)
from nanoreason.evaluation.rows import Reading, compact_row, fault, read_row, read_rows
from nanoreason.evaluation.statistics import SEED, harmonic_mean, ratio
from nanoreason.evaluation.verifiers import graph_oracle, step_checker

PERMUTATIONS = 1000


@dataclass(frozen=True, kw_only=True)
class AccuracyReport(Report):
    """strict: the `Answer:` line is right; lenient: the last thing in the text that could
    be an answer is (a number, an option's letter, a formula: see `answers.last_answer`).
    """

    strict: float | None
    lenient: float | None


def accuracy(rows: Iterable[Mapping]) -> AccuracyReport:
    """Strict and lenient accuracy; both over all rows of one setting (or injected + clean).

    Raises ValueError for a mixture of settings that must not be pooled.
    """
    readings, left_out = read_rows(rows, single=True)
    strict = sum(r.second for r in readings), len(readings)
    known = [r.lenient for r in readings if r.lenient is not None]
    lenient = sum(known), len(known)
    cases = {"strict": ([r.second for r in readings], [True] * len(readings)),
             "lenient": ([bool(r.lenient) for r in readings],
                         [r.lenient is not None for r in readings])}
    return AccuracyReport(
        n=len(readings), left_out=left_out, refused=_refused(readings),
        counts={"strict": strict, "lenient": lenient},
        strict=rate(strict), lenient=rate(lenient),
        intervals=clustered(cases, [r.problem for r in readings]),
    )


@dataclass(frozen=True, kw_only=True)
class SelfVerificationReport(Report):
    """What VERIFY is worth. c1, c2: a1, a2 right; v: error or correct; n: all traces.

    svr: harmonic mean of P(v = error and c2 | not c1) and P(v = correct and c2 | c1), 0 if
    either is 0; svr_null: its mean over seeded permutations of v.
    recall: P(v = error | not c1). specificity: P(v = correct | c1). youden_j: their sum
    less 1. first_wrong_step: of the wrong traces whose first wrong step is known, the share
    in which the verdict blames it; first_wrong_step_near: it or a neighbour of it.
    accuracy_a1, accuracy_a2: c1 / n, c2 / n. i_to_c: (not c1 and c2) / n. c_to_i: (c1 and
    not c2) / n. delta: accuracy_a2 - accuracy_a1 = i_to_c - c_to_i (Kumar et al. 2024).
    ritual_rate: of the traces that reach VERIFY, the share that checks nothing new.
    """

    svr: float | None
    svr_null: float | None
    recall: float | None
    specificity: float | None
    youden_j: float | None
    first_wrong_step: float | None
    first_wrong_step_near: float | None
    accuracy_a1: float | None
    accuracy_a2: float | None
    i_to_c: float | None
    c_to_i: float | None
    delta: float | None
    ritual_rate: float | None


def self_verification(rows: Iterable[Mapping], seed: int = SEED) -> SelfVerificationReport:
    """SVR and what stands beside it, over natural rows or over injected and clean ones.

    An unreadable Result is wrong and never repaired; an unreadable verdict is `correct`.
    Raises ValueError for any other mixture of settings: rates of natural errors and of
    planted ones do not pool, and planted errors alone say nothing of what is kept.
    """
    readings, left_out = read_rows(rows, single=False)
    first, second, error, readable = (
        np.array([getattr(r, name) for r in readings], dtype=bool)
        for name in ("first", "second", "error", "readable")
    )
    n = len(readings)
    repaired = ~first & error & second & readable
    kept = first & ~error & second
    located = np.array([r.wrong_step is not None for r in readings], dtype=bool)
    distance = np.array([abs(r.blamed - r.wrong_step) if r.error and r.wrong_step is not None
                         else np.inf for r in readings])
    checks = np.array([r.ritual is not None for r in readings], dtype=bool)
    every, ritual = np.ones(n, dtype=bool), np.array([bool(r.ritual) for r in readings], bool)
    wrong, right = int((~first).sum()), int(first.sum())
    cases = {  # score -> (what is counted, of what)
        "recall": (~first & error, ~first),
        "specificity": (first & ~error, first),
        "first_wrong_step": (distance == 0, located),
        "first_wrong_step_near": (distance <= 1, located),
        "accuracy_a1": (first, every),
        "accuracy_a2": (second, every),
        "i_to_c": (~first & second, every),
        "c_to_i": (first & ~second, every),
        "ritual_rate": (ritual, checks),
    }
    counts = {"svr": ((int(repaired.sum()), wrong), (int(kept.sum()), right))}
    counts |= {name: (int(counted.sum()), int(case.sum()))
               for name, (counted, case) in cases.items()}
    parts = {name: rate(pair) for name, pair in counts.items() if name != "svr"}
    counts["youden_j"] = counts["recall"], counts["specificity"]
    counts["delta"] = counts["accuracy_a2"], counts["accuracy_a1"]
    problems, table = [r.problem for r in readings], count_table(readings)
    both = wrong > 0 and right > 0
    return SelfVerificationReport(
        n=n, left_out=left_out, refused=_refused(readings), counts=counts, **parts,
        svr=float(STATISTICS["svr"](table.sum(axis=0)[None])[0]) if both else None,
        svr_null=_null(first, second, error, readable, seed) if both else None,
        youden_j=parts["recall"] + parts["specificity"] - 1 if both else None,
        delta=(counts["accuracy_a2"][0] - right) / n if n else None,
        intervals=clustered(cases, problems) | {
            name: bootstrapped(STATISTICS[name], table, problems)
            for name in ("svr", "youden_j", "delta")
        },
    )


def _refused(readings: list[Reading]) -> dict[str, tuple[str, ...]]:
    """The names of the rows with an answer that could not be compared, by reason."""
    found: dict[str, tuple[str, ...]] = {}
    for reading in readings:
        if reading.refused is not None:
            found[reading.refused] = found.get(reading.refused, ()) + (reading.name,)
    return found


def count_table(readings: Sequence[Reading]) -> np.ndarray:
    """What the scores are functions of, one row a trace: (n, 8) of 0 and 1.

    Columns: repaired, kept, wrong and objected to, right and agreed to, a1 wrong, a1 right,
    a2 right, lenient.
    """
    rows = [(not r.first and r.error and r.second and r.readable,
             r.first and not r.error and r.second, not r.first and r.error,
             r.first and not r.error, not r.first, r.first, r.second, bool(r.lenient))
            for r in readings]
    return np.array(rows, dtype=float).reshape(-1, 8)


def _share(column: int) -> Callable[[np.ndarray], np.ndarray]:
    return lambda sums: ratio(sums[:, column], sums[:, 4] + sums[:, 5])


# name -> function of sums of `count_table`'s columns, (R, 8) -> (R,), nan where undefined.
STATISTICS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "svr": lambda sums: harmonic_mean(ratio(sums[:, 0], sums[:, 4]),
                                      ratio(sums[:, 1], sums[:, 5])),
    "recall": lambda sums: ratio(sums[:, 2], sums[:, 4]),
    "specificity": lambda sums: ratio(sums[:, 3], sums[:, 5]),
    "youden_j": lambda sums: ratio(sums[:, 2], sums[:, 4]) + ratio(sums[:, 3], sums[:, 5]) - 1,
    "delta": lambda sums: ratio(sums[:, 6] - sums[:, 5], sums[:, 4] + sums[:, 5]),
    "a1": _share(5), "a2": _share(6), "lenient": _share(7),
}


def _null(first, second, error, readable, seed: int) -> float:
    """Mean SVR of seeded permutations of the verdicts over the rows, a1 and a2 held."""
    rng = np.random.default_rng(seed)
    # (PERMUTATIONS, n)
    dealt = np.stack([rng.permutation(error) for _ in range(PERMUTATIONS)])
    repaired = (dealt & (~first & second & readable)).sum(axis=1) / (~first).sum()
    kept = (~dealt & (first & second)).sum(axis=1) / first.sum()
    return float(np.mean(harmonic_mean(repaired, kept)))


GIVEN = ("injected", "clean")
RULES: dict[str, Callable[[Mapping], dict]] = {
    "step checker": step_checker, "graph oracle": graph_oracle}
PROMPTED = "base, four-stage prompt"
NO_VERIFY_LOSS = "without VERIFY loss"


def verification(rows: Iterable[Mapping], seed: int = SEED) -> dict | None:
    """All self-verification scores of rows that pool; None for no rows."""
    rows = list(rows)
    return scores_of(self_verification(rows, seed), {"svr": "svr_null"}) if rows else None


def read_once(row: Mapping) -> Mapping:
    """The row in its compact form: a score of it then need not read its text again."""
    return row if row.get("text") is None or fault(row) else compact_row(row)


def by_kind(rows: Iterable[Mapping], seed: int = SEED) -> dict[str, dict]:
    """Injected rows of one kind of error with the clean rows of the same problems, by kind."""
    rows = [row for row in rows if not fault(row)]
    clean = {_case(row): row for row in rows if row["setting"] == "clean"}
    kinds: dict[str, list[Mapping]] = {}
    for row in (row for row in rows if row["setting"] == "injected"):
        kinds.setdefault((row.get("planted") or {}).get("kind") or "unknown", []).append(row)
    return {kind: verification([*found, *(clean[case] for case in map(_case, found)
                                          if case in clean)], seed)
            for kind, found in sorted(kinds.items())
            if any(_case(row) in clean for row in found)}


def _case(row: Mapping) -> tuple:
    return row.get("problem_id", row.get("id")), row.get("sample", 0)


def by_steps(rows: Iterable[Mapping], seed: int = SEED) -> dict[str, dict]:
    """Scores by the number of steps that the first teacher takes, fewest first.

    rows: of settings that pool. Those without a teacher stand under "unknown". A number of
    steps at which injected rows stand without clean ones, or the other way, is left out.
    """
    groups: dict[int | None, list[Mapping]] = {}
    for row in (row for row in rows if not fault(row)):
        groups.setdefault(read_row(row).steps, []).append(row)
    order = sorted(groups, key=lambda steps: (steps is None, steps))
    return {"unknown" if steps is None else str(steps): verification(groups[steps], seed)
            for steps in order
            if {row["setting"] for row in groups[steps]} in ({"natural"}, set(GIVEN))}


def by_verifier(rows: Iterable[Mapping], prompted: Iterable[Mapping] | None = None,
                others: Mapping[str, Iterable[Mapping]] | None = None, seed: int = SEED
                ) -> dict[str, dict[str, dict | None]]:
    """What stands beside a run's own VERIFY, in "natural" and in "given" rows.

    rows: of one split, with their texts. The step checker and the graph oracle write VERIFY
    after the run's EXECUTE (None where a row lacks its text or, for the oracle, a teacher);
    `prompted` are the untouched base's natural rows under a four-stage prompt (None = not
    run), `others` rows of further runs by name.
    """
    rows, parts = list(rows), {"natural": ("natural",), "given": GIVEN}
    found: dict[str, dict[str, dict | None]] = {}
    for part, settings in parts.items():
        ours = _complete(rows, settings)
        scores = {PROMPTED: verification(_complete(prompted or (), settings), seed)}
        scores |= {name: verification(_complete(theirs, settings), seed)
                   for name, theirs in (others or {}).items()}
        for name, write in RULES.items():
            able = ours and all(row.get("text") is not None and (
                write is not graph_oracle or row.get("teachers")) for row in ours)
            written = [read_once(write(row)) for row in ours] if able else []
            scores[name] = verification(written, seed)
        found[part] = scores
    return found


def _complete(rows: Iterable[Mapping], settings: tuple[str, ...]) -> list[Mapping]:
    """The rows of these settings; none of them unless there are rows of each."""
    chosen = [row for row in rows if row.get("setting") in settings and not fault(row)]
    return chosen if {row["setting"] for row in chosen} == set(settings) else []
