"""What is said before training, and that saying it changes nothing."""
from __future__ import annotations

import re
import time

import pytest
import torch

from transformers import LlamaConfig, LlamaForCausalLM, Qwen2Config, Qwen2ForCausalLM

from nanoreason import paths
from nanoreason.files import parse, read_text
from nanoreason.training import attach_adapters, route
from nanoreason.training.loss import last_hidden
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


def made(config, dtype=torch.float32, params=PARAMS, **changes):
    """A random model of a configuration with adapters, its numbers not written anywhere yet."""
    with torch.device("meta"):
        model = attach_adapters(CONFIGS[config](**changes).to(dtype), params.rank, 32,
                                params.dropout, 0, params.routing)
    return model.to_empty(device="cpu")


CONFIGS = {"qwen": lambda **changes: Qwen2ForCausalLM(Qwen2Config(**changes, pad_token_id=None)),
           "llama": lambda **changes: LlamaForCausalLM(LlamaConfig(**changes))}
SMOLLM2 = {"hidden_size": 576, "intermediate_size": 1536, "num_hidden_layers": 30,
           "num_attention_heads": 9, "num_key_value_heads": 3, "vocab_size": 49152,
           "tie_word_embeddings": True}
TINY = {"hidden_size": 128, "intermediate_size": 384, "num_hidden_layers": 4, "vocab_size": 64,
        "num_attention_heads": 4, "num_key_value_heads": 2}


@pytest.mark.parametrize("dtype", (torch.float32, torch.bfloat16))
@pytest.mark.parametrize("dropout", (0.0, 0.05))
@pytest.mark.parametrize("routing", ("switch", "reread", "single"))
def test_what_backward_keeps_is_what_was_forecast(dtype, dropout, routing):
    """Every tensor that a forward keeps, counted; dropout's mask of the first maps is not kept."""
    params = PARAMS.model_copy(update={"dropout": dropout, "routing": routing, "unpack": False,
                                       "micro_batch_size": 4, "micro_batch_tokens": 4096})
    model, rows, long = made("qwen", dtype, params, **TINY).train(), 4, 256
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.02)
    ids = torch.full((rows, long), 5)
    ids[:, long // 2] = 3  # the tag: under `switch` both adapters act
    own = {parameter.untyped_storage().data_ptr() for parameter in model.parameters()}
    kept = {}

    def keep(tensor):
        where = tensor.untyped_storage()
        if where.data_ptr() not in own:
            kept[where.data_ptr()] = where
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor), \
            torch.autocast("cpu", torch.bfloat16, enabled=dtype != torch.float32), \
            model.router.full(route(ids, None, 1, [3], routing)):
        last_hidden(model, input_ids=ids)
    counted = sum(where.nbytes() for where in kept.values())
    logits = 3 * 4 * rows * long * TINY["vocab_size"]
    forecast = memory_parts(model, params, long)["activations"] - logits
    assert 0.99 < forecast / counted < 1.06


def test_the_forecast_is_what_was_measured(benchmark_scripts):
    """Of a GPU, all that torch held, within 3 %. Of a CPU the resident set above the model: the
    forecast lacks the program's own and what the allocator keeps, at most a fifth and 32 MiB."""
    from cost_model import MEASURED_RUN, memory, model

    speed = parse(read_text(paths.RESULTS / "gpu.json"))["speed"]["speed-none"]
    for measured in speed["medians"]["ours"]["peak_bytes"]["rounds"]:
        assert memory(model(), MEASURED_RUN, speed["traces"]["longest"]) == pytest.approx(
            measured, rel=0.03)
    for name, base in (("training-speed", made("llama", **SMOLLM2)),
                       ("training-speed-nano", attach_adapters(load_base("nano", "none")[0], 16))):
        found = parse(read_text(paths.RESULTS / f"{name}.json"))
        params = TrainParams(profile="smollm2", gradient_checkpointing=False, **{
            key: found["settings"][key] for key in ("rank", "dropout", "micro_batch_size",
                                                    "micro_batch_tokens")})
        parts = memory_parts(base, params, found["settings"]["longest"])
        forecast = sum(parts.values()) - parts["base"]
        for measured in found["medians"]["ours"]["peak_bytes_above_model"]["rounds"]:
            assert forecast < measured < 1.2 * forecast + 32 * 2**20


def test_the_download_is_named_where_there_may_be_one():
    def said(base, source):
        return download_text(Location(base, base, source, None))

    assert "nothing" in said("nano", "package")
    assert "6.2 GB" in said("Qwen/Qwen2.5-3B-Instruct", "hub")
    assert "not known" in said("some/base", "hub")
