"""How long the scores take: as many generations as GSM8K has test questions.

    python benchmarks/scoring.py [OUT.json]

Scored are natural rows of the run of reference, repeated under other names up to 1,319:
accuracy, self-verification with its null and by steps, faithfulness with its null (edge F1,
feasibility; no interventions, which need a model), every interval with 10,000 resamples. Apart
from that, 1,000 pairs of student and teacher graphs are aligned, and one bootstrap over as
many problems is timed. Seconds are of this machine. The rows are read once, as a summary reads
them: what a part is the first to ask of a row is counted there.
"""
from __future__ import annotations

import sys
import time
from collections.abc import Callable
from itertools import cycle, islice
from pathlib import Path

import numpy as np
from result import write_result

from nanoreason import paths
from nanoreason.evaluation.self_verification import by_steps
from nanoreason.evaluation.report import compare
from nanoreason.evaluation import accuracy, faithfulness, self_verification
from nanoreason.graph.matching import align
from nanoreason.evaluation.rows import read_rows
from nanoreason.evaluation.report import RESAMPLES, bootstrap, ratio
from nanoreason.evaluation.summary import open_run

GENERATIONS, PAIRS = 1319, 1000


def generations(run: str) -> list[dict]:
    """GENERATIONS natural rows of all splits of a run, each under a name of its own."""
    rows = [row for row in open_run(run, "generations.jsonl").read_generations()
            if row["setting"] == "natural"]
    # Other digits in the names of problems, so that no text is met again by chance alone.
    return [row | {"problem_id": f"{row['problem_id']}-{k}"}
            for k, row in enumerate(islice(cycle(rows), GENERATIONS))]


def seconds(work: Callable[[], object]) -> dict[str, float]:
    """How long a call takes: on the clock, and of the processor (less on a busy machine)."""
    began, spent = time.perf_counter(), time.process_time()
    work()
    return {"clock": round(time.perf_counter() - began, 2),
            "processor": round(time.process_time() - spent, 2)}


def measure(run: str = "nano-reference") -> dict:
    """Seconds of every part, and of all scores together."""
    rows, tables = generations(run), []
    parts = {
        "reading": lambda: tables.append(read_rows(rows)),
        "accuracy": lambda: accuracy(tables[0]).to_dict(),
        "self_verification": lambda: self_verification(tables[0]).to_dict(),
        "by_steps": lambda: by_steps(tables[0]),
        "faithfulness": lambda: faithfulness(tables[0]).to_dict(),
        "comparison": lambda: compare(tables[0], tables[0], "a2"),
    }
    taken = {name: seconds(work) for name, work in parts.items()}
    pairs = [(row.graph, row.teachers[0]) for row in tables[0].rows[:PAIRS]]
    values = np.random.default_rng(0).random(GENERATIONS)
    counts = np.stack([values, np.ones(GENERATIONS)], axis=1)
    return {
        "run": run, "generations": len(rows), "seconds": taken,
        "all_scores_seconds": {kind: round(sum(part[kind] for part in taken.values()), 2)
                               for kind in ("clock", "processor")},
        "pairs": len(pairs),
        "alignment_seconds": seconds(lambda: [align(*pair) for pair in pairs]),
        "resamples": RESAMPLES,
        "bootstrap_seconds": seconds(lambda: bootstrap(
            lambda sums: ratio(sums[:, 0], sums[:, 1]), counts, list(range(GENERATIONS)))),
    }


if __name__ == "__main__":
    out = Path(sys.argv[1]) if sys.argv[1:] else paths.RESULTS / "scoring-speed.json"
    result = measure()
    write_result(out, result)
    for name in ("all_scores_seconds", "alignment_seconds", "bootstrap_seconds", "seconds"):
        print(f"{name:20} {result[name]}")
