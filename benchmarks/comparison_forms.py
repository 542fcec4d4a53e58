"""In which written form does a small model learn to say whether two numbers are the same?

    python benchmarks/comparison_forms.py FILE START PART FORM [--seed 0] [--lines 100000]

VERIFY writes what a sum comes to, what EXECUTE had found, and the word:

    15 + 87: 5 + 7 = 12;1 + 8 + 1 = 10;15 + 87 = 102, want 112, wrong               plain
    15 + 87: 5 + 7 = 12;1 + 8 + 1 = 10;15 + 87 = 102, want 112: 22 01, wrong        pairs
    15 + 87: 5 + 7 = 12;1 + 8 + 1 = 10;15 + 87 = 102, want 112: 22y 01n 11y, wrong  flags

A pair is a digit of the sum and the same digit of the wanted number, units first, `-` for a
missing one; `pairs` stops at the first two that differ, `flags` says of all whether they do.

START: `nothing`, a new model of the nano base's size and tokenizer; `adapter`, the adapter
of profile nano on the shipped base; the loop is `nano.pretrain`. PART: `sums` asks for the
whole line on a claimed sum; `numbers` gives the two numbers and asks for what follows, so
that nothing but the comparison is learned. One claim a document, half of them wrong by
`verify_lines.slip`, numbers as in `gpu_columns.claims`.

Every hundred steps 512 other documents are read. `word`: lines with the right outcome word,
given what should stand before it; under `pairs` a list that stopped early gives it away.
`whole`: lines of which every token is the likeliest one, so that greedy decoding writes just
them. Both apart for lines whose numbers differ and are equal. A run ends at 99 % of `whole`
on both sides twice in a row, or at `--lines`; its log is written at every evaluation.
"""
from __future__ import annotations

import argparse
import json
import random
import time
from collections.abc import Callable, Iterator
from fractions import Fraction
from itertools import islice
from pathlib import Path

import torch
from gpu_columns import checked
from peft import LoraConfig, get_peft_model
from result import write_result

from nanoreason.data.problem import Step
from nanoreason.data.verify_lines import equation, slip
from nanoreason.environment import describe
from nanoreason.model import nano
from nanoreason.model.base import load_base, load_tokenizer
from nanoreason.model.base_text import drawn_step, largest_number
from nanoreason.model.tokens import prompt_text
from nanoreason.params import TrainParams

STARTS, PARTS = ("nothing", "adapter"), ("numbers", "sums")
FORMS = ("plain", "pairs", "flags")
WORDS = {"differ": "wrong", "equal": "correct"}
BAR = 0.99
EVERY, TESTS = 100, 16  # steps between two evaluations, batches in each
# The base's, with fewer lines a step: about as many claims as a step of the base reads.
SETTINGS = nano.RECIPE | {"steps": 8000, "documents_per_step": 32}


def claimed(rng: random.Random) -> tuple[Step, Fraction]:
    """A sum and the value claimed for it, wrong in every second one."""
    step = drawn_step(rng, largest_number(rng))
    wrong = rng.random() < 0.5
    return step, Fraction(slip(int(step.value), rng)) if wrong else step.value


def comparison(result: str, wanted: str, form: str) -> str:
    """What a line says behind the number that its sum comes to."""
    said, length = "", max(len(result), len(wanted))
    if form != "plain":
        both = [*zip(result[::-1].ljust(length, "-"), wanted[::-1].ljust(length, "-"))]
        if form == "pairs":
            both = both[:next((k for k, (a, b) in enumerate(both, 1) if a != b), length)]
        said = ": " + " ".join(
            f"{a}{b}{('y' if a == b else 'n') if form == 'flags' else ''}" for a, b in both)
    return f", want {wanted}{said}, {WORDS['equal' if result == wanted else 'differ']}"


def line(step: Step, found: Fraction, form: str) -> str:
    """The whole line of VERIFY for a step of which EXECUTE found the value `found`."""
    check, result, wanted = checked(step, found)
    return check + comparison(result, wanted, form)


def documents(part: str, form: str, name: str) -> Iterator[tuple[str, str]]:
    """An endless stream of (prompt, solution), one claim in each."""
    rng = random.Random(f"comparison/{name}")
    while True:
        step, found = claimed(rng)
        check, result, wanted = checked(step, found)
        said = comparison(result, wanted, form)
        told, asked = f", want {wanted}", equation(step.operator, step.left, step.right, found)
        yield (result + told, said.removeprefix(told)) if part == "numbers" else (
            prompt_text(f"Is it true that {asked}?"), check + said)


@torch.no_grad()
def accuracy(model, batches: list, word_ids: dict[str, int]) -> dict[str, dict[str, int]]:
    """Lines, those with the right word, and those that are right as a whole; see above."""
    counts = {side: {"lines": 0, "word": 0, "whole": 0} for side in word_ids}
    for ids, labels in batches:
        wanted = labels[:, 1:]
        right = (model(input_ids=ids).logits[:, :-1].argmax(-1) == wanted) | (wanted == -100)
        for side, token in word_ids.items():
            at, cell = wanted == token, counts[side]
            cell["lines"] += int(at.any(1).sum())
            cell["word"] += int((right & at).any(1).sum())
            cell["whole"] += int(right[at.any(1)].all(1).sum())
    return counts


def ids_of_words(tokenizer) -> dict[str, int]:
    """The token of the outcome word of lines whose numbers differ, and are equal."""
    return {side: tokenizer(f", {word}", add_special_tokens=False).input_ids[-1]
            for side, word in WORDS.items()}


def started(start: str, seed: int):
    """The model that goes on from the shipped base, None for a new one; the learning rate."""
    if start == "nothing":
        return None, SETTINGS["learning_rate"]
    tuning = TrainParams(profile="nano-switch", run="comparison")
    torch.manual_seed(seed)
    model = get_peft_model(load_base("nano", "none")[0], LoraConfig(
        r=tuning.rank, lora_alpha=tuning.alpha, target_modules="all-linear"))
    return model.get_base_model(), tuning.learning_rate


def run(which: dict, lines: int, write: Callable[[dict], None]) -> None:
    """One training. which: start, part, form, seed. write: takes the run as it is so far."""
    start, part, form, seed = which.values()
    tokenizer, log = load_tokenizer("nano"), []
    model, rate = started(start, seed)
    recipe = SETTINGS | {"seed": seed, "learning_rate": rate}
    steps = lines // recipe["documents_per_step"]
    if model:  # like a tuning of known length, the rate falls to nothing
        recipe["steps"] = steps
    word_ids = ids_of_words(tokenizer)
    tests = list(islice(nano.pretraining_batches(
        tokenizer, recipe, documents(part, form, f"test/{seed}")), TESTS))
    surroundings, began = describe(), time.process_time()

    def look(step: int, model, tokens: int) -> bool:
        if step % EVERY:
            return False
        log.append({"lines": step * recipe["documents_per_step"], "tokens": tokens,
                    "cpu_seconds": round(time.process_time() - began),
                    **accuracy(model, tests, word_ids)})
        print(*which.values(), json.dumps(log[-1]), flush=True)
        write(which | {"log": log, "environment": surroundings})
        return len(log) > 1 and all(entry[side]["whole"] >= BAR * entry[side]["lines"]
                                    for entry in log[-2:] for side in WORDS)

    nano.pretrain(recipe, tokenizer, model, stop_after=steps, on_log=look,
                  text=documents(part, form, f"train/{seed}"))


def main() -> None:
    """One run, put into the file in place of an earlier one."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("file", type=Path)
    parser.add_argument("start", choices=STARTS)
    parser.add_argument("part", choices=PARTS)
    parser.add_argument("form", choices=FORMS)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--lines", type=int, default=100_000)
    options = parser.parse_args()
    which = {key: getattr(options, key) for key in ("start", "part", "form", "seed")}
    torch.set_num_threads(1)

    def write(found: dict) -> None:
        kept = json.loads(options.file.read_text()) if options.file.exists() else {
            "recipe": SETTINGS, "bar": BAR, "runs": []}  # read again: others write to it too
        kept["runs"] = [run for run in kept["runs"]
                        if any(run[key] != value for key, value in which.items())] + [found]
        write_result(options.file, kept, recorded=True)

    run(which, options.lines, write)


if __name__ == "__main__":
    main()
