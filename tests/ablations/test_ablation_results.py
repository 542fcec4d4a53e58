"""The committed grid: whole files, one recipe, and the README's table comes out of it again."""
from __future__ import annotations

import nbformat
import pytest

from nanoreason import paths
from nanoreason.ablations.report import (ANSWER_COLUMNS, answers, answers_table, claims_table,
                                         conditions_table, hypotheses_table)
from nanoreason.ablations.conditions import chosen
from nanoreason.ablations.grid import open_grid
from nanoreason.ablations.hypotheses import FAILS, HOLDS, NOT_SPOILT, OPEN
from nanoreason.params import AblateParams
from nanoreason.runs import Run
from nanoreason.evaluation import self_verification

README = (paths.ROOT / "README.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def grid():
    if not (paths.RESULTS / "ablations").is_dir():
        pytest.skip("no grid is committed: results/ablations is not there")
    return open_grid(AblateParams(profile="nano"))


@pytest.fixture(scope="module")
def found(grid):
    return answers(grid)


def test_the_runs_are_of_clean_commits_and_say_what_they_ran_on(grid):
    for run in grid.runs:
        assert run.facts["dirty"] is False and len(run.facts["commit"]) == 40, run.condition
        assert run.facts["training"]["finished"] and run.facts["packages"]["torch"]


def test_every_run_answers_the_same_problems(grid):
    wanted = {(row["setting"], row["problem_id"]) for row in grid.of("staged")[0].rows()}
    assert len(wanted) > 1200
    for run in grid.runs:
        rows = {(row["setting"], row["problem_id"]) for row in run.rows()}
        if run.condition == "free":
            wanted_here = {key for key in wanted if key[0] == "natural"}
            assert rows == wanted_here
        else:
            assert rows == wanted


def test_the_table_of_the_readme_comes_out_again(found):
    between = README.split("<!-- claims:begin -->\n")[1].split("\n<!-- claims:end -->")[0]
    assert between == claims_table(found).markdown(title=False)


def test_the_committed_table_comes_out_again(found):
    committed = (paths.RESULTS / "ablations" / "tables" / "answers.md").read_text()
    assert committed == answers_table(found).markdown() + "\n"


def test_the_readme_says_how_far_the_grid_has_come(grid):
    whole = len(chosen(AblateParams(profile="nano"))) * AblateParams(profile="nano").seeds
    assert f"{len(grid.runs)} of {whole} runs" in README


def test_the_sentences_on_single_conditions_hold(grid):
    table = conditions_table(grid, chosen(AblateParams(profile="nano")))
    score = {row[0]: {name: cell.split()[0] for name, cell in zip(table.columns[3:], row[3:])}
             for row in table.rows}
    staged, wide, right, single = (score[name] for name in
                                   ("staged", "single_wide", "errors_0", "single"))
    heavy, shares = score["single_verify_4"], [score[n] for n in ("errors_25", "staged",
                                                                  "errors_75")]
    for sentence in (
            f"right in {staged['a1']} % against {wide['a1']} %",
            f"final answer in {staged['a2']} % against {wide['a2']} %",
            f"the final answer is right in {staged['a2']} % against {single['a2']} %",
            f"recall {right['recall']} %, SVR {float(right['SVR, planted']):g}.",
            "SVR is {}, {} and {} %".format(*(share["SVR, planted"] for share in shares)),
            "EXECUTE right in {}, {} and {} %, against {} % without".format(
                *(share["a1"] for share in shares), right["a1"]),
            f"an SVR of {heavy['SVR, planted']} % on planted errors, two adapters "
            f"{staged['SVR, planted']} %, and is right after EXECUTE in {heavy['a1']} % against "
            f"{staged['a1']} %",
            f"(SVR {staged['SVR, planted']} % on planted errors"):
        assert sentence in README, sentence
    parameters = {name: sum(grid.of(name)[0].facts["training"]["parameters"].values())
                  for name in ("staged", "single_verify_4", "single")}
    assert parameters["staged"] == 2 * parameters["single_verify_4"]  # "half the parameters"
    tokens = {name: grid.of(name)[0].facts["training"]["tokens_seen"]
              for name in ("free", "errors_0")}
    assert tokens["free"] < 0.5 * tokens["errors_0"]  # "in fewer than half the tokens"


def test_the_cost_at_larger_scale_is_reckoned_from_the_committed_run():
    facts = Run(paths.RESULTS / "smollm2-gsm8k").read_environment()
    traces = facts["training"]["traces"] - facts["training"]["too_long"]
    hours = facts["seconds"] / traces * 6000 * 15 / 3600
    book = (paths.NOTEBOOKS / "06_ablate.ipynb").read_text(encoding="utf-8")
    assert "-p seeds 3" in book and "-p train_traces 6000" in book
    for text in (README, book):
        assert f"some {hours:.0f} hours of training alone" in text


def test_the_readme_says_how_far_seeds_of_one_recipe_differ(grid):
    shares = [100 * self_verification(row for row in run.rows() if row["setting"] == "natural"
                                      ).accuracy_a1 for run in grid.of("staged").values()]
    assert f"`staged`, a1 runs from {min(shares):.1f} to {max(shares):.1f} %" in README


def test_the_difference_beside_a_run_without_verify_is_that_of_the_table(found):
    asked = next(a for a in found if a.hypothesis.claim == NOT_SPOILT)
    difference = dict(zip(ANSWER_COLUMNS, answers_table([asked]).rows[0]))["difference"]
    assert f"over {len(asked.seeds)} seeds of fewer traces, the difference is {difference}." \
        in README


@pytest.mark.parametrize("comparison, sentence, word", [
    ("phases against staged", "**Two phases do not help:** {} in SVR", FAILS),
    ("phases_own against phases", "is not decided: {}.", OPEN),
    ("single_verify_4 against single_verify_half", "adapter, the weight holds: {}.", HOLDS),
    ("verify_4 against verify_half", "the weight shows nothing: {}.", OPEN),
    ("staged against free", "loses {} to prose", FAILS),
    ("advertised against staged", "(0.15, 0.35, 0.35, 0.15) {},", OPEN),
    ("doubled against staged", "PLAN and EXECUTE doubled {},", OPEN),
    ("dwa against staged", "dynamic weights {},", OPEN),
    ("transition_1 against staged", "transitions as a full stage {}.", OPEN),
    ("staged against single", "of its own size the gain in SVR is {},", HOLDS),
    ("stack against single_wide", "(`stack`) it gains nothing: {}.", OPEN)])
def test_the_sentences_on_further_comparisons_hold(found, comparison, sentence, word):
    rows = (dict(zip(ANSWER_COLUMNS, row)) for row in answers_table(found).rows)
    row = next(row for row in rows if row["comparison"] == comparison)
    assert sentence.format(row["difference"]) in README and row["word"] == word


def test_the_notebook_asks_what_the_package_asks():
    book = nbformat.read(paths.NOTEBOOKS / "06_ablate.ipynb", as_version=4)
    asked = next(cell.source for cell in book.cells if cell.source.startswith("## What is asked"))
    assert asked.endswith(hypotheses_table().markdown(title=False))
