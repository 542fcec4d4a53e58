"""Two runs on the same problems: who is right where, and is the difference more than chance.

Pairs are rows of one problem, sample and setting. Runs on different problems are not
compared: a difference between them would be one of problems. Left out on purpose:
unpaired tests, and corrections for many comparisons (the tables show every p-value).
"""
from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from nanoreason.problem import question_sha256
from nanoreason.rows import name_of, read_rows
from nanoreason.scorecard import rate
from nanoreason.statistics import mcnemar, paired_bootstrap


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
