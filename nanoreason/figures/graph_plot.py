"""A dependency graph, drawn by matplotlib: into axes, as SVG for a page, beside its trace.

One layout for all: layers from the question's quantities down to the last step. Left out on
purpose: crossings are not counted and not minimised; the graphs have a dozen nodes at most,
and lanes keep chains straight.

`write_examples` makes a page of example traces: of every case what there is, right and wrong
alike. What a trace comes to has eight cases: whether EXECUTE's result (a1) is right, what VERIFY
says of it, whether the final answer (a2) is right. For each of them the page counts the
rows, and shows some that a seed draws, with the program's marks on each line and the
dependency graph of EXECUTE. One static HTML file: inline style, inline SVG, every character
of a row escaped, and a policy in its head that lets nothing be loaded or run.

No example is chosen by hand. Whoever wants a certain trace finds it by its id in
generations.jsonl.
"""
from __future__ import annotations

import io
import random
import re
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction
from pathlib import Path

import matplotlib.pyplot as plt
import networkx as nx
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from nanoreason import paths
from nanoreason.evaluation.report import SEED
from nanoreason.evaluation.rows import name_of, read_row, read_rows
from nanoreason.evaluation.summary import SMOKE_BELOW
from nanoreason.figures.plots import BLACK, GREY, PAGE, RED
from nanoreason.figures.trace_view import MARKS, MARK_COLOURS, Line, TraceView, safe, visible
from nanoreason.files import write_text
from nanoreason.runs import Run
from nanoreason.stages import SPLITS, Stage

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
    """A value in at most about LONGEST characters: `24`, `0.3333`, `1.23e+45`; any size."""
    sign, value = "-" if value < 0 else "", abs(value)
    if value.denominator == 1 and len(str(value)) <= LONGEST:
        return f"{sign}{value}"
    if value < 10**9 and (value > Fraction(1, 10**9) or not value):
        return f"{sign}{float(value):.4g}"
    # Beyond what a float holds, perhaps: only digits are looked at.
    digits = str(int(max(value, 1 / value)))
    return f"{sign}{'1/' * (value < 1)}{digits[0]}.{digits[1:3]}e+{len(digits) - 1}"


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
    name = "step {}" if max(across) - min(across) < 4 * SIDE else "{}."
    for node in (node for node in graph if node[0] == "step"):
        axes.annotate(name.format(node[1]), places[node], (12, 0), textcoords="offset points",
                      fontsize=7, va="center", color=GREY)
    axes.set_xlim(min(across) - 0.6, max(max(across), min(across) + 2 * SIDE) + 0.6)
    axes.set_ylim(min(y for _, y in places.values()) - 0.5, 0.5)
    return axes


def graph_svg(graph: nx.DiGraph, wrong_step: int | None = None) -> str:
    """The drawing of `draw_graph` as an `<svg>` element: the same graph, the same text.

    Numbers stay text, and nothing in it is named by chance: what another element of the
    drawing refers to bears a name made of its content, so a page may hold any number of them.
    """
    text, names = io.StringIO(), {"Date": None, "Creator": None, "Format": None, "Type": None}
    with plt.style.context(paths.asset("style.mplstyle")), plt.rc_context({"svg.fonttype": "none"}):
        figure = Figure(layout="none")
        axes = draw_graph(graph, figure.add_axes((0, 0, 1, 1)), wrong_step)
        size = [abs(high - low) for low, high in (axes.get_xlim(), axes.get_ylim())]
        figure.set_size_inches(0.85 * size[0] + 0.9 * (not graph), 0.6 * size[1])
        for drawn in axes.get_children():
            drawn.set_clip_on(False)
        figure.savefig(text, format="svg", transparent=True, metadata=names)
    label = f"dependency graph: {graph.number_of_nodes()} numbers, {graph.number_of_edges()} uses"
    drawing = re.sub(r'<g id="[^"]*">', "<g>", text.getvalue())
    return drawing[drawing.index("<svg"):].replace(
        "<svg", f'<svg role="img" aria-label="{label}"', 1)


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


PAGE_HTML = "examples.html"
WHAT = {"natural": "the model's own traces", "injected": "EXECUTE given, injected errors and clean",
        "clean": "EXECUTE given, injected errors and clean"}  # by setting
CASES = {  # (a1 right, verdict an error, a2 right)
    (False, True, True): "found and repaired", (False, True, False): "found, not repaired",
    (False, False, True): "missed, yet right in the end", (False, False, False): "missed",
    (True, True, True): "false alarm, no harm done", (True, True, False): "spoiled",
    (True, False, True): "confirmed and kept", (True, False, False): "confirmed, then lost"}
NAMED = 5  # rows left out that are named, of each reason
HEAD = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><meta http-equiv="Content-Security-Policy" \
content="default-src &#x27;none&#x27;; style-src &#x27;unsafe-inline&#x27;">\
<title>Example traces of {run}</title></head>
<body style="font:14px/1.5 sans-serif;color:#222222;background:#ffffff;max-width:72em;\
margin:1em auto;padding:0 1em">
<h1>Example traces of the run {run}</h1>"""
HOW_TO_READ = (
    "<p>Each case of a1 (EXECUTE's result), verdict and a2 (the final answer), with {each} of its "
    "traces drawn by seed {seed}. ✓ and ✗ are the program's marks, not the model's: whether a "
    "line's equations are true, a result or an answer equals the right one, a verdict is the "
    "right one. In the graphs squares are quantities of the question and circles values of "
    "EXECUTE; red is wrong, a dashed rim marks a step that the result does not use.</p>")


def write_examples(run: Run, seed: int = SEED, each: int = 1) -> Path:
    """Write examples.html into a run's folder from its generations.jsonl; its path.

    each: traces shown of every case. Bad lines of the file are counted and named on the page.
    """
    rows, faults = run.scan_generations()
    write_text(run.path(PAGE_HTML), examples_page(rows, run.name, faults, seed, each))
    return run.path(PAGE_HTML)


def examples_page(rows: Iterable[Mapping], run: str, faults: Sequence[str] = (),
                  seed: int = SEED, each: int = 1) -> str:
    """The page as HTML. faults: "line k: why" of lines that are no rows at all."""
    table = read_rows(rows)
    parts: dict[tuple[str, str], list[Mapping]] = {}
    for row in (scored.row for scored in table):
        if row["setting"] in WHAT:
            part = str(row.get("split") or "test"), WHAT[row["setting"]]
            parts.setdefault(part, []).append(row)
    body = [HEAD.format(run=safe(run))]
    own = [len(found) for (_, what), found in parts.items() if what == WHAT["natural"]]
    if max(own, default=0) < SMOKE_BELOW:
        body.append("<p><b>SMOKE run, too few traces for a result.</b></p>")
    body.append(HOW_TO_READ.format(each=each, seed=seed))
    reasons = {f"{len(faults)} lines that are no rows": faults} if faults else {}
    reasons |= {f"{len(names)} rows, {reason}": names for reason, names in table.left_out.items()}
    body.append("<p>Left out:</p>" if reasons else
                "<p>Every line of the file is a row that can be read.</p>")
    body += [f"<p>{safe(reason)}: {safe('; '.join(names[:NAMED]))}"
             f"{'; ...' * (len(names) > NAMED)}</p>" for reason, names in reasons.items()]
    for split, what in sorted(parts, key=lambda part: (
            SPLITS.index(part[0]) if part[0] in SPLITS else len(SPLITS), part[0],
            part[1] != WHAT["natural"])):
        found = parts[split, what]
        body.append(f"<h2>{safe(split)}: {what} (n={len(found)})</h2>")
        members: dict[tuple, list[Mapping]] = {case: [] for case in CASES}
        for row in found:
            reading = read_row(row)
            members[reading.first, reading.error, reading.second].append(row)
        for case, own in members.items():
            body.append(f"<h3>{describe(*case)}: {len(own)} of {len(found)}</h3>")
            body += _drawn(own, seed, each)
    return "\n".join(body) + "\n</body></html>\n"


def describe(first: bool, error: bool, second: bool) -> str:
    """A case in words: `a1 wrong, verdict error, a2 right (found and repaired)`."""
    return (f"a1 {'right' if first else 'wrong'}, verdict {'error' if error else 'correct'}, "
            f"a2 {'right' if second else 'wrong'} ({CASES[first, error, second]})")


def _drawn(members: Sequence[Mapping], seed: int, each: int) -> Iterable[str]:
    """Some rows of one case, whichever the seed draws, in the order of their names."""
    shown = sorted((row for row in members if isinstance(row.get("text"), str)
                    and isinstance(row.get("question"), str)), key=name_of)
    if len(shown) < len(members):
        yield (f"<p>{len(members) - len(shown)} of them hold no text (their source keeps the "
               "rights to it), so there is nothing to show.</p>")
    for row in random.Random(seed).sample(shown, min(each, len(shown))):
        view, planted = TraceView.of_row(row), row.get("planted") or {}
        note = (f"<div>injected: {safe(planted.get('kind'))} in step "
                f"{safe(planted.get('step'))}</div>") * bool(planted)
        graph = graph_svg(read_row(row).graph, view.wrong_step)
        yield ('<div style="display:flex;flex-wrap:wrap;gap:1em;border-top:1px solid #cccccc;'
               f'padding:6px 0"><div style="flex:1 1 30em">{note}{view.html()}</div>'
               f'<div style="flex:0 0 auto">{graph}</div></div>')
