"""What the study of 15,000 traces would cost on three machines: hours, money, memory.

    python benchmarks/cost_model.py        prints the table of docs/scale.md

No run: an estimate from what was measured elsewhere, in two steps.

- Work: a forward and the gradient of its input cost 4 N floating-point operations a token for a
  base of N frozen parameters, and 2 N more where activations are computed anew (gradient
  checkpointing); the adapters' own are left out. A trace is as long as the rules' traces of GSM8K
  (`results/training-speed.json`; SmolLM2's tokens, Qwen's were not counted).
- Speed: operations a second are the peak of the machine's data sheet times a share. The lower
  share is the one that our loop reached on an H200 at the same shapes (`results/gpu.json.gz`),
  where small batches left the card waiting; SHARE is what well-fed cards reach. Two cards are
  taken to be twice one. NF4's dequantisation is left out.
- Memory: the forecast that notebook 02 prints before it trains (`batches.memory_parts`). Its
  row for the H200 stands beside what was measured there, without gradient checkpointing.

Left out on purpose: evaluation, which at this size has run nowhere, and the download.
"""
from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import torch
from gpu_speed import SHAPES
from transformers import Qwen2Config, Qwen2ForCausalLM

from nanoreason import paths
from nanoreason.figures.tables import Table
from nanoreason.files import parse, read_text
from nanoreason.model.adapters import attach_adapters
from nanoreason.params.sets import TrainParams
from nanoreason.training.batches import memory_parts

GIB = 2**30
TRACES, SHARE = 15_000, 0.4
NF4 = (0.5 + 4 / 64) / 2  # of 16-bit weights: half a byte, and a float32 scale for 64 of them


class Machine(NamedTuple):
    """peak: dense 16-bit TFLOP/s of a GPU, of its data sheet; memory: GB, of it too. dollars: an
    hour of all, of price lists of November 2026 (Kaggle; Hugging Face Jobs; Lambda). given:
    what differs from the profile."""

    name: str
    profile: str
    peak: float
    memory: int
    dollars: float
    gpus: int = 1
    given: Mapping = {}


MACHINES = (Machine("2 × T4", "kaggle-2xt4", 65, 15, 0.0, 2), Machine(
    "L4", "gpu-bf16", 121, 24, 0.8, given={"gradient_checkpointing": True}), Machine(
    "H100", "gpu-bf16", 989, 80, 3.99))
MEASURED = Machine("H200", "gpu-bf16", 989, 141, 0.0)
MEASURED_RUN = TrainParams(profile=MEASURED.profile, micro_batch_size=16,
                           micro_batch_tokens=16 * 1024, gradient_checkpointing=False)


def model():
    """Base and adapters at the shapes of Qwen2.5-3B, without their numbers."""
    with torch.device("meta"):
        base = Qwen2ForCausalLM(Qwen2Config(**SHAPES, pad_token_id=None)).to(torch.bfloat16)
        return attach_adapters(base, TrainParams().rank)


def memory(made, params: TrainParams, longest: int) -> float:
    """The forecast of memory_parts in bytes, of a base in NF4 where the parameters say so."""
    parts = memory_parts(made, params, longest)
    if params.quantisation == "nf4":
        inside = sum(p.numel() for name, p in made.named_parameters() if "base_layer" in name)
        parts["base"] -= round(2 * inside * (1 - NF4))
    return sum(parts.values())


def table() -> str:
    """A line a machine."""
    speed = parse(read_text(paths.RESULTS / "gpu.json"))["speed"]["speed-none"]
    data = parse(read_text(paths.RESULTS / "training-speed.json"))["data"]
    size, ours, made = speed["parameters"], speed["medians"]["ours"], model()
    reached = 4 * size * ours["tokens_per_second"]["median"] / (MEASURED.peak * 1e12)
    rows = []
    for machine in MACHINES:
        params = TrainParams(profile=machine.profile, **machine.given)
        work = (4 + 2 * params.gradient_checkpointing) * size * TRACES * params.epochs * (
            data["tokens"] / data["traces"])
        hours = [work / (machine.gpus * machine.peak * 1e12 * share) / 3600
                 for share in (reached, SHARE)]
        rows.append((machine.name,
                     ", ".join([f"`{machine.profile}`",
                                *(f"`{k} = {v}`" for k, v in machine.given.items())]),
                     *(f"{each:.1f}" for each in hours),
                     " to ".join(f"{machine.dollars * each:.2f}" for each in hours[::-1])
                     if machine.dollars else "none",
                     f"{memory(made, params, params.max_length) / GIB:.0f} of {machine.memory}"))
    longest = speed["traces"]["longest"]
    rows.append(("H200, the run of docs/gpu.md", "", "", "", "",
                 f"{memory(made, MEASURED_RUN, longest) / GIB:.0f}; measured "
                 f"{ours['peak_bytes']['median'] / GIB:.0f}"))
    return Table("", ("machine", "profile", f"hours at {100 * reached:.0f} % of the peak ↓",
                      f"at {100 * SHARE:.0f} % ↓", "dollars ↓", "GiB a GPU ↓"),
                 tuple(rows)).markdown(False)


if __name__ == "__main__":
    print(table())
