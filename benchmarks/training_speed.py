"""How fast the adapters are trained, and in how much memory, beside two other ways to do it.

    pip install -r benchmarks/requirements.txt
    python benchmarks/training_speed.py train_socratic.jsonl.gz [--base NAME] [--device cuda]

Compared, on the same machine, model and traces, in one run (see `training_loops`):

- `ours`: two adapters, micro-batches of similar length, logits of supervised positions only.
- `original`: one adapter, one sample at a time padded to 1,024, logits of everything.
- `original_longest`: the same, padded to the longest of the traces.
- `original_unpadded`: the same without padding at all, the most that its shape allows.
- `trl`: TRL's `SFTTrainer`, one adapter, the same batches.

What is fair here. All see the same traces, drawn by seed: GSM8K train problems as the rules
write them, half with an injected error. The traces of `original`, whose cost does not depend
on the trace, are the first few of them. A short training on other traces goes first and is
not counted; then one epoch is timed, from the first batch to the last optimiser step.
Supervised tokens are counted alike for all, as ours supervises them, so that nothing is
gained by a loss on the question. Gradient checkpointing is off everywhere: ours bounds its
memory by the tokens of a micro-batch (`--micro-batch-tokens`), TRL by its rows
(`--trl-rows`: choose what is fastest; on a CPU large micro-batches lose to page faults).
"""
from __future__ import annotations

import tempfile
import time
from pathlib import Path

import torch
from result import write_result
from speed import (PeakMemory, arguments, base_label, judged, load, measure_one, median, ratio,
                   run_rounds, surroundings, wait_for)
from training_loops import ALPHA, DROPOUT, PADDED, RANK, original, ours, trl

from nanoreason.data.prepare import prepare
from nanoreason.model.tokens import IGNORE
from nanoreason.model.base import load_tokenizer
from nanoreason.model.tokens import Encoded
from nanoreason.training.train import encode_records

VARIANTS = ("ours", "original", "original_longest", "original_unpadded", "trl")
# Other variant, field, bar, whether ours / other is to be at most that.
BARS = (("original", "samples_per_second", 4.0, False),
        ("original_longest", "samples_per_second", 1.5, False),
        ("trl", "samples_per_second", 1.0, False),
        ("original", "peak_bytes_above_model", 0.5, True))
FIELDS = ("samples_per_second", "supervised_tokens_per_second", "peak_bytes_above_model")


def loop(variant: str, model, tokenizer, job: dict, folder: Path):
    """The loop of a variant, ready to train."""
    if variant == "ours":
        return ours(model, tokenizer, job, folder)
    if variant == "trl":
        return trl(model, tokenizer, job, folder)
    return original(model, tokenizer, job, {
        "original": lambda rows, row: PADDED,
        "original_longest": lambda rows, row: job["longest"],
        "original_unpadded": lambda rows, row: len(row)}[variant])


def measure(variant: str, job: dict) -> dict:
    """One variant once: warm-up, then the measured traces."""
    torch.manual_seed(job["seed"])
    warm, rows = ([Encoded(**row) for row in job[name]] for name in ("warm", "rows"))
    if variant == "original":
        warm, rows = warm[:job["padded_warm"]], rows[:job["padded_traces"]]
    model, tokenizer = load(job["base"], job["device"])
    with tempfile.TemporaryDirectory() as folder, PeakMemory(model.device) as memory:
        train = loop(variant, model, tokenizer, job, Path(folder))
        train(warm)
        wait_for(model.device)
        seconds = train(rows)
        wait_for(model.device)
    return figures(rows, seconds, memory.above)


def figures(rows: list[Encoded], seconds: float, peak: int) -> dict:
    """What one measurement comes to."""
    supervised = sum(group != IGNORE for row in rows for group in row.groups)
    return {"seconds": seconds, "samples": len(rows), "tokens": sum(map(len, rows)),
            "supervised_tokens": supervised, "samples_per_second": len(rows) / seconds,
            "supervised_tokens_per_second": supervised / seconds,
            "peak_bytes_above_model": peak}


def encoded_rows(options) -> tuple[list[Encoded], list[Encoded], int]:
    """Rows to warm up with, rows to measure, and how many of those hold an injected error."""
    total = options.warm + options.traces
    records = prepare(options.data, total=total, seed=options.seed)
    rows, counts = encode_records(load_tokenizer(options.base), records, PADDED)
    if len(rows) < total:
        raise ValueError(f"{counts['too_long']} of {total} traces are longer than {PADDED} "
                         "tokens; choose another --seed")
    planted = sum(record["planted"] is not None for record in records[options.warm:])
    return rows[:options.warm], rows[options.warm:], planted


def summarise(rounds: dict[str, list[dict]]) -> dict:
    """Medians of every variant, and ratios of ours to the others beside their bars."""
    others = [name for name in rounds if name != "ours"]
    ratios = {other: {field: ratio(rounds, "ours", other, field) for field in FIELDS}
              for other in others}
    for other, field, bar, at_most in BARS:
        if other in ratios:
            ratios[other][field] = judged(ratios[other][field], bar, at_most)
    return {"medians": {name: {field: median([r[field] for r in results]) for field in FIELDS}
                        for name, results in rounds.items()},
            "ours_to_other": ratios}


def main(options) -> None:
    """All rounds, the result file, and the ratios on the screen."""
    began = time.perf_counter()
    warm, rows, planted = encoded_rows(options)
    settings = {"rank": RANK, "alpha": ALPHA, "dropout": DROPOUT,
                "batch_size": options.batch_size, "micro_batch_size": options.micro_batch_size,
                "micro_batch_tokens": options.micro_batch_tokens, "trl_rows": options.trl_rows,
                "padded_traces": min(options.padded_traces, len(rows)),
                "padded_warm": min(options.padded_warm, len(warm)),
                "warm_traces": len(warm), "longest": max(map(len, rows)), "seed": options.seed}
    job = settings | {"base": options.base, "device": options.device,
                      "warm": [vars(row) for row in warm], "rows": [vars(row) for row in rows]}
    rounds = run_rounds(Path(__file__), options.variants, job, options.rounds)
    result = {"base": base_label(options.base), "device": options.device,
              "data": {"source": "GSM8K, traces of the rules", "traces": len(rows),
                       "planted": planted, "tokens": sum(map(len, rows)),
                       "supervised_tokens": figures(rows, 1, 0)["supervised_tokens"]},
              "settings": settings, **summarise(rounds), "rounds": rounds,
              "seconds": round(time.perf_counter() - began, 1),
              "environment": surroundings(options.device, "trl")}
    print(write_result(options.out, result))
    for other, fields in result["ours_to_other"].items():
        print(f"ours / {other}: " + ", ".join(
            f"{field} {value['median']:.2f}" for field, value in fields.items()))


if __name__ == "__main__":
    parser = arguments("training-speed", "training beside the original's loop and TRL")
    parser.add_argument("--traces", type=int, default=16)
    parser.add_argument("--warm", type=int, default=4)
    parser.add_argument("--padded-traces", type=int, default=8)
    parser.add_argument("--padded-warm", type=int, default=2)
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--micro-batch-size", type=int, default=4)
    parser.add_argument("--micro-batch-tokens", type=int, default=640)
    parser.add_argument("--trl-rows", type=int, default=2)
    parser.add_argument("--variants", nargs="+", choices=VARIANTS, default=VARIANTS)
    given = parser.parse_args()
    measure_one(given, measure) if given.measure else main(given)
