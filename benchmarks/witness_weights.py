"""Learn the weights of `nanoreason.witness` from GSM8K, without labels.

An operand whose value one quantity or one earlier result alone has shows its source. Among all
quantities and earlier results, whatever their values, the weights are those that make these
sources likeliest (a conditional logit with a Gaussian prior of deviation 1).

    python benchmarks/witness_weights.py PATH/TO/gsm8k
"""
from __future__ import annotations

import argparse
import json
from collections import Counter
from pathlib import Path

import numpy as np
from scipy.optimize import minimize

from nanoreason.attribution import Attribution
from nanoreason.data import load_problems
from nanoreason.gsm8k import readable_drafts
from nanoreason.paths import ROOT
from nanoreason.solutions import Unteachable
from nanoreason.witness import weigh

LEAST = 50  # sources that must have a feature
HELD_OUT = 5  # every fifth problem tells how often the likeliest source is the right one


def choices(problem) -> list[list[dict]]:
    """For each operand of one possible source: the features of all, the right one's first."""
    try:
        drafts, graph = readable_drafts(problem)
    except Unteachable:
        return []
    whole, found = Attribution(drafts, graph, problem.question), []
    for line, value, rule, beside in whole.places():
        right = whole.possible(line, value)
        everything = [*(("given", index) for index in range(len(whole.quoted))),
                      *(("step", k) for k in range(1, line + 1))]
        if right == [rule] and len(everything) > 1:
            everything.remove(rule)
            found.append([beside.features(source) for source in (rule, *everything)])
    return found


def matrix(found: list[list[dict]], names: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """(features of all sources, where each operand's begin)."""
    columns = {name: column for column, name in enumerate(names)}
    sizes = [len(sources) for sources in found]
    features = np.zeros((sum(sizes), len(names)))
    for row, source in enumerate(source for sources in found for source in sources):
        for name, value in source.items():
            if name in columns:
                features[row, columns[name]] = value
    return features, np.cumsum([0, *sizes[:-1]])


def fit(features: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """The weights that make the first source of each operand likeliest."""
    group = np.repeat(np.arange(len(starts)), np.diff([*starts, len(features)]))
    right = features[starts].sum(axis=0)

    def loss(weights):
        scores = features @ weights
        scores -= np.maximum.reduceat(scores, starts)[group]
        likely = np.exp(scores)
        totals = np.add.reduceat(likely, starts)
        value = np.log(totals).sum() - scores[starts].sum() + weights @ weights / 2
        return value, features.T @ (likely / totals[group]) - right + weights

    start = np.zeros(features.shape[1])
    return minimize(loss, start, jac=True, method="L-BFGS-B", options={"maxiter": 300}).x


def accuracy(found: list[list[dict]], weights: dict[str, float]) -> float:
    """How often the right source weighs most; chance is one in the number of sources."""
    return float(np.mean([max(range(len(s)), key=lambda i: weigh(s[i], weights)) == 0
                          for s in found]))


def learn(found: list[list[dict]]) -> dict[str, float]:
    """The weights by the names of their features."""
    seen = Counter(name for sources in found for source in sources for name in source)
    names = sorted(name for name, count in seen.items() if count >= LEAST)
    return dict(zip(names, fit(*matrix(found, names)).round(3).tolist()))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("path", type=Path, help="GSM8K's file of training problems, or its folder")
    parser.add_argument("--out", type=Path, default=ROOT / "nanoreason/assets/witness.json")
    args = parser.parse_args()
    problems = [choices(problem) for problem in load_problems("gsm8k", args.path, "train+dev")]
    tested = [c for k, found in enumerate(problems) if not k % HELD_OUT for c in found]
    rest = [c for k, found in enumerate(problems) if k % HELD_OUT for c in found]
    every = [choice for found in problems for choice in found]
    report = {"operands": len(every), "held_out": len(tested),
              "held_out_right": accuracy(tested, learn(rest)),
              "chance": float(np.mean([1 / len(sources) for sources in tested])),
              "weights": learn(every)}
    args.out.write_text(json.dumps(report, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    print({name: value for name, value in report.items() if name != "weights"})


if __name__ == "__main__":
    main()
