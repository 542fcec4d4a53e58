"""One recipe under several seeds: how far its scores scatter from run to run.

An interval over problems says how well one run's score is known; it says nothing of the
next run. Here a score is worked out for each run of a set that differs in the seed alone,
with mean, standard deviation and range, and an interval that draws runs and problems both.
Left out on purpose: a test of one set against another on so few runs; compare intervals.
"""
from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from nanoreason.ablations.grid import Grid
from nanoreason.evaluation.report import different_problems
from nanoreason.evaluation.rows import read_rows
from nanoreason.evaluation.self_verification import STATISTICS, count_table
from nanoreason.evaluation.report import SEED, crossed_bootstrap


@dataclass(frozen=True)
class SeedReport:
    """A score over the runs of one recipe; None where it is undefined in some run.

    values: run -> score. mean; sd: of the runs, with n - 1 (None for one run); low, high:
    the range; interval: 95 %, runs and problems drawn both, see
    `statistics.crossed_bootstrap`. With two or three runs it says little of their scatter.
    """

    of: str
    values: dict[str, float | None]
    mean: float | None
    sd: float | None
    low: float | None
    high: float | None
    interval: tuple[float, float] | None

    def __str__(self):
        if self.mean is None:
            return f"{self.of}: n/a in {', '.join(k for k, v in self.values.items() if v is None)}"
        low, high = self.interval
        scatter = "one run" if self.sd is None else (
            f"sd {100 * self.sd:.1f}, range {100 * self.low:.1f} to {100 * self.high:.1f}, "
            f"{len(self.values)} runs")
        return (f"{self.of}: mean {100 * self.mean:.1f} % [{100 * low:.1f}, {100 * high:.1f}], "
                f"{scatter}")


def over_seeds(runs: Mapping[str, Iterable[Mapping]], of: str = "svr", seed: int = SEED
               ) -> SeedReport:
    """A score over runs of one recipe that answered the same problems.

    runs: name -> rows of one setting that pools (natural, or injected and clean).
    of: a key of `scores.STATISTICS`. Raises ValueError for another `of`, for no runs, and
    where the runs answered different problems.
    """
    if of not in STATISTICS:
        raise ValueError(f"of is {of!r}; choose one of {', '.join(STATISTICS)}")
    rows = {name: list(found) for name, found in runs.items()}
    if not rows:
        raise ValueError("no runs: give at least one, name -> rows")
    first, *others = rows
    for name in others:
        odd = different_problems(rows[first], rows[name])
        if odd:
            raise ValueError(f"runs {first} and {name} answered different problems: {odd}")
    counts = count_tables(list(rows.values()))[1]
    each = [float(STATISTICS[of](table.sum(axis=0)[None])[0]) for table in counts]
    values = {name: None if np.isnan(value) else value for name, value in zip(rows, each)}
    if None in values.values():
        return SeedReport(of, values, None, None, None, None, None)
    return SeedReport(
        of, values, mean=float(np.mean(each)),
        sd=float(np.std(each, ddof=1)) if others else None,
        low=min(each), high=max(each),
        interval=crossed_bootstrap(STATISTICS[of], counts, seed=seed))


def count_tables(runs: list[list[Mapping]]) -> tuple[tuple[str, ...], np.ndarray]:
    """(problems in order, counts by run and problem, (runs, problems, columns)).

    Runs are rows of one setting that pools; a problem that a run lacks counts nothing in it.
    """
    readings = [read_rows(rows).pooled() for rows in runs]
    places = {problem: k for k, problem in enumerate(sorted(
        {reading.problem for found in readings for reading in found}))}
    tables = np.zeros((len(runs), len(places), count_table([]).shape[1]))
    for table, found in zip(tables, readings):
        np.add.at(table, [places[reading.problem] for reading in found], count_table(found))
    return tuple(places), tables


MATTERS = 0.02  # two points
SEEDS = 5
HOLDS, FAILS, OPEN = "holds", "does not hold", "not decided"
NATURAL, GIVEN = "natural", "planted and clean"
SETTINGS = {NATURAL: ("natural",), GIVEN: ("injected", "clean")}
SCORES = {"lenient": "last number right", "a1": "result of EXECUTE right",
          "a2": "answer right", "svr": "SVR", "delta": "gain of VERIFY, a2 less a1"}


@dataclass(frozen=True)
class Hypothesis:
    """claim: of the original card, or of this project. first is expected to score higher
    than second; second None: the score itself is expected above zero. of: a key of
    `scores.STATISTICS`; setting: NATURAL or GIVEN."""

    claim: str
    first: str
    second: str | None
    of: str
    setting: str


FOUR_STAGES = "four stages help"
WEIGHTS = "the step-aware loss helps"
SECOND_ADAPTER = "the second adapter helps"
CORRECTS = "VERIFY corrects"
NOT_SPOILT = "learning VERIFY helps EXECUTE"
ERRORS = "errors must be trained on"
OWN_ERRORS = "the model's own errors teach more than planted ones"
PHASES = "two phases help"
VERIFY_WEIGHT = "more weight on VERIFY helps"
CARD = (FOUR_STAGES, WEIGHTS, SECOND_ADAPTER, CORRECTS)  # the claims of the original card

HYPOTHESES = (
    # The same right solutions in both; half of what `staged` reads is wrong on purpose.
    Hypothesis(FOUR_STAGES, "errors_0", "free", "lenient", NATURAL),
    Hypothesis(FOUR_STAGES, "staged", "free", "lenient", NATURAL),
    Hypothesis(WEIGHTS, "advertised", "staged", "a2", NATURAL),
    Hypothesis(WEIGHTS, "doubled", "staged", "a2", NATURAL),
    Hypothesis(WEIGHTS, "dwa", "staged", "a2", NATURAL),
    Hypothesis(WEIGHTS, "transition_1", "staged", "a2", NATURAL),
    Hypothesis(SECOND_ADAPTER, "staged", "single_wide", "svr", GIVEN),
    Hypothesis(SECOND_ADAPTER, "staged", "single", "svr", GIVEN),
    Hypothesis(SECOND_ADAPTER, "stack", "single_wide", "svr", GIVEN),
    Hypothesis(CORRECTS, "staged", None, "delta", NATURAL),
    Hypothesis(NOT_SPOILT, "staged", "reasoning", "a1", NATURAL),
    Hypothesis(ERRORS, "staged", "errors_0", "svr", GIVEN),
    Hypothesis(ERRORS, "errors_25", "errors_0", "svr", GIVEN),
    Hypothesis(ERRORS, "errors_75", "errors_0", "svr", GIVEN),
    Hypothesis(OWN_ERRORS, "phases_own", "phases", "svr", NATURAL),
    Hypothesis(PHASES, "phases", "staged", "svr", GIVEN),
    Hypothesis(VERIFY_WEIGHT, "single_verify_4", "single_verify_half", "svr", GIVEN),
    Hypothesis(VERIFY_WEIGHT, "verify_4", "verify_half", "svr", GIVEN),
)


@dataclass(frozen=True)
class Answer:
    """What the runs say of a hypothesis.

    seeds: those that both conditions have. n: problems. first, second: means over the seeds
    (second None where there is none). differences: by seed. mean; interval: 95 %, seeds and
    problems drawn. None where no seed has both conditions or a score is undefined.
    """

    hypothesis: Hypothesis
    seeds: tuple[int, ...]
    n: int
    first: float | None
    second: float | None
    differences: dict[int, float]
    mean: float | None
    interval: tuple[float, float] | None
    counts: tuple[str, ...] = ()  # of shares: right of asked over all seeds, first and second
    least: int = SEEDS  # seeds that a word needs

    @property
    def word(self) -> str:
        """holds, does not hold or not decided; see the module."""
        if self.interval is None or len(self.seeds) < self.least:
            return OPEN
        low, high = self.interval
        return HOLDS if low > 0 else FAILS if high < MATTERS else OPEN


def answer(grid: Grid, hypothesis: Hypothesis, least: int = SEEDS) -> Answer:
    """The paired difference of a hypothesis over the seeds that both conditions have.

    least: seeds that a word needs. Raises ValueError where the two answered different
    problems, or a condition has no rows of the setting.
    """
    first = grid.of(hypothesis.first)
    second = grid.of(hypothesis.second) if hypothesis.second else first
    seeds = tuple(sorted(first.keys() & second.keys()))
    statistic = STATISTICS[hypothesis.of]
    if not seeds:
        return Answer(hypothesis, (), 0, None, None, {}, None, None, (), least)
    ours = tables([first[seed] for seed in seeds], hypothesis.setting)
    theirs = tables([second[seed] for seed in seeds], hypothesis.setting) \
        if hypothesis.second else ours
    if ours[0] != theirs[0]:
        raise ValueError(f"conditions {hypothesis.first} and {hypothesis.second} answered "
                         "different problems: run them anew under one name")
    values = [statistic(part.sum(axis=1)) for part in (ours[1], theirs[1])]
    if hypothesis.second is None:
        each, counts, difference = values[0], ours[1], statistic
    else:
        width = ours[1].shape[2]
        each, counts = values[0] - values[1], np.concatenate([ours[1], theirs[1]], axis=2)

        def difference(sums):
            return statistic(sums[:, :width]) - statistic(sums[:, width:])
    known = not np.isnan(each).any()
    return Answer(
        hypothesis, seeds, len(ours[0]), _mean(values[0]),
        _mean(values[1]) if hypothesis.second else None,
        {seed: float(value) for seed, value in zip(seeds, each) if not np.isnan(value)},
        float(each.mean()) if known else None,
        crossed_bootstrap(difference, counts) if known else None,
        tuple(_counts(part, hypothesis.of) for part in
              ((ours[1], theirs[1]) if hypothesis.second else (ours[1],))), least)


def _counts(table: np.ndarray, of: str) -> str:
    """Right of asked over all seeds where the score is a share, else ""."""
    column = {"a1": 5, "a2": 6, "lenient": 7}.get(of)
    sums = table.sum(axis=(0, 1))
    return "" if column is None else f"{sums[column]:.0f}/{sums[4] + sums[5]:.0f}"


def _mean(values: np.ndarray) -> float | None:
    return None if np.isnan(values).any() else float(values.mean())


def tables(runs: list, setting: str) -> tuple[tuple[str, ...], np.ndarray]:
    """(problems in order, counts by run and problem (runs, problems, 8)) of a setting.

    Raises ValueError where the runs answered different problems.
    """
    for run in runs:
        if run.facts["evaluated"]["settings"] == ["natural"] and setting == GIVEN:
            raise ValueError(f"condition {run.condition} has natural rows alone: it cannot be "
                             f"compared on {GIVEN} ones")
    rows = [[row for row in run.rows() if row["setting"] in SETTINGS[setting]] for run in runs]
    if any({row["problem_id"] for row in each} != {row["problem_id"] for row in rows[0]}
           for each in rows):
        raise ValueError(f"the seeds of condition {runs[0].condition} answered different "
                         "problems: run them anew under one name")
    return count_tables(rows)


def verdicts(answers: list[Answer]) -> dict[str, Answer]:
    """The answer that decides each claim: that of its first hypothesis."""
    deciding: dict[str, Answer] = {}
    for found in answers:
        deciding.setdefault(found.hypothesis.claim, found)
    return deciding
