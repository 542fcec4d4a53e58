"""What a grid says, as tables and a figure: every condition, every hypothesis, every claim."""
from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from matplotlib.axes import Axes

from nanoreason.ablations.conditions import Condition
from nanoreason.ablations.grid import Grid
from nanoreason.ablations.hypotheses import (CARD, FAILS, GIVEN, HOLDS, HYPOTHESES, MATTERS,
                                             NATURAL, SCORES, SEEDS, SETTINGS, Answer, answer,
                                             tables, verdicts)
from nanoreason.evaluation.self_verification import STATISTICS, self_verification
from nanoreason.figures.plots import GREY, RED, draw_not_run
from nanoreason.figures.tables import NOT_RUN, Table
from nanoreason.stages import Stage

NULL = "svr_null"
COLUMNS = (("a1", "a1", NATURAL), ("a2", "a2", NATURAL), ("last number", "lenient", NATURAL),
           ("a2 less a1", "delta", NATURAL), ("SVR, own answers", "svr", NATURAL),
           ("SVR, planted", "svr", GIVEN), ("its null", NULL, GIVEN),
           ("recall", "recall", GIVEN), ("specificity", "specificity", GIVEN))
ANSWER_COLUMNS = ("claim", "comparison", "score", "mean against mean", "difference",
                  "seeds x problems", "word")
NOT_STATED = "not stated"  # a free form has no Result and no Answer line
LOOKS = {HOLDS: (Stage.UNDERSTAND.colour, "D"), FAILS: (RED, "s")}  # the others are grey circles


def answers(grid: Grid, least: int = SEEDS) -> list[Answer]:
    """The answers to all hypotheses, in their order; least: seeds that a word needs."""
    return [answer(grid, hypothesis, least) for hypothesis in HYPOTHESES]


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
    if runs[0].facts["recipe"]["form"] == "free" and of != "lenient":
        return NOT_STATED
    if of == NULL:
        values = np.array([_null(run, setting) for run in runs], dtype=float)
    else:
        values = STATISTICS[of](tables(runs, setting)[1].sum(axis=1))
    undefined = np.isnan(values).sum()
    if undefined:
        return f"undefined in {undefined} of {len(values)} seeds"
    values = 100 * values
    spread = f" ({values.std(ddof=1):.1f})" if len(values) > 1 else ""
    return f"{values.mean():.1f}{spread}"


def _null(run, setting: str) -> float | None:
    """The SVR of the same verdicts dealt to other traces."""
    return self_verification(row for row in run.rows()
                             if row["setting"] in SETTINGS[setting]).svr_null


def answers_table(found: Iterable[Answer]) -> Table:
    """Every hypothesis with its difference in points, interval, counts and word."""
    return Table("What the runs say (difference in points, 95 % over seeds and problems)",
                 ANSWER_COLUMNS, tuple(map(_line, found)))


def claims_table(found: Iterable[Answer]) -> Table:
    """One line for each claim of the original card, by the hypothesis that decides it."""
    return Table("Which ideas of the original card hold (nano scale)", ANSWER_COLUMNS,
                 tuple(_line(a) for claim, a in verdicts(list(found)).items()
                       if claim in CARD))


def _line(a: Answer) -> tuple[str, ...]:
    """An answer's cells, in order of ANSWER_COLUMNS."""
    asked = a.hypothesis
    return (asked.claim, _compared(asked.first, asked.second),
            f"{SCORES[asked.of]}, {asked.setting}", _against(a), _difference(a),
            f"{len(a.seeds)} x {a.n}", a.word)


def _compared(first: str, second: str | None) -> str:
    return f"{first} against {second}" if second else f"{first} against zero"


def _against(a: Answer) -> str:
    if a.first is None:
        return NOT_RUN if not a.seeds else "n/a (n=0)"
    counts = [f" ({count})" if count else "" for count in (*a.counts, "", "")]
    other = "" if a.second is None else f" against {100 * a.second:.1f}{counts[1]}"
    return f"{100 * a.first:.1f}{counts[0]}{other}"


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
              f"{SCORES[a.hypothesis.of].split(',')[0]}, {a.hypothesis.setting}" for a in known]
    axes.set_yticks(range(len(known)), labels, parse_math=False)
    axes.set_ylim(len(known) - 0.4, -0.6)
    axes.set_xlabel("difference, points")
    axes.grid(axis="x", linewidth=0.4, alpha=0.5)
    return axes
