"""The GPU benchmark off the GPU: its scores, its texts, and the order of its jobs."""
from __future__ import annotations

import json
import time

import pytest

from nanoreason import paths
from nanoreason.base import RECIPE
from nanoreason.files import write_json
from nanoreason.models import load_tokenizer

pytestmark = pytest.mark.usefixtures("benchmark_scripts")


def test_false_sums_by_size():
    from gpu_scores import comparisons, false_sums

    found = false_sums(["40 + 50 = 90", "60 + 50 = 110", "60 + 50 = 100", "120 - 30 = 80",
                        "9 * 9 = 80", "no sum"])
    assert found["sum_to_99"]["counts"] == (0, 1)
    assert found["sum_above_99"]["counts"] == (1, 2)
    assert found["difference_above_99"]["counts"] == (1, 1)
    assert found["difference_to_99"]["value"] is None
    lines = ["5 + 4 = 9, want 9, correct", "5 + 4 = 9, want 8, wrong",
             "5 + 4 = 9, want 8, correct"]
    assert comparisons(lines)["counts"] == (1, 2)


def test_scores_of_the_committed_run_are_those_of_its_summary():
    from gpu_scores import scores

    run = paths.RESULTS / "nano-reference"
    with (run / "generations.jsonl").open() as file:
        rows = [row for row in map(json.loads, file)
                if row["setting"] != "intervened" and row["split"] == "test"]
    found, known = scores(rows), json.loads((run / "summary.json").read_text())
    natural = known["splits"]["test"]["accuracy"]
    assert found["natural"]["accuracy_a1"]["value"] == natural["a1"]["value"]
    assert found["natural"]["accuracy_a2"]["value"] == natural["a2"]["value"]
    assert len(found["natural"]["outcomes"]) == 1000
    right = sum(digit in "4567" for digit in found["natural"]["outcomes"])
    assert right == found["natural"]["accuracy_a1"]["counts"][0]


def test_a_text_gives_every_document_once_and_learns_solutions_only(tmp_path):
    import gpu_size

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
    from gpu_size import scaled

    assert scaled("1m", RECIPE)["learning_rate"] == RECIPE["learning_rate"]
    assert scaled("4m", RECIPE)["learning_rate"] == RECIPE["learning_rate"] / 2


def test_jobs_wait_for_what_they_need_and_are_done_once(tmp_path, monkeypatch):
    import gpu_jobs

    order = []

    class Ended:
        returncode = 0

        def poll(self):
            return 0

    def start(self, job):
        order.append(job.name)
        write_json(self.work / f"{job.name}.json", {})
        return Ended()

    monkeypatch.setattr(gpu_jobs.Jobs, "_start", start)
    jobs = gpu_jobs.Jobs(tmp_path, workers=3)
    every = gpu_jobs.size_jobs(2)
    jobs.run(every, time.monotonic() + 60, lambda: None)
    assert sorted(order) == sorted(job.name for job in every) and not jobs.failed
    places = {name: place for place, name in enumerate(order)}
    for job in every:
        assert all(places[need] < places[job.name] for need in (*job.needs, *job.later))
    jobs.run(every, time.monotonic() + 60, lambda: None)
    assert len(order) == len(every)
