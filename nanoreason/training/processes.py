"""Several training processes, one replica of the model each: started, watched, told apart.

A notebook starts its processes with `python -m torch.distributed.run`, never by forking:
its own kernel may have touched CUDA already. Their output comes through line by line. When
one fails, torchrun ends the others, and the first failure becomes one error here.
`launch` is what each process runs.
"""
from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
import yaml

from nanoreason import paths
from nanoreason.environment import check_processes, cores
from nanoreason.host import GivenError, Told


class ProcessError(Told, RuntimeError):
    """A training process failed; the message is that process's own."""


def process_count(asked: int | None, gpus: int | None = None) -> int:
    """How many processes train: `asked`, or None: one a GPU, and one without any.

    gpus: None takes those that torch sees. Without a GPU they exchange through gloo. Raises
    ValueError for more processes than GPUs where there are some, else for more than cores.
    """
    gpus = torch.cuda.device_count() if gpus is None else gpus
    if asked is None:
        return max(1, gpus)
    if gpus and asked > gpus:
        raise GivenError(f"processes = {asked}, but torch sees {gpus} GPU(s), and each process "
                         f"needs one of its own; set processes to {gpus} or less")
    if not gpus:
        check_processes("processes", asked)
    return asked


def grouped() -> bool:
    """Whether this process is one of a group."""
    return torch.distributed.is_available() and torch.distributed.is_initialized()


def rank() -> int:
    """This process's number in its group, 0 without one. Process 0 writes the files."""
    return torch.distributed.get_rank() if grouped() else 0


def gathered(value: Any) -> list:
    """The value of every process, in order of rank; each must call it at the same point."""
    if not grouped():
        return [value]
    values: list = [None] * torch.distributed.get_world_size()
    torch.distributed.all_gather_object(values, value)
    return values


@contextmanager
def first_before_others() -> Iterator[None]:
    """Process 0 runs the block first, the others after it: downloads and caches are its own."""
    if rank():
        torch.distributed.barrier()
    yield
    if grouped() and not rank():
        torch.distributed.barrier()


def run_processes(processes: int, *command: str) -> None:
    """Run `command` in new processes of this machine, as one group, and wait for them.

    command: what `python` gets, a script or `-m` and a module, and its arguments. The output
    of all, progress bar included, is passed on to `sys.stdout` as it comes. Raises
    ProcessError with the message of the process that failed first (`record` of torchrun
    writes it). Whatever ends the waiting ends the processes too.
    """
    with tempfile.TemporaryDirectory() as logs:
        torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone",
                    f"--nproc-per-node={processes}", f"--log-dir={logs}"]
        status = _passed_on([*torchrun, *command], _environment(processes))
        if status:
            raise ProcessError(_first_failure(Path(logs), processes) or
                               f"training in {processes} processes ended with status {status}, "
                               "and no process left a message: the output above says more")


def train_in_processes(values: Mapping[str, Any], processes: int) -> None:
    """Train with these parameters, by name, in new processes; the run's files stay."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "params.yaml"
        file.write_text(yaml.safe_dump(dict(values), sort_keys=False), encoding="utf-8")
        run_processes(processes, "-m", "nanoreason.launch", str(file), "--runs", str(paths.RUNS))


def _environment(processes: int) -> dict[str, str]:
    """This process's, with the same package, the same root and its share of the cores."""
    packages = os.pathsep.join(filter(None, [str(paths.PACKAGE.parent),
                                             os.environ.get("PYTHONPATH")]))
    return {"OMP_NUM_THREADS": str(max(1, cores() // processes)), **os.environ,
            "PYTHONPATH": packages, "NANOREASON_HOME": str(paths.ROOT),
            "PYTHONUNBUFFERED": "1"}


def _passed_on(command: list[str], environment: dict[str, str]) -> int:
    """Run a command, its output passed on; its exit status."""
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE,
                               stderr=subprocess.STDOUT)
    try:
        # newline="": a progress bar's carriage return ends a line and stays one.
        for line in io.TextIOWrapper(process.stdout, encoding="utf-8", errors="replace",
                                     newline=""):
            sys.stdout.write(line)
            sys.stdout.flush()
        return process.wait()
    finally:
        if process.poll() is None:  # interrupted here: torchrun passes the signal on
            process.terminate()
            process.wait()


def _first_failure(logs: Path, processes: int) -> str | None:
    """The message of the process that failed first, from the files that `record` writes.

    By the files' own times: those that `record` notes are whole seconds, and what the first
    failure does to the others (a lost connection) follows within one. A process that
    is ended while it writes its message leaves none that can be read.
    """
    failures = []
    for file in logs.rglob("error.json"):
        try:
            message = json.loads(file.read_text(encoding="utf-8"))["message"]
        except ValueError:
            continue
        if isinstance(message, dict):
            failures.append((file.stat().st_mtime_ns, int(file.parent.name),
                             message["message"]))
    if not failures:
        return None
    _, number, message = min(failures)
    return f"training process {number} of {processes} (counted from 0) failed: {message}"
