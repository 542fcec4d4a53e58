"""Intervals and paired tests for scores: how sure a figure is, and whether two differ.

Components (k of n) get a Wilson interval. Composite scores, which are no single fraction,
get a percentile bootstrap clustered by problem: several samples of one problem are not
independent, so whole problems are drawn. Every score here is a function of summed per-row
counts; a resample is then one matrix product, and 10,000 of them take about a second for
a thousand problems. Seeds are a source of variance of their own: `crossed_bootstrap` draws
runs and problems both. Left out on purpose: normal approximations (wrong near 0 and 1).
"""
from __future__ import annotations

from dataclasses import dataclass
from typing import Callable, Hashable, Sequence

import numpy as np
from scipy.stats import binomtest

RESAMPLES = 10_000
SEED = 0
PLACES = 10  # of an interval's limits


def wilson(k: int, n: int, confidence: float = 0.95) -> tuple[float, float] | None:
    """Wilson score interval of the proportion k / n (Wilson 1927); None when n = 0.

    Raises ValueError when k is not between 0 and n.
    """
    if not 0 <= k <= n:
        raise ValueError(f"k = {k} of n = {n}: k must lie between 0 and n")
    if n == 0:
        return None
    interval = binomtest(int(k), int(n)).proportion_ci(confidence, method="wilson")
    return float(interval.low), float(interval.high)


def share(count: int, whole: int) -> dict:
    """A proportion as results files hold it: value, counts [count, whole], Wilson interval."""
    return {"value": count / whole, "counts": [count, whole],
            "interval": list(wilson(count, whole))}


def harmonic_mean(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """2ab / (a + b) elementwise; 0 where either is 0 or less, nan where either is nan."""
    first, second = np.broadcast_arrays(np.asarray(first, float), np.asarray(second, float))
    total = np.where((first > 0) & (second > 0), first + second, 1.0)
    mean = np.where((first > 0) & (second > 0), 2 * first * second / total, 0.0)
    return np.where(np.isnan(first) | np.isnan(second), np.nan, mean)


def ratio(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    """numerator / denominator elementwise, nan where the denominator is 0."""
    numerator, denominator = np.asarray(numerator, float), np.asarray(denominator, float)
    return np.where(denominator > 0, numerator / np.where(denominator > 0, denominator, 1), np.nan)


def bootstrap(
    statistic: Callable[[np.ndarray], np.ndarray],
    counts: np.ndarray,
    clusters: Sequence[Hashable],
    resamples: int = RESAMPLES,
    seed: int = SEED,
    confidence: float = 0.95,
) -> tuple[float, float] | None:
    """Percentile bootstrap interval of a statistic of summed counts, clustered.

    statistic: maps sums of counts (R, C) to values (R,), nan where undefined.
    counts: (rows, C), one row a trace; clusters: the problem of each row.
    Each resample draws as many problems as there are, with replacement (Davison and
    Hinkley 1997, section 3.8). Resamples in which the statistic is undefined (a zero
    denominator) are left out; None when there are no rows or no defined resample.
    """
    counts = np.asarray(counts, dtype=float)
    if len(counts) != len(clusters):
        raise ValueError(
            f"{len(counts)} rows of counts for {len(clusters)} clusters: give one per row"
        )
    if len(counts) == 0:
        return None
    names = {name: index for index, name in enumerate(dict.fromkeys(clusters))}
    sums = np.zeros((len(names), counts.shape[1]))  # (problems, C)
    np.add.at(sums, [names[cluster] for cluster in clusters], counts)
    # Problems with equal counts are interchangeable: drawing how often each distinct row
    # of counts comes up is the same bootstrap, with a few columns instead of thousands.
    kinds, multiplicity = np.unique(sums, axis=0, return_counts=True)
    rng = np.random.default_rng(seed)
    share = multiplicity / multiplicity.sum()
    values = []
    for start in range(0, resamples, 1000):
        size = min(1000, resamples - start)
        drawn = rng.multinomial(len(names), share, size=size)  # (size, kinds)
        values.append(np.asarray(statistic(drawn @ kinds), dtype=float))
    return _percentiles(np.concatenate(values), confidence)


def _percentiles(values: np.ndarray, confidence: float) -> tuple[float, float] | None:
    """The limits between which the share `confidence` of the values that are no nan lies."""
    values = values[~np.isnan(values)]
    if len(values) == 0:
        return None
    tail = 50 * (1 - confidence)
    low, high = np.percentile(values, [tail, 100 - tail])
    # The last digits of a sum depend on the number of threads; those of a result must not.
    return round(float(low), PLACES), round(float(high), PLACES)


def crossed_bootstrap(
    statistic: Callable[[np.ndarray], np.ndarray],
    counts: np.ndarray,
    resamples: int = RESAMPLES,
    seed: int = SEED,
    confidence: float = 0.95,
) -> tuple[float, float] | None:
    """Percentile interval of a statistic's mean over runs, runs and problems both drawn.

    counts: (runs, problems, C), the same problems in every run; statistic: as in `bootstrap`.
    Each resample draws as many runs and, once for all of them, as many problems as there
    are, with replacement (the pigeonhole bootstrap, Owen 2007): the runs share their
    problems, so the two are crossed, not nested. With one run this is `bootstrap`. A drawn
    run in which the statistic is undefined leaves its resample out. None when there are no
    runs, no problems or no defined resample.
    """
    counts = np.asarray(counts, dtype=float)
    if counts.ndim != 3:
        raise ValueError(f"counts has the shape {counts.shape}: give (runs, problems, C)")
    runs, problems, _ = counts.shape
    if not runs or not problems:
        return None
    rng, values = np.random.default_rng(seed), []
    for start in range(0, resamples, 1000):
        size = min(1000, resamples - start)
        drawn = rng.multinomial(problems, np.full(problems, 1 / problems), size=size)
        weights = rng.multinomial(runs, np.full(runs, 1 / runs), size=size) / runs
        each = np.stack([statistic(drawn @ table) for table in counts], axis=1)  # (size, runs)
        values.append(np.where(weights > 0, each * weights, 0.0).sum(axis=1))
    return _percentiles(np.concatenate(values), confidence)


@dataclass(frozen=True)
class McNemar:
    """Exact McNemar test: pairs where only one side is right, and the two-sided p."""

    only_first: int
    only_second: int
    p_value: float


def mcnemar(first: Sequence[bool], second: Sequence[bool]) -> McNemar:
    """Exact (binomial) McNemar test of two right/wrong lists of the same problems.

    p = 1 when the lists never differ. Raises ValueError when their lengths differ.
    """
    first, second = _pairs(first, second)
    only_first = int((first & ~second).sum())
    only_second = int((~first & second).sum())
    if only_first + only_second == 0:
        return McNemar(0, 0, 1.0)
    test = binomtest(only_first, only_first + only_second, 0.5)
    return McNemar(only_first, only_second, float(test.pvalue))


def paired_bootstrap(
    first: Sequence[float],
    second: Sequence[float],
    clusters: Sequence[Hashable],
    resamples: int = RESAMPLES,
    seed: int = SEED,
) -> tuple[float, float] | None:
    """Interval of mean(first) - mean(second), the pairs drawn together by problem."""
    if len(first) != len(second):
        raise ValueError(f"{len(first)} values against {len(second)}: pair them row by row")
    difference = np.asarray(first, dtype=float) - np.asarray(second, dtype=float)
    counts = np.stack([difference, np.ones(len(difference))], axis=1)
    return bootstrap(
        lambda sums: ratio(sums[:, 0], sums[:, 1]), counts, clusters, resamples, seed
    )


def _pairs(first: Sequence[bool], second: Sequence[bool]) -> tuple[np.ndarray, np.ndarray]:
    if len(first) != len(second):
        raise ValueError(f"{len(first)} values against {len(second)}: pair them row by row")
    return np.asarray(first, dtype=bool), np.asarray(second, dtype=bool)
