"""What is said before training, and that saying it changes nothing."""
from __future__ import annotations

import re
import time

import pytest
import torch

from nanoreason.training import attach_adapters
from nanoreason.model.base import Location
from nanoreason.model.base import load_base
from nanoreason.params import TrainParams
from nanoreason.data.procedural import problems
from nanoreason.model.adapters import adapter_parameters
from nanoreason.data.verify_lines import procedural_trace
from nanoreason.model.tokens import encode
from nanoreason.runs import Run
from nanoreason.training.batches import download_text, forecast_text, memory_parts
from nanoreason.training.checkpoints import Checkpoints
from nanoreason.training.resume import TrainingState
from nanoreason.training.trainer import StepAwareTrainer

PARAMS = TrainParams(profile="nano", batch_size=4, micro_batch_size=2)


@pytest.fixture(scope="module")
def setup(tmp_path_factory):
    """Makes a trainer of the 4-bit base with fresh adapters, in eval mode, and twelve rows."""
    model, tokenizer = load_base("nano", "nf4")
    rows = [encode(tokenizer, p.question, procedural_trace(p), 512)
            for p in problems("train", 12, 1)]
    model = attach_adapters(model, rank=4, dropout=0.5).eval()

    def make(params=PARAMS):
        run = Run(tmp_path_factory.mktemp("run"))
        state = TrainingState(run, Checkpoints(run.path("checkpoints"), {}, 1.0))
        return StepAwareTrainer(model, tokenizer, rows, params, state, time.monotonic())
    return make


def test_nothing_of_the_run_is_changed(setup):
    trainer = setup()
    model = trainer.model.eval()
    before = [p.clone() for name in model.router.names for _, p in adapter_parameters(model, name)]
    torch.manual_seed(3)
    state = torch.get_rng_state()
    text = forecast_text(trainer, PARAMS)
    assert torch.equal(state, torch.get_rng_state())
    after = [p for name in model.router.names for _, p in adapter_parameters(model, name)]
    assert all(torch.equal(a, b) for a, b in zip(before, after))
    assert all(p.grad is None for p in model.parameters()) and not model.training
    assert f"tokens: {sum(map(len, trainer.rows))} in 12 traces" in text
    assert float(re.search(r"time: about ([\d.]+) minutes", text)[1]) >= 0


def test_the_minutes_are_padded_tokens_by_the_measured_speed(setup):
    many = PARAMS.model_copy(update={"epochs": 10**6})  # so that rounded minutes tell
    trainer = setup(many)
    plan = trainer.plan
    padded = sum(plan.padded(part) for step in plan.steps() for part in plan.shares(step)[0])
    text = forecast_text(trainer, many)
    minutes, speed = map(float, re.search(
        r"time: about ([\d.]+) minutes of training, at (\d+) tokens", text).groups())
    assert minutes == pytest.approx(10**6 * padded / speed / 60, rel=0.02)


def test_memory_counts_each_weight_once_and_checkpointing_saves(setup):
    model = setup().model
    parts = memory_parts(model, PARAMS, 200)
    trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
    assert parts["adapters"] == 8 * trained == parts["optimiser"]
    held = sum(p.numel() * p.element_size() for p in model.parameters())
    assert parts["base"] + 4 * trained == held
    less = PARAMS.model_copy(update={"gradient_checkpointing": True,
                                     "optimiser": "adamw_8bit"})
    spared = memory_parts(model, less, 200)
    assert spared["activations"] < parts["activations"]
    assert spared["optimiser"] == 2 * trained


def test_the_download_is_named_where_there_may_be_one():
    def said(base, source):
        return download_text(Location(base, base, source, None))

    assert "nothing" in said("nano", "package")
    assert "6.2 GB" in said("Qwen/Qwen2.5-3B-Instruct", "hub")
    assert "not known" in said("some/base", "hub")
