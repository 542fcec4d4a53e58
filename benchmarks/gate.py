"""Does a gate on confidence make VERIFY worth having? Thresholds from dev, scores on test.

    python benchmarks/gate.py generate RUN [FOLDER]   the rows too, in minutes; goes on after a stop
    python benchmarks/gate.py score RUN               gate.json of RUN-gate, from its rows

Nothing is trained. The run's adapters answer the dev problems as its test problems were
answered; every row gets the log-probabilities of what it says; and where EXECUTE's least likely
token lies below DOUBT, its VERIFY is written SAMPLES times more, at temperature TEMPERATURE.
Each gate is chosen on dev alone, the one that gains most and spoils at most LIMIT, and then
scored on test. `score` needs no model.
"""
from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
from result import write_result

from nanoreason import environment, paths
from nanoreason.data.sources import load_problems
from nanoreason.evaluation.confidence import (GATES, LIMIT, SIGNALS, choose, confidence,
                                              coverage, gated, signals)
from nanoreason.evaluation.generate import generate_traces, natural_rows, recorded
from nanoreason.evaluation.rows import ScoredRows, compact_row, read_row, read_rows
from nanoreason.evaluation.self_verification import verification
from nanoreason.evaluation.summary import check_whole
from nanoreason.files import drop_half_line, set_aside
from nanoreason.model.adapters import adapters_sha256
from nanoreason.model.base import load_tokenizer
from nanoreason.runs import Run, RunError, find_run
from nanoreason.stages import Stage
from nanoreason.trace import before_verify

N, SEED, SAMPLES, TEMPERATURE, DOUBT = 1000, 0, 5, 0.7, -0.5
VERIFY = f"{Stage.VERIFY.tag}\n"
BATCH_TOKENS, MAX_NEW_TOKENS = 262_144, 640
# How the rows of dev are written, which the run's rows of test stand beside.
WRITTEN = {"data": "procedural", "language": "en", "samples": 1, "temperature": 0.0,
           "verify_below": None, "max_new_tokens": MAX_NEW_TOKENS}


def read_lines(path: Path) -> list[dict]:
    """The rows of a JSON Lines file, none where there is no file."""
    text = path.read_text(encoding="utf-8") if path.is_file() else ""
    return [json.loads(line) for line in text.split("\n") if line]


def written(path: Path, rows: list[dict], model, tokenizer, temperature: float) -> list[dict]:
    """The rows completed, in their order; those that a file of the same adapters holds are not
    written again."""
    path = path.with_name(f"{path.stem}-{adapters_sha256(model)[:16]}.jsonl")

    def key(row):
        return row["problem_id"], row["sample"]

    drop_half_line(path)  # of a session that was stopped
    done = {key(row): row for row in read_lines(path)}
    missing = [row for row in rows if key(row) not in done]
    with path.open("a", encoding="utf-8") as file:
        for row in generate_traces(model, tokenizer, missing, MAX_NEW_TOKENS, BATCH_TOKENS,
                                   temperature, SEED, path.stem):
            file.write(json.dumps(row, ensure_ascii=False) + "\n")
            file.flush()
            done[key(row)] = row
    return [done[key(row)] for row in rows]


def rows_of_test(name: str) -> list[dict]:
    """The run's natural rows of test. Raises RunError where they are written otherwise than those
    of dev are here, or by other adapters than the run's."""
    run = find_run(name)
    check_whole(run, scored=False)
    made = recorded(run)
    odd = [f"{what}={made.get(what)!r} (here {wanted!r})" for what, wanted in WRITTEN.items()
           if made.get(what) != wanted]
    if odd:
        raise RunError(f"the rows of run {name} do not go with those of dev, which are written "
                       f"here: {', '.join(odd)}; evaluate a run with the values of here")
    return [row for row in run.read_generations()
            if row["setting"] == "natural" and row["split"] == "test"]


def generate(name: str, folder: Path) -> None:
    """Write the scratch run `<name>-gate`: rows of dev and test without texts, with `logprobs`
    and `verifies`. What is in the folder already is not written again."""
    from nanoreason.model.likelihood import likelihoods
    from nanoreason.training.resume import load_run

    test = rows_of_test(name)
    folder.mkdir(parents=True, exist_ok=True)
    model, tokenizer, _ = load_run(name)
    dev = natural_rows(load_problems("procedural", None, "dev", count=N, seed=SEED))
    rows = written(folder / "dev.jsonl", dev, model, tokenizer, 0.0) + test
    rows = [row | {"logprobs": found} for row, found in zip(rows, likelihoods(
        model, tokenizer, rows))]
    doubtful = [row for row in rows if (row["logprobs"]["execute_min"] or 0) < DOUBT]
    verifies: dict[str, list[dict]] = {}
    for sample in range(SAMPLES):
        starts = [row | {"sample": sample, "text": before_verify(row["text"]) + VERIFY}
                  for row in doubtful]
        for row in map(read_row, written(folder / "verifies.jsonl", starts, model, tokenizer,
                                         TEMPERATURE)):
            verifies.setdefault(row.problem, []).append({"v": row.blamed, "a2": row.a2})
    run = Run(paths.RUNS / f"{name}-gate")
    if run.folder.exists():
        set_aside(run.folder)
    run.folder.mkdir(parents=True)
    run.append_generations(compact_row(row) | {"verifies": verifies.get(row["problem_id"], []),
                                               "logprobs": row["logprobs"]} for row in rows)
    run.pack()
    run.write_params({"run": name, "data": "procedural", "splits": ["dev", "test"], "n": N,
                      "seed": SEED, "samples": SAMPLES, "temperature": TEMPERATURE,
                      "below": DOUBT, "adapters_sha256": adapters_sha256(model)})
    run.write_environment(environment.describe())


def score(name: str) -> dict:
    """What `gate.json` holds: each gate as chosen on dev, with its scores there and on test."""
    table = read_rows(find_run(f"{name}-gate").read_generations())
    parts = {split: table.where("natural", split=split) for split in ("dev", "test")}
    gates = {label: choose(parts["dev"], agree) for label, agree in GATES.items()}
    return {
        "run": name, "spoils_at_most": LIMIT, "n": {s: len(rows) for s, rows in parts.items()},
        "sampled": {"verifies": SAMPLES, "temperature": TEMPERATURE, "below": DOUBT},
        "confidence": {s: confidence(rows).to_dict() for s, rows in parts.items()},
        "coverage": {signal: {str(tenth / 10): float(curve[len(curve) * tenth // 10 - 1])
                              for tenth in range(1, 11)}
                     for signal, curve in _curves(parts["test"]).items()},
        "tokens": tokens(name, parts["test"], gates["gate"].threshold),
        "no gate": {s: verification(rows) for s, rows in parts.items()},
        "gates": {label: gate._asdict() | {s: verification(gated(rows, gate))
                                           for s, rows in parts.items()}
                  for label, gate in gates.items()}}


def tokens(name: str, rows: ScoredRows, threshold: float) -> dict:
    """Mean tokens of a trace of test: all of it, as far as its VERIFY tag, and where VERIFY is
    written below the threshold alone; and in how many traces that is."""
    tokenizer = load_tokenizer(find_run(name).read_params("base")["base"])
    texts = {row["problem_id"]: row["text"] for row in rows_of_test(name)}
    until, whole = np.array([token_counts(tokenizer, texts[row.problem]) for row in rows]).T
    doubt = np.array([SIGNALS["execute"](row) < threshold for row in rows])
    return {"whole": whole.mean(), "until_verify": until.mean(),
            "in_doubt": np.where(doubt, whole, until).mean(), "doubtful": int(doubt.sum())}


def token_counts(tokenizer, text: str) -> tuple[int, int]:
    """Tokens of a trace as far as its VERIFY tag, and of all of it."""
    until, whole = tokenizer([before_verify(text) + VERIFY, text]).input_ids
    return len(until), len(whole)


def _curves(rows) -> dict:
    values, right = signals(rows)
    return {name: coverage(sure, right) for name, sure in values.items()}


if __name__ == "__main__":
    what, name = sys.argv[1:3]
    if what == "generate":
        generate(name, Path(sys.argv[3]) if sys.argv[3:] else paths.BUILD / "gate")
    write_result(find_run(f"{name}-gate").path("gate.json"), score(name), recorded=True)
