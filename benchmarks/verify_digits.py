"""VERIFY by digits that reads all itself, on a base that has read digits.

    python benchmarks/verify_digits.py base FOLDER                   25 minutes
    python benchmarks/verify_digits.py write FOLDER CONDITION SEED   25 minutes; goes on
    python benchmarks/verify_digits.py score FOLDER                  results/verify-digits.json

`base` reads on where the shipped base stopped: SETTINGS steps of `base_text.column_documents`.
`write` trains 12,000 traces of profile nano in one of CONDITIONS and solves, after it, ASKED
problems of `test`, as many with numbers up to 999 (`test_999`), and half as many with new
situations; behind GIVEN right EXECUTEs and as many with an error VERIFY alone is written.
`score` counts; no text is kept.
"""
from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Iterable, Mapping
from itertools import islice
from pathlib import Path

import torch
from gpu_columns import large_problems
from verify_flags import lines

from nanoreason import paths
from nanoreason.data import load_problems, teach
from nanoreason.environment import describe
from nanoreason.evaluation import generate_traces
from nanoreason.evaluation.generate import given_rows, natural_rows
from nanoreason.evaluation.rows import ScoredRow
from nanoreason.files import read_text, to_json, write_json, write_text
from nanoreason.model import nano
from nanoreason.model.base import load_base
from nanoreason.model.base_text import column_documents
from nanoreason.params import TrainParams
from nanoreason.training import train
from nanoreason.training.resume import load_run

RESULT = paths.RESULTS / "verify-digits.json"
SETTINGS = nano.RECIPE | {"steps": 1200, "learning_rate": 1.5e-3, "seed": 5}
READ = 4000  # documents by which is told what tokens the base has read
ASKED, GIVEN, MAX_NEW, BATCH_TOKENS = 1000, 500, 640, 131_072
LONGEST = 768  # tokens of a trace; by digits one in seven has more than the profile takes
BOTH = {"right_twins": True, "checks": "digits", "max_length": LONGEST}
CONDITIONS = {  # what differs from profile nano; a base of None is the shipped one
    "reread": ("digits", BOTH | {"routing": "reread"}),
    "switch": ("digits", BOTH | {"routing": "switch"}),
    "rearranged checks": ("digits", {"right_twins": True, "routing": "reread"}),
    "no right twins": ("digits", BOTH | {"routing": "reread", "right_twins": False}),
    "shipped base": (None, BOTH | {"routing": "reread"}),
}


def make_base(folder: Path) -> None:
    """The shipped base after some reading by digits."""
    model, tokenizer = load_base("nano", "none")
    for parameter in model.parameters():
        parameter.requires_grad_(True)
    model, _, log = nano.pretrain(SETTINGS, tokenizer, model.train(),
                                  text=column_documents(SETTINGS["seed"]))
    read: set[int] = set()
    for prompt, solution in islice(column_documents(SETTINGS["seed"] + 1), READ):
        read.update(tokenizer(prompt + solution, add_special_tokens=False).input_ids)
    known = read.union(tokenizer.convert_tokens_to_ids([*nano.RESERVED, nano.END, nano.PAD]))
    nano.settle_embeddings(model, tokenizer, [token for token in range(len(tokenizer))
                                              if token not in known], SETTINGS["seed"])
    model.save_pretrained(folder / "digits")
    tokenizer.save_pretrained(folder / "digits")
    write_json(folder / "digits" / "recipe.json", {"recipe": SETTINGS} | log)


def asked() -> dict[str, list[dict]]:
    """The rows to be written, by what they are called in the result."""
    test = list(load_problems("procedural", None, "test", count=ASKED, seed=0))
    given = given_rows([*zip(test, teach(test))][:GIVEN], 0)
    template = load_problems("procedural", None, "test_template", count=ASKED // 2, seed=0)
    return {"test": natural_rows(test), "test_999": natural_rows(large_problems(ASKED, 0)),
            "test_template": natural_rows(template),
            **{setting: [row for row in given if row["setting"] == setting]
               for setting in ("injected", "clean")}}


def write(folder: Path, condition: str, seed: int) -> None:
    """Train a condition with a seed, and write what the folder lacks of its rows."""
    torch.set_num_threads(1)
    (base, settings), here = CONDITIONS[condition], folder / f"{condition}-{seed}"
    run = train(TrainParams(profile="nano", run=f"digits-{condition.replace(' ', '-')}-{seed}",
                            seed=seed, base=str(folder / base) if base else "nano", **settings))
    model, tokenizer, _ = load_run(run.name)
    for name, rows in asked().items():
        file = here / f"{name}.json.gz"
        if not file.is_file():
            made = list(generate_traces(model.eval(), tokenizer, rows, MAX_NEW, BATCH_TOKENS))
            for row in made:
                row["tokens"] = len(tokenizer(row["text"]).input_ids)
            here.mkdir(parents=True, exist_ok=True)
            write_text(file, to_json(made))
    write_json(here / "environment.json", describe() | {
        "adapters_sha256": run.read_environment()["training"]["adapters_sha256"]})


def counted(rows: Iterable[Mapping]) -> dict:
    """What rows of one setting come to.

    right_first, right_second: by Result and by Answer. repaired, spoiled: wrong to right, right
    to wrong. objected: to wrong and to right results; mended: wrong ones that are objected to
    and then right. tokens: mean of a text. lines: see `verify_flags.lines`.
    """
    rows = list(rows)
    counts: Counter = Counter(n=len(rows))
    for row in map(ScoredRow, rows):
        first, second, objected = bool(row.first), bool(row.second), bool(row.error)
        counts.update({"right_first": first, "right_second": second,
                       "repaired": not first and second, "spoiled": first and not second,
                       "objected_wrong": objected and not first,
                       "objected_right": objected and first,
                       "mended": objected and not first and second})
    return {**counts, "tokens": round(sum(row["tokens"] for row in rows) / len(rows), 1),
            "lines": next(iter(lines(rows).values()))}


def score(folder: Path) -> dict:
    """The counts of all that the folder holds."""
    found = []
    for condition in CONDITIONS:
        for here in sorted(folder.glob(f"{condition}-[0-9]")):
            if (here / "environment.json").is_file():
                found.append({
                    "condition": condition, "seed": int(here.name[-1]),
                    "settings": {name: counted(json.loads(read_text(here / f"{name}.json.gz")))
                                 for name in asked()},
                    "environment": json.loads(read_text(here / "environment.json"))})
    base = json.loads(read_text(folder / "digits" / "recipe.json"))
    return {"base": base, "runs": found}


if __name__ == "__main__":
    what, folder = sys.argv[1], Path(sys.argv[2])
    if what == "base":
        make_base(folder)
    elif what == "write":
        write(folder, sys.argv[3], int(sys.argv[4]))
    else:
        write_json(RESULT, score(folder))
