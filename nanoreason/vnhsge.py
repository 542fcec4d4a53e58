"""VNHSGE mathematics: questions of the Vietnamese graduation exams, with options A to D.

A file holds the fifty questions of one year, `MET_Math_IE_<year>.json`: a list of records
with `ID`, `Image_Question`, `Question` (stem and options in one string), `Choice` (the
key), `Image_Answer` and `Explanation`. The year 2023 is the test set. A question that
cannot be understood without its image is refused and counted.
"""
from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

from nanoreason.problem import Problem
from nanoreason.records import Rejection, read_json_lines

YEARS = (2019, 2020, 2021, 2022, 2023)
TEST_YEAR = 2023
LETTERS = "ABCD"
_NO_IMAGE = {"", "no", "none", "null", "false", "0"}
# An option's letter stands at a line's start or after white space, before a point,
# a colon or a bracket: `A. 3`, `B: 4`, `C) 5`. `điểm A. ` ends no stem: see `_options`.
_MARK = re.compile(r"(?:(?<=\s)|^)([ABCD])\s*[.:)]\s*")
_KEY = re.compile(r"\W*([ABCD])\W*", re.IGNORECASE)


def read_vnhsge(record: dict, problem_id: str, split: str, place: str) -> Problem | Rejection:
    """A record as a `Problem` whose answer is the letter of its key, or why it is none.

    The question keeps stem and options; `details` has `options` (letter to text, empty
    where the four cannot be told apart), `worked` (the explanation) and `key_image`
    (whether the explanation refers to an image).
    """
    question, key = record.get("Question"), record.get("Choice")
    if not isinstance(question, str) or not question.strip():
        return Rejection(problem_id, "no_question", place,
                         f"field `Question` must be text, not {question!r:.80}")
    if _has_image(record.get("Image_Question")):
        return Rejection(problem_id, "needs_image", place,
                         f"the question is asked of the image "
                         f"{record['Image_Question']!r:.80}")
    found = _KEY.fullmatch(key) if isinstance(key, str) else None
    if found is None:
        return Rejection(problem_id, "no_answer", place,
                         f"field `Choice` must be one of A, B, C, D, not {key!r:.80}")
    explanation = record.get("Explanation")
    return Problem(problem_id, "vnhsge", split, "vi", question.strip(), found[1].upper(),
                   details={"options": options_of(question),
                            "worked": explanation if isinstance(explanation, str) else "",
                            "key_image": _has_image(record.get("Image_Answer"))})


def _has_image(value) -> bool:
    if isinstance(value, str):
        return value.strip().lower() not in _NO_IMAGE
    return bool(value)


def options_of(question: str) -> dict[str, str]:
    """The options A to D of a question, by letter; {} unless all four can be told apart.

    They are the last marks `A`, `B`, `C`, `D` in this order, so that a point A of the stem
    is not taken for an option.
    """
    marks, place = [], len(question)
    for letter in reversed(LETTERS):
        found = [m for m in _MARK.finditer(question) if m[1] == letter and m.end() <= place]
        if not found:
            return {}
        marks.insert(0, found[-1])
        place = found[-1].start()
    ends = [*(mark.start() for mark in marks[1:]), len(question)]
    texts = [question[mark.end():end].strip() for mark, end in zip(marks, ends)]
    return dict(zip(LETTERS, texts)) if all(texts) else {}


def exam_years(part: str) -> list[int]:
    """The years of a part: 2023 is "test", the others are "train"."""
    return [year for year in YEARS if (year == TEST_YEAR) == (part == "test")]


def exam_files(folder: Path, part: str) -> list[Path]:
    """The exams of a part, "train" or "test", that lie in a folder, by year.

    Raises `FileNotFoundError`, with the names, if any year of the part is missing.
    """
    files = [folder / f"MET_Math_IE_{year}.json" for year in exam_years(part)]
    missing = [file.name for file in files if not file.is_file()]
    if missing:
        raise FileNotFoundError(f"{folder} lacks {', '.join(missing)}; give the folder of all "
                                "exams, or the path of one file")
    return files


def read_exam(path: Path) -> Iterator[tuple[str, str, dict | Rejection]]:
    """(id, place, record) of one file: a list of records, or one record a line."""
    numbered = read_json_lines(path)
    if path.read_bytes().lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"["):
        try:
            numbered = enumerate(json.loads(path.read_text(encoding="utf-8-sig")), 1)
        except (ValueError, RecursionError) as error:  # UnicodeError is a ValueError
            numbered = [(1, Rejection("", "not_json", path.name,
                                      f"none of its questions can be read: {error}"[:200]))]
    for number, record in numbered:
        place = f"{path.name} record {number}"
        if not isinstance(record, (dict, Rejection)):
            record = Rejection("", "not_an_object", place,
                               f"a record must be a JSON object, not {record!r:.60}")
        given = record.get("ID") if isinstance(record, dict) else None
        yield f"vnhsge-{given or f'{path.stem}-{number}'}", place, record
