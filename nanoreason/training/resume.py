"""What makes two trainings the same one: the rule by which a saved state is taken up.

A training may go on from a checkpoint, and a finished one be taken as it is, only if all
that decides its adapters is equal: the parameters, the encoded rows (so changed data are
seen, whatever they are called), the base's weights and the arithmetic (device, type, number
of processes).

Left out on purpose: parameters that say where, how long and how often, not what; versions
of the libraries and the commit of this project, which `environment.json` records: a session
that comes back with another torch goes on, near the same numbers though not bit for bit.
"""
from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from transformers import AutoConfig

from nanoreason import paths
from nanoreason.environment import VERSION
from nanoreason.files import file_sha256
from nanoreason.model.adapters import load_adapters
from nanoreason.model.base import Location, load_base, locate
from nanoreason.runs import Run, RunError, create_run, find_run
from nanoreason.training.checkpoints import (Checkpoint, Checkpoints, DamagedError, differences,
                                             read_manifest, write_manifest)

# They do not reach the adapters, or reach them through the rows or the processes alone.
NEUTRAL_PARAMETERS = ("profile", "run", "data_path", "drop_ambiguous", "processes", "report_to",
                      "fresh", "max_minutes", "checkpoint_minutes", "checkpoint_gigabytes")
WEIGHTS = (".safetensors", ".bin", ".gguf")
FINISHED = "finished.json"
CHECKPOINTS = "checkpoints"
STARTS = "starts.txt"  # a line for every session that began to train: the step it began at
LOCK = ".lock"
PATIENCE = 20.0  # seconds that a new session waits for one that is about to end


def identity(params, rows_sha256: str, base: Location, device: str, dtype: str,
             processes: int) -> dict[str, Any]:
    """The identity of a training, JSON values.

    params: a `TrainParams`. base: where its base was found. device: "cpu" or "cuda".
    dtype: of the forward, e.g. "float32". processes: replicas of the model that
    share each optimiser step.
    """
    parameters = {name: value for name, value in params.as_dict().items()
                  if name not in NEUTRAL_PARAMETERS}
    return {"parameters": parameters, "rows_sha256": rows_sha256,
            "base_version": base_version(base), "device": device, "dtype": dtype,
            "processes": processes, "version": VERSION}


def base_version(base: Location) -> str | None:
    """Which weights a base is: its version, else a folder's hash, else the hub's commit.

    None where the hub's cache does not say its commit.
    """
    if base.version is not None:
        return base.version
    if base.source != "folder":  # not in the cache when it was looked for
        return getattr(AutoConfig.from_pretrained(base.path), "_commit_hash", None)
    digest = hashlib.sha256()
    for path in sorted(Path(base.path).glob("*")):
        if path.suffix in WEIGHTS or path.name == "config.json":
            digest.update(f"{path.name} {file_sha256(path)}\n".encode())
    return digest.hexdigest()


@dataclass(frozen=True)
class TrainingState:
    """How far a training has come.

    finished: the run has all its files. checkpoint: where it goes on, None: at the start.
    starts: sessions that have begun to train it, with this one.
    """

    run: Run
    checkpoints: Checkpoints
    finished: bool = False
    checkpoint: Checkpoint | None = None
    starts: int = 1

    def seal(self) -> None:
        """Mark the run as finished; its checkpoints are not needed any more."""
        files = [path for path in self.run.path("adapters").rglob("*") if path.is_file()]
        write_manifest(self.run.folder, self.checkpoints.identity, {}, FINISHED,
                       [*files, self.run.path("metrics.csv")])
        self.clear()

    def clear(self) -> None:
        """Remove what only an unfinished training needs."""
        self.checkpoints.clear()
        self.run.path(STARTS).unlink(missing_ok=True)

    def remove(self) -> None:
        """Remove every trace of a training; the five files of a run go in `create_run`."""
        self.run.path(FINISHED).unlink(missing_ok=True)
        self.clear()
        shutil.rmtree(self.run.path("adapters"), ignore_errors=True)


def open_training(params, identity: Mapping[str, Any], main: bool = True) -> TrainingState:
    """Look at what there is of `params.run`, and clear away what may not be taken up.

    params: a `TrainParams`; with `fresh`, everything is cleared away. main: False for the
    further processes of a training: they come second, find the same, and change nothing.
    """
    log = print if main else lambda sentence: None
    run = Run(paths.RUNS / params.run)
    checkpoints = Checkpoints(run.path(CHECKPOINTS), identity, params.checkpoint_gigabytes, log)
    state = TrainingState(run, checkpoints)
    if main and params.fresh:
        state.remove()
    finished = _finished_identity(run, log)
    changes = differences(finished, identity) if finished else None
    if changes == "":
        if main:
            state.clear()  # a session killed between the seal and the clearing
        log(f"run {run.name} is finished with these parameters: nothing is trained again "
            "(fresh=True would)")
        return TrainingState(run, checkpoints, finished=True)
    checkpoint = checkpoints.latest()
    if changes:
        log(f"run {run.name} was another training ({changes}): its files are removed")
    if main and checkpoint is None:
        state.remove()
    if main:
        create_run(params.run, resume=checkpoint is not None)
        with run.path(STARTS).open("a", encoding="utf-8") as file:
            file.write(f"{checkpoint.step if checkpoint else 0}\n")
    if checkpoint is not None:
        log(f"run {run.name} goes on from step {checkpoint.step}")
    starts = len(run.path(STARTS).read_text(encoding="utf-8").splitlines())
    return TrainingState(run, checkpoints, False, checkpoint, starts)


def _finished_identity(run: Run, log: Callable[[str], None]) -> dict | None:
    """The identity of a finished run whose files are all there and as they were written."""
    if not run.path(FINISHED).exists():
        return None
    try:
        return read_manifest(run.folder, FINISHED)["identity"]
    except DamagedError as error:
        log(f"the files of run {run.name} are damaged ({error}): it is trained again")
        return None


def require_finished(run: Run) -> None:
    """Raise RunError if a training of this run has begun and not ended."""
    if run.path(STARTS).exists() and not run.path(FINISHED).exists():
        raise RunError(f"the training of run {run.name} is not finished: train it again with "
                       "the same parameters, it goes on where it stopped")


@contextmanager
def locked(run: Run, patience: float = PATIENCE) -> Iterator[None]:
    """Hold the run for this process.

    Raises RunError if another process holds it for longer than `patience` seconds.
    """
    run.folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(run.path(LOCK))
    try:
        lock.acquire(timeout=patience, poll_interval=0.2)
    except Timeout:
        raise RunError(f"run {run.name} is being trained by another process: wait for its end, "
                       "or take another run name") from None
    try:
        yield
    finally:
        lock.release()


def check_base(run: Run, found: Location) -> None:
    """Refuse weights of the same name other than those that a run's adapters were made for.

    Raises `RunError`. A run that did not record its base passes.
    """
    there = run.path("environment.json").exists()
    made_for = run.read_environment().get("base") if there else None
    if made_for and made_for["version"] != found.version:
        raise RunError(f"run {run.name} was trained on {made_for['base']} from the "
                       f"{made_for['source']} ({made_for['version']}), but here it comes from "
                       f"the {found.source} ({found.version}): bring the same weights, or "
                       "train again")


def load_run(name: str, quantisation: str | None = None):
    """(model with both adapters, tokenizer, parameters as a mapping) of a finished run.

    quantisation: None takes what the run was trained on. Raises `RunError` if there is no
    such run, its training is not finished, or the base found here is not the one it was
    trained on, `FileNotFoundError` if it has no adapters.
    """
    run = find_run(name)
    require_finished(run)
    params = run.read_params()
    check_base(run, locate(params["base"]))
    model, tokenizer = load_base(params["base"], quantisation or params["quantisation"])
    return load_adapters(model, run.path("adapters")), tokenizer, params
