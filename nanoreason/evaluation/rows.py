"""Rows of `generations.jsonl` as the scores see them: each is read once, into a `ScoredRow`.

A row holds the text of one trace, or, where the source's rights forbid that, `a1`, `v`,
`a2` and a mapping `scores` in its place (`compact_row` makes one from the other). Either
way a `ScoredRow` says what was right, what was claimed, and what is not known (None); what
only some scores need, VERIFY's equations and the graphs, is read when it is asked for.
A row that cannot be scored is left out under a named reason; a text that cannot be read is
no such row, it is a wrong answer. `read_rows` makes the table that every score takes.
"""
from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property

import networkx as nx
import numpy as np

from nanoreason.arithmetic.answers import (Grade, grade, last_answer, numbers_in, read_answer,
                                           with_points)
from nanoreason.arithmetic.equations import Equation, read_equations
from nanoreason.arithmetic.expression import is_vietnamese
from nanoreason.data.problem import normalise_question, question_sha256
from nanoreason.graph.builder import dead_share, execute_graph
from nanoreason.graph.matching import edge_f1, first_wrong_step, flatten, rewired_edge_f1
from nanoreason.graph.quantities import quantities
from nanoreason.host import GivenError, check_type, shown
from nanoreason.runs import row_fault
from nanoreason.stages import GIVEN
from nanoreason.trace import Claims, read_claims

DRAWS = 100  # of the null of edge F1
# What only a text can tell, in the `scores` of a row without its text (`lenient` and
# `refused` stand there too).
TOLD = ("reached_verify", "ritual", "first_wrong_step", "steps", "edge_f1",
        "edge_f1_unflattened", "plan_infeasible", "dead_steps")


class Texts:
    """What the texts of a table come to. A text that several rows share, a teacher's trace or
    an EXECUTE under several VERIFYs, is read once for all of them."""

    def __init__(self):
        self.claims, self.grade = cache(read_claims), cache(grade)
        self._graph, self.flat = cache(execute_graph), cache(flatten)

    def graph(self, text: str, question: str) -> nx.DiGraph:
        """The dependency graph of a trace's text."""
        claims = self.claims(text)
        return self._graph(claims.execute, question, claims.a1, claims.plan)


class ScoredRow:
    """One row as the scores see it; None = not known.

    first, second: whether a1 (Result) and a2 (Answer) equal the gold answer. readable:
    whether a1 is a readable answer at all. error: whether the verdict is an error; an
    unreadable one is not. blamed: the step blamed. unasked: whether VERIFY was left out because
    EXECUTE was sure (`sure`): then a1 is the answer, and the verdict counts as `correct`. kind: of
    the injected error. claims: what the text claims, None in a row without its text, which says
    itself what only the text could tell. The row must be without `row_fault`.
    """

    def __init__(self, row: Mapping, texts: Texts | None = None):
        self.row, self.texts = row, texts or Texts()
        self.problem, self.setting = problem_of(row), row["setting"]
        self.sample = self.problem, str(row.get("sample", 0))  # names a trace within its setting
        self.gold, self.planted = str(row["gold"]), row.get("planted") or {}
        self.kind = self.planted.get("kind")
        # Numbers are read as the row's language writes them.
        self.vietnamese = row.get("language", "vi" * is_vietnamese(row.get("question", ""))) == "vi"
        self._plain = with_points if self.vietnamese else str
        self.claims: Claims | None = None
        if row.get("text") is None:
            self.a1, self.a2, self.readable = row["a1"], row["a2"], row["a1"] is not None
            self.blamed = _verdict(row["v"])
            kept = row.get("scores") or {}
            self._last = Grade(kept.get("lenient"), kept.get("refused"))
            if "edge_f1_unflattened" not in kept:  # of before graphs were flattened
                kept = kept | {"edge_f1_unflattened": kept.get("edge_f1"), "edge_f1": None}
            vars(self).update({name: kept.get(name) for name in TOLD})
            self.dead_steps = tuple(self.dead_steps) if self.dead_steps else None
            self._teacher_texts: Sequence[str] = ()
        else:
            claims = self.claims = self.texts.claims(row["text"])
            self.a1, self.a2, self.blamed = claims.a1, claims.a2, claims.verdict
            # Where the gold answer is no number, any stated result is readable.
            self.readable = claims.a1 is not None and (
                read_answer(self._plain(self.gold)) is None
                or read_answer(self._plain(claims.a1)) is not None)
            self._teacher_texts = row.get("teachers") or ()
        self.unasked = bool(row.get("sure")) and not self.reached_verify
        if self.unasked and self.claims:  # a row without its text says its answer itself
            self.a2 = self.a1
        self.error = self.blamed is not None
        self._grades = [self.texts.grade(text, self.gold, self.vietnamese)
                        for text in (self.a1, self.a2)]
        self.first, self.second = (found.right for found in self._grades)

    @property
    def name(self) -> str:
        """How reports name the row."""
        return name_of(self.row)

    @cached_property
    def _last(self) -> Grade:
        text, gold = self._plain(self.row["text"]), self._plain(self.gold)
        return self.texts.grade(last_answer(text, gold), gold)

    @property
    def lenient(self) -> bool | None:
        """Whether the last thing in the text that could be an answer is right."""
        return self._last.right

    @property
    def refused(self) -> str | None:
        """Why an answer could not be compared with the gold one, None where all could."""
        return next((found.refused for found in (*self._grades, self._last) if found.refused),
                    None)

    @cached_property
    def reached_verify(self) -> bool | None:
        """Whether the text has a VERIFY."""
        return self.claims.reached_verify

    @cached_property
    def ritual(self) -> bool | None:
        """Whether VERIFY checks nothing (`is_ritual`), None where it is not reached."""
        return is_ritual(self.claims, self.row["question"]) if self.reached_verify else None

    @cached_property
    def steps(self) -> int | None:
        """How many steps the first teacher takes."""
        return next((len(self.texts.claims(text).execute) for text in self._teacher_texts), None)

    @cached_property
    def graph(self) -> nx.DiGraph:
        """The dependency graph of the row's text."""
        return self.texts.graph(self.row["text"], self.row["question"])

    @cached_property
    def teachers(self) -> list[nx.DiGraph]:
        """The readable graphs of the row's teacher traces."""
        graphs = (self.texts.graph(text, self.row["question"]) for text in self._teacher_texts)
        return [graph for graph in graphs if not graph.graph["unreadable"]]

    @cached_property
    def first_wrong_step(self) -> int | None:
        """The first wrong step against the teacher whose graph is closest."""
        if self.first or self.graph.graph["unreadable"] or not self.teachers:
            return None
        return first_wrong_step(self.graph, closest(self.graph, self.teachers))

    @property
    def wrong_step(self) -> int | None:
        """The first wrong step of a trace with a wrong a1, where it is known: the injected one,
        else the first that is wrong against a teacher."""
        return None if self.first else self.planted.get("step") or self.first_wrong_step

    @cached_property
    def edge_f1(self) -> float | None:
        """Edge F1 with the best teacher, of flattened graphs, None without a readable one."""
        flat = self.texts.flat
        return max((edge_f1(flat(self.graph), flat(teacher), flat=False)
                    for teacher in self.teachers), default=None)

    @cached_property
    def edge_f1_unflattened(self) -> float | None:
        """The same of the graphs with a node for each line."""
        return max((edge_f1(self.graph, teacher, flat=False) for teacher in self.teachers),
                   default=None)

    def edge_f1_null(self, seed: int) -> float | None:
        """Mean edge F1 of DRAWS seeded copies with every operand drawn anew, None without a
        readable teacher."""
        if not self.claims:
            kept = self.row.get("scores") or {}
            return kept.get("edge_f1_null") if "edge_f1_unflattened" in kept else None
        # The same draws for every teacher, the best teacher for every draw.
        found = [rewired_edge_f1(self.graph, teacher, DRAWS, np.random.default_rng(seed))
                 for teacher in self.teachers]
        return float(np.max(found, axis=0).mean()) if found else None

    @cached_property
    def dead_steps(self) -> tuple[int, int] | None:
        """(steps that the result does not depend on, steps), None for an unreadable graph."""
        return dead_share(self.graph)

    @cached_property
    def plan_infeasible(self) -> bool | None:
        """Whether PLAN is impossible by every teacher that can judge it, None without one."""
        found = [infeasible_step(self.claims.plan, self.texts.claims(text).plan,
                                 self.texts.graph(text, self.row["question"]))
                 for text in self._teacher_texts]
        judged = [step > 0 for step in found if step is not None]
        return all(judged) if judged else None


@dataclass(frozen=True)
class ScoredRows:
    """A table of rows, read once. faults: (row, why) of those that cannot be scored."""

    rows: tuple[ScoredRow, ...]
    faults: tuple[tuple[Mapping, str], ...]
    texts: Texts

    def __iter__(self) -> Iterator[ScoredRow]:
        return iter(self.rows)

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def left_out(self) -> dict[str, tuple[str, ...]]:
        """The names of the rows that cannot be scored, by reason."""
        return by_reason((reason, name_of(row)) for row, reason in self.faults)

    @property
    def mappings(self) -> list[Mapping]:
        """The rows as they were given, those that cannot be scored last."""
        return [row.row for row in self.rows] + [row for row, _ in self.faults]

    @property
    def settings(self) -> set[str]:
        """The settings of the rows that can be scored."""
        return {row.setting for row in self.rows}

    def where(self, *settings: str, split: str | None = None) -> ScoredRows:
        """The rows of these settings and this split; a row without one is of the split test."""
        def belongs(row: Mapping) -> bool:
            row = row if isinstance(row, Mapping) else {}
            return ((not settings or row.get("setting") in settings)
                    and (split is None or (row.get("split") or "test") == split))
        return ScoredRows(tuple(row for row in self.rows if belongs(row.row)),
                          tuple(pair for pair in self.faults if belongs(pair[0])), self.texts)

    def of(self, rows: Iterable[ScoredRow]) -> ScoredRows:
        """A table of some of the rows alone, in their order."""
        return ScoredRows(tuple(rows), (), self.texts)

    def pooled(self, single: bool = False) -> ScoredRows:
        """The table, if its rows pool: natural rows alone, or injected and clean ones together.

        single: any one setting will do. Raises ValueError for other mixtures.
        """
        settings = self.settings
        if not (settings <= {"natural"} or settings == set(GIVEN)
                or (single and len(settings) == 1)):
            example = {row.setting: row.name for row in self.rows}
            raise GivenError(
                f"rows of the settings {', '.join(sorted(settings))} (such as "
                f"{', '.join(sorted(example.values()))}) do not pool; give natural rows alone, or "
                "injected and clean rows together")
        return self


def read_rows(rows: Iterable[Mapping] | ScoredRows, texts: Texts | None = None) -> ScoredRows:
    """The table of some rows; a table that is given is handed back.

    texts: of another table, whose texts these rows share.
    """
    if isinstance(rows, ScoredRows):
        return rows
    check_type(Iterable, "the rows of a generations.jsonl", rows=rows)
    texts, good, faults = texts or Texts(), [], []
    for row in rows:
        fault = row_fault(row, whole=False)
        if fault:
            faults.append((row, fault))
        else:
            good.append(ScoredRow(row, texts))
    return ScoredRows(tuple(good), tuple(faults), texts)


def read_row(row: Mapping | ScoredRow) -> ScoredRow:
    """One row read; a row that was read already is handed back."""
    return row if isinstance(row, ScoredRow) else ScoredRow(row)


def by_reason(named: Iterable[tuple[str, str]]) -> dict[str, tuple[str, ...]]:
    """(reason, name) pairs as reason -> names."""
    found: dict[str, tuple[str, ...]] = {}
    for reason, name in named:
        found[reason] = found.get(reason, ()) + (name,)
    return found


def problem_of(row: Mapping) -> str:
    """The id of a row's problem."""
    return _named(row, "problem_id", _named(row, "id", "?"))


def name_of(row: Mapping) -> str:
    """How a row is named in reports: problem, sample and setting."""
    return f"{problem_of(row)}/{_named(row, 'sample', '0')}/{_named(row, 'setting', '?')}"


def _named(row: Mapping, field: str, absent: str) -> str:
    """A field in a name, whatever it and the row are."""
    value = row.get(field, absent) if isinstance(row, Mapping) else absent
    return value if isinstance(value, str) else shown(value)


def _verdict(v: str | int | None) -> int | None:
    """The step blamed by a row without its text: of "correct" and the unreadable, None."""
    if isinstance(v, int) and not isinstance(v, bool):
        return v or None
    match = re.fullmatch(r"(?:step )?([0-9]{1,6})(?: is wrong)?", v or "")
    return int(match[1]) if match else None


def closest(student: nx.DiGraph, teachers: list[nx.DiGraph]) -> nx.DiGraph:
    """The teacher's graph that a student's is closest to, the first of equal ones.

    By edge F1 line by line: what is asked of it is a step, and flattened graphs have none.
    """
    if len(teachers) == 1:  # most questions have one: nothing to compare
        return teachers[0]
    return max(teachers, key=lambda teacher: edge_f1(student, teacher, flat=False))


def is_ritual(claims: Claims, question: str) -> bool:
    """Whether VERIFY checks nothing that EXECUTE did not say already.

    True if no readable true equation in it differs from EXECUTE's equations and has an
    operand that is a value of EXECUTE or of the question.
    """
    said = {_bare(line) for line in claims.execute}
    said |= {_bare(equation.text) for equation in _equations(claims.execute)}
    known = numbers_in("\n".join(claims.execute))
    known |= {value for quantity in quantities(question) for value in quantity.values}
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


def _bare(text: str) -> str:
    return re.sub(r"[\s,$]", "", text).rstrip(".")


def infeasible_step(
    plan: tuple[str, ...], teacher_plan: tuple[str, ...], teacher: nx.DiGraph
) -> int | None:
    """The first plan step that needs what is neither given nor produced before it.

    A PLAN is words, so a step is known by the teacher's step of the same wording, and what it
    needs by that step's operands in the teacher's graph (of the teacher's EXECUTE, whose line
    k does teacher_plan's step k). Returns 0 for a feasible plan, None where it cannot be
    judged: a step that the teacher does not have in these words, or no plan.
    """
    numbers: dict[str, list[int]] = {}
    for number, step in enumerate(teacher_plan, 1):
        numbers.setdefault(normalise_question(step), []).append(number)
    produced: set[int] = set()
    for position, step in enumerate(plan, 1):
        known = numbers.get(normalise_question(step), [])
        number = next((n for n in known if n not in produced), known[-1] if known else None)
        if number is None:
            return None
        needs = {source[1] for node in teacher if node[:2] == ("step", number)
                 for source in teacher.predecessors(node)
                 if source[0] == "step" and source[1] != number}
        if not needs <= produced:
            return position
        produced.add(number)
    return 0 if plan else None


def compact_row(row: Mapping | ScoredRow, **scores) -> dict:
    """A row without its texts: what may be committed for sources that keep their rights.

    Holds id, question_sha256, sample, setting, gold, a1, v, a2, planted, intervention,
    parent_sample, cut and sure, and under `scores` what only the text could tell; `scores` adds
    to it.
    """
    scored = read_row(row)
    row, claims = scored.row, scored.claims
    verdict = "correct" if scored.unasked else "unreadable"
    if claims.verdict_readable:
        verdict = f"step {claims.verdict} is wrong" if claims.verdict else "correct"
    kept = ("sample", "setting", "split", "gold", "planted", "intervention", "parent_sample", "cut",
            "sure")
    return {
        "problem_id": scored.problem,
        "question_sha256": question_sha256(row["question"]),
        **{key: row[key] for key in kept if key in row},
        **({"language": "vi"} if scored.vietnamese else {}),
        "a1": claims.a1 if scored.readable else None,
        "v": verdict,
        "a2": scored.a2,
        "text_sha256": hashlib.sha256(row["text"].encode("utf-8")).hexdigest(),
        "scores": {
            "lenient": scored.lenient, "reached_verify": scored.reached_verify,
            "ritual": scored.ritual, "first_wrong_step": scored.wrong_step,
            "steps": scored.steps, "refused": scored.refused, **scores,
        },
    }
