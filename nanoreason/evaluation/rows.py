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
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import networkx as nx

from nanoreason.arithmetic.answers import (grade, last_answer, numbers_in, read_answer)
from nanoreason.arithmetic.equations import Equation, read_equations
from nanoreason.data.problem import question_sha256
from nanoreason.graph.builder import execute_graph
from nanoreason.graph.matching import edge_f1, first_wrong_step
from nanoreason.graph.quantities import quantities
from nanoreason.stages import SETTINGS
from nanoreason.trace import Claims, read_claims



@dataclass(frozen=True)
class Reading:
    """One row as the scores see it; None = not known.

    first, second: whether a1 (Result) and a2 (Answer) equal the gold answer. lenient:
    whether the last number does. readable: whether a1 is a readable answer at all. error:
    whether the verdict is an error; an unreadable one is not. blamed: the step blamed.
    ritual: see `is_ritual`, None where VERIFY is not reached. wrong_step: the first wrong
    step where the trace is wrong and that step is known. steps: of the teacher's EXECUTE,
    None without a teacher. kind: of the planted error. refused: why an answer could not be
    compared with the gold one, None where all could.
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
    steps: int | None = None
    kind: str | None = None
    refused: str | None = None


def is_ritual(claims: Claims, question: str) -> bool:
    """Whether VERIFY checks nothing that EXECUTE did not say already.

    True if no readable true equation in it differs from EXECUTE's equations and has an
    operand that is a value of EXECUTE or of the question.
    """
    said = {_bare(line) for line in claims.execute}
    said |= {_bare(equation.text) for equation in _equations(claims.execute)}
    known = numbers_in("\n".join(claims.execute)) | _asked(question)
    for equation in _equations(claims.checks + claims.repairs):
        if equation.holds and _bare(equation.text) not in said:
            computed = (side for side in equation.sides if re.search(r"[0-9)%]\s*[-+*/^]", side))
            if len(set(equation.sides)) > 1 and any(numbers_in(s) & known for s in computed):
                return False
    return True


def _equations(lines: Iterable[str]) -> Iterator[Equation]:
    """The equations of all lines; read one by one, because a line read before is kept."""
    for line in lines:
        yield from read_equations(line)


@lru_cache(maxsize=4096)
def _asked(question: str) -> frozenset:
    """The values of a question's quantities (several traces answer one question)."""
    return frozenset(value for q in quantities(question) for value in q.values)


def _bare(text: str) -> str:
    return re.sub(r"[\s,$]", "", text).rstrip(".")


@lru_cache(maxsize=16_384)
def claims_of(text: str) -> Claims:
    """What a trace's text claims (kept, because scores meet it repeatedly)."""
    return read_claims(text)


def graph_of(text: str, question: str) -> nx.DiGraph:
    """The dependency graph of a trace's text (kept, because scores meet it repeatedly)."""
    claims = claims_of(text)
    return _graph(claims.execute, question, claims.a1, claims.plan)


# Kept by PLAN and EXECUTE, so that one EXECUTE under several VERIFYs is read once.
_graph = lru_cache(maxsize=4096)(execute_graph)


def teacher_graphs(row: Mapping) -> list[nx.DiGraph]:
    """The readable graphs of a row's teacher traces."""
    graphs = [graph_of(text, row["question"]) for text in row.get("teachers") or ()]
    return [graph for graph in graphs if not graph.graph["unreadable"]]


def closest(student: nx.DiGraph, teachers: Sequence[nx.DiGraph]) -> nx.DiGraph:
    """The teacher's graph that a student's is closest to by edge F1, the first of equal ones."""
    if len(teachers) == 1:  # most questions have one: nothing to compare
        return teachers[0]
    return max(teachers, key=lambda teacher: edge_f1(student, teacher))


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
    planted = row.get("planted") or {}
    where["kind"] = planted.get("kind")
    if row.get("text") is None:
        scores = row.get("scores") or {}
        (first, late), (error, blamed) = _grade(row["a1"], gold), _verdict(row["v"])
        second, later = _grade(row["a2"], gold)
        return Reading(
            **where, first=first, readable=row["a1"] is not None, error=error, blamed=blamed,
            second=second, lenient=scores.get("lenient"),
            reached_verify=scores.get("reached_verify"), ritual=scores.get("ritual"),
            wrong_step=None if first else planted.get("step") or scores.get("first_wrong_step"),
            steps=scores.get("steps"), refused=scores.get("refused") or late or later,
        )
    claims = claims_of(row["text"])
    (first, late), (second, later) = _grade(claims.a1, gold), _grade(claims.a2, gold)
    lenient, latest = _grade(last_answer(row["text"], gold), gold)
    return Reading(
        **where, first=first,
        # Where the gold answer is no number, any stated result is readable.
        readable=claims.a1 is not None
        and (read_answer(gold) is None or read_answer(claims.a1) is not None),
        error=claims.verdict_readable and claims.verdict is not None,
        blamed=claims.verdict, second=second, lenient=lenient,
        reached_verify=claims.reached_verify,
        ritual=is_ritual(claims, row["question"]) if claims.reached_verify else None,
        wrong_step=None if first else planted.get("step") or _natural_wrong_step(row),
        steps=_steps(row), refused=late or later or latest,
    )


@lru_cache(maxsize=4096)
def _grade(text: str | None, gold: str) -> tuple[bool, str | None]:
    """(right, why it was not compared); kept, because a trace states an answer thrice."""
    found = grade(text, gold)
    return found.right, found.refused


def _steps(row: Mapping) -> int | None:
    """How many steps the first teacher takes."""
    return next((len(claims_of(text).execute) for text in row.get("teachers") or ()), None)


def read_rows(rows: Iterable[Mapping], single: bool) -> tuple[list[Reading], dict]:
    """Readings of the rows that can be scored, and the names of the others by reason.

    Natural rows alone pool, and injected and clean ones together; `single` allows any one
    setting. Raises ValueError for other mixtures.
    """
    good, left_out = split_faults(rows)
    settings = {row["setting"] for row in good}
    allowed = settings <= {"natural"} or settings == {"injected", "clean"}
    if not (allowed or (single and len(settings) == 1)):
        example = {row["setting"]: name_of(row) for row in good}
        raise ValueError(
            f"rows of the settings {', '.join(sorted(settings))} (such as "
            f"{', '.join(sorted(example.values()))}) do not pool; give natural rows alone, or "
            "injected and clean rows together"
        )
    return [read_row(row) for row in good], left_out


def _verdict(v: str | int | None) -> tuple[bool, int | None]:
    """(error, step blamed) of a compact row's verdict: "correct", a step, or unreadable."""
    if isinstance(v, int) and not isinstance(v, bool):
        return v > 0, v or None
    match = re.fullmatch(r"(?:step )?([0-9]+)(?: is wrong)?", v or "")
    return bool(match), int(match[1]) if match else None


def _natural_wrong_step(row: Mapping) -> int | None:
    """The first wrong step against the teacher that the trace is closest to."""
    student = graph_of(row["text"], row["question"])
    teachers = [] if student.graph["unreadable"] else teacher_graphs(row)
    if not teachers:
        return None
    return first_wrong_step(student, closest(student, teachers))


def compact_row(row: Mapping, **scores) -> dict:
    """A row without its texts: what may be committed for sources that keep their rights.

    Holds id, question_sha256, sample, setting, gold, a1, v, a2, planted, intervention and
    parent_sample, and under `scores` what only the text could tell; `scores` adds to it.
    """
    claims, reading = claims_of(row["text"]), read_row(row)
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
            "steps": reading.steps,
            "refused": reading.refused,
            **scores,
        },
    }
