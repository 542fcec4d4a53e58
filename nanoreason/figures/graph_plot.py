"""A dependency graph, drawn by matplotlib, alone or beside its trace.

One layout for all: layers from the question's quantities down to the last step. Left out on
purpose: crossings are not counted and not minimised; the graphs have a dozen nodes at most,
and lanes keep chains straight.
"""
from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from decimal import Decimal
from fractions import Fraction

import matplotlib.pyplot as plt
import networkx as nx
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from nanoreason.evaluation.rows import read_row
from nanoreason.figures.plots import BLACK, GREY, PAGE, RED
from nanoreason.figures.trace_view import MARKS, MARK_COLOURS, Line, TraceView, visible
from nanoreason.stages import Stage

LANE, SIDE = 1.6, 0.8  # steps of the horizontal grid
LONGEST = 8  # characters of a value as written into a node
LOOKS = {"given": ("s", Stage.UNDERSTAND.colour), "step": ("o", Stage.EXECUTE.colour),
         "constant": ("D", GREY), "unknown": ("h", RED)}
WIDTH = 60  # characters of a line of a drawn trace
LINE_HEIGHT = 0.145  # inches
FEWEST_LINES = 12  # a shorter trace stands at the top of a figure of this height


def layered_layout(graph: nx.DiGraph) -> dict[tuple, tuple[float, float]]:
    """Places of the nodes: every node one layer above its first use, the last ones below.

    A step stands in the lane of a step that it uses, a step that uses none in a new one;
    a quantity stands above or beside the step that it is for.
    """
    order = list(nx.topological_sort(graph))
    bottom, depth = nx.dag_longest_path_length(graph), {}
    for node in reversed(order):
        depth[node] = min((depth[target] for target in graph.successors(node)),
                          default=bottom + 1) - 1
    top = min(depth.values())
    across: dict[tuple, float] = {}
    taken: set[tuple[int, float]] = set()

    def stand(node: tuple, wanted: Sequence[float]) -> None:
        """Take the first of the wanted places of the node's layer that is free."""
        layer = depth[node]
        across[node] = next((x for x in wanted if (layer, x) not in taken),
                            max((x for _, x in taken), default=0.0) + SIDE)
        taken.add((layer, across[node]))

    steps = [node for node in order if graph.nodes[node]["kind"] == "step"]
    for node in steps:
        used = sorted(across[source] for source in graph.predecessors(node) if source in across)
        lanes = [LANE * place for place in range(len(steps) + 1)]
        stand(node, used + [x for x in lanes if x not in across.values()])
    for node in order:
        if node not in across:
            user = min(graph.successors(node), key=lambda step: (depth[step], step))
            stand(node, [across[user] + SIDE * side
                         for side in (0, 1, -1, 2, -2, 3, -3, 4, 5, 6)])
    return {node: (across[node], float(top - depth[node])) for node in graph}


def number_label(value: Fraction) -> str:
    """A value in at most about LONGEST characters: `24`, `0.3333`, `1.235e+45`; any size."""
    if value.denominator == 1 and abs(value) < 10**LONGEST:
        return str(value)
    # A decimal holds what is too large or too small for a float.
    return f"{Decimal(value.numerator) / value.denominator:.4g}"


def draw_graph(graph: nx.DiGraph, axes: Axes, wrong_step: int | None = None) -> Axes:
    """A dependency graph, one layer a depth: quantities just above their first use.

    graph: of `graph.dependency_graph`. Squares: quantities of the question; diamonds:
    constants; circles: values of EXECUTE; hexagons: numbers without a source. Red: the
    first wrong step, if given, values of false equations, numbers without a source. A dashed
    rim: a step that the result does not use.
    """
    axes.set_axis_off()
    if not len(graph):
        axes.text(0.5, 0.5, "no dependency graph:\nEXECUTE cannot be read", ha="center",
                  va="center", transform=axes.transAxes, color=GREY)
        return axes
    places = layered_layout(graph)
    for kind, (shape, colour) in LOOKS.items():
        nodes = [node for node, k in graph.nodes(data="kind") if k == kind]
        wrong = [kind == "step" and (node[1] == wrong_step or graph.nodes[node]["holds"] is False)
                 for node in nodes]
        drawn = nx.draw_networkx_nodes(
            graph, places, nodes, node_shape=shape, node_color="white", linewidths=1.4,
            node_size=330, edgecolors=[RED if w else colour for w in wrong], ax=axes)
        if any(graph.nodes[node].get("dead") for node in nodes):
            drawn.set_linestyle(["--" if graph.nodes[node].get("dead") else "-"
                                 for node in nodes])
    # An edge straight down past another layer would run through the nodes between.
    past = [(a, b) for a, b in graph.edges
            if places[a][0] == places[b][0] and places[a][1] - places[b][1] > 1]
    for edges, bend in (([e for e in graph.edges if e not in past], "arc3"),
                        (past, "arc3,rad=0.4")):
        nx.draw_networkx_edges(graph, places, edges, ax=axes, edge_color=GREY, width=0.8,
                               arrowsize=7, node_size=360, connectionstyle=bend)
    labels = {node: number_label(graph.nodes[node]["value"]) for node in graph}
    nx.draw_networkx_labels(graph, places, labels, font_size=7, ax=axes)
    across = [x for x, _ in places.values()]
    for node in (node for node in graph if node[0] == "step"):
        # The line's number in EXECUTE; below the rim, where no neighbour of the layer stands.
        axes.annotate(f"{node[1]}.", places[node], (8, -6), textcoords="offset points",
                      fontsize=6, va="top", color=GREY)
    axes.set_xlim(min(across) - 0.6, max(max(across), min(across) + 2 * SIDE) + 0.6)
    axes.set_ylim(min(y for _, y in places.values()) - 0.5, 0.5)
    return axes


def trace_figure(row: Mapping) -> Figure:
    """A row of generations.jsonl in one figure of the page's width: text, and graph.

    A coloured bar a stage, ✓ or ✗ a line (the program's, see `trace_view`). Raises
    ValueError for a row without its text.
    """
    view = TraceView.of_row(row)
    lines = _wrapped(view)
    height = max(len(lines), FEWEST_LINES)
    figure, (left, right) = plt.subplots(1, 2, figsize=(PAGE, LINE_HEIGHT * height),
                                         width_ratios=(1.05, 1))
    for y, line in enumerate(lines):
        colour = line.stage.colour if line.stage else "#BBBBBB"
        left.add_patch(Rectangle((0, y), 0.012, 1, facecolor=colour, edgecolor="none"))
        text = left.text(0.03, y + 0.5, line.text, va="center", fontsize=7, parse_math=False,
                         color=colour if line.is_tag else BLACK,
                         fontweight="bold" if line.is_tag else "normal")
        if line.mark is not None:
            left.annotate(f"{MARKS[line.mark]} {line.note}".strip(), (1, 0.5), (4, 0),
                          xycoords=text, textcoords="offset points", va="center", fontsize=7,
                          color=MARK_COLOURS[line.mark])
    left.set(xlim=(0, 1), ylim=(height, 0))
    left.set_axis_off()
    draw_graph(read_row(row).graph, right, view.wrong_step)
    return figure


def _wrapped(view: TraceView) -> list[Line]:
    """Question and lines of a trace, broken at WIDTH; the mark stands after the last part."""
    lines = []
    for line in [Line(None, view.question), *view.lines]:
        note = visible(line.note)
        room = max(20, WIDTH - len(note) - 2 * bool(note))
        parts = textwrap.wrap(visible(line.text), room, subsequent_indent="    ")
        lines += [Line(line.stage, part, is_tag=line.is_tag) for part in parts[:-1]]
        lines += [line._replace(text=part, note=note) for part in parts[-1:]]
    return lines
