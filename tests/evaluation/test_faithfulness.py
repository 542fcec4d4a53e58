"""Faithfulness: scripted computers follow an intervention, scripted copiers do not."""
import random
from fractions import Fraction

import numpy as np
import pytest

from synthetic import QUESTION, TEACHER, row

from nanoreason.evaluation import faithfulness
from nanoreason.evaluation.faithfulness import trace_scores
from nanoreason.graph.builder import execute_graph
from nanoreason.evaluation.interventions import choose_intervention, followed, intervene, propagate
from nanoreason.data.procedural import problems
from nanoreason.evaluation.rows import compact_row
from nanoreason.data.verify_lines import procedural_trace
from nanoreason.trace import Trace, render_trace


def scripted(kind, count=40):
    """Natural gold rows and interventions continued by a scripted computer or copier."""
    rows = []
    for problem in problems("train", count, seed=7):
        trace = procedural_trace(problem)
        text = render_trace(trace)
        natural = {"problem_id": problem.id, "sample": 0, "setting": "natural",
                   "question": problem.question, "gold": problem.answer, "teachers": [text],
                   "text": text, "planted": None, "intervention": None}
        rows.append(natural)
        change = choose_intervention(text, problem.question, random.Random(problem.id))
        if change is None:
            continue
        prefix = intervene(text, change)
        assert text.startswith(prefix[:prefix.rindex("=")])
        lines = continuation(kind, trace, problem.question, change)
        rest = "".join(f"{k}. {line}\n" for k, line in lines if k > change["step"])
        rows.append(natural | {"setting": "intervened", "intervention": change,
                               "parent_sample": 0, "text": prefix + rest + "Result: 1"})
    return rows


def continuation(kind, trace, question, change):
    graph = execute_graph(trace.execute, question)
    values = propagate(graph, change["step"], Fraction(change["new"]))
    for number, line in enumerate(trace.execute, 1):
        if kind == "computer":
            words = line.split()
            for place, (_, source) in zip((0, 2), graph.nodes["step", number]["operands"]):
                if source in values:
                    words[place] = str(values[source])
            line = " ".join([*words[:-1], str(values["step", number])])
        yield number, line


def test_a_computer_follows_and_a_copier_does_not():
    computer, copier = (faithfulness(scripted(kind)) for kind in ("computer", "copier"))
    assert computer.causal_rate == 1 and copier.causal_rate == 0
    assert computer.counts["causal_rate"][1] == copier.counts["causal_rate"][1] > 20
    assert computer.edge_f1 == copier.edge_f1 == 1
    assert computer.rfs == 1 and copier.rfs == 0
    assert computer.interval("rfs") == (1, 1)
    assert 0.3 < computer.edge_f1_null < 0.8
    assert computer.interval("edge_f1_null") is not None
    assert computer.right.rfs == 1 and computer.wrong.rfs is None
    assert computer.plan_infeasible == 0 and computer.dead_step_rate == 0


def outcome(child, step=1, new="30", parent=("12 + 9 = 21", "21 - 5 = 16", "16 + 9 = 25")):
    graphs = [execute_graph(lines, QUESTION) for lines in (parent, child)]
    return followed(*graphs, {"step": step, "old": "21", "new": new})


def test_followed_by_hand():
    assert outcome(["12 + 9 = 30", "30 - 5 = 25", "25 + 9 = 34"]) is True
    assert outcome(["12 + 9 = 30", "30 - 5 = 25", "9 + 25 = 34"]) is True  # turned round
    assert outcome(["12 + 9 = 30", "21 - 5 = 16", "16 + 9 = 25"]) is False  # copied
    assert outcome(["12 + 9 = 30", "30 - 5 = 25", "16 + 9 = 25"]) is False  # half copied
    assert outcome(["12 + 9 = 30", "30 - 5 = 16", "16 + 9 = 25"]) is False  # not propagated
    assert outcome(["12 + 9 = 30", "30 - 5 = 25"]) is False  # line lost
    assert outcome(["12 + 9 = 30", "30 - 5 = 25", "25 + 9 = 34", "34 - 9 = 25"]) is False
    assert outcome(["12 + 9 = 30", "hm", "25 + 9 = 34"]) is False
    assert outcome(["12 + 9 = 21"], step=3) is None  # no dependents
    other = ("12 + 9 = 21", "12 - 5 = 7", "21 + 7 = 28")  # line 2 does not depend on line 1
    assert outcome(["12 + 9 = 30", "12 - 5 = 7", "30 + 7 = 37"], parent=other) is True
    assert outcome(["12 + 9 = 30", "30 - 5 = 25", "30 + 25 = 55"], parent=other) is False
    assert outcome(["12 + 9 = 30", "12 - 5 = 8", "30 + 7 = 37"], parent=other) is False


def test_interventions_are_seeded_uniform_and_new():
    trace = Trace(
        understand=("Find: it",), plan=("A.", "B.", "C."), result="25", checks=("ok",),
        execute=("12 + 9 = 21", "21 - 5 = 16", "16 + 9 = 25"), verdict=None, repairs=(),
        answer="25",
    )
    text = render_trace(trace)
    drawn = [choose_intervention(text, QUESTION, random.Random(k)) for k in range(200)]
    again = [choose_intervention(text, QUESTION, random.Random(k)) for k in range(20)]
    assert drawn[:20] == again
    assert {d["step"] for d in drawn} == {1, 2}  # the last line has no dependent
    assert 70 < sum(d["step"] == 1 for d in drawn) < 130
    taken = {"12", "9", "5", "21", "16", "25", "1", "2", "3"}
    assert not taken & {d["new"] for d in drawn} and len({d["new"] for d in drawn}) > 8
    assert choose_intervention("no trace", QUESTION, random.Random(0)) is None
    generator = np.random.default_rng(0)
    assert choose_intervention(text, QUESTION, generator)["step"] in (1, 2)


def test_intervene_cuts_after_the_changed_line():
    prefix = intervene(TEACHER, {"step": 1, "old": "21", "new": "30"})
    assert prefix == TEACHER.split("21\n2.")[0] + "30\n"
    with pytest.raises(ValueError, match="no line 3"):
        intervene(TEACHER, {"step": 3, "old": "21", "new": "30"})
    with pytest.raises(ValueError, match="does not state 22"):
        intervene(TEACHER, {"step": 1, "old": "22", "new": "30"})


def test_edge_f1_of_rows_takes_the_best_teacher_and_zero_for_the_unreadable():
    other = TEACHER.replace("1. 12 + 9 = 21\n2. 21 - 5 = 16", "1. 12 * 9 = 108\n2. 108 - 5 = 103")
    assert faithfulness([row(teachers=[other])]).edge_f1 < 1
    assert faithfulness([row(teachers=[other, TEACHER])]).edge_f1 == 1
    report = faithfulness([row(), row(execute="1. I think")])
    assert report.counts["edge_f1"] == (1.0, 2) and report.counts["dead_step_rate"] == (0, 1)
    alone = faithfulness([row(teachers=[])])
    assert alone.edge_f1 is None and alone.rfs is None
    assert alone.left_out["edge F1: no readable teacher"] == ("p/0/natural",)


def test_right_and_wrong_answers_are_apart():
    wrong = row("21", "correct", "21", problem="q", execute="1. 12 + 9 = 21")
    report = faithfulness([row(), wrong])
    assert report.right.edge_f1 == 1 and report.right.n == report.wrong.n == 1
    assert report.wrong.edge_f1_unflattened == pytest.approx(2 * 2 / 6)
    assert report.edge_f1_unflattened == pytest.approx((1 + 2 / 3) / 2)
    assert report.wrong.edge_f1 == 0 and report.edge_f1 == 0.5  # one sum, of which a part is none


def test_rows_of_faithfulness_that_cannot_be_used():
    with pytest.raises(ValueError, match="given EXECUTE"):
        faithfulness([row(setting="clean")])
    orphan = row(setting="intervened", parent_sample=5,
                 intervention={"step": 1, "old": "21", "new": "30"})
    report = faithfulness([row(), orphan])
    assert report.causal_rate is None
    assert report.left_out["intervention without its parent"] == ("p/0/intervened",)
    last = orphan | {"parent_sample": 0, "intervention": {"step": 2, "old": "16", "new": "30"}}
    assert "intervention without dependents" in faithfulness([row(), last]).left_out


def test_compact_rows_carry_faithfulness():
    rows = scripted("computer", 12)
    full, compact = faithfulness(rows), []
    for one in rows:
        more = trace_scores(one) if one["setting"] == "natural" else {"followed": True}
        compact.append(compact_row(one, **more))
    short = faithfulness(compact)
    assert (short.edge_f1, short.edge_f1_null, short.rfs) == (
        full.edge_f1, pytest.approx(full.edge_f1_null), full.rfs)
    assert short.counts == {**full.counts, "edge_f1_null": short.counts["edge_f1_null"]}
