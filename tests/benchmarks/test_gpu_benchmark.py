"""The GPU benchmark off the GPU: its scores, texts, loops and order of jobs, and what it found."""
from __future__ import annotations

import json
import random
import time
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import pytest
import torch

import gpu_check
import gpu_columns
import gpu_figure
import gpu_jobs
import gpu_loops
import gpu_scores
import gpu_size
import gpu_speed
from nanoreason import paths
from nanoreason.arithmetic import read_equations
from nanoreason.data.prepare import prepare
from nanoreason.files import read_text, write_json
from nanoreason.model.base import load_base, load_tokenizer
from nanoreason.model.base_text import drawn_step
from nanoreason.model.nano import RECIPE
from nanoreason.model.tokens import EXECUTE, PLAN, VERIFY, tag_ids
from nanoreason.params import TrainParams
from nanoreason.runs import Run
from nanoreason.training import attach_adapters, train
from nanoreason.training.train import encode_records


@pytest.fixture(scope="module")
def result():
    return json.loads(read_text(paths.RESULTS / "gpu.json"))


def test_false_sums_by_size():
    found = gpu_scores.false_sums(["40 + 50 = 90", "60 + 50 = 110", "60 + 50 = 100",
                                   "120 - 30 = 80", "9 * 9 = 80", "no sum"])
    assert found["sum_to_99"]["counts"] == (0, 1)
    assert found["sum_above_99"]["counts"] == (1, 2)
    assert found["difference_above_99"]["counts"] == (1, 1)
    assert found["difference_to_99"]["value"] is None
    lines = ["5 + 4 = 9, want 9, correct", "5 + 4 = 9, want 8, wrong",
             "5 + 4 = 9, want 8, correct"]
    assert gpu_scores.comparisons(lines)["counts"] == (1, 2)


def test_scores_of_the_committed_run_are_those_of_its_summary():
    run = Run(paths.RESULTS / "nano-reference")
    rows = [row for row in run.read_generations()
            if row["setting"] == "natural" and row["split"] == "test"]
    found = gpu_scores.scores(rows)["natural"]
    known = run.read_summary()["splits"]["test"]["accuracy"]
    assert found["accuracy_a1"]["value"] == known["a1"]["value"]
    assert found["accuracy_a2"]["value"] == known["a2"]["value"]
    assert sum(digit in "4567" for digit in found["outcomes"]) == known["a1"]["counts"][0]


def test_verify_by_columns_says_wrong_where_execute_is_and_its_sums_are_true():
    left, right = gpu_columns.number(87), gpu_columns.number(15)
    step = gpu_columns.Step("+", left, right, Fraction(102), "")
    assert gpu_columns.check(step, Fraction(112)) == \
        "15 + 87: 5 + 7 = 12;1 + 8 + 1 = 10;15 + 87 = 102, want 112, wrong"
    rng = random.Random(0)
    for largest in (99, 999) * 300:
        step = drawn_step(rng, largest)
        found = step.value + rng.choice((0, 0, 1, 10))
        line = gpu_columns.check(step, found)
        assert line.endswith("correct" if found == step.value else "wrong")
        sums = [part for part in line.rsplit(", want ", 1)[0].replace(": ", ";").split(";")
                if "=" in part]
        read = [each for part in sums for each in read_equations(part)]
        assert len(read) == len(sums) > 0 and all(each.holds for each in read)


def test_columns_are_learned_from_right_traces_wrong_twins_and_short_rows():
    tokenizer = load_tokenizer("nano")
    rows, tag = gpu_columns.training_rows(tokenizer, 0, 8, 3, "columns"), tag_ids(tokenizer)
    twins = [row for row in rows[:-3] if EXECUTE not in row.groups]
    assert len(rows) == 8 + 4 + 3 and len(twins) == 4  # of every second trace
    assert all(VERIFY in row.groups and PLAN not in row.groups for row in twins)
    for row in rows[-3:]:  # of the verification adapter alone: nothing stands before the tag
        assert row.input_ids[:len(tag)] == tag and row.prompt_length == 0
    controls = [gpu_columns.training_rows(tokenizer, 0, 8, 3, recipe)
                for recipe in ("right", "careful")]
    assert [len(rows) for rows in controls] == [8, 8]


def test_a_text_gives_every_document_once_and_learns_solutions_only(tmp_path):
    plan = {"steps": 32, "documents_per_step": 4, "text_parts": 2, "text_workers": 1}
    made = gpu_size.make_text("199", plan, tmp_path)
    ids, lengths = gpu_size.read_text("199", tmp_path)
    tokenizer = load_tokenizer("nano")
    batches = list(gpu_size.text_batches(ids, lengths, 4, tokenizer.pad_token_id, 1))
    assert len(batches) == 32 and made["documents"] == 128
    assert sum(int((b != tokenizer.pad_token_id).sum()) for b, _ in batches) == made["tokens"]
    for read, learned in batches:
        for row, labels in zip(read, learned):
            prompt = tokenizer.decode(row[labels == -100])
            assert prompt.startswith("Question: ") and "Solution:\n" in prompt
            assert tokenizer.decode(labels[labels != -100]).endswith("<|endoftext|>")


def test_a_wider_model_learns_more_slowly():
    assert gpu_size.scaled("1m", RECIPE)["learning_rate"] == RECIPE["learning_rate"]
    assert gpu_size.scaled("4m", RECIPE)["learning_rate"] == RECIPE["learning_rate"] / 2


def test_the_loop_of_the_benchmark_has_the_losses_of_the_trainer(workspace):
    params = TrainParams(profile="nano-switch", run="held", traces=20, quantisation="none")
    metrics = train(params).read_metrics()
    tokenizer = load_tokenizer("nano")
    rows, _ = encode_records(tokenizer, prepare("procedural", total=20, seed=0), 512)
    model = attach_adapters(load_base("nano", "none")[0], params.rank, params.alpha,
                            params.dropout, params.seed)
    found = gpu_loops.tune_adapters(model, rows, params, tag_ids(tokenizer),
                                    tokenizer.pad_token_id)
    assert found["losses"] == pytest.approx(list(metrics["total"]), rel=1e-3)
    assert found["steps"] == 3 and found["graphs"] == 0


@pytest.mark.slow
def test_on_a_cpu_its_checks_are_passed():
    found = gpu_check.run("none")
    assert found["passed"] and found["bars"] == gpu_check.BARS


@pytest.mark.skipif(not torch.cuda.is_available(), reason="CUDA graphs need a GPU")
def test_graphs_that_share_a_pool_give_the_gradients_of_plain_calls():
    device = torch.device("cuda")
    weight = torch.randn(64, 64, device=device, requires_grad=True)

    def loss(x):
        return (x @ weight).tanh().square().sum()

    replayed = gpu_loops.Replayed(loss, [weight], device)
    batches = [torch.randn(count, 64) for count in (32, 96, 64)]
    for batch in batches * 3:
        found = replayed(x=batch).item()
        gradient, = torch.autograd.grad(loss(batch.to(device)), weight)
        assert found == pytest.approx(loss(batch.to(device)).item())
        assert torch.allclose(weight.grad, gradient)
    assert replayed.captured == 3 and replayed.fault is None


@dataclass
class Process:
    """A process that has done its job by the time it is asked."""

    result: Path | None  # None: it fails

    def poll(self):
        if self.result:
            write_json(self.result, {})
        return self.returncode

    @property
    def returncode(self):
        return int(not self.result)


class Quick(gpu_jobs.Jobs):
    """Jobs that take no time; those named in `broken` fail."""

    broken: tuple[str, ...] = ()

    def start(self, job):
        self.order = [*getattr(self, "order", []), job.name]
        (self.work / f"{job.name}.log").write_text("what went wrong")
        return Process(None if job.name in self.broken else self.work / f"{job.name}.json")


def test_jobs_wait_for_what_they_need_and_are_done_once(tmp_path):
    jobs, every = Quick(tmp_path, workers=40), gpu_jobs.size_jobs(2)
    jobs.run(every, time.monotonic() + 60, lambda: None)
    assert sorted(jobs.order) == sorted(job.name for job in every) and not jobs.failed
    places = {name: place for place, name in enumerate(jobs.order)}
    for job in every:
        assert all(places[need] < places[job.name] for need in (*job.needs, *job.later))
    jobs.run(every, time.monotonic() + 60, lambda: None)
    assert len(jobs.order) == len(every)


def test_a_failed_job_is_told_and_takes_those_that_need_it_with_it(tmp_path):
    jobs = Quick(tmp_path, workers=40)
    jobs.broken = ("base-4m-columns",)
    jobs.run(gpu_jobs.size_jobs(1), time.monotonic() + 60, lambda: None)
    assert jobs.failed.pop("base-4m-columns") == "status 1: what went wrong"
    assert jobs.failed == {f"pair-4m-{recipe}-0": "what it needs failed"
                           for recipe in ("columns", "careful", "right")}


def test_every_job_is_in_the_result_or_named_as_not_done(result):
    found = {name for kind in ("checks", "texts", "data", "bases", "cells", "speed")
             for name in result[kind]}
    wanted = {job.name for job in gpu_jobs.size_jobs(result["plan"]["seeds"])}
    wanted |= {"check-none", "check-nf4", "speed-none", "speed-nf4"}
    assert found | result["not_done"].keys() == wanted
    assert not found & result["not_done"].keys()


def test_scores_are_those_of_their_rows(result):
    for cell in result["cells"].values():
        for setting in ("natural", "natural_999", "injected_and_clean"):
            if setting not in cell:
                assert cell["recipe"] in gpu_figure.CONTROLS
                continue
            found = cell[setting]
            first, error, second = ([int(digit) & bit > 0 for digit in found["outcomes"]]
                                    for bit in (4, 2, 1))
            n, wrong = len(first), first.count(False)
            assert found["n"] == n
            assert found["accuracy_a1"]["counts"] == [sum(first), n]
            assert found["accuracy_a2"]["counts"] == [sum(second), n]
            assert found["delta"]["value"] == pytest.approx((sum(second) - sum(first)) / n)
            assert found["recall"]["counts"] == [
                sum(e and not f for f, e in zip(first, error)), wrong]
            assert found["specificity"]["counts"] == [
                sum(f and not e for f, e in zip(first, error)), n - wrong]


def test_speeds_and_checks_are_worked_out_again(result):
    speed = result["speed"]["speed-none"]
    for name, value in gpu_speed.summarise(speed["rounds"]).items():
        assert speed[name] == json.loads(json.dumps(value)), name
    for check in result["checks"].values():
        assert check["passed"] == all(check["found"][name] <= bar
                                      for name, bar in check["bars"].items())


def test_the_figure_is_that_of_the_result(result, tmp_path):
    captions = json.loads((paths.FIGURES / "gpu" / "captions.json").read_text())
    assert captions["size"] == " ".join(gpu_figure.caption(result).split())
    gpu_figure.main(paths.RESULTS / "gpu.json", tmp_path)
    committed = (paths.FIGURES / "gpu" / "size.png").stat().st_size
    assert committed < 100_000 and (tmp_path / "size.png").exists()


def test_a_cell_that_was_not_measured_is_absent(result):
    few = {**result, "cells": {name: {**cell, "natural": {**cell["natural"]}}
                               for name, cell in result["cells"].items()
                               if cell["recipe"] == "99"}}
    few["cells"]["pair-1m-99-0"]["natural"]["recall"] = {"value": None, "interval": None}
    first, _, recall, _ = gpu_figure.size_figure(few).axes
    assert first.get_legend_handles_labels()[1] == [gpu_figure.LOOKS["99"][2]]
    assert [len(axes.lines[0].get_xdata()) for axes in (first, recall)] == [3, 2]
