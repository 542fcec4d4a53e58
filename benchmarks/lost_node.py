"""Does the grid end whole and equal when a machine of its cluster is lost in the middle?

    pip install ray==2.60.0
    python benchmarks/lost_node.py [OUT.json]                            results/lost-node.json

A small grid (four conditions, one of which builds on another, two seeds) runs with two
processes of this machine, then on a Ray cluster of two nodes with one core each. As soon as
two of its cells are finished and the second node has one under way, that node is killed: its
raylet and all its workers, with SIGKILL. The grid must end without a word from anybody, with
the same adapters and the same rows. NANOREASON_HOME names the folder, else it is a new one.
"""
from __future__ import annotations

import os
import sys
import tempfile
import threading
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path

HOME = os.environ.setdefault("NANOREASON_HOME", tempfile.mkdtemp(prefix="grid-"))

import psutil  # noqa: E402  the package reads the folder when it is imported
from ray.cluster_utils import Cluster  # noqa: E402
from result import write_result  # noqa: E402

from nanoreason import paths  # noqa: E402
from nanoreason.ablations.grid import run_grid  # noqa: E402
from nanoreason.ablations.results import Grid  # noqa: E402
from nanoreason.files import to_json  # noqa: E402
from nanoreason.params import AblateParams  # noqa: E402

ASKED = {"profile": "nano-switch", "conditions": ["staged", "reasoning", "phases", "free"],
         "seeds": 2, "train_traces": 64, "test_problems": 10}
FINISHED = 2  # cells, before the node is killed


def running(raylet: int) -> dict[str, int]:
    """The cells that the workers of a node have under way: name to process."""
    found = {}
    with suppress(psutil.Error):
        for process in psutil.Process(raylet).children(recursive=True):
            with suppress(psutil.Error):
                found |= {Path(file.path).stem: process.pid for file in process.open_files()
                          if Path(file.path).parent.name == "logs" and file.path.endswith(".log")
                          and file.path.startswith(HOME)}
    return found


def watch(raylets: list[int], starts: dict, lost: dict, over: threading.Event) -> None:
    """Note which process runs which cell, and kill the last node in the middle of one."""
    while not over.wait(0.05):
        for raylet in raylets:
            for cell, process in running(raylet).items():
                starts.setdefault(cell, {})[process] = raylet
        under_way = [cell for cell, process in running(raylets[-1]).items()
                     if len(list((paths.BUILD / "ray").glob("*/seed-*.json"))) >= FINISHED]
        if under_way and not lost:
            over.wait(1.0)  # it has begun to work
            node = psutil.Process(raylets[-1])
            for process in (node, *node.children(recursive=True)):
                with suppress(psutil.Error):
                    process.kill()
            lost |= {"cell": under_way[0], "finished_before": len(
                list((paths.BUILD / "ray").glob("*/seed-*.json")))}


def same(first: Grid, second: Grid) -> dict[str, int]:
    """How many cells have the same adapters, and how many the same rows."""
    others = {(run.condition, run.seed): run for run in second.runs}
    pairs = [(run, others[run.condition, run.seed]) for run in first.runs]
    return {"cells": len(pairs), "missing": len(second.missing),
            "same_adapters": sum(one.facts["training"]["adapters_sha256"]
                                 == two.facts["training"]["adapters_sha256"]
                                 for one, two in pairs),
            "rows": sum(len(one.rows()) for one, _ in pairs),
            "same_rows": sum(left == right for one, two in pairs
                             for left, right in zip(one.rows(), two.rows(), strict=True))}


def main(out: Path = paths.CHECKOUT / "results" / "lost-node.json") -> None:
    alone = run_grid(AblateParams(**ASKED, run="loky", workers=2))
    cluster = Cluster(initialize_head=True, head_node_args={
        "num_cpus": 1, "include_dashboard": False})
    nodes = [cluster.head_node, cluster.add_node(num_cpus=1)]
    cluster.wait_for_nodes()
    os.environ["RAY_ADDRESS"] = cluster.address
    raylets = [node.all_processes["raylet"][0].process.pid for node in nodes]
    starts, lost, over = {}, {}, threading.Event()
    watcher = threading.Thread(target=watch, args=(raylets, starts, lost, over))
    watcher.start()
    try:
        grid = run_grid(AblateParams(**ASKED, run="ray", engine="ray"))
    finally:
        over.set()
        watcher.join()
    left = [sum(raylet == node for tries in starts.values() for raylet in tries.values())
            for node in raylets]
    result = {
        "asked": ASKED, "nodes": 2, "cores_a_node": 1, "lost": lost,
        "run_twice": sorted(cell for cell, tries in starts.items() if len(tries) > 1),
        "begun_on_node": left, **same(alone, grid),
        "ray": version("ray"), "joblib": version("joblib")}
    write_result(out, result)
    print(to_json(result, indent=2))


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:2]))
