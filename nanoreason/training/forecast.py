"""What a training run will take, said before it starts: download, memory, tokens, minutes.

The minutes come from a few micro-batches of the run's own plan, forward and backward,
before the first step; the adapters, the random state and so the run's result stay what they
are without it. Left out on purpose: the time of loading, of the optimiser itself and of
later evaluation.
"""
from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from nanoreason.model.adapters import adapter_parameters
from nanoreason.model.base import Location
from nanoreason.model.router import route
from nanoreason.model.tokens import Encoded, collate, tag_ids
from nanoreason.training.batches import StepBatches
from nanoreason.training.loss import CHUNK_LOGITS, last_hidden, step_aware_loss

GIB = 2**30
# Weights as published, in 10**9 bytes.
DOWNLOADS = {"HuggingFaceTB/SmolLM2-135M-Instruct": 0.27, "Qwen/Qwen2.5-0.5B-Instruct": 0.99,
             "Qwen/Qwen2.5-1.5B-Instruct": 3.09, "Qwen/Qwen2.5-3B-Instruct": 6.17}
WARM_UP = 4  # micro-batches; the first is not timed


def download_text(found: Location) -> str:
    """One line: what the base still has to be fetched for."""
    if found.source != "hub":
        return f"download: nothing, the base comes from the {found.source}"
    size = DOWNLOADS.get(found.base)
    what = f"about {size:.1f} GB" if size else "its size is not known here"
    return f"download: {what} for {found.base}, unless the hub's cache holds it already"


def memory_parts(model, params, longest: int) -> dict[str, int]:
    """Estimated bytes on one device: base, adapters, optimiser, activations.

    adapters: float32 weights and gradients. optimiser: two moments of each number, one byte
    each with adamw_8bit. activations: what a micro-batch keeps for backward (about twelve
    hidden widths and four of the feed-forward a layer and token; with gradient
    checkpointing one width, and one layer whole), with one chunk of logits. longest: tokens
    of the longest row.
    """
    trained = sum(p.numel() for name in model.router.names
                  for _, p in adapter_parameters(model, name))
    whole = sum(p.numel() * p.element_size() for p in model.parameters())
    config = model.config
    tokens = max(longest, min(params.micro_batch_tokens, params.micro_batch_size * longest))
    layer = 12 * config.hidden_size + 4 * config.intermediate_size
    layers = config.num_hidden_layers
    kept = layers * config.hidden_size + layer if params.gradient_checkpointing \
        else layers * layer
    logits = min(tokens * config.vocab_size, CHUNK_LOGITS)
    return {"base": whole - 4 * trained, "adapters": 8 * trained,
            "optimiser": trained * (2 if params.optimiser == "adamw_8bit" else 8),
            "activations": tokens * kept * model.dtype.itemsize + 3 * 4 * logits}


def seconds_per_token(model, rows: list[Encoded], batches: list[list[int]], tag: list[int],
                      pad_id: int) -> float:
    """Seconds of forward and backward for one padded token, over micro-batches of indices.

    The first batch is not timed. Gradients are dropped; the state of every random generator
    that training draws from is put back.
    """
    device, tokens, began = model.device, 0, 0.0
    with _untouched(model):
        for number, indices in enumerate(batches):
            if number == 1:
                _wait(device)
                began = time.perf_counter()
            batch = {name: value.to(device) for name, value in
                     collate([rows[i] for i in indices], pad_id).items()}
            mask = route(batch["input_ids"], batch["attention_mask"],
                         batch["prompt_lengths"], tag, model.router.routing)
            half = model.dtype in (torch.float16, torch.bfloat16)
            with torch.autocast(device.type, model.dtype if half else None, enabled=half), \
                    model.router.full(mask):
                hidden = last_hidden(model, input_ids=batch["input_ids"])
                loss = step_aware_loss(hidden, batch["input_ids"], batch["groups"], [1.0] * 5,
                                       head=model.get_output_embeddings())
            loss.total.backward()
            tokens += batch["input_ids"].numel() if number else 0
    _wait(device)
    return (time.perf_counter() - began) / tokens


def forecast_text(model, tokenizer, rows: list[Encoded], params, processes: int = 1) -> str:
    """Three lines: memory a device, tokens of the data, minutes of training."""
    parts = memory_parts(model, params, max(map(len, rows)))
    listed = ", ".join(f"{name} {size / GIB:.2f}" for name, size in parts.items())
    plan = StepBatches([len(row) for row in rows], params.batch_size, params.micro_batch_size,
                       params.micro_batch_tokens, params.seed, processes)
    tokens = sum(map(len, rows))
    padded = tokens / (1 - plan.padding_share()) * params.epochs
    lines = [f"memory{' of each device' if processes > 1 else ''}: about "
             f"{sum(parts.values()) / GIB:.2f} GiB ({listed}), and the program's own",
             f"tokens: {tokens} in {len(rows)} traces, {params.epochs} times"]
    first = [part for step in plan.steps()[:WARM_UP] for part in plan.shares(step)[0] if part]
    if len(first) < 2:
        return "\n".join(lines + ["time: too few traces to measure it on"])
    each = seconds_per_token(model, rows, first[:WARM_UP], tag_ids(tokenizer),
                             tokenizer.pad_token_id)
    minutes = padded * each / processes / 60
    return "\n".join(lines + [f"time: about {minutes:.1f} minutes of training, at "
                              f"{1 / each:.0f} tokens a second and process"])


@contextmanager
def _untouched(model) -> Iterator[None]:
    """Put back mode, gradients and random state; the weights are not changed within."""
    training = model.training
    devices = [model.device] if model.device.type == "cuda" else []
    with torch.random.fork_rng(devices):
        model.train()
        try:
            yield
        finally:
            model.train(training)
            for parameter in model.parameters():
                parameter.grad = None


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
