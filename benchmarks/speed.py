"""One measurement in a process of its own, variants in turn, and what their numbers come to.

Every measurement starts a fresh process, so that none finds the memory, the caches or the
threads that another one left. The variants of a comparison take turns, and each round starts
with another of them, so that the noise of a shared machine falls on all alike. A ratio is
taken within a round; reported are the median of the rounds and all of them.

Memory is what a process holds (its resident set, read every few milliseconds while the work
runs), less what it held right before with the model loaded and run once; on a GPU it is what
torch has allocated there. Shorter peaks than the interval of reading may be missed.
"""
from __future__ import annotations

import argparse
import gc
import json
import statistics
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from tempfile import TemporaryDirectory

import psutil
import torch

from nanoreason import environment, paths
from nanoreason.files import write_json
from nanoreason.environment import choose_dtype
from nanoreason.model.base import load_base

INTERVAL = 0.003  # seconds between two readings of the resident set


class PeakMemory:
    """Bytes held at most between entering and leaving, above what was held on entering."""

    def __init__(self, device: torch.device):
        self.device, self.above = device, 0

    def __enter__(self) -> PeakMemory:
        gc.collect()
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.device)
            self._before = torch.cuda.memory_allocated(self.device)
            return self
        self._process, self._done = psutil.Process(), threading.Event()
        self._before = self._most = self._process.memory_info().rss
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        return self

    def _watch(self) -> None:
        while not self._done.wait(INTERVAL):
            self._most = max(self._most, self._process.memory_info().rss)

    def __exit__(self, *_) -> None:
        if self.device.type == "cuda":
            self._most = torch.cuda.max_memory_allocated(self.device)
        else:
            self._done.set()
            self._thread.join()
        self.above = self._most - self._before


def load(base: str, device: str):
    """Model (not quantised, run once so that its weights are in memory) and tokenizer."""
    model, tokenizer = load_base(base, "none", torch.device(device))
    with torch.no_grad():
        model(input_ids=torch.tensor([[tokenizer.eos_token_id]], device=model.device))
    return model, tokenizer


def wait_for(device: torch.device) -> None:
    """Until the GPU has done what it was given, so that a clock may be read."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def arguments(name: str, description: str) -> argparse.ArgumentParser:
    """What both benchmarks take; `--measure` is how they start their own processes."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("data", help="a GSM8K file, gzipped or not")
    parser.add_argument("--base", default="HuggingFaceTB/SmolLM2-135M-Instruct")
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=paths.RESULTS / f"{name}.json", help="to write")
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    return parser


def run_rounds(script: Path, variants: Sequence[str], job: Mapping, rounds: int
               ) -> dict[str, list[dict]]:
    """What each variant measured, round by round.

    script: is started as `script JOB --measure VARIANT --out RESULT` for one measurement,
    see `measure_one`. job: what all of them are given. Raises RuntimeError, with the end of
    what it printed, where one fails.
    """
    found: dict[str, list[dict]] = {name: [] for name in variants}
    with TemporaryDirectory() as folder:
        given, result = Path(folder) / "job.json", Path(folder) / "result.json"
        write_json(given, job)
        for number in range(rounds):
            for place in range(len(variants)):
                name = variants[(place + number) % len(variants)]
                done = subprocess.run(
                    [sys.executable, script, given, "--measure", name, "--out", result],
                    capture_output=True, text=True)
                if done.returncode:
                    raise RuntimeError(f"{name} failed in round {number + 1}:\n"
                                       f"{done.stderr[-3000:]}")
                found[name].append(json.loads(result.read_text()))
                print(f"round {number + 1}, {name}: {found[name][-1]['seconds']:.1f} s",
                      flush=True)
    return found


def measure_one(options: argparse.Namespace, measure: Callable[[str, dict], dict]) -> None:
    """Inside the process of one measurement: the job in, the result out."""
    write_json(options.out, measure(options.measure, json.loads(Path(options.data).read_text())))


def median(values: Sequence[float]) -> dict:
    """The median of the rounds, and the rounds."""
    return {"median": statistics.median(values), "rounds": list(values)}


def ratio(rounds: Mapping[str, list[dict]], ours: str, other: str, field: str) -> dict:
    """ours / other in one field, round by round."""
    return median([a[field] / b[field] for a, b in zip(rounds[ours], rounds[other], strict=True)])


def judged(value: dict, bar: float, at_most: bool = False) -> dict:
    """A ratio beside its bar; met is said of the median."""
    met = value["median"] <= bar if at_most else value["median"] >= bar
    return value | {"bar": bar, "at_most": at_most, "met": met}


def surroundings(device: str, *packages: str) -> dict:
    """`environment.describe` with threads, and with packages that the project does not need."""
    dtype, reason = choose_dtype(torch.device(device))
    facts = environment.describe(dtype=str(dtype).removeprefix("torch."), dtype_reason=reason)
    facts["packages"] |= {name: metadata.version(name) for name in packages}
    return facts | {"threads": torch.get_num_threads()}


def base_label(base: str) -> str:
    """A base's name without owner or the place where it lies."""
    return base.rstrip("/").rpartition("/")[2]
