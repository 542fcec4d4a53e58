"""How likely a worked solution means the source that the graph finds for a number.

The graph has the numbers of EXECUTE and the wording of the question. The teacher also has the
solution, which often says what a number counts (`12 tablespoons * 3` where the question has 12
tablespoons and a dozen cupcakes). It cannot hand that on, because a trace shows numbers alone;
but where the solution speaks for another source, the trace would teach a wrong dependency.

What speaks for a source is weighed whatever the values (see `attribution`), and the weights are
learned without labels: nearly all operands have a value that one source alone can have, and
these teach how solutions speak of their sources (`benchmarks/witness_weights.py`, a conditional
logit, McFadden 1974). So the probability of a source is

    p(source) = exp(s(source)) / sum over the sources of its value of exp(s)

with s = WORDS * (sum of weight * feature), plus RULE for the source that the rule of
`provenance` finds, plus OTHER_UNIT where the number counts something else. A named constant and
a number that stands nowhere are sources too, of a fixed s. The five numbers are set on
traces of GSM8K's training set whose sources were read one by one.
"""
from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from functools import lru_cache
from importlib.resources import files

import networkx as nx

from nanoreason.attribution import Attribution, Beside, Features, other_unit
from nanoreason.constants import constants_of
from nanoreason.solutions import Draft

WORDS, RULE, OTHER_UNIT = 0.7, 0.8, -1.4
CONSTANT, NOWHERE = -1.7, -4.5
NONE = ("none",)  # the source of a number that stands nowhere


@lru_cache(maxsize=1)
def weights() -> dict[str, float]:
    """The weight of each feature, from the file that `benchmarks/witness_weights.py` writes."""
    text = files("nanoreason").joinpath("assets/witness.json").read_text(encoding="utf-8")
    return json.loads(text)["weights"]


def weigh(features: Features, by: Mapping[str, float]) -> float:
    """The sum of a source's features by their weights; one without a weight counts nothing."""
    return sum(by.get(name, 0.0) * value for name, value in features.items())


def likelihoods(drafts: Sequence[Draft], graph: nx.DiGraph, question: str) -> list[list[float]]:
    """How likely the graph's source of each operand is the one meant, line after line.

    graph: of the EXECUTE that `drafts` write, without unknown operands.
    """
    whole, constants = Attribution(drafts, graph, question), constants_of(question)
    found: list[list[float]] = [[] for _ in drafts]
    for line, value, rule, beside in whole.places():
        sources = whole.possible(line, value)
        if value in constants or rule[0] == "constant":
            sources.append(("constant", str(value)))
        sources += [source for source in (rule, NONE) if source not in sources]
        scores = {source: _score(source, beside) + RULE * (source == rule) for source in sources}
        most = max(scores.values())
        likely = {source: math.exp(score - most) for source, score in scores.items()}
        found[line].append(likely[rule] / sum(likely.values()))
    return found


def _score(source: tuple, beside: Beside) -> float:
    if source[0] == "constant":
        return CONSTANT
    if source == NONE:
        return NOWHERE
    features = beside.features(source)
    return WORDS * weigh(features, weights()) + OTHER_UNIT * features.get(other_unit(source), 0.0)
