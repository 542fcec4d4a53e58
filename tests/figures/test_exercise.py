"""The page of hidden errors: what is drawn, what is kept from the reader, and the key."""
from __future__ import annotations

import pytest

from nanoreason.arithmetic.equations import read_equations
from nanoreason.figures.exercise import Exercise
from nanoreason.runs import find_run
from nanoreason.solution import SENTENCES
from nanoreason.stages import ERRORS
from nanoreason.trace import read_claims
from synthetic import make_rows
from test_examples import EVIL, assert_safe


@pytest.fixture(scope="module")
def rows():
    return find_run("nano-reference").read_generations()


@pytest.mark.parametrize("language", SENTENCES)
def test_ten_traces_are_shown_up_to_verify_with_a_key_that_is_right(rows, language, tmp_path):
    words = SENTENCES[language]["exercise"]
    exercise = Exercise.draw(rows, words, language)
    assert len(exercise.rows) == len({row["problem_id"] for row in exercise.rows}) == 10
    assert exercise == Exercise.draw(rows, words, language)
    assert exercise.rows != Exercise.draw(rows, words, language, seed=1).rows
    page = exercise.save(tmp_path / "x.html").read_text(encoding="utf-8")
    shown, _, key = page.partition(words["answers"])
    assert "[VERIFY]" not in page and not {"✓", "✗"} & set(page)
    for number, (row, line) in enumerate(zip(exercise.rows, exercise.key()), 1):
        step, kind = row["planted"]["step"], row["planted"]["kind"]
        right = read_claims(row["teachers"][0]).execute[step - 1]
        assert str(step) in line and words["errors"][kind] in line and right in line
        assert read_equations(right)[0].holds and f">{number}. " in key and line not in shown
        wrong = read_claims(row["text"]).execute
        assert kind == "skipped_step" or wrong[step - 1] != right
        assert (words["found"] in line) == (read_claims(row["text"]).verdict == step)
    assert set(words["errors"]) == set(ERRORS)


def test_rows_without_an_error_or_a_text_are_left_out(rows):
    words = SENTENCES["en"]["exercise"]
    few = [row for row in rows if row["setting"] == "injected"][:3]
    few[0] = few[0] | {"text": None}
    drawn = Exercise.draw([*few, *(row for row in rows if row["setting"] == "clean")], words)
    assert [row["planted"] is not None for row in drawn.rows] == [True, True]
    assert "VERIFY" not in Exercise.draw([], words).html().partition(words["answers"])[0]


def test_a_hostile_row_comes_out_escaped():
    row = next(row for row in make_rows(20) if row["setting"] == "injected")
    page = Exercise((row | {"question": EVIL},), SENTENCES["en"]["exercise"])
    assert_safe(f"<html>{page.html()}</html>")
