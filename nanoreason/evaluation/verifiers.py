"""Verifiers to measure a model's VERIFY against: written by rule, after a run's own EXECUTE.

Each takes a row with its text and gives the row with another VERIFY: the step checker, which
knows arithmetic and nothing else, and the graph oracle, which knows the teacher's trace and
is the ceiling. A trained VERIFY that does no better than the first has learned arithmetic at
most; the distance to the second is what is left to learn. Strategies that game the score
are in `gaming`.

Left out on purpose: a verifier that reads the question. That would be a solver.
"""
from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction

import networkx as nx

from nanoreason.arithmetic.answers import same_answer
from nanoreason.arithmetic.equations import read_equations
from nanoreason.arithmetic.expression import (ArithmeticTextError, Binary, Negative, Node,
                                              Number, value_of)
from nanoreason.data.verify_lines import SIGNS, write_number
from nanoreason.evaluation.rows import claims_of, closest, graph_of, name_of
from nanoreason.graph.matching import first_wrong_step
from nanoreason.stages import ANSWER, MARKER, VERDICT, Stage


def before_verify(text: str) -> str:
    """A text up to its first VERIFY tag, which is left out; all of it where there is none."""
    lines = text.split("\n")
    for place, line in enumerate(lines):
        marker = MARKER.match(line.strip())
        if marker and Stage.VERIFY.value in marker.groups():
            lines = lines[:place]
            break
    return "".join(f"{line}\n" for line in lines)


def with_verify(row: Mapping, checks: Sequence[str], verdict: int | str | None,
                repairs: Sequence[str], answer: str | None) -> dict:
    """The row with this VERIFY in place of its own.

    verdict: the step blamed, "correct", or None for no verdict line; answer: None for no
    answer line. Repairs are numbered from the step blamed. Raises ValueError for a row
    without its text.
    """
    if row.get("text") is None:
        raise ValueError(f"row {name_of(row)} has no text to write a VERIFY after")
    lines = [f"{number}. {check}" for number, check in enumerate(checks, 1)]
    if verdict is not None:
        said = verdict if isinstance(verdict, str) else f"step {verdict} is wrong"
        lines.append(f"{VERDICT} {said}")
    first = verdict if isinstance(verdict, int) else 1
    lines += [f"{number}. {repair}" for number, repair in enumerate(repairs, first)]
    if answer is not None:
        lines.append(f"{ANSWER} {answer}")
    text = "\n".join([f"{before_verify(row['text'])}{Stage.VERIFY.tag}", *lines])
    return dict(row) | {"text": text}


def step_checker(row: Mapping) -> dict:
    """VERIFY by arithmetic alone: blames the first line with a false equation, else none.

    It works that line and all later ones out anew, each with the new values of the lines
    that it uses. Where a line cannot be read nothing is carried past it, and the answer
    stays what EXECUTE said.
    """
    claims = claims_of(row["text"])
    graph = graph_of(row["text"], row["question"])
    wrong = next((number for number, line in enumerate(claims.execute, 1)
                  if any(e.holds is False for e in read_equations(line))), None)
    checks = _checks(graph)
    if wrong is None:
        return with_verify(row, checks, "correct", (), claims.a1)
    again = None if graph.graph["unreadable"] else work_out(graph, wrong)
    if not again:
        return with_verify(row, checks[:wrong], wrong, (), claims.a1)
    return with_verify(row, checks[:wrong], wrong, [text for text, _ in again],
                       write_number(again[-1][1]))


def graph_oracle(row: Mapping) -> dict:
    """VERIFY by one who knows the teacher's trace: the ceiling.

    The result is right or wrong as the teacher's says; blamed is the first wrong step
    against the teacher whose graph is closest, or the teacher's last step where none can be
    told (a false `Result:` under true steps, an unreadable line). The repair is the
    teacher's. Raises ValueError for a row without a teacher.
    """
    teachers = row.get("teachers") or ()
    if not teachers:
        raise ValueError(f"row {name_of(row)} has no teacher: the oracle has nothing to know")
    student = graph_of(row["text"], row["question"])
    graphs = [graph_of(text, row["question"]) for text in teachers]
    graph = closest(student, graphs)
    claims, teacher = claims_of(row["text"]), claims_of(teachers[graphs.index(graph)])
    if same_answer(claims.a1, str(teacher.a1)):
        return with_verify(row, teacher.checks, "correct", (), claims.a1)
    last = len(teacher.execute)
    wrong = min(first_wrong_step(student, graph) or last, last)
    return with_verify(row, teacher.checks[:wrong], wrong, teacher.execute[wrong - 1:],
                       teacher.a1)


def work_out(graph: nx.DiGraph, first: int) -> list[tuple[str, Fraction]] | None:
    """EXECUTE's lines from number `first` on, worked out anew: (equation, value) of each.

    Operands that come from a line worked out here have its new value. None where that
    cannot be done (a division by zero). A line of several equations gives its last one.
    """
    values: dict[tuple, Fraction] = {}
    lines: dict[int, tuple[str, Fraction]] = {}
    for node, data in graph.nodes(data=True):
        if data["kind"] != "step":
            continue
        if node[1] < first:
            values[node] = data["value"]
            continue
        tree = _with_operands(data["tree"], iter(_operands(graph, node, values)))
        try:
            values[node] = value_of(tree)
        except ArithmeticTextError:
            return None
        lines[node[1]] = f"{_write(tree)} = {write_number(values[node])}", values[node]
    return list(lines.values())


def _operands(graph: nx.DiGraph, node: tuple, values: Mapping[tuple, Fraction]
              ) -> Iterator[Fraction]:
    for value, source in graph.nodes[node]["operands"]:
        if source in values:
            # `20%` may be written for a step's value of 20.
            same = value == graph.nodes[source]["value"]
            value = values[source] if same else values[source] / 100
        yield value


def _with_operands(tree: Node, operands: Iterator[Fraction]) -> Node:
    """The expression with its numbers replaced, left to right."""
    if isinstance(tree, Number):
        value = next(operands)
        return tree if value == tree.value else Number(value, write_number(value))
    if isinstance(tree, Negative):
        return Negative(_with_operands(tree.operand, operands))
    left = _with_operands(tree.left, operands)
    return Binary(tree.op, left, _with_operands(tree.right, operands))


def _write(tree: Node, inner: bool = False) -> str:
    """An expression as text, every inner operation in parentheses."""
    if isinstance(tree, Number):
        return f"({tree.text})" if inner and set(tree.text) & set("-/") else tree.text
    if isinstance(tree, Negative):
        return f"(-{_write(tree.operand, True)})"
    text = f"{_write(tree.left, True)} {tree.op} {_write(tree.right, True)}"
    return f"({text})" if inner else text


def _checks(graph: nx.DiGraph) -> list[str]:
    """One check a line: undone where it has two operands, else worked out once more."""
    checks = {}
    for node, data in graph.nodes(data=True):
        if data["kind"] != "step":
            continue
        tree, claimed = data["tree"], write_number(data["value"])
        try:
            text = f"{_write(tree)} = {write_number(value_of(tree))}"
            if isinstance(tree, Binary) and tree.op in SIGNS and isinstance(tree.right, Number):
                undone = Binary(SIGNS[tree.op], Number(data["value"], claimed), tree.right)
                text = f"{_write(undone)} = {write_number(value_of(undone))}"
        except ArithmeticTextError as error:
            text = f"{_write(tree)} cannot be worked out: {error}"
        checks[node[1]] = text
    return list(checks.values())
