"""Pieces of work in processes of their own, side by side, each done once; see `gpu.py`."""
from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from nanoreason.files import write_json

SIZES = ("16m", "4m", "1m")
# recipe: the text that its base reads. `99` and `199` are tuned on traces as published, the others
# on those of `gpu_columns`; `careful` and `right` are controls without errors.
TEXTS = {"columns": "columns", "99": "99", "careful": "columns", "right": "columns",
         "199": "199"}
CELLS = [(size, recipe) for recipe in TEXTS for size in SIZES if recipe != "199" or size == "1m"]
BASES = list(dict.fromkeys((size, TEXTS[recipe]) for size, recipe in CELLS))
ON_CPU = ("text", "data")  # jobs that must not open the GPU


@dataclass(frozen=True)
class Job:
    """A piece of work in a process of its own.

    needs: jobs whose results it reads. later: jobs that it lets end first, or fail.
    """

    name: str
    needs: tuple[str, ...] = ()
    later: tuple[str, ...] = ()


def size_jobs(seeds: int) -> list[Job]:
    """All jobs of part "size", the long ones of a kind first.

    Further seeds wait for all bases: the largest is what all others wait for.
    """
    bases = [Job(f"base-{size}-{text}", (f"text-{text}",)) for size, text in sorted(
        BASES, key=lambda base: SIZES.index(base[0]))]
    jobs = [Job(f"text-{text}") for text in dict.fromkeys(TEXTS.values())] + bases
    after = tuple(base.name for base in bases)
    jobs += [Job(f"data-{recipe}-{seed}", (), after if seed else ())
             for seed in range(seeds) for recipe in TEXTS if recipe != "199"]
    pairs = [Job(f"pair-{size}-{recipe}-{seed}",
                 (f"base-{size}-{TEXTS[recipe]}", "data-99-0",
                  f"data-{'99' if recipe == '199' else recipe}-{seed}"),
                 after if seed else ())
             for seed in range(seeds) for size, recipe in CELLS]
    return jobs + pairs


def run_job(name: str, plan: dict, work: Path) -> dict:
    """Inside the process of one job: what it found."""
    kind, *rest = name.split("-")
    if kind == "speed":
        from gpu_speed import run

        return run(rest[0], plan, work)
    if kind == "check":
        from gpu_check import run

        return run(rest[0])
    import gpu_size

    if kind == "text":
        return gpu_size.make_text(rest[0], plan, work)
    if kind == "data":
        return gpu_size.make_data(rest[0], int(rest[1]), plan, work)
    if kind == "base":
        return gpu_size.train_base(*rest, plan, work)
    return gpu_size.train_pair(*rest[:2], int(rest[2]), plan, work)


class Jobs:
    """Runs jobs side by side until a time, in the order given as their needs allow."""

    def __init__(self, work: Path, workers: int):
        self.work, self.workers, self.failed = work, workers, {}
        self.seconds: dict[str, float] = {}  # of the jobs that were run here

    def done(self, name: str) -> bool:
        """Whether a job has its result."""
        return (self.work / f"{name}.json").exists()

    def run(self, jobs: list[Job], until: float, after: Callable[[], None]) -> None:
        """Run them. until: `time.monotonic()` at which what still runs is ended. after: is
        called whenever a job has ended."""
        waiting, running = [job for job in jobs if not self.done(job.name)], {}
        try:
            while (waiting or running) and time.monotonic() < until:
                for job in list(waiting):
                    if any(need in self.failed for need in job.needs):
                        self.failed[job.name] = "what it needs failed"
                        waiting.remove(job)
                    elif len(running) < self.workers and self._ready(job):
                        running[job] = self.start(job), time.monotonic()
                        waiting.remove(job)
                if not running:
                    break
                for job, (process, began) in list(running.items()):
                    if process.poll() is not None:
                        del running[job]
                        self._ended(job, process.returncode, time.monotonic() - began)
                        after()
                time.sleep(0.1)
        finally:
            for job, (process, _) in running.items():
                process.kill()
                process.wait()
                self.failed[job.name] = "no time left"
            self.failed |= {job.name: "no time left" for job in waiting}

    def _ready(self, job: Job) -> bool:
        return all(map(self.done, job.needs)) \
            and all(self.done(name) or name in self.failed for name in job.later)

    def start(self, job: Job) -> subprocess.Popen:
        """The process of a job, begun."""
        print(f"{time.strftime('%X')} {job.name} starts", flush=True)
        hidden = {"CUDA_VISIBLE_DEVICES": ""} if job.name.split("-")[0] in ON_CPU else {}
        with (self.work / f"{job.name}.log").open("w") as log:
            return subprocess.Popen(
                [sys.executable, __file__, str(self.work), job.name], stdout=log,
                stderr=subprocess.STDOUT, env=os.environ | hidden | {
                    "OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false",
                    "TQDM_DISABLE": "1", "HF_HUB_OFFLINE": "1"})

    def _ended(self, job: Job, status: int, seconds: float) -> None:
        self.seconds[job.name] = seconds
        if status or not self.done(job.name):
            tail = (self.work / f"{job.name}.log").read_text(errors="replace")[-1500:]
            self.failed[job.name] = f"status {status}: {tail}"
        print(f"{time.strftime('%X')} {job.name} ends after {seconds:.0f} s, status {status}",
              *([self.failed[job.name]] if job.name in self.failed else []), flush=True)


@contextmanager
def shared_gpu(work: Path):
    """NVIDIA's multi-process service, which lets kernels of several processes overlap; yields
    whether it is there."""
    control = shutil.which("nvidia-cuda-mps-control")
    if not control:
        yield False
        return
    folders = {name: str(work / name.lower()) for name in ("CUDA_MPS_PIPE_DIRECTORY",
                                                           "CUDA_MPS_LOG_DIRECTORY")}
    for folder in folders.values():
        Path(folder).mkdir(exist_ok=True)
    os.environ.update(folders)
    started = _told([control, "-d"])
    if not started:
        for name in folders:
            os.environ.pop(name)
    try:
        yield started
    finally:
        if started:
            _told([control], "quit\n")
            for name in folders:
                os.environ.pop(name)


def _told(command: list[str], text: str = "") -> bool:
    """Whether a command took this input within its time."""
    try:
        return not subprocess.run(command, input=text, text=True, timeout=20,
                                  stdout=subprocess.DEVNULL,
                                  stderr=subprocess.DEVNULL).returncode
    except (OSError, subprocess.SubprocessError) as error:
        print(error, flush=True)
        return False


def main(work: Path, name: str) -> None:
    """One job; its result with seconds, and with the surroundings where it used the GPU."""
    began = time.monotonic()
    plan = json.loads((work / "plan.json").read_text())
    result = run_job(name, plan, work)
    if name.split("-")[0] not in ON_CPU:
        from nanoreason.environment import describe

        result["environment"] = describe()
    write_json(work / f"{name}.json", result | {"seconds": time.monotonic() - began})


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
