"""VERIFY against the size of the model, drawn from the result file of `gpu.py` alone.

    python benchmarks/gpu_figure.py [GPU.json]

On the model's own generations: gain of VERIFY, recall, SVR, accuracy of a1 and a2; with EXECUTE
given: recall, specificity, SVR. Each
mark is one seed of the adapters with its 95 % interval; lines join the means over seeds.
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
from nanoreason.figures import PAGE, save_figure, use_style
from nanoreason.stages import Stage

LOOKS = {"99": (Stage.UNDERSTAND.colour, "o", "today's traces, base read numbers to 99"),
         "199": (Stage.PLAN.colour, "s", "today's traces, base read numbers to 199"),
         "columns": (Stage.VERIFY.colour, "D", "VERIFY by columns, short rows"),
         "right": ("#666666", "^", "control: right traces alone"),
         "careful": (Stage.EXECUTE.colour, "v", "control: EXECUTE by columns, right traces alone")}
PANELS = (  # setting, score, title, limits
    ("natural", "delta", "gain of VERIFY, own errors ↑", None),
    ("natural", "recall", "recall, own errors ↑", (0, 1)),
    ("natural", "svr", "SVR, own traces ↑", (0, 1)),
    ("natural", "accuracy_a1", "EXECUTE right (a1) ↑", (0, 1)),
    ("natural", "accuracy_a2", "answer right (a2) ↑", (0, 1)),
    ("injected_and_clean", "recall", "recall, injected ↑", (0, 1)),
    ("injected_and_clean", "specificity", "specificity, clean ↑", (0, 1)),
    ("injected_and_clean", "svr", "SVR, injected and clean ↑", (0, 1)),
)


def plot_against_size(cells: Mapping[str, Mapping], parameters: Mapping[str, int], axes: Axes,
                      setting: str, score: str) -> Axes:
    """One score of every cell and seed. parameters: of a base, by size."""
    for place, (recipe, (colour, marker, label)) in enumerate(LOOKS.items()):
        points = defaultdict(list)
        for cell in cells.values():
            found = cell.get(setting, {}).get(score, {})
            if cell["recipe"] == recipe and found.get("value") is not None:
                points[parameters[cell["size"]]].append(found)
        sizes = sorted(points)
        axes.plot(sizes, [sum(p["value"] for p in points[size]) / len(points[size])
                          for size in sizes], color=colour, linewidth=0.8)
        for size in sizes:
            for number, point in enumerate(points[size]):
                shift = 1.06 ** (2 * number - len(points[size]) + 1 + (place - 2))
                low, high = point["interval"]
                axes.errorbar(size * shift, point["value"],
                              [[max(0, point["value"] - low)], [max(0, high - point["value"])]],
                              fmt=marker, color=colour, markersize=3, elinewidth=0.6,
                              label=label if size == sizes[0] and not number else None)
    axes.set_xscale("log")
    axes.set_xticks(sorted(parameters.values()),
                    [f"{count / 1e6:.1f}M" for count in sorted(parameters.values())])
    axes.minorticks_off()
    axes.yaxis.set_major_formatter("{x:.0%}")
    return axes


def size_figure(result: Mapping) -> Figure:
    """All panels of a result file."""
    parameters = {base["size"]: base["parameters"] for base in result["bases"].values()}
    figure, axes = plt.subplots(2, 4, figsize=(PAGE, 3.4))
    for panel, (setting, score, title, limits) in zip(axes.flat, PANELS):
        plot_against_size(result["cells"], parameters, panel, setting, score)
        panel.set_title(title, fontsize=7)
        if limits:
            panel.set_ylim(*limits)
        else:
            panel.axhline(0, color="#222222", linewidth=0.6)
    for panel in axes[1]:
        panel.set_xlabel("parameters of the base")
    figure.legend(*axes[0, 1].get_legend_handles_labels(), loc="outside lower center", ncols=3)
    return figure


def caption(result: Mapping) -> str:
    """What is seen, and of which run."""
    cells, plan = result["cells"].values(), result["plan"]
    seeds = len({cell["seed"] for cell in cells})
    hardware = (result["environment"] or {}).get("hardware", {})
    machine = ", ".join(hardware.get("gpus", ())) or hardware.get("cpu", "unknown")
    return (f"VERIFY against the size of the base: {plan['problems']} problems of test a setting, "
            f"{plan['traces']:,} traces, {seeds} seed(s) of adapters on one base a cell, "
            f"{plan['steps']:,} steps of pretraining, on {machine} (gpu.json, commit "
            f"{str((result['environment'] or {}).get('commit'))[:10]}). Marks: seeds, with "
            "Wilson or bootstrap 95 % intervals over problems; lines: means over seeds.")


def main(file: Path = paths.RESULTS / "gpu.json", folder: Path = paths.FIGURES / "gpu") -> None:
    """Draw and save it, with its caption."""
    result = json.loads(Path(file).read_text())
    use_style()
    for path in save_figure(size_figure(result), folder, "size", caption(result),
                            result["smoke"]):
        print(paths.relative(path))


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:3]))
