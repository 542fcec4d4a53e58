"""On this device: is one routed forward what cached decoding does, and what a CPU computes?

The nano base in float32 (or NF4 that computes in float32) with two adapters whose `lora_B` is
not zero, on eight traces of unequal length. Four numbers and their bars:

- `cached`: largest |difference| of logits, one full forward against feeding the prompt, then
  token by token, left-padded, the switch made when the tag appears: 1e-4;
- `cpu`: the same forward against a CPU's: 1e-3 (products are summed in another order);
- `micro_batches`: ||difference|| / ||gradient|| of all adapters, one batch of eight against
  four of two: 1e-5;
- `checkpointing`: the same, with gradient checkpointing: 1e-5.
"""
from __future__ import annotations

import traceback

import torch
from gpu_size import load_small

from nanoreason.data.prepare import prepare
from nanoreason.environment import choose_device
from nanoreason.model.adapters import adapter_parameters
from nanoreason.model.base import NANO, load_tokenizer
from nanoreason.model.decoding import CACHE, GrowingCache
from nanoreason.model.router import RouteState
from nanoreason.model.tokens import collate, tag_ids
from nanoreason.training import attach_adapters, route, step_aware_loss
from nanoreason.training.loss import group_counts, last_hidden
from nanoreason.training.train import encode_records

BARS = {"cached": 1e-4, "cpu": 1e-3, "micro_batches": 1e-5, "checkpointing": 1e-5}


def routed_model(quantisation: str, device: torch.device):
    """The nano base with two adapters that both say something."""
    model = attach_adapters(load_small(NANO, quantisation, device), 16, 32.0)
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                noise = torch.randn(parameter.shape, generator=generator)
                parameter.copy_(0.02 * noise.to(device))
    return model.eval()


def full_logits(model, batch: dict, tag: list[int]) -> torch.Tensor:
    """(B, T, V) of one forward of right-padded rows."""
    mask = route(batch["input_ids"], batch["attention_mask"], batch["prompt_lengths"], tag)
    with model.router.full(mask), torch.no_grad():
        return model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"],
                     use_cache=False).logits


def cached_logits(model, rows: list, tag: list[int], pad: int) -> list[torch.Tensor]:
    """For each row the logits behind its prompt: prompts left-padded, then token by token."""
    device, width = model.device, max(row.prompt_length for row in rows)
    prompts = torch.full((len(rows), width), pad, device=device)
    real = torch.zeros_like(prompts)
    for place, row in enumerate(rows):
        start = width - row.prompt_length
        prompts[place, start:] = torch.tensor(row.input_ids[:row.prompt_length], device=device)
        real[place, start:] = 1
    state = RouteState(len(rows), tag, device=device)
    cache, tokens, searched = GrowingCache(), prompts, real.bool() & False
    steps, logits = max(len(row) - row.prompt_length for row in rows), []
    for step in range(steps):
        positions = (real.cumsum(1) - 1).clamp(min=0)[:, -tokens.shape[1]:]
        with model.router.cached(state, tokens, cache, searched), torch.no_grad():
            output = model(input_ids=tokens, attention_mask=real, position_ids=positions,
                           use_cache=True, logits_to_keep=1, **{CACHE: cache})
        cache, searched = getattr(output, CACHE), None
        logits.append(output.logits[:, -1])
        tokens = torch.tensor([[row.input_ids[min(row.prompt_length + step, len(row) - 1)]]
                               for row in rows], device=device)
        real = torch.cat([real, torch.ones_like(tokens)], 1)
    stacked = torch.stack(logits, 1)  # (B, steps, V)
    return [stacked[place, :len(row) - row.prompt_length] for place, row in enumerate(rows)]


def from_cpu(quantisation: str, full: torch.Tensor, batch: dict, tag: list[int]
             ) -> float | None:
    """Largest |difference| of logits from a CPU's; None where the 4-bit CPU code is missing."""
    try:
        plain = routed_model(quantisation, torch.device("cpu"))
        on_cpu = full_logits(plain, batch, tag)
    except Exception:  # told in the log; the other three numbers do not need it
        if quantisation == "none":
            raise
        traceback.print_exc()
        return None
    return (full.cpu() - on_cpu)[batch["attention_mask"].bool()].abs().max().item()


def gradient(model, batches: list[dict], tag: list[int]) -> torch.Tensor:
    """All adapters' gradients of one optimiser step, as one vector."""
    counts = sum(group_counts(batch["input_ids"], batch["groups"]) for batch in batches)
    for batch in batches:
        mask = route(batch["input_ids"], batch["attention_mask"], batch["prompt_lengths"], tag)
        with model.router.full(mask):
            hidden = last_hidden(model, input_ids=batch["input_ids"])
        step_aware_loss(hidden, batch["input_ids"], batch["groups"], [1, 1, 1, 1, 0.1],
                        head=model.get_output_embeddings(), counts=counts).total.backward()
    parameters = [p for name in model.router.names for _, p in adapter_parameters(model, name)]
    found = torch.cat([p.grad.flatten() for p in parameters])
    for parameter in parameters:
        parameter.grad = None
    return found


def run(quantisation: str) -> dict:
    """The four numbers, their bars, and whether all are met."""
    device, tokenizer = choose_device(), load_tokenizer("nano")
    tag, pad = tag_ids(tokenizer), tokenizer.pad_token_id
    rows, _ = encode_records(tokenizer, prepare("procedural", total=8, seed=3), 512)

    def batch(part, place=device):
        return {name: value.to(place) for name, value in collate(part, pad).items()}

    model = routed_model(quantisation, device)
    full = full_logits(model, batch(rows), tag)
    step_by_step = cached_logits(model, rows, tag, pad)
    cached = max((full[place, row.prompt_length - 1:len(row) - 1] - found).abs().max().item()
                 for place, (row, found) in enumerate(zip(rows, step_by_step)))
    real = batch(rows, "cpu")["attention_mask"].bool()
    model.train()
    whole = gradient(model, [batch(rows)], tag)
    parts = gradient(model, [batch(rows[i:i + 2]) for i in range(0, len(rows), 2)], tag)
    model.router.enable_checkpointing(model)
    again = gradient(model, [batch(rows)], tag)
    found = {"cached": cached, "cpu": from_cpu(quantisation, full, batch(rows, "cpu"), tag),
             "micro_batches": ((whole - parts).norm() / whole.norm()).item(),
             "checkpointing": ((whole - again).norm() / whole.norm()).item()}
    return {"device": str(device), "found": found, "bars": BARS,
            "largest_logit": full[real.to(device)].abs().max().item(),
            "passed": all(found[name] is not None and found[name] <= bar
                          for name, bar in BARS.items())}
