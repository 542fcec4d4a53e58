"""Where the nodes of a dependency graph stand, and how their values are written in them.

One layout for every drawing (figures with matplotlib, pages with SVG): layers from the
question's quantities down to the last step. Left out on purpose: crossings are not counted
and not minimised; the graphs have a dozen nodes at most, and lanes keep chains straight.
"""
from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

import networkx as nx

LANE, SIDE = 1.6, 0.8  # steps of the horizontal grid
LONGEST = 8  # characters of a value as written into a node


def layered_layout(graph: nx.DiGraph) -> dict[tuple, tuple[float, float]]:
    """Places of the nodes: every node one layer above its first use, the last ones below.

    A step stands in the lane of a step that it uses, a step that uses none in a new one;
    a quantity stands above or beside the step that it is for.
    """
    depth: dict[tuple, int] = {}
    order = list(nx.topological_sort(graph))
    bottom = nx.dag_longest_path_length(graph)
    for node in reversed(order):
        depth[node] = min((depth[target] for target in graph.successors(node)),
                          default=bottom + 1) - 1
    top = min(depth.values())
    across: dict[tuple, float] = {}
    taken: set[tuple[int, float]] = set()
    steps = [node for node in order if graph.nodes[node]["kind"] == "step"]
    for node in steps:
        used = [across[source] for source in graph.predecessors(node) if source in across]
        lanes = [x for x in used if (depth[node], x) not in taken]
        across[node] = min(lanes, default=None) if lanes else _free(
            taken, depth[node], [LANE * place for place in range(len(steps) + 1)
                                 if LANE * place not in across.values()])
        taken.add((depth[node], across[node]))
    for node in order:
        if node not in across:
            user = min(graph.successors(node), key=lambda step: (depth[step], step))
            sides = [across[user] + SIDE * side for side in (0, 1, -1, 2, -2, 3, -3, 4, 5, 6)]
            across[node] = _free(taken, depth[node], sides)
            taken.add((depth[node], across[node]))
    return {node: (across[node], float(top - depth[node])) for node in graph}


def _free(taken: set, layer: int, wanted: Sequence[float]) -> float:
    """The first of the wanted places of a layer that is not taken."""
    return next((x for x in wanted if (layer, x) not in taken),
                max((x for _, x in taken), default=0.0) + SIDE)


def number_label(value: Fraction) -> str:
    """A value in at most about LONGEST characters: `24`, `0.3333`, `1.23e+45`; any size."""
    sign, value = "-" if value < 0 else "", abs(value)
    if value.denominator == 1 and len(str(value)) <= LONGEST:
        return f"{sign}{value}"
    if value < 10**9 and (value > Fraction(1, 10**9) or not value):
        return f"{sign}{float(value):.4g}"
    large = value >= 1  # beyond what a float holds, perhaps: only digits are looked at
    digits = str(int(value if large else 1 / value))
    if large:
        return f"{sign}{digits[0]}.{digits[1:3]}e+{len(digits) - 1}"
    return f"{sign}1/{digits[0]}.{digits[1:3]}e+{len(digits) - 1}"
