"""VERIFY against the size of the model, drawn from the result file of `gpu.py` alone.

    python benchmarks/gpu_figure.py [GPU.json]

On the model's own generations: how often EXECUTE is right, and, of the recipes that train
VERIFY on errors, its gain, recall and specificity. Each mark is one seed of the adapters with
its 95 % interval; lines join the means over seeds. What was not measured is not there.
"""
from __future__ import annotations

import json
import sys
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from nanoreason import paths
from nanoreason.figures.plots import BLACK, GREY, PAGE, save_figure, use_style
from nanoreason.files import read_text
from nanoreason.stages import Stage

LOOKS = {"99": (Stage.UNDERSTAND.colour, "o", "traces as published, base read to 99"),
         "199": (Stage.PLAN.colour, "s", "traces as published, base read to 199"),
         "columns": (Stage.VERIFY.colour, "D", "VERIFY by columns"),
         "right": (GREY, "^", "control: right traces alone"),
         "careful": (Stage.EXECUTE.colour, "v", "control: EXECUTE by columns")}
CONTROLS = ("right", "careful")  # never shown an error: they have no VERIFY to speak of
PANELS = {"accuracy_a1": "EXECUTE right (a1) ↑", "delta": "gain of VERIFY (a2 less a1), points ↑",
          "recall": "recall of the verdict ↑", "specificity": "specificity of the verdict ↑"}


def plot_against_size(result: Mapping, axes: Axes, score: str) -> Axes:
    """One score of every cell and seed over the parameters of the base (logarithmic)."""
    parameters = {base["size"]: base["parameters"] for base in result["bases"].values()}
    for place, (recipe, (colour, marker, label)) in enumerate(LOOKS.items()):
        points = defaultdict(list)
        for cell in result["cells"].values():
            point = cell["natural"][score]
            if cell["recipe"] == recipe and point["value"] is not None \
                    and (score == "accuracy_a1" or recipe not in CONTROLS):
                points[parameters[cell["size"]]].append(point)
        sizes, shift = sorted(points), 1.06 ** (place - 2)
        axes.plot([size * shift for size in sizes],
                  [sum(point["value"] for point in points[size]) / len(points[size])
                   for size in sizes], color=colour, linewidth=0.8)
        for size in sizes:
            for number, point in enumerate(points[size]):
                low, high = point["interval"]
                axes.errorbar(size * shift * 1.025 ** (2 * number - len(points[size]) + 1),
                              point["value"], [[point["value"] - low], [high - point["value"]]],
                              fmt=marker, color=colour, markersize=3.5, elinewidth=0.7,
                              label=label if size == sizes[0] and not number else None)
    axes.set_xscale("log")
    ticks = sorted(parameters.values())
    axes.set_xlim(ticks[0] / 1.5, ticks[-1] * 1.5)
    axes.set_xticks(ticks, [f"{count / 1e6:.1f}M" for count in ticks])
    axes.minorticks_off()
    axes.yaxis.set_major_formatter("{x:.0%}" if score != "delta" else
                                   lambda value, _: f"{100 * value:+.0f}" if value else "0")
    axes.set_title(PANELS[score])
    return axes


def size_figure(result: Mapping) -> Figure:
    """All panels of a result file."""
    figure, panels = plt.subplots(2, 2, figsize=(PAGE, 4.2))
    for axes, score in zip(panels.flat, PANELS):
        plot_against_size(result, axes, score)
        if score == "delta":
            axes.axhline(0, color=BLACK, linewidth=0.6)
    for axes in panels[1]:
        axes.set_xlabel("parameters of the base")
    figure.legend(*panels[0, 0].get_legend_handles_labels(), loc="outside lower center",
                  ncols=3)
    return figure


def caption(result: Mapping) -> str:
    """What is seen, and of which run."""
    plan, environment = result["plan"], result["environment"]
    hardware = environment["hardware"]
    machine = ", ".join(hardware["gpus"]) or hardware["cpu"]
    return (f"VERIFY against the size of the base: {plan['problems']:,} problems of test, "
            f"{plan['traces']:,} traces, {plan['steps']:,} steps of pretraining, on {machine} "
            f"(gpu.json.gz, commit {str(environment['commit'])[:10]}). Marks: seeds of the "
            "adapters, with Wilson or bootstrap 95 % intervals over problems; lines: means over "
            "seeds. The controls are shown for EXECUTE alone, since no error trained their "
            "VERIFY.")


def main(file: Path = paths.RESULTS / "gpu.json", folder: Path = paths.FIGURES / "gpu") -> None:
    """Draw and save it, with its caption."""
    result = json.loads(read_text(Path(file)))
    use_style()
    for path in save_figure(size_figure(result), folder, "size", caption(result),
                            result["smoke"]):
        print(paths.relative(path))


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:3]))
