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

from nanoreason.comparison import different_problems
from nanoreason.rows import read_rows
from nanoreason.scores import STATISTICS, count_table
from nanoreason.statistics import SEED, crossed_bootstrap


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
    readings = [read_rows(rows, single=False)[0] for rows in runs]
    places = {problem: k for k, problem in enumerate(sorted(
        {reading.problem for found in readings for reading in found}))}
    tables = np.zeros((len(runs), len(places), count_table([]).shape[1]))
    for table, found in zip(tables, readings):
        np.add.at(table, [places[reading.problem] for reading in found], count_table(found))
    return tuple(places), tables
