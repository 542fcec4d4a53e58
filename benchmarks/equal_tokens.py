"""What answers most problems for the tokens that it writes: VERIFY, more tries, EXECUTE alone?

    python benchmarks/equal_tokens.py write FOLDER [SEED or RECIPE ...]    hours; goes on
    python benchmarks/equal_tokens.py score FOLDER               results/equal-tokens.json
    python benchmarks/equal_tokens.py draw                       its figure

Five recipes of 12,000 problems each, three seeds, the same 1,000 problems of `test`:
`reference`, the design as published (profile nano-switch), half of whose traces have an
error; two controls that have right traces alone and end with EXECUTE, `right` as it is and
`columns` with its sums digit by digit; and two that put a VERIFY, learned from the traces of
`reference`, behind the frozen adapter of `right`: in `phases` it reads what that adapter made
of question and EXECUTE (its keys and values), in `reread` it reads both itself, at the cost of
a second reading. Each answers greedily and SAMPLES times at TEMPERATURE. Where VERIFY blames a
step, the steps from there on are drawn anew, up to TRIES times (resampling as in arXiv
2510.12157). A method's cost is all that is written for it. `score` and `draw` need no model.
"""
from __future__ import annotations

import json
import random
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import matplotlib.pyplot as plt
import numpy as np
import torch
from gpu_columns import worked
from gpu_loops import tune_adapters
from matplotlib.figure import Figure
from result import write_result
from safetensors.torch import load_file, save_file

from nanoreason import paths
from nanoreason.data import load_problems
from nanoreason.data.prepare import prepare
from nanoreason.data.procedural import problems
from nanoreason.data.verify_lines import procedural_trace
from nanoreason.environment import describe
from nanoreason.evaluation.generate import natural_rows
from nanoreason.evaluation.report import crossed_bootstrap, mean
from nanoreason.evaluation.rows import ScoredRow, Texts
from nanoreason.figures.plots import GREY, PAGE, save_figure, use_style
from nanoreason.figures.tables import Table
from nanoreason.files import read_text, write_json, write_text
from nanoreason.model.adapters import adapter_parameters, attach_adapters
from nanoreason.model.base import load_base
from nanoreason.model.decoding import Request, generate
from nanoreason.model.likelihood import likelihoods
from nanoreason.model.tokens import IGNORE, encode, partial_ids, prompt_ids, tag_ids, until_tag
from nanoreason.params import TrainParams
from nanoreason.stages import Stage
from nanoreason.trace import before_verify
from nanoreason.training import train
from nanoreason.training.resume import load_run
from nanoreason.training.train import encode_records
from nanoreason.training.trainer import for_phase

RESULT = paths.RESULTS / "equal-tokens.json"
SEEDS, ASKED, TRACES, SAMPLES, TRIES, TEMPERATURE = (0, 1, 2), 1000, 12_000, 4, 4, 0.7
MAX_NEW, BATCH_TOKENS = 448, 262_144
BELOW = -0.8002714812755585  # the gate's threshold, from dev, for `reference` of seed 0
NAMED = {  # in the figure, and how far from its mark, in points; the table names all
    ("reference", "EXECUTE"): (6, -9), ("reference", "VERIFY repairs"): (6, -12),
    ("reference", "drawn anew, 4 tries"): (6, 6), ("reference", "EXECUTE, vote of four"): (6, 0),
    ("reference", "answers, vote of four"): (-88, -10), ("right", "EXECUTE"): (-10, -16),
    ("right", "EXECUTE, vote of four"): (6, 0), ("columns", "EXECUTE"): (6, 0),
    ("columns", "EXECUTE, vote of four"): (6, 0), ("phases", "VERIFY repairs"): (5, 8),
    ("phases", "vote of those accepted of four"): (-100, 12), ("reread", "VERIFY repairs"): (6, -2)}
CONTROLS = ("right", "columns")
RECIPES = ("reference", *CONTROLS, "phases", "reread")
LOOKS = {"reference": (Stage.VERIFY.colour, "o", "errors in half of the traces, VERIFY"),
         "right": (GREY, "^", "right traces alone, no VERIFY"),
         "columns": (Stage.EXECUTE.colour, "s", "the same, sums digit by digit"),
         "phases": (Stage.PLAN.colour, "D", "right traces first, then VERIFY alone"),
         "reread": (Stage.UNDERSTAND.colour, "v", "the same, VERIFY reads all itself")}


class Method(NamedTuple):
    """A way to an answer: which recipe writes, and what it comes to for one problem.

    answer: (drawn texts) -> (right, tokens), see `Drawn`.
    """

    recipe: str
    name: str
    answer: Callable[[Drawn], tuple[bool, int]]


class Text(NamedTuple):
    """One text and its cost: tokens written in all, and up to the end of the VERIFY tag."""

    row: ScoredRow
    tokens: int
    until_verify: int
    surest: float | None  # log-probability of EXECUTE's least likely token


class Drawn(NamedTuple):
    """All that one recipe and seed wrote for one problem; below: the gate's threshold."""

    greedy: Text
    samples: Sequence[Text]
    tries: Sequence[Text]
    below: float


def control_rows(tokenizer, recipe: str, seed: int) -> list:
    """Right traces up to the end of their VERIFY tag; `columns` works its sums out in digits."""
    tag, rows = tag_ids(tokenizer), []
    for problem in problems("train", TRACES, seed):
        trace = procedural_trace(problem)
        if recipe == "columns":
            trace = replace(trace, execute=tuple(
                worked(step.operator, step.left, step.right) for step in problem.steps))
        row = encode(tokenizer, problem.question, trace, 512)
        if row:
            rows.append(until_tag(row, tag))
    return rows


def verification_rows(tokenizer, recipe: str, seed: int) -> list:
    """The traces of `reference` whose VERIFY alone is learned. In `reread` a row begins with
    the VERIFY tag, so that the verification adapter acts on all of it."""
    rows, tag = encode_records(tokenizer, prepare("procedural", total=TRACES, seed=seed), 512)[0], \
        tag_ids(tokenizer)
    rows = [for_phase(row, "verification", tag) for row in rows]
    if recipe == "phases":
        return rows
    return [type(row)(tag + row.input_ids, [IGNORE] * len(tag) + row.groups, 0) for row in rows]


def trained(recipe: str, seed: int, folder: Path):
    """The model of a recipe and its tokenizer, trained where the folder does not hold it."""
    if recipe == "reference":
        name = f"equal-tokens-{seed}"
        train(TrainParams(profile="nano-switch", run=name, seed=seed))
        return load_run(name)[:2]
    params = TrainParams(profile="nano-switch", run="equal-tokens", seed=seed)
    model, tokenizer = load_base("nano", "none")
    model = attach_adapters(model, params.rank, params.alpha, 0.0, seed, "switch")
    first = recipe if recipe in CONTROLS else "right"
    _tuned(model, "reasoning", folder.with_name(f"{first}-{seed}"), tokenizer, params,
           lambda: control_rows(tokenizer, first, seed))
    if recipe not in CONTROLS:
        _tuned(model, "verification", folder, tokenizer, params,
               lambda: verification_rows(tokenizer, recipe, seed))
    return model.eval(), tokenizer


def _tuned(model, adapter: str, folder: Path, tokenizer, params: TrainParams,
           rows: Callable[[], list]) -> None:
    """One adapter as the folder holds it, or tuned on these rows, the other one frozen."""
    own, file = dict(adapter_parameters(model, adapter)), folder / f"{adapter}.safetensors"
    if not file.is_file():
        for name in ("reasoning", "verification"):
            for _, parameter in adapter_parameters(model, name):
                parameter.requires_grad_(name == adapter)
        tune_adapters(model, rows(), params, tag_ids(tokenizer), tokenizer.pad_token_id)
        folder.mkdir(parents=True, exist_ok=True)
        save_file({name: parameter.detach() for name, parameter in own.items()}, file)
    with torch.no_grad():
        for name, stored in load_file(file).items():
            own[name].copy_(stored)


def written(file: Path, rows: Iterable[dict], model, tokenizer, temperature: float, seed: int,
            stop: bool) -> list[dict]:
    """The texts of these rows with their costs, from the file or, at first, from the model."""
    if file.is_file():
        return json.loads(read_text(file))
    rows, tag = list(rows), tag_ids(tokenizer)
    requests = [Request(partial_ids(tokenizer, row["question"], row["text"]),
                        len(prompt_ids(tokenizer, row["question"])),
                        random.Random(f"{seed}/{file.stem}/{row['problem_id']}").getrandbits(60))
                for row in rows]
    found: list[dict] = [{}] * len(rows)
    for batch in generate(model, tokenizer, requests, tag, MAX_NEW, BATCH_TOKENS, temperature,
                          f"{file.parent.name} {file.stem}", stop):
        for index, new in batch:
            ends = (i for i in range(len(new)) if new[i:i + len(tag)] == tag)
            found[index] = {
                "problem_id": rows[index]["problem_id"], "tokens": len(new),
                "until_verify": next(ends, len(new) - len(tag)) + len(tag),
                "text": (rows[index]["text"] + tokenizer.decode(
                    new, skip_special_tokens=True)).rstrip("\n")}
    measure(rows, found, model, tokenizer)
    write_text(file, json.dumps(found, ensure_ascii=False))
    return found


def measure(rows: list[dict], found: list[dict], model, tokenizer) -> None:
    """How sure the model was of each text: `surest`. A tag at the end without its line break
    would count as EXECUTE's."""
    texts = [row | {"text": before_verify(made["text"])} for row, made in zip(rows, found)]
    for made, values in zip(found, likelihoods(model, tokenizer, texts)):
        made["surest"] = values["execute_min"]


def reread(file: Path, rows: list[dict], model, tokenizer, first: list[dict]) -> list[dict]:
    """The texts of `right` with a VERIFY behind them whose adapter reads all of it itself."""
    if file.is_file():
        return json.loads(read_text(file))
    found, tag = [dict(made) for made in first], tag_ids(tokenizer)
    given = [f"{before_verify(made['text'])}{Stage.VERIFY.tag}\n" for made in first]
    requests = [Request(tag + partial_ids(tokenizer, row["question"], text), 0, 0)
                for row, text in zip(rows, given)]
    for batch in generate(model, tokenizer, requests, tag, MAX_NEW, BATCH_TOKENS,
                          label=file.parent.name):
        for index, new in batch:
            made = tokenizer.decode(new, skip_special_tokens=True)
            found[index] |= {"text": (given[index] + made).rstrip("\n"),
                             "tokens": first[index]["until_verify"] + len(new)}
    write_text(file, json.dumps(found, ensure_ascii=False))
    return found


def begun_again(row: ScoredRow) -> str:
    """The text up to the step that VERIFY blames, from which on it is written anew."""
    lines = before_verify(row.row["text"]).split("\n")
    start = lines.index(Stage.EXECUTE.tag) + 1
    blamed = next((i for i in range(start, len(lines))
                   if lines[i].startswith(f"{row.blamed}. ")), start)
    return "".join(f"{line}\n" for line in lines[:blamed])


def write(folder: Path, seeds: Iterable[int], recipes: Sequence[str] = RECIPES) -> None:
    """Train and generate what the folder lacks."""
    torch.set_num_threads(1)
    asked = natural_rows(load_problems("procedural", None, "test", count=ASKED, seed=0))
    for seed in seeds:
        for recipe in recipes:
            here, control = folder / f"{recipe}-{seed}", recipe in CONTROLS
            here.mkdir(parents=True, exist_ok=True)
            model, tokenizer = trained(recipe, seed, here)
            if recipe == "reread":
                reread(here / "greedy.json.gz", asked, model, tokenizer, json.loads(
                    read_text(folder / f"right-{seed}" / "greedy.json.gz")))
                continue
            last = written(here / "greedy.json.gz", asked, model, tokenizer, 0.0, seed, control)
            for sample in range(SAMPLES):
                written(here / f"sample-{sample}.json.gz", asked, model, tokenizer, TEMPERATURE,
                        seed, control)
            for again in range(0 if control else TRIES):
                texts = {made["problem_id"]: made["text"] for made in last}
                blamed = [row for row in (ScoredRow(row | {"text": texts[row["problem_id"]]})
                                          for row in asked if row["problem_id"] in texts)
                          if row.error and Stage.EXECUTE.tag in row.row["text"].split("\n")]
                last = written(here / f"try-{again}.json.gz",
                               [row.row | {"text": begun_again(row)} for row in blamed], model,
                               tokenizer, TEMPERATURE, seed, control)
            write_json(folder / "environment.json", describe())


def read(folder: Path, recipe: str, seed: int, asked: list[dict], below: float) -> list[Drawn]:
    """What a recipe wrote, a `Drawn` a problem."""
    texts = Texts()

    def table(name: str) -> dict[str, Text]:
        file = folder / f"{recipe}-{seed}" / f"{name}.json.gz"
        rows = {row["problem_id"]: row for row in asked}
        return {made["problem_id"]: Text(
            ScoredRow(rows[made["problem_id"]] | {"text": made["text"]}, texts), made["tokens"],
            made["until_verify"], made["surest"]) for made in json.loads(read_text(file))}

    greedy = table("greedy")
    samples = [table(f"sample-{each}") for each in range(0 if recipe == "reread" else SAMPLES)]
    tries = [table(f"try-{again}") for again in range(
        0 if recipe in (*CONTROLS, "reread") else TRIES)]
    return [Drawn(greedy[name], [part[name] for part in samples],
                  [part[name] for part in tries if name in part], below)
            for name in (row["problem_id"] for row in asked)]


def _vote(texts: Sequence[Text], second: bool) -> bool:
    """Whether the commonest a1 (second: a2) is right; of equally common ones the first drawn."""
    said = [text.row.a2 if second else text.row.a1 for text in texts]
    commonest = said.index(Counter(said).most_common(1)[0][0])
    return bool(texts[commonest].row.second if second else texts[commonest].row.first)


def _gate(drawn: Drawn) -> tuple[bool, int]:
    text = drawn.greedy
    doubt = text.surest is None or text.surest < drawn.below
    return bool(text.row.second if doubt else text.row.first), text.tokens


def _resampled(tries: int) -> Callable[[Drawn], tuple[bool, int]]:
    """Drawn anew from the blamed step; after the last try that is blamed, the greedy result."""
    def answer(drawn: Drawn) -> tuple[bool, int]:
        texts = [drawn.greedy, *drawn.tries[:tries]]
        kept = drawn.greedy if texts[-1].row.error else texts[-1]
        return bool(kept.row.first), sum(text.tokens for text in texts)

    return answer


def _accepted(drawn: Drawn) -> tuple[bool, int]:
    """A vote of the samples to which VERIFY does not object, of all where it objects to all."""
    kept = [text for text in drawn.samples if not text.row.error] or drawn.samples
    return _vote(kept, False), sum(text.tokens for text in drawn.samples)


def _voted(count: int, second: bool = False) -> Callable[[Drawn], tuple[bool, int]]:
    return lambda drawn: (_vote(drawn.samples[:count], second), sum(
        text.tokens if second else text.until_verify for text in drawn.samples[:count]))


def _likelier(drawn: Drawn) -> tuple[bool, int]:
    """Of the greedy text and a sample the one whose least likely token is the likelier."""
    two = (drawn.greedy, drawn.samples[0])
    best = max(two, key=lambda text: -np.inf if text.surest is None else text.surest)
    return bool(best.row.first), sum(text.until_verify for text in two)


ALONE = {
    "EXECUTE": lambda drawn: (bool(drawn.greedy.row.first), drawn.greedy.until_verify),
    "EXECUTE, the surer of two": _likelier,
    "EXECUTE, vote of four": _voted(SAMPLES)}
HEEDED = {
    "VERIFY repairs": lambda drawn: (bool(drawn.greedy.row.second), drawn.greedy.tokens),
    "VERIFY repairs in doubt": _gate}
CHECKED = HEEDED | {
    **{f"drawn anew, {n} {'try' if n == 1 else 'tries'}": _resampled(n) for n in (1, 2, 4)},
    "answers, vote of four": _voted(SAMPLES, True),
    "vote of those accepted of four": _accepted}
METHODS = tuple(Method(recipe, name, answer) for recipe, methods in {
    "reference": ALONE | CHECKED, **dict.fromkeys(CONTROLS, ALONE), "phases": CHECKED,
    "reread": HEEDED}.items() for name, answer in methods.items())


def score(folder: Path) -> dict:
    """What the result file holds: counts and tokens of every method, and differences.

    seeds: those that the folder holds, by recipe. verdicts: by recipe and seed, the traces by
    result, verdict and answer. right: right answers by seed, of n each; tokens: mean a
    problem; interval: of the share of right answers, seeds and problems drawn. against:
    differences in points to `reference`, EXECUTE, on the seeds that both have.
    """
    asked = natural_rows(load_problems("procedural", None, "test", count=ASKED, seed=0))
    last = {recipe: "try-{}" for recipe in RECIPES} | dict.fromkeys(CONTROLS, "sample-{}") | {
        "reread": "greedy"}
    seeds = {recipe: [seed for seed in SEEDS if (
        folder / f"{recipe}-{seed}" / f"{last[recipe].format(SAMPLES - 1)}.json.gz").is_file()]
        for recipe in RECIPES}
    drawn = {recipe: {seed: read(folder, recipe, seed, asked, BELOW)
                      for seed in seeds[recipe]} for recipe in RECIPES}

    def table(method: Method, only: Iterable[int]) -> np.ndarray:
        """(seeds, problems, right and tokens)."""
        return np.array([[method.answer(one) for one in drawn[method.recipe][seed]]
                         for seed in only], float)

    found = []
    for method in METHODS:
        every, both = seeds[method.recipe], [s for s in seeds[method.recipe]
                                             if s in seeds["reference"]]
        if both:
            right, tokens = np.moveaxis(table(method, every), -1, 0)
            less = table(method, both)[..., 0] - table(METHODS[0], both)[..., 0]
            found.append({"recipe": method.recipe, "method": method.name,
                          "right": right.sum(1).astype(int).tolist(), "tokens": tokens.mean(),
                          "interval": _interval(right), "against": {
                              "points": less.mean(), "interval": _interval(less)}})
    return {"seeds": seeds, "n": len(asked), "traces": TRACES, "samples": SAMPLES,
            "temperature": TEMPERATURE, "gate_below": BELOW, "methods": found,
            "verdicts": {recipe: [Counter(_case(one.greedy.row) for one in drawn[recipe][seed])
                                  for seed in seeds[recipe]]
                         for recipe in RECIPES if recipe not in CONTROLS},
            "environment": json.loads(read_text(folder / "environment.json"))}


def _case(row: ScoredRow) -> str:
    """What VERIFY made of a result: "wrong, objected, right" was found and repaired."""
    return ", ".join(("right" if row.first else "wrong", "objected" if row.error else "accepted",
                      "right" if row.second else "wrong"))


def _interval(values: np.ndarray) -> list[float] | None:
    """95 % of the mean of values (seeds, problems), both drawn."""
    return crossed_bootstrap(mean, np.stack([values, np.ones_like(values)], axis=-1))


def table(result: dict) -> Table:
    """The methods of a result file, cheapest first within each recipe."""
    rows = []
    for found in sorted(result["methods"], key=lambda found: (
            RECIPES.index(found["recipe"]), found["tokens"])):
        right, asked = sum(found["right"]), result["n"] * len(found["right"])
        low, high = (100 * limit for limit in found["interval"])
        points, (least, most) = found["against"]["points"], found["against"]["interval"]
        rows.append((found["recipe"], found["method"], f"{found['tokens']:.0f}",
                     f"{100 * right / asked:.1f} % ({right}/{asked}) [{low:.1f}–{high:.1f}]",
                     " ".join(f"{100 * each / result['n']:.1f}" for each in found["right"]),
                     f"{100 * points:+.1f} [{100 * least:+.1f} to {100 * most:+.1f}]"))
    return Table("", ("recipe", "method", "tokens ↓", "right ↑", "by seed, %",
                      "less EXECUTE of `reference`, points ↑"), tuple(rows))


def draw(result: dict) -> Figure:
    """Right answers over the tokens written for them, a mark a method with its interval."""
    figure, axes = plt.subplots(figsize=(PAGE, 3.6))
    for recipe, (colour, marker, label) in LOOKS.items():
        for found in (each for each in result["methods"] if each["recipe"] == recipe):
            value, (low, high) = sum(found["right"]) / result["n"] / len(found["right"]), \
                found["interval"]
            axes.errorbar(found["tokens"], value, [[value - low], [high - value]], fmt=marker,
                          color=colour, markersize=4, elinewidth=0.7, label=label)
            label = None
            if (recipe, found["method"]) in NAMED:
                axes.annotate(found["method"], (found["tokens"], value), textcoords="offset points",
                              xytext=NAMED[recipe, found["method"]], fontsize=7, color=colour,
                              va="center")
    axes.set_xlabel("tokens written for a problem")
    axes.set_ylabel("right answers ↑")
    axes.yaxis.set_major_formatter("{x:.0%}")
    figure.legend(loc="outside lower center", ncols=2)
    return figure


if __name__ == "__main__":
    what, folder = sys.argv[1], Path(sys.argv[2]) if sys.argv[2:] else None
    if what == "write":
        seeds = [int(one) for one in sys.argv[3:] if one not in RECIPES] or SEEDS
        write(folder, seeds, [one for one in sys.argv[3:] if one in RECIPES] or RECIPES)
    elif what == "score":
        write_result(RESULT, score(folder))
    else:
        use_style()
        save_figure(draw(json.loads(read_text(RESULT))), paths.FIGURES / "equal-tokens",
                    "equal_tokens", "Right answers over the tokens written for a problem, "
                    "with 95 % intervals over seeds and problems.")
