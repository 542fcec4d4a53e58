"""The number of threads: the faster one stays, and what is trained does not depend on it."""
from __future__ import annotations

import pytest
import torch

from nanoreason import paths
from nanoreason.model.adapters import attach_adapters
from nanoreason.model.base import load_base
from nanoreason.params import TrainParams
from nanoreason.training import train
from nanoreason.training.threads import LARGEST, LATEST, TRIED, ThreadChoice, thread_choice


def driven(paces, most, steps):
    """A choice after these steps; paces: number of threads to pace, at a step."""
    choice = ThreadChoice(lambda: 0, most)
    for step in range(steps):
        threads = choice.trying or choice.threads
        choice.steps[threads] += 1
        choice.take(paces(threads, step))
    return choice


@pytest.mark.parametrize("fastest", [1, 2, 4, 8])
def test_the_fastest_number_is_found_and_used_for_nearly_all_steps(fastest):
    choice = driven(lambda threads, _: 100 / max(threads / fastest, fastest / threads), 8, 2000)
    assert choice.threads == fastest and choice.steps[fastest] > 1800


def test_a_load_that_comes_and_goes_is_followed():
    def paces(threads, step):
        return (10 if 500 <= step < 1500 else 160) if threads == 2 else 100
    assert driven(paces, 2, 500).threads == 2
    busy = driven(paces, 2, 1500)
    assert busy.threads == 1 and busy.steps[2] < 500 + LATEST + 10 * TRIED
    assert driven(paces, 2, 1500 + 2 * LATEST).threads == 2


def test_a_trial_that_is_far_slower_ends_with_its_first_step():
    choice = driven(lambda threads, _: 100 if threads == 2 else 10, 2, 2000)
    assert choice.threads == 2 and 0 < choice.steps[1] < 15


def test_a_little_more_is_no_reason_to_change():
    choice = driven(lambda threads, step: 100 + step % 7 + 3 * (threads == 1), 2, 1000)
    assert choice.threads == 2


def test_the_forecast_begins_with_the_fastest():
    choice, asked = ThreadChoice(lambda: 0, 8), []

    def seconds():
        asked.append(torch.get_num_threads())
        return abs(asked[-1] - 4) + 1

    before = torch.get_num_threads()
    try:
        assert choice.fastest(seconds) == 1 and choice.threads == 4 and asked == [8, 4, 2, 1]
        assert torch.get_num_threads() == 8
    finally:
        torch.set_num_threads(before)


def test_what_is_trained_does_not_depend_on_the_threads(tmp_path, monkeypatch):
    """One, or another at each step."""
    monkeypatch.setattr(paths, "RUNS", tmp_path)
    found, before = [], torch.get_num_threads()
    for numbers in ([1], [2, 1]):
        steps = iter(range(1000))

        def begin(choice, *_, numbers=numbers, steps=steps, **__):
            choice.began = 0.0
            torch.set_num_threads(numbers[next(steps) % len(numbers)])

        monkeypatch.setattr(ThreadChoice, "on_step_begin", begin)
        torch.set_num_threads(2)
        try:
            run = train(TrainParams(profile="nano", run=f"r{len(numbers)}", traces=24,
                                    larger_share=0.25, seed=3))
        finally:
            torch.set_num_threads(before)
        found.append(run.read_environment()["training"])
        assert next(steps) == sum(found[-1]["steps_by_threads"].values()) == 3
    assert found[0]["adapters_sha256"] == found[1]["adapters_sha256"]


def test_a_larger_base_and_a_group_keep_their_number(monkeypatch):
    model = attach_adapters(load_base("nano", "none")[0], rank=2)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    assert thread_choice(model, lambda: 1, 1).most == 2
    assert not thread_choice(model, lambda: 1, 2)
    monkeypatch.setattr("nanoreason.training.threads.LARGEST", 1000)
    assert not thread_choice(model, lambda: 1, 1) and LARGEST > 1000
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)
    assert not thread_choice(model, lambda: 1, 1)
