"""A training set of several sources: so many traces, in these shares, none twice.

Each source goes through its own test sets, teacher and filter. A problem gives at most one
clean and one planted trace. What a source cannot give is not made up for by another: the
assembly stops and says what is missing, unless fewer traces are allowed.
"""
from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from nanoreason.decontamination import TestSets
from nanoreason.filters import filter_traces, reasons
from nanoreason.planting import check_mix, plant
from nanoreason.problem import Problem
from nanoreason.records import Rejection, make_record
from nanoreason.trace import Trace

TOTAL = 15_000


class ShortfallError(ValueError):
    """The sources have fewer usable traces than were asked for; the message is a table."""


@dataclass
class Part:
    """One source of an assembly.

    problems: its train problems. share: of the total, any number above 0 (the shares of
    all parts are divided by their sum). teach: makes one trace or rejection a problem.
    """

    name: str
    problems: Iterable[Problem | Rejection]
    share: float
    teach: Callable[[Iterable[Problem | Rejection]], Iterable[Trace | Rejection]]
    kept: list[tuple[Problem, Trace]] = field(default_factory=list, init=False)
    rejected: list[Rejection] = field(default_factory=list, init=False)
    counts: dict = field(default_factory=dict, init=False)


def assemble(parts: list[Part], total: int = TOTAL, error_share: float = 0.5, seed: int = 0,
             *, tests: TestSets | None = None, kinds: Mapping[str, float] | None = None,
             allow_fewer: bool = False) -> tuple[list[dict], list[Rejection], dict]:
    """Training records of all parts, mixed in seeded order, with what was refused and counts.

    total: traces in all. error_share: the part of each source's traces that hold a planted
    error, of the `kinds` in these proportions (see `planting.plant`). tests: what the
    problems must have nothing in common with.
    Returns (records, rejections, counts by source: read, kept, reasons, wanted, clean,
    planted by kind, no_kind_fits; kept + rejected = read).
    Raises `ShortfallError` where a source gives fewer than its share, unless `allow_fewer`.
    """
    if not 0 <= error_share <= 1 or total < 1:
        raise ValueError(f"total must be at least 1 and error_share lie between 0 and 1, "
                         f"not {total!r} and {error_share!r}")
    check_mix(kinds)
    for part in parts:
        if not part.share > 0:
            raise ValueError(f"the share of {part.name} must be above 0, not {part.share!r}")
    records: list[dict] = []
    for part, wanted in zip(parts, whole_shares([part.share for part in parts], total)):
        problems = list(tests.clean(part.problems) if tests else part.problems)
        part.kept, part.rejected = filter_traces(zip(problems, part.teach(problems)))
        part.counts = {"read": len(problems), "kept": len(part.kept),
                       "reasons": reasons(part.rejected), "wanted": wanted}
        records += _records(part, wanted, round(error_share * wanted), seed, kinds)
    if not allow_fewer and len(records) < total:
        raise ShortfallError(_table(parts))
    random.Random(f"assembly/{seed}").shuffle(records)
    return (records, [r for part in parts for r in part.rejected],
            {part.name: part.counts for part in parts})


def whole_shares(shares: list[float], total: int) -> list[int]:
    """Whole numbers that add up to `total`, in proportion to `shares` (largest remainder)."""
    exact = [share * total / sum(shares) for share in shares]
    whole = [int(value) for value in exact]
    by_rest = sorted(range(len(shares)), key=lambda i: (whole[i] - exact[i], i))
    for index in by_rest[:total - sum(whole)]:
        whole[index] += 1
    return whole


def _records(part: Part, wanted: int, planted: int, seed: int,
             kinds: Mapping[str, float] | None) -> list[dict]:
    """Clean traces from one end of the seeded order, planted ones from the other: a problem
    gives both only where the source is short of problems."""
    order = list(part.kept)
    random.Random(f"assembly/{seed}/{part.name}").shuffle(order)
    clean = [make_record(problem, trace) for problem, trace in order[:wanted - planted]]
    wrong, by_kind, misfits = [], Counter(), 0
    for problem, trace in reversed(order):
        if len(wrong) == planted:
            break
        found = plant(problem, trace, seed, kinds)
        if found is None:
            misfits += 1
            continue
        by_kind[found[1]] += 1
        wrong.append(make_record(problem, found[0], {
            "step": found[0].verdict, "kind": found[1], "origin": "planted"}))
    part.counts |= {"clean": len(clean), "planted": dict(sorted(by_kind.items())),
                    "no_kind_fits": misfits}
    return clean + wrong


def _table(parts: list[Part]) -> str:
    lines = ["there are fewer traces than were asked for; ask for fewer, change the shares, or "
             "set allow_fewer", f"{'source':12} {'wanted':>7} {'clean':>7} {'planted':>7} "
             f"{'missing':>7}   problems kept of read"]
    for part in parts:
        counts, planted = part.counts, sum(part.counts["planted"].values())
        lines.append(f"{part.name:12} {counts['wanted']:7} {counts['clean']:7} {planted:7} "
                     f"{counts['wanted'] - counts['clean'] - planted:7}   "
                     f"{counts['kept']} of {counts['read']}")
    return "\n".join(lines)
