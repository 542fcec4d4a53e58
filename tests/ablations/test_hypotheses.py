"""Answers to the hypotheses from rows whose differences are known."""
from __future__ import annotations

import itertools

import pytest
from synthetic import make_rows

from nanoreason.ablations.conditions import chosen
from nanoreason.ablations.grid import Grid
from nanoreason.ablations.hypotheses import (FAILS, BOTH_GIVEN, HOLDS, NATURAL, OPEN, Answer,
                                             Hypothesis, answer, answers, answers_table,
                                             claims_table, conditions_table, hypotheses,
                                             plot_answers, verdicts)
from nanoreason.ablations.results import GridRun
from nanoreason.evaluation import self_verification
from nanoreason.params import AblateParams


class Run(GridRun):
    """A run whose rows are given."""

    def __init__(self, condition, seed, rows):
        super().__init__(condition, seed,
                         {"evaluated": {"settings": ["natural", "injected", "clean"]}}, None)
        object.__setattr__(self, "given", rows)

    def rows(self):
        return self.given


def natural(right, of=40):
    """Rows of `of` problems, the first `right` of which have the right answer."""
    return [{"problem_id": f"p{k:02}", "sample": 0, "setting": "natural", "gold": "7",
             "question_sha256": "", "a1": "8", "v": 0, "a2": "7" if k < right else "8",
             "scores": {"lenient": k < right}} for k in range(of)]


def grid(first, second, of=40):
    """Two conditions, the right answers of each seed."""
    runs = [Run("a", seed, natural(right, of)) for seed, right in enumerate(first)]
    return Grid(runs + [Run("b", seed, natural(right, of)) for seed, right in enumerate(second)],
                [])


ASKED = Hypothesis("it helps", False, "a", "b", "a2", NATURAL)


def test_the_difference_is_paired_by_seed():
    found = answer(grid([30, 20, 25], [10, 5]), ASKED)
    assert found.seeds == (0, 1) and found.n == 40
    assert found.differences == pytest.approx({0: 20 / 40, 1: 15 / 40})
    assert found.mean == pytest.approx(35 / 80)
    assert (found.first, found.second) == pytest.approx((50 / 80, 15 / 80))
    low, high = found.interval
    assert low < found.mean < high
    assert found.word == OPEN  # two seeds


@pytest.mark.parametrize("first, second, word", [
    ([30] * 5, [10] * 5, HOLDS), ([10] * 5, [30] * 5, FAILS), ([20] * 5, [20] * 5, FAILS),
    ([21, 25, 18, 23, 20], [20] * 5, OPEN), ([30] * 4, [10] * 4, OPEN)])
def test_one_word(first, second, word):
    assert answer(grid(first, second), ASKED).word == word


def test_a_score_can_be_held_against_zero():
    rows = natural(30)
    for row in rows[20:]:
        row["a1"] = "7"  # twenty right results, ten of them spoilt
    runs = Grid([Run("a", seed, rows) for seed in range(5)], [])
    found = answer(runs, Hypothesis("it corrects", False, "a", None, "delta", NATURAL))
    assert found.second is None and found.mean == pytest.approx((30 - 20) / 40)


def test_a_condition_without_given_rows_is_named():
    runs = grid([30], [10])
    for run in runs.runs:
        run.facts["evaluated"]["settings"] = ["natural"]
    with pytest.raises(ValueError, match="condition a has natural rows alone"):
        answer(runs, Hypothesis("it verifies", False, "a", "b", "svr", BOTH_GIVEN))


def test_fewer_seeds_can_be_asked_for_a_word():
    assert answer(grid([30] * 3, [10] * 3), ASKED, least=3).word == HOLDS


def test_no_run_is_no_answer():
    found = answer(grid([30], []), ASKED)
    assert (found.seeds, found.mean, found.interval, found.word) == ((), None, None, OPEN)


def test_an_undefined_score_is_no_answer():
    runs = grid([40] * 5, [40] * 5)
    for run in runs.runs:
        for row in run.rows():
            row["a1"] = "7"
    found = answer(runs, Hypothesis("it verifies", False, "a", "b", "svr", NATURAL))
    assert found.mean is None and found.word == OPEN  # no wrong result: no SVR


def test_other_problems_are_refused():
    with pytest.raises(ValueError, match="a, seed ., and b, seed ., answered different"):
        answer(Grid([Run("a", 0, natural(3)), Run("b", 0, natural(3, 39))], []), ASKED)
    with pytest.raises(ValueError, match="a, seed ., and a, seed ., answered different"):
        answer(Grid([Run("a", 0, natural(3)), Run("a", 1, natural(3, 39)),
                     Run("b", 0, natural(3)), Run("b", 1, natural(3))], []), ASKED)


def test_the_first_hypothesis_of_a_claim_decides_it():
    first, second = (Answer(ASKED, tuple(range(5)), 9, 1.0, 0.5, {}, 0.5, limits)
                     for limits in ((0.4, 0.6), (-0.6, -0.4)))
    assert (first.word, second.word) == (HOLDS, FAILS)
    assert verdicts([first, second])["it helps"] is first


def test_an_empty_grid_says_not_run_everywhere():
    import matplotlib.pyplot as plt

    empty = Grid([], [])
    found = answers(empty)
    conditions = chosen(AblateParams(profile="nano-switch"))
    assert {row[3] for row in conditions_table(empty, conditions).rows} == {"not run"}
    assert {row[-1] for row in answers_table(found).rows} == {OPEN}
    assert {row[-1] for row in claims_table(found).rows} == {OPEN}
    _, axes = plt.subplots()
    assert "not run" in {text.get_text() for text in plot_answers(found, axes).texts}
    plt.close("all")


def test_tables_and_figure_show_what_the_answers_hold():
    import matplotlib.pyplot as plt

    found = [answer(grid([30] * 5, [10] * 5), ASKED),
             answer(grid([10] * 5, [30] * 5), ASKED), answer(grid([30], []), ASKED)]
    rows = answers_table(found).rows
    assert rows[0][3:] == ("75.0 (150/200) against 25.0 (50/200)",
                           f"+50.0 [{_limits(found[0])}]", "5 x 40", HOLDS)
    assert rows[2][3:] == ("not run", "not run", "0 x 0", OPEN)
    _, axes = plt.subplots()
    plot_answers(found, axes)
    assert len(axes.get_yticks()) == 2  # what was not run is not drawn
    assert axes.get_legend_handles_labels()[1] == [HOLDS, FAILS]
    assert axes.get_yticklabels()[0].get_text() == "a against b: answer right"
    assert all(asked.words and "_" not in asked.words for asked in hypotheses())
    plt.close("all")


def _limits(found):
    return " to ".join(f"{100 * limit:+.1f}" for limit in found.interval)


def test_injected_and_clean_pool_by_problem():
    rows = []
    for k, setting in itertools.product(range(10), ("injected", "clean")):
        wrong = setting == "injected"
        rows.append({"problem_id": f"p{k}", "sample": 0, "setting": setting, "gold": "7",
                     "question_sha256": "", "a1": "8" if wrong else "7",
                     "v": 1 if wrong and k < 5 else 0, "a2": "7" if k < 5 or not wrong else "8",
                     "planted": {"step": 1, "kind": "arithmetic_slip"} if wrong else None})
    runs = Grid([Run("a", 0, rows)], [])
    found = answer(runs, Hypothesis("it verifies", False, "a", None, "svr", BOTH_GIVEN))
    assert found.n == 10 and found.mean == pytest.approx(2 * 0.5 / 1.5)


@pytest.mark.parametrize("of", ["svr", "recall", "specificity", "youden_j", "delta"])
def test_a_score_over_seeds_is_that_of_the_single_runs(of):
    rows = [row for row in make_rows(20, splits=("test",)) if row["setting"] == "natural"]
    asked = Hypothesis("it verifies", False, "a", None, of, NATURAL)
    found = answer(Grid([Run("a", 0, rows), Run("a", 1, rows[::-1])], []), asked)
    wanted = getattr(self_verification(rows), of)
    assert found.differences == pytest.approx({0: wanted, 1: wanted})


def test_what_is_asked_is_of_known_scores_and_settings_once():
    found = hypotheses()
    assert len({(h.first, h.second, h.of, h.setting) for h in found}) == len(found) == 18
    assert {h.setting for h in found} == {NATURAL, BOTH_GIVEN}
    assert len({h.claim for h in found if h.of_card}) == 4  # of the original card
    assert [h.claim for h in found if h.second is None] == ["VERIFY corrects"]
