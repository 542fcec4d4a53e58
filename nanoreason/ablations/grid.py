"""A grid of conditions and seeds: what is missing is trained, scored and kept, and goes on.

One cell a task of joblib, one thread a cell: two small models side by side use two cores
better than one model on both. The workers are processes of this machine (loky) unless the
caller chose another backend (`with joblib.parallel_config(backend=...)`), whose workers must
share this one's folders. What a worker prints goes to its run's log.

A grid that was stopped or killed goes on where it was: finished runs are found, a run in the
middle of its training goes on from its checkpoint. A worker that is killed takes the others
with it (loky ends them all); they are started again for what is left. A cell may so be run
twice, also at one time: the second one waits for the first and finds its files. Whatever
could make a comparison worthless stops the grid with the names, as soon as it shows: equal
recipes (see `conditions`), equal adapters, other data or another order where they should be
the same, runs of another code.
"""
from __future__ import annotations

import os
import threading
import time
import traceback
from collections.abc import Iterable
from concurrent.futures.process import BrokenProcessPool
from contextlib import redirect_stderr, redirect_stdout

from filelock import FileLock

from nanoreason import paths
from nanoreason.ablations.conditions import Cell, cells, run_name
from nanoreason.ablations.results import Grid, GridRun, find, folders, store
from nanoreason.environment import cores
from nanoreason.host import Told, progress
from nanoreason.params.sets import AblateParams, EvaluateParams
from nanoreason.runs import Run
from nanoreason.stages import GIVEN, GROUPS

KILLS = 3  # in a row, without a cell finished in between, that end the grid
# Settings that change what is trained on, or in which steps.
DATA = ("error_share", "error_kinds", "traces", "data", "language", "form", "on_policy_share",
        "base", "max_length", "batch_size")


class GridError(Told, RuntimeError):
    """A run of the grid that failed, or two that must not be compared."""


def evaluation_of(params: AblateParams, cell: Cell) -> EvaluateParams:
    """How a cell is scored: the same problems in every run, whatever its seed.

    A free form has no EXECUTE that could be given.
    """
    settings = ["natural"] if cell.params.form == "free" else ["natural", *GIVEN]
    return EvaluateParams(profile=params.profile, run=cell.name, seed=params.seed,
                          n=params.test_problems, settings=settings, splits=["test"],
                          interventions=0, baseline=False, data=cell.params.data,
                          data_path=cell.params.data_path, columns=cell.params.columns,
                          language=cell.params.language)


def open_grid(params: AblateParams) -> Grid:
    """The grid as far as it is done; nothing is run. Raises `GridError` of `check`."""
    runs, missing = [], []
    for cell in cells(params):
        found = find(cell, evaluation_of(params, cell).recipe())
        missing.append(cell) if found is None else runs.append(found)
    check(runs)
    return Grid(runs, missing)


def run_grid(params: AblateParams) -> Grid:
    """Run what is missing of a grid, in order of seeds; returns the grid as it then is.

    With `max_minutes` no further run is begun after that time. Raises `GridError` with the
    condition, the seed and the message where a run failed, or where a finished one must not
    be compared with the others; what is finished stays, what runs beside it goes on next time.
    """
    from joblib import Parallel, delayed  # here: a grid that is there is read without it

    limit = time.monotonic() + 60 * (params.max_minutes or float("inf"))
    grid, workers = open_grid(params), params.workers or cores()
    left, finished = to_run(params, grid)
    runs, waiting, turn, killed = list(grid.runs), {cell.name: cell for cell in left}, -1, 0
    with progress(total=len(cells(params)), initial=len(cells(params)) - len(waiting),
                  desc="grid", unit="run") as bar:
        while waiting and time.monotonic() < limit:
            ready = [cell for cell in waiting.values()
                     if not cell.needs or cell.needs in finished]
            if not ready:
                raise GridError(f"{', '.join(waiting)} wait for a run that is not in the grid: "
                                "name in reasoning_run a condition that builds on none")
            # What builds on another run is begun beside the first runs of the next seed.
            turn = max(turn + 1, ready[0].seed)
            tasks = (delayed(_work)(cell, evaluation_of(params, cell), os.getpid())
                     for place, cell in enumerate(ready)
                     if (cell.seed <= turn or place < workers) and time.monotonic() < limit)
            try:
                for name, run in Parallel(workers, batch_size=1, pre_dispatch=workers,
                                          return_as="generator_unordered")(tasks):
                    del waiting[name]
                    finished.add(name)
                    runs.append(run)
                    check(runs)
                    bar.update(1)
                    killed = 0
            except BrokenProcessPool:
                turn, killed = turn - 1, killed + 1
                if killed == KILLS:
                    raise GridError(
                        f"workers were killed {KILLS} times while {', '.join(waiting)} were left, "
                        "most likely for memory: start again with workers=1; what is finished "
                        "stays") from None
    return open_grid(params)


def to_run(params: AblateParams, grid: Grid) -> tuple[list[Cell], set[str]]:
    """The cells to run, in order, and the names of the runs that others may build on.

    A run whose adapters are needed, and are not here, is made again: results/ holds none.
    """
    finished = set()
    for run in grid.runs:
        here = Run(paths.RUNS / run_name(params.run, run.condition, run.seed))
        if here.path("adapters").is_dir() and here.has("environment.json"):
            made = here.read_environment().get("training", {}).get("adapters_sha256")
            if made == run.facts["training"]["adapters_sha256"]:
                finished.add(here.name)
    needed = {cell.needs for cell in grid.missing} - finished
    return [cell for cell in cells(params)
            if cell in grid.missing or cell.name in needed], finished


def _work(cell: Cell, evaluated: EvaluateParams, parent: int) -> tuple[str, GridRun]:
    """Train, score and keep one cell in a worker; its name and its run.

    parent: the process of the grid, with which a worker of the same machine ends.
    """
    import torch

    from nanoreason.evaluation.generate import evaluate
    from nanoreason.training.resume import load_run
    from nanoreason.training.train import train

    torch.set_num_threads(1)
    if os.getppid() == parent:
        threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    log = folders(cell.grid)[1] / "logs" / f"{cell.name}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(log.with_suffix(".lock")), log.open("a", encoding="utf-8") as file, \
            redirect_stdout(file), redirect_stderr(file):
        try:
            run = train(cell.params)
            evaluate(evaluated, *load_run(run.name)[:2])
            facts = run.read_environment()
            facts["training"] |= effective(run, cell.params.epochs)
            return cell.name, store(cell, evaluated.recipe(), facts,
                                    run.read_generations())
        except Exception as error:
            traceback.print_exc()
            raise GridError(f"condition {cell.condition.name}, seed {cell.seed}, failed: "
                            f"{type(error).__name__}: {error} (where: {paths.relative(log)})"
                            ) from None


def _end_with(parent: int) -> None:
    """End this process with the one that started it, even if that is killed."""
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)


def effective(run: Run, epochs: int) -> dict:
    """What reached the training, from the log of its steps.

    effective_weights: mean of c w over the steps in which a group had tokens, None without
    one. trained_parameters: numbers of the adapters that took a step. tokens_seen: of all
    epochs.
    """
    metrics, made = run.read_metrics(), run.read_environment()["training"]
    weights = {}
    for group in GROUPS:
        seen = metrics.loc[metrics[f"{group}_tokens"] > 0, f"{group}_weight"]
        weights[group] = round(float(seen.mean()), 6) if len(seen) else None
    moved = [name for name in made["parameters"] if metrics[f"{name}_update_norm"].sum() > 0]
    return {"effective_weights": weights, "tokens_seen": epochs * made["tokens"],
            "trained_parameters": sum(made["parameters"][name] for name in moved)}


def check(runs: Iterable[GridRun]) -> None:
    """Refuse runs whose comparison would mislead.

    Raises `GridError` where two conditions of a seed have the same adapters, where two that
    differ in no setting of the data were trained on other rows or in another order, and
    where runs were made on another base.
    """
    first, adapters, data = None, {}, {}
    for run in runs:
        first, made = first or run, run.facts["training"]
        twin = adapters.setdefault((run.seed, made["adapters_sha256"]), run)
        settings = tuple(repr(run.facts["recipe"].get(name)) for name in DATA)
        other = data.setdefault((run.seed, settings), run)
        where = f"{run.condition}, seed {run.seed},"
        fault = None
        if twin.condition != run.condition:
            fault = (f"conditions {twin.condition} and {where} have the same adapters: what "
                     "differs between them did not reach the training")
        for name, part in (("rows_sha256", "rows"), ("order_sha256", "order")):
            if fault is None and other.facts["training"][name] != made[name]:
                fault = (f"conditions {other.condition} and {where} should have been trained on "
                         f"the same data, but their {part} differ")
        if fault is None and first.facts["training"]["base_version"] != made["base_version"]:
            fault = (f"{first.condition}, seed {first.seed}, and {where} differ in base_version: "
                     "a grid is of one base")
        if fault:
            raise GridError(f"{fault}; change params/ablations/{run.condition}.yaml, or remove "
                            f"{paths.relative(run.folder)} and run it again")
