"""Train problems that stand in a test set, whole or in part, are taken out.

The usual rule: a train question that shares any 13 consecutive words with a test question
is contaminated (Brown et al. 2020, appendix C). Words are those of the normalised question,
so case, punctuation and spacing make no difference. A question of fewer than 13 words is
compared whole.
"""
from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from nanoreason.data.errors import check_mix, plant
from nanoreason.data.filters import filter_traces, reasons
from nanoreason.data.problem import Problem, Rejection, make_record, normalise_question
from nanoreason.data.sources import READERS, load_problems
from nanoreason.trace import Trace

WORDS = 13


def shingles(question: str, words: int = WORDS) -> set[str]:
    """The runs of `words` consecutive words of a question; of a shorter one, all of it."""
    found = normalise_question(question).split()
    last = max(len(found) - words, 0)
    return {" ".join(found[start:start + words]) for start in range(last + 1)} - {""}


class TestSets:
    """The questions that training must not have seen.

    problems: of any sources; rejections among them are passed over. `counts` holds, after
    `clean` has run, the number of train problems taken out by source of the test problem,
    under "questions" how many test questions there are.
    """

    __test__ = False  # a noun, not a test case

    def __init__(self, problems: Iterable[Problem | Rejection], words: int = WORDS):
        self.words, self.counts = words, Counter(questions=0)
        self.owner: dict[str, Problem] = {}  # the first test problem with a run of words
        for problem in problems:
            if isinstance(problem, Problem):
                self.counts["questions"] += 1
                for shingle in shingles(problem.question, words):
                    self.owner.setdefault(shingle, problem)

    def clean(self, problems: Iterable[Problem | Rejection]) -> Iterator[Problem | Rejection]:
        """The problems in order, with a `Rejection` in place of each contaminated one."""
        for problem in problems:
            yield problem if isinstance(problem, Rejection) else self._examined(problem)

    def _examined(self, problem: Problem) -> Problem | Rejection:
        own = shingles(problem.question, self.words)
        shared = sorted(own & self.owner.keys())
        if not shared:
            return problem
        test = self.owner[shared[0]]
        self.counts[test.source] += 1
        return Rejection(problem.id, "contaminated", test.id,
                         f"shares {len(shared)} of its {len(own)} runs of {self.words} words "
                         f"with the test problem {test.id}")


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
    from nanoreason.data.teachers import teach

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
