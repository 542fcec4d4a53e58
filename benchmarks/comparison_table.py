"""The tables of docs/verification.md, from the result files of `comparison_forms.py`,
`base_claims.py` and `verify_flags.py` alone."""
from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from verify_flags import lines

from nanoreason.evaluation import self_verification
from nanoreason.evaluation.rows import read_rows
from nanoreason.figures.tables import Table, show

STARTS = {"nothing": "nothing", "adapter": "adapter on the earlier base"}
SIDES = ("differ", "equal")


def share(cell: Mapping, name: str) -> str:
    """A share of the lines of one side, with its counts."""
    return show(name, {"value": cell[name] / cell["lines"], "counts": (cell[name], cell["lines"])})


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
            STARTS[run["start"]], run["part"], run["form"], str(run["seed"]),
            f"{found['lines']:,} ({found['tokens'] / 1e6:.2f}M)" if found else "not reached",
            f"{last['lines']:,}", *(share(last[side], name)
                                    for name in ("word", "whole") for side in SIDES)))
    return Table("", ("start", "part", "form", "seed", "claims (tokens) to 99 %",
                      "claims read", "word, differ ↑", "word, equal ↑", "whole, differ ↑",
                      "whole, equal ↑"), tuple(rows)).markdown(False)


def base_table(result: Mapping) -> str:
    """What the shipped base says of claims in its own form."""
    rows = [(kind, side, *(share(result[kind][side], name)
                           for name in ("between", "word", "reserved")))
            for kind in ("claims", "suggested") for side in SIDES]
    return Table("", ("form", "numbers", "right word the likelier of the two ↑",
                      "right word the likeliest token ↑", "likeliest is a reserved token ↓"),
                 tuple(rows)).markdown(False)


def flags_table(result: Mapping) -> str:
    """The scores of VERIFY and what its lines come to, after each round."""
    rows, traces, short = [], 0, 0
    for settings in result["rounds"]:
        traces, short = traces + settings["traces"], short + settings["short"]
        for part in ({"natural"}, {"injected", "clean"}):
            chosen = [row for row in settings["rows"] if row["setting"] in part]
            report = self_verification(read_rows(chosen))
            counts = sum(map(Counter, lines(chosen).values()), Counter())
            rows.append((f"{traces:,} + {short:,}", " and ".join(sorted(part, reverse=True)), *(
                show(name, {"value": getattr(report, name), "counts": report.counts.get(name)})
                for name in ("accuracy_a1", "accuracy_a2", "recall", "specificity")), *(
                f"{counts[of]}/{counts[all_]}" for of, all_ in (
                    ("differ_right", "differ"), ("equal_right", "equal"),
                    ("flags_right", "flags"), ("false_sums", "lines"), ("asked", "lines")))))
    return Table("", ("traces + short rows", "setting", "a1 ↑", "a2 ↑", "recall ↑",
                      "specificity ↑", "word, differ ↑", "word, equal ↑", "flags right ↑",
                      "lines with a false sum ↓", "lines about EXECUTE's ↑"),
                 tuple(rows)).markdown(False)
