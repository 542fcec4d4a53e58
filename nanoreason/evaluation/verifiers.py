"""Verifiers to measure a model's VERIFY against: written by rule, after a run's own EXECUTE.

Each takes a row with its text and gives the row with another VERIFY: the step checker, which
knows arithmetic and nothing else, and the graph oracle, which knows the teacher's trace and
is the ceiling. A trained VERIFY that does no better than the first has learned arithmetic at
most; the distance to the second is what is left to learn. Strategies that game the score
are in `gaming`.

Left out on purpose: a verifier that reads the question. That would be a solver.
"""
from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

import networkx as nx

from nanoreason.arithmetic.answers import same_answer
from nanoreason.arithmetic.equations import read_equations
from nanoreason.arithmetic.expression import (ArithmeticTextError, Binary, Negative, Node,
                                              Number, value_of)
from nanoreason.data.verify_lines import SIGNS, write_number
from nanoreason.evaluation.interventions import work_out
from nanoreason.evaluation.report import SEED
from nanoreason.evaluation.rows import (ScoredRow, ScoredRows, closest, name_of, read_row,
                                        read_rows)
from nanoreason.evaluation.self_verification import verification
from nanoreason.graph.matching import first_wrong_step
from nanoreason.stages import GIVEN, MARKER, Stage
from nanoreason.trace import render_verify


def before_verify(text: str) -> str:
    """A text up to its first VERIFY tag, which is left out; all of it where there is none."""
    lines = text.split("\n")
    markers = [MARKER.match(line.strip()) for line in lines]
    at = next((place for place, marker in enumerate(markers)
               if marker and Stage.VERIFY.value in marker.groups()), len(lines))
    return "".join(f"{line}\n" for line in lines[:at])


def with_verify(row: Mapping, checks: Sequence[str], verdict: int | str | None,
                repairs: Sequence[str], answer: str | None) -> dict:
    """The row with this VERIFY in place of its own, see `trace.render_verify`.

    Raises ValueError for a row without its text.
    """
    if row.get("text") is None:
        raise ValueError(f"row {name_of(row)} has no text to write a VERIFY after")
    verify = render_verify(checks, verdict, repairs, answer)
    return dict(row) | {"text": before_verify(row["text"]) + verify}


def step_checker(row: Mapping | ScoredRow) -> dict:
    """VERIFY by arithmetic alone: blames the first line with a false equation, else none.

    It works that line and all later ones out anew, each with the new values of the lines
    that it uses. Where a line cannot be read nothing is carried past it, and the answer
    stays what EXECUTE said.
    """
    scored = read_row(row)
    row, claims, graph = scored.row, scored.claims, scored.graph
    wrong = next((number for number, line in enumerate(claims.execute, 1)
                  if any(e.holds is False for e in read_equations(line))), None)
    checks = _checks(graph)
    if wrong is None:
        return with_verify(row, checks, "correct", (), claims.a1)
    values = {node: graph.nodes[node]["value"] for node in _steps(graph) if node[1] < wrong}
    again = None if graph.graph["unreadable"] else work_out(
        graph, [node for node in _steps(graph) if node[1] >= wrong], values)
    if not again:
        return with_verify(row, checks[:wrong], wrong, (), claims.a1)
    # A line of several equations gives its last one.
    lines = {node[1]: f"{_write(tree)} = {write_number(values[node])}"
             for node, tree in again.items()}
    return with_verify(row, checks[:wrong], wrong, list(lines.values()),
                       write_number(values[list(again)[-1]]))


def graph_oracle(row: Mapping | ScoredRow) -> dict:
    """VERIFY by one who knows the teacher's trace: the ceiling.

    The result is right or wrong as the teacher's says; blamed is the first wrong step
    against the teacher whose graph is closest, or the teacher's last step where none can be
    told (a false `Result:` under true steps, an unreadable line). The repair is the
    teacher's. Raises ValueError for a row without a teacher.
    """
    scored = read_row(row)
    row, texts, student, claims = scored.row, scored.texts, scored.graph, scored.claims
    teachers = row.get("teachers") or ()
    if not teachers:
        raise ValueError(f"row {scored.name} has no teacher: the oracle has nothing to know")
    graphs = [texts.graph(text, row["question"]) for text in teachers]
    graph = closest(student, graphs)
    teacher = texts.claims(teachers[graphs.index(graph)])
    if same_answer(claims.a1, str(teacher.a1)):
        return with_verify(row, teacher.checks, "correct", (), claims.a1)
    last = len(teacher.execute)
    wrong = min(first_wrong_step(student, graph) or last, last)
    return with_verify(row, teacher.checks[:wrong], wrong, teacher.execute[wrong - 1:],
                       teacher.a1)


def _steps(graph: nx.DiGraph) -> list[tuple]:
    return [node for node, kind in graph.nodes(data="kind") if kind == "step"]


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
    for node in _steps(graph):
        data = graph.nodes[node]
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


RULES: dict[str, Callable[[ScoredRow], dict]] = {
    "step checker": step_checker, "graph oracle": graph_oracle}
PROMPTED = "base, four-stage prompt"
NO_VERIFY_LOSS = "without VERIFY loss"


def by_verifier(rows: Iterable[Mapping] | ScoredRows,
                prompted: Iterable[Mapping] | ScoredRows = (),
                others: Mapping[str, Iterable[Mapping] | ScoredRows] = {}, seed: int = SEED
                ) -> dict[str, dict[str, dict | None]]:
    """What stands beside a run's own VERIFY, in "natural" and in "given" rows.

    rows: of one split, with their texts. The step checker and the graph oracle write VERIFY
    after the run's EXECUTE (None where a row lacks its text or, for the oracle, a teacher);
    `prompted` are the untouched base's natural rows under a four-stage prompt (none = not
    run), `others` rows of further runs by name.
    """
    table, beside = read_rows(rows), {PROMPTED: prompted, **others}
    found: dict[str, dict[str, dict | None]] = {}
    for part, settings in {"natural": ("natural",), "given": GIVEN}.items():
        ours = _whole(table, settings)
        scores = {name: verification(_whole(read_rows(theirs), settings), seed)
                  for name, theirs in beside.items()}
        for name, write in RULES.items():
            able = all(row.claims and (write is not graph_oracle or row.row.get("teachers"))
                       for row in ours)
            written = [write(row) for row in ours] if able else []
            scores[name] = verification(read_rows(written, table.texts), seed)
        found[part] = scores
    return found


def _whole(table: ScoredRows, settings: tuple[str, ...]) -> ScoredRows:
    """The rows of these settings that can be scored; none unless there are rows of each."""
    chosen = [row for row in table if row.setting in settings]
    return table.of(chosen if {row.setting for row in chosen} == set(settings) else ())
