"""The number of threads: the faster one stays, and nothing that is trained or written depends
on it."""
from __future__ import annotations

import pytest
import torch

from nanoreason import paths
from nanoreason.data import load_problems
from nanoreason.evaluation.generate import generate_traces, load_writer, natural_rows
from nanoreason.model.adapters import attach_adapters
from nanoreason.model.base import load_base
from nanoreason.model.threads import LARGEST, LATEST, TRIED, ThreadChoice
from nanoreason.params import TrainParams
from nanoreason.training import train


@pytest.fixture
def many():
    """Makes a choice between so many threads; the number of before is put back."""
    model, before = attach_adapters(load_base("nano", "none")[0], rank=2), torch.get_num_threads()

    def choice(most, processes=1):
        torch.set_num_threads(most)
        return ThreadChoice(model, processes)

    yield choice
    torch.set_num_threads(before)


def driven(choice, paces, steps):
    """The choice after these steps; paces: number of threads to pace, at a step."""
    for step in range(steps):
        threads = choice.trying or choice.threads
        choice.steps[threads] += 1
        choice.take(paces(threads, step))
    return choice


@pytest.mark.parametrize("fastest", [1, 2, 4, 8])
def test_the_fastest_number_is_found_and_used_for_nearly_all_steps(many, fastest):
    choice = driven(many(8), lambda threads, _: 100 / max(threads / fastest, fastest / threads),
                    2000)
    assert choice.threads == fastest and choice.steps[fastest] > 1800


def test_a_load_that_comes_and_goes_is_followed(many):
    def paces(threads, step):
        return (10 if 500 <= step < 1500 else 160) if threads == 2 else 100
    assert driven(many(2), paces, 500).threads == 2
    busy = driven(many(2), paces, 1500)
    assert busy.threads == 1 and busy.steps[2] < 500 + LATEST + 10 * TRIED
    assert driven(many(2), paces, 1500 + 2 * LATEST).threads == 2


def test_a_trial_that_is_far_slower_ends_with_its_first_step(many):
    choice = driven(many(2), lambda threads, _: 100 if threads == 2 else 10, 2000)
    assert choice.threads == 2 and 0 < choice.steps[1] < 15


def test_a_little_more_is_no_reason_to_change(many):
    choice = driven(many(2), lambda threads, step: 100 + step % 7 + 3 * (threads == 1), 1000)
    assert choice.threads == 2


@pytest.mark.parametrize("four, begun", [(1.0, 4), (1.95, 8)])
def test_the_forecast_begins_with_the_fastest_if_that_earns_something(many, four, begun):
    choice, asked = many(8), []

    def seconds():
        asked.append(torch.get_num_threads())
        return {8: 2.0, 4: four}.get(asked[-1], 3.0)

    assert choice.fastest(seconds) == {4: four, 8: 2.0}[begun] and choice.threads == begun
    assert asked == [8, 4, 2, 1] and torch.get_num_threads() == 8
    with pytest.raises(KeyError):
        choice.fastest(lambda: {8: 1.0}[torch.get_num_threads()])
    assert torch.get_num_threads() == 8


def test_between_steps_all_threads_are_there(many):
    choice = many(2)
    choice.threads = 1
    choice.begin()
    assert torch.get_num_threads() == 1
    choice.end(100)
    assert torch.get_num_threads() == 2 and choice.steps == {1: 1}


def alternating(numbers, monkeypatch):
    """Every step takes the next of these numbers; returns those that were taken."""
    taken = []

    def begin(choice):
        choice.began = 0.0
        taken.append(numbers[len(taken) % len(numbers)])
        torch.set_num_threads(taken[-1])

    monkeypatch.setattr(ThreadChoice, "begin", begin)
    return taken


def test_what_is_trained_does_not_depend_on_the_threads(many, tmp_path, monkeypatch):
    """One, or another at each step."""
    monkeypatch.setattr(paths, "RUNS", tmp_path)
    found = []
    for numbers in ([1], [2, 1]):
        many(2)
        taken = alternating(numbers, monkeypatch)
        run = train(TrainParams(profile="nano", run=f"r{len(numbers)}", traces=16,
                                larger_share=0.25, seed=3))
        found.append(run.read_environment()["training"])
        assert len(taken) == sum(found[-1]["steps_by_threads"].values()) == 2
    assert found[0]["adapters_sha256"] == found[1]["adapters_sha256"]


def test_what_is_written_does_not_depend_on_the_threads(many, monkeypatch):
    model, tokenizer, _ = load_writer("nano-reference")
    rows = natural_rows(load_problems("procedural", None, "test", count=3, seed=1))
    found = []
    for numbers in ([1], [2, 1]):
        many(2)
        taken = alternating(numbers, monkeypatch)
        found.append({row["problem_id"]: row["text"] for row in generate_traces(
            model, tokenizer, rows, 640, 131_072)})
        assert len(taken) > 200
    assert found[0] == found[1] and all("Answer:" in text for text in found[0].values())


class Halves(ThreadChoice):
    """It begins with half of the threads, whatever the forecast says."""

    def __init__(self, *given):
        super().__init__(*given)
        self.threads = self.most // 2

    def fastest(self, measure):
        return 1.0


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_all_threads_are_there_after_a_step_that_fails(many, tmp_path, monkeypatch, error):
    def failing(*given):
        assert torch.get_num_threads() == 2
        raise error

    many(4)
    model, tokenizer, _ = load_writer("nano-reference")
    rows = natural_rows(load_problems("procedural", None, "test", count=1, seed=1))
    monkeypatch.setattr(paths, "RUNS", tmp_path)
    for module in ("model.decoding", "training.trainer"):
        monkeypatch.setattr(f"nanoreason.{module}.ThreadChoice", Halves)
    monkeypatch.setattr("nanoreason.model.decoding.Decoder.step", failing)
    monkeypatch.setattr("nanoreason.training.trainer.StepAwareTrainer.training_step", failing)
    for fails in (lambda: list(generate_traces(model, tokenizer, rows, 9, 1000)),
                  lambda: train(TrainParams(profile="nano", run="r", traces=12, seed=3))):
        with pytest.raises(error):
            fails()
        assert torch.get_num_threads() == 4


def test_a_generator_that_is_left_has_put_all_threads_back(many, monkeypatch):
    many(2)
    model, tokenizer, _ = load_writer("nano-reference")
    rows = natural_rows(load_problems("procedural", None, "test", count=4, seed=1))
    monkeypatch.setattr("nanoreason.model.decoding.ThreadChoice", Halves)
    made = generate_traces(model, tokenizer, rows, 5, 400)
    next(made)
    assert torch.get_num_threads() == 2
    made.close()
    assert torch.get_num_threads() == 2


def test_a_larger_base_and_a_group_keep_their_number(many, monkeypatch):
    assert (many(2).most, many(2, processes=2).most) == (2, 1)
    monkeypatch.setattr("nanoreason.model.threads.LARGEST", 1000)
    choice = many(2)
    assert choice.most == 1 < LARGEST
    choice.begin()
    choice.end(100)
    assert torch.get_num_threads() == 2 and not choice.steps
