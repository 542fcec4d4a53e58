"""The tables of docs/gpu.md, from the result file of `gpu.py` alone."""
from __future__ import annotations

from collections.abc import Mapping

from gpu_figure import CONTROLS, LOOKS

from nanoreason.figures.tables import Table, show

GIB = 2**30
SCORES = {"accuracy_a1": "a1 ↑", "delta": "gain ↑", "recall": "recall ↑",
          "specificity": "specificity ↑"}
LOOPS = {"ours": "ours, two adapters", "trl": "TRL's SFTTrainer, one adapter",
         "original": "the original's loop, padded to 1,024",
         "original_unpadded": "the same, not padded"}
CHECKS = {"cached": "logits: step by step with a cache",
          "cpu": "logits: on a CPU",
          "micro_batches": "gradient: four micro-batches of two",
          "checkpointing": "gradient: with checkpointing"}


def size_table(result: Mapping) -> str:
    """A line for every pair of adapters that was trained."""
    parameters = {base["size"]: base["parameters"] for base in result["bases"].values()}
    order = list(LOOKS)
    cells = sorted(result["cells"].values(), key=lambda cell: (
        order.index(cell["recipe"]), parameters[cell["size"]], cell["seed"]))
    rows = [(LOOKS[cell["recipe"]][2], f"{parameters[cell['size']] / 1e6:.1f}M",
             str(cell["seed"]), *(
                 "" if score != "accuracy_a1" and cell["recipe"] in CONTROLS
                 else _short(score, cell["natural"][score]) for score in SCORES))
            for cell in cells]
    return Table("", ("recipe", "base", "seed", *SCORES.values()), tuple(rows)).markdown(False)


def _short(name: str, score: Mapping) -> str:
    """A score in one cell; of a difference the value and interval alone."""
    return show(name, {**score, "counts": None} if name == "delta" else score).replace(
        " points", "")


def speed_table(result: Mapping) -> str:
    """Traces a second and memory of every training loop, in medians of the rounds."""
    medians = result["speed"]["speed-none"]["medians"]
    rows = []
    for name, label in LOOPS.items():
        speed = medians[name]["samples_per_second"]
        rounds = ", ".join(f"{value:.1f}" for value in speed["rounds"])
        rows.append((label, f"{speed['median']:.1f} ({rounds})", *(
            f"{medians[name][field]['median'] / GIB:.1f}"
            for field in ("peak_bytes_above_model", "peak_bytes"))))
    return Table("", ("loop", "traces per second ↑ (rounds)", "GiB above the model ↓",
                      "GiB in all ↓"), tuple(rows)).markdown(False)


def check_table(result: Mapping) -> str:
    """How far one routed forward lies from the other ways to the same numbers."""
    plain, nf4 = (result["checks"][f"check-{name}"] for name in ("none", "nf4"))
    rows = [(label, f"{plain['bars'][name]:.0e}", *(f"{one['found'][name]:.1e}"
                                                    for one in (plain, nf4)))
            for name, label in CHECKS.items()]
    return Table("", ("one full forward against …", "bar", "float32 ↓", "NF4 ↓"),
                 tuple(rows)).markdown(False)
