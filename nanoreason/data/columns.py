"""Which fields of a record are the question, its answer and a solution.

A data set of word problems has names of its own for them, and some keep a problem in several
fields: the story in `Body`, what is asked in `Question`; a table, the options, beside it. The
sets of `KNOWN` are told by the names of their fields, and what was taken stands in a problem's
`details["columns"]`; for any other file `columns` says it. A field that holds part of a problem
and is not taken makes the record a rejection: half a question has no answer.

The gold answer is what an `answer` states: after `####` or `The answer is`, in a box, as a
number with its unit, or as a value alone. A text that states no value is a rejection, because no
answer of a model could equal it.
"""
from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal
from math import isfinite

from nanoreason.arithmetic.answers import (boxed_answer, read_answer, spelled, stated_number,
                                           with_points, without_unit)
from nanoreason.arithmetic.expression import language_of
from nanoreason.arithmetic.lexer import CURRENCY, NUMBER, SCALES
from nanoreason.data.problem import Problem, Rejection
from nanoreason.host import GivenError
from nanoreason.paths import asset_table

ROLES = ("question", "answer", "solution")
_TABLE = asset_table("columns.yaml")  # what its lists are stands there
KNOWN = [(name, *(fields.split() for fields in columns)) for name, *columns in _TABLE["known"]]
PARTS = set(_TABLE["parts"].split())
_FINAL = re.compile(r"#{3,}[ \t]*([^\n#]*)")
_SAID = re.compile(r"(?:answer\s+is|answer|đáp (?:án|số))[ \t]*:?[ \t]*(\S[^\n]*)", re.IGNORECASE)
_OPTION = re.compile(r"(?:(?:option|choice)[ _]?)?[a-e]|(?:option|choice)[ _]?[0-9]")
_NUMBER = re.compile(rf"-?(?:{NUMBER})%?")
_TRAILING = re.compile(r"(?<=[0-9])\.0+(?![0-9])")
_UNKNOWN = re.compile(r"^\s*[a-z]\s*=\s*(?=[^=]*$)", re.IGNORECASE)


def check_columns(columns: Mapping | None) -> dict[str, list[str]] | None:
    """`columns` with a list of fields for each role; `ValueError` where it is no such mapping."""
    if columns is None:
        return None
    found = {role: list(names) if isinstance(names, (list, tuple)) else [names]
             for role, names in columns.items() if names is not None}
    if not {"question", "answer"} <= found.keys() <= set(ROLES) or not all(
            name and isinstance(name, str) for names in found.values() for name in names):
        raise GivenError("columns names the fields of question, answer and, if there is one, "
                         f"solution, each as a name or a list of names, not {columns!r}")
    return found


def guessed(record: Mapping) -> tuple[str, dict[str, list[str]]]:
    """(the data set, its columns) that the names of a record's fields tell; ("", …) of others."""
    names = {name.lower(): name for name in record}
    for known, told, *roles in KNOWN:
        if set(told) <= names.keys():
            return known, {role: [names[n] for n in fields if n in names]
                           for role, fields in zip(ROLES, roles)}
    return "", {"question": [names.get("question", "question")],
                "answer": [names.get("answer", "answer")], "solution": []}


def read_problem(record: dict, problem_id: str, source: str, split: str, place: str,
                 columns: Mapping | None = None) -> Problem | Rejection:
    """A record as a `Problem`, or why it is none.

    columns: see `check_columns`; None: see `guessed`. `details["solution"]` holds the
    (sub-question or "", step) pairs of the solution; it is empty where there is none.
    """
    known, taken = ("", check_columns(columns)) if columns else guessed(record)
    parts = [_text(record.get(name)) for name in taken["question"]
             if columns or name.lower() in ("options", "choices")
             or not isinstance(record.get(name), list)] or [""]
    question, answer = "\n".join(filter(None, parts)), "\n".join(
        filter(None, (_text(record.get(name)) for name in taken["answer"])))
    wanted = (f"; the record has {', '.join(map(str, record))[:120] or 'no field'}, wanted are a "
              "question and an answer: say which with columns={question: [..], answer: ..}")
    asked = next((name for name in taken["question"] if "question" in name.lower()),
                 taken["question"][-1])
    for role, name, text in (("question", asked, _text(record.get(asked)) and question),
                             ("answer", taken["answer"][-1], answer)):
        if not text:
            return Rejection(problem_id, f"no_{role}", place,
                             f"field `{name}` must be text{' or a number' * (role == 'answer')}, "
                             f"not {record.get(name)!r:.80}{wanted}")
    beside = [name for name in record if (name.lower() in PARTS or _OPTION.fullmatch(name.lower()))
              and _text(record[name]) not in question and name not in sum(taken.values(), [])]
    if beside and not columns:
        return Rejection(problem_id, "half_a_problem", place,
                         f"part of the problem may stand in {', '.join(beside)}{wanted}")
    question = _with_numbers(question, record)
    text, steps = cut_gold(answer)
    if source == "gsm8k" and not _FINAL.search(answer) or not text:
        return Rejection(problem_id, "no_final_answer", place,
                         f"no `#### value` line in the answer {answer[-60:]!r}")
    language = record.get("language") or language_of(question)
    vietnamese = language == "vi"
    if vietnamese and isinstance(record.get(taken["answer"][-1]), float):
        text = text.replace(".", ",")  # JSON's point is no Vietnamese one
    gold = gold_value(text, vietnamese) or boxed_answer(answer)
    if gold is None:
        return Rejection(problem_id, "gold_is_no_value", place,
                         f"the answer states no value that could be compared: {text[-80:]!r}")
    solution = steps or "\n".join(_text(record.get(name)) for name in taken.get("solution", ()))
    details = {"solution": _pairs(solution, gold)} | ({"columns": (known, taken)} if known else {})
    return Problem(problem_id, source, split, language, question, gold, details=details)


def _text(value) -> str:
    """A field as text; of a list its members, a line each, of a mapping with their names; "" of
    anything else."""
    if isinstance(value, Mapping):
        value = [f"{name}. {text}" for name, text in value.items() if text]
    if isinstance(value, (list, tuple)):
        return "\n".join(filter(None, map(_text, value)))
    if isinstance(value, (int, float)) and not isinstance(value, bool) and isfinite(value):
        return _TRAILING.sub("", format(Decimal(str(value)), "f"))
    return value if isinstance(value, str) and value.strip() else ""


def _with_numbers(question: str, record: Mapping) -> str:
    """MAWPS writes `number0` for the first of its field `Numbers`."""
    numbers = next((_text(record[name]).split() for name in record
                    if name.lower() == "numbers"), [])
    return re.sub(r"\bnumber([0-9])\b", lambda found: _TRAILING.sub("", numbers[int(found[1])])
                  if int(found[1]) < len(numbers) else found[0], question)


def cut_gold(text: str) -> tuple[str, str]:
    """(what an answer states as its result, what comes before it)."""
    boxed = boxed_answer(text)
    final = ([*_FINAL.finditer(text)] or not boxed and [*_SAID.finditer(text)] or [None])[-1]
    if final:
        return final[1].strip(), text[:final.start()]
    return boxed or text.strip(), text if boxed or "=" in text else ""


def gold_value(text: str, vietnamese: bool = False) -> str | None:
    """The value that a gold answer states, without currency, thousands commas, unit and full
    stop where it is a number; None where it states none (a sentence, a worked solution), or one
    that could be taken for another (`2 dozen`, a Vietnamese `2,125`)."""
    text = text.strip()
    bare, unit = without_unit(spelled(text)) if "\\" not in text else (text, "")
    if unit in SCALES and "(" not in text:
        return None
    bare = bare if unit else text
    if vietnamese and re.fullmatch(r"-?[0-9.,]+", bare):
        bare = with_points(bare)
        if re.search(r"\.[0-9]{3}$", bare):
            return None
    number = plain_number(bare)
    if re.fullmatch(r"[-0-9./%]+", number) and read_answer(number) is not None:
        return number
    words = [word for word in re.findall(r"(?<![\\A-Za-z{])[^\W\d_]{2,}", text)]
    if "=" in text and (words or not re.search(r"[A-Za-z\\]", text)):
        stated = stated_number(text)
        return plain_number(stated) if stated else None
    if len(words) > 4 or "\n" in text or words and re.search(r"[0-9].* | .*[0-9]", text) and not (
            re.search(r"[\\:]", text)):
        return None
    return text


def plain_number(answer: str) -> str:
    """An answer without currency, thousands commas and full stop, if that is a number."""
    bare = re.sub(rf"^(-?){CURRENCY}\s?", r"\1", answer.strip()).rstrip(".").strip()
    return bare.replace(",", "") if _NUMBER.fullmatch(bare) else answer.strip()


def _pairs(text: str, gold: str) -> tuple[tuple[str, str], ...]:
    """The lines of a solution; of a lone expression (`( 8.0 - 3.0 )`) one that states its
    value."""
    text = _FINAL.sub("", text)
    if text and not re.search(r"[^\W\d_]{2}|<<", text):  # a formula alone
        text = _TRAILING.sub("", _UNKNOWN.sub("", text.strip()))
        text += f" = {gold}" * ("=" not in text)
    pairs = []
    for line in filter(None, map(str.strip, text.split("\n"))):
        asked, stars, step = line.partition(" ** ")
        pairs.append((asked.strip(), step.strip()) if stars else ("", line))
    return tuple(pairs)
