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

from nanoreason.comparison import Comparison, compare  # noqa: F401  (a score of two runs)
from nanoreason.rows import Reading, read_rows
from nanoreason.scorecard import Report, bootstrapped, clustered, rate
from nanoreason.statistics import SEED, harmonic_mean, ratio

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
