"""Everything that this project asks of a GPU, in one command.

    python benchmarks/gpu.py OUT --work SCRATCH [--parts size] [--minutes 60] [--smoke]

- `check`: on this GPU a full forward equals cached decoding, the CPU, and smaller micro-batches
  (`gpu_check`).
- `size`: bases of 1, 4 and 16 million parameters on three texts, adapters on each with several
  seeds, 1,000 problems a setting (`gpu_size`): a process for each piece of work, side by side.
- `speed`: training at Qwen2.5-3B's shapes beside TRL and the original's loop (`gpu_speed`),
  alone on the machine.

Every job writes `SCRATCH/<job>.json` when it is done, and a job that has such a file is not
run again: the same command goes on where it stopped. A part ends with its minutes; what is done
by then stands in `OUT/gpu.json`, what is not is named there. Seeds of adapters come one after
the other over all cells, so that a short time costs seeds and not sizes. `OUT/rows.jsonl.gz`
holds all texts, `OUT/logs.txt` the ends of all logs. `--smoke` does every job on a few steps,
for which a CPU will do.

`results/gpu.json.gz` is one such run, with the checks of a run before it.
"""
from __future__ import annotations

import argparse
import gzip
import json
import shutil
import time
from pathlib import Path

from gpu_jobs import Job, Jobs, shared_gpu, size_jobs
from result import write_result

from nanoreason.environment import describe, git_commit
from nanoreason.files import write_json

FULL = {"steps": 3000, "documents_per_step": 64, "warmup_steps": 100, "text_parts": 42,
        "text_workers": 7, "traces": 12_000, "problems": 1000, "max_new_tokens": 448,
        "quantisation": "nf4", "seeds": 3,
        "speed": {"small": False, "traces": 128, "warm": 32, "padded": 12, "padded_warm": 3,
                  "batch": 32, "rows": 16, "rounds": 3}}
SMOKE = {"steps": 4, "documents_per_step": 4, "warmup_steps": 2, "text_parts": 4,
         "text_workers": 2, "traces": 48, "problems": 4, "max_new_tokens": 24,
         "quantisation": "nf4", "seeds": 1,
         "speed": {"small": True, "traces": 8, "warm": 4, "padded": 2, "padded_warm": 1,
                   "batch": 4, "rows": 2, "rounds": 1}}
PARTS = ("check", "size", "speed")
KINDS = {"checks": "check", "texts": "text", "data": "data", "bases": "base", "cells": "pair",
         "speed": "speed", "speed_by_loop": "unfinished"}


def part_jobs(part: str, seeds: int) -> list[Job]:
    """The jobs of a part."""
    if part == "size":
        return size_jobs(seeds)
    needs = ("speed-none",) if part == "speed" else ()  # whose weights the other loads
    return [Job(f"{part}-none"), Job(f"{part}-nf4", needs)]


def results(work: Path) -> dict[str, dict]:
    """What every job that is done has found, by name."""
    return {path.stem: json.loads(path.read_text()) for path in sorted(work.glob("*-*.json"))}


def collect(out: Path, work: Path, jobs: Jobs, facts: dict, commit: str | None) -> None:
    """`OUT/gpu.json` of everything that is done by now. facts: of this run."""
    found = results(work)
    surroundings = [one.pop("environment") for one in found.values() if "environment" in one]
    parts = {title: {name: one for name, one in found.items() if name.split("-")[0] == kind}
             for title, kind in KINDS.items()}
    write_result(out / "gpu.json", facts | {
        "workers": jobs.workers,
        "environment": (surroundings or [describe()])[0] | {"commit": commit},
        "not_done": {name: why for name, why in jobs.failed.items() if name not in found},
        "seconds_by_job": jobs.seconds, **parts})


def finish(out: Path, work: Path) -> None:
    """Texts of all rows, and the ends of all logs."""
    with gzip.open(out / "rows.jsonl.gz", "wb", 6) as whole:
        for name in results(work):  # of a job that was ended there may be half a file
            if name.startswith("pair-"):
                with gzip.open(work / f"{name}.jsonl.gz") as part:
                    shutil.copyfileobj(part, whole)
    with (out / "logs.txt").open("w") as logs:
        for path in sorted(work.glob("*.log")):
            logs.write(f"== {path.stem}\n{path.read_text(errors='replace')[-4000:]}\n")


def report(work: Path) -> None:
    """A line for every job that has something to say."""
    for name, one in results(work).items():
        kind = name.split("-")[0]
        if kind == "check":
            print(name, one["found"], "passed" if one["passed"] else "NOT passed")
        elif kind == "pair":
            print(name, f"{one['tuning_seconds']:.0f} + {one['generation_seconds']:.0f} s", *(
                f"{score} {one['natural'][score]['value']}" for score in
                ("accuracy_a1", "accuracy_a2", "delta", "recall", "specificity", "svr")))
        elif kind == "speed":
            print(name, {variant: found["samples_per_second"]["median"]
                         for variant, found in one["medians"].items()}, list(one["failures"]))


def main(options) -> None:
    """All parts, one after the other, each within its time."""
    began, out, work = time.monotonic(), options.out, options.work
    for folder in (out, work):
        folder.mkdir(parents=True, exist_ok=True)
    plan = dict(SMOKE if options.smoke else FULL)
    plan |= {name: value for name in ("seeds", "steps") if (value := getattr(options, name))}
    write_json(work / "plan.json", plan)
    jobs, commit = Jobs(work, options.workers), options.commit or git_commit()[0]
    facts = {"smoke": options.smoke, "plan": plan, "mps": False}

    def after() -> None:
        collect(out, work, jobs, facts, commit)

    print("plan:", json.dumps(plan), flush=True)
    for part in options.parts:
        jobs.workers = 1 if part == "speed" else options.workers
        until = time.monotonic() + 60 * options.minutes
        if part == "size":
            with shared_gpu(work) as facts["mps"]:
                jobs.run(part_jobs(part, plan["seeds"]), until, after)
        else:
            jobs.run(part_jobs(part, plan["seeds"]), until, after)
    jobs.workers, facts["seconds"] = options.workers, time.monotonic() - began
    after()
    finish(out, work)
    report(work)
    print(f"{facts['seconds']:.0f} s; not done: {list(jobs.failed) or 'nothing'}", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--work", type=Path, required=True, help="a folder for all else")
    parser.add_argument("--smoke", action="store_true", help="a few steps of everything")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--minutes", type=float, default=60.0, help="of a part")
    parser.add_argument("--workers", type=int, default=14)
    parser.add_argument("--seeds", type=int, help="of adapters on each base")
    parser.add_argument("--steps", type=int, help="of a base")
    parser.add_argument("--commit", help="what runs, where there is no git")
    main(parser.parse_args())
