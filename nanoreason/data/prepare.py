"""From a source to training records: problems, teacher, filter, planted errors.

`load_problems` reads a source, `teach` makes a trace of each problem, `filter_traces`
keeps the good ones, `corrupt` plants an error in a right one; `prepare` is all four in
that order. Whatever falls out on the way is a `Rejection` that stands in the stream where
the problem or the trace would have stood, so nothing is lost and order is kept:

    problems = list(load_problems("gsm8k", path="train_socratic.jsonl.gz"))
    kept, rejected = filter_traces(zip(problems, teach(problems)))
"""
from __future__ import annotations

import random
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from nanoreason.data.errors import check_mix, plant
from nanoreason.data.filters import filter_traces, reasons
from nanoreason.data.mixture import prepare_mixture, read_mixture
from nanoreason.data.problem import (Problem, Rejection, make_record, read_json_lines,
                                     read_traces)
from nanoreason.data.sources import load_problems
from nanoreason.data.teachers import teach
from nanoreason.trace import Trace


def prepare(data: str, teacher="rules", total: int | None = None,
            error_share: float = 0.5, seed: int = 0, *, split: str = "train",
            path: str | Path | None = None, kinds: Mapping[str, float] | None = None,
            language: str = "en", allow_fewer: bool = False,
            report: dict | None = None) -> list[dict]:
    """Training records (`records.FIELDS`) of a source, the same ones for the same seed.

    data: "procedural"; "gsm8k", "math", "vnhsge" or several of them in shares, such as
        "gsm8k:8+math:6+vnhsge:1" (see `mixture`), decontaminated against their test sets;
        the path of a GSM8K or other question-and-answer file (gzipped or not); or the path
        of a file of prepared traces, which is taken as it is: `teacher`, `kinds` and
        `error_share` do not apply to it.
    total: records of a data set or mixture, with `allow_fewer` at most; of a file at most.
        None: 1,000 of "procedural", 15,000 of the data sets, all of a file.
    error_share: the share of records that are to hold a planted error, 0 to 1. Where no
        kind of error fits a trace of "procedural" or of a file it stays clean and is
        counted; of a data set another problem takes its place.
    language: of "procedural", see `procedural.problems`.
    kinds: weights of the kinds of error, see `planting.plant`; None: all alike.
    report: filled, if given, with `read`, `kept`, `rejected` (the list), `reasons`,
        `planted` (count by kind) and `no_kind_fits`; of data sets also `by_source` and
        `test_sets`.

    Raises `ValueError` where no record is left, `assembly.ShortfallError` (one too) where a
    data set has fewer than its share, and what `load_problems` raises.
    """
    if not 0 <= error_share <= 1:
        raise ValueError(f"error_share must lie between 0 and 1, not {error_share!r}")
    if total is not None and total < 1:
        raise ValueError(f"total must be None or at least 1, not {total!r}")
    check_mix(kinds)
    report = {} if report is None else report
    mixture = read_mixture(data)
    if mixture and data != "procedural":
        return prepare_mixture(mixture, teacher, total, error_share, seed, split, path, kinds,
                               language, allow_fewer, report)
    if not mixture and _is_prepared(data):
        records = _shuffled(read_traces(data), seed)[:total]
        planted = Counter(r["planted"]["kind"] for r in records if r["planted"])
        report.update(read=len(records), kept=len(records), rejected=[], reasons={},
                      planted=dict(planted), no_kind_fits=0)
        return records
    pairs, rejected = _kept(data, teacher, total, seed, split, path, language)
    report.update(read=len(pairs) + len(rejected), kept=len(pairs), rejected=rejected,
                  reasons=reasons(rejected))
    if not pairs:
        raise ValueError(f"no usable record in {data!r}: {report['reasons'] or 'it is empty'}")
    chosen = set(random.Random(f"errors/{seed}").sample(
        range(len(pairs)), round(error_share * len(pairs))))
    records, by_kind = [], Counter()
    for position, (problem, trace) in enumerate(pairs):
        planted = None
        if position in chosen:
            found = plant(problem, trace, seed, kinds)
            by_kind[found[1] if found else None] += 1
            if found:
                trace, kind = found
                planted = {"step": trace.verdict, "kind": kind, "origin": "planted"}
        records.append(make_record(problem, trace, planted))
    report.update(no_kind_fits=by_kind.pop(None, 0), planted=dict(sorted(by_kind.items())))
    return records


def _kept(data: str, teacher, total: int | None, seed: int, split: str,
          path: str | Path | None, language: str
          ) -> tuple[list[tuple[Problem, Trace]], list[Rejection]]:
    """The first `total` problems (in seeded order) whose trace passes the filter."""
    if data == "procedural":
        problems = load_problems(data, path, split, count=total or 1000, seed=seed,
                                 language=language)
    else:
        # A file whose answers are not in GSM8K's layout has no steps to learn from, and
        # the teacher says so; so one reader serves both.
        problems = _shuffled(list(load_problems(data, path, split)), seed)
    kept: list[tuple[Problem, Trace]] = []
    rejected: list[Rejection] = []
    for problem in problems:
        if total is not None and len(kept) == total:
            break
        good, bad = filter_traces([(problem, *teach([problem], teacher))])
        kept += good
        rejected += bad
    return kept, rejected


def _shuffled(items: list, seed: int) -> list:
    random.Random(f"order/{seed}").shuffle(items)
    return items


def _is_prepared(path: str) -> bool:
    """Whether the first readable record of a file has a trace."""
    if not Path(path).is_file():
        return False
    first = next((r for _, r in read_json_lines(path) if isinstance(r, dict)), {})
    return "trace" in first
