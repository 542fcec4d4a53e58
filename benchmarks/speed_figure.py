"""The one figure of both speed benchmarks, drawn from their result files and nothing else.

    python benchmarks/speed_figure.py [TRAINING.json [DECODING.json]]

Bars are medians, dots the rounds; ours is coloured, the others are grey and hatched. Ratios
beside the bars are ours to the other, medians of the ratios within a round.
"""
from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from nanoreason import paths
from nanoreason.figures.plots import GREY, PAGE, save_figure, use_style
from nanoreason.stages import Stage

GIB = 2**30
OURS = Stage.UNDERSTAND.colour
LABELS = {"ours": "ours, two adapters", "original": "original's loop,\npadded to 1,024",
          "original_longest": "the same, padded\nto the longest",
          "original_unpadded": "the same,\nnot padded", "trl": "TRL SFTTrainer",
          "dual": "ours, two adapters", "single": "generate,\none adapter",
          "plain_4": "generate, batch 4,\nin problem order", "plain_wide": "generate, our batch,\n"
          "in problem order"}


def plot_bars(values: Mapping[str, Mapping], axes: Axes, title: str,
              ratios: Mapping[str, float]) -> Axes:
    """A horizontal bar a variant, from `median`, with a dot for each of `rounds`.

    ratios: by variant, written behind its bar.
    """
    largest = max(value for found in values.values() for value in found["rounds"])
    for place, (name, found) in enumerate(values.items()):
        ours = name in ("ours", "dual")
        axes.barh(place, found["median"], height=0.62, color=OURS if ours else "white",
                  edgecolor=OURS if ours else GREY, hatch=None if ours else "////")
        axes.plot(found["rounds"], [place] * len(found["rounds"]), "o", color="#222222",
                  markersize=2.5)
        if name in ratios:
            axes.text(max(found["rounds"]) + 0.03 * largest, place, f"{ratios[name]:.2f}×",
                      va="center", fontsize=7)
    axes.set_yticks(range(len(values)), [LABELS[name] for name in values])
    axes.invert_yaxis()
    axes.grid(axis="y", visible=False)
    axes.grid(axis="x", visible=True)
    axes.set_xlim(0, 1.22 * largest)
    axes.set_title(title)
    return axes


def speed_figure(training: Mapping, decoding: Mapping | None = None) -> Figure:
    """Training speed and memory; below, where measured, decoding and a whole evaluation."""
    lines = 1 if decoding is None else 2
    figure, panels = plt.subplots(lines, 2, figsize=(PAGE, 2.1 * lines), squeeze=False)
    speed, memory = panels[0]
    for axes, field, scale, title in (
            (speed, "samples_per_second", 1, "training: traces per second ↑"),
            (memory, "peak_bytes_above_model", GIB, "training: GiB above the model at most ↓")):
        plot_bars(_scaled(training["medians"], field, scale), axes, title,
                  {name: found[field]["median"]
                   for name, found in training["ours_to_other"].items()})
    if decoding is None:
        return figure
    (tokens, whole), ratios = panels[1], decoding["ours_to_other"]
    plot_bars({name: decoding["medians"][name]["tokens_per_second"]
               for name in ("dual", "single")}, tokens, "decoding: tokens per second ↑",
              {"single": ratios["decoding"]["median"]})
    plot_bars(_scaled({name: {"minutes": found} for name, found in
                       decoding["whole_evaluation_seconds"].items()}, "minutes", 60), whole,
              "1,319 questions: minutes, extrapolated ↓",
              {name: ratios[f"evaluation_{name}"]["median"] for name in ("plain_4", "plain_wide")})
    return figure


def _scaled(medians: Mapping, field: str, scale: float) -> dict:
    return {name: {"median": found[field]["median"] / scale,
                   "rounds": [value / scale for value in found[field]["rounds"]]}
            for name, found in medians.items()}


def caption(training: Mapping, decoding: Mapping | None = None) -> str:
    """What the figure shows, of which measurement."""
    hardware = training["environment"]["hardware"]
    machine = ", ".join(hardware["gpus"]) if training["device"] != "cpu" else \
        f"{training['environment']['threads']} threads of {hardware['cpu']}"
    measured = [("training", training), ("decoding", decoding)][:1 if decoding is None else 2]
    files = " and ".join(f"{name}-speed.json (commit {found['environment']['commit'][:10]})"
                         for name, found in measured)
    rounds = " and ".join(str(len(found["rounds"]["ours"])) for _, found in measured)
    single = "" if decoding is None else " (generate at our batch: one)"
    return (f"{training['base']} on {machine}: {files}. Bars: medians of {rounds} "
            f"rounds{single}, dots: the rounds; numbers: ours to the other, in the quantity of "
            "the axis (evaluation: in speed).")


def main(*files: Path, folder: Path = paths.FIGURES / "speed") -> None:
    """Draw and save it, with its caption. files: of training, then of decoding if measured."""
    found = [json.loads(Path(file).read_text()) for file in files]
    use_style()
    for path in save_figure(speed_figure(*found), folder, "speed", caption(*found)):
        print(paths.relative(path))


if __name__ == "__main__":
    committed = (paths.RESULTS / f"{name}-speed.json" for name in ("training", "decoding"))
    main(*(sys.argv[1:3] or (file for file in committed if file.exists())))
