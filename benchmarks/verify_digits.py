"""What VERIFY by digits, its second reading and right twins earn, over seeds.

    python benchmarks/verify_digits.py write FOLDER CONDITION SEED   30 minutes; goes on
    python benchmarks/verify_digits.py score FOLDER                  results/verify-digits.json

`write` trains profile nano in one of CONDITIONS and solves, after it, ASKED problems of `test`,
as many of dev (for the gate's threshold) and of `test_999`, and half as many with new situations;
behind GIVEN right EXECUTEs and as many with an error VERIFY alone is written. In LARGER a new
verification adapter joins the reasoning adapter of `reread`, and a third of its traces have
numbers up to 999. What the tokens of VERIFY could buy in its place is a second EXECUTE of `test`,
drawn at TEMPERATURE, or one of CONTROLS: a reasoning adapter alone, from right traces that end
with EXECUTE, as it is or with its sums by digits, or from solutions in prose without stages.
`score` counts; no text is kept.
"""
from __future__ import annotations

import json
import random
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from equal_tokens import written
from verify_flags import lines

from nanoreason import paths
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
from nanoreason.evaluation.confidence import LIMIT
from nanoreason.evaluation.report import crossed_bootstrap, mean
from nanoreason.evaluation.rows import ScoredRow
from nanoreason.files import read_text, to_json, write_json, write_text
from nanoreason.model.nano import read_recipe
from nanoreason.params import TrainParams
from nanoreason.table import Table
from nanoreason.trace import parse_trace, render_trace
from nanoreason.training import train
from nanoreason.training.resume import load_run

RESULT = paths.RESULTS / "verify-digits.json"
ASKED, GIVEN, MAX_NEW, BATCH_TOKENS = 1000, 500, 640, 131_072
TEMPERATURE = 0.7
CONDITIONS = {  # what differs from profile nano
    "reread": {}, "switch": {"routing": "switch"}, "rearranged checks": {"checks": "rearranged"},
    "no right twins": {"right_twins": False}, "one adapter": {"routing": "single"},
    "one adapter of double rank": {"routing": "single", "rank": 32, "alpha": 64.0},
    "mean over tokens": {"normalise": "token"},
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
    return TrainParams(profile="nano", run=f"digits-{name}-{seed}", seed=seed, **own)


def write(folder: Path, condition: str, seed: int) -> None:
    """Train a condition with a seed, and write what the folder lacks of its rows."""
    torch.set_num_threads(1)
    here, rows = folder / f"{condition}-{seed}", asked()
    run = train(parameters(condition, seed, folder))
    model, tokenizer, _ = load_run(run.name)
    model.eval()
    here.mkdir(parents=True, exist_ok=True)

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
                    row["tokens"] = len(tokenizer(row["text"]).input_ids)
                write_text(file, to_json(made))
        if condition == "reread":
            execute("drawn", rows["test"], TEMPERATURE)
    write_json(here / "environment.json", describe() | {
        "adapters_sha256": run.read_environment()["training"]["adapters_sha256"]})


def counted(rows: Iterable[Mapping]) -> dict:
    """What rows of one setting come to.

    first, second: a digit a problem, in order of their ids: whether Result and Answer are
    right. objected_wrong, objected_right: verdicts against wrong and against right results;
    mended: wrong ones that are objected to and then right. tokens: mean of a text. lines: see
    `verify_flags.lines`.
    """
    rows = sorted(rows, key=lambda row: row["problem_id"])
    scored = [ScoredRow(row) for row in rows]
    first, second, objected = ([bool(value) for value in values] for values in zip(
        *((row.first, row.second, row.error) for row in scored)))
    wrong = [a and not b for a, b in zip(objected, first)]
    return {"first": _digits(first), "second": _digits(second),
            "surest": [round(row["logprobs"]["execute_min"] or 0.0, 2) for row in rows
                       if "logprobs" in row],
            "objected_wrong": sum(wrong),
            "objected_right": sum(objected) - sum(wrong),
            "mended": sum(a and b for a, b in zip(wrong, second)),
            "tokens": round(sum(row["tokens"] for row in rows) / len(rows), 1),
            "lines": next(iter(lines(rows).values()))}


def _digits(values: Iterable[bool]) -> str:
    return "".join(str(int(value)) for value in values)


def executed(file: Path, asked: Iterable[Mapping], of: str = "first") -> dict:
    """The EXECUTEs that a file holds, in order of the problems' ids: whether each is right, how
    sure the model was, and mean tokens with the VERIFY tag.

    of: "first", or "lenient" for the last number of a text without stages.
    """
    rows = {row["problem_id"]: row for row in asked}
    made = sorted(json.loads(read_text(file)), key=lambda one: one["problem_id"])
    scored = (ScoredRow(rows[one["problem_id"]] | {"text": one["text"]}) for one in made)
    return {"first": _digits(bool(getattr(row, of)) for row in scored),
            "surest": [round(one["surest"] or 0.0, 2) for one in made],
            "tokens": round(sum(one["until_verify"] for one in made) / len(made), 1)}


def score(folder: Path) -> dict:
    """The counts of all that the folder holds."""
    found, rows = {"runs": [], "controls": []}, asked()
    for condition in (*CONDITIONS, *LARGER, *CONTROLS):
        alone = condition in CONTROLS
        for here in sorted(folder.glob(f"{condition}-[0-9]")):
            if not (here / "environment.json").is_file():
                continue
            one = {"condition": condition, "seed": int(here.name[-1]), "settings": {
                name: executed(here / f"{name}.json.gz", rows[name],
                               "lenient" if condition == PROSE else "first") if alone else
                counted(json.loads(read_text(here / f"{name}.json.gz")))
                for name in (SOLVED if alone else SETS)}}
            if condition == "reread":
                one["drawn"] = executed(here / "drawn.json.gz", rows["test"])
            found["controls" if alone else "runs"].append(
                one | {"environment": json.loads(read_text(here / "environment.json"))})
    return {"base": read_recipe()["sha256"], **found}


def outcomes(run: Mapping, name: str) -> np.ndarray:
    """(problems, 2): whether Result and Answer are right."""
    found = run["settings"][name]
    return np.array([[int(a), int(b)] for a, b in zip(found["first"], found["second"])])


def threshold(run: Mapping) -> float:
    """Of EXECUTE's least likely token: where an objection below it is heeded and others are not,
    most is gained on dev, of thresholds by which LIMIT of its problems are spoiled at most."""
    sure, less = np.array(run["settings"]["dev"]["surest"]), np.diff(outcomes(run, "dev"))[:, 0]
    below = {limit: less[sure < limit] for limit in (-np.inf, *np.unique(sure), np.inf)}
    return max((limit for limit, part in below.items()
                if (part < 0).sum() <= LIMIT * len(less)), key=lambda limit: below[limit].sum())


def behind_gate(run: Mapping, name: str) -> np.ndarray:
    """(problems, 2): Result, and what is right where an objection is heeded in doubt alone."""
    found, sure = outcomes(run, name), np.array(run["settings"][name]["surest"])
    kept = sure >= threshold(run)
    found[kept, 1] = found[kept, 0]
    return found


def surer(run: Mapping) -> np.ndarray:
    """(problems,): whether the surer of the greedy EXECUTE and a drawn one is right."""
    greedy, other = run["settings"]["test"], run["drawn"]
    return np.array([int(b if q > p else a) for a, p, b, q in zip(
        greedy["first"], greedy["surest"], other["first"], other["surest"])])


def spent(runs: Sequence[Mapping], controls: Sequence[Mapping] = (), name: str = "test"
          ) -> list[dict]:
    """Ways to spend tokens on these problems: right answers, tokens a problem, and what is gained
    on the greedy EXECUTE of the run of the same seed, in points with a 95 % interval."""
    whole = np.mean([run["settings"][name]["tokens"] for run in runs])
    once = np.mean([run["drawn"]["tokens"] for run in runs])

    def instead(of):
        """EXECUTE's results, and those of another way to them."""
        return lambda run, name: np.column_stack([outcomes(run, name)[:, 0], of(run)])

    ways = [("EXECUTE alone", once, lambda run, name: outcomes(run, name)[:, [0, 0]], runs)]
    if name == "test":
        ways.append(("EXECUTE, the surer of two", 2 * once, instead(surer), runs))
    ways += [("VERIFY repairs", whole, outcomes, runs),
             ("VERIFY repairs in doubt", whole, behind_gate, runs)]
    for condition in CONTROLS:
        own = {one["seed"]: one["settings"][name] for one in controls
               if one["condition"] == condition}
        if own:
            ways.append((condition, np.mean([one["tokens"] for one in own.values()]),
                         instead(lambda run, own=own: [*map(int, own[run["seed"]]["first"])]),
                         [run for run in runs if run["seed"] in own]))
    found = []
    for way, tokens, judged, beside in ways:
        points, interval = gain(beside, name, judged)
        found.append({"way": way, "tokens": tokens, "points": points, "interval": interval,
                      "right": [judged(run, name)[:, 1].mean() for run in beside]})
    return found


def gain(runs: Sequence[Mapping], name: str, judged=outcomes) -> tuple[float, list[float]]:
    """What is right in the end less Result, in points, and its 95 % interval over seeds and
    problems."""
    less = np.stack([np.diff(judged(run, name))[:, 0] for run in runs]).astype(float)
    low, high = crossed_bootstrap(mean, np.stack([less, np.ones_like(less)], axis=-1))
    return 100 * less.mean(), [100 * low, 100 * high]


def less(run: Mapping, other: Mapping) -> tuple[float, list[float]]:
    """How many more of `test` are right in the end than in another run, in points, and its 95 %
    interval over problems."""
    return gain([run], "test", lambda run, name: np.column_stack(
        [outcomes(other, name)[:, 1], outcomes(run, name)[:, 1]]))


def ways_table(result: Mapping) -> Table:
    """What the tokens of VERIFY buy, and what they would buy in its place."""
    runs = [run for run in result["runs"] if run["condition"] == "reread"]
    return Table("", ("way", "tokens ↓", "right ↑", "by seed, %", "less EXECUTE alone, points ↑"), [
        (one["way"], f"{one['tokens']:.0f}", f"{100 * np.mean(one['right']):.1f} %",
         " ".join(f"{100 * right:.1f}" for right in one["right"]),
         _points(one["points"], one["interval"]))
        for one in spent(runs, result["controls"])])


def parts_table(result: Mapping) -> Table:
    """A row a condition, of one seed: what comes of profile nano where one part differs."""
    alike = [run for run in result["runs"] if run["seed"] == 0]
    nano = next(run for run in alike if run["condition"] == "reread")
    return Table("", ("condition", "a1 ↑", "a2 ↑", "a2 less profile nano's ↑", "gain ↑",
                      "gain, gate ↑", "gain to 999 ↑", "recall, given ↑", "specificity, given ↑",
                      "repaired of those found, given ↑"), [
        (run["condition"].replace("reread", "profile nano"),
         *(_share(column.sum(), len(column)) for column in outcomes(run, "test").T),
         _points(*less(run, nano)), _points(*gain([run], "test")),
         _points(*gain([run], "test", behind_gate)), _points(*gain([run], "test_999")),
         *verify_shares(run, ("injected", "clean"))) for run in alike])


def table(result: Mapping) -> Table:
    """A row a run of profile nano and setting; `injected` and `clean` in one."""
    rows = []
    for run in (run for run in result["runs"] if run["condition"] == "reread"):
        for name in ("test", "test_999", "test_template", "given"):
            parts = ("injected", "clean") if name == "given" else (name,)
            both = np.concatenate([outcomes(run, part) for part in parts])
            tokens = np.mean([run["settings"][part]["tokens"] for part in parts])
            rows.append((
                str(run["seed"]), name, *(_share(column.sum(), len(both)) for column in both.T),
                "" if name == "given" else _share(behind_gate(run, name)[:, 1].sum(), len(both)),
                f"{sum((both == (0, 1)).all(1))} / {sum((both == (1, 0)).all(1))}",
                *verify_shares(run, parts), f"{tokens:.0f}"))
    return Table("", ("seed", "problems", "a1 ↑", "a2 ↑", "a2, gate ↑",
                      "repaired / spoiled", "recall ↑", "specificity ↑",
                      "repaired of those found ↑", "tokens ↓"),
                 tuple(rows))


def verify_shares(run: Mapping, parts: Sequence[str]) -> tuple[str, str, str]:
    """Recall and specificity of VERIFY over some settings together, and of the wrong results
    that it finds those that it mends."""
    first = np.concatenate([outcomes(run, part)[:, 0] for part in parts])
    told, alarms, mended = (sum(run["settings"][part][key] for part in parts)
                            for key in ("objected_wrong", "objected_right", "mended"))
    right = first.sum()
    return (_share(told, len(first) - right), _share(right - alarms, right), _share(mended, told))


def _points(value: float, interval: Sequence[float]) -> str:
    return "{:+.1f} [{:+.1f} to {:+.1f}]".format(value, *interval)


def _share(part: int, whole: int) -> str:
    return f"{100 * part / whole:.1f} % ({part}/{whole})" if whole else "n/a (n=0)"


if __name__ == "__main__":
    what, folder = sys.argv[1], Path(sys.argv[2])
    if what == "write":
        write(folder, sys.argv[3], int(sys.argv[4]))
    else:
        write_text(RESULT, to_json(score(folder)) + "\n")
