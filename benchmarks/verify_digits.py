"""What VERIFY by digits, its second reading and right twins earn, over seeds.

    python benchmarks/verify_digits.py FOLDER CONDITION SEED    30 minutes; goes on
    python benchmarks/digits_table.py FOLDER                    results/verify-digits.json.gz

Profile nano, or what differs from it in one of CONDITIONS, is trained and solves, after it,
ASKED problems of `test`, as many of dev (for the gate's threshold) and of `test_999`, and half as
many with new situations; behind GIVEN right EXECUTEs and as many with an error VERIFY alone is
written. In LARGER a new verification adapter joins the reasoning adapter of `reread`, and a third
of its traces have numbers up to 999. What the tokens of VERIFY could buy in its place is a second
EXECUTE of `test`, drawn at TEMPERATURE, or one of CONTROLS: a reasoning adapter alone, from right
traces that end with EXECUTE, as it is or with its sums by digits, or from solutions in prose
without stages. `digits_table` counts; no text is kept.
"""
from __future__ import annotations

import random
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import torch
from equal_tokens import written
from gate import token_counts

from nanoreason.data import load_problems, teach
from nanoreason.data.errors import inject
from nanoreason.data.prepare import prepare
from nanoreason.data.problem import make_record, write_traces
from nanoreason.data.procedural import LARGE, TRAIN_STEPS, hash_split, make_problem
from nanoreason.data.stories import load_words
from nanoreason.data.verify_lines import plain_steps, procedural_trace, worked
from nanoreason.environment import describe
from nanoreason.evaluation import generate_traces
from nanoreason.evaluation.generate import given_rows, natural_rows
from nanoreason.files import to_json, write_json, write_text
from nanoreason.host import GivenError
from nanoreason.model.adapters import adapters_sha256
from nanoreason.params import TrainParams
from nanoreason.trace import parse_trace, render_trace
from nanoreason.training import train
from nanoreason.training.resume import load_run

ASKED, GIVEN, MAX_NEW, BATCH_TOKENS = 1000, 500, 640, 131_072
TEMPERATURE = 0.7
USUAL = {"traces": 24_000, "larger_share": 0.0}  # of every condition but the profile's own
CONDITIONS = {  # what differs from profile nano with these
    "reread": {}, "switch": {"routing": "switch"}, "rearranged checks": {"checks": "rearranged"},
    "no right twins": {"right_twins": False}, "one adapter": {"routing": "single"},
    "one adapter of double rank": {"routing": "single", "rank": 32, "alpha": 64.0},
    "mean over tokens": {"normalise": "token"}, (SHIPPED := "profile nano"): {},
}
# Traces of VERIFY's own training, and how many of them have numbers up to 999.
LARGER = {"larger numbers for VERIFY": (24_000, 8_000),
          "more traces and larger numbers": (36_000, 12_000)}
CONTROLS = ("EXECUTE without VERIFY", BY_DIGITS := "EXECUTE by digits", PROSE := "no stages")
SOLVED = ("test", "test_999", "test_template")  # by the controls
SETS = ("dev", "test", "test_999", "test_template", "injected", "clean")


def asked() -> dict[str, list[dict]]:
    """The rows to be written, by what they are called in the result."""
    test = list(load_problems("procedural", None, "test", count=ASKED, seed=0))
    given = given_rows([*zip(test, teach(test))][:GIVEN], 0)
    others = {split: load_problems("procedural", None, split, count=count, seed=0)
              for split, count in (("dev", ASKED), ("test_999", ASKED),
                                   ("test_template", ASKED // 2))}
    return {"test": natural_rows(test),
            **{split: natural_rows(problems) for split, problems in others.items()},
            **{setting: [row for row in given if row["setting"] == setting]
               for setting in ("injected", "clean")}}


def larger(count: int, seed: int) -> Iterator[dict]:
    """Records of known situations with numbers up to 999, one in two with an error."""
    rng, words = random.Random(f"larger/{seed}"), load_words("en")
    known = [situation for situation in words.situations if not situation.held_out]
    while count:
        problem = make_problem(rng, rng.choice(known), rng.choice(TRAIN_STEPS),
                               words.names.base + words.names.train, "train", LARGE)
        if hash_split(problem.question) == "train":
            trace, count = procedural_trace(problem), count - 1
            wrong = inject(problem, trace, seed) if count % 2 else None
            yield make_record(problem, *(wrong or (trace,)))


def by_digits(record: dict) -> dict:
    """The record of a right trace with the sums of its EXECUTE by digits."""
    trace = parse_trace(record["trace"])
    return record | {"trace": render_trace(replace(trace, execute=tuple(
        worked(step.operator, step.left, step.right) for step in plain_steps(trace))))}


def parameters(condition: str, seed: int, folder: Path) -> TrainParams:
    """Of the training of a condition; traces of another making are written into the folder."""
    name, own = condition.replace(" ", "-"), CONDITIONS.get(condition)
    file = folder / f"{name}-{seed}.jsonl"
    if condition in CONTROLS:
        own = {"error_share": 0.0} | ({"form": "free"} if condition == PROSE else
                                      {"phase": "reasoning"})
    if condition == BY_DIGITS:
        write_traces(file, map(by_digits, prepare(
            "procedural", total=24_000, error_share=0.0, seed=seed)))
        own["data"] = str(file)
    if condition in LARGER:
        count, large = LARGER[condition]
        records = prepare("procedural", total=count - large, seed=seed)
        write_traces(file, [*records, *larger(large, seed)])
        own = {"phase": "verification", "reasoning_run": f"digits-reread-{seed}",
               "on_policy_share": 0.0, "traces": count, "data": str(file)}
    return TrainParams(profile="nano", run=f"digits-{name}-{seed}", seed=seed,
                       **(own if condition == SHIPPED else USUAL | own))


def write(folder: Path, condition: str, seed: int) -> None:
    """Train a condition with a seed, and write what the folder lacks of its rows."""
    torch.set_num_threads(1)
    here, rows = folder / f"{condition}-{seed}", asked()
    run = train(parameters(condition, seed, folder))
    model, tokenizer, _ = load_run(run.name)
    model.eval()
    here.mkdir(parents=True, exist_ok=True)
    adapters, whose = adapters_sha256(model), here / "adapters.txt"
    if whose.is_file() and whose.read_text() != adapters:
        raise GivenError(f"{here} holds rows of other adapters: move it away, or take another "
                         "folder")
    whose.write_text(adapters)

    def execute(name: str, asked: list[dict], temperature: float) -> None:
        written(here / f"{name}.json.gz", asked, model, tokenizer, temperature, seed, stop=True)

    if condition in CONTROLS:
        for name in SOLVED:
            execute(name, rows[name], 0.0)
    else:
        for name in rows:
            if not (file := here / f"{name}.json.gz").is_file():
                made = list(generate_traces(model, tokenizer, rows[name], MAX_NEW, BATCH_TOKENS))
                for row in made:
                    row["until_verify"], row["tokens"] = token_counts(tokenizer, row["text"])
                write_text(file, to_json(made))
        if condition == "reread":
            execute("drawn", rows["test"], TEMPERATURE)
    write_json(here / "environment.json", describe() | {"adapters_sha256": adapters})


if __name__ == "__main__":
    write(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
