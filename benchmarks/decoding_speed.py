"""How fast two adapters decode, beside `generate` of transformers with one adapter.

    python benchmarks/decoding_speed.py test.jsonl.gz [--base NAME] [--device cuda]

Two comparisons on the same machine and model, in one run. Every variant writes the same
texts, the rules' own traces of GSM8K test questions, token for token (see `scripted`), so
that all do the same work whatever the adapters know.

- *decoding*: one batch, every trace cut to the same number of tokens, with VERIFY's tag in
  it: tokens per second of `dual` (routed, both adapters) and of `single` (one plain adapter
  and `generate`).
- *evaluation*: traces of their own lengths, from the question as text to the trace as text:
  `ours` (`generate_traces`, as many rows as a budget of tokens allows, new ones joining where
  others end), `plain_4` (`generate` with batches of 4 in the order of the problems) and
  `plain_wide` (the same with as many rows as ours begins with, in the first round alone).
  They write a seeded draw of the questions, `plain_4` the first few of it. Seconds are taken
  to all 1,319 questions: those of ours by the tokens that are to be written; those of `plain`
  by its forward passes, as many in each batch as its longest trace has tokens, which are
  counted over all traces in the order of the problems.

`dual` and `ours` decode under `dequantized`, as `03_evaluate` does; `plain` has one adapter of the
same rank, not merged, left padding and a cache, as one would write it down. A short decoding
goes first and is not counted. Tokens are those written, the end token left out.
"""
from __future__ import annotations

import random
import time
from contextlib import nullcontext
from pathlib import Path

import torch
from result import write_result
from scripted import Script
from speed import (PeakMemory, arguments, base_label, judged, load, measure_one, median, ratio,
                   run_rounds, surroundings, wait_for)
from training_loops import ALPHA, RANK, plain_adapter

from nanoreason.data import filter_traces, load_problems, teach
from nanoreason.evaluation import generate_traces
from nanoreason.model.decoding import Request, generate, rows_that_fit
from nanoreason.model.base import load_tokenizer
from nanoreason.data.problem import Problem
from nanoreason.training import attach_adapters
from nanoreason.model.tokens import encode, prompt_ids, tag_ids
from nanoreason.model.adapters import dequantized

QUESTIONS = 1319  # of GSM8K's test set
SMALL = 4  # rows of the batch that is compared with
DECODING, EVALUATION = ("dual", "single"), ("ours", "plain_4", "plain_wide")
FIELDS = ("tokens_per_second", "peak_bytes_above_model")


def plain_generate(model, tokenizer, prompts: list[list[int]], longest: int) -> list[str]:
    """The texts that `generate` of transformers writes for one batch, greedily."""
    batch = tokenizer.pad({"input_ids": prompts}, padding_side="left", return_tensors="pt")
    ids = batch["input_ids"].to(model.device)
    output = model.generate(
        input_ids=ids, attention_mask=batch["attention_mask"].to(model.device),
        max_new_tokens=longest, do_sample=False, eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id)
    return tokenizer.batch_decode(output[:, ids.shape[1]:], skip_special_tokens=True)


def in_order(model, tokenizer, rows: list[dict], size: int, longest: int) -> list[str]:
    """An evaluation as one would write it down: batches of `size` in the order given."""
    written = []
    for start in range(0, len(rows), size):
        prompts = [prompt_ids(tokenizer, row["question"]) for row in rows[start:start + size]]
        written += plain_generate(model, tokenizer, prompts, longest)
    return written


def decode(variant: str, model, tokenizer, rows: list[dict], job: dict) -> int:
    """Write all rows; returns how many texts came out."""
    longest = max(len(row["tokens"]) for row in rows) + 1
    if variant == "dual":
        requests = [Request(row["prompt"], len(row["prompt"])) for row in rows]
        return sum(map(len, generate(model, tokenizer, requests, tag_ids(tokenizer), longest,
                                     10**9)))
    if variant == "single":
        return len(plain_generate(model, tokenizer, [row["prompt"] for row in rows], longest))
    if variant == "ours":
        asked = [{"problem_id": row["id"], "sample": 0, "question": row["question"], "text": ""}
                 for row in rows]
        return len(list(generate_traces(model, tokenizer, asked, job["max_new_tokens"],
                                        job["batch_tokens"])))
    size = SMALL if variant == "plain_4" else job["wide"]
    return len(in_order(model, tokenizer, rows, size, job["max_new_tokens"]))


def measure(variant: str, job: dict) -> dict:
    """One variant once: a few tokens to warm up, then all rows."""
    torch.manual_seed(job["seed"])
    rows = job["batch"] if variant in DECODING else job["questions"]
    rows = rows[:job["small"]] if variant == "plain_4" else rows
    model, tokenizer = load(job["base"], job["device"])
    with PeakMemory(model.device) as memory:
        model = (attach_adapters(model, RANK, ALPHA) if variant in ("dual", "ours")
                 else plain_adapter(model)).eval()
        texts = {tuple(row["prompt"]): row["tokens"] for row in rows}
        script = Script(model, {prompt: tokens[:4] for prompt, tokens in texts.items()},
                        tokenizer.eos_token_id, tokenizer.pad_token_id)
        with dequantized(model) if variant in ("dual", "ours") else nullcontext():
            decode(variant, model, tokenizer, rows[:SMALL], job)
            script.texts, script.written, script.steps = texts, 0, 0
            wait_for(model.device)
            began = time.perf_counter()
            decoded = decode(variant, model, tokenizer, rows, job)
            wait_for(model.device)
            seconds = time.perf_counter() - began
    wanted = sum(len(row["tokens"]) for row in rows)
    if decoded != len(rows) or script.written != wanted:
        raise RuntimeError(f"{variant} wrote {decoded} texts and {script.written} tokens; "
                           f"asked for were {len(rows)} and {wanted}")
    return {"seconds": seconds, "texts": decoded, "tokens": wanted, "steps": script.steps,
            "tokens_per_second": wanted / seconds, "peak_bytes_above_model": memory.above}


def scripted_rows(options) -> list[dict]:
    """The test questions that the rules can teach, with the traces to be written, in order."""
    tokenizer = load_tokenizer(options.base)
    problems = [p for p in load_problems("gsm8k", options.data, "test") if isinstance(p, Problem)]
    kept, _ = filter_traces(zip(problems, teach(problems)))
    rows = []
    for problem, trace in kept:
        encoded = encode(tokenizer, problem.question, trace, 10**6)
        prompt, tokens = (encoded.input_ids[:encoded.prompt_length],
                          encoded.input_ids[encoded.prompt_length:-1])
        if len(tokens) < options.max_new_tokens:
            rows.append({"id": problem.id, "question": problem.question, "prompt": prompt,
                         "tokens": tokens})
    return rows


def whole_work(lengths: list[int], wide: int) -> dict[str, float]:
    """What each variant has to do for all 1,319 questions: tokens, or forward passes.

    lengths: tokens of the traces in the order of the problems; the questions without a
    trace are taken to be like the others.
    """
    def steps(size: int) -> int:
        return sum(max(lengths[i:i + size]) + 1 for i in range(0, len(lengths), size))

    scale = QUESTIONS / len(lengths)
    return {"ours": scale * sum(lengths), "plain_4": scale * steps(SMALL),
            "plain_wide": scale * steps(wide)}


def cut_rows(rows: list[dict], tokenizer, count: int, length: int) -> list[dict]:
    """`count` rows of exactly `length` tokens, VERIFY's tag a good half of the way in."""
    tag, start = tag_ids(tokenizer), length // 2
    found = [row | {"tokens": row["tokens"][:start] + tag + row["tokens"][start:length - len(tag)]}
             for row in rows if len(row["tokens"]) >= length]
    if len(found) < count:
        raise ValueError(f"{len(found)} traces have {length} tokens, {count} are needed; "
                         "lower --new-tokens or --rows")
    return found[:count]


def summarise(rounds: dict[str, list[dict]], work: dict[str, float]) -> dict:
    """Medians, whole evaluations, and ratios of ours to plain `generate` with their bars.

    work: see `whole_work`. A ratio is one of speeds: above 1, ours is faster.
    """
    whole = {name: [work[name] * r["seconds"] / r["tokens" if name == "ours" else "steps"]
                    for r in rounds[name]] for name in EVALUATION}
    ratios = {"decoding": judged(ratio(rounds, "dual", "single", "tokens_per_second"), 0.95)}
    ratios |= {f"evaluation_{name}": median([other / own for own, other in
                                             zip(whole["ours"], whole[name])])
               for name in EVALUATION[1:]}
    ratios["evaluation_plain_4"] = judged(ratios["evaluation_plain_4"], 5.0)
    return {"medians": {name: {field: median([r[field] for r in results]) for field in FIELDS}
                        for name, results in rounds.items()},
            "whole_evaluation_seconds": {name: median(found) for name, found in whole.items()},
            "ours_to_other": ratios}


def main(options) -> None:
    """All rounds, the result file, and the ratios on the screen."""
    began, tokenizer = time.perf_counter(), load_tokenizer(options.base)
    rows = scripted_rows(options)
    lengths = [len(row["tokens"]) for row in rows]
    random.Random(options.seed).shuffle(rows)
    questions = rows[:options.questions]
    longest_first = sorted((len(row["prompt"]) for row in questions), reverse=True)
    wide = rows_that_fit([], longest_first, options.max_new_tokens, options.batch_tokens)
    settings = {"rank": RANK, "alpha": ALPHA, "rows": options.rows,
                "new_tokens": options.new_tokens, "questions": len(questions),
                "small": min(options.small, len(questions)), "wide": wide,
                "batch_tokens": options.batch_tokens,
                "max_new_tokens": options.max_new_tokens, "seed": options.seed}
    job = settings | {"base": options.base, "device": options.device, "questions": questions,
                      "batch": cut_rows(rows, tokenizer, options.rows, options.new_tokens)}
    rounds = run_rounds(Path(__file__), DECODING + EVALUATION[:2], job, options.rounds)
    rounds |= run_rounds(Path(__file__), EVALUATION[2:], job, 1)
    work = whole_work(lengths, settings["wide"])
    result = {"base": base_label(options.base), "device": options.device,
              "data": {"source": "GSM8K test, traces of the rules", "taught": len(rows),
                       "mean_tokens": sum(lengths) / len(lengths)},
              "settings": settings, "whole_work": work, **summarise(rounds, work),
              "rounds": rounds, "seconds": round(time.perf_counter() - began, 1),
              "environment": surroundings(options.device)}
    print(write_result(options.out, result))
    for name, value in result["ours_to_other"].items():
        print(f"{name}: {value['median']:.2f} of {', '.join(f'{v:.2f}' for v in value['rounds'])}")


if __name__ == "__main__":
    parser = arguments("decoding-speed", "decoding and a whole evaluation beside plain generate")
    parser.add_argument("--rows", type=int, default=16)
    parser.add_argument("--new-tokens", type=int, default=96)
    parser.add_argument("--questions", type=int, default=64)
    parser.add_argument("--small", type=int, default=8)
    parser.add_argument("--batch-tokens", type=int, default=49152)
    parser.add_argument("--max-new-tokens", type=int, default=512)
    given = parser.parse_args()
    measure_one(given, measure) if given.measure else main(given)
