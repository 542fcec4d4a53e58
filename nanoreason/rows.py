"""Reading a row of `generations.jsonl` for scoring, and the report that scores share.

A row holds the text of one trace, or, where the source's rights forbid that, `a1`, `v`,
`a2` and a mapping `scores` in its place (`compact_row` makes one from the other). Either
way it becomes a `Reading`: what was right, what was claimed, and what is not known (None).
A row that cannot be scored is left out under a named reason; a text that cannot be read is
no such row, it is a wrong answer.
"""
from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache

import networkx as nx

from nanoreason.arithmetic import ArithmeticTextError, evaluate, read_equations
from nanoreason.graph import dependency_graph, edge_f1, first_wrong_step
from nanoreason.problem import question_sha256
from nanoreason.quantities import quantities
from nanoreason.symbolic import same_formula
from nanoreason.trace import Claims, read_claims

SETTINGS = ("natural", "injected", "clean", "intervened")
_DIGITS = r"[0-9]+(?:,[0-9]{3})*(?:\.[0-9]+)?|\.[0-9]+"
NUMBER = re.compile(rf"(?:{_DIGITS})")
# The sign counts where no operand stands before it: `= -3`, but not `5 -3`.
_SIGN = r"(?:(?<![0-9)%])(?<![0-9)%]\s)-)?"
_WRITTEN = re.compile(rf"{_SIGN}[$€£]?(?:{_DIGITS})(?:\s?/\s?[0-9]+)?\s?%?")
_ANSWER = re.compile(rf"[-+]?\s*(?:{_DIGITS})(?:\s*/\s*[0-9]+)?\s*%?")


def read_answer(text: str | None) -> Fraction | None:
    """The number that an answer states, exactly; None if it states none.

    `$1,000`, `3/4`, `12.50` and `20%` (one fifth) are numbers; sums are not answers.
    """
    if text is None:
        return None
    bare = re.sub(r"[$€£]", "", str(text)).strip().rstrip(".").rstrip()
    if not _ANSWER.fullmatch(bare):
        return None
    try:
        return evaluate(bare.replace(",", ""))
    except ArithmeticTextError:
        return None


def same_answer(text: str | None, gold: str) -> bool:
    """Whether an answer equals the gold one: as fractions, as text, else as formulas.

    Letters (the key of a multiple-choice question) match without regard to case; formulas
    are compared by math-verify (see `symbolic`). 50 is not 50 %.
    """
    value, expected = read_answer(text), read_answer(gold)
    if text is None or (value is not None and expected is not None):
        return value is not None and value == expected
    bare, bare_gold = ("".join(t.split()).strip("$.") for t in (text, gold))
    if bare.lower() == bare_gold.lower():
        return bool(bare)
    formula = any(re.search(r"[\\^=(\[{]", t) for t in (bare, bare_gold))
    return formula and "%" not in bare + bare_gold and same_formula(bare, bare_gold)


def last_number(text: str) -> str | None:
    """The last number of a text as it is written, None if there is none."""
    found = None
    for match in _WRITTEN.finditer(text):
        found = match.group()
    return found


@dataclass(frozen=True)
class Reading:
    """One row as the scores see it; None = not known.

    first, second: whether a1 (Result) and a2 (Answer) equal the gold answer. lenient:
    whether the last number does. readable: whether a1 is a readable answer at all. error:
    whether the verdict is an error; an unreadable one is not. blamed: the step blamed.
    ritual: see `is_ritual`, None where VERIFY is not reached. wrong_step: the first wrong
    step where the trace is wrong and that step is known.
    """

    problem: str
    name: str
    setting: str
    first: bool
    readable: bool
    error: bool
    blamed: int | None
    second: bool
    lenient: bool | None
    reached_verify: bool | None
    ritual: bool | None
    wrong_step: int | None


def is_ritual(claims: Claims, question: str) -> bool:
    """Whether VERIFY checks nothing that EXECUTE did not say already.

    True if no readable true equation in it differs from EXECUTE's equations and has an
    operand that is a value of EXECUTE or of the question.
    """
    lines = "\n".join(claims.execute)
    said = {_bare(line) for line in claims.execute}
    said |= {_bare(equation.text) for equation in read_equations(lines)}
    known = _numbers(lines) | {v for q in quantities(question) for v in q.values}
    for equation in read_equations("\n".join(claims.checks + claims.repairs)):
        if equation.holds and _bare(equation.text) not in said:
            computed = (side for side in equation.sides if re.search(r"[0-9)%]\s*[-+*/^]", side))
            if len(set(equation.sides)) > 1 and any(_numbers(s) & known for s in computed):
                return False
    return True


def _bare(text: str) -> str:
    return re.sub(r"[\s,$]", "", text).rstrip(".")


def _numbers(text: str) -> set[Fraction]:
    return {Fraction(match.replace(",", "")) for match in NUMBER.findall(text)}


@lru_cache(maxsize=4096)
def graph_of(text: str, question: str) -> nx.DiGraph:
    """The dependency graph of a trace's text (kept, because scores meet it repeatedly)."""
    return dependency_graph(read_claims(text), question)


def teacher_graphs(row: Mapping) -> list[nx.DiGraph]:
    """The readable graphs of a row's teacher traces."""
    graphs = [graph_of(text, row["question"]) for text in row.get("teachers") or ()]
    return [graph for graph in graphs if not graph.graph["unreadable"]]


def name_of(row: Mapping) -> str:
    """How a row is named in reports: problem, sample and setting."""
    problem = row.get("problem_id", row.get("id", "?"))
    return f"{problem}/{row.get('sample', 0)}/{row.get('setting', '?')}"


def fault(row: Mapping) -> str | None:
    """Why a row cannot be scored, None if it can."""
    if row.get("setting") not in SETTINGS:
        return f"setting is {row.get('setting')!r}, not one of {', '.join(SETTINGS)}"
    if row.get("problem_id", row.get("id")) is None:
        return "no problem_id"
    if row.get("gold") is None or not str(row["gold"]).strip():
        return "no gold answer"
    if row.get("text") is None and not {"a1", "v", "a2"} <= row.keys():
        return "neither text nor a1, v and a2"
    return None


def split_faults(rows: Iterable[Mapping]) -> tuple[list[Mapping], dict[str, tuple[str, ...]]]:
    """The rows that can be scored, and the names of the others by reason."""
    good, left_out = [], {}
    for row in rows:
        reason = fault(row)
        if reason is None:
            good.append(row)
        else:
            left_out[reason] = left_out.get(reason, ()) + (name_of(row),)
    return good, left_out


def read_row(row: Mapping) -> Reading:
    """What a row (with text, or compact) says; the row must be without `fault`."""
    gold = str(row["gold"])
    where = {
        "problem": str(row.get("problem_id", row.get("id"))),
        "name": name_of(row),
        "setting": row["setting"],
    }
    planted = (row.get("planted") or {}).get("step")
    if row.get("text") is None:
        scores = row.get("scores") or {}
        first, (error, blamed) = same_answer(row["a1"], gold), _verdict(row["v"])
        return Reading(
            **where, first=first, readable=row["a1"] is not None, error=error, blamed=blamed,
            second=same_answer(row["a2"], gold), lenient=scores.get("lenient"),
            reached_verify=scores.get("reached_verify"), ritual=scores.get("ritual"),
            wrong_step=None if first else planted or scores.get("first_wrong_step"),
        )
    claims = read_claims(row["text"])
    first = same_answer(claims.a1, gold)
    return Reading(
        **where, first=first,
        # Where the gold answer is no number, any stated result is readable.
        readable=claims.a1 is not None
        and (read_answer(gold) is None or read_answer(claims.a1) is not None),
        error=claims.verdict_readable and claims.verdict is not None,
        blamed=claims.verdict,
        second=same_answer(claims.a2, gold),
        lenient=same_answer(last_number(row["text"]), gold),
        reached_verify=claims.reached_verify,
        ritual=is_ritual(claims, row["question"]) if claims.reached_verify else None,
        wrong_step=None if first else planted or _natural_wrong_step(row),
    )


def _verdict(v: str | int | None) -> tuple[bool, int | None]:
    """(error, step blamed) of a compact row's verdict: "correct", a step, or unreadable."""
    if isinstance(v, int) and not isinstance(v, bool):
        return v > 0, v or None
    match = re.fullmatch(r"(?:step )?([0-9]+)(?: is wrong)?", v or "")
    return bool(match), int(match[1]) if match else None


def _natural_wrong_step(row: Mapping) -> int | None:
    """The first wrong step against the teacher that the trace is closest to."""
    teachers = teacher_graphs(row)
    if not teachers:
        return None
    student = graph_of(row["text"], row["question"])
    closest = max(teachers, key=lambda teacher: edge_f1(student, teacher))
    return first_wrong_step(student, closest)


def compact_row(row: Mapping, **scores) -> dict:
    """A row without its texts: what may be committed for sources that keep their rights.

    Holds id, question_sha256, sample, setting, gold, a1, v, a2, planted, intervention and
    parent_sample, and under `scores` what only the text could tell; `scores` adds to it.
    """
    claims, reading = read_claims(row["text"]), read_row(row)
    verdict = "unreadable"
    if claims.verdict_readable:
        verdict = f"step {claims.verdict} is wrong" if claims.verdict else "correct"
    kept = ("sample", "setting", "split", "gold", "planted", "intervention", "parent_sample")
    return {
        "problem_id": reading.problem,
        "question_sha256": question_sha256(row["question"]),
        **{key: row[key] for key in kept if key in row},
        "a1": claims.a1 if reading.readable else None,
        "v": verdict,
        "a2": claims.a2,
        "text_sha256": hashlib.sha256(row["text"].encode("utf-8")).hexdigest(),
        "scores": {
            "lenient": reading.lenient,
            "reached_verify": reading.reached_verify,
            "ritual": reading.ritual,
            "first_wrong_step": reading.wrong_step,
            **scores,
        },
    }
