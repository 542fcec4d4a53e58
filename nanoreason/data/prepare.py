"""From sources to training records: problems, teacher, filter, injected errors, mixture.

`load_problems` reads a source, `teach` makes a trace of each problem, `filter_traces`
keeps the good ones, `corrupt` injects an error into a right one; `prepare` is all four in
that order, for one source or for several data sets in shares (`gsm8k:8+math:6+vnhsge:1`).
Whatever falls out on the way is a `Rejection` that stands in the stream where the problem or
the trace would have stood, so nothing is lost and order is kept:

    problems = list(load_problems("gsm8k", path="train_socratic.jsonl.gz"))
    kept, rejected = filter_traces(zip(problems, teach(problems)))

Train problems of data sets that stand in a test set, whole or in part, are taken out by the
usual rule: a train question that shares any 13 consecutive words with a test question is
contaminated (Brown et al. 2020, appendix C). Code of drawings is no text of a question, and a
run of words that stands in more than COMMON train questions is a stock phrase, which the
paper passes over too.
"""
from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path

from nanoreason.data.errors import check_mix, inject
from nanoreason.data.filters import filter_traces, reasons
from nanoreason.data.problem import (Entry, Problem, Rejection, make_record, normalise_question,
                                     read_mixture, read_records, read_traces, words_of)
from nanoreason.data.sources import load_problems
from nanoreason.data.teachers import teach
from nanoreason.data.verify_lines import by_columns
from nanoreason.host import GivenError, Told, check_number
from nanoreason.trace import Trace, parse_trace, render_trace

WORDS = 13
COMMON = 10
# Why the rules refuse a problem whose solution is prose or formulas.
BY_RULES = {"no_steps", "answer_not_a_number", "answer_not_reached", "no_binary_steps",
            "unreadable_expression", "operand_without_source"}
_DRAWING = re.compile(r"\[asy\].*?(?:\[/asy\]|\Z)", re.DOTALL)
TOTAL = 15_000  # records of data sets, where none is asked for


def prepare(data: str, teacher="rules", total: int | None = None,
            error_share: float = 0.5, seed: int = 0, *, split: str = "train",
            path: str | Path | None = None, columns: Mapping | None = None,
            kinds: Mapping[str, float] | None = None,
            language: str = "en", allow_fewer: bool = False, drop_ambiguous: bool = False,
            checks: str = "rearranged", report: dict | None = None) -> list[dict]:
    """Training records (`problem.FIELDS`) of a source, the same ones for the same seed.

    data: "procedural"; "gsm8k", "math", "vnhsge" or several of them in shares, each at a
        revision if it has one (`gsm8k@main:2+math:1`), decontaminated against their test
        sets; the path of a GSM8K or other question-and-answer file (gzipped or not); or the
        path of a file of prepared traces, which is taken as it is: `teacher`, `kinds` and
        `error_share` do not apply to it.
    total: records of a data set or mixture, with `allow_fewer` at most; of a file at most.
        None: 1,000 of "procedural", TOTAL of the data sets, all of a file.
    error_share: the share of records that are to hold an injected error, 0 to 1. Where no
        kind of error fits a trace of "procedural" or of a file it stays clean and is
        counted; of a data set another problem takes its place.
    path: what `load_problems` takes; of several data sets, a folder with a folder `gsm8k`,
        `math` or `vnhsge` for each that is local.
    columns: of a file, see `load_problems`; `report["columns"]` has what was guessed for a
        data set that is known by its fields.
    kinds: weights of the kinds of error, see `errors.inject`; None: all alike.
    language: of "procedural", see `procedural.problems`.
    drop_ambiguous: see `filter_traces`.
    checks: "rearranged", or "digits" for `verify_lines.by_columns`, of prepared traces too.
    report: filled, if given, with `read`, `kept`, `rejected` (the list), `reasons`,
        `planted` (count by kind) and `no_kind_fits`; of data sets also `by_source` (see
        `assemble`) and `test_sets`: the train problems taken out by source, the number of
        test questions, `absent`, the data sets whose test set is not there to compare, and
        `shared_runs`, how many problems by how many runs they shared.

    Raises `ValueError` where no record is left, `ShortfallError` (one too) where a data set
    has fewer than its share, and what `load_problems` raises.
    """
    if not 0 <= error_share <= 1:
        raise GivenError(f"error_share must lie between 0 and 1, not {error_share!r}")
    check_number(int | None, 1, total=total)
    check_mix(kinds)
    report = {} if report is None else report
    entries = read_mixture(data)
    if not entries and _is_prepared(data):
        records = _shuffled(read_traces(data), seed)[:total]
        report.update(read=len(records), kept=len(records), rejected=[], reasons={},
                      planted=_by_kind(records), no_kind_fits=0)
        return with_checks(records, checks)
    of_sets = bool(entries) and data != "procedural"
    entries = entries or [Entry(data, None, 1.0)]
    places = {entry.source: _place(entry, path, len(entries)) for entry in entries}
    wanted = total or (TOTAL if of_sets else 1000)
    whole = sum(entry.share for entry in entries)
    parts = [Part(entry.source, load_problems(
        entry.source, places[entry.source], split, seed=seed, language=language,
        revision=entry.revision, columns=columns,
        # Of a problem come two traces at most, and one is kept nearly always.
        count=max(1, round(wanted * entry.share / whole))), entry.share,
        "rules" if of_sets and entry.source == "procedural" else teacher, drop_ambiguous)
        for entry in entries]
    if of_sets:
        tests = TestSets(_test_problems(entries, places))
        records = assemble(parts, wanted, error_share, seed, tests=tests, kinds=kinds,
                           allow_fewer=allow_fewer)
        report.update(by_source={part.name: part.counts for part in parts},
                      test_sets={**tests.counts, "absent": tests.absent,
                                 "shared_runs": dict(tests.runs)})
    else:
        if data != "procedural":
            parts[0].problems = _shuffled(list(parts[0].problems), seed)
        records = _first_records(parts[0], total, error_share, seed, kinds)
    report.update(_summed(parts))
    guessed = next((problem.details["columns"] for part in parts for problem, _ in part.kept
                    if "columns" in problem.details), None)
    if guessed:
        report["columns"] = {guessed[0]: guessed[1]}
    if not records and not of_sets:
        first = report["rejected"][0].detail if report["rejected"] else FORMS
        raise GivenError(f"no usable record in {data!r}: {report['reasons'] or 'it is empty'}; "
                         f"the first: {first}" + _advice(report["reasons"]))
    return with_checks(records, checks)


def with_checks(records: list[dict], checks: str) -> list[dict]:
    """The records with VERIFY in the form of `checks`, see `prepare`."""
    if checks == "rearranged":
        return records
    return [record | {"trace": render_trace(by_columns(parse_trace(record["trace"])))}
            for record in records]


FORMS = ("a file of problems holds JSON Lines (one object a line), a JSON list, CSV, TSV or "
         "Parquet, in UTF-8, gzipped or not")
READING = {"not_json", "not_utf8", "not_an_object", "not_a_table"}


def _advice(counts: Mapping[str, int]) -> str:
    """What helps against the commonest reason, "" where nothing is known to."""
    reason = next(iter(counts), "")
    if reason in READING:
        return f"; {FORMS}"
    if reason in BY_RULES:
        return ("; the rules find no plain arithmetic to teach from there: teacher llm writes "
                "traces of such problems, teacher recorded reads those that you have")
    return ""


def _is_prepared(path: str) -> bool:
    """Whether the first readable record of a file has a trace."""
    if not Path(path).is_file():
        return False
    first = next((r for _, r in read_records(path) if isinstance(r, dict)), {})
    return "trace" in first


def _shuffled(items: list, seed: int) -> list:
    random.Random(f"order/{seed}").shuffle(items)
    return items


@dataclass
class Part:
    """One source of the records: its train problems, its share of the total, its teacher.

    drop_ambiguous: see `filter_traces`.
    kept, rejected: what the filter made of all problems read. counts: kept + reasons = read,
    wanted, clean, `planted` by kind, no_kind_fits.
    """

    name: str
    problems: Iterable[Problem | Rejection]
    share: float
    teacher: object = "rules"
    drop_ambiguous: bool = False
    kept: list[tuple[Problem, Trace]] = field(default_factory=list, init=False)
    rejected: list[Rejection] = field(default_factory=list, init=False)
    counts: dict = field(default_factory=dict, init=False)


def _summed(parts: list[Part]) -> dict:
    """What `prepare` reports of all parts together."""
    rejected = [rejection for part in parts for rejection in part.rejected]
    kept = sum(len(part.kept) for part in parts)
    planted = sum((Counter(part.counts["planted"]) for part in parts), Counter())
    return {"read": kept + len(rejected), "kept": kept, "rejected": rejected,
            "reasons": reasons(rejected), "planted": dict(sorted(planted.items())),
            "no_kind_fits": sum(part.counts["no_kind_fits"] for part in parts)}


def _by_kind(records: Iterable[dict]) -> dict[str, int]:
    return dict(sorted(Counter(r["planted"]["kind"] for r in records if r["planted"]).items()))


def _first_records(part: Part, total: int | None, error_share: float, seed: int,
                   kinds: Mapping[str, float] | None) -> list[dict]:
    """The first `total` problems whose trace passes the filter, in order, some with an error."""
    for problem in part.problems:
        if len(part.kept) == total:
            break
        kept, rejected = filter_traces([(problem, *teach([problem], part.teacher))],
                                       part.drop_ambiguous)
        part.kept += kept
        part.rejected += rejected
    count, records = len(part.kept), []
    chosen = set(random.Random(f"errors/{seed}").sample(range(count), round(error_share * count)))
    for position, (problem, trace) in enumerate(part.kept):
        found = inject(problem, trace, seed, kinds) if position in chosen else None
        records.append(make_record(problem, *(found or (trace,))))
    planted = _by_kind(records)
    part.counts = {"planted": planted, "no_kind_fits": len(chosen) - sum(planted.values())}
    return records


def assemble(parts: list[Part], total: int = TOTAL, error_share: float = 0.5, seed: int = 0,
             *, tests: TestSets | None = None, kinds: Mapping[str, float] | None = None,
             allow_fewer: bool = False) -> list[dict]:
    """Training records of all parts, mixed in seeded order; the parts tell what became of each.

    total: traces in all. error_share: the part of each source's traces that hold an injected
    error. tests: what the problems must have nothing in common with.
    Raises `ShortfallError` where a source gives fewer than its share, unless `allow_fewer`.
    """
    records: list[dict] = []
    for part, wanted in zip(parts, whole_shares([part.share for part in parts], total)):
        problems = list(tests.clean(part.problems) if tests else part.problems)
        part.kept, part.rejected = filter_traces(zip(problems, teach(problems, part.teacher)),
                                                 part.drop_ambiguous)
        records += _records_of(part, wanted, round(error_share * wanted), seed, kinds)
    if not allow_fewer and len(records) < total:
        raise ShortfallError("\n".join([
            "there are fewer traces than were asked for; ask for fewer, change the shares, or "
            "set allow_fewer", *map(_told, parts)]))
    random.Random(f"assembly/{seed}").shuffle(records)
    return records


def whole_shares(shares: list[float], total: int) -> list[int]:
    """Whole numbers that add up to `total`, in proportion to `shares` (largest remainder)."""
    exact = [share * total / sum(shares) for share in shares]
    whole = [int(value) for value in exact]
    by_rest = sorted(range(len(shares)), key=lambda i: (whole[i] - exact[i], i))
    for index in by_rest[:total - sum(whole)]:
        whole[index] += 1
    return whole


def _records_of(part: Part, wanted: int, with_error: int, seed: int,
                kinds: Mapping[str, float] | None) -> list[dict]:
    """Clean traces from one end of the seeded order, those with an error from the other: a
    problem gives both only where the source is short of problems."""
    order, wrong, misfits = list(part.kept), [], 0
    random.Random(f"assembly/{seed}/{part.name}").shuffle(order)
    clean = [make_record(problem, trace) for problem, trace in order[:wanted - with_error]]
    for problem, trace in reversed(order):
        if len(wrong) == with_error:
            break
        found = inject(problem, trace, seed, kinds)
        misfits += found is None
        if found:
            wrong.append(make_record(problem, *found))
    part.counts = {"read": len(part.kept) + len(part.rejected), "kept": len(part.kept),
                   "reasons": reasons(part.rejected), "wanted": wanted, "clean": len(clean),
                   "planted": _by_kind(wrong), "no_kind_fits": misfits}
    return clean + wrong


class ShortfallError(Told, ValueError):
    """The sources have fewer usable traces than were asked for; the message has a line a source."""


def _told(part: Part) -> str:
    """A line on what a source was to give and gave."""
    counts = part.counts
    return (f"{part.name}: {counts['wanted']} wanted; {counts['clean']} clean and "
            f"{sum(counts['planted'].values())} with an error, of {counts['kept']} problems "
            f"kept of {counts['read']}{_advice(counts['reasons'])}")


def _place(entry: Entry, path: str | Path | None, entries: int) -> Path | None:
    """Where a data set is to be read; None: where it is published."""
    if path is None or entry.source == "procedural" and entries > 1:
        return None
    if entries == 1:
        return Path(path)
    own = Path(path) / entry.source
    if not Path(path).is_dir():
        raise GivenError(f"several data sets are read from one folder, but {path} is none")
    return own if own.exists() else None


def _test_problems(entries: list[Entry], places: Mapping[str, Path | None]
                   ) -> dict[str, list[Problem | Rejection] | None]:
    """The test problems of each data set, None where there are none.

    A file of train problems has no test set beside it; of a folder, or of what is
    published, a missing one is named as well.
    """
    found = {}
    for entry in entries:
        place = places[entry.source]
        if entry.source == "procedural":
            continue
        found[entry.source] = None
        if place is None or not place.is_file():
            with suppress(FileNotFoundError):
                found[entry.source] = list(load_problems(entry.source, place, "test",
                                                         revision=entry.revision))
    return found


def shingles(question: str) -> set[str]:
    """The runs of WORDS consecutive words of a question, drawings left out; of a shorter one,
    all of it, with the signs of its formulas."""
    text = _DRAWING.sub(" ", question)
    words = words_of(text)
    if len(words) < WORDS:
        return {normalise_question(text)} - {""}
    return {" ".join(words[start:start + WORDS]) for start in range(len(words) - WORDS + 1)}


class TestSets:
    """The questions that training must not have seen.

    problems: of each data set, rejections among them are passed over; None where there is no
    test set, which `absent` names. `counts` holds, after `clean` has run, the number of train
    problems taken out by source of the test problem, under "questions" how many test
    questions there are; `runs` how many were taken out for 1, 2 to 5 or more shared runs, or
    "all" of theirs.
    """

    __test__ = False  # a noun, not a test case

    def __init__(self, problems: Mapping[str, Iterable[Problem | Rejection] | None]):
        self.absent = [source for source, found in problems.items() if found is None]
        self.counts, self.runs = Counter(questions=0), Counter()
        self.owner: dict[str, Problem] = {}  # the first test problem with a run of words
        for problem in chain.from_iterable(found or () for found in problems.values()):
            if isinstance(problem, Problem):
                self.counts["questions"] += 1
                for shingle in shingles(problem.question):
                    self.owner.setdefault(shingle, problem)

    def clean(self, problems: Iterable[Problem | Rejection]) -> Iterator[Problem | Rejection]:
        """The problems in order, with a `Rejection` in place of each contaminated one."""
        found = [(problem, shingles(problem.question) if isinstance(problem, Problem) else set())
                 for problem in problems]
        often = Counter(run for _, own in found for run in own & self.owner.keys())
        for problem, own in found:
            both = own & self.owner.keys()
            shared = sorted(both if both == own else (
                run for run in both if often[run] <= COMMON))
            if shared:
                test, many = self.owner[shared[0]], len(shared)
                self.counts[test.source] += 1
                self.runs["all" if many == len(own) else "1" if many == 1
                          else "2 to 5" if many < 6 else "6 and more"] += 1
                problem = Rejection(problem.id, "contaminated", test.id,
                                    f"shares {many} of its {len(own)} runs of {WORDS} "
                                    f"words with the test problem {test.id}")
            yield problem
