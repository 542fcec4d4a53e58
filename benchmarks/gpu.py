"""Everything that this project asks of a GPU, in one command of at most nine minutes.

    python benchmarks/gpu.py OUT --work SCRATCH [--smoke] [--parts size speed] [--minutes 8.8]

- `check`: on this GPU a full forward equals cached decoding, the CPU, and smaller micro-batches.
- `size`: bases of 1, 4 and 16 million parameters on three texts, adapters on each with several
  seeds, 1,000 problems a setting (`gpu_size`): a process for each piece of work.
- `speed`: training at Qwen2.5-3B's shapes beside TRL and the original's loop (`gpu_speed`),
  alone on the machine.

Every job writes `SCRATCH/<job>.json` when it is done, and a job that has such a file is not
run again: the same command goes on where it stopped. A part ends with its time; what is done
by then stands in `OUT/gpu.json`, what is not is named there. Seeds of adapters come one after
the other over all cells, so that a short time costs seeds and not sizes. `OUT/rows.jsonl.gz`
holds all texts, `OUT/logs.txt` the ends of all logs.

`--smoke` runs all of it on a few steps, a CPU will do; on a GPU it also learns how long a step
of the bases takes with all of them at once, and whether NVIDIA's multi-process service, where it is
there, makes it shorter. A run with `--after` that smoke's SCRATCH takes as many steps of the
bases, the same for every size, as fit into its time, uses the service only if it paid, and
leaves the bases unquantised where NF4 did not work.
"""
from __future__ import annotations

import argparse
import gzip
import json
import shutil
import time
from pathlib import Path

from gpu_jobs import BASES, Job, Jobs, shared_gpu, size_jobs

from nanoreason.environment import git_commit
from nanoreason.files import write_json

FULL = {"steps": 5000, "documents_per_step": 64, "warmup_steps": 100, "text_parts": 42,
        "text_workers": 7, "traces": 12_000, "problems": 1000, "max_new_tokens": 448,
        "quantisation": "nf4", "seeds": 3,
        "speed": {"small": False, "traces": 128, "warm": 32, "padded": 12, "padded_warm": 3,
                  "batch": 32, "rows": 16, "rounds": 3}}
SMOKE = {"steps": 4, "documents_per_step": 4, "warmup_steps": 2, "text_parts": 4,
         "text_workers": 2, "traces": 48, "problems": 4, "max_new_tokens": 24,
         "quantisation": "nf4", "seeds": 1,
         "speed": {"small": True, "traces": 8, "warm": 4, "padded": 2, "padded_warm": 1,
                   "batch": 4, "rows": 2, "rounds": 1}}
SMOKE_GPU = SMOKE | {"steps": 250, "documents_per_step": 64, "warmup_steps": 20,
                     "text_workers": 4, "traces": 240,
                     "problems": 16, "max_new_tokens": 96}
CHECKS = [Job("check-none"), Job("check-nf4")]
SPEED = [Job("speed-none"), Job("speed-nf4", ("speed-none",))]
BASE_SHARE = 0.42  # of the time of part "size": for the slowest base
KINDS = {"checks": "check", "texts": "text", "data": "data", "bases": "base", "cells": "pair",
         "speed": "speed", "speed_by_loop": "unfinished"}


def on_gpu() -> bool:
    """Whether there is a GPU; torch is not asked, since that would open it here."""
    return shutil.which("nvidia-smi") is not None


def results(work: Path) -> dict[str, dict]:
    """What every job that is done has found, by name."""
    return {path.stem: json.loads(path.read_text()) for path in sorted(work.glob("*-*.json"))}


def collect(out: Path, work: Path, plan: dict, jobs: Jobs, options, facts: dict) -> None:
    """`OUT/gpu.json` of everything that is done by now. facts: of this run."""
    found = results(work)
    surroundings = [one.pop("environment") for one in found.values() if "environment" in one]
    parts = {title: {name: one for name, one in found.items() if name.split("-")[0] == kind}
             for title, kind in KINDS.items()}
    environment = surroundings[0] if surroundings else None
    if environment:
        environment["commit"] = environment["commit"] or options.commit
    write_json(out / "gpu.json", {
        "smoke": options.smoke, "plan": plan, **facts, "workers": options.workers,
        "environment": environment,
        "not_done": {name: why for name, why in jobs.failed.items() if name not in found},
        "seconds_by_job": jobs.seconds, **parts})


def finish(out: Path, work: Path) -> None:
    """Texts of all rows, and the ends of all logs."""
    with gzip.open(out / "rows.jsonl.gz", "wb", 6) as whole:
        for name in results(work):  # of a job that was ended there may be half a file
            if not name.startswith("pair-"):
                continue
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
        elif kind == "base":
            print(name, f"{one['slowest_step']:.4f} s a step, last loss {one['loss'][-1][1]}")
        elif kind == "pair":
            print(name, f"{one['tuning_seconds']:.0f} + {one['generation_seconds']:.0f} s", *(
                f"{score} {one['natural'][score]['value']}" for score in
                ("accuracy_a1", "accuracy_a2", "delta", "recall", "specificity", "svr")))
        elif kind == "speed":
            print(name, {variant: found["samples_per_second"]["median"]
                         for variant, found in one["medians"].items()}, list(one["failures"]))


def slowest_step(work: Path) -> float | None:
    """Seconds of the slowest base's step, if all bases are there."""
    found = [one["slowest_step"] for name, one in results(work).items()
             if name.startswith("base-")]
    return max(found) if len(found) == len(BASES) else None


def quick(work: Path, jobs: Jobs, until: float, after) -> dict:
    """How fast the bases are under the service, and whether pairs work."""
    every = [job for job in size_jobs(1) if job.name.split("-")[0] in ("text", "base")
             or job.name in ("data-columns-0", "data-99-0", "pair-16m-columns-0",
                             "pair-1m-columns-0", "pair-4m-99-0")]
    with shared_gpu(on_gpu(), work) as shared:
        jobs.run(every, until, after)
    pace = slowest_step(work)
    return {"step_seconds": pace and 2 * pace, "step_seconds_mps": pace, "mps": shared}


def smoke(work: Path, jobs: Jobs, until: float, after) -> dict:
    """Every job once on a few steps, the bases twice where the service is there."""
    every = CHECKS + size_jobs(1) + SPEED
    bases = [job for job in every if job.name.split("-")[0] in ("text", "base", "data")]
    jobs.run(bases, until, after)
    facts = {"step_seconds": slowest_step(work)}
    with shared_gpu(on_gpu(), work) as shared:
        if shared:
            for name in [name for name in results(work) if name.startswith("base-")]:
                (work / f"{name}.json").unlink()
            end = min(until, time.monotonic() + 75)
            jobs.run(bases, end, after)
            facts["step_seconds_mps"] = slowest_step(work)
            jobs.run(every, end, after)
            # What failed under the service is run once more, without it.
            facts["failed_under_mps"], jobs.failed = jobs.failed, {}
    jobs.run(every, until, after)
    return facts


def learned(plan: dict, options, seconds: float) -> tuple[dict, bool]:
    """The plan after what a smoke run found, and whether to use the service.

    seconds: of part "size".
    """
    there = options.after and (options.after / "facts.json").exists()
    before = json.loads((options.after / "facts.json").read_text()) if there else {}
    alone, shared = before.get("step_seconds"), before.get("step_seconds_mps")
    service = bool(alone and shared and shared < 0.9 * alone)
    pace = shared if service else alone
    if pace:
        fit = int(BASE_SHARE * seconds / pace) // 100 * 100
        plan = plan | {"steps": max(500, min(plan["steps"], fit))}
    if before and not before.get("nf4"):
        plan = plan | {"quantisation": "none"}
    return plan, service


def main(options) -> None:
    """All parts, one after the other, each within its time."""
    began = time.monotonic()
    out, work = options.out, options.work
    for folder in (out, work):
        folder.mkdir(parents=True, exist_ok=True)
    until = began + 60 * options.minutes
    speed_seconds = options.speed_seconds if "speed" in options.parts else 0
    plan = dict((SMOKE_GPU if on_gpu() else SMOKE) if options.smoke else FULL)
    plan["seeds"] = options.seeds or plan["seeds"]
    plan, service = learned(plan, options, 60 * options.minutes - speed_seconds - 20)
    plan["steps"] = options.steps or plan["steps"]
    write_json(work / "plan.json", plan)
    jobs, facts = Jobs(work, options.workers), {"mps": service}
    options.commit = options.commit or git_commit()[0]

    def after() -> None:
        collect(out, work, plan, jobs, options, facts)

    print("plan:", json.dumps(plan), "service:", service, flush=True)
    if options.smoke:
        facts |= (quick if options.quick else smoke)(work, jobs, until - 5, after)
        checks = results(work).get("check-nf4", {})
        # On the CPU's side of the check NF4 may lack its code; a wrong route is far off.
        nf4 = checks["found"]["cached"] < 0.01 if checks else \
            options.quick or jobs.failed.get("check-nf4") == "no time left"
        write_json(work / "facts.json", facts | {"nf4": nf4})
        print("facts:", json.dumps(facts), flush=True)
    else:
        if "size" in options.parts:
            every, end = size_jobs(plan["seeds"]), until - speed_seconds - 20
            with shared_gpu(service, work) as facts["mps"]:
                jobs.run(every, end, after)
            if any(reason != "no time left" for reason in jobs.failed.values()):
                facts["failed_at_first"], jobs.failed = jobs.failed, {}
                if not any(name.startswith("pair-") for name in results(work)):
                    plan["quantisation"] = "none"
                    write_json(work / "plan.json", plan)
                jobs.run(every, end, after)
        if "speed" in options.parts:
            jobs.workers = 1
            jobs.run(SPEED, until - 15, after)
    facts["seconds"] = time.monotonic() - began
    after()
    finish(out, work)
    report(work)
    print(f"{facts['seconds']:.0f} s; not done: {list(jobs.failed) or 'nothing'}", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--work", type=Path, required=True, help="a folder for all else")
    parser.add_argument("--after", type=Path, help="the work folder of a smoke run here")
    parser.add_argument("--smoke", action="store_true")
    parser.add_argument("--quick", action="store_true", help="a smoke run of the bases' pace")
    parser.add_argument("--parts", nargs="+", choices=("size", "speed"), default=["size", "speed"])
    parser.add_argument("--minutes", type=float, default=8.8)
    parser.add_argument("--speed-seconds", type=float, default=140.0)
    parser.add_argument("--workers", type=int, default=14)
    parser.add_argument("--seeds", type=int, help="of adapters on each base")
    parser.add_argument("--steps", type=int, help="of a base")
    parser.add_argument("--commit", help="what runs, where there is no git")
    main(parser.parse_args())
