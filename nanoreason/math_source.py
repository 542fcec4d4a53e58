"""MATH: competition problems whose answer stands in a box at the end of a solution.

Records have `problem`, `level`, `type` and `solution`. They are read from the hub (seven
configurations, one a subject), from the original tree `{train,test}/<subject>/<n>.json`,
or from JSON Lines with the same fields. The answer is LaTeX, taken out of the solution's
last `\\boxed{…}` or `\\fbox{…}`.
"""
from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

from nanoreason.problem import Problem
from nanoreason.records import Rejection

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
