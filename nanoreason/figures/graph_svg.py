"""A dependency graph as inline SVG: shapes, lines and escaped text, nothing else.

For pages that must stay safe and small: no style sheet, no identifier, no reference and no
script, so a page may hold any number of them. The looks are those of
`trace_figures.draw_graph`: squares are quantities of the question, circles values of
EXECUTE, diamonds constants, hexagons numbers without a source; red is wrong, dashed is dead.
"""
from __future__ import annotations

from math import cos, hypot, pi, sin

import networkx as nx

from nanoreason.figures.graph_plot import SIDE, layered_layout, number_label
from nanoreason.figures.trace_view import MARK_COLOURS, safe
from nanoreason.stages import Stage

ACROSS, DOWN = 88, 54  # pixels of one step of the layout
RADIUS, MARGIN = 17, 24
GREY, RED = "#666666", MARK_COLOURS[False]
COLOURS = {"given": Stage.UNDERSTAND.colour, "step": Stage.EXECUTE.colour, "constant": GREY,
           "unknown": RED}


def graph_svg(graph: nx.DiGraph, wrong_step: int | None = None) -> str:
    """The graph as an `<svg>` element, or as a sentence where there is no graph.

    graph: of `graph.dependency_graph`. wrong_step: the first wrong step, if it is known.
    """
    if not len(graph):
        return (f'<div style="color:{GREY}">no dependency graph: EXECUTE cannot be read</div>')
    grid = layered_layout(graph)
    left, top = min(x for x, _ in grid.values()), max(y for _, y in grid.values())
    places = {node: (MARGIN + ACROSS * (x - left), MARGIN + DOWN * (top - y))
              for node, (x, y) in grid.items()}
    width = max(x for x, _ in places.values()) + MARGIN + 44  # room for "step 3"
    height = max(y for _, y in places.values()) + MARGIN
    past = {(a, b) for a, b in graph.edges
            if places[a][0] == places[b][0] and places[b][1] - places[a][1] > DOWN + 1}
    parts = [_arrow(places[a], places[b], (a, b) in past) for a, b in graph.edges]
    for node in graph:
        parts += _node(graph, node, places[node], wrong_step)
    label = f"dependency graph: {graph.number_of_nodes()} numbers, {graph.number_of_edges()} uses"
    return (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" '
            f'width="{width:.0f}" height="{height:.0f}" role="img" aria-label="{safe(label)}" '
            f'font-family="sans-serif" font-size="10">{"".join(parts)}</svg>')


def _node(graph: nx.DiGraph, node: tuple, place: tuple[float, float],
          wrong_step: int | None) -> list[str]:
    data, (x, y) = graph.nodes[node], place
    kind = data["kind"]
    wrong = kind == "step" and (node[1] == wrong_step or data["holds"] is False)
    look = (f'fill="#ffffff" stroke="{RED if wrong else COLOURS[kind]}" stroke-width="1.6"'
            + (' stroke-dasharray="3 2"' if data.get("dead") else ""))
    if kind == "step":
        shape = f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{RADIUS}" {look}/>'
    elif kind == "given":
        size = 2 * RADIUS - 4
        shape = (f'<rect x="{x - size / 2:.1f}" y="{y - size / 2:.1f}" width="{size}" '
                 f'height="{size}" {look}/>')
    else:
        corners = 4 if kind == "constant" else 6
        points = " ".join(f"{x + (RADIUS + 2) * sin(2 * pi * k / corners):.1f},"
                          f"{y - (RADIUS + 2) * cos(2 * pi * k / corners):.1f}"
                          for k in range(corners))
        shape = f'<polygon points="{points}" {look}/>'
    label = number_label(data["value"])
    size = 10 if len(label) <= 5 else 8 if len(label) <= 7 else 6.5
    parts = [shape, f'<text x="{x:.1f}" y="{y + 3.5:.1f}" text-anchor="middle" '
                    f'font-size="{size}">{safe(label)}</text>']
    if kind == "step":
        parts.append(f'<text x="{x + RADIUS + 3:.1f}" y="{y + 3.5:.1f}" fill="{GREY}" '
                     f'font-size="9">step {safe(node[1])}</text>')
    return parts


def _arrow(start: tuple[float, float], end: tuple[float, float], bends: bool) -> str:
    """A line between two nodes' rims with a head; one past other nodes bends round them."""
    (x, y), (to_x, to_y) = start, end
    side = (x - ACROSS * SIDE / 2, (y + to_y) / 2)  # the control point of the bend
    far = side if bends else start
    length = hypot(to_x - far[0], to_y - far[1]) or 1
    along = (to_x - far[0]) / length, (to_y - far[1]) / length
    tip = to_x - (RADIUS + 2) * along[0], to_y - (RADIUS + 2) * along[1]
    base = tip[0] - 6 * along[0], tip[1] - 6 * along[1]
    wings = [(base[0] + turn * along[1], base[1] - turn * along[0]) for turn in (3, -3)]
    head = " ".join(f"{a:.1f},{b:.1f}" for a, b in (tip, *wings))
    first = side if bends else end
    away = hypot(first[0] - x, first[1] - y) or 1
    x, y = (x + (RADIUS + 1) * (first[0] - x) / away, y + (RADIUS + 1) * (first[1] - y) / away)
    way = (f"M{x:.1f},{y:.1f} " + (f"Q{side[0]:.1f},{side[1]:.1f} " if bends else "L")
           + f"{base[0]:.1f},{base[1]:.1f}")
    return (f'<path d="{way}" fill="none" stroke="{GREY}" stroke-width="1"/>'
            f'<polygon points="{head}" fill="{GREY}"/>')
