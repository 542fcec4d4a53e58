"""How sure the model is, what that is worth, and a gate that heeds VERIFY only in doubt.

The likelihood of EXECUTE's least likely token tells wrong results from right ones before VERIFY
begins. Three uses: how well a signal ranks the right results above the wrong ones
(AUC), how right the results are of which the model is surest (accuracy against coverage, and
the area of its errors, AURC), and the gate, which keeps EXECUTE's result where the model was
sure of it. In doubt a gate heeds the row's own VERIFY, or an answer that enough of several
sampled VERIFYs agree on. It is chosen on dev and scored on other rows.

A row must have `logprobs`, as `model.likelihood.likelihoods` writes them, and for the second
kind of gate `verifies`, one {v, a2} a sampled VERIFY.
"""
from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import NamedTuple

import numpy as np
from scipy.stats import mannwhitneyu

from nanoreason.arithmetic.answers import read_answer
from nanoreason.evaluation.report import SEED, Report, Score
from nanoreason.evaluation.rows import ScoredRow, ScoredRows, compact_row, read_rows

# Of the traces of dev: how many a gate may spoil, half of what is tolerable elsewhere.
LIMIT = 0.005
RESAMPLES = 1000
# What may be heeded in doubt: the row's own VERIFY, or as many sampled ones as must agree.
GATES = {"gate": (0,), "gate and agreement": range(1, 6)}


def _least(decisions: Iterable[tuple[str, float]]) -> float:
    """The least log-probability of `correct` among VERIFY's words."""
    return min((value if word == "correct" else math.log(max(-math.expm1(value), 1e-12))
                for word, value in decisions), default=-math.inf)


def _known(row: ScoredRow, name: str) -> float:
    value = row.row["logprobs"][name]
    return -math.inf if value is None else value


# How sure it is that a1 is right; higher is surer.
SIGNALS: dict[str, Callable[[ScoredRow], float]] = {
    "execute": lambda row: _known(row, "execute_min"),
    "decision": lambda row: _least(row.row["logprobs"]["decisions"]),
    "answer": lambda row: _known(row, "answer"),
    "verdict": lambda row: -float(row.error)}
OF_VERIFY = ("decision", "answer")  # those that need a written one


def auc(sure: np.ndarray, right: np.ndarray) -> float | None:
    """P(a right case is surer than a wrong one), ties half; None without one of either."""
    if right.all() or not right.any():
        return None
    return float(mannwhitneyu(sure[right], sure[~right]).statistic / right.sum() / (~right).sum())


def coverage(sure: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Accuracy of the k surest cases for k = 1 … n, (n,); equally sure ones count as their mean."""
    _, group = np.unique(-sure, return_inverse=True)
    mean = np.bincount(group, right) / np.bincount(group)
    return np.cumsum(mean[np.sort(group)]) / np.arange(1, len(sure) + 1)


def aurc(sure: np.ndarray, right: np.ndarray) -> float | None:
    """Area under risk and coverage, the mean of 1 - `coverage` (Geifman and El-Yaniv 2017)."""
    return float(1 - coverage(sure, right).mean()) if len(sure) else None


def signals(rows: Iterable[ScoredRow]) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Every signal of rows with `logprobs`, (n,) each, and whether a1 is right, (n,) bool."""
    rows = [row for row in rows if row.row.get("logprobs")]
    values = {name: np.array([of(row) for row in rows]) for name, of in SIGNALS.items()}
    return values, np.array([row.first for row in rows], dtype=bool)


def confidence(rows: Iterable[Mapping] | ScoredRows) -> Report:
    """auc_SIGNAL and aurc_SIGNAL for a1 by each of SIGNALS, over the rows with `logprobs`.

    Intervals: percentile bootstrap over the rows. What VERIFY's words say, OF_VERIFY, is not
    measured where a row's VERIFY was left out. Raises ValueError for settings that must not be
    pooled.
    """
    table = read_rows(rows).pooled(single=True)
    values, right = signals(table)
    unknown = OF_VERIFY if any(row.unasked for row in table) else ()

    def score(measure: Callable, name: str) -> Score:
        sure = values[name]

        def interval():
            rng, n = np.random.default_rng(SEED), len(right)
            drawn = (rng.integers(n, size=n) for _ in range(RESAMPLES))
            found = [measure(sure[rows], right[rows]) for rows in drawn]
            low, high = np.percentile([one for one in found if one is not None], (2.5, 97.5))
            return float(low), float(high)
        if name in unknown:
            return Score(None)
        return Score(measure(sure, right), (int(right.sum()), len(right)), interval)

    return Report(len(right), {
        f"{measure.__name__}_{name}": partial(score, measure, name)
        for measure in (auc, aurc) for name in values}, table.left_out, table.rows)


class Gate(NamedTuple):
    """Where EXECUTE's least likely token has a log-probability below `threshold`, a VERIFY is
    heeded: the row's own (agree = 0), or the answer other than a1 that most sampled VERIFYs that
    object write, if they are at least `agree`. Elsewhere a1 is kept and the verdict `correct`.
    """

    threshold: float
    agree: int = 0


def in_doubt(row: ScoredRow, agree: int) -> dict | None:
    """{v, a2} that a gate heeds if the row is in doubt; None where it keeps a1."""
    if not agree:
        return {"v": row.blamed, "a2": row.a2} if row.error else None
    votes: dict[object, list[dict]] = {}
    for one in row.row.get("verifies", ()):
        number = read_answer(one["a2"])
        key = one["a2"] if number is None else number
        if one["v"] and key is not None and key not in (row.a1, read_answer(row.a1)):
            votes.setdefault(key, []).append(one)
    alike = max(votes.values(), key=len, default=[])
    return alike[0] if len(alike) >= agree else None


def gated(rows: Iterable[ScoredRow], gate: Gate) -> Iterator[dict]:
    """Rows without texts, with the verdict and the answer that the gate leaves."""
    for row in rows:
        kept = compact_row(row) if row.claims else dict(row.row)
        heeded = in_doubt(row, gate.agree) if SIGNALS["execute"](row) < gate.threshold else None
        kept |= heeded or {"v": "correct", "a2": row.a1}
        second = row.texts.grade(kept["a2"], row.gold, row.vietnamese).right
        yield kept | {"scores": kept["scores"] | {"lenient": second}}


def choose(rows: Iterable[ScoredRow], agree: Iterable[int] = (0,), limit: float = LIMIT) -> Gate:
    """The gate with the largest gain a2 - a1 on these rows (of dev) that spoils at most `limit`.

    agree: what may be tried, in any order. Of gates that gain alike it is the one that asks the
    fewest VERIFYs to agree (the row's own, 0, asks none), and of these the one with the lowest
    threshold. A threshold lies half way between the neighbouring rows; -inf, heeding nothing,
    where no gate gains.
    """
    rows = sorted(rows, key=lambda row: SIGNALS["execute"](row))
    best, chosen = 0, Gate(-math.inf)
    for need in sorted(agree):
        gain = spoiled = 0
        for row, after in zip(rows, [*rows[1:], None]):
            heeded = in_doubt(row, need)
            if heeded:
                change = int(row.texts.grade(
                    heeded["a2"], row.gold, row.vietnamese).right) - row.first
                gain, spoiled = gain + change, spoiled + (change < 0)
            sure = SIGNALS["execute"](row)
            upper = SIGNALS["execute"](after) if after else 0.0
            if spoiled <= limit * len(rows) and gain > best and upper > sure:
                best, chosen = gain, Gate((sure + upper) / 2, need)
    return chosen


def behind_gates(rows: Iterable[Mapping] | ScoredRows) -> dict[str, tuple[Gate, list[dict]]]:
    """Each of GATES as chosen on the natural rows of dev, and what it leaves of those of test."""
    dev, test = (read_rows(rows).where("natural", split=split) for split in ("dev", "test"))
    chosen = {label: choose(dev, agree) for label, agree in GATES.items()}
    return {label: (gate, list(gated(test, gate))) for label, gate in chosen.items()}
