"""A grid of conditions and seeds: what is missing is trained, scored and kept, and goes on.

    python -m nanoreason.ablations.grid ablations     copy the runs made here to results/ablations

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
import sys
import threading
import time
import traceback
from collections.abc import Iterable
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path

from tqdm.auto import tqdm

from nanoreason import paths
from nanoreason.ablations.conditions import Cell, cells
from nanoreason.ablations.results import GridRun, find, folders, publish_grid, store
from nanoreason.params.sets import AblateParams, EvaluateParams
from nanoreason.runs import Run, RunError

# Settings that change what is trained on, or in which steps.
DATA = ("error_share", "error_kinds", "traces", "data", "language", "form", "on_policy_share",
        "base", "max_length", "batch_size", "micro_batch_size", "micro_batch_tokens")
# Settings of an evaluation that its rows do not depend on.
NOT_OF_ROWS = ("profile", "run", "prompted", "baseline", "batch_tokens", "data_path", "unpack")


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
    grid, began = open_grid(params), time.monotonic()
    workers = params.workers or _cores()
    limit = float("inf") if params.max_minutes is None else began + 60 * params.max_minutes
    waiting, finished = _to_run(params, grid)
    done, running, failure = len(cells(params)) - len(waiting), {}, None
    runs = list(grid.runs)
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, context, _begin_worker, (os.getpid(),)) as pool, \
            tqdm(total=done + len(waiting), initial=done, desc="grid", unit="run") as bar:
        try:
            while running or (waiting and failure is None):
                while failure is None and len(running) < workers and time.monotonic() < limit:
                    cell = next((c for c in waiting if not c.needs or c.needs in finished), None)
                    if cell is None:
                        break
                    waiting.remove(cell)
                    running[pool.submit(_work, cell.params.as_dict(),
                                        evaluation_of(params, cell).as_dict(), _log(cell))] = cell
                if not running:
                    break
                ended = wait(running, return_when=FIRST_COMPLETED).done
                names = [cell.name for cell in running.values()]
                for job in ended:  # all that went well are kept before a failure is raised
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


def _take(params: AblateParams, cell: Cell, job: Future, running: list[str]) -> GridRun:
    """Keep what a worker finished; GridError where it failed."""
    try:
        facts = job.result()
    except BrokenProcessPool:
        raise GridError(f"a worker was killed while {', '.join(running)} ran, most likely for "
                        "memory: start again with workers=1; what is finished stays") from None
    except Exception as error:
        raise GridError(f"condition {cell.condition.name}, seed {cell.seed}, failed: "
                        f"{type(error).__name__}: {error} (where: "
                        f"{paths.relative(_log(cell))})") from None
    return store(cell, scored_on(params, cell), facts,
                 Run(paths.RUNS / cell.name).read_generations())


def _to_run(params: AblateParams, grid: Grid) -> tuple[list[Cell], set[str]]:
    """The cells to run, in order, and the names of the runs that others may build on.

    A run whose adapters are needed, and are not here, is made again: results/ holds none.
    """
    needed = {cell.needs for cell in grid.missing}
    missing = {cell.name for cell in grid.missing}
    adapters = {f"{params.run}.{run.condition}.{run.seed}":
                run.facts["training"]["adapters_sha256"] for run in grid.runs}
    finished = {name for name, sha256 in adapters.items() if _adapters_here(name) == sha256}
    return [cell for cell in cells(params) if cell.name in missing
            or (cell.name in needed and cell.name not in finished)], finished


def _adapters_here(name: str) -> str | None:
    """The hash of the adapters of a scratch run, None where it has none."""
    run = Run(paths.RUNS / name)
    if not run.path("adapters").is_dir() or not run.path("environment.json").is_file():
        return None
    return run.read_environment().get("training", {}).get("adapters_sha256")


def _log(cell: Cell) -> Path:
    return folders(cell.grid)[1] / "logs" / f"{cell.name}.log"


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") \
        else os.cpu_count() or 1


def _begin_worker(parent: int) -> None:
    """One thread; and an end with the process that started it, even if that is killed."""
    import torch

    torch.set_num_threads(1)

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _work(train_values: dict, evaluate_values: dict, log: Path) -> dict:
    """Train and score one cell in a worker; the facts of its environment.json."""
    from nanoreason.evaluation.generate import evaluate
    from nanoreason.params.sets import TrainParams
    from nanoreason.training.train import load_run, train

    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("a", encoding="utf-8") as file, redirect_stdout(file), redirect_stderr(file):
        try:
            run = train(TrainParams(**train_values))
            evaluate(EvaluateParams(**evaluate_values), *load_run(run.name)[:2])
            facts = run.read_environment()
            facts["training"] |= effective(run, train_values["epochs"])
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
    from nanoreason.stages import GROUPS

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
    adapters: dict[tuple, GridRun] = {}
    data: dict[tuple, GridRun] = {}
    first: GridRun | None = None
    for run in runs:
        made, first = run.facts["training"], first or run
        twin = adapters.setdefault((run.seed, made["adapters_sha256"]), run)
        if twin.condition != run.condition:
            raise GridError(f"conditions {twin.condition} and {run.condition}, seed {run.seed}, "
                            "have the same adapters: what differs between them did not reach the "
                            f"training; {_again(run)}")
        settings = tuple(repr(run.facts["recipe"].get(name)) for name in DATA)
        other = data.setdefault((run.seed, settings), run)
        for name, part in (("rows_sha256", "rows"), ("order_sha256", "order")):
            if other.facts["training"][name] != made[name]:
                raise GridError(f"conditions {other.condition} and {run.condition}, seed "
                                f"{run.seed}, should have been trained on the same data, but "
                                f"their {part} differ; {_again(run)}")
        if first.facts["training"]["base_version"] != made["base_version"]:
            raise GridError(f"{first.condition}, seed {first.seed}, and {run.condition}, seed "
                            f"{run.seed}, differ in base_version: a grid is of one base; "
                            f"{_again(run)}")


def _again(run: GridRun) -> str:
    return (f"change params/ablations/{run.condition}.yaml, or remove "
            f"{paths.relative(run.folder)} and run it again")


if __name__ == "__main__":
    asked = AblateParams(run=sys.argv[1] if len(sys.argv) > 1 else "ablations")
    for copied in publish_grid(asked.run, open_grid(asked).runs):
        print(paths.relative(copied))
