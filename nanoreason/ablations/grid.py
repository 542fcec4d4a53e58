"""A grid of conditions and seeds: what is missing is trained, scored and kept, and goes on.

joblib runs the cells, one a task and one thread a cell: two small models side by side use
two cores better than one model on both. Each cell has a process of its own: of this machine
(loky), or of a Ray cluster, whose machines must share this one's folders and have the package
installed. (Not joblib's own backend for Ray: it gives a cell to the next worker in turn, busy
or not, and hands nothing back before all are through.) What a cell prints goes to its run's
log.

A grid that was stopped or killed goes on where it was: finished runs are found, a run in the
middle of its training goes on from its checkpoint. A process that is killed, or whose machine
is lost, takes no other cell with it, and its cell is tried again. A cell may so be run twice,
also at one time: the second one waits for the first and finds its files; each file is written
beside its place and renamed. Whatever could make a comparison worthless stops the grid with
the names, as soon as it shows: equal recipes (see `conditions`), equal adapters, other data or
another order where they should be the same, runs of another code.
"""
from __future__ import annotations

import os
import threading
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, redirect_stderr, redirect_stdout

import psutil
from filelock import FileLock

from nanoreason import paths
from nanoreason.ablations.conditions import Cell, cells, run_name
from nanoreason.ablations.results import Grid, GridRun, find, folders, store
from nanoreason.environment import check_processes, cores
from nanoreason.evaluation.rows import Texts
from nanoreason.host import Told, progress
from nanoreason.params.sets import AblateParams, EvaluateParams, TrainParams
from nanoreason.runs import Run, row_key
from nanoreason.stages import GIVEN, GROUPS

TRIES = 3  # of a cell whose process was killed
# Settings that change what is trained on, or in which steps; and see `_data`.
DATA = ("error_share", "error_kinds", "traces", "data", "language", "form", "on_policy_share",
        "base", "max_length", "batch_size", "checks", "right_twins", "larger_share",
        "drop_ambiguous")


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
    runs, missing, texts = [], [], Texts()
    for cell in cells(params):
        found = find(cell, evaluation_of(params, cell).recipe(), texts)
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

    if params.engine == "loky":
        check_processes("workers", params.workers or 1)
    limit, over = time.monotonic() + 60 * (params.max_minutes or float("inf")), threading.Event()
    grid = open_grid(params)
    left, runs = to_run(params, grid), list(grid.runs)
    ended = {cell.name: threading.Event() for cell in left}

    def run_one(run: Callable, cell: Cell) -> GridRun | None:
        """In a thread: wait for what a cell needs, then for its process; None: not begun."""
        try:
            if cell.needs in ended:
                ended[cell.needs].wait()
            if not over.is_set() and time.monotonic() < limit:
                return _tried(run, cell, evaluation_of(params, cell))
        finally:
            ended[cell.name].set()

    # What builds on another run is begun beside the first runs of the next seed.
    left.sort(key=lambda cell: (cell.seed + bool(cell.needs), not cell.needs))
    with progress(total=len(grid.runs) + len(left), initial=len(grid.runs), desc="grid",
                  unit="run") as bar, _engine(params.engine, over) as (run, most):
        for found in Parallel(params.workers or most, backend="threading",
                              return_as="generator_unordered")(
                delayed(run_one)(run, cell) for cell in left):
            if found:
                runs.append(found)
                check(runs)
                bar.update(1)
    return open_grid(params)


@contextmanager
def _engine(name: str, over: threading.Event) -> Iterator[tuple[Callable, int]]:
    """What calls `_work` in a process of its own, and how many may run at a time.

    over: set at the end, and the processes of this machine that still run are ended.
    """
    from joblib.externals.loky import ProcessPoolExecutor

    pools = []

    def run(*task):
        with ProcessPoolExecutor(1, env={"OMP_NUM_THREADS": "1"}) as pool:
            pools.append(pool)
            return pool.submit(_work, *task).result()

    try:
        yield _on_ray() if name == "ray" else (run, cores())
    finally:
        over.set()
        for pool in pools:
            pool.shutdown(kill_workers=True)


def _on_ray() -> tuple[Callable, int]:
    """The same on the Ray cluster that there is; without one, on one that begins here."""
    try:
        import ray
    except ImportError:
        raise GridError("engine='ray' needs the package ray, which is not installed: pip install "
                        "ray==2.60.0 on every machine, or leave engine out") from None
    ray.init(ignore_reinit_error=True, log_to_driver=False,
             runtime_env={"env_vars": {"NANOREASON_HOME": str(paths.ROOT)}})
    work = ray.remote(num_cpus=1, max_calls=1, max_retries=0)(_work)
    return lambda *task: ray.get(work.remote(*task)), int(ray.cluster_resources()["CPU"])


def _tried(run: Callable, cell: Cell, evaluated: EvaluateParams) -> GridRun:
    """`_work` of a cell, again where its process was killed."""
    for _ in range(TRIES):
        try:
            return run(cell, evaluated, os.getpid())
        except GridError as error:  # Ray's copy has the whole traceback in its words
            raise getattr(error, "cause", error) from None
        except Exception as error:  # of loky's kind or of Ray's
            killed = error
    raise GridError(f"{cell.name} was killed {TRIES} times, most likely for memory: start again "
                    f"with workers=1; what is finished stays ({type(killed).__name__})")


def to_run(params: AblateParams, grid: Grid) -> list[Cell]:
    """The cells to run, in order.

    A run whose adapters are needed, and are not here, is made again: results/ holds none.
    """
    finished = set()
    for run in grid.runs:
        here = Run(paths.RUNS / run_name(params.run, run.condition, run.seed))
        if here.path("adapters").is_dir() and here.recorded("adapters_sha256", "training") \
                == run.facts["training"]["adapters_sha256"]:
            finished.add(here.name)
    needed = {cell.needs for cell in grid.missing} - finished
    return [cell for cell in cells(params) if cell in grid.missing or cell.name in needed]


def _work(cell: Cell, evaluated: EvaluateParams, parent: int) -> GridRun:
    """Train, score and keep one cell in a process of its own.

    parent: the process of the grid, with which one of the same machine ends.
    """
    import torch

    from nanoreason.evaluation.generate import evaluate, planned_rows
    from nanoreason.training.resume import load_run
    from nanoreason.training.train import train

    torch.set_num_threads(1)
    if os.getppid() == parent:  # this process ends with it, even if that one is killed
        threading.Thread(target=lambda: (psutil.Process(parent).wait(), os._exit(1)),
                         daemon=True).start()
    log = folders(cell.grid)[1] / "logs" / f"{cell.name}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(log.with_suffix(".lock")), log.open("a", encoding="utf-8") as file, \
            redirect_stdout(file), redirect_stderr(file):
        try:
            run = train(cell.params)
            evaluate(evaluated, *load_run(run.name)[:2])
            facts = run.read_environment()
            facts["training"] |= effective(run, cell.params.epochs)
            asked = {row_key(row) for _, rows in planned_rows(evaluated) for row in rows}
            return store(cell, evaluated.recipe(), facts, [
                row for row in run.read_generations() if row_key(row) in asked])
        except Exception as error:
            traceback.print_exc()
            raise GridError(f"condition {cell.condition.name}, seed {cell.seed}, failed: "
                            f"{type(error).__name__}: {error} (where: {paths.relative(log)})"
                            ) from None


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


def _data(recipe: Mapping) -> tuple:
    """The settings by which two runs of a seed are trained on the same rows, or on others: of
    the routings `reread` alone has rows of two readings."""
    known = {name: field.default for name, field in TrainParams.model_fields.items()} | recipe
    return (*(repr(known[name]) for name in DATA), known["routing"] == "reread")


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
        other = data.setdefault((run.seed, _data(run.facts["recipe"])), run)
        where = f"{run.condition}, seed {run.seed},"
        for wrong, fault in (
                (twin.condition != run.condition,
                 f"conditions {twin.condition} and {where} have the same adapters: what differs "
                 "between them did not reach the training"),
                *((other.facts["training"][f"{part}_sha256"] != made[f"{part}_sha256"],
                   f"conditions {other.condition} and {where} should have been trained on the "
                   f"same data, but their {part} differ") for part in ("rows", "order")),
                (first.facts["training"]["base_version"] != made["base_version"],
                 f"{first.condition}, seed {first.seed}, and {where} differ in base_version: a "
                 "grid is of one base")):
            if wrong:
                raise GridError(f"{fault}; change params/ablations/{run.condition}.yaml, or "
                                f"remove {paths.relative(run.folder)} and run it again")
