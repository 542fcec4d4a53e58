"""What is asked of a grid and what its runs say, as answers, tables and a figure.

A hypothesis expects one condition to score higher than another. Its answer is the paired
difference over the seeds that both have, with an interval that draws seeds and problems
both, and one word: `holds` where the interval lies above zero, `does not hold` where it lies
below the smallest difference that would matter, else, or with too few seeds, `not decided`.
Left out on purpose: a test of one set of runs against another; compare intervals.
"""
from __future__ import annotations

import csv
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import reduce

import numpy as np
from matplotlib.axes import Axes

from nanoreason import paths
from nanoreason.ablations.conditions import Condition
from nanoreason.ablations.results import BOTH_GIVEN, NATURAL, POOLED, Grid, GridRun
from nanoreason.evaluation.report import crossed_bootstrap
from nanoreason.evaluation.self_verification import STATISTICS
from nanoreason.figures.plots import (BLACK, GREY, RED, draw_not_run, draw_points,
                                      draw_scores)
from nanoreason.figures.tables import NOT_RUN, NOTHING, Table
from nanoreason.host import GivenError
from nanoreason.stages import Stage

MATTERS = 0.02  # two points
SEEDS = 5
HOLDS, FAILS, OPEN = "holds", "does not hold", "not decided"
SCORES = {"lenient": "last number right", "a1": "result of EXECUTE right",
          "a2": "answer right", "svr": "SVR", "delta": "gain of VERIFY, a2 less a1"}


COLUMNS = {"a1": ("a1", NATURAL), "a2": ("a2", NATURAL), "last number": ("lenient", NATURAL),
           "a2 less a1": ("delta", NATURAL), "SVR, own answers": ("svr", NATURAL),
           "SVR, injected": ("svr", BOTH_GIVEN), "its null": ("svr_null", BOTH_GIVEN),
           "recall": ("recall", BOTH_GIVEN), "specificity": ("specificity", BOTH_GIVEN)}
ANSWER_COLUMNS = ("claim", "comparison", "score", "mean against mean", "difference",
                  "seeds x problems", "word")
NOT_STATED = "not stated"  # a free form has no Result and no Answer line
LOOKS = {HOLDS: (Stage.UNDERSTAND.colour, "D"), FAILS: (RED, "s"), OPEN: (GREY, "o")}


@dataclass(frozen=True)
class Hypothesis:
    """A line of `assets/hypotheses.csv`: first is expected to score higher than second.

    claim: of the original card (`of_card`), or of this project. second None: the score itself
    is expected above zero. of: a key of STATISTICS; setting: NATURAL or BOTH_GIVEN.
    """

    claim: str
    of_card: bool
    first: str
    second: str | None
    of: str
    setting: str
    words: str = ""

    @property
    def compared(self) -> str:
        """The two conditions in words."""
        return f"{self.first} against {self.second or 'zero'}"


def hypotheses() -> tuple[Hypothesis, ...]:
    """All that is asked, in order; the first hypothesis of a claim decides it.

    Four stages are held against prose with `errors_0` first: both train on the same right
    solutions, while half of what `staged` reads is wrong on purpose.
    """
    with paths.asset("hypotheses.csv").open(encoding="utf-8", newline="") as file:
        return tuple(Hypothesis(**line | {"of_card": line["of_card"] == "yes",
                                          "second": line["second"] or None})
                     for line in csv.DictReader(file))


@dataclass(frozen=True)
class Answer:
    """What the runs say of a hypothesis.

    seeds: those that both conditions have. n: problems. first, second: means over the seeds
    (second None where there is none). differences: by seed. mean; interval: 95 %, seeds and
    problems drawn. None where no seed has both conditions or a score is undefined.
    """

    hypothesis: Hypothesis
    seeds: tuple[int, ...] = ()
    n: int = 0
    first: float | None = None
    second: float | None = None
    differences: dict[int, float] = field(default_factory=dict)
    mean: float | None = None
    interval: tuple[float, float] | None = None
    counts: tuple[str, ...] = ()  # of shares: right of asked over all seeds, first and second
    least: int = SEEDS  # seeds that a word needs

    @property
    def word(self) -> str:
        """holds, does not hold or not decided; see the module."""
        if self.interval is None or len(self.seeds) < self.least:
            return OPEN
        low, high = self.interval
        return HOLDS if low > 0 else FAILS if high < MATTERS else OPEN

    def cells(self) -> tuple[str, ...]:
        """What a table says of it, in order of ANSWER_COLUMNS."""
        asked, missing = self.hypothesis, NOTHING if self.seeds else NOT_RUN
        against, difference = missing, missing
        if self.first is not None:
            shares = [f"{100 * value:.1f}" + (f" ({count})" if count else "")
                      for value, count in zip((self.first, self.second), self.counts)]
            against = " against ".join(shares)
        if self.interval is not None:
            low, high = self.interval
            difference = f"{100 * self.mean:+.1f} [{100 * low:+.1f} to {100 * high:+.1f}]"
        return (asked.claim, asked.compared, f"{SCORES[asked.of]}, {asked.setting}", against,
                difference, f"{len(self.seeds)} x {self.n}", self.word)


def answer(grid: Grid, hypothesis: Hypothesis, least: int = SEEDS) -> Answer:
    """The paired difference of a hypothesis over the seeds that both conditions have.

    least: seeds that a word needs. Raises ValueError where the two answered different
    problems, or a condition has no rows of the setting.
    """
    conditions = [grid.of(name) for name in (hypothesis.first, hypothesis.second) if name]
    seeds = tuple(sorted(set.intersection(*map(set, conditions))))
    if not seeds:
        return Answer(hypothesis, least=least)
    tables = count_tables([runs[seed] for runs in conditions for seed in seeds],
                          hypothesis.setting)
    return compared(hypothesis, seeds, np.split(tables, len(conditions)), least)


def compared(hypothesis: Hypothesis, seeds: tuple[int, ...], tables: list[np.ndarray],
             least: int = SEEDS) -> Answer:
    """The answer of counts. tables: of the first condition and, where there is one, the second,
    each (seeds, problems, columns of `count_table`)."""
    counts = np.concatenate(tables, axis=2)
    statistic, width = STATISTICS[hypothesis.of], counts.shape[2] // len(tables)

    def scores(sums: np.ndarray) -> list[np.ndarray]:
        return [statistic(sums[:, start:start + width])
                for start in range(0, sums.shape[1], width)]

    def difference(sums: np.ndarray) -> np.ndarray:
        return reduce(np.subtract, scores(sums))

    values, each = scores(counts.sum(axis=1)), difference(counts.sum(axis=1))
    known = not np.isnan(each).any()
    first, second = [*(None if np.isnan(v).any() else float(v.mean()) for v in values), None][:2]
    return Answer(
        hypothesis, seeds, counts.shape[1], first, second,
        {seed: float(value) for seed, value in zip(seeds, each) if not np.isnan(value)},
        float(each.mean()) if known else None,
        crossed_bootstrap(difference, counts) if known else None,
        tuple(_counts(table, hypothesis.of) for table in tables), least)


def answers(grid: Grid, least: int = SEEDS) -> list[Answer]:
    """The answers to all hypotheses, in their order; least: seeds that a word needs."""
    return [answer(grid, hypothesis, least) for hypothesis in hypotheses()]


def verdicts(answers: Iterable[Answer]) -> dict[str, Answer]:
    """The answer that decides each claim: that of its first hypothesis."""
    deciding: dict[str, Answer] = {}
    for found in answers:
        deciding.setdefault(found.hypothesis.claim, found)
    return deciding


def count_tables(runs: list[GridRun], setting: str) -> np.ndarray:
    """The `counts` of a setting of all runs, (runs, problems, columns of `count_table`).

    Raises ValueError where the runs answered different problems, or have no rows of the
    setting.
    """
    for run in runs:
        if run.facts["evaluated"]["settings"] == ["natural"] and setting == BOTH_GIVEN:
            raise GivenError(f"condition {run.condition} has natural rows alone: it cannot be "
                             f"compared on {BOTH_GIVEN} ones")
    found = [run.counts[setting] for run in runs]
    for run, counts in zip(runs, found):
        if counts.problems != found[0].problems:
            raise GivenError(f"{runs[0].condition}, seed {runs[0].seed}, and {run.condition}, "
                             f"seed {run.seed}, answered different problems: run them anew under "
                             "one name")
    return np.stack([counts.table for counts in found])


def _counts(table: np.ndarray, of: str) -> str:
    """Right of asked over all seeds where the score is a share, else ""."""
    column = {"a1": 5, "a2": 6, "lenient": 7}.get(of)
    sums = table.sum(axis=(0, 1))
    return "" if column is None else f"{sums[column]:.0f}/{sums[4] + sums[5]:.0f}"


def conditions_table(grid: Grid, conditions: Iterable[Condition]) -> Table:
    """Every condition: what it is, its runs, and means of the scores (sd over the seeds)."""
    rows = []
    for condition in conditions:
        runs = [run for _, run in sorted(grid.of(condition.name).items())]
        cells = _condition_cells(runs) if runs else [NOT_RUN] * len(COLUMNS)
        rows.append((condition.name, condition.about, str(len(runs)), *cells))
    return Table("The conditions: mean over seeds in per cent (standard deviation)",
                 ("condition", "what it is", "seeds", *COLUMNS), tuple(rows))


def _condition_cells(runs: list[GridRun]) -> list[str]:
    """The scores of COLUMNS, each over all seeds of a condition."""
    free = runs[0].facts["recipe"]["form"] == "free"
    sums = {setting: count_tables(runs, setting).sum(axis=1)
            for setting in (POOLED if not free else (NATURAL,))}
    cells = []
    for of, setting in COLUMNS.values():
        if free and of != "lenient":
            cells.append(NOT_STATED)
            continue
        if of == "svr_null":
            values = np.array([run.counts[setting].svr_null for run in runs], dtype=float)
        else:
            values = STATISTICS[of](sums[setting])
        spread = f" ({100 * values.std(ddof=1):.1f})" if len(values) > 1 else ""
        undefined = np.isnan(values).sum()
        cells.append(f"undefined in {undefined} of {len(values)} seeds" if undefined else
                     f"{100 * values.mean():.1f}{spread}")
    return cells


def answers_table(found: Iterable[Answer]) -> Table:
    """Every hypothesis with its difference in points, interval, counts and word."""
    return Table("What the runs say (difference in points, 95 % over seeds and problems)",
                 ANSWER_COLUMNS, tuple(a.cells() for a in found))


def claims_table(found: Iterable[Answer]) -> Table:
    """One line for each claim of the original card, by the hypothesis that decides it."""
    return Table("Which ideas of the original card hold (nano scale)", ANSWER_COLUMNS,
                 tuple(a.cells() for a in verdicts(found).values() if a.hypothesis.of_card))


def plot_answers(found: Iterable[Answer], axes: Axes) -> Axes:
    """Every hypothesis: mean difference with its 95 % interval, each seed as a small dot.

    Blue diamonds hold, red squares do not, grey circles are not decided; the dotted line is
    the smallest difference that would matter.
    """
    known = [a for a in found if a.mean is not None and a.interval is not None]
    if not known:
        return draw_not_run(axes, "difference")
    axes.axvline(MATTERS, color=BLACK, linewidth=0.8, linestyle=":")
    for word, (colour, marker) in LOOKS.items():
        told = [(place, a) for place, a in enumerate(known) if a.word == word]
        dots = [(one, place + 0.24) for place, a in told for one in a.differences.values()]
        if told:  # else the legend would name what is nowhere drawn
            axes.plot(*zip(*dots), ".", color=colour, markersize=3.5, alpha=0.7)
            draw_scores(axes, [(place, {"value": a.mean, "interval": a.interval})
                               for place, a in told], colour, marker, word, sideways=True)
    axes.grid(axis="x", linewidth=0.4, alpha=0.5)
    return draw_points(axes, "difference, points", [
        f"{a.hypothesis.words or a.hypothesis.compared}: "
        f"{SCORES[a.hypothesis.of].split(',')[0]}" for a in known])
