"""What every score function returns: values with their counts and intervals."""
from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import lru_cache

import numpy as np

from nanoreason.data.problem import question_sha256
from nanoreason.evaluation.rows import name_of, read_rows
from nanoreason.evaluation.statistics import bootstrap, mcnemar, paired_bootstrap, ratio, wilson

Interval = tuple[float, float] | None
# Which way is better; scores that are not listed have no better side.
BETTER = {
    **dict.fromkeys(
        ("strict", "lenient", "accuracy_a1", "accuracy_a2", "svr", "recall", "specificity",
         "youden_j", "first_wrong_step", "first_wrong_step_near", "i_to_c", "delta", "edge_f1", "causal_rate", "rfs"),
        "↑"),
    **dict.fromkeys(("c_to_i", "ritual_rate", "plan_infeasible", "dead_step_rate",
                     "dead_step_share"), "↓"),
}


@dataclass(frozen=True, kw_only=True)
class Report:
    """Scores of one set of rows; None where a score was not measured or n = 0.

    n: rows scored. counts: name -> (numerator, denominator); a composite score has the
    pair of each of its parts instead. left_out: reason -> names of rows not scored.
    refused: reason -> names of rows with an answer that could not be compared with the gold
    one; these are scored, as wrong.
    """

    n: int
    counts: dict[str, tuple]
    left_out: dict[str, tuple[str, ...]] = field(default_factory=dict)
    refused: dict[str, tuple[str, ...]] = field(default_factory=dict)
    intervals: dict[str, Callable[[], Interval]] = field(
        default_factory=dict, repr=False, compare=False
    )

    @classmethod
    def score_names(cls) -> tuple[str, ...]:
        """The names of the scores, in the order of the table."""
        base = {item.name for item in fields(Report)}
        return tuple(f.name for f in fields(cls) if f.name not in base and "None" in str(f.type)
                     and "float" in str(f.type))

    def interval(self, name: str) -> Interval:
        """The 95 % interval of a score: Wilson for a rate, clustered bootstrap for the rest
        and where a problem has several samples.

        None where the score is None or has no interval (a null). Raises KeyError for a
        name that is no score of this report.
        """
        if name not in self.score_names():
            raise KeyError(f"{name!r} is no score; choose one of {', '.join(self.score_names())}")
        if getattr(self, name) is None:
            return None
        if name in self.intervals:
            return self.intervals[name]()
        return wilson(*self.counts[name]) if _is_rate(self.counts.get(name)) else None

    def to_dict(self) -> dict:
        """Plain values for `summary.json`: every score with value, counts and interval."""
        scores = {
            name: {
                "value": getattr(self, name),
                "counts": self.counts.get(name),
                "interval": self.interval(name),
            }
            for name in self.score_names()
        }
        named = {part: {reason: list(names) for reason, names in getattr(self, part).items()}
                 for part in ("left_out", "refused")}
        return {"n": self.n, **scores, **named}

    def table(self) -> str:
        """A Markdown table: score, better side, value, counts, 95 % interval."""
        lines = [f"| score (n={self.n}) | | value | counts | 95 % interval |",
                 "|---|---|---|---|---|"]
        for name in self.score_names():
            value = getattr(self, name)
            shown = "n/a (n=0)" if value is None else f"{100 * value:.1f} %"
            interval = self.interval(name)
            limits = "–".join(f"{100 * limit:.1f}" for limit in interval or ())
            cells = name, BETTER.get(name, ""), shown, _show(self.counts.get(name)), limits
            lines.append(f"| {' | '.join(cells)} |")
        for title, part in (("Left out", self.left_out), ("Counted as wrong", self.refused)):
            for reason, names in part.items():
                more = f" and {len(names) - 5} more" if len(names) > 5 else ""
                lines.append(
                    f"\n{title} ({len(names)}): {reason}: {', '.join(names[:5])}{more}")
        return "\n".join(lines)

    def __str__(self):
        return self.table()

    def _repr_markdown_(self):
        return self.table()


def scores_of(report: Report, nulls: Mapping[str, str] = {}) -> dict:
    """A report as summary.json has it: {n, score: {value, counts, interval, null}, ...}.

    nulls: score -> the name of its null, which is taken in. left_out and refused have a
    count and the first names for each reason.
    """
    values = report.to_dict()
    scores = {name: values[name] | {"null": None} for name in report.score_names()}
    for name, null in nulls.items():
        scores[name]["null"] = scores.pop(null)["value"]
    named = {part: {reason: {"n": len(names), "first": names[:5]}
                    for reason, names in values[part].items()}
             for part in ("left_out", "refused")}
    return {"n": report.n, **scores, **named}


def rate(counts: tuple[float, int]) -> float | None:
    """numerator / denominator, None over nothing."""
    return counts[0] / counts[1] if counts[1] else None


def bootstrapped(
    statistic: Callable[[np.ndarray], np.ndarray], counts: np.ndarray, clusters: list
) -> Callable[[], Interval]:
    """A clustered bootstrap interval that is worked out when first asked for."""
    return lru_cache(maxsize=None)(lambda: bootstrap(statistic, counts, clusters))


def clustered(cases: Mapping[str, tuple[Sequence, Sequence]], problems: Sequence
              ) -> dict[str, Callable[[], Interval]]:
    """Intervals of the rates in which a problem has several cases, clustered by problem.

    cases: rate -> (whether each row counts, whether it is a case at all). Several samples of
    one problem are not independent; where every problem has one case, Wilson's interval
    stands and the rate is not in the result.
    """
    found = {}
    for name, (counted, case) in cases.items():
        places = np.flatnonzero(case)
        owners = [problems[place] for place in places]
        if len(set(owners)) < len(owners):
            table = np.stack([np.asarray(counted, float)[places], np.ones(len(places))], axis=1)
            found[name] = bootstrapped(lambda s: ratio(s[:, 0], s[:, 1]), table, owners)
    return found


def rate_of(counted: Sequence, problems: Sequence) -> dict:
    """The share of the cases that count, as summary.json has it: value, counts, interval.

    counted, problems: of each case, whether it counts and the problem it is of. The interval
    is that of `Report.interval`.
    """
    counts = sum(map(bool, counted)), len(counted)
    own = clustered({"rate": (counted, np.ones(len(counted), bool))}, problems).get("rate")
    return {"value": rate(counts), "counts": counts,
            "interval": own() if own else wilson(*counts), "null": None}


def _is_rate(counts: tuple | None) -> bool:
    return counts is not None and not isinstance(counts[0], tuple)


def _show(counts: tuple | None) -> str:
    if counts is None:
        return ""
    if not _is_rate(counts):
        return ", ".join(_show(part) for part in counts)
    numerator = f"{counts[0]:.1f}" if isinstance(counts[0], float) else str(counts[0])
    return f"{numerator}/{counts[1]}"


@dataclass(frozen=True)
class Comparison:
    """Two runs on the same traces' problems: shares right, their difference, the tests.

    n pairs; only_first, only_second: pairs right in one run alone; p_value: exact McNemar;
    interval: 95 % paired bootstrap of first - second, clustered by problem.
    """

    n: int
    first: float | None
    second: float | None
    difference: float | None
    interval: tuple[float, float] | None
    only_first: int
    only_second: int
    p_value: float
    left_out: dict[str, tuple[str, ...]]

    def __str__(self):
        if not self.n:
            return "n/a (n=0)"
        low, high = self.interval
        return (
            f"{100 * self.first:.1f} % against {100 * self.second:.1f} % (n={self.n}), "
            f"difference {100 * self.difference:+.1f} points [{100 * low:+.1f}, "
            f"{100 * high:+.1f}], only first {self.only_first}, only second "
            f"{self.only_second}, exact McNemar p = {self.p_value:.3g}"
        )


def compare(rows: Iterable[Mapping], others: Iterable[Mapping], of: str = "a1") -> Comparison:
    """Compare two runs pair by pair (same problem, sample and setting).

    of: "a1" (the result of EXECUTE: compare with a run trained without VERIFY loss, since
    a verifier must not be bought by spoiling EXECUTE), "a2" (the answer) or "lenient".
    Rows without a partner are left out and named. Raises ValueError for another `of`, where
    two rows of one name are of different problems, and where no row has a partner.
    """
    attribute = {"a1": "first", "a2": "second", "lenient": "lenient"}.get(of)
    if attribute is None:
        raise ValueError(f"of is {of!r}; choose a1, a2 or lenient")
    rows, others = list(rows), list(others)
    (ours, left_out), (theirs, their_left_out) = read_rows(rows, True), read_rows(others, True)
    left_out = {**left_out, **{f"second run: {k}": v for k, v in their_left_out.items()}}
    partners = {r.name: r for r in theirs}
    pairs = [(r, partners[r.name]) for r in ours if r.name in partners]
    paired = {r.name for r, _ in pairs}
    if ours and theirs:
        _require_same(rows, others, paired)
    alone = tuple(r.name for r in (*ours, *theirs) if r.name not in paired)
    if alone:
        left_out["no partner in the other run"] = alone
    first = [bool(getattr(r, attribute)) for r, _ in pairs]
    second = [bool(getattr(r, attribute)) for _, r in pairs]
    test, n = mcnemar(first, second), len(pairs)
    return Comparison(
        n=n, first=rate((sum(first), n)), second=rate((sum(second), n)),
        difference=rate((sum(first) - sum(second), n)),
        interval=paired_bootstrap(first, second, [r.problem for r, _ in pairs]) if n else None,
        only_first=test.only_first, only_second=test.only_second, p_value=test.p_value,
        left_out=left_out,
    )


def _require_same(rows: list[Mapping], others: list[Mapping], paired: set[str]) -> None:
    if not paired:
        raise ValueError(f"no row has a partner in the other run, such as {name_of(rows[0])} "
                         f"against {name_of(others[0])}: evaluate both runs on the same problems")
    theirs = {name_of(row): row for row in others}
    odd = [name_of(row) for row in rows
           if name_of(row) in paired and problem_key(row) != problem_key(theirs[name_of(row)])]
    if odd:
        raise ValueError(f"{len(odd)} rows have the same name in both runs but another question "
                         f"or gold answer, such as {odd[0]}: evaluate both runs on the same data")


def problem_key(row: Mapping) -> tuple[str, str | None, str]:
    """What makes two rows rows of one problem: id, the question's hash, gold answer.

    The hash is None where a row has neither the question nor its hash.
    """
    digest = row.get("question_sha256")
    if digest is None and row.get("question") is not None:
        digest = question_sha256(row["question"])
    return str(row.get("problem_id", row.get("id"))), digest, str(row.get("gold"))


def different_problems(rows: Iterable[Mapping], others: Iterable[Mapping]) -> str | None:
    """What differs between the problems of two sets of rows, None if they are the same."""
    ours, theirs = ({problem_key(row) for row in part} for part in (rows, others))
    only_ours, only_theirs = sorted(ours - theirs, key=str), sorted(theirs - ours, key=str)
    if not only_ours and not only_theirs:
        return None
    example = (only_ours or only_theirs)[0][0]
    return (f"{len(ours & theirs)} problems are the same, {len(only_ours)} only in the first, "
            f"{len(only_theirs)} only in the second, such as {example}")
