"""Figures of single questions: which errors are caught, what follows a change, what differs.

As in `figures`: each function takes what it draws and axes, and returns the axes; every
estimate has its 95 % interval, and what was not run says so. Names that come from rows are
drawn as they are, never read as formulas.
"""
from __future__ import annotations

from collections.abc import Mapping

from matplotlib.axes import Axes

from nanoreason.figures import A1, A2, GREY, RED, SPLIT_LABELS, draw_not_run, draw_percent, draw_scores
from nanoreason.summary import SPLITS

FOUND = {"detected": ("verdict is an error", GREY, "o", True),
         "located": ("right step blamed", A1, "^", True),
         "repaired": ("answer repaired", A2, "D", True)}
COMPARED = {"a1": ("result of EXECUTE (a1)", A1, "o"), "a2": ("answer (a2)", A2, "D"),
            "lenient": ("last number", GREY, "s")}


def plot_kinds(kinds: Mapping | None, axes: Axes) -> Axes:
    """By kind of planted error: shares detected, located and repaired, Wilson 95 %.

    kinds: `given.kinds` of a split of summary.json, None = not run.
    """
    if not kinds:
        return draw_not_run(axes, "planted errors")
    names = list(kinds)
    for shift, (score, (label, *look)) in zip((-0.22, 0, 0.22), FOUND.items()):
        points = [(x + shift, kinds[name][score]) for x, name in enumerate(names)]
        draw_scores(axes, points, *look[:2], label, look[2])
    labels = [f"{name.replace('_', ' ').replace(' ', chr(10))}\nn={kinds[name]['detected']['counts'][1]}"
              for name in names]
    axes.set_xticks(range(len(names)), labels, parse_math=False)
    axes.set_xlim(-0.5, len(names) - 0.5)
    draw_percent(axes, "planted errors")
    return axes


def plot_causal(causal: Mapping | None, axes: Axes) -> Axes:
    """The causal rate by operation and by depth of the changed line, Wilson 95 %.

    causal: `faithfulness.causal` of a split of summary.json, None = not run.
    """
    if not causal or not causal["operation"]:
        return draw_not_run(axes, "causal rate")
    names = [*causal["operation"], *causal["depth"]]
    scores = [*causal["operation"].values(), *causal["depth"].values()]
    split = len(causal["operation"])
    places = [x + (x >= split) * 0.6 for x in range(len(names))]
    for part, colour, marker, label in ((slice(0, split), "#222222", "o", "by operation"),
                                        (slice(split, None), A1, "^", "by depth")):
        draw_scores(axes, list(zip(places, scores))[part], colour, marker, label)
    labels = [name if x < split or not name.isdigit() else f"depth {name}"
              for x, name in enumerate(names)]
    axes.set_xticks(places, [f"{label} (n={score['counts'][1]})"
                             for label, score in zip(labels, scores)],
                    rotation=35, ha="right", rotation_mode="anchor", parse_math=False)
    axes.set_xlim(-0.5, places[-1] + 0.5)
    draw_percent(axes, "changes that are followed")
    return axes


def plot_differences(summary: Mapping, axes: Axes) -> Axes:
    """This run less another on the same problems: difference, paired bootstrap 95 %.

    By result of EXECUTE, answer and last number; the base on every split that was run, and
    the further runs of `others` on the split test. Right of zero this run is better.
    """
    found = [(f"{SPLIT_LABELS[split]}, base", section["comparison"])
             for split in SPLITS if (section := summary["splits"].get(split))
             and section["comparison"]]
    found += [(f"test, {name}", result) for name, result in summary["others"].items() if result]
    if not found:
        return draw_not_run(axes, "difference")
    axes.axvline(0, color=RED, linewidth=0.9)
    for shift, (of, (label, colour, marker)) in zip((-0.22, 0, 0.22), COMPARED.items()):
        points = [(y + shift, result[of]) for y, (_, result) in enumerate(found)
                  if result.get(of) and result[of]["n"]]
        values = [result["difference"] for _, result in points]
        limits = [result["interval"] for _, result in points]
        axes.errorbar(values, [y for y, _ in points], xerr=[
            [max(0, v - low) for v, (low, _) in zip(values, limits)],
            [max(0, high - v) for v, (_, high) in zip(values, limits)]],
            fmt=marker, color=colour, elinewidth=0.9, capsize=2, label=label)
    names = [f"{name}\nn={result['a1']['n']}" for name, result in found]
    axes.set_yticks(range(len(found)), names, parse_math=False)
    axes.set_ylim(len(found) - 0.5, -0.5)
    axes.set_xlim(-1.02, 1.02)
    axes.set_xlabel("points of accuracy, this run less the other")
    axes.xaxis.set_major_formatter(lambda value, _: f"{100 * value:+.0f}" if value else "0")
    return axes
