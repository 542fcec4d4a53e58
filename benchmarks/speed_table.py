"""The table of both speed benchmarks for the README, from their result files alone.

    python benchmarks/speed_table.py

Prints it; between the README's lines BEGIN and END stands the same text.
"""
from __future__ import annotations

import json
from collections.abc import Mapping

from nanoreason import paths

BEGIN, END = "<!-- speed:begin -->", "<!-- speed:end -->"
HEAD = ("| ours to … | | median | rounds | bar |", "|---|---|---|---|---|")
TRAINING = {"samples_per_second": ("traces per second", "↑"),
            "peak_bytes_above_model": ("peak memory above the model", "↓")}
OTHERS = {"original": "the original's loop, padded to 1,024",
          "original_longest": "the same, padded to the longest trace",
          "original_unpadded": "the same, not padded", "trl": "TRL's SFTTrainer, one adapter"}
DECODING = {"decoding": "`generate` with one adapter, same batch: tokens per second",
            "evaluation_plain_4": "`generate`, batch 4, in problem order: whole evaluation",
            "evaluation_plain_wide": "`generate`, our batch, in problem order: whole evaluation"}


def speed_table(training: Mapping, decoding: Mapping | None = None) -> str:
    """Every ratio of ours to another way that was measured, with its rounds and its bar."""
    lines = [*HEAD]
    for other, label in OTHERS.items():
        for field, (quantity, arrow) in TRAINING.items():
            value = training["ours_to_other"][other][field]
            lines.append(_line(f"{label}: {quantity}", arrow, value))
    for name, label in DECODING.items() if decoding is not None else ():
        lines.append(_line(label, "↑", decoding["ours_to_other"][name]))
    return "\n".join(lines)


def _line(label: str, arrow: str, value: Mapping) -> str:
    rounds = value["rounds"]
    spread = f"{min(rounds):.2f}–{max(rounds):.2f}, n={len(rounds)}" if len(rounds) > 1 \
        else "one round"
    bar = ""
    if "bar" in value:
        sign = "≤" if value["at_most"] else "≥"
        bar = f"{sign} {value['bar']:g}, {'met' if value['met'] else 'missed'}"
    return f"| {label} | {arrow} | {value['median']:.2f} × | {spread} | {bar} |"


def main() -> None:
    """Print the table of the committed results."""
    files = [paths.RESULTS / f"{name}-speed.json" for name in ("training", "decoding")]
    print(speed_table(*(json.loads(file.read_text()) for file in files if file.exists())))


if __name__ == "__main__":
    main()
