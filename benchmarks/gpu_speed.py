"""Training speed at Qwen2.5-3B's shapes on one GPU: the jobs of `gpu.py`'s part "speed".

The weights are drawn on the GPU, so nothing is downloaded; time and memory do not depend on
what they are. One process a precision (`none`: bfloat16; `nf4`: 4 bits, loaded from a folder as
the package loads it) measures one after the other, on the same traces:

- `ours`: two adapters, switched, step-aware loss (`trainer.tune`);
- `original`: the original's loop, one trace at a time padded to 1,024, on fewer traces, and
  `original_unpadded`, the most that its shape allows;
- `trl`: TRL's `SFTTrainer` with one adapter, where TRL is installed.

All loops are `training_loops`'s: rank 16 on all linear maps, AdamW, no gradient checkpointing.
Traces: procedural ones in the nano tokenizer, whose tokens are whole words and single digits,
half of them with an injected error; their ids are used as they are, all below Qwen's 151,936.
They are 97 to 354 tokens long, half of them above 210. A warm-up is not counted; each loop is
measured in rounds, ours first and TRL last, because TRL changes the model.
Memory: the most that torch held on the GPU, above what the model itself takes, and in all.
"""
from __future__ import annotations

import gc
import importlib.util
import shutil
import time
import traceback
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from peft.tuners.lora import LoraLayer
from speed import PeakMemory, judged, median, ratio, wait_for
from training_speed import figures, loop
from transformers import BitsAndBytesConfig, Qwen2Config, Qwen2ForCausalLM

from nanoreason.data.prepare import prepare
from nanoreason.environment import choose_device, choose_dtype
from nanoreason.files import write_json
from nanoreason.model.base import load_tokenizer
from nanoreason.model.tokens import IGNORE, Encoded
from nanoreason.training.train import encode_records

SHAPES = {"hidden_size": 2048, "intermediate_size": 11008, "num_hidden_layers": 36,
          "num_attention_heads": 16, "num_key_value_heads": 2, "vocab_size": 151_936,
          "tie_word_embeddings": True, "max_position_embeddings": 32_768}
SMALL = SHAPES | {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2,
                  "vocab_size": 2048, "num_attention_heads": 4}
FIELDS = ("samples_per_second", "tokens_per_second", "peak_bytes_above_model", "peak_bytes")
BAR = 1.5  # ours to TRL in traces per second


def make_model(plan: dict, folder: Path):
    """Random weights of the shapes, in the GPU's type; written to `folder` for NF4's loader."""
    device = choose_device()
    shapes = SMALL if plan["small"] else SHAPES
    before = torch.get_default_dtype()
    torch.set_default_dtype(choose_dtype(device)[0])
    try:
        with device:
            model = Qwen2ForCausalLM(Qwen2Config(**shapes, pad_token_id=None))
    finally:
        torch.set_default_dtype(before)
    shutil.rmtree(folder, ignore_errors=True)
    model.save_pretrained(folder)
    return model


def load_nf4(folder: Path):
    """The same weights in 4 bits, as the package loads it."""
    device = choose_device()
    dtype = choose_dtype(device)[0]
    return Qwen2ForCausalLM.from_pretrained(
        folder, dtype=dtype, device_map={"": device}, quantization_config=BitsAndBytesConfig(
            load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True,
            bnb_4bit_compute_dtype=dtype))


def detach(model) -> None:
    """Take all adapters off a base model again."""
    for module in list(model.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, LoraLayer):
                setattr(module, name, child.base_layer)
    if hasattr(model, "peft_config"):
        del model.peft_config


def traces(plan: dict) -> tuple[list[Encoded], list[Encoded]]:
    """Rows to warm up with, and rows to measure."""
    total = plan["warm"] + plan["traces"]
    rows, _ = encode_records(load_tokenizer("nano"), prepare("procedural", total=total, seed=7),
                             1024)
    return rows[:plan["warm"]], rows[plan["warm"]:]


def measure(variant: str, model, tokenizer, plan: dict, warm: list[Encoded],
            rows: list[Encoded]) -> list[dict]:
    """One loop: a warm-up, then `rounds` times the measured traces."""
    job = {"base": "qwen2.5-3b-shapes", "batch_size": plan["batch"], "seed": 0,
           "micro_batch_size": plan["rows"], "micro_batch_tokens": 1024 * plan["rows"],
           "trl_rows": plan["rows"], "longest": max(map(len, rows)), "profile": "gpu-bf16"}
    if variant.startswith("original"):
        warm, rows = warm[:plan["padded_warm"]], rows[:plan["padded"]]
    found, whole = [], torch.cuda.is_available()
    with TemporaryDirectory() as folder:
        held = torch.cuda.memory_allocated() if whole else 0
        train = loop(variant, model, tokenizer, job, Path(folder))
        train(warm)
        for _ in range(plan["rounds"]):
            wait_for(model.device)
            with PeakMemory(model.device) as memory:
                began = time.perf_counter()
                train(rows)
                wait_for(model.device)
                seconds = time.perf_counter() - began
            peak = torch.cuda.max_memory_allocated() if whole else 0
            above = peak - held if whole else memory.above
            found.append(figures(rows, seconds, above) | {
                "tokens_per_second": sum(map(len, rows)) / seconds,
                "peak_bytes": peak if whole else None})
    detach(model)
    return found


def variants() -> tuple[str, ...]:
    """What can be measured here; TRL changes the model, so it comes last."""
    here = [name for name in ("trl",) if importlib.util.find_spec(name)]
    return "ours", "original_unpadded", "original", *here


def summarise(rounds: dict[str, list[dict]]) -> dict:
    """Medians of every loop, and ratios of ours to the others, that to TRL beside its bar."""
    medians = {name: {field: median([one[field] for one in found]) for field in FIELDS
                      if found[0][field] is not None} for name, found in rounds.items()}
    ratios = {other: {field: ratio(rounds, "ours", other, field) for field in medians[other]
                      if rounds[other][0][field]}
              for other in rounds if other != "ours" and "ours" in rounds}
    if "trl" in ratios:
        speed = ratios["trl"]["samples_per_second"]
        ratios["trl"]["samples_per_second"] = judged(speed, BAR)
    return {"medians": medians, "ours_to_other": ratios}


def run(quantisation: str, plan: dict, work: Path) -> dict:
    """All loops in one precision; a loop that fails is told, the others go on."""
    began, plan = time.perf_counter(), plan["speed"]
    folder = work / "shapes"
    model = make_model(plan, folder) if quantisation == "none" else load_nf4(folder)
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    tokenizer, (warm, rows) = load_tokenizer("nano"), traces(plan)
    loaded = time.perf_counter() - began
    rounds, failures = {}, {}
    for variant in variants():
        torch.manual_seed(0)
        try:
            rounds[variant] = measure(variant, model, tokenizer, plan, warm, rows)
            print(variant, [round(one["samples_per_second"], 2) for one in rounds[variant]],
                  flush=True)
        except Exception:  # a comparison must not take the others with it
            failures[variant] = traceback.format_exc()[-2000:]
            print(failures[variant], flush=True)
            detach(model)
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        write_json(work / f"unfinished-{quantisation}.json", {"rounds": rounds})
    lengths = sorted(map(len, rows))
    return {"quantisation": quantisation, "parameters": model.num_parameters(),
            "model_bytes": model.get_memory_footprint(), "load_seconds": loaded,
            "traces": {"count": len(rows), "tokens": sum(lengths), "shortest": lengths[0],
                       "longest": lengths[-1], "median": lengths[len(lengths) // 2],
                       "supervised_tokens": sum(group != IGNORE for row in rows
                                                for group in row.groups)},
            "dtype": str(model.dtype), **summarise(rounds), "rounds": rounds,
            "failures": failures}
