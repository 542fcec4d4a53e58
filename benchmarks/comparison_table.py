"""The table of docs/verification.md, from the result file of `comparison_forms.py` alone."""
from __future__ import annotations

from collections.abc import Mapping

from nanoreason.figures.tables import Table

STARTS = {"nothing": "nothing", "adapter": "adapter on the shipped base"}
SIDES = ("differ", "equal")


def share(cell: Mapping, name: str) -> str:
    """A share of the lines of one side, with its counts."""
    return f"{100 * cell[name] / cell['lines']:.1f} % ({cell[name]}/{cell['lines']})"


def learned(run: Mapping, bar: float) -> Mapping | None:
    """The first evaluation from which on the word meets the bar on both sides to the end."""
    met = [all(entry[side]["word"] >= bar * entry[side]["lines"] for side in SIDES)
           for entry in run["log"]]
    misses = [place for place, good in enumerate(met) if not good]
    first = misses[-1] + 1 if misses else 0
    return run["log"][first] if first < len(met) else None


def form_table(result: Mapping) -> str:
    """A line for every run: what it had read when the word was learned, and its last state."""
    rows = []
    for run in result["runs"]:
        found, last = learned(run, result["bar"]), run["log"][-1]
        rows.append((
            STARTS[run["start"]], run["part"], run["form"],
            f"{found['lines']:,} ({found['tokens'] / 1e6:.2f}M)" if found else "not reached",
            f"{last['lines']:,}", *(share(last[side], name)
                                    for name in ("word", "whole") for side in SIDES)))
    return Table("", ("start", "part", "form", "claims (tokens) to 99 %", "claims read",
                      "word, differ ↑", "word, equal ↑", "whole, differ ↑", "whole, equal ↑"),
                 tuple(rows)).markdown(False)
