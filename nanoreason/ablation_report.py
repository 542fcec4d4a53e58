"""What a grid says, as tables and a figure: every condition, every hypothesis, every claim."""
from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from matplotlib.axes import Axes

from nanoreason.conditions import Condition
from nanoreason.figures import A1, A2, GREY, RED, draw_not_run
from nanoreason.grid import Grid
from nanoreason.hypotheses import (FAILS, GIVEN, HOLDS, HYPOTHESES, MATTERS, NATURAL, SCORES,
                                   Answer, answer, tables, verdicts)
from nanoreason.scores import STATISTICS
from nanoreason.tables import NOT_RUN, Table

COLUMNS = (("a1", "a1", NATURAL), ("a2", "a2", NATURAL), ("last number", "lenient", NATURAL),
           ("SVR, own errors", "svr", NATURAL), ("SVR, planted", "svr", GIVEN),
           ("recall", "recall", GIVEN), ("specificity", "specificity", GIVEN))
LOOKS = {HOLDS: (A2, "D"), FAILS: (RED, "s")}  # the others are grey circles


def answers(grid: Grid) -> list[Answer]:
    """The answers to all hypotheses, in their order."""
    return [answer(grid, hypothesis) for hypothesis in HYPOTHESES]


def hypotheses_table() -> Table:
    """What is asked: claim, comparison, primary score; the first of a claim decides it."""
    rows = [(h.claim, _compared(h.first, h.second), SCORES[h.of], h.setting)
            for h in HYPOTHESES]
    return Table("What is asked", ("claim", "comparison", "primary score", "setting"),
                 tuple(rows))


def conditions_table(grid: Grid, conditions: Iterable[Condition]) -> Table:
    """Every condition: what it is, its runs, and means of the scores (sd over the seeds)."""
    rows = []
    for condition in conditions:
        runs = [run for _, run in sorted(grid.of(condition.name).items())]
        cells = [_over(runs, of, setting) for _, of, setting in COLUMNS] if runs \
            else [NOT_RUN] * len(COLUMNS)
        rows.append((condition.name, condition.about, str(len(runs)), *cells))
    return Table("The conditions: mean over seeds in per cent (standard deviation)",
                 ("condition", "what it is", "seeds", *(name for name, _, _ in COLUMNS)),
                 tuple(rows))


def _over(runs: list, of: str, setting: str) -> str:
    if setting == GIVEN and any(run.facts["evaluated"]["evaluated_settings"] == ["natural"]
                                for run in runs):
        return NOT_RUN
    values = 100 * STATISTICS[of](tables(runs, setting)[1].sum(axis=1))
    if np.isnan(values).any():
        return "n/a (n=0)"
    spread = f" ({values.std(ddof=1):.1f})" if len(values) > 1 else ""
    return f"{values.mean():.1f}{spread}"


def answers_table(found: Iterable[Answer]) -> Table:
    """Every hypothesis with its difference in points, interval, counts and word."""
    rows = [(a.hypothesis.claim, _compared(a.hypothesis.first, a.hypothesis.second),
             f"{SCORES[a.hypothesis.of]}, {a.hypothesis.setting}", _against(a), _difference(a),
             f"{len(a.seeds)} x {a.n}", a.word) for a in found]
    return Table("What the runs say (difference in points, 95 % over seeds and problems)",
                 ("claim", "comparison", "score", "mean against mean", "difference",
                  "seeds x problems", "word"), tuple(rows))


def claims_table(found: Iterable[Answer]) -> Table:
    """One line a claim, by the hypothesis that decides it."""
    rows = [(claim, f"{_compared(a.hypothesis.first, a.hypothesis.second)}: "
             f"{SCORES[a.hypothesis.of]}, {a.hypothesis.setting}", _against(a), _difference(a),
             f"{len(a.seeds)} x {a.n}", a.word)
            for claim, a in verdicts(list(found)).items()]
    return Table("Which ideas hold (nano scale)",
                 ("claim", "comparison", "mean against mean", "difference",
                  "seeds x problems", "word"), tuple(rows))


def _compared(first: str, second: str | None) -> str:
    return f"{first} against {second}" if second else f"{first} against zero"


def _against(a: Answer) -> str:
    if a.first is None:
        return NOT_RUN if not a.seeds else "n/a (n=0)"
    other = "" if a.second is None else f" against {100 * a.second:.1f}"
    return f"{100 * a.first:.1f}{other}"


def _difference(a: Answer) -> str:
    if a.mean is None or a.interval is None:
        return NOT_RUN if not a.seeds else "n/a (n=0)"
    low, high = a.interval
    return f"{100 * a.mean:+.1f} [{100 * low:+.1f} to {100 * high:+.1f}]"


def plot_answers(found: Iterable[Answer], axes: Axes) -> Axes:
    """Every hypothesis: mean difference with its 95 % interval, each seed as a small dot.

    Blue diamonds hold, red squares do not, grey circles are not decided; the dotted line is
    the smallest difference that would matter.
    """
    known = [a for a in found if a.mean is not None and a.interval is not None]
    if not known:
        return draw_not_run(axes, "difference")
    axes.axvline(0, color="#222222", linewidth=0.8)
    axes.axvline(100 * MATTERS, color="#222222", linewidth=0.8, linestyle=":")
    drawn = set()
    for place, a in enumerate(known):
        colour, marker = LOOKS.get(a.word, (GREY, "o"))
        low, high = (100 * limit for limit in a.interval)
        middle = 100 * a.mean
        axes.plot([100 * d for d in a.differences.values()],
                  [place + 0.24] * len(a.differences), ".", color=colour, markersize=3.5,
                  alpha=0.7, linestyle="none")
        axes.errorbar([middle], [place], xerr=[[max(0, middle - low)], [max(0, high - middle)]],
                      fmt=marker, color=colour, markersize=4.5, elinewidth=0.9, capsize=2,
                      label=None if a.word in drawn else a.word)
        drawn.add(a.word)
    labels = [f"{a.hypothesis.first} − {a.hypothesis.second or '0'}, "
              f"{SCORES[a.hypothesis.of].split(',')[0]}" for a in known]
    axes.set_yticks(range(len(known)), labels, parse_math=False)
    axes.set_ylim(len(known) - 0.4, -0.6)
    axes.set_xlabel("difference, points")
    axes.grid(axis="x", linewidth=0.4, alpha=0.5)
    return axes
