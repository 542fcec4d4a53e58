"""Learn the weights of `nanoreason.witness` from GSM8K's training set, in two stages.

    python benchmarks/witness_weights.py PATH/TO/gsm8k

1. Without labels. An operand whose value one quantity or one earlier result alone has shows its
   source. Among all quantities and earlier results, whatever their values, the weights are those
   that make these sources likeliest (a conditional logit with a Gaussian prior of deviation 1).
2. From the traces that were read first (round 1 in `nanoreason/assets/readings.csv`): among the
   sources of an operand's value the one that it has by that reading. The weights of the first
   stage, scaled as these traces want it, are the prior's mean.

Every fifth problem is held out to tell how often the likeliest source is the right one; in the
second stage each fifth in turn, with one prior, of all problems and without labels.
"""
from __future__ import annotations

import argparse
import json
from collections import Counter
from pathlib import Path

import numpy as np
from scipy.optimize import minimize

from nanoreason.data.gsm8k.attribution import Attribution
from nanoreason.data import load_problems
from nanoreason.graph.builder import sources_of
from nanoreason.data.gsm8k.teacher import readable_drafts
from nanoreason.paths import ROOT
from nanoreason.data.gsm8k.teacher import written_lines
from nanoreason.data.gsm8k.readings import RIGHT, fingerprint, node_of, readings
from nanoreason.data.gsm8k.solutions import Unteachable
from nanoreason.data.gsm8k.witness import NONE, candidates, weigh

LEAST, LEAST_READ = 50, 20  # sources that must have a feature, in either stage
HELD_OUT = 5
BEFORE = "learned before"  # the feature whose value is what the first stage says
PRECISION = 3.0  # of the second stage's prior

Choice = list[dict[str, float]]  # the features of all sources, the right one's first


def choices(drafts, graph, question: str) -> list[Choice]:
    """The operands of one possible source, among all quantities and earlier results."""
    whole, found = Attribution(drafts, graph, question), []
    for line, value, rule, beside in whole.places():
        right = whole.possible(line, value)
        everything = [*(("given", index) for index in range(len(whole.quoted))),
                      *(("step", k) for k in range(1, line + 1))]
        if right == [rule] and len(everything) > 1:
            everything.remove(rule)
            found.append([beside.features(source) for source in (rule, *everything)])
    return found


def judged(drafts, graph, question: str) -> tuple[list[Choice], list[bool]]:
    """The operands that a reading tells the source of, among those of their value, and whether
    the rule finds it too. After the first fault of a trace nothing is known."""
    ruled = sources_of(graph)
    read = readings().get(fingerprint(question, written_lines(drafts), ruled))
    found, same = [], []
    if read is None or read["round"] != "1" or read["verdict"] != RIGHT and not read["line"]:
        return found, same
    fault = None if read["verdict"] == RIGHT else (int(read["line"]), int(read["operand"]))
    for line, operand, sources in candidates(drafts, graph, question):
        right = rule = ruled[line - 1][operand - 1]
        if (line, operand) == fault:
            value = graph.nodes["step", line]["operands"][operand - 1][0]
            right = node_of(read["source"], value)
            right = right if right in sources else NONE
        if len(sources) > 1:
            found.append([sources[right], *(f for s, f in sources.items() if s != right)])
            same.append(right == rule)
        if (line, operand) == fault:
            break
    return found, same


def matrix(found: list[Choice], names: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """(features of all sources, where each operand's begin)."""
    columns = {name: column for column, name in enumerate(names)}
    sizes = [len(sources) for sources in found]
    features = np.zeros((sum(sizes), len(names)))
    for row, source in enumerate(source for sources in found for source in sources):
        for name, value in source.items():
            if name in columns:
                features[row, columns[name]] = value
    return features, np.cumsum([0, *sizes[:-1]])


def fit(features: np.ndarray, starts: np.ndarray, mean: np.ndarray, precision: float
        ) -> np.ndarray:
    """The weights that make the first source of each operand likeliest, under the prior."""
    group = np.repeat(np.arange(len(starts)), np.diff([*starts, len(features)]))
    right = features[starts].sum(axis=0)

    def loss(weights):
        scores = features @ weights
        scores -= np.maximum.reduceat(scores, starts)[group]
        likely = np.exp(scores)
        totals = np.add.reduceat(likely, starts)
        off = weights - mean
        value = np.log(totals).sum() - scores[starts].sum() + precision * (off @ off) / 2
        return value, features.T @ (likely / totals[group]) - right + precision * off

    return minimize(loss, mean, jac=True, method="L-BFGS-B", options={"maxiter": 300}).x


def names_of(found: list[Choice], least: int) -> list[str]:
    seen = Counter(name for sources in found for source in sources for name in source)
    return sorted(name for name, count in seen.items() if count >= least)


def learn(found: list[Choice]) -> dict[str, float]:
    """The weights of the first stage by the names of their features."""
    names = names_of(found, LEAST)
    return dict(zip(names, fit(*matrix(found, names), np.zeros(len(names)), 1.0)))


def learn_from_readings(found: list[Choice], before: dict[str, float]) -> dict[str, float]:
    """The weights after the second stage."""
    told = [[source | {BEFORE: weigh(source, before)} for source in sources] for sources in found]
    names = names_of(told, LEAST_READ)
    mean = np.array([float(name == BEFORE) for name in names])
    weights = dict(zip(names, fit(*matrix(told, names), mean, PRECISION)))
    scale = weights.pop(BEFORE)
    return {name: weights.get(name, 0.0) + scale * before.get(name, 0.0)
            for name in sorted({*weights, *before})}


def hits(found: list[Choice], weights: dict[str, float]) -> list[bool]:
    """Whether the right source weighs most, for each operand."""
    return [max(range(len(s)), key=lambda i: weigh(s[i], weights)) == 0 for s in found]


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("path", type=Path, help="GSM8K's file of training problems, or its folder")
    parser.add_argument("--out", type=Path, default=ROOT / "nanoreason/assets/witness.json")
    args = parser.parse_args()
    alone, read = [], []
    for problem in load_problems("gsm8k", args.path, "train+dev"):
        try:
            drafts, graph = readable_drafts(problem)
        except Unteachable:
            drafts, graph = [], None
        alone.append(choices(drafts, graph, problem.question) if drafts else [])
        read.append(judged(drafts, graph, problem.question) if drafts else ([], []))

    tested = [c for k, found in enumerate(alone) if not k % HELD_OUT for c in found]
    rest = [c for k, found in enumerate(alone) if k % HELD_OUT for c in found]
    every = [choice for found in alone for choice in found]
    before = learn(every)
    right, ruled = [], [same for _, sames in read for same in sames]
    for fold in range(HELD_OUT):
        weights = learn_from_readings(
            [c for k, (found, _) in enumerate(read) if k % HELD_OUT != fold for c in found], before)
        right.append([(hit, same) for k, (found, sames) in enumerate(read)
                      if k % HELD_OUT == fold for hit, same in zip(hits(found, weights), sames)])
    pairs = [pair for fold in right for pair in fold]
    weights = learn_from_readings([c for found, _ in read for c in found], before)
    report = {
        "alone": {"operands": len(every), "held_out": len(tested),
                  "right": float(np.mean(hits(tested, learn(rest)))),
                  "chance": float(np.mean([1 / len(sources) for sources in tested]))},
        "read": {"traces": sum(bool(found) for found, _ in read), "operands": len(pairs),
                 "right_by_rule": sum(ruled), "right": sum(hit for hit, _ in pairs),
                 "right_where_rule_wrong": sum(hit for hit, same in pairs if not same)},
        "weights": {name: round(weight, 3) for name, weight in weights.items()}}
    args.out.write_text(json.dumps(report, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    print({name: value for name, value in report.items() if name != "weights"})


if __name__ == "__main__":
    main()
