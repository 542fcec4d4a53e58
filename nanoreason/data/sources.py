"""Where problems come from: the generator, GSM8K, MATH, VNHSGE, any file of questions.

A source yields `Problem`s in order; a record that is none comes as a `Rejection` in its
place. The data sets are read from local files in their original layouts or, through
`datasets`, from where they are published:

- GSM8K: JSON Lines with `question` and `answer`;
- MATH: a tree `{train,test}/<subject>/<n>.json` or JSON Lines, with `problem` and
  `solution`, whose last `\\boxed{…}` holds the answer;
- VNHSGE: a file for each year's exam, whose questions hold four options each; the answer is
  the letter of one. 2023 is "test", the other years are "train".
"""
from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from itertools import chain
from pathlib import Path

from nanoreason import paths
from nanoreason.arithmetic.answers import boxed_answer
from nanoreason.data import procedural
from nanoreason.data.columns import check_columns, read_problem
from nanoreason.data.problem import Problem, Rejection, read_json, read_records
from nanoreason.host import SEEDS, AbsentError, GivenError, check_number

FILE_SPLITS = ("train", "dev", "train+dev", "test")
MAX_QUESTION = 20_000  # characters; the longest of the three data sets has about 4,000
PUBLISHED = paths.asset_table("sources.yaml")  # where, by data set
VNHSGE_FILES, EXAMS = PUBLISHED["vnhsge"]["files"], PUBLISHED["vnhsge"]["exams"]
# What a question says that is asked of a figure; that it has one says nothing, because many
# have their table in words as well.
_FIGURE = re.compile(r"hình\s+(?:vẽ|bên|dưới|sau)|(?:như|trong|theo|ở)\s+hình(?!\s+(?:học|hộp|chóp"
                     r"|lăng|trụ|nón|cầu|vuông|thang|bình|chữ|thoi|tròn|phẳng))|biểu đồ",
                     re.IGNORECASE)
_KEY = re.compile(r"\W*([ABCD])\W*", re.IGNORECASE)
Item = tuple[str, str, dict | Rejection]  # id, place, record


def load_problems(source: str, path: str | Path | None = None, split: str = "train", *,
                  count: int = 1000, seed: int = 0, language: str = "en",
                  revision: str | None = None, columns: Mapping | None = None
                  ) -> Iterator[Problem | Rejection]:
    """The problems of a source, in order; a record that is none comes as a `Rejection`.

    source: "procedural" (count, seed and language apply), "gsm8k", "math", "vnhsge", one of
        these three with a revision (`gsm8k@main`), or the path of a file of problems in any
        form that `problem.read_records` reads (its problems carry the file's name as source).
    path: a local file (gzipped or not) or a folder in the data set's own layout. None reads
        what is published, at `revision`, which problems carry in their `details` as it was
        resolved.
    split: of "procedural", see `procedural.SPLITS`. Else "train" (without dev), "dev" (5 %
        of train), "train+dev", or "test". A file is taken to hold the split's records, so
        give the official test file with "test". Rejections come whichever split is asked
        for: a broken line belongs to none.
    columns: of a file, the fields that hold question, answer and solution, a name or a list of
        names each (`{"question": ["body", "question"], "answer": "final_answer"}`); None: those
        that `columns.guessed` tells.

    An id that comes twice and a question of more than MAX_QUESTION characters are
    rejections. Raises, before the first problem: `ValueError` for an unknown source or split or a
    count below 1, `FileNotFoundError` for a missing file, and where what is published cannot be
    reached.
    """
    check_number(int, 1, count=count)
    check_number(int, 0, SEEDS, seed=seed)
    columns = check_columns(columns)
    source = str(source)  # of a Path, too
    name, _, at = source.partition("@")
    if at and name in READERS:
        source, revision = name, revision or at
    splits = procedural.SPLITS if source == "procedural" else FILE_SPLITS
    if split not in splits:
        raise GivenError(f"split {split!r} is unknown; choose one of {', '.join(splits)}")
    if source == "procedural":
        if path is not None:
            raise GivenError("source 'procedural' makes its problems and reads no path; "
                             f"leave path={str(path)!r} out")
        return procedural.problems(split, count, seed, language=language)
    part, resolved = "test" if split == "test" else "train", None
    if source not in READERS:
        path = Path(path or source)
        if not os.path.isfile(path):  # a name may be too long to be looked for
            raise GivenError(
                f"source {source!r:.80} is unknown and {str(path)!r:.80} no file; choose one of "
                f"procedural, {', '.join(READERS)}, or the path of a file of problems (JSON, CSV, "
                "Parquet)")
        # `source` names the problems: a path is shortened to the file's name.
        source = Path(Path(source).name.removesuffix(".gz")).stem
        items = _lines(path, source, part)
    elif path is not None:
        items = _local(source, Path(path), part)
    else:
        items, resolved = _published(source, part, revision)
    read = READERS.get(name) or partial(read_problem, source=source, columns=columns)
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


def _in_split(problems: Iterable[Problem | Rejection], split: str
              ) -> Iterator[Problem | Rejection]:
    """Only what belongs to the split; the problems of "train+dev" learn which they are."""
    for problem in problems:
        if isinstance(problem, Rejection) or split == "test":
            yield problem
            continue
        # 5 % of train by sha256 of the normalised question, as of procedural problems
        part = "dev" if procedural.hash_split(problem.question) == "dev" else "train"
        if split in (part, "train+dev"):
            yield replace(problem, split=part)


def read_math(record: dict, problem_id: str, split: str, place: str) -> Problem | Rejection:
    """A MATH record as a `Problem`, or why it is none; `details` has the solution's text."""
    question, solution = record.get("problem"), record.get("solution")
    for name, text, reason in (("problem", question, "no_question"),
                               ("solution", solution, "no_answer")):
        if not isinstance(text, str) or not text.strip():
            return Rejection(problem_id, reason, place,
                             f"field `{name}` must be text, not {text!r:.80}")
    answer = boxed_answer(solution)
    if not answer:
        reason = "no_final_answer" if answer is None else "empty_box"
        return Rejection(problem_id, reason, place,
                         rf"no answer in a \boxed{{…}} at the end of {solution[-60:]!r}")
    return Problem(problem_id, "math", split, "en", question, answer,
                   details={"worked": solution})


def read_vnhsge(record: dict, problem_id: str, split: str, place: str) -> Problem | Rejection:
    """A record as a `Problem` whose answer is the letter of its key, or why it is none.

    The question keeps stem and options; `details` has the explanation.
    """
    question, key = record.get("Question"), record.get("Choice")
    if not isinstance(question, str) or not question.strip():
        return Rejection(problem_id, "no_question", place,
                         f"field `Question` must be text, not {question!r:.80}")
    figure = _FIGURE.search(question)
    if figure:
        return Rejection(problem_id, "needs_image", place,
                         f"the question is asked of a figure: {figure[0]!r}")
    found = _KEY.fullmatch(key) if isinstance(key, str) else None
    if found is None:
        return Rejection(problem_id, "no_answer", place,
                         f"field `Choice` must be one of A, B, C, D, not {key!r:.80}")
    explanation = record.get("Explanation")
    return Problem(problem_id, "vnhsge", split, "vi", question.strip(), found[1].upper(),
                   details={"worked": explanation if isinstance(explanation, str) else ""})


READERS = {"gsm8k": partial(read_problem, source="gsm8k"), "math": read_math,
           "vnhsge": read_vnhsge}


def _lines(path: Path, source: str, part: str) -> Iterator[Item]:
    for number, (place, record) in enumerate(read_records(path), 1):
        given = next((record[name] for name in ("id", "ID", "unique_id") if record.get(name)),
                     None) if isinstance(record, dict) else None
        if source == "vnhsge":
            name = f"vnhsge-{given or f'{path.stem}-{number}'}"
        else:
            name = given if isinstance(given, str) and given else f"{source}-{part}-{number}"
        yield name, place, record


def _local(source: str, path: Path, part: str) -> Iterable[Item]:
    if not os.path.exists(path):
        raise AbsentError(f"{path} is no file or folder of {source}")
    if source == "vnhsge":
        return chain.from_iterable(_lines(file, source, part) for file in _exam_files(path, part))
    if path.is_file():
        return _lines(path, source, part)
    if source == "math":
        return _tree(path, part)
    names = [name + end for name in (f"{part}_socratic.jsonl", f"{part}.jsonl")
             for end in ("", ".gz")]
    for name in names:
        if (path / name).is_file():
            return _lines(path / name, source, part)
    raise AbsentError(f"{path} has none of the files {', '.join(names)}")


def _tree(folder: Path, part: str) -> Iterator[Item]:
    """Every file below `folder/<part>/<subject>`, subjects and numbers in order."""
    files = sorted((folder / part).glob("*/*.json"), key=lambda path: (
        path.parent.name, int(path.stem) if path.stem.isdecimal() else -1, path.stem))
    if not files:
        raise AbsentError(f"{folder / part} has no <subject>/<n>.json; give the folder "
                          "that holds train/ and test/, or a JSON Lines file")
    for path in files:
        place = f"{part}/{path.parent.name}/{path.name}"
        yield f"math-{part}-{path.parent.name}-{path.stem}", place, read_json(
            path.read_bytes(), place)


def _exam_files(path: Path, part: str) -> list[Path]:
    if path.is_file():
        return [path]
    files = [path / f"MET_Math_IE_{year}.json" for year in EXAMS[part]]
    missing = [file.name for file in files if not file.is_file()]
    if missing:
        raise AbsentError(f"{path} lacks {', '.join(missing)}; give the folder of all "
                          "exams, or the path of one file")
    return files


def _published(source: str, part: str, revision: str | None) -> tuple[Iterable[Item], str]:
    """The records as they are published, and the revision that they are of."""
    fetch = _from_hub if "hub" in PUBLISHED[source] else _from_github
    try:
        return fetch(source, part, revision)
    except Exception as error:  # datasets and the hub client share no base class
        raise AbsentError(
            f"{source} (revision {revision or 'main'}) cannot be read from where it is "
            f"published: {type(error).__name__}: {error}. Without a network give a "
            "local file or folder in the same layout as -p data_path, from Python as "
            "path=") from error


def _from_hub(source: str, part: str, revision: str | None) -> tuple[Iterable[Item], str]:
    from huggingface_hub import HfApi
    from datasets import load_dataset  # seconds to import, and only now is it needed

    name, configurations = PUBLISHED[source]["hub"], PUBLISHED[source]["configurations"]
    try:
        resolved = HfApi().dataset_info(name, revision=revision, timeout=20).sha
    except Exception:  # no hub: what lies in the cache has its commit as its folder's name
        resolved = None

    items = []
    for configuration in configurations:
        rows = load_dataset(name, configuration, split=part, revision=resolved or revision)
        found = resolved or Path(rows.cache_files[0]["filename"]).parent.name
        if resolved is None and revision not in (None, found):
            raise AbsentError(f"the hub cannot be reached, and the cache holds {found}")
        resolved = found
        own = f"-{configuration}" if len(configurations) > 1 else ""
        items += [(f"{source}-{part}{own}-{number}",
                   f"{name} {configuration} {part} row {number}", row)
                  for number, row in enumerate(rows, 1)]
    return items, resolved


def _from_github(source: str, part: str, revision: str | None) -> tuple[Iterable[Item], str]:
    from huggingface_hub import get_session

    revision, digest = revision or "main", hashlib.sha256()
    folder = paths.BUILD / "data" / "vnhsge" / revision
    folder.mkdir(parents=True, exist_ok=True)
    for year in EXAMS[part]:
        name = f"MET_Math_IE_{year}.json"
        answer = get_session().get(f"{VNHSGE_FILES.format(revision=revision)}/{name}", timeout=20)
        answer.raise_for_status()
        digest.update(answer.content)
        (folder / name).write_bytes(answer.content)
    # A branch moves on and its files name no commit: their content tells which they are.
    return (_local(source, folder, part), f"{revision}, sha256 {digest.hexdigest()[:16]}")
