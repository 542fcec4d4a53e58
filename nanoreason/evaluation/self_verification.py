"""Accuracy and self-verification: is the answer right, and did checking make it so.

A trace states three things that are scored apart: a1 (the result of EXECUTE), v (the
verdict of VERIFY) and a2 (the final answer). The Self-Verification Rate (SVR) asks for
both halves of verifying, catching and repairing what is wrong and keeping what is right,
so that a verifier which always agrees, always objects or only copies scores 0. Its null,
the same verdicts dealt to other traces, says what such a score is worth.

Two verifiers by rule stand beside the model's, after the same EXECUTE: the step checker, which
knows arithmetic and nothing else, and the graph oracle, which knows the teacher's trace and
is the ceiling. A trained VERIFY that does no better than the first has learned arithmetic at
most; the distance to the second is what is left to learn. Left out on purpose: a verifier
that reads the question, which would be a solver.
"""
from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial

import networkx as nx
import numpy as np

from nanoreason.arithmetic.answers import same_answer
from nanoreason.arithmetic.equations import read_equations
from nanoreason.arithmetic.expression import (ArithmeticTextError, Binary, Negative, Node,
                                              Number, value_of)
from nanoreason.data.problem import write_number
from nanoreason.data.verify_lines import SIGNS
from nanoreason.evaluation.interventions import work_out
from nanoreason.evaluation.report import (SEED, Report, Score, Statistic, composite,
                                          harmonic_mean, rate_of, ratio)
from nanoreason.evaluation.rows import ScoredRow, ScoredRows, closest, name_of, read_row, read_rows
from nanoreason.graph.matching import first_wrong_step, steps_of
from nanoreason.host import SEEDS, GivenError, check_number
from nanoreason.stages import GIVEN
from nanoreason.trace import before_verify, render_verify

PERMUTATIONS = 1000


def accuracy(rows: Iterable[Mapping] | ScoredRows) -> Report:
    """Strict and lenient accuracy; both over all rows of one setting (or injected + clean).

    strict: the `Answer:` line is right. lenient: the last thing in the text that could be an
    answer is (a number, an option's letter, a formula: see `answers.last_answer`), of the
    rows of which that is known. Raises ValueError for settings that must not be pooled.
    """
    table = read_rows(rows).pooled(single=True)
    known = [row for row in table if row.lenient is not None]
    return Report(len(table), {
        "strict": lambda: rate_of([row.second for row in table], [row.problem for row in table]),
        "lenient": lambda: rate_of([row.lenient for row in known], [row.problem for row in known]),
    }, table.left_out, table.rows)


# score -> (whether a row counts, whether it is a case at all)
Condition = Callable[[ScoredRow], bool]
SHARES: dict[str, tuple[Condition, Condition]] = {
    "recall": (lambda row: row.error, lambda row: not row.first),
    "specificity": (lambda row: not row.error, lambda row: row.first),
    "first_wrong_step": (lambda row: row.blamed == row.wrong_step,
                         lambda row: row.wrong_step is not None),
    "first_wrong_step_near": (lambda row: row.error and abs(row.blamed - row.wrong_step) <= 1,
                              lambda row: row.wrong_step is not None),
    "accuracy_a1": (lambda row: row.first, lambda row: True),
    "accuracy_a2": (lambda row: row.second, lambda row: True),
    "i_to_c": (lambda row: not row.first and row.second, lambda row: True),
    "c_to_i": (lambda row: row.first and not row.second, lambda row: True),
    "ritual_rate": (lambda row: row.ritual, lambda row: row.ritual is not None),
}


def self_verification(rows: Iterable[Mapping] | ScoredRows, seed: int = SEED) -> Report:
    """SVR and what stands beside it, over natural rows or over injected and clean ones.

    c1, c2: a1, a2 right; v: error or correct; n: all traces. An unreadable Result is wrong
    and never repaired; an unreadable verdict is `correct`. Scores:
    svr: harmonic mean of P(v = error and c2 | not c1) and P(v = correct and c2 | c1), 0 if
    either is 0; svr_null: its mean over seeded permutations of v.
    recall: P(v = error | not c1). specificity: P(v = correct | c1). youden_j: their sum
    less 1. first_wrong_step: of the wrong traces whose first wrong step is known, the share
    in which the verdict blames it; first_wrong_step_near: it or a neighbour of it.
    accuracy_a1, accuracy_a2: c1 / n, c2 / n. i_to_c: (not c1 and c2) / n. c_to_i: (c1 and
    not c2) / n. delta: accuracy_a2 - accuracy_a1 = i_to_c - c_to_i (Kumar et al. 2024).
    ritual_rate: of the traces that reach VERIFY, the share that checks nothing new.

    Raises ValueError for any other mixture of settings: rates of natural errors and of
    injected ones do not pool, and injected errors alone say nothing of what is kept.
    """
    check_number(int, 0, SEEDS, seed=seed)
    table = read_rows(rows).pooled()
    problems, counts = [row.problem for row in table], count_table(table)
    repaired, kept, caught, agreed, wrong, right, second, _ = map(int, counts.sum(axis=0))
    n = len(table)

    def of_rows(name: str) -> Score:
        counted, case = SHARES[name]
        cases = [row for row in table if case(row)]
        return rate_of([counted(row) for row in cases], [row.problem for row in cases])

    def of_sums(name: str, parts: tuple) -> Score:
        return composite(STATISTICS[name], counts, problems, parts)

    shares = {name: partial(of_rows, name) for name in SHARES}
    made = {
        "svr": partial(of_sums, "svr", ((repaired, wrong), (kept, right))),
        "svr_null": lambda: Score(_null(table, seed) if wrong and right else None),
        "youden_j": partial(of_sums, "youden_j", ((caught, wrong), (agreed, right))),
        "delta": partial(of_sums, "delta", ((second, n), (right, n))),
    } | shares
    return Report(n, {name: made[name] for name in ORDER}, table.left_out, table.rows)


ORDER = ("svr", "svr_null", "recall", "specificity", "youden_j", "first_wrong_step",
         "first_wrong_step_near", "accuracy_a1", "accuracy_a2", "i_to_c", "c_to_i", "delta",
         "ritual_rate")  # of the scores, in tables


def count_table(rows: Iterable[ScoredRow]) -> np.ndarray:
    """What the scores are functions of, one row a trace: (n, 8) of 0 and 1.

    Columns: repaired, kept, wrong and objected to, right and agreed to, a1 wrong, a1 right,
    a2 right, lenient.
    """
    counts = [(not r.first and r.error and r.second and r.readable,
               r.first and not r.error and r.second, not r.first and r.error,
               r.first and not r.error, not r.first, r.first, r.second, bool(r.lenient))
              for r in rows]
    return np.array(counts, dtype=float).reshape(-1, 8)


def _share(column: int) -> Statistic:
    return lambda sums: ratio(sums[:, column], sums[:, 4] + sums[:, 5])


# name -> function of sums of `count_table`'s columns, (R, 8) -> (R,), nan where undefined.
STATISTICS: dict[str, Statistic] = {
    "svr": lambda sums: harmonic_mean(ratio(sums[:, 0], sums[:, 4]),
                                      ratio(sums[:, 1], sums[:, 5])),
    "recall": lambda sums: ratio(sums[:, 2], sums[:, 4]),
    "specificity": lambda sums: ratio(sums[:, 3], sums[:, 5]),
    "youden_j": lambda sums: ratio(sums[:, 2], sums[:, 4]) + ratio(sums[:, 3], sums[:, 5]) - 1,
    "delta": lambda sums: ratio(sums[:, 6] - sums[:, 5], sums[:, 4] + sums[:, 5]),
    "a1": _share(5), "a2": _share(6), "lenient": _share(7),
}


def _null(table: ScoredRows, seed: int) -> float:
    """Mean SVR of seeded permutations of the verdicts over the rows, a1 and a2 held."""
    first, second, error, readable = (np.array([getattr(row, name) for row in table], dtype=bool)
                                      for name in ("first", "second", "error", "readable"))
    rng = np.random.default_rng(seed)
    # (PERMUTATIONS, n)
    dealt = np.stack([rng.permutation(error) for _ in range(PERMUTATIONS)])
    repaired = (dealt & (~first & second & readable)).sum(axis=1) / (~first).sum()
    kept = (~dealt & (first & second)).sum(axis=1) / first.sum()
    return float(np.mean(harmonic_mean(repaired, kept)))


def verification(rows: Iterable[Mapping] | ScoredRows, seed: int = SEED) -> dict | None:
    """All self-verification scores of rows that pool, as summary.json has them; None for no
    rows."""
    table = read_rows(rows)
    if not table.rows and not table.faults:
        return None
    return self_verification(table, seed).to_dict({"svr": "svr_null"})


def by_kind(rows: Iterable[Mapping] | ScoredRows, seed: int = SEED) -> dict[str, dict]:
    """Injected rows of one kind of error with the clean rows of the same problems, by kind."""
    table = read_rows(rows)
    clean = {row.sample: row for row in table if row.setting == "clean"}
    kinds: dict[str, list[ScoredRow]] = {}
    for row in table:
        if row.setting == "injected":
            kinds.setdefault(row.kind or "unknown", []).append(row)
    matched = {kind: [clean[row.sample] for row in found if row.sample in clean]
               for kind, found in kinds.items()}
    return {kind: verification(table.of([*kinds[kind], *matched[kind]]), seed)
            for kind in sorted(kinds) if matched[kind]}


def by_steps(rows: Iterable[Mapping] | ScoredRows, seed: int = SEED) -> dict[str, dict]:
    """Scores by the number of steps that the first teacher takes, fewest first.

    rows: of settings that pool. Those without a teacher stand under "unknown". A number of
    steps at which injected rows stand without clean ones, or the other way, is left out.
    """
    table = read_rows(rows)
    order = sorted({row.steps for row in table}, key=lambda steps: (steps is None, steps))
    groups = {steps: table.of(row for row in table if row.steps == steps) for steps in order}
    return {"unknown" if steps is None else str(steps): verification(group, seed)
            for steps, group in groups.items() if group.settings in ({"natural"}, set(GIVEN))}


def with_verify(row: Mapping, checks: Sequence[str], verdict: int | str | None,
                repairs: Sequence[str], answer: str | None) -> dict:
    """The row with this VERIFY in place of its own, see `trace.render_verify`.

    Raises ValueError for a row without its text.
    """
    if row.get("text") is None:
        raise GivenError(f"row {name_of(row)} has no text to write a VERIFY after")
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
    values = {node: graph.nodes[node]["value"] for node in steps_of(graph) if node[1] < wrong}
    again = None if graph.graph["unreadable"] else work_out(
        graph, [node for node in steps_of(graph) if node[1] >= wrong], values)
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
        raise GivenError(f"row {scored.name} has no teacher: the oracle has nothing to know")
    graphs = [texts.graph(text, row["question"]) for text in teachers]
    graph = closest(student, graphs)
    teacher = texts.claims(teachers[graphs.index(graph)])
    if same_answer(claims.a1, str(teacher.a1)):
        return with_verify(row, teacher.checks, "correct", (), claims.a1)
    last = len(teacher.execute)
    wrong = min(first_wrong_step(student, graph) or last, last)
    return with_verify(row, teacher.checks[:wrong], wrong, teacher.execute[wrong - 1:],
                       teacher.a1)


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
    for node in steps_of(graph):
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
