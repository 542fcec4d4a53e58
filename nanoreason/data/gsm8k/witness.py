"""Which source a worked solution means by a number, where its value leaves a choice.

The graph has the numbers of EXECUTE and the wording of the question. The teacher also has the
solution, which often says what a number counts (`12 tablespoons * 3` where the question has 12
tablespoons and a dozen cupcakes). What speaks for a source is weighed whatever the values (see
`attribution`), besides what the rule of `provenance` finds, and the probability of a source is

    p(source) = exp(s(source)) / sum over the sources of its value of exp(s)

with s = sum of weight * feature. A named constant and a number that stands nowhere are sources
too. The weights are learned by `benchmarks/witness_weights.py` (a conditional logit, McFadden
1974), first without labels: nearly all operands have a value that one source alone can have,
and these teach how solutions speak of their sources. Then on traces of GSM8K's training set
that were read (see `readings`), with what was learned before as the prior.
"""
from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files

import networkx as nx

from nanoreason.data.gsm8k.attribution import Attribution, Features
from nanoreason.data.gsm8k.solutions import Draft
from nanoreason.graph.provenance import constants_of

NONE = ("none",)  # the source of a number that stands nowhere


@dataclass(frozen=True)
class Meant:
    """The likeliest source of an operand and how likely it is among those of its value."""

    source: tuple
    probability: float


@lru_cache(maxsize=1)
def weights() -> dict[str, float]:
    """The weight of each feature, from the file that `benchmarks/witness_weights.py` writes."""
    text = files("nanoreason").joinpath("assets/witness.json").read_text(encoding="utf-8")
    return json.loads(text)["weights"]


def weigh(features: Features, by: Mapping[str, float]) -> float:
    """The sum of a source's features by their weights; one without a weight counts nothing."""
    return sum(by.get(name, 0.0) * value for name, value in features.items())


def candidates(drafts: Sequence[Draft], graph: nx.DiGraph, question: str
               ) -> Iterator[tuple[int, int, dict[tuple, Features]]]:
    """(line, operand, features of every source of its value) of each operand, both from 1.

    graph: of the EXECUTE that `drafts` write, without unknown operands.
    """
    whole, constants = Attribution(drafts, graph, question), constants_of(question)
    doubtful, position, before = set(graph.graph["doubtful"]), 0, -1
    for k, value, rule, beside in whole.places():
        position = position + 1 if k == before else 1
        before = k
        sources = whole.possible(k, value)
        if value in constants or rule[0] == "constant":
            sources.append(("constant", str(value)))
        sources += [source for source in (rule, NONE) if source not in sources]
        doubt = f"line {k + 1} operand {position}" in doubtful
        found = {}
        for source in sources:
            features = beside.features(source) or {source[0]: 1.0}
            if source == rule:
                features |= {"rule": 1.0, f"rule {source[0]}": 1.0, "rule in doubt": float(doubt)}
            elif doubt and source[0] in ("constant", "none"):
                features[f"{source[0]} for a doubtful one"] = 1.0
            found[source] = features
        yield k + 1, position, found


def meant(drafts: Sequence[Draft], graph: nx.DiGraph, question: str) -> list[list[Meant]]:
    """The source that the solution means by each operand, line after line."""
    found: list[list[Meant]] = [[] for _ in drafts]
    for line, _, sources in candidates(drafts, graph, question):
        scores = {source: weigh(features, weights()) for source, features in sources.items()}
        best = max(scores, key=scores.get)
        likely = [math.exp(score - scores[best]) for score in scores.values()]
        found[line - 1].append(Meant(best, 1 / sum(likely)))
    return found
