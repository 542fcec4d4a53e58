"""The figures, drawn from the files of runs and from nothing else.

Each function takes axes and what it draws (metrics.csv, summary.json, or one row), and
returns the axes. Stages have their colours everywhere, with a marker or a hatch beside the
colour; every estimate has its 95 % interval; a null stands beside what it is the null of.
`save_figure` writes PDF and PNG with fixed metadata, so the same run gives the same bytes.
"""
from __future__ import annotations

import io
import json
from collections.abc import Iterable, Mapping, Sequence
from itertools import product
from pathlib import Path

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from PIL import Image

from nanoreason import paths
from nanoreason.evaluation.report import share
from nanoreason.figures.tables import CAUGHT, CHAIN, NO_VERIFY_LOSS
from nanoreason.figures.trace_view import MARK_COLOURS
from nanoreason.files import write_json
from nanoreason.host import GivenError
from nanoreason.stages import GROUPS, SPLITS, Stage

COLUMN, PAGE = 3.3, 6.8  # inches: the width of one column and of the page
BLACK, GREY, RED = "#222222", "#666666", MARK_COLOURS[False]
COLOURS = {stage.value.lower(): stage.colour for stage in Stage} | {"transition": GREY}
MARKERS = dict(zip(GROUPS, "os^Dx"))
A1, A2 = Stage.EXECUTE.colour, Stage.VERIFY.colour  # who states it: EXECUTE's result, VERIFY's
ANSWERS = {"a1": ("result of EXECUTE (a1)", A1, "o"), "a2": ("answer (a2)", A2, "D"),
           "lenient": ("last number", GREY, "s")}
SPLIT_LABELS = dict(zip(SPLITS, ("test", "larger numbers", "new situations", "more steps")))
SMOOTHED = 20  # steps of the running mean, as many as the dynamic weights look back


def use_style() -> None:
    """Switch matplotlib to the project's one style file."""
    plt.style.use(paths.asset("style.mplstyle"))


def few_colours(png: bytes) -> bytes:
    """A PNG with 256 colours: it looks the same and takes a third of the room."""
    image, few = Image.open(io.BytesIO(png)), io.BytesIO()
    image.convert("RGB").quantize(256, dither=Image.Dither.NONE).save(
        few, "PNG", optimize=True, dpi=image.info.get("dpi", (72, 72)))
    return few.getvalue()


def save_figure(figure: Figure, folder: Path, name: str, caption: str,
                smoke: bool = False) -> tuple[Path, Path]:
    """Write <name>.pdf and <name>.png (200 dpi) and put the caption into captions.json.

    caption: what is seen, and the runs by name. smoke: a run too small for a result, which
    figure and caption then say. Raises ValueError for an empty caption.
    """
    if not caption.strip():
        raise GivenError(f"figure {name!r} has no caption: say what it shows and of which run")
    if smoke:
        caption = f"SMOKE run, too few traces for a result. {caption}"
        figure.supxlabel("SMOKE RUN", x=0.99, ha="right", fontsize=8, color=RED)
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    pdf, png = folder / f"{name}.pdf", folder / f"{name}.png"
    figure.savefig(pdf, metadata={"Creator": "nanoreason", "Producer": "matplotlib",
                                  "CreationDate": None})
    pixels = io.BytesIO()
    figure.savefig(pixels, dpi=200)
    png.write_bytes(few_colours(pixels.getvalue()))
    captions = folder / "captions.json"
    there = json.loads(captions.read_text(encoding="utf-8")) if captions.exists() else {}
    write_json(captions, dict(sorted({**there, name: " ".join(caption.split())}.items())))
    return pdf, png


def plot_loss(metrics, axes: Axes) -> Axes:
    """Mean loss of each group (nats per token, logarithmic) over optimiser steps.

    metrics: the DataFrame of metrics.csv. Thin: each step; thick: running mean of 20.
    """
    _plot_groups(metrics, axes, "loss", "loss (nats per token)")
    axes.set_yscale("log")  # tags start above 10 nats, copied tokens end below 0.001
    return axes


def plot_token_accuracy(metrics, axes: Axes) -> Axes:
    """Share of each group's supervised tokens predicted right, over optimiser steps; dotted:
    of the words by which VERIFY objects, where the metrics have them."""
    _plot_groups(metrics, axes, "accuracy", "tokens predicted right")
    if "objection_accuracy" in metrics and metrics["objection_accuracy"].notna().any():
        mean = metrics["objection_accuracy"].rolling(SMOOTHED, min_periods=1, center=True).mean()
        dotted = axes.plot(metrics["step"], mean, color=Stage.VERIFY.colour, linestyle=":",
                           label="objections of VERIFY")
        axes.legend(handles=dotted, loc="lower right")  # the groups share one outside
    axes.set_ylim(0, 1.02)
    axes.yaxis.set_major_formatter("{x:.0%}")
    return axes


def _plot_groups(metrics, axes: Axes, what: str, label: str) -> None:
    window, every = max(1, min(SMOOTHED, len(metrics) // 5)), max(1, len(metrics) // 8)
    for place, group in enumerate(GROUPS):
        values = metrics[f"{group}_{what}"]
        if values.isna().all():  # a group without supervised tokens in this phase
            continue
        mean = values.rolling(window, min_periods=1, center=True).mean()
        # Few tokens are tags, so their line is the most restless: it lies below the stages'.
        below = 1 if group == "transition" else 2
        axes.plot(metrics["step"], values, color=COLOURS[group], linewidth=0.3, alpha=0.15,
                  zorder=1)
        axes.plot(metrics["step"], mean, color=COLOURS[group], label=group.upper(),
                  linewidth=1, zorder=below, marker=MARKERS[group],
                  markevery=(place * every // 5, every), markersize=3.5)
    axes.set(xlabel="optimiser step", ylabel=label)


def plot_accuracy(summary: Mapping, axes: Axes) -> Axes:
    """Share right by EXECUTE's result (a1), VERIFY's answer (a2) and last number, per split.

    Hollow: the untouched base; filled: tuned. The base was never shown the four stages and
    states neither a1 nor a2, so only the last number of its text is drawn. Whiskers: Wilson
    95 %.
    """
    sections, splits = _over_splits(summary)
    for place, (model, name) in enumerate([("base", "lenient"), *product(("tuned",), ANSWERS)]):
        part, (label, *look) = "accuracy" if model == "tuned" else "base", ANSWERS[name]
        draw_scores(axes, [(x + 0.17 * (place - 1.5), section[part][name])
                           for x, section in sections if section[part]],
                    *look, f"{model}, {label if name == 'lenient' else name}", model == "tuned")
    return _draw_percent(axes, "traces that are right", splits)


def plot_verdicts(section: Mapping | None, axes: Axes, title: str = "") -> Axes:
    """How often each case occurs: a1 right or not, verdict, a2 right or not.

    section: a mapping with `cells` (a split of summary.json, or its `given`), None = not
    run. Rows are what EXECUTE came to and what VERIFY said; the framed cells are the two
    successes of SVR.
    """
    if not section or not section.get("cells"):
        return draw_not_run(axes, title)
    rows = list(product((False, True), (True, False)))  # a1 right, verdict an error
    count = {(c["a1_right"], c["verdict_error"], c["a2_right"]): c["count"]
             for c in section["cells"]}
    largest = max(1, *count.values())
    for (y, (first, error)), (x, second) in product(enumerate(rows), enumerate((True, False))):
        n = count[first, error, second]
        success = second and first is not error
        axes.add_patch(Rectangle((x, y), 1, 1, facecolor=plt.cm.Greys(0.65 * n / largest),
                                 edgecolor="white", linewidth=1))
        axes.text(x + 0.5, y + 0.5, str(n), ha="center", va="center", fontsize=8,
                  color="white" if n / largest > 0.75 else "#222222",
                  fontweight="bold" if success else "normal")
        if success:
            axes.add_patch(Rectangle((x + 0.05, y + 0.05), 0.9, 0.9, fill=False,
                                     edgecolor=A2, linewidth=1.5))
    axes.set(xlim=(0, 2), ylim=(4, 0))
    axes.set_xticks((0.5, 1.5), ["a2 right", "a2 wrong"])
    axes.set_yticks((0.5, 1.5, 2.5, 3.5), [
        f"a1 {'right' if first else 'wrong'},\nVERIFY {'objects' if error else 'agrees'}"
        for first, error in rows])
    axes.tick_params(length=0)
    axes.grid(False)
    axes.spines[:].set_visible(False)
    axes.set_title(f"{title} (n={sum(count.values())})".strip())
    return axes


def plot_svr(summary: Mapping, axes: Axes) -> Axes:
    """SVR per split for the model's own traces, and for given ones, each with its null."""
    sections, splits = _over_splits(summary)
    own = [(x - 0.1, section["verification"]["svr"]) for x, section in sections
           if section["verification"]]
    given = [(x + 0.2, section["given"]["verification"]["svr"]) for x, section in sections
             if section["given"]]
    draw_scores(axes, own, A2, "D", "own answers")
    draw_scores(axes, given, A2, "s", "injected and clean", False)
    _draw_nulls(axes, own + given)
    return _draw_percent(axes, "SVR", splits)


def plot_faithfulness(section: Mapping | None, axes: Axes) -> Axes:
    """Edge F1 with its null, causal rate and RFS, over all traces and by their answer.

    section: the `faithfulness` of one split of summary.json, None = not run.
    """
    if not section:
        return draw_not_run(axes, "faithfulness")
    names, nulls = ("edge_f1", "causal_rate", "rfs"), []
    for shift, side, scores, *look, filled in (
            (-0.22, "all traces", section, BLACK, "o", True),
            (0, "right answers", section["right"], GREY, "^", True),
            (0.22, "wrong answers", section["wrong"], GREY, "v", False)):
        points = [(x + shift, scores[name]) for x, name in enumerate(names) if scores[name]]
        draw_scores(axes, points, *look, side, filled)
        nulls += points
    _draw_nulls(axes, nulls)
    for x, name in enumerate(names):
        if section[name] is None:
            axes.text(x, 0.03, "not run", ha="center", fontsize=7, color=GREY)
    return _draw_percent(axes, "faithfulness", ["edge F1", "causal rate", "RFS"])


def plot_kinds(kinds: Mapping | None, axes: Axes) -> Axes:
    """By kind of injected error: shares detected, located and repaired, Wilson 95 %.

    kinds: `given.kinds` of a split of summary.json, None = not run.
    """
    if not kinds:
        return draw_not_run(axes, "injected errors")
    for shift, score, *look in ((-0.22, "detected", GREY, "o"), (0, "located", A1, "^"),
                                (0.22, "repaired", A2, "D")):
        points = [(x + shift, scores[score]) for x, scores in enumerate(kinds.values())]
        draw_scores(axes, points, *look, CAUGHT[score])
    return _draw_percent(axes, "injected errors", [
        "\n".join([*name.replace("_", " ").split(" "), f"n={scores['detected']['counts'][1]}"])
        for name, scores in kinds.items()])


def plot_ledger(sections: Mapping[str, Mapping | None], axes: tuple[Axes, Axes]) -> None:
    """Left: how many traces with a wrong result are left after each part of the chain, Wilson
    95 %. Right: the gain of VERIFY if that part alone were exact.

    sections: label -> ledger and verification of a split, or of its `given`; None = not run.
    """
    sections = {label: found if (found or {}).get("verification") else None
                for label, found in sections.items()}
    if not any(sections.values()):
        draw_not_run(axes[0], "ledger")
        axes[1].set_axis_off()
        return
    stages = {name.removeprefix("wrong_"): name for name, *_ in CHAIN.values() if name}
    parts = [part for *_, part in CHAIN.values() if part]
    for shift, look, (label, section) in zip((-0.1, 0.1), ((A2, "D", True), (A2, "s", False)),
                                             sections.items()):
        if not section:
            continue
        found = section["ledger"]
        whole, gains = found["wrong_checked"]["counts"][1], [section["verification"]["delta"]]
        colour, marker, filled = look
        draw_scores(axes[0], [(x + shift, share(found[name]["counts"][0], whole))
                              for x, name in enumerate(stages.values()) if whole],
                    colour, marker, f"{label} (n={whole})", filled)
        gains += [found[f"delta_if_{part}"] for part in parts]
        draw_scores(axes[1], [(y + shift, score) for y, score in enumerate(gains)], colour,
                    marker, label, filled, sideways=True)
    _draw_percent(axes[0], "wrong traces that get so far", list(stages), rotation=35, ha="right",
                  rotation_mode="anchor")
    draw_points(axes[1], "points gained if this were exact",
                ["as it is", *(part.replace("_", " ") for part in parts)])


def plot_differences(summary: Mapping, axes: Axes) -> Axes:
    """This run less another on the same problems: difference, paired bootstrap 95 %.

    By result of EXECUTE, answer and last number; the base on every split that was run, and
    the further runs of `others` on the split test. Right of zero this run is better. What
    differs by construction is left out: the base states neither result nor answer, without
    the loss of VERIFY there is no answer after it, and a gate leaves the result as it is.
    """
    found = [(f"{label}, untouched base", summary["splits"][split]["comparison"], ("lenient",))
             for split, label in SPLIT_LABELS.items() if summary["splits"].get(split)]
    gate = f"{summary.get('run')}, "  # before the words for what a gate leaves of this run
    for name, result in summary["others"].items():
        blind = name in summary.get("no_verify_loss", ())
        label = NO_VERIFY_LOSS if blind else name.replace(gate, "itself behind a ")
        found.append((f"test, {label}", result, ("a1",) if blind else
                      ("a2", "lenient") if name.startswith(gate) else ANSWERS))
    found = [(name, result, fair) for name, result, fair in found if result]
    if not found:
        return draw_not_run(axes, "difference")
    for shift, (of, (label, *look)) in zip((-0.22, 0, 0.22), ANSWERS.items()):
        points = [(y + shift, {**result[of], "value": result[of]["difference"]})
                  for y, (_, result, fair) in enumerate(found)
                  if of in fair and result.get(of) and result[of]["n"]]
        if points:  # else the legend would name what is nowhere drawn
            draw_scores(axes, points, *look, label, sideways=True)
    return draw_points(axes, "points of accuracy, this run less the other",
                       [f"{name}\nn={result['a1']['n']}" for name, result, _ in found])


def draw_not_run(axes: Axes, title: str) -> Axes:
    """Axes that say `not run` under a title."""
    axes.set_title(title)
    axes.set_axis_off()
    axes.text(0.5, 0.5, "not run", ha="center", transform=axes.transAxes, color=GREY)
    return axes


def draw_points(axes: Axes, label: str, rows: Sequence[str]) -> Axes:
    """A horizontal axis of differences in points, with a line at 0, and what stands at 0, 1, 2 …
    of the vertical one, from the top."""
    def points(value: float, _) -> str:
        found = round(100 * value, 1)
        return f"{found:+g}" if found else "0"

    axes.axvline(0, color=RED, linewidth=0.9)
    axes.set_yticks(range(len(rows)), rows, parse_math=False)
    axes.set(ylim=(len(rows) - 0.5, -0.5), xlabel=label)
    axes.xaxis.set_major_formatter(points)
    return axes


def draw_scores(axes: Axes, points: Iterable[tuple], colour: str, marker: str, label: str,
                filled: bool = True, sideways: bool = False) -> None:
    """Scores at their places, with intervals; a score over nothing is written as n/a.

    points: (place, mapping with `value` and `interval`). sideways: places are on the
    vertical axis.
    """
    known = [(place, score) for place, score in points if score["value"] is not None]
    for place, score in points:
        if score["value"] is None:
            axes.text(place, 0.03, "n/a", ha="center", fontsize=7, color=GREY)
    places, values = [place for place, _ in known], [score["value"] for _, score in known]
    limits = [score["interval"] or (score["value"],) * 2 for _, score in known]
    # A percentile interval may leave out the value itself by a hair.
    reach = [[max(0, value - low) for value, (low, _) in zip(values, limits)],
             [max(0, high - value) for value, (_, high) in zip(values, limits)]]
    where = {"x": values, "y": places, "xerr": reach} if sideways else {
        "x": places, "y": values, "yerr": reach}
    axes.errorbar(**where, fmt=marker, color=colour, elinewidth=0.9, capsize=2, label=label,
                  markerfacecolor=colour if filled else "white")


def _draw_nulls(axes: Axes, points: Iterable[tuple]) -> None:
    found = [(place, score["null"]) for place, score in points if score["null"] is not None]
    axes.scatter([x for x, _ in found], [y for _, y in found], marker="_", s=60, color=RED,
                 linewidths=1.4, label="null", zorder=3)


def _over_splits(summary: Mapping) -> tuple[list[tuple[int, Mapping]], list[str]]:
    """(place on the axis, section) of the splits that were run, and what all are called there."""
    sections = [summary["splits"].get(split) for split in SPLIT_LABELS]
    return [(x, section) for x, section in enumerate(sections) if section], [
        f"{label}\n".replace(" ", "\n") + (f"n={section['n']}" if section else "not run")
        for label, section in zip(SPLIT_LABELS.values(), sections)]


def _draw_percent(axes: Axes, label: str, places: Sequence[str], **look) -> Axes:
    """A vertical axis from 0 to 100 %, and what stands at 0, 1, 2 … of the horizontal one."""
    axes.set_xticks(range(len(places)), places, parse_math=False, **look)
    axes.set_xlim(-0.5, len(places) - 0.5)
    axes.set_ylim(-0.02, 1.02)
    axes.set_ylabel(label)
    axes.yaxis.set_major_formatter("{x:.0%}")
    return axes
