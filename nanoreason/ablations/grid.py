"""A grid of conditions and seeds: what is missing is trained, scored and kept, and goes on.

One process a core, each on one thread: two small models side by side use two cores better
than one model on both. What a worker prints goes to its run's log. A grid that was stopped
or killed goes on where it was: finished runs are found, a run in the middle of its training
goes on from its checkpoint. Whatever could make a comparison worthless stops the grid with
the names, as soon as it shows: equal recipes (see `conditions`), equal adapters, other data
or another order where they should be the same, runs of another code.
"""
from __future__ import annotations

import multiprocessing
import os
import threading
import time
import traceback
from collections.abc import Iterable
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

from tqdm.auto import tqdm

from nanoreason import paths
from nanoreason.ablations.conditions import Cell, cells, run_name
from nanoreason.ablations.results import Grid, GridRun, find, folders, store
from nanoreason.environment import hardware
from nanoreason.params.sets import AblateParams, EvaluateParams, TrainParams
from nanoreason.runs import Run, RunError
from nanoreason.stages import GIVEN, GROUPS

# Settings that change what is trained on, or in which steps.
DATA = ("error_share", "error_kinds", "traces", "data", "language", "form", "on_policy_share",
        "base", "max_length", "batch_size", "micro_batch_size", "micro_batch_tokens")
# Settings of an evaluation that its rows do not depend on.
NOT_OF_ROWS = ("profile", "run", "prompted", "baseline", "batch_tokens", "data_path", "unpack")


class GridError(RuntimeError):
    """A run of the grid that failed, or two that must not be compared."""


def evaluation_of(params: AblateParams, cell: Cell) -> EvaluateParams:
    """How a cell is scored: the same problems in every run, whatever its seed.

    A free form has no EXECUTE that could be given.
    """
    settings = ["natural"] if cell.params.form == "free" else ["natural", *GIVEN]
    return EvaluateParams(profile=params.profile, run=cell.name, seed=params.seed,
                          n=params.test_problems, settings=settings, splits=["test"],
                          interventions=0, baseline=False, data=cell.params.data,
                          data_path=cell.params.data_path, language=cell.params.language)


def scored_on(params: AblateParams, cell: Cell) -> dict:
    """What the rows of a cell depend on beside its adapters, JSON values."""
    return {name: value for name, value in evaluation_of(params, cell).as_dict().items()
            if name not in NOT_OF_ROWS}


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
    condition, the seed and the message where a run failed, or where a finished one must not
    be compared with the others; what is finished stays.
    """
    limit = time.monotonic() + 60 * (params.max_minutes or float("inf"))
    grid, workers = open_grid(params), params.workers or hardware()["cores"]
    waiting, finished = to_run(params, grid)
    runs, running, failure = list(grid.runs), {}, None
    with ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), _begin_worker,
                             (os.getpid(),)) as pool, \
            tqdm(total=len(cells(params)), initial=len(cells(params)) - len(waiting),
                 desc="grid", unit="run") as bar:
        try:
            while True:
                ready = [cell for cell in waiting if not cell.needs or cell.needs in finished]
                if failure is None and time.monotonic() < limit:
                    for cell in ready[:workers - len(running)]:
                        waiting.remove(cell)
                        running[pool.submit(_work, cell.params, evaluation_of(params, cell),
                                            _log(cell))] = cell
                if not running:
                    break
                names = ", ".join(cell.name for cell in running.values())
                for job in wait(running, return_when=FIRST_COMPLETED).done:
                    # All that went well are kept before a failure is raised.
                    cell = running.pop(job)
                    try:
                        runs.append(_take(params, cell, job, names))
                        check(runs)
                        finished.add(cell.name)
                    except (GridError, RunError) as error:
                        failure = failure or error
                    bar.update(1)
        except BaseException:
            for process in multiprocessing.active_children():
                process.terminate()
            raise
    if failure is not None:
        raise failure
    if waiting and time.monotonic() < limit:
        raise GridError(f"{', '.join(cell.name for cell in waiting)} wait for a run that is not "
                        "in the grid: name in reasoning_run a condition that builds on none")
    return open_grid(params)


def _take(params: AblateParams, cell: Cell, job: Future, running: str) -> GridRun:
    """Keep what a worker finished; GridError where it failed."""
    try:
        facts = job.result()
    except BrokenProcessPool:
        raise GridError(f"a worker was killed while {running} ran, most likely for memory: "
                        "start again with workers=1; what is finished stays") from None
    except Exception as error:
        raise GridError(f"condition {cell.condition.name}, seed {cell.seed}, failed: "
                        f"{type(error).__name__}: {error} (where: "
                        f"{paths.relative(_log(cell))})") from None
    return store(cell, scored_on(params, cell), facts,
                 Run(paths.RUNS / cell.name).read_generations())


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


def _log(cell: Cell) -> Path:
    return folders(cell.grid)[1] / "logs" / f"{cell.name}.log"


def _begin_worker(parent: int) -> None:
    """One thread; and an end with the process that started it, even if that is killed."""
    import torch

    torch.set_num_threads(1)

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _work(train_params: TrainParams, evaluate_params: EvaluateParams, log: Path) -> dict:
    """Train and score one cell in a worker; the facts of its environment.json."""
    from nanoreason.evaluation.generate import evaluate
    from nanoreason.training.resume import load_run
    from nanoreason.training.train import train

    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("a", encoding="utf-8") as file, redirect_stdout(file), redirect_stderr(file):
        try:
            run = train(train_params)
            evaluate(evaluate_params, *load_run(run.name)[:2])
            facts = run.read_environment()
            facts["training"] |= effective(run, train_params.epochs)
            return facts
        except Exception:
            traceback.print_exc()
            raise


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
