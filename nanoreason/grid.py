"""A grid of conditions and seeds: what is missing is trained, scored and kept, and goes on.

One process a core, each on one thread: two small models side by side use two cores better
than one model on both. What a worker prints goes to its run's log. A grid that was stopped
or killed goes on where it was: finished runs are found, a run in the middle of its training
goes on from its checkpoint. Whatever could make a comparison worthless stops the grid with
the names: equal recipes (see `conditions`), equal adapters, other data or another order
where they should be the same.
"""
from __future__ import annotations

import os
import time
from collections.abc import Iterable
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

from tqdm.auto import tqdm

from nanoreason import paths
from nanoreason.conditions import Cell, cells
from nanoreason.grid_results import GridRun, find, folders, store
from nanoreason.params import AblateParams, EvaluateParams
from nanoreason.runs import Run

DATA = ("error_share", "error_kinds", "traces", "data", "language", "form", "phase",
        "on_policy_share")  # settings that change what is trained on


class GridError(RuntimeError):
    """A run of the grid that failed, or two that must not be compared."""


@dataclass(frozen=True)
class Grid:
    """runs: finished. missing: cells that were not run."""

    runs: list[GridRun]
    missing: list[Cell]

    def of(self, condition: str) -> dict[int, GridRun]:
        """The finished runs of a condition, by seed."""
        return {run.seed: run for run in self.runs if run.condition == condition}


def evaluation_of(params: AblateParams, cell: Cell) -> EvaluateParams:
    """How a cell is scored: the same problems in every run, whatever its seed.

    A free form has no EXECUTE that could be given.
    """
    settings = ["natural"] if cell.params.form == "free" else ["natural", "injected", "clean"]
    return EvaluateParams(profile=params.profile, run=cell.name, seed=params.seed,
                          n=params.test_problems, settings=settings, splits=["test"],
                          interventions=0, baseline=False, data=cell.params.data)


def scored_on(params: AblateParams, cell: Cell) -> dict:
    """What the rows of a cell depend on beside its adapters, JSON values."""
    asked = evaluation_of(params, cell).as_dict()
    return {f"evaluated_{name}": asked[name] for name in ("n", "seed", "settings", "splits")}


def open_grid(params: AblateParams) -> Grid:
    """The grid as far as it is done; nothing is run. Raises `GridError` of `check`."""
    runs, missing = [], []
    for cell in cells(params):
        found = find(cell, scored_on(params, cell))
        missing.append(cell) if found is None else runs.append(found)
    check(runs)
    return Grid(runs, missing)


def run_grid(params: AblateParams) -> Grid:
    """Run what is missing of a grid, in order of seeds; returns the grid as it then is.

    With `max_minutes` no further run is begun after that time. Raises `GridError` with the
    condition, the seed and the message where a run failed; what is finished stays.
    """
    grid, began = open_grid(params), time.monotonic()
    workers = params.workers or _cores()
    limit = float("inf") if params.max_minutes is None else began + 60 * params.max_minutes
    waiting, finished = _to_run(params, grid)
    done, running = len(cells(params)) - len(waiting), {}
    with ProcessPoolExecutor(workers, get_context("spawn"), _one_thread) as pool, \
            tqdm(total=done + len(waiting), initial=done, desc="grid", unit="run") as bar:
        try:
            while running or waiting:
                while len(running) < workers and time.monotonic() < limit:
                    cell = next((c for c in waiting if not c.needs or c.needs in finished), None)
                    if cell is None:
                        break
                    waiting.remove(cell)
                    job = pool.submit(_work, cell.params.as_dict(),
                                      evaluation_of(params, cell).as_dict(), _log(cell))
                    running[job] = cell
                if not running:
                    break
                for job in wait(running, return_when=FIRST_COMPLETED).done:
                    cell = running.pop(job)
                    _take(params, cell, job)
                    finished.add(cell.name)
                    bar.update(1)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return open_grid(params)


def _take(params: AblateParams, cell: Cell, job) -> None:
    """Keep what a worker finished; GridError where it failed."""
    try:
        facts = job.result()
    except Exception as error:
        raise GridError(f"condition {cell.condition.name}, seed {cell.seed}, failed: "
                        f"{type(error).__name__}: {error} (all it printed: "
                        f"{paths.relative(_log(cell))})") from None
    store(cell, scored_on(params, cell), facts, Run(paths.RUNS / cell.name).read_generations())


def _to_run(params: AblateParams, grid: Grid) -> tuple[list[Cell], set[str]]:
    """The cells to run, in order, and the names of the runs that others may build on.

    A run whose adapters are needed, and are not here, is made again: results/ holds none.
    """
    needed = {cell.needs for cell in grid.missing}
    missing = {cell.name for cell in grid.missing}
    finished = {cell.name for cell in cells(params) if cell.name not in missing
                and (paths.RUNS / cell.name / "adapters").is_dir()}
    return [cell for cell in cells(params) if cell.name in missing
            or (cell.name in needed and cell.name not in finished)], finished


def _log(cell: Cell) -> Path:
    return folders(cell.grid)[1] / "logs" / f"{cell.name}.log"


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") \
        else os.cpu_count() or 1


def _one_thread() -> None:
    import torch

    torch.set_num_threads(1)


def _work(train_values: dict, evaluate_values: dict, log: Path) -> dict:
    """Train and score one cell in a worker; the facts of its environment.json."""
    from nanoreason.evaluation import evaluate
    from nanoreason.params import TrainParams
    from nanoreason.training import load_run, train

    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("w", encoding="utf-8") as file, redirect_stdout(file), redirect_stderr(file):
        run = train(TrainParams(**train_values))
        params = EvaluateParams(**evaluate_values)
        evaluate(params, *load_run(run.name)[:2])
        return run.read_environment()


def check(runs: Iterable[GridRun]) -> None:
    """Refuse runs whose comparison would mislead.

    Raises `GridError` where two conditions of a seed have the same adapters, or two that
    differ in no setting of the data were trained on other rows or in another order.
    """
    adapters: dict[tuple, str] = {}
    data: dict[tuple, tuple[str, tuple]] = {}
    for run in runs:
        made = run.facts["training"]
        twin = adapters.setdefault((run.seed, made["adapters_sha256"]), run.condition)
        if twin != run.condition:
            raise GridError(f"conditions {twin} and {run.condition}, seed {run.seed}, have the "
                            "same adapters: what differs between them did not reach the "
                            "training")
        settings = tuple(repr(run.facts["recipe"].get(name)) for name in DATA)
        what = made["rows_sha256"], made["order_sha256"]
        first, before = data.setdefault((run.seed, settings), (run.condition, what))
        if before != what:
            part = "rows" if before[0] != what[0] else "order"
            raise GridError(f"conditions {first} and {run.condition}, seed {run.seed}, should "
                            f"have been trained on the same data, but their {part} differ")
