"""One word problem, whatever source it comes from.

A `Problem` is what every source yields and every teacher takes. Sources that know how
their answer comes about (the procedural generator) also give the steps, as a small
dependency graph: which operation, on which operands, with which value. Sources that do
not know leave `steps` empty, and a teacher works the steps out.
"""
from __future__ import annotations

import gzip
import hashlib
import json
import re
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from fractions import Fraction
from functools import partial
from itertools import chain
from pathlib import Path

from nanoreason.arithmetic.expression import OPERATIONS
from nanoreason.files import set_aside, to_json, write_text
from nanoreason.host import AbsentError, GivenError, Told
from nanoreason.stages import SOURCES
from nanoreason.trace import Trace, TraceError, parse_trace, render_trace


@dataclass(frozen=True)
class Operand:
    """One operand of a step: where its value comes from.

    kind: "given" (index: position among the question's quantities, from 0), "step"
    (index: 1-based number of an earlier step) or "constant" (index: 0).
    text: how the operand is written in an equation, e.g. "48" or "20%".
    """

    kind: str
    index: int
    value: Fraction
    text: str


@dataclass(frozen=True)
class Step:
    """One step of the known solution: `left operator right = value`, and its plan."""

    operator: str  # "+", "-", "*" or "/"
    left: Operand
    right: Operand
    value: Fraction
    plan: str


@dataclass(frozen=True)
class Problem:
    """A question with its gold answer and what the source knows beyond that."""

    id: str
    source: str
    split: str
    language: str
    question: str
    answer: str
    steps: tuple[Step, ...] = ()
    details: dict = field(default_factory=dict, compare=False)


def compute(sign: str, left: Fraction, right: Fraction) -> Fraction:
    """The exact value of one binary step; raises `ZeroDivisionError` for x / 0."""
    return OPERATIONS[sign](left, right)


def write_number(value: Fraction) -> str:
    """A fraction as a decimal where that is exact in four places, else as `a/b`."""
    if value.denominator == 1:
        return str(value.numerator)
    scaled = value * 10_000
    if scaled.denominator == 1:
        sign, digits = "-" * (value < 0), abs(scaled.numerator)
        return f"{sign}{digits // 10_000}.{digits % 10_000:04d}".rstrip("0")
    return f"{value.numerator}/{value.denominator}"


# What tells a formula from prose, whose dashes and brackets are punctuation.
_FORMULA = re.compile(r"\\[a-z({\[]|[=^<>+*÷×≤≥≠∪∩√]|[0-9)]!(?=[-+*/=?)}$])|[([]-?[0-9]+[,;]"
                      r"|(?<!\w)-\$?[0-9]|[0-9)]\s?-\s?[0-9(]|/\s?\(|\)\s?/")
_OF_FORMULAS = re.compile(r"\w+|[-+*/^=<>|÷×≤≥≠∪∩√]|(?<=[0-9)])!(?=[-+*/=?)}$])"
                          r"|(?<!\\)[()\[\]]|\\[{}]")
_DASHES = str.maketrans("−–", "--")


def normalise_question(question: str) -> str:
    """Lower-case words and numbers of a question, single spaces, no punctuation.

    Two questions that differ only in spacing, case or punctuation are the same. Where a question
    holds a formula, its signs and brackets count: `17 - 8` is not `17 + 8`, and `f(-4)` not `f(4)`.
    """
    text = question.lower().translate(_DASHES)
    return " ".join(_OF_FORMULAS.findall(text) if _FORMULA.search(text) else words_of(text))


def words_of(question: str) -> list[str]:
    """Lower-case words and numbers alone: what splits and shared runs of words go by, so that
    questions that differ in a sign stand in one split."""
    return re.findall(r"\w+", question.lower())


def question_sha256(question: str) -> str:
    """Hexadecimal sha256 of the normalised question, which tells questions apart."""
    return hashlib.sha256(normalise_question(question).encode("utf-8")).hexdigest()


_ENTRY = re.compile(rf"({'|'.join(SOURCES)})(?:@([\w./-]+))?(?::([0-9]+(?:\.[0-9]+)?))?")


@dataclass(frozen=True)
class Entry:
    """One data set of a mixture. share: of the total, divided by the sum of all shares."""

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
            raise GivenError(f"{name} comes {count} times in {data!r}; name it once")
    if not all(entry.share for entry in entries):
        raise GivenError(f"a share of {data!r} is 0; leave the data set out")
    return entries


# The fields of a prepared record, in the order in which they are written.
FIELDS = ("id", "source", "split", "question", "answer", "trace", "planted")


@dataclass(frozen=True)
class Rejection:
    """What was read but not used, and why.

    problem_id: the problem's id, or "" where reading failed before there was one.
    reason: a short code to count by. place: file and line, or stage and line.
    detail: one sentence with the value that was found.
    """

    problem_id: str
    reason: str
    place: str
    detail: str


class RecordError(Told, ValueError):
    """A file of prepared traces holds something else; the message names file and line."""


def read_json_lines(path: str | Path) -> Iterator[tuple[int, dict | Rejection]]:
    """The records of a JSON Lines file, gzipped or not, each with its line number.

    A line that is no JSON object comes as a `Rejection` in its place; so does the end of a
    gzip file that is cut off or damaged, after the lines that could be read. Blank lines
    are no records. Whether a file is gzipped is told by its first bytes, not its name.
    Raises `FileNotFoundError`, with the first record, for a path that is no file.
    """
    path = Path(path)
    if not path.is_file():
        raise AbsentError(
            f"{path} is no file; give the path of a JSON Lines file (.jsonl or .jsonl.gz)")
    with path.open("rb") as file:
        zipped = file.read(2) == b"\x1f\x8b"
    number = 0
    try:
        with gzip.open(path, "rb") if zipped else path.open("rb") as file:
            for number, line in enumerate(file, 1):
                if line.strip():
                    yield number, read_json(line, f"{path.name} line {number}")
    except (EOFError, OSError, zlib.error) as error:
        yield number + 1, Rejection("", "damaged_gzip", f"{path.name} line {number + 1}",
                                    f"the file breaks off here ({error}); fetch it again")


TABLES = {".csv": ("csv", ","), ".tsv": ("csv", "\t"), ".parquet": ("parquet", None)}


def read_records(path: str | Path) -> Iterator[tuple[str, dict | Rejection]]:
    """The records of any file of problems, each with its place; gzipped or not.

    JSON Lines, a JSON list of records, an object of records by their id; CSV, TSV and Parquet by
    `datasets`, all of whose fields stay text. JSON is not left to `datasets`: one line that is
    no JSON costs it the whole file, and a column of several types has no place in its tables.
    Raises `FileNotFoundError` as `read_json_lines` does.
    """
    path = Path(path)
    ending = Path(path.name.removesuffix(".gz")).suffix.lower()
    if ending in TABLES and path.is_file():
        yield from _table(path, *TABLES[ending])
        return
    lines = read_json_lines(path)
    first = next(lines, (1, {}))
    whole = first[1]
    if isinstance(whole, Rejection) and whole.reason in ("not_json", "not_an_object"):
        opened = gzip.open if path.read_bytes()[:2] == b"\x1f\x8b" else open
        with suppress(EOFError, OSError, zlib.error), opened(path, "rb") as file:
            text = file.read()
            whole = read_json(text, path.name, (list, dict))
            if isinstance(whole, Rejection) and text.lstrip(b"\xef\xbb\xbf \n").startswith(b"["):
                yield path.name, whole
                return
    if isinstance(whole, dict) and whole and all(isinstance(v, dict) for v in whole.values()):
        whole = [{"id": name, **record} for name, record in whole.items()]
    elif isinstance(whole, dict) and whole is not first[1]:
        whole = [whole]
    if isinstance(whole, list):
        for number, record in enumerate(whole, 1):
            place = f"{path.name} record {number}"
            yield place, record if isinstance(record, dict) else Rejection(
                "", "not_an_object", place, f"a record must be a JSON object, not {record!r:.60}")
        return
    for number, record in chain([first], lines):
        yield f"{path.name} line {number}", record


def _table(path: Path, kind: str, separator: str | None) -> Iterator[tuple[str, dict | Rejection]]:
    """The rows of a CSV or Parquet file. A file without a row of names (MGSM's) gets them."""
    from datasets import Features, Value, load_dataset  # seconds to import, and needed only now

    read = partial(load_dataset, kind, data_files=str(path), split="train", streaming=True)
    number = 0
    try:
        if kind == "csv":
            read = partial(read, sep=separator, keep_default_na=False)
            names = list(next(iter(read()), {}))
            if separator == "\t" and len(names) == 2 and "question" not in map(str.lower, names):
                names = ["question", "answer"]
                read = partial(read, column_names=names)
            read = partial(read, features=Features({name: Value("string") for name in names}))
        rows = read()
        for number, row in enumerate(rows, 1):
            yield f"{path.name} row {number}", row
    except Exception as error:  # datasets, pandas and pyarrow share no base class
        place = f"{path.name} row {number + 1}"
        yield place, Rejection("", "not_a_table", place, f"{type(error).__name__}: {error}"[:200])


def read_json(text: bytes, place: str, kind: type | tuple = dict) -> dict | list | Rejection:
    """A JSON object (or `kind`) from its bytes, or why there is none at this place."""
    try:
        found = json.loads(text.decode("utf-8-sig"))
        json.dumps(found, ensure_ascii=False).encode("utf-8")  # lone surrogates fail here
    except UnicodeError as error:
        return Rejection("", "not_utf8", place, f"text that is not UTF-8: {error}"[:200])
    except (ValueError, RecursionError) as error:
        return Rejection("", "not_json", place, f"{error}: {text[:60]!r}"[:200])
    if not isinstance(found, kind):
        return Rejection("", "not_an_object", place,
                         f"a record must be a JSON object, not {text[:60]!r}")
    return found


def write_rejected(path: str | Path, rejected: Iterable[Rejection]) -> int:
    """Write `rejected.jsonl`, one line a rejection (id, reason, place, detail); how many."""
    return _write(path, [{"id": r.problem_id, "reason": r.reason, "place": r.place,
                          "detail": r.detail} for r in rejected])


def _write(path: str | Path, rows: list[dict]) -> int:
    """Write the rows; other ones that stand there are kept under a number, and it is said."""
    path, text = Path(path), "".join(to_json(row) + "\n" for row in rows)
    if path.is_file() and path.read_bytes() not in (b"", text.encode()):
        print(f"{path.name} held other rows: they are kept as {set_aside(path).name}")
    write_text(path, text)
    return len(rows)


def make_record(problem, trace: Trace, planted: dict | None = None) -> dict:
    """The prepared record of a problem and its trace; see `FIELDS`.

    planted: None, or {step, kind, origin} of an injected error, its step counted from 1.
    """
    return {"id": problem.id, "source": problem.source, "split": problem.split,
            "question": problem.question, "answer": problem.answer,
            "trace": render_trace(trace), "planted": planted}


def write_traces(path: str | Path, records: Iterable[dict]) -> int:
    """Write prepared records, one JSON object a line; returns how many.

    Raises `RecordError` for a record without one of `FIELDS`.
    """
    records = list(records)
    for number, record in enumerate(records, 1):
        check_record(record, f"record {number}")
    return _write(path, [{name: record[name] for name in FIELDS} for record in records])


def read_traces(path: str | Path) -> list[dict]:
    """Read prepared records back, every trace checked to be one.

    Raises `RecordError` with file, line and reason at the first record that is none:
    unlike a source file, this one was written by `write_traces` and must be whole.
    """
    records = []
    for number, record in read_json_lines(path):
        place = f"{Path(path).name} line {number}"
        if isinstance(record, Rejection):
            raise RecordError(f"{record.place}: {record.detail}")
        check_record(record, place)
        records.append(record)
    return records


def check_record(record: dict, place: str) -> None:
    """Raise `RecordError` unless `record` has the fields, types and trace of its form."""
    for name in FIELDS:
        if name not in record:
            raise RecordError(f"{place}: no field {name!r}; a prepared record has the fields "
                              f"{', '.join(FIELDS)}")
        if name != "planted" and not isinstance(record[name], str):
            raise RecordError(f"{place}: {name} must be text, not {record[name]!r}")
    try:
        trace = parse_trace(record["trace"])
    except TraceError as error:
        raise RecordError(f"{place}: the trace of {record['id']} is none: {error}") from error
    planted = record["planted"]
    if planted is None:
        return
    if not isinstance(planted, dict) or set(planted) != {"step", "kind", "origin"}:
        raise RecordError(f"{place}: planted must be null or have step, kind and origin, "
                          f"not {planted!r}")
    if planted["step"] != trace.verdict:
        raise RecordError(f"{place}: planted step {planted['step']!r}, but the verdict "
                          f"blames {trace.verdict!r}")
