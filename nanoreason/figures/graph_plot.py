"""Where the nodes of a dependency graph stand, and how their values are written in them.

One layout for every drawing (figures with matplotlib, pages with SVG): layers from the
question's quantities down to the last step. Left out on purpose: crossings are not counted
and not minimised; the graphs have a dozen nodes at most, and lanes keep chains straight.
"""
from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from fractions import Fraction

import matplotlib.pyplot as plt
import networkx as nx
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from nanoreason.evaluation.rows import graph_of
from nanoreason.figures.plots import GREY, PAGE, RED
from nanoreason.figures.trace_view import MARKS, MARK_COLOURS, Line, TraceView, visible
from nanoreason.stages import Stage

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


WIDTH = 60  # characters of a line of a drawn trace
LINE_HEIGHT = 0.145  # inches
FEWEST_LINES = 12  # a shorter trace stands at the top of a figure of this height


def trace_figure(row: Mapping) -> Figure:
    """A row of generations.jsonl in one figure of the page's width: text, and graph.

    Raises ValueError for a row without its text.
    """
    view = TraceView.of_row(row)
    figure, (left, right) = plt.subplots(1, 2, figsize=(PAGE, trace_height(view)),
                                         width_ratios=(1.05, 1))
    draw_trace(view, left)
    draw_graph(graph_of(row["text"], row["question"]), right, view.wrong_step)
    return figure


def draw_trace(view: TraceView, axes: Axes, width: int = WIDTH) -> Axes:
    """A trace as text: a coloured bar a stage, ✓ or ✗ a line (the program's, see `report`).

    width: characters of a line before it is broken. Draw it in axes of `trace_height`.
    """
    lines = _wrapped(view, width)
    for y, line in enumerate(lines):
        colour = line.stage.colour if line.stage else "#BBBBBB"
        axes.add_patch(Rectangle((0, y), 0.012, 1, facecolor=colour, edgecolor="none"))
        text = axes.text(0.03, y + 0.5, line.text, va="center", fontsize=7, parse_math=False,
                         color=colour if line.is_tag else "#222222",
                         fontweight="bold" if line.is_tag else "normal")
        if line.mark is not None:
            axes.annotate(f"{MARKS[line.mark]} {line.note}".strip(), (1, 0.5), (4, 0),
                          xycoords=text, textcoords="offset points", va="center", fontsize=7,
                          color=MARK_COLOURS[line.mark])
    axes.set(xlim=(0, 1), ylim=(max(len(lines), FEWEST_LINES), 0))
    axes.set_axis_off()
    return axes


def trace_height(view: TraceView, width: int = WIDTH) -> float:
    """The height in inches of a figure that holds `draw_trace`."""
    return LINE_HEIGHT * max(len(_wrapped(view, width)), FEWEST_LINES)


def _wrapped(view: TraceView, width: int) -> list[Line]:
    """Question and lines of a trace, broken at `width`; the mark stands after the last part."""
    lines = []
    for line in [Line(None, view.question), *view.lines]:
        note = visible(line.note)
        room = max(20, width - len(note) - 2 * bool(note))
        parts = textwrap.wrap(visible(line.text), room, subsequent_indent="    ")
        for place, part in enumerate(parts, 1):
            last = place == len(parts)
            lines.append(Line(line.stage, part, line.mark if last else None,
                              note if last else "", line.is_tag))
    return lines


def draw_graph(graph: nx.DiGraph, axes: Axes, wrong_step: int | None = None) -> Axes:
    """A dependency graph, one layer a depth: quantities just above their first use.

    graph: of `graph.dependency_graph`. Squares: quantities of the question; diamonds:
    constants; circles: values of EXECUTE; hexagons: numbers without a source. Red: the
    first wrong step, if given, values of false equations, numbers without a source.
    """
    axes.set_axis_off()
    if not len(graph):
        axes.text(0.5, 0.5, "no dependency graph:\nEXECUTE cannot be read", ha="center",
                  va="center", transform=axes.transAxes, color=GREY)
        return axes
    places = layered_layout(graph)
    looks = {"given": ("s", Stage.UNDERSTAND.colour), "step": ("o", Stage.EXECUTE.colour),
             "constant": ("D", GREY), "unknown": ("h", RED)}
    for kind, (shape, colour) in looks.items():
        nodes = [node for node, k in graph.nodes(data="kind") if k == kind]
        wrong = [kind == "step" and (node[1] == wrong_step or graph.nodes[node]["holds"] is False)
                 for node in nodes]
        nx.draw_networkx_nodes(graph, places, nodes, node_shape=shape, node_color="white",
                               edgecolors=[RED if w else colour for w in wrong],
                               linewidths=1.4, node_size=330, ax=axes)
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
    name = "step {}" if max(across) - min(across) <= 4 * SIDE else "{}."
    for node in (node for node in graph if node[0] == "step"):
        axes.annotate(name.format(node[1]), places[node], (12, 0), textcoords="offset points",
                      fontsize=7, va="center", color=GREY)
    axes.set_xlim(min(across) - 0.6, max(max(across), min(across) + 2 * SIDE) + 0.6)
    axes.set_ylim(min(y for _, y in places.values()) - 0.5, 0.5)
    return axes
