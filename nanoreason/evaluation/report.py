"""Scores with what they are worth: counts, 95 % intervals, and paired comparisons.

A share of cases (k of n) gets a Wilson interval. Composite scores, which are no single
fraction, get a percentile bootstrap clustered by problem, and so do shares in which a problem
has several cases: several samples of one problem are not independent, so whole problems are
drawn. Every such score is a function of summed per-row counts; a resample is then one matrix
product, and 10,000 of them take about a second for a thousand problems. Seeds are a source
of variance of their own: `crossed_bootstrap` draws runs and problems both. Left out on
purpose: normal approximations (wrong near 0 and 1).
"""
from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from functools import cache, lru_cache
from typing import NamedTuple

import numpy as np
from scipy.stats import binomtest

from nanoreason.data.problem import question_sha256
from nanoreason.evaluation.rows import ScoredRow, ScoredRows, by_reason, problem_of, read_rows
from nanoreason.host import GivenError
from nanoreason.paths import asset_table
from nanoreason.table import Table

Interval = tuple[float, float] | None
Statistic = Callable[[np.ndarray], np.ndarray]
RESAMPLES = 10_000
SEED = 0
SMOKE_BELOW = 50  # natural test traces: a run with fewer says that it works, not how well
PLACES = 10  # of an interval's limits
TABLES = asset_table("tables.yaml")  # words and better side of every score


def wilson(k: int, n: int) -> Interval:
    """95 % Wilson score interval of the proportion k / n (Wilson 1927); None when n = 0.

    Raises ValueError when k is not between 0 and n.
    """
    if n == 0:
        return None
    interval = binomtest(int(k), int(n)).proportion_ci(method="wilson")
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


def bootstrap(statistic: Statistic, counts: np.ndarray, clusters: Sequence[Hashable]
              ) -> Interval:
    """Percentile bootstrap interval of a statistic of summed counts, clustered.

    statistic: maps sums of counts (R, C) to values (R,), nan where undefined.
    counts: (rows, C), one row a trace; clusters: the problem of each row.
    Each resample draws as many problems as there are, with replacement (Davison and
    Hinkley 1997, section 3.8). Resamples in which the statistic is undefined (a zero
    denominator) are left out; None when there are no rows or no defined resample.
    """
    counts = np.asarray(counts, dtype=float)
    if len(counts) != len(clusters):
        raise GivenError(
            f"{len(counts)} rows of counts for {len(clusters)} clusters: give one per row")
    if len(counts) == 0:
        return None
    names = {name: index for index, name in enumerate(dict.fromkeys(clusters))}
    sums = np.zeros((len(names), counts.shape[1]))  # (problems, C)
    np.add.at(sums, [names[cluster] for cluster in clusters], counts)
    # Problems with equal counts are interchangeable: drawing how often each distinct row
    # of counts comes up is the same bootstrap, with a few columns instead of thousands.
    kinds, multiplicity = np.unique(sums, axis=0, return_counts=True)
    drawn = np.random.default_rng(SEED).multinomial(
        len(names), multiplicity / multiplicity.sum(), size=RESAMPLES)  # (RESAMPLES, kinds)
    return _percentiles(np.asarray(statistic(drawn @ kinds), dtype=float))


def _percentiles(values: np.ndarray) -> Interval:
    """The limits between which 95 % of the values that are no nan lie."""
    values = values[~np.isnan(values)]
    if len(values) == 0:
        return None
    low, high = np.percentile(values, [2.5, 97.5])
    # The last digits of a sum depend on the number of threads; those of a result must not.
    return round(float(low), PLACES), round(float(high), PLACES)


def crossed_bootstrap(statistic: Statistic, counts: np.ndarray) -> Interval:
    """Percentile interval of a statistic's mean over runs, runs and problems both drawn.

    counts: (runs, problems, C), the same problems in every run; statistic: as in `bootstrap`.
    Each resample draws as many runs and, once for all of them, as many problems as there
    are, with replacement (the pigeonhole bootstrap, Owen 2007): the runs share their
    problems, so the two are crossed, not nested. With one run this is `bootstrap`. A drawn
    run in which the statistic is undefined leaves its resample out. None when there are no
    runs, no problems or no defined resample.
    """
    counts = np.asarray(counts, dtype=float)
    runs, problems, _ = counts.shape
    if not runs or not problems:
        return None
    values = []
    for drawn, weights in _crossed_draws(runs, problems):
        drawn = drawn.astype(float)
        each = np.stack([statistic(drawn @ table) for table in counts], axis=1)  # (size, runs)
        values.append(np.where(weights > 0, each * weights, 0.0).sum(axis=1))
    return _percentiles(np.concatenate(values))


@lru_cache(maxsize=2)
def _crossed_draws(runs: int, problems: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Of RESAMPLES resamples, a thousand at a time, how often each problem is drawn and the
    weight of each run. Kept, since drawing takes nine tenths of an interval's time and all
    scores of a table are drawn alike; as bytes, 10 MB for a thousand problems.
    """
    rng, made, size = np.random.default_rng(SEED), [], 1000
    for _ in range(RESAMPLES // size):
        drawn = rng.multinomial(problems, np.full(problems, 1 / problems), size=size)
        weights = rng.multinomial(runs, np.full(runs, 1 / runs), size=size) / runs
        made.append((drawn.astype(np.min_scalar_type(drawn.max())), weights))
    return made


def mcnemar(first: Sequence[bool], second: Sequence[bool]) -> tuple[int, int, float]:
    """Exact (binomial) McNemar test of two right/wrong lists of the same problems.

    Returns in how many pairs the first alone is right, in how many the second, and the
    two-sided p, 1 when the lists never differ. Raises ValueError when their lengths differ.
    """
    pairs = list(zip(first, second, strict=True))
    only_first = sum(bool(one and not other) for one, other in pairs)
    only_second = sum(bool(other and not one) for one, other in pairs)
    differ = only_first + only_second
    p_value = float(binomtest(only_first, differ, 0.5).pvalue) if differ else 1.0
    return only_first, only_second, p_value


def paired_bootstrap(first: Sequence[float], second: Sequence[float],
                     clusters: Sequence[Hashable]) -> Interval:
    """Interval of mean(first) - mean(second), the pairs drawn together by problem.

    Raises ValueError when there are not as many of the one as of the other.
    """
    difference = [float(one) - float(other) for one, other in zip(first, second, strict=True)]
    return bootstrap(mean, with_ones(difference), clusters)


def mean(sums: np.ndarray) -> np.ndarray:
    """The mean of the values in `with_ones`, from its sums: (R, 2) -> (R,)."""
    return ratio(sums[:, 0], sums[:, 1])


def with_ones(values: Sequence[float]) -> np.ndarray:
    """Values beside ones, (n, 2): what `bootstrap` needs for a mean."""
    return np.stack([np.asarray(values, float), np.ones(len(values))], axis=1)


class Score(NamedTuple):
    """A score; None where it was not measured or n = 0.

    counts: (numerator, denominator), of a composite score the pair of each of its parts.
    find_interval: works its 95 % interval out.
    """

    value: float | None
    counts: tuple | None = None
    find_interval: Callable[[], Interval] = lambda: None

    def to_dict(self) -> dict:
        """As summary.json has it: value, counts, interval; and null, for another to fill."""
        interval = None if self.value is None else self.find_interval()
        return {"value": self.value, "counts": self.counts, "interval": interval, "null": None}


def rate(counts: tuple[float, int]) -> float | None:
    """numerator / denominator, None over nothing."""
    return counts[0] / counts[1] if counts[1] else None


def rate_of(counted: Sequence[bool], problems: Sequence[Hashable]) -> Score:
    """The share of the cases that count, with Wilson's interval, or clustered by problem.

    counted, problems: of each case, whether it counts and the problem it is of. Several cases
    of one problem are not independent; where every problem has one, Wilson's interval stands.
    It stands for problems in place of cases where all cases count or none does: there nothing
    varies between resamples, and a bootstrap would be certain.
    """
    counts = sum(map(bool, counted)), len(counted)

    def interval() -> Interval:
        n = len(set(problems))
        if n == len(problems):
            return wilson(*counts)
        if counts[0] in (0, counts[1]):
            return wilson(n * (counts[0] > 0), n)
        return bootstrap(mean, with_ones(counted), problems)
    return Score(rate(counts), counts, cache(interval))


def composite(statistic: Statistic, table: np.ndarray, problems: Sequence[Hashable],
              counts: tuple) -> Score:
    """A statistic of the sums of a table, (n, C), with its bootstrap interval by problem."""
    value = float(statistic(table.sum(axis=0)[None])[0])
    return Score(None if np.isnan(value) else value, counts,
                 cache(lambda: bootstrap(statistic, table, problems)))


class Report:
    """The scores of one table of rows, each an attribute: a number, or None where it was not
    measured or n = 0. A score is worked out when it is first asked for.

    n: rows scored. counts: name -> (numerator, denominator); a composite score has the
    pair of each of its parts instead. left_out: reason -> names of rows not scored.
    refused: reason -> names of rows with an answer that could not be compared with the gold
    one; these are scored, as wrong.
    """

    def __init__(self, n: int, scores: Mapping[str, Callable[[], Score]],
                 left_out: Mapping[str, tuple[str, ...]], rows: Iterable[ScoredRow] = ()):
        self.n, self.left_out, self._rows = n, dict(left_out), rows
        self._scores = {name: cache(make) for name, make in scores.items()}

    def __getattr__(self, name: str):
        if name.startswith("_") or name not in self._scores:
            raise AttributeError(f"{type(self).__name__} has no score {name!r}")
        return self._scores[name]().value

    @property
    def counts(self) -> dict[str, tuple]:
        """name -> counts of the scores that have some."""
        found = {name: make().counts for name, make in self._scores.items()}
        return {name: counts for name, counts in found.items() if counts is not None}

    @property
    def refused(self) -> dict[str, tuple[str, ...]]:
        """The names of the rows with an answer that could not be compared, by reason."""
        return by_reason((row.refused, row.name) for row in self._rows if row.refused)

    def interval(self, name: str) -> Interval:
        """The 95 % interval of a score: Wilson for a rate, clustered bootstrap for the rest
        and where a problem has several samples.

        None where the score is None or has no interval (a null).
        """
        return self.entry(name)["interval"]

    def entry(self, name: str) -> dict:
        """One score as `to_dict` has it, without working out the others.

        Raises ValueError for a name that is no score of this report.
        """
        if name not in self._scores:
            raise GivenError(f"{name!r} is no score; choose one of {', '.join(self._scores)}")
        return self._scores[name]().to_dict()

    def to_dict(self, nulls: Mapping[str, str] = {}) -> dict:
        """Plain values for `summary.json`: {n, score: {value, counts, interval, null}, ...}.

        nulls: score -> the name of its null, which is taken in. left_out and refused have a
        count and the first names for each reason.
        """
        scores = {name: make().to_dict() for name, make in self._scores.items()}
        for name, null in nulls.items():
            scores[name]["null"] = scores.pop(null)["value"]
        named = {part: {reason: {"n": len(names), "first": list(names[:5])}
                        for reason, names in getattr(self, part).items()}
                 for part in ("left_out", "refused")}
        return {"n": self.n, **scores, **named}

    def table(self) -> Table:
        """One row a score: better side, value, counts, 95 % interval; then what is left out."""
        rows = []
        for name, make in self._scores.items():
            score = make().to_dict()
            shown = "n/a (n=0)" if score["value"] is None else f"{100 * score['value']:.1f} %"
            limits = "–".join(f"{100 * limit:.1f}" for limit in score["interval"] or ())
            counts = show_counts(score["counts"], ", ")
            rows.append((name, arrow(name), shown, counts, limits))
        for title, part in (("Left out", self.left_out), ("Counted as wrong", self.refused)):
            for reason, names in part.items():
                more = f" and {len(names) - 5} more" if len(names) > 5 else ""
                rows.append((title, "", str(len(names)), reason, ", ".join(names[:5]) + more))
        return Table(f"n={self.n}", ("score", "", "value", "counts", "95 % interval"), tuple(rows))

    def __repr__(self):
        return repr(self.table())

    def _repr_html_(self) -> str:
        return self.table()._repr_html_()


def arrow(name: str) -> str:
    """↑ where more is better, ↓ where less is, nothing where neither is."""
    return next((sign for sign, names in TABLES["better"].items() if name in names), "")


def show_counts(counts: Sequence | None, between: str = "; ") -> str:
    """`78/500`; of a composite score its parts, `12/40; 250/260`."""
    if counts is None:
        return ""
    if isinstance(counts[0], (list, tuple)):
        return between.join(map(show_counts, counts))
    numerator = f"{counts[0]:.1f}" if isinstance(counts[0], float) else str(counts[0])
    return f"{numerator}/{counts[1]}"


def compare(rows: Iterable[Mapping] | ScoredRows, others: Iterable[Mapping] | ScoredRows,
            of: str = "a1") -> dict:
    """Compare two runs pair by pair (same problem, sample and setting), as summary.json has it.

    of: "a1" (the result of EXECUTE: compare with a run trained without VERIFY loss, since
    a verifier must not be bought by spoiling EXECUTE), "a2" (the answer) or "lenient".
    Rows without a partner are left out. Returns {n: pairs, first, second: shares right,
    difference, interval: of it, 95 % paired bootstrap by problem, only_first, only_second:
    pairs right in one run alone, p_value: exact McNemar}. Raises ValueError for another `of`,
    where two rows of one name are of different problems, and where no row has a partner.
    """
    attribute = {"a1": "first", "a2": "second", "lenient": "lenient"}.get(of)
    if attribute is None:
        raise GivenError(f"of is {of!r}; choose a1, a2 or lenient")
    ours, theirs = read_rows(rows).pooled(single=True), read_rows(others).pooled(single=True)
    partners = {row.name: row for row in theirs}
    pairs = [(row, partners[row.name]) for row in ours if row.name in partners]
    if ours.rows and theirs.rows and not pairs:
        raise GivenError(f"no row has a partner in the other run, such as {ours.rows[0].name} "
                         f"against {theirs.rows[0].name}: evaluate both runs on the same problems")
    odd = [row.name for row, other in pairs if problem_key(row.row) != problem_key(other.row)]
    if odd:
        raise GivenError(f"{len(odd)} rows have the same name in both runs but another question "
                         f"or gold answer, such as {odd[0]}: evaluate both runs on the same data")
    first, second = ([bool(getattr(row, attribute)) for row in side]
                     for side in (zip(*pairs) if pairs else ((), ())))
    n, (only_first, only_second, p_value) = len(pairs), mcnemar(first, second)
    return {"n": n, "first": rate((sum(first), n)), "second": rate((sum(second), n)),
            "difference": rate((sum(first) - sum(second), n)),
            "interval": paired_bootstrap(first, second, [row.problem for row, _ in pairs]),
            "only_first": only_first, "only_second": only_second, "p_value": p_value}


def problem_key(row: Mapping) -> tuple[str, str | None, str]:
    """What makes two rows rows of one problem: id, the question's hash, gold answer.

    The hash is None where a row has neither the question nor its hash.
    """
    digest = row.get("question_sha256")
    if digest is None and row.get("question") is not None:
        digest = question_sha256(row["question"])
    return problem_of(row), digest, str(row.get("gold"))


def different_problems(rows: Iterable[Mapping], others: Iterable[Mapping]) -> str | None:
    """What differs between the problems of two sets of rows, None if they are the same."""
    ours, theirs = ({problem_key(row) for row in part} for part in (rows, others))
    only_ours, only_theirs = sorted(ours - theirs, key=str), sorted(theirs - ours, key=str)
    if not only_ours and not only_theirs:
        return None
    example = (only_ours or only_theirs)[0][0]
    return (f"{len(ours & theirs)} problems are the same, {len(only_ours)} only in the first, "
            f"{len(only_theirs)} only in the second, such as {example}")
