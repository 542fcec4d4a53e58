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
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from transformers import AutoConfig

from nanoreason import paths
from nanoreason.environment import VERSION
from nanoreason.model.adapters import adapter_parameters
from nanoreason.model.base import Location
from nanoreason.runs import Run, RunError, create_run, find_run
from nanoreason.training.checkpoints import (Checkpoint, Checkpoints, DamagedError, differences,
                                             file_sha256, read_manifest, write_manifest)

# They do not reach the adapters, or reach them through the rows or the processes alone.
OTHERWISE = ("profile", "run", "data_path", "drop_ambiguous", "processes", "report_to", "fresh",
             "max_minutes", "checkpoint_minutes", "checkpoint_gigabytes")
WEIGHTS = (".safetensors", ".bin", ".gguf")


def identity(params, rows_sha256: str, base: Location, device: str, dtype: str,
             processes: int) -> dict[str, Any]:
    """The identity of a training, JSON values.

    params: a `TrainParams`. base: where its base was found. device: "cpu" or "cuda".
    dtype: of the forward, e.g. "float32". processes: replicas of the model that
    share each optimiser step.
    """
    parameters = {name: value for name, value in params.as_dict().items()
                  if name not in OTHERWISE}
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
    files = sorted(path for path in Path(base.path).glob("*")
                   if path.suffix in WEIGHTS or path.name == "config.json")
    return _together((path.name, file_sha256(path)) for path in files)


def _together(parts) -> str:
    digest = hashlib.sha256()
    for name, sha256 in parts:
        digest.update(f"{name} {sha256}\n".encode())
    return digest.hexdigest()


FINISHED = "finished.json"
CHECKPOINTS = "checkpoints"
STARTS = "starts.txt"  # a line for every session that began to train: the step it began at
LOCK = ".lock"
PATIENCE = 20.0  # seconds that a new session waits for one that is about to end


@dataclass(frozen=True)
class Standing:
    """Where a training stands.

    finished: the run has all its files. checkpoint: where it goes on, None: at the start.
    starts: sessions that have begun to train it, with this one.
    """

    run: Run
    checkpoints: Checkpoints
    finished: bool
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


def open_training(params, identity: Mapping[str, Any], main: bool = True,
                  say: Callable[[str], None] = print) -> Standing:
    """Look at what there is of `params.run`, and clear away what may not be taken up.

    params: a `TrainParams`; with `fresh`, everything is cleared away. main: False for the
    further processes of a training: they come second, find the same, and change nothing.
    """
    say = say if main else _silent
    run = Run(paths.RUNS / params.run)
    checkpoints = Checkpoints(run.path(CHECKPOINTS), identity, params.checkpoint_gigabytes, say)
    if main and params.fresh:
        _remove(run, checkpoints)
    sealed = _sealed(run, say)
    if sealed is not None and differences(sealed, identity) == "nothing":
        found = Standing(run, checkpoints, True)
        if main:
            found.clear()  # a session killed between the seal and the clearing
        say(f"run {run.name} is finished with these parameters: nothing is trained again "
            "(fresh=True would)")
        return found
    checkpoint = checkpoints.latest()
    if sealed is not None:
        say(f"run {run.name} was another training ({differences(sealed, identity)}): its "
            "files are removed")
    if main and checkpoint is None:
        _remove(run, checkpoints)
    if main:
        create_run(params.run, resume=checkpoint is not None)
        with run.path(STARTS).open("a", encoding="utf-8") as file:
            file.write(f"{checkpoint.step if checkpoint else 0}\n")
    if checkpoint is not None:
        say(f"run {run.name} goes on from step {checkpoint.step}")
    starts = len(run.path(STARTS).read_text(encoding="utf-8").splitlines())
    return Standing(run, checkpoints, False, checkpoint, starts)


def require_finished(run: Run) -> None:
    """Raise RunError if a training of this run has begun and not ended."""
    if run.path(STARTS).exists() and not run.path(FINISHED).exists():
        raise RunError(f"the training of run {run.name} is not finished: train it again with "
                       "the same parameters, it goes on where it stopped")


@contextmanager
def locked(run: Run, patience: float = PATIENCE) -> Iterator[None]:
    """Hold the run for this process. No lock on Windows, which has no `fcntl`.

    Raises RunError if another process holds it for longer than `patience` seconds.
    """
    try:
        import fcntl
    except ImportError:
        yield
        return
    run.folder.mkdir(parents=True, exist_ok=True)
    end = time.monotonic() + patience
    with run.path(LOCK).open("w") as file:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > end:
                    raise RunError(f"run {run.name} is being trained by another process: wait "
                                   "for its end, or take another run name") from None
                time.sleep(0.2)
        yield


def replace_folder(folder: Path, fill: Callable[[Path], None]) -> None:
    """Have `fill` write a folder beside, then put it in the place of `folder`."""
    beside = folder.with_name(f".{folder.name}.part")
    shutil.rmtree(beside, ignore_errors=True)
    fill(beside)
    shutil.rmtree(folder, ignore_errors=True)
    beside.replace(folder)


def _sealed(run: Run, say: Callable[[str], None]) -> dict | None:
    """The identity of a finished run whose files are all there and as they were written."""
    if not run.path(FINISHED).exists():
        return None
    try:
        return read_manifest(run.folder, FINISHED)["identity"]
    except DamagedError as error:
        say(f"the files of run {run.name} are damaged ({error}): it is trained again")
        return None


def _remove(run: Run, checkpoints: Checkpoints) -> None:
    """Every trace of an earlier training; the five files of a run go in `create_run`."""
    run.path(FINISHED).unlink(missing_ok=True)
    checkpoints.clear()
    run.path(STARTS).unlink(missing_ok=True)
    shutil.rmtree(run.path("adapters"), ignore_errors=True)


def _silent(sentence: str) -> None:
    """Only one process of a training speaks."""


MUST_MATCH = ("base", "routing", "rank", "alpha")


def find_reasoning(params) -> Run | None:
    """The run whose reasoning adapter `params` builds on; None outside phase verification.

    Raises `RunError` where there is no such run, it has no reasoning adapter, or it was
    trained with another base, routing, rank or alpha.
    """
    if params.phase != "verification":
        return None
    run = find_run(params.reasoning_run)
    require_finished(run)
    if not reasoning_file(run).is_file():
        raise RunError(f"run {run.name} has no reasoning adapter: finish its training first "
                       "(phase=reasoning or joint), or name another run in reasoning_run")
    there: Mapping = run.read_params()
    other = [f"{name}={there.get(name)!r} there and {getattr(params, name)!r} here"
             for name in MUST_MATCH if there.get(name) != getattr(params, name)]
    if other:
        raise RunError(f"the reasoning adapter of run {run.name} does not fit: "
                       f"{', '.join(other)}; give the same values")
    return run


def reasoning_file(run: Run) -> Path:
    """Where a run keeps the weights of its reasoning adapter."""
    return run.path("adapters") / "reasoning" / "adapter_model.safetensors"


def reasoning_sha256(run: Run) -> str:
    """Hexadecimal sha256 of the file with a run's reasoning adapter."""
    return hashlib.sha256(reasoning_file(run).read_bytes()).hexdigest()


@torch.no_grad()
def take_reasoning(model, run: Run) -> None:
    """Copy a run's reasoning adapter into the model's, bit for bit; `tune` freezes it.

    Raises `RunError` where the weights there and here differ in name or shape.
    """
    weights = load_file(reasoning_file(run))
    for name, parameter in adapter_parameters(model, "reasoning"):
        weight = weights.pop(name.replace(".reasoning.", "."), None)
        if weight is None or weight.shape != parameter.shape:
            found = "missing" if weight is None else f"of shape {tuple(weight.shape)}"
            raise RunError(f"run {run.name}: {name} is {found}, and here it is of shape "
                           f"{tuple(parameter.shape)}; the adapters are of different models")
        parameter.copy_(weight)
    if weights:
        raise RunError(f"run {run.name} adapts {next(iter(weights))}, which this model has not; "
                       "the adapters are of different models")
