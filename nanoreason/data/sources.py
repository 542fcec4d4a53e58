"""Where problems come from: the generator, GSM8K, MATH, VNHSGE, any file of questions.

A source yields `Problem`s in order; a record that is none comes as a `Rejection` in its
place. The data sets are read from local files in their original layouts or, through
`datasets`, from where they are published.
"""
from __future__ import annotations

import gzip
import hashlib
import warnings
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import partial
from itertools import chain
from pathlib import Path

from nanoreason import paths
from nanoreason.data import exams as math_source, procedural
from nanoreason.data.exams import exam_files, exam_years, read_exam, read_math, read_vnhsge
from nanoreason.data.gsm8k.teacher import read_problem
from nanoreason.data.problem import Problem, Rejection, question_sha256, read_json_lines

READERS = {"gsm8k": partial(read_problem, source="gsm8k"), "math": read_math,
           "vnhsge": read_vnhsge}
FILE_SPLITS = ("train", "dev", "train+dev", "test")
DEV_PARTS = 20  # one part in twenty of train is dev
MAX_QUESTION = 20_000  # characters; the longest of the three data sets has about 4,000
GSM8K_HUB = "openai/gsm8k"
VNHSGE_FILES = ("https://raw.githubusercontent.com/Xdao85/VNHSGE/{revision}/Dataset/"
                "VNHSGE-V/JSON%20format/eval/Mathematics")
# The uncompressed files of github.com/openai/grade-school-math at 3101c7d5.
GSM8K_SHA256 = {
    "train.jsonl": "17f347dc51477c50d4efb83959dbb7c56297aba886e5544ee2aaed3024813465",
    "train_socratic.jsonl": "153d86551187cfd64ef7afb59bfd0ef75cea3ae9388e7ad31e43920b6dd77872",
    "test.jsonl": "3730d312f6e3440559ace48831e51066acaca737f6eabec99bccb9e4b3c39d14",
}
Item = tuple[str, str, dict | Rejection]  # id, place, record


def in_dev(question: str) -> bool:
    """Whether a train question is in dev: 5 % by sha256 of the normalised question."""
    return int(question_sha256(question)[:8], 16) % DEV_PARTS == 0


def load_problems(source: str, path: str | Path | None = None, split: str = "train", *,
                  count: int = 1000, seed: int = 0, steps: tuple[int, ...] | None = None,
                  language: str = "en", revision: str | None = None,
                  configuration: str = "socratic") -> Iterator[Problem | Rejection]:
    """The problems of a source, in order; a record that is none comes as a `Rejection`.

    source: "procedural" (count, seed, steps and language apply), "gsm8k", "math", "vnhsge",
        or the path of any JSON Lines file with `question` and `answer` (its problems carry
        the file's name as source).
    path: a local file (gzipped or not) or a folder in the data set's own layout: GSM8K's
        JSON Lines, MATH's tree `{train,test}/<subject>/<n>.json`, VNHSGE's exam files.
        None reads what is published, at `revision`, which problems carry in their
        `details` as it was resolved; of GSM8K in `configuration` ("socratic" or "main").
    split: of "procedural", see `procedural.SPLITS`. Else "train" (without dev), "dev" (5 %
        of train), "train+dev", or "test". A file is taken to hold the split's records, so
        give the official test file with "test". Rejections come whichever split is asked
        for: a broken line belongs to none.

    An id that comes twice and a question of more than MAX_QUESTION characters are
    rejections. Warns where a file has the name of one of GSM8K's but other content.
    Raises, before the first problem: `ValueError` for an unknown source or split,
    `FileNotFoundError` for a missing file, `ConnectionError` where what is published
    cannot be reached.
    """
    if source == "procedural":
        if path is not None:
            raise ValueError("source 'procedural' makes its problems and reads no path; "
                             f"leave path={str(path)!r} out")
        if split not in procedural.SPLITS:
            raise ValueError(f"split {split!r} is unknown; choose one of "
                             f"{', '.join(procedural.SPLITS)}")
        return procedural.problems(split, count, seed, steps, language)
    if split not in FILE_SPLITS:
        raise ValueError(f"split {split!r} is unknown; choose one of {', '.join(FILE_SPLITS)}")
    part, resolved = "test" if split == "test" else "train", None
    if source not in READERS:
        path = Path(path or source)
        if not path.is_file():
            raise ValueError(
                f"source {source!r} is unknown and no file; choose one of procedural, "
                f"{', '.join(READERS)}, or the path of a JSON Lines file with question and "
                "answer")
        # `source` names the problems: a path is shortened to the file's name.
        source = Path(source).name.removesuffix(".gz").removesuffix(".jsonl")
        items = _lines(path, source, part)
    elif path is not None:
        items = _local(source, Path(path), part, configuration)
    else:
        items, resolved = _published(source, part, revision, configuration)
    read = READERS.get(source, partial(read_problem, source=source))
    return _in_split(_problems(items, read, split, resolved), split)


def _problems(items: Iterable[Item], read, split: str, resolved: str | None
              ) -> Iterator[Problem | Rejection]:
    """Each record read; ids that come twice and endless questions are refused."""
    seen: set[str] = set()
    for problem_id, place, record in items:
        found = record if isinstance(record, Rejection) else read(
            record, problem_id, split=split, place=place)
        if isinstance(found, Problem):
            if found.id in seen:
                found = Rejection(found.id, "duplicate_id", place,
                                  f"an earlier record has the id {found.id!r:.80} too")
            elif len(found.question) > MAX_QUESTION:
                found = Rejection(found.id, "question_too_long", place,
                                  f"{len(found.question):,} characters; at most "
                                  f"{MAX_QUESTION:,} are read")
            else:
                seen.add(found.id)
                if resolved:
                    found.details["revision"] = resolved
        yield found


def _lines(path: Path, source: str, part: str) -> Iterator[Item]:
    lines = read_json_lines(path)  # a missing file is named here, not at the first problem

    def items():
        for number, record in lines:
            own = record.get("id") if isinstance(record, dict) else None
            problem_id = own if isinstance(own, str) and own else f"{source}-{part}-{number}"
            yield problem_id, f"{path.name} line {number}", record
    return items()


def _local(source: str, path: Path, part: str, configuration: str) -> Iterable[Item]:
    if source == "gsm8k":
        path = _gsm8k_file(path, part, configuration) if path.is_dir() else path
        items = _lines(path, source, part)
        _check_sha256(path)
        return items
    if source == "math" and path.is_dir():
        if not any((path / part).glob("*/*.json")):
            raise FileNotFoundError(f"{path / part} has no <subject>/<n>.json; give the folder "
                                    "that holds train/ and test/, or a JSON Lines file")
        return math_source.read_tree(path, part)
    if source == "vnhsge":
        if not path.exists():
            raise FileNotFoundError(f"{path} is no file or folder of exams")
        files = exam_files(path, part) if path.is_dir() else [path]
        return chain.from_iterable(map(read_exam, files))
    return _lines(path, source, part)


def _gsm8k_file(folder: Path, part: str, configuration: str) -> Path:
    names = [f"{part}_socratic.jsonl"] if configuration == "socratic" else []
    names = [name + end for name in [*names, f"{part}.jsonl"] for end in ("", ".gz")]
    for name in names:
        if (folder / name).is_file():
            return folder / name
    raise FileNotFoundError(f"{folder} has none of the files {', '.join(names)}")


def _check_sha256(path: Path) -> None:
    """Warn where a file named like one of GSM8K's is another."""
    expected = GSM8K_SHA256.get(path.name.removesuffix(".gz"))
    if expected is None:
        return
    content = path.read_bytes()
    try:
        content = gzip.decompress(content) if content[:2] == b"\x1f\x8b" else content
    except (EOFError, OSError, zlib.error):
        return  # the reader names the place where it breaks off
    found = hashlib.sha256(content).hexdigest()
    if found != expected:
        warnings.warn(f"{path.name} is not the published GSM8K file: its sha256 is "
                      f"{found[:16]}…, not {expected[:16]}…", stacklevel=4)


def _published(source: str, part: str, revision: str | None, configuration: str
               ) -> tuple[Iterable[Item], str]:
    """The records as they are published, and the revision that they are of."""
    fetch = {"gsm8k": partial(_from_hub, GSM8K_HUB, (configuration,)),
             "math": partial(_from_hub, math_source.HUB_NAME, math_source.SUBJECTS),
             "vnhsge": _from_github}[source]
    try:
        return fetch(source, part, revision)
    except Exception as error:  # datasets and the hub client share no base class
        raise ConnectionError(
            f"{source} (revision {revision or 'main'}) cannot be read from where it is "
            f"published: {type(error).__name__}: {error}. Without a network give path= a "
            "local file or folder in the same layout") from error


def _from_hub(name: str, configurations: tuple[str, ...], source: str, part: str,
              revision: str | None) -> tuple[Iterable[Item], str]:
    from huggingface_hub import HfApi

    resolved = HfApi().dataset_info(name, revision=revision, timeout=20).sha
    from datasets import load_dataset  # seconds to import, and only now is it needed

    tables = {c: load_dataset(name, c, split=part, revision=resolved) for c in configurations}

    def items():
        for configuration, rows in tables.items():
            # Both configurations of GSM8K have the same problems; a subject's are its own.
            own = f"-{configuration}" if len(tables) > 1 else ""
            for number, row in enumerate(rows, 1):
                yield (f"{source}-{part}{own}-{number}",
                       f"{name} {configuration} {part} row {number}", row)
    return items(), resolved


def _from_github(source: str, part: str, revision: str | None) -> tuple[Iterable[Item], str]:
    from huggingface_hub import get_session

    revision, digest, files = revision or "main", hashlib.sha256(), []
    for year in exam_years(part):
        name = f"MET_Math_IE_{year}.json"
        answer = get_session().get(f"{VNHSGE_FILES.format(revision=revision)}/{name}", timeout=20)
        answer.raise_for_status()
        digest.update(answer.content)
        files.append(paths.BUILD / "data" / "vnhsge" / revision / name)
        files[-1].parent.mkdir(parents=True, exist_ok=True)
        files[-1].write_bytes(answer.content)
    # A branch moves on and its files name no commit: their content tells which they are.
    return (chain.from_iterable(map(read_exam, files)),
            f"{revision}, sha256 {digest.hexdigest()[:16]}")


def _in_split(problems: Iterable[Problem | Rejection], split: str
              ) -> Iterator[Problem | Rejection]:
    """Only what belongs to the split; the problems of "train+dev" learn which they are."""
    for problem in problems:
        if isinstance(problem, Rejection) or split == "test":
            yield problem
            continue
        part = "dev" if in_dev(problem.question) else "train"
        if split in (part, "train+dev"):
            yield replace(problem, split=part)
