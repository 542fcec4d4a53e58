"""The committed grid: whole files, one recipe, and its tables come out of it again."""
from __future__ import annotations

import nbformat
import pytest

from nanoreason import paths
from nanoreason.ablations.conditions import chosen
from nanoreason.ablations.grid import open_grid
from nanoreason.ablations.hypotheses import (SCORES, answers, answers_table, claims_table,
                                             conditions_table, hypotheses)
from nanoreason.ablations.results import KEY
from nanoreason.figures.tables import Table
from nanoreason.params import AblateParams
from nanoreason.runs import Run


@pytest.fixture(scope="module")
def grid():
    if not (paths.RESULTS / "ablations").is_dir():
        pytest.skip("no grid is committed: results/ablations is not there")
    return open_grid(AblateParams(profile="nano-switch"))


@pytest.fixture(scope="module")
def found(grid):
    return answers(grid)


def test_the_runs_are_of_clean_commits_and_say_what_they_ran_on(grid):
    for run in grid.runs:
        assert run.facts["dirty"] is False and len(run.facts["commit"]) == 40, run.condition
        assert run.facts["training"]["finished"] and run.facts["packages"]["torch"]


def test_every_run_answers_the_same_problems(grid):
    def answered(run):
        return set(run.table()[KEY].itertuples(index=False, name=None))

    wanted = answered(grid.of("staged")[0])
    assert len(wanted) > 1200
    for run in grid.runs:
        rows = answered(run)
        if run.condition == "free":
            wanted_here = {key for key in wanted if key[0] == "natural"}
            assert rows == wanted_here
        else:
            assert rows == wanted


def test_the_committed_tables_come_out_again(found, grid):
    conditions = chosen(AblateParams(profile="nano-switch"))
    for name, table in (("claims", claims_table(found)), ("answers", answers_table(found)),
                        ("conditions", conditions_table(grid, conditions))):
        for suffix, text in ((".md", table.markdown() + "\n"), (".csv", table.csv())):
            committed = (paths.RESULTS / "ablations" / "tables" / name).with_suffix(suffix)
            assert committed.read_text() == text, committed.name


def test_the_grid_is_whole(grid):
    params = AblateParams(profile="nano-switch")
    assert len(grid.runs) == len(chosen(params)) * params.seeds


def test_the_cost_at_larger_scale_is_reckoned_from_the_committed_run():
    facts = Run(paths.RESULTS / "smollm2-gsm8k").read_environment()
    traces = facts["training"]["traces"] - facts["training"]["too_long"]
    hours = facts["seconds"] / traces * 6000 * 15 / 3600
    book = (paths.NOTEBOOKS / "06_ablate.ipynb").read_text(encoding="utf-8")
    assert "-p seeds 3" in book and "-p train_traces 6000" in book
    assert f"some {hours:.0f} hours of training alone" in book


def test_the_notebook_asks_what_the_package_asks():
    book = nbformat.read(paths.NOTEBOOKS / "06_ablate.ipynb", as_version=4)
    asked = next(cell.source for cell in book.cells if cell.source.startswith("## What is asked"))
    table = Table("What is asked", ("claim", "comparison", "primary score", "setting"), tuple(
        (h.claim, h.compared, SCORES[h.of], h.setting) for h in hypotheses()))
    assert asked.endswith(table.markdown(title=False))
