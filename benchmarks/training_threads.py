"""How fast the embedded model is trained alone and beside a busy process, by number of threads.

    python benchmarks/training_threads.py [--earlier FOLDER] [--rounds 5] [--out FILE]

Compared in one run, in turns: `chosen` (the number is chosen while the training runs, see
`model.threads`), `one` and `all` (it is fixed), and with --earlier `earlier`, the training of
another checkout of this repository with its own default, which is all. Each trains the same
traces of profile `nano-switch`, or the profile that had its parameters in the other checkout,
once with the machine to itself and once beside one process that counts and does nothing else.
Timed is the Trainer's own loop, after data, model and forecast are ready.
"""
from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from result import write_result
from speed import judged, measure_one, median, ratio, run_rounds, surroundings

from nanoreason import paths
from nanoreason.table import Table

RESULT = paths.RESULTS / "training-threads.json"
TRACES = 480
LOADS = {"alone": 0, "beside a busy process": 1}
# Load, other variant, what chosen / other is to be at least.
BARS = (("alone", "earlier", 1.6), ("beside a busy process", "earlier", 2.5),
        ("beside a busy process", "one", 1.0))
BUSY = "while True: pass"
# In a checkout's own package, with its API as it was then.
TRAINING = """
import json, sys, time
from pathlib import Path
import torch
from transformers import Trainer
import nanoreason.paths as paths
from nanoreason.params import TrainParams
from nanoreason.training import train
kind, profile, traces, folder = sys.argv[1:]
paths.RUNS = Path(folder)
if kind == "all":
    from nanoreason.model import threads
    threads.LARGEST = 0
spent, inner = [], Trainer.train
def timed(self, *args, **kwargs):
    began = time.perf_counter()
    inner(self, *args, **kwargs)
    spent.append(time.perf_counter() - began)
Trainer.train = timed
run = train(TrainParams(profile=profile, traces=int(traces), run="speed"))
facts = run.read_environment()["training"]
print(json.dumps({"seconds": spent[0], "tokens": facts["tokens"],
                  "threads": torch.get_num_threads(),
                  "tokens_per_second": facts["tokens"] / spent[0],
                  "steps_by_threads": facts.get("steps_by_threads")}))
"""


def measure(variant: str, job: dict) -> dict:
    """One training in a process of its own."""
    root = Path(job["earlier"]) if variant == "earlier" else Path(__file__).resolve().parents[1]
    profile = "nano-switch" if (root / "params" / "nano-switch.yaml").is_file() else "nano"
    threads = {"OMP_NUM_THREADS": "1"} if variant == "one" else {}
    own = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
    with tempfile.TemporaryDirectory() as folder:
        busy = [subprocess.Popen([sys.executable, "-c", BUSY]) for _ in range(job["busy"])]
        try:
            done = subprocess.run(
                [sys.executable, "-c", TRAINING, variant, profile, str(job["traces"]), folder],
                cwd=folder, env=own | threads | {"PYTHONPATH": str(root)}, capture_output=True,
                text=True, check=False)
        finally:
            for process in busy:
                process.kill()
                process.wait()
    if done.returncode:
        raise RuntimeError(f"{variant}: {done.stderr[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def summarise(loads: dict[str, dict[str, list[dict]]]) -> dict:
    """By load: tokens a second of each variant, and ratios of `chosen` to the others."""
    bars, found = {bar[:2]: bar[2] for bar in BARS}, {}
    for load, rounds in loads.items():
        ratios = {other: ratio(rounds, "chosen", other, "tokens_per_second")
                  for other in rounds if other != "chosen"}
        found[load] = {
            "tokens_per_second": {name: median([one["tokens_per_second"] for one in each])
                                  for name, each in rounds.items()},
            "chosen_to_other": {other: judged(value, bars[load, other])
                                if (load, other) in bars else value
                                for other, value in ratios.items()}, "rounds": rounds}
    return found


def table(result: dict) -> Table:
    """A row a load and way."""
    rows = []
    for load, found in result["loads"].items():
        for name, pace in found["tokens_per_second"].items():
            value = found["chosen_to_other"].get(name, {})
            times = [f"{one:.2f}" for one in value.get("rounds", ())]
            bar = (f"≥ {value['bar']:g}, {'met' if value['met'] else 'missed'}"
                   if "bar" in value else "")
            rows.append((load, LABELS[name], f"{pace['median']:,.0f}",
                         f"{value['median']:.2f} × ({' '.join(times)})" if times else "", bar))
    return Table("", ("machine", "threads", "tokens per second ↑", "chosen to this ↑ (rounds)",
                      "bar"), rows)


LABELS = {"chosen": "chosen while it runs", "one": "one", "all": "all",
          "earlier": "all, earlier code"}


def main(options: argparse.Namespace) -> None:
    """All rounds of both loads, and the result file."""
    variants = ["chosen", "one", "all", *(["earlier"] if options.earlier else [])]
    job = {"traces": TRACES, "earlier": options.earlier and str(options.earlier.resolve())}
    loads = {load: run_rounds(Path(__file__), variants, job | {"busy": busy}, options.rounds)
             for load, busy in LOADS.items()}
    result = {"traces": TRACES, "profile": "nano-switch", "earlier": options.earlier and git_head(
        options.earlier), "loads": summarise(loads), "environment": surroundings("cpu")}
    print(write_result(options.out, result))
    print(table(result))


def git_head(folder: Path) -> str:
    """The commit of a checkout."""
    return subprocess.run(["git", "-C", folder, "rev-parse", "HEAD"], capture_output=True,
                          text=True, check=True).stdout.strip()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("data", nargs="?", help=argparse.SUPPRESS)
    parser.add_argument("--earlier", type=Path, help="another checkout of this repository")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", type=Path, default=RESULT, help="to write")
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    given = parser.parse_args()
    measure_one(given, measure) if given.measure else main(given)
