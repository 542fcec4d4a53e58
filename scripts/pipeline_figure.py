"""The picture of the README: a question on its way through both adapters, and what is scored.

    python scripts/pipeline_figure.py

Draws `figures/pipeline/pipeline.png` from one row of the run of reference, the same that the
README shows as text. Its ground is white and opaque, so that a page may be light or dark.
"""
from __future__ import annotations

import re
import sys
import textwrap
from collections.abc import Mapping
from pathlib import Path

import matplotlib.pyplot as plt
from matplotlib.patches import FancyBboxPatch

from nanoreason import paths
from nanoreason.figures.plots import GREY, PAGE, save_figure, use_style
from nanoreason.runs import Run
from nanoreason.stages import Stage
from nanoreason.trace import cut_sections

RUN, EXAMPLE = "nano-reference", "procedural-327dc92e6df3"
CAPTION = (f"One question on its way, from run {RUN}, problem {EXAMPLE}: one frozen base, the "
           "second adapter reads all of it anew at the tag [VERIFY], and three statements are "
           "scored apart.")
HEIGHT = 4.4  # inches
# Left edge and width of the stages' boxes, in hundredths of the page's width.
BOXES = {Stage.UNDERSTAND: (1.0, 19.5), Stage.PLAN: (21.5, 14.5), Stage.EXECUTE: (37.0, 16.0),
         Stage.VERIFY: (54.0, 45.0)}
LETTERS = {Stage.UNDERSTAND: 21, Stage.PLAN: 15, Stage.EXECUTE: 17, Stage.VERIFY: 52}  # a line
SCORES = (
    (Stage.EXECUTE, 1.0, 41.0, "RFS: does each number come from where the\n"
     "teacher's does (edge F1), and do later lines\nfollow a changed value (causal rate)?"),
    (Stage.VERIFY, 43.5, 55.5, "SVR: how often is a wrong a1 found and repaired,\n"
     "and a right one confirmed and kept?\nAccuracy: is a2 right? Gain of VERIFY: a2 less a1."))


def example_row() -> Mapping:
    """The row of the run of reference that picture and README show."""
    rows = Run(paths.RESULTS / RUN).read_generations()
    return next(row for row in rows
                if row["problem_id"] == EXAMPLE and row["setting"] == "natural")


def draw(row: Mapping) -> plt.Figure:
    """The picture of one row whose text has all four stages."""
    use_style()
    figure, axes = plt.subplots(figsize=(PAGE, HEIGHT))
    figure.get_layout_engine().set(w_pad=0, h_pad=0)
    axes.set(xlim=(0, 100), ylim=(0, 100))
    axes.axis("off")
    sections = {section.stage: section.lines for section in cut_sections(row["text"])[0]}
    _box(axes, (1, 91), (98, 8), GREY, "#F4F4F4")
    axes.text(50, 95, row["question"], ha="center", va="center", fontsize=8)
    _adapters(axes)
    for stage, (left, width) in BOXES.items():
        _stage(axes, stage, left, width, sections[stage])
    _statements(axes, sections)
    for stage, left, width, text in SCORES:
        _box(axes, (left, 1), (width, 16), stage.colour, "white")
        axes.text(left + 1.2, 8.8, text, va="center", fontsize=8, linespacing=1.3)
    return figure


def _box(axes, corner, size, edge: str, face: str) -> None:
    axes.add_patch(FancyBboxPatch(corner, *size, boxstyle="round,pad=0,rounding_size=0.8",
                                  edgecolor=edge, facecolor=face, linewidth=1.2,
                                  mutation_aspect=PAGE / HEIGHT))


def _arrow(axes, start, end, colour: str = GREY) -> None:
    axes.annotate("", end, start, arrowprops={"arrowstyle": "-|>", "color": colour,
                                              "linewidth": 1.2, "shrinkA": 0, "shrinkB": 0})


def _adapters(axes) -> None:
    """The two adapters above the stages that each of them writes."""
    first, last = BOXES[Stage.UNDERSTAND], BOXES[Stage.EXECUTE]
    spans = ((first[0], last[0] + last[1] - first[0], Stage.PLAN, "adapter  reasoning"),
             (*BOXES[Stage.VERIFY], Stage.VERIFY, "adapter  verification"))
    for left, width, stage, label in spans:
        middle = left + width / 2
        _arrow(axes, (middle, 90.5), (middle, 84.5))
        _box(axes, (left, 77), (width, 7), stage.colour, stage.colour)
        axes.text(middle, 80.4, label, ha="center", va="center", fontsize=9, color="white",
                  weight="bold")
    axes.text(50, 73.3, "one frozen base model; at the tag [VERIFY] the second adapter reads "
              "question and trace anew and goes on", ha="center", va="center", fontsize=8,
              color="#444444")


def _stage(axes, stage: Stage, left: float, width: float, lines: list[str]) -> None:
    """A stage's box with its lines, broken where they are too long."""
    _box(axes, (left, 37), (width, 33), stage.colour, "white")
    axes.text(left + 1.2, 66, stage.tag, va="center", fontsize=8, weight="bold",
              color=stage.colour)
    if stage is Stage.VERIFY:  # a sum stays whole: lines break behind `;` and `,` alone
        lines = [re.sub("(?<![;,]) ", "\xa0", line.replace(";", "; ")) for line in lines]
    broken = [part for line in lines if line.strip() for part in
              textwrap.wrap(line, LETTERS[stage], subsequent_indent="   ")]
    axes.text(left + 1.2, 63, "\n".join(broken), va="top", fontsize=7.2, linespacing=1.3,
              parse_math=False)


def _statements(axes, sections: Mapping[Stage, list[str]]) -> None:
    """What is scored: the graph of EXECUTE, and the three statements a1, v and a2."""
    def stated(stage: Stage, keyword: str) -> str:
        return next(line.removeprefix(keyword).strip() for line in sections[stage]
                    if line.startswith(keyword))

    places = ((Stage.EXECUTE, 40.5, 12.5, f"a1 = {stated(Stage.EXECUTE, 'Result:')}"),
              (Stage.VERIFY, 57.0, 19.5, f"v: {stated(Stage.VERIFY, 'Verdict:')}"),
              (Stage.VERIFY, 82.0, 12.5, f"a2 = {stated(Stage.VERIFY, 'Answer:')}"))
    for stage, left, width, text in places:
        middle = left + width / 2
        _arrow(axes, (middle, 37), (middle, 31.5), stage.colour)
        _box(axes, (left, 23.5), (width, 7.5), stage.colour, "white")
        axes.text(middle, 27.2, text, ha="center", va="center", fontsize=8.5)
        _arrow(axes, (middle, 23.5), (middle, 17.5), stage.colour)
    _box(axes, (2, 23.5), (31, 7.5), Stage.EXECUTE.colour, "white")
    axes.text(17.5, 27.2, "dependency graph of EXECUTE", ha="center", va="center", fontsize=8.5)
    axes.annotate("", (33.5, 27.2), (38.5, 37), arrowprops={
        "arrowstyle": "-|>", "color": Stage.EXECUTE.colour, "linewidth": 1.2, "shrinkA": 0,
        "shrinkB": 0, "connectionstyle": "angle,angleA=90,angleB=0"})
    _arrow(axes, (17.5, 23.5), (17.5, 17.5), Stage.EXECUTE.colour)


def main() -> int:
    """Draw it into the folder given, else into figures/pipeline."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else paths.FIGURES / "pipeline"
    for path in save_figure(draw(example_row()), folder, "pipeline", CAPTION):
        print(paths.relative(path))
    return 0


if __name__ == "__main__":
    sys.exit(main())
