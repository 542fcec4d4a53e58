"""How far a run's training has come: not begun, at a checkpoint, or finished.

`train` with the same parameters and run name goes on where the last one stopped, returns a
finished run as it is, and starts anew where anything else is asked for. What it decides it
says in one sentence. A finished run has `finished.json`: the identity of its training and
the hashes of its files. Its checkpoints are gone by then.

A lock keeps a second training out of the same run; the system drops it with its process.
"""
from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nanoreason import paths
from nanoreason.checkpoints import (Checkpoint, Checkpoints, DamagedError, differences,
                                    read_manifest, write_manifest)
from nanoreason.runs import Run, RunError, create_run

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
