"""Does VERIFY pay in a larger model? The jobs of `gpu.py`'s part "size", one a process.

    text     the base's text, made by several processes, as one array of token ids
    data     encoded training traces of a seed; and, of seed 0, the problems to be solved
    base     a base of some size trained from nothing on a text
    pair     two adapters on a base, then 1,000 natural, injected and clean problems each

Three texts: `99` is the default, whose stories and drills stop at 99 while tuning and tests go to
199; `199` has the same stories and drills on the numbers of the tuning problems; `columns` is
that of `gpu_columns`, with traces of its own. All else is the committed recipes: `nano.RECIPE`,
and the batches and adapters of the profile nano.

Precision: bases are trained in bfloat16 products with float32 weights (autocast). Adapters and
decoding are float32 on an NF4 base, as in the committed run on a CPU: at these sizes a GPU's
time goes into launches, and a half type would add some.

Learning rates fall with the width, of bases and adapters alike: rate = rate at width 128 *
128 / width, the rule for hidden weights under Adam (Yang et al. 2022, "Tensor Programs V",
arXiv:2203.03466, table 3); the spread of the first weights falls with its root.
"""
from __future__ import annotations

import gzip
import json
import math
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from itertools import islice
from pathlib import Path

import numpy as np
from gpu_columns import documents as by_columns
from gpu_columns import large_problems, training_rows
from gpu_jobs import TEXTS
from tokenizers import Tokenizer

from nanoreason.data.procedural import BASE_SCALE, SCALE
from nanoreason.files import to_json, write_text
from nanoreason.model.base_text import documents
from nanoreason.paths import ASSETS

SIZES = {  # about 1, 4 and 16 million parameters; heads of width 32
    "1m": {"hidden_size": 128, "layers": 4, "intermediate_size": 384, "heads": 4},
    "4m": {"hidden_size": 256, "layers": 5, "intermediate_size": 768, "heads": 8},
    "16m": {"hidden_size": 384, "layers": 8, "intermediate_size": 1152, "heads": 12},
}
PLAIN = {"99": BASE_SCALE, "199": SCALE}
WIDTH = 128  # of the model that the learning rates were found for
CACHE = 3 * 262_144 * 384 * 8  # numbers of keys that a decoding batch may hold in all layers
END = "<|endoftext|>"
BLOCK = 16  # steps whose documents are sorted by length together, as in `nano`


def scaled(size: str, recipe: dict) -> dict:
    """A recipe for width 128, for another size."""
    width = SIZES[size]["hidden_size"]
    return recipe | SIZES[size] | {
        "learning_rate": recipe["learning_rate"] * WIDTH / width,
        "initializer_range": 0.05 * math.sqrt(WIDTH / width)}


def _part(task: tuple[str, int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Token ids of some documents in a row, and (count, 2) lengths of question and solution."""
    text, seed, count = task
    stream = by_columns(seed) if text == "columns" else documents(seed, PLAIN[text])
    pairs = list(islice(stream, count))
    tokenizer = Tokenizer.from_file(str(ASSETS / "nano" / "tokenizer.json"))
    sides = [[found.ids for found in tokenizer.encode_batch(side, add_special_tokens=False)]
             for side in ([p for p, _ in pairs], [s + END for _, s in pairs])]
    lengths = np.array([[len(p), len(s)] for p, s in zip(*sides)], dtype=np.int32)
    return np.concatenate([np.array(p + s, dtype=np.uint16) for p, s in zip(*sides)]), lengths


def make_text(text: str, plan: dict, work: Path) -> dict:
    """All documents that a base reads, and which tokens of the vocabulary they never hold."""
    total = plan["steps"] * plan["documents_per_step"]
    each = -(-total // plan["text_parts"])
    # Seeds far from those of the shipped base's own stream.
    tasks = [(text, 1_000_000 + part, min(each, total - part * each))
             for part in range(plan["text_parts"]) if part * each < total]
    with ProcessPoolExecutor(plan["text_workers"]) as pool:
        parts = list(pool.map(_part, tasks))
    ids, lengths = (np.concatenate(found) for found in zip(*parts))
    np.save(work / f"text-{text}.ids.npy", ids)
    np.save(work / f"text-{text}.lengths.npy", lengths)
    held = np.bincount(ids, minlength=2**16)
    return {"documents": len(lengths), "tokens": len(ids),
            "kinds_of_token": int((held > 0).sum())}


def read_text(text: str, work: Path) -> tuple[np.ndarray, np.ndarray]:
    """What `make_text` wrote: (tokens,) ids and (documents, 2) lengths."""
    return (np.load(work / f"text-{text}.ids.npy", mmap_mode="r"),
            np.load(work / f"text-{text}.lengths.npy"))


def text_batches(ids: np.ndarray, lengths: np.ndarray, size: int, pad: int, seed: int
                 ) -> Iterator[tuple]:
    """(input_ids, labels) of every step, as `nano` makes them: (B, T) int64 tensors."""
    import torch

    order, whole = np.random.default_rng(seed), lengths.sum(1)
    starts = np.concatenate([[0], whole.cumsum()[:-1]])
    for first in range(0, len(whole), BLOCK * size):
        block = first + np.argsort(whole[first:first + BLOCK * size], kind="stable")
        for place in order.permutation(len(block) // size):
            rows = block[place * size:(place + 1) * size]
            column = np.arange(whole[rows].max())
            real = column < whole[rows, None]  # (B, T)
            at = np.where(real, starts[rows, None] + column, 0)
            batch = np.where(real, ids[at], pad).astype(np.int64)
            learned = real & (column >= lengths[rows, :1])
            yield (torch.from_numpy(batch),
                   torch.from_numpy(np.where(learned, batch, -100)))


def make_data(recipe: str, seed: int, plan: dict, work: Path) -> dict:
    """Encoded rows of a seed; with the default ones of seed 0 also the rows to be completed."""
    import torch

    from nanoreason.data import load_problems, teach
    from nanoreason.data.prepare import prepare
    from nanoreason.evaluation.generate import given_rows, natural_rows
    from nanoreason.model.base import load_tokenizer
    from nanoreason.training.train import encode_records

    tokenizer = load_tokenizer("nano")
    if recipe == "99":
        records = prepare("procedural", total=plan["traces"], seed=seed)
        rows, counts = encode_records(tokenizer, records, 512)
    else:
        rows = training_rows(tokenizer, seed, plan["traces"], plan["traces"] // 3, recipe)
        counts = {"rows": len(rows)}
    torch.save([(row.input_ids, row.groups, row.prompt_length) for row in rows],
               work / f"data-{recipe}-{seed}.pt")
    if recipe == "99" and seed == 0:
        problems = list(load_problems("procedural", None, "test", count=plan["problems"],
                                      seed=0))
        given = given_rows(zip(problems, teach(problems)), 0)
        large = list(large_problems(plan["problems"] // 2, 0))
        write_text(work / "problems.json", to_json(natural_rows(problems + large) + given))
    return counts


def train_base(size: str, text: str, plan: dict, work: Path) -> dict:
    """A base from nothing; how it went, capturing of graphs included."""
    import torch

    from gpu_loops import train_model

    from nanoreason.environment import choose_device, choose_dtype
    from nanoreason.model.base import load_tokenizer
    from nanoreason.model.nano import END, PAD, RECIPE, RESERVED, new_model, settle_embeddings

    tokenizer, device = load_tokenizer("nano"), choose_device()
    recipe = scaled(size, RECIPE | {name: plan[name] for name in
                                    ("steps", "documents_per_step", "warmup_steps")})
    ids, lengths = read_text(text, work)
    held = set(np.flatnonzero(np.bincount(ids, minlength=len(tokenizer))).tolist())
    known = held | set(tokenizer.convert_tokens_to_ids([END, PAD, *RESERVED]))
    dtype, model = choose_dtype(device)[0], new_model(recipe, tokenizer).to(device)
    log = train_model(model, text_batches(ids, lengths, plan["documents_per_step"],
                                          tokenizer.pad_token_id, recipe["seed"]),
                      recipe, dtype, tokenizer.pad_token_id)
    settle_embeddings(model, tokenizer, [token for token in range(len(tokenizer))
                                         if token not in known], recipe["seed"])
    model.save_pretrained(work / f"base-{size}-{text}")
    return {"size": size, "text": text, "recipe": recipe, **log, "dtype": str(dtype),
            "parameters": sum(p.numel() for p in model.parameters()),
            "training_seconds": log["seconds"],
            "peak_gpu_bytes": torch.cuda.max_memory_allocated() if torch.cuda.is_available()
            else None}


def load_small(folder: Path, quantisation: str, device=None):
    """A base in float32, on the GPU if there is one; NF4 computes in float32 too."""
    import torch
    from transformers import BitsAndBytesConfig, Qwen2ForCausalLM

    from nanoreason.environment import choose_device

    options = {} if quantisation == "none" else {"quantization_config": BitsAndBytesConfig(
        load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=torch.float32)}
    return Qwen2ForCausalLM.from_pretrained(folder, dtype=torch.float32,
                                            device_map={"": device or choose_device()},
                                            **options)


def train_pair(size: str, recipe: str, seed: int, plan: dict, work: Path) -> dict:
    """The adapters of a seed on a base, and what they are worth; see `gpu_scores`."""
    import torch
    from gpu_loops import tune_adapters
    from gpu_scores import scores

    from nanoreason.evaluation import generate_traces
    from nanoreason.model.adapters import dequantized, save_adapters
    from nanoreason.model.base import load_tokenizer
    from nanoreason.model.tokens import Encoded, tag_ids
    from nanoreason.params import TrainParams
    from nanoreason.training import attach_adapters

    tokenizer, began = load_tokenizer("nano"), time.monotonic()
    name = f"pair-{size}-{recipe}-{seed}"
    rows = [Encoded(*row) for row in torch.load(
        work / f"data-{'99' if recipe == '199' else recipe}-{seed}.pt")]
    params = TrainParams(profile="nano-switch", run=name, seed=seed, traces=len(rows),
                         checkpoint_minutes=1000.0, quantisation=plan["quantisation"])
    params = params.model_copy(update={
        "learning_rate": params.learning_rate * WIDTH / SIZES[size]["hidden_size"]})
    model = attach_adapters(load_small(work / f"base-{size}-{TEXTS[recipe]}", params.quantisation),
                            params.rank, params.alpha, params.dropout, seed, params.routing)
    folder = work / name
    asked = [row for row in json.loads((work / "problems.json").read_text())
             if row["setting"] == "natural" or recipe not in ("right", "careful")]
    places = {(row["setting"], row["problem_id"]): place for place, row in enumerate(asked)}
    layers = SIZES[size]["hidden_size"] * SIZES[size]["layers"]
    with dequantized(model):
        tuning = tune_adapters(model, rows, params, tag_ids(tokenizer), tokenizer.pad_token_id)
        model.eval()
        tuned = time.monotonic()
        save_adapters(model, folder / "adapters", f"nanoreason/{size}-{TEXTS[recipe]}")
        written = list(generate_traces(model, tokenizer, asked, plan["max_new_tokens"],
                                       CACHE // layers))
    generated = time.monotonic() - tuned
    written.sort(key=lambda row: places[row["setting"], row["problem_id"]])
    with gzip.open(work / f"{name}.jsonl.gz", "wt") as file:
        for row in written:
            file.write(to_json({"cell": f"{size}-{recipe}", "seed": seed} | {
                key: row[key] for key in ("setting", "split", "problem_id", "gold", "planted",
                                          "text")}) + "\n")
    losses = tuning.pop("losses")
    return {"size": size, "recipe": recipe, "seed": seed, "quantisation": params.quantisation,
            "learning_rate": params.learning_rate, "tokens": sum(map(len, rows)), **tuning,
            "first_loss": losses[0], "last_loss": sum(losses[-50:]) / len(losses[-50:]),
            "tuning_seconds": tuned - began, "generation_seconds": generated,
            **scores(written)}
