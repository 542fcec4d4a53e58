"""MATH: competition problems whose answer stands in a box at the end of a solution.

Records have `problem`, `level`, `type` and `solution`. They are read from the hub (seven
configurations, one a subject), from the original tree `{train,test}/<subject>/<n>.json`,
or from JSON Lines with the same fields. The answer is LaTeX, taken out of the solution's
last `\boxed{…}` or `\fbox{…}`.
"""
from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

from nanoreason.data.problem import Problem, Rejection, read_json_lines

HUB_NAME = "EleutherAI/hendrycks_math"
SUBJECTS = ("algebra", "counting_and_probability", "geometry", "intermediate_algebra",
            "number_theory", "prealgebra", "precalculus")
_TOKEN = re.compile(r"(?P<box>\\(?:boxed|fbox)(?![A-Za-z]))\s*(?P<brace>\{?)|\\.|[{}]", re.DOTALL)
_BARE_END = re.compile(r"\$|\\\]|\\\)|\n")
_LEVEL = re.compile(r"Level ([1-5])")


def boxed_answer(solution: str) -> str | None:
    """What stands in the last box of a solution; None without a box that closes.

    Braces nest, `\\{` and `\\}` are no braces, and a box without braces (`\\boxed 2`) ends
    with its formula. An empty box gives "".
    """
    found, opened = None, []  # opened: for each open brace, its place and its box's, or None
    for token in _TOKEN.finditer(solution):
        box = token["box"]
        if box is not None and token["brace"]:
            opened.append((token.end(), token.start()))
        elif box is not None:
            bare = _BARE_END.split(solution[token.end():token.end() + 500], maxsplit=1)[0]
            found = max(found or (-1, ""), (token.start(), bare.strip().rstrip(".").strip()))
        elif token[0] == "{":
            opened.append((token.end(), None))
        elif token[0] == "}" and opened:
            begin, box = opened.pop()
            if box is not None:  # an outer box closes after an inner one, but began before
                found = max(found or (-1, ""), (box, solution[begin:token.start()].strip()))
    return found[1] if found else None


def read_math(record: dict, problem_id: str, split: str, place: str) -> Problem | Rejection:
    """A MATH record as a `Problem`, or why it is none.

    `details`: `worked` (the solution's text), `level` (1 to 5; None where the record says
    `Level ?`), `subject`, and `figure`, whether question or solution draws one in `[asy]`
    code, which no reader of the text sees.
    """
    question, solution = record.get("problem"), record.get("solution")
    for name, text in (("problem", question), ("solution", solution)):
        if not isinstance(text, str) or not text.strip():
            reason = "no_question" if name == "problem" else "no_answer"
            return Rejection(problem_id, reason, place,
                             f"field `{name}` must be text, not {text!r:.80}")
    answer = boxed_answer(solution)
    if not answer:
        reason = "no_final_answer" if answer is None else "empty_box"
        return Rejection(problem_id, reason, place,
                         rf"no answer in a \boxed{{…}} at the end of {solution[-60:]!r}")
    level = _LEVEL.fullmatch(str(record.get("level", "")).strip())
    return Problem(problem_id, "math", split, "en", question, answer, details={
        "worked": solution, "level": int(level[1]) if level else None,
        "subject": str(record.get("type", "")), "figure": "[asy]" in question + solution})


def read_tree(folder: Path, part: str) -> Iterator[tuple[str, str, dict | Rejection]]:
    """(id, place, record) of every file below `folder/<part>/<subject>`, subjects and
    numbers in order; a file that holds no JSON object comes as a `Rejection`."""
    def order(path):
        return path.parent.name, int(path.stem) if path.stem.isdecimal() else -1, path.stem

    for path in sorted((folder / part).glob("*/*.json"), key=order):
        place = f"{part}/{path.parent.name}/{path.name}"
        try:
            record = json.loads(path.read_text(encoding="utf-8-sig"))
        except (ValueError, RecursionError) as error:  # UnicodeError is a ValueError
            record = Rejection("", "not_json", place, str(error)[:200])
        if not isinstance(record, (dict, Rejection)):
            record = Rejection("", "not_an_object", place,
                               f"a record must be a JSON object, not {record!r:.60}")
        yield f"math-{part}-{path.parent.name}-{path.stem}", place, record


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
