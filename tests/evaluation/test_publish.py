"""Publishing: own rows whole, rows of other sources without their texts, no folder names."""
from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import yaml
from synthetic import new_run

from nanoreason import paths
from nanoreason.evaluation.generate import make_row
from nanoreason.data.procedural import problems
from publish import publish
from nanoreason.files import read_text, write_manifest
from nanoreason.params import ParameterError
from nanoreason.runs import EVALUATED, RunError
from nanoreason.evaluation import accuracy, faithfulness
from nanoreason.evaluation.summary import open_run, summarise
from nanoreason.data.verify_lines import procedural_trace
from nanoreason.trace import render_trace
from nanoreason.training.resume import FINISHED


@pytest.fixture
def scratch(tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "RUNS", tmp_path / "runs")
    monkeypatch.setattr(paths, "RESULTS", tmp_path / "results")

    def make(data):
        run = new_run("tried")
        run.write_params({"run": "tried", "data": data, "data_path": None, "seed": 0})
        run.path(EVALUATED).write_text(yaml.safe_dump({"run": "tried", "data": data}))
        run.write_environment({"commit": "0" * 40})
        run.append_generations(
            make_row(p, "natural", procedural_trace(p), text=render_trace(procedural_trace(p)))
            for p in problems("test", 5, 0))
        return run
    return make


def test_own_rows_are_published_whole(scratch):
    rows = scratch("procedural").read_generations()
    run = publish("tried", "reference")
    assert run.read_generations() == rows
    assert run.read_params() == {"run": "reference", "data": "procedural", "data_path": None,
                                 "seed": 0}


@pytest.mark.parametrize("facts", [{"commit": None}, {}, None])
def test_a_run_that_names_no_commit_is_not_published(scratch, facts):
    run = scratch("procedural")
    run.path("environment.json").unlink()
    if facts is not None:
        run.write_environment(facts)
    with pytest.raises(RunError, match="run tried names no commit"):
        publish("tried", "reference")
    assert not (paths.RESULTS / "reference").exists()


def test_rows_of_other_sources_lose_their_texts_and_keep_their_scores(scratch):
    rows = scratch("/somewhere/else/test.jsonl.gz").read_generations()
    run = publish("tried", "real")
    text = read_text(run.path("generations.jsonl.gz"))
    for row in rows:
        assert row["question"] not in text and row["text"][:40] not in text
    assert accuracy(run.read_generations()).strict == accuracy(rows).strict == 1.0
    kept, full = faithfulness(run.read_generations()), faithfulness(rows)
    for name in ("edge_f1", "edge_f1_null", "plan_infeasible", "dead_step_share"):
        assert getattr(kept, name) == getattr(full, name) is not None
    assert "somewhere" not in json.dumps(run.read_params()) + run.path(EVALUATED).read_text()
    shutil.copytree(run.folder, paths.RUNS / "real")  # as one that goes on from it does
    assert publish("real", "real", replace=True).read_generations() == run.read_generations()


def test_what_cannot_be_published_is_refused(scratch):
    with pytest.raises(RunError, match="evaluate it with notebook 03"):
        publish("absent", "reference")
    scratch("procedural")
    publish("tried", "reference")
    with pytest.raises(RunError, match="there already: choose another name, or replace the run"):
        publish("tried", "reference")


def test_nothing_but_a_run_is_replaced(scratch, tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "FIGURES", tmp_path / "figures")
    kept = [paths.FIGURES / "drawing" / "one.pdf", paths.RESULTS / "grid" / "problems.csv.gz",
            tmp_path / "outside" / "params.yaml"]
    for path in kept:
        path.parent.mkdir(parents=True)
        path.write_text("")
    scratch("procedural").figures.joinpath("own.pdf").write_text("")
    for name, error in (("drawing", RunError), ("grid", RunError), ("../outside", ParameterError),
                        (str(tmp_path / "outside"), ParameterError)):
        with pytest.raises(error, match="name, or remove what is there$|is refused: run must be"):
            publish("tried", name, replace=True)
    assert all(map(Path.is_file, kept))


def test_what_does_not_belong_together_is_neither_published_nor_drawn(scratch):
    """Files of a training that are not whole, rows that came after the summary, rows of other
    adapters."""
    run = scratch("procedural")
    run.write_metrics([{"step": 1}, {"step": 2}])
    write_manifest(run.folder, {}, {}, FINISHED, [run.path("metrics.csv")])
    run.write_summary(summarise(run.read_generations()))
    drawn = "metrics.csv", "summary.json", "generations.jsonl"
    open_run("tried", *drawn)
    publish("tried", "whole")
    whole = run.path("metrics.csv").read_bytes()
    run.path("metrics.csv").write_bytes(whole[:-3])  # a copy that was cut off
    for refused in (lambda: publish("tried", "cut"), lambda: open_run("tried", *drawn)):
        with pytest.raises(RunError, match="metrics.csv has .* bytes in place of .*bring it back"):
            refused()
    run.path("metrics.csv").write_bytes(whole)
    run.append_generations(make_row(p, "natural", None) for p in problems("test_ood", 2, 0))
    for refused in (lambda: publish("tried", "more"), lambda: open_run("tried", *drawn)):
        with pytest.raises(RunError, match="summary.json of run tried is of 5 rows, "
                                           "but there are 7"):
            refused()
    run.write_summary({"n_rows": 7})
    with pytest.raises(RunError, match="summary.json of run tried is not whole: run notebook 04"):
        open_run("tried", *drawn)
    open_run("tried", "generations.jsonl")  # to be scored again
    run.write_environment({"training": {"adapters_sha256": "a" * 64}})
    run.path(EVALUATED).write_text(
        yaml.safe_dump({"data": "procedural", "adapters_sha256": "b" * 64}))
    with pytest.raises(RunError, match="rows of run tried were written by other adapters"):
        publish("tried", "other")
    assert [path.name for path in paths.RESULTS.iterdir()] == ["whole"]
