"""What answers at equal tokens: the controls' rows, where a trace is begun again, the methods."""
from __future__ import annotations

import equal_tokens
import pytest
from equal_tokens import METHODS, Drawn, Text, begun_again, control_rows

from nanoreason.arithmetic import read_equations
from nanoreason.evaluation.rows import ScoredRow
from nanoreason.model.base import load_tokenizer
from nanoreason.model.tokens import tag_ids

HEAD = "[UNDERSTAND]\nGiven: 9 pens; 4 more\nFind: pens\n[PLAN]\n1. Add.\n2. Double.\n[EXECUTE]\n"


def text(second: int, answer: str, verdict: str, tokens: int, surest: float = -1.0) -> Text:
    """A trace that finds `second`, with a verdict and an answer; right are 26."""
    row = {"problem_id": "p", "setting": "natural", "question": "?", "gold": "26",
           "teachers": [], "text": f"{HEAD}1. 9 + 4 = 13\n2. 13 * 2 = {second}\nResult: {second}\n"
           f"[VERIFY]\n1. 13 - 4 = 9, want 9, correct\nVerdict: {verdict}\nAnswer: {answer}"}
    return Text(ScoredRow(row), tokens, tokens - 10, surest)


RIGHT, WRONG = text(26, "26", "correct", 100, -0.1), text(28, "28", "correct", 110, -0.2)
REPAIRED = text(28, "26", "step 2 is wrong", 120, -2.0)
SPOILED = text(26, "28", "step 1 is wrong", 130, -0.5)


def answers(greedy, samples=(RIGHT,) * 4, tries=(), below=-1.0) -> dict:
    drawn = Drawn(greedy, samples, tries, below)
    return {name: answer(drawn) for recipe, name, answer in METHODS if recipe == "reference"}


def test_each_method_takes_its_own_answer_and_counts_all_that_was_written():
    found = answers(REPAIRED, (WRONG, WRONG, RIGHT, SPOILED), (WRONG, RIGHT))
    assert found == {
        "EXECUTE": (False, 110), "EXECUTE, the surer of two": (False, 210),
        "EXECUTE, vote of four": (False, 410), "VERIFY repairs": (True, 120),
        "VERIFY repairs in doubt": (True, 120), "drawn anew, 1 try": (False, 230),
        "drawn anew, 2 tries": (True, 330), "drawn anew, 4 tries": (True, 330),
        "answers, vote of four": (False, 450), "vote of those accepted of four": (False, 450)}


def test_a_gate_keeps_what_execute_was_sure_of():
    assert answers(SPOILED)["VERIFY repairs"] == (False, 130)
    assert answers(SPOILED)["VERIFY repairs in doubt"] == (True, 130)
    assert answers(SPOILED, below=-0.4)["VERIFY repairs in doubt"] == (False, 130)


def test_after_the_last_try_the_greedy_result_stands():
    found = answers(SPOILED, tries=(REPAIRED, REPAIRED, REPAIRED, REPAIRED))
    assert found["drawn anew, 4 tries"] == (True, 130 + 4 * 120)


def test_a_vote_leaves_out_what_verify_objects_to():
    found = answers(RIGHT, (REPAIRED, REPAIRED, REPAIRED, RIGHT))
    assert found["EXECUTE, vote of four"] == (False, 420)
    assert found["vote of those accepted of four"] == (True, 460)
    assert answers(RIGHT, (REPAIRED,) * 4)["vote of those accepted of four"] == (False, 480)


def test_a_trace_is_begun_again_at_the_blamed_step():
    assert begun_again(REPAIRED.row) == f"{HEAD}1. 9 + 4 = 13\n"
    assert begun_again(SPOILED.row) == HEAD


@pytest.mark.parametrize("recipe", equal_tokens.CONTROLS)
def test_a_control_learns_right_sums_and_ends_with_the_tag(recipe, monkeypatch):
    monkeypatch.setattr(equal_tokens, "TRACES", 40)
    tokenizer = load_tokenizer("nano")
    rows, tag = control_rows(tokenizer, recipe, 0), tag_ids(load_tokenizer("nano"))
    assert len(rows) == 40
    with_digits = 0
    for row in rows:
        text = tokenizer.decode(row.input_ids)
        assert row.input_ids[-len(tag):] == tag and "Answer:" not in text
        lines = text.split("[EXECUTE]")[1].split("Result")[0]
        assert all(equation.holds for equation in read_equations(lines))
        with_digits += ";" in lines
    assert bool(with_digits) == (recipe == "columns")
