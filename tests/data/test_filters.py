"""The filter's three layers: each reason occurs, and nothing that was read is lost."""
from __future__ import annotations

import random
from dataclasses import replace

import pytest

from nanoreason.data.errors import KINDS, CorruptionError
from nanoreason.data import corrupt, filter_traces
from nanoreason.data.filters import examine, reasons
from nanoreason.data.problem import Problem
from nanoreason.data.procedural import problems
from nanoreason.data.problem import Rejection
from nanoreason.data.verify_lines import procedural_trace
from nanoreason.trace import Trace, render_trace

QUESTION = "Ann has 12 apples. She buys 9 and gives away 5. How many apples has she now?"
PROBLEM = Problem("p1", "mine", "train", "en", QUESTION, "16")
RIGHT = Trace(("Given: 12 apples; 9 bought; 5 given away", "Find: apples now"),
              ("Add the apples bought.", "Subtract the apples given away."),
              ("12 + 9 = 21", "21 - 5 = 16"), "16", ("21 - 9 = 12", "16 + 5 = 21"), None, (),
              "16")
WRONG = replace(RIGHT, execute=("12 + 9 = 20", "20 - 5 = 15"), result="15",
                checks=("20 - 9 = 11",), verdict=1, repairs=("12 + 9 = 21", "21 - 5 = 16"))


def test_a_right_trace_is_kept_and_so_are_its_text_and_one_whose_error_is_blamed():
    kept, rejected = filter_traces(
        [(PROBLEM, RIGHT), (PROBLEM, render_trace(RIGHT)), (PROBLEM, WRONG)])
    assert rejected == [] and kept == [(PROBLEM, RIGHT), (PROBLEM, RIGHT), (PROBLEM, WRONG)]


@pytest.mark.parametrize("trace, reason, place", [
    (render_trace(RIGHT).replace("[PLAN]\n", ""), "syntax/not_a_trace", "PLAN"),
    (render_trace(RIGHT).replace("Result: 16\n", ""), "syntax/not_a_trace", "EXECUTE"),
    (replace(RIGHT, execute=("12 + 9 = 20", "20 - 5 = 16")), "mathematics/false_equation",
     "EXECUTE line 1"),
    (replace(RIGHT, checks=("21 - 9 = 12", "16 + 5 = 20")), "mathematics/false_equation",
     "VERIFY check line 2"),
    (replace(RIGHT, understand=("Given: 3 + 4 = 8",)), "mathematics/false_equation",
     "UNDERSTAND line 1"),
    (replace(WRONG, repairs=("12 + 9 = 21", "21 - 5 = 17")), "mathematics/false_equation",
     "VERIFY repair line 2"),
    (replace(RIGHT, answer="17"), "mathematics/wrong_answer", "Answer:"),
    (replace(RIGHT, result="17"), "mathematics/wrong_result", "Result:"),
    (replace(RIGHT, plan=(*RIGHT.plan, "Rest.")), "consistency/steps_off_plan", "EXECUTE"),
    (replace(WRONG, repairs=("21 - 5 = 16",)), "consistency/steps_off_plan", "VERIFY"),
    (replace(RIGHT, plan=("Multiply the apples.", "Rest.")), "consistency/operation_off_plan",
     "EXECUTE line 1"),
    (replace(RIGHT, execute=("12 and 9 make 21", "21 - 5 = 16"), plan=("Think.", "Rest.")),
     "consistency/unreadable_line", "EXECUTE"),
    (replace(RIGHT, execute=("12 + 9 = 21", "33 - 17 = 16")),
     "consistency/operand_without_source", "EXECUTE line 2 operand 1"),
    (replace(RIGHT, execute=("12 + 9 = 21", "21 - 12 = 9")), "consistency/result_off_execute",
     "Result:"),
])
def test_each_layer_refuses_with_reason_and_place(trace, reason, place):
    kept, rejected = filter_traces([(PROBLEM, trace)])
    assert kept == []
    assert (rejected[0].problem_id, rejected[0].reason, rejected[0].place) == (
        "p1", reason, place), rejected


def test_everything_read_ends_up_in_one_list_in_order():
    earlier = Rejection("", "not_json", "f line 2", "x")
    untaught = Rejection("p3", "no_steps", "solution", "x")
    kept, rejected = filter_traces([
        (PROBLEM, RIGHT), (earlier, earlier), (PROBLEM, untaught), (PROBLEM, "no trace")])
    assert len(kept) == 1 and rejected[:2] == [earlier, untaught]
    assert reasons(rejected) == {"not_json": 1, "no_steps": 1, "syntax/not_a_trace": 1}
    assert filter_traces([]) == ([], [])


def test_answers_are_compared_as_numbers_and_formulas_else_as_text():
    for gold, answer, same in (("16", "16.0", True), ("16", "61", False), ("16", "sixteen", False)):
        found = examine(replace(PROBLEM, answer=gold), replace(RIGHT, result=answer, answer=answer))
        assert (found[1] is None) is same, answer
    formula = replace(RIGHT, result=r"\frac{1}{2}", answer=r"\dfrac{1}{2}")
    assert examine(replace(PROBLEM, source="math", answer="0.5"), formula)[1] is None
    assert "result_off_execute" in examine(replace(PROBLEM, answer=r"\frac12"), formula)[1].reason


def test_steps_of_math_and_vnhsge_may_be_prose_but_not_false():
    prose = replace(RIGHT, plan=("Complete the square.", "Take the root."), result="$x = 4$",
                    execute=(r"Write $x^2 - 8x + 16 = (x - 4)^2$.", "The root is double."),
                    answer="4", checks=("Put 4 in: 4 * 4 - 8 * 4 + 16 = 0",))
    for source in ("math", "vnhsge"):
        problem = replace(PROBLEM, source=source, answer="4")
        right = replace(prose, result="4")
        assert examine(problem, right)[1] is None
        wrong = replace(right, checks=("Put 4 in: 4 * 4 - 8 * 4 + 16 = 1",))
        assert examine(problem, wrong)[1].reason == "mathematics/false_equation"
        short = replace(right, execute=right.execute[:1])
        assert examine(problem, short)[1].reason == "consistency/steps_off_plan"
    assert examine(PROBLEM, replace(prose, result="16", answer="16")
                   )[1].reason == "consistency/unreadable_line"


def test_the_procedural_teacher_and_every_injected_error_pass():
    rng, injected = random.Random(1), 0
    for problem in problems("train", 12, 5):
        trace = procedural_trace(problem)
        assert examine(problem, trace)[1] is None
        for kind in KINDS:
            try:
                wrong = corrupt(trace, kind, rng)
            except CorruptionError:
                continue
            assert examine(problem, wrong)[1] is None, render_trace(wrong)
            injected += 1
    assert injected > 20
