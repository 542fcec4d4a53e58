"""Several data sets in one line: `gsm8k:8+math:6+vnhsge:1`, and the training set they make.

A data set is a name, with `@revision` of what is published and `:share` of the traces where
they are wanted. Each goes against the test sets of all before its traces are counted.
"""
from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from nanoreason.assembly import TOTAL, Part, assemble
from nanoreason.decontamination import TestSets
from nanoreason.filters import reasons
from nanoreason.sources import READERS, load_problems

NAMES = ("procedural", *READERS)
_ENTRY = re.compile(rf"({'|'.join(NAMES)})(?:@([\w./-]+))?(?::([0-9]+(?:\.[0-9]+)?))?")


@dataclass(frozen=True)
class Entry:
    """One data set of a mixture."""

    source: str
    revision: str | None
    share: float


def read_mixture(data: str) -> list[Entry]:
    """The data sets that `data` names, [] where it is something else, for example a path.

    Raises `ValueError` for a data set that comes twice and for a share of 0.
    """
    found = [_ENTRY.fullmatch(part) for part in data.split("+")]
    if not all(found):
        return []
    entries = [Entry(m[1], m[2], float(m[3] or 1)) for m in found]
    for name, count in Counter(entry.source for entry in entries).items():
        if count > 1:
            raise ValueError(f"{name} comes {count} times in {data!r}; name it once")
    if not all(entry.share for entry in entries):
        raise ValueError(f"a share of {data!r} is 0; leave the data set out")
    return entries


def prepare_mixture(entries: list[Entry], teacher, total: int | None, error_share: float,
                    seed: int, split: str, path: str | Path | None,
                    kinds: Mapping[str, float] | None, language: str, allow_fewer: bool,
                    report: dict
                    ) -> list[dict]:
    """Training records of a mixture; see `data.prepare`, which fills in the rest.

    path: of one data set, what `load_problems` takes; of several, a folder with a folder
    `gsm8k`, `math` or `vnhsge` for each that is local.
    report: filled with `read`, `kept`, `rejected`, `reasons`, `planted`, `no_kind_fits`,
    `by_source` (see `assembly.assemble`) and `test_sets`: the train problems taken out by
    source, the number of test questions, and `absent`, the data sets whose test set is not
    there to compare with.
    """
    from nanoreason.data import teach

    places = {entry.source: _place(entry, path, len(entries)) for entry in entries}
    total = TOTAL if total is None else total
    tests, absent = _test_sets(entries, places)
    share_of_all = sum(entry.share for entry in entries)
    parts = [Part(entry.source, load_problems(
        entry.source, places[entry.source], split, seed=seed, language=language,
        revision=entry.revision,
        # Of a problem come two traces at most, and one is kept nearly always.
        count=max(1, round(total * entry.share / share_of_all))), entry.share,
        lambda problems, name=entry.source: teach(
            problems, "rules" if name == "procedural" else teacher)) for entry in entries]
    records, rejected, counts = assemble(parts, total, error_share, seed, tests=tests,
                                         kinds=kinds, allow_fewer=allow_fewer)
    planted: Counter[str] = Counter()
    for part in counts.values():
        planted.update(part["planted"])
    report.update(read=sum(part["read"] for part in counts.values()),
                  kept=sum(part["kept"] for part in counts.values()), rejected=rejected,
                  reasons=reasons(rejected), planted=dict(sorted(planted.items())),
                  no_kind_fits=sum(part["no_kind_fits"] for part in counts.values()),
                  by_source=counts, test_sets={**tests.counts, "absent": absent})
    return records


def _place(entry: Entry, path: str | Path | None, entries: int) -> Path | None:
    """Where a data set is to be read; None: where it is published."""
    if entry.source == "procedural" or path is None:
        return None
    if entries == 1:
        return Path(path)
    own = Path(path) / entry.source
    if not Path(path).is_dir():
        raise ValueError(f"several data sets are read from one folder, but {path} is none")
    return own if own.exists() else None


def _test_sets(entries: list[Entry], places: Mapping[str, Path | None]
               ) -> tuple[TestSets, list[str]]:
    """All test questions, and the data sets of which there are none.

    A file of train problems has no test set beside it; of a folder, or of what is
    published, a missing one is named as well.
    """
    found, absent = [], []
    for entry in entries:
        place = places[entry.source]
        if entry.source == "procedural":
            continue
        try:
            if place is not None and place.is_file():
                raise FileNotFoundError(f"{place} is one file")
            found += load_problems(entry.source, place, "test", revision=entry.revision)
        except FileNotFoundError:
            absent.append(entry.source)
    return TestSets(found), absent
