"""How much of GSM8K the rule-based teacher covers, how much of that is chance, how fast.

    python benchmarks/teacher_gsm8k.py train_socratic.jsonl.gz

Writes `results/teacher-gsm8k.json`. No text of the data is written.

- coverage: traces that pass all three filter layers, of the problems read.
- readings: how many of these a reader found right (see `nanoreason.readings`), how many nobody
  read; rules_alone: the same of the traces that the rules would make without any reader.
- plan_names_sources: traces in which a line of PLAN names where its operands come from.
- null: every kept trace is matched against the question of the next one in a seeded order.
  `operands`: those that this other question gives or its words license as a constant, of
  all operands; `traces`: those without a single unexplained operand, of all traces.
- ambiguous: operands that more than one source would explain (several equal quantities or
  results, or one of each), of all operands.

`results/teacher-gsm8k-hand-check.csv` holds 50 of these traces checked by a reader, with the
verdicts of two more: problems in the order of `random.Random(20261201).sample`, those passed over
that are rejected. A trace is right where every operand comes from what the solution means by it:
its quantity, or another mention of the same one (`5 days`, and later `these 5 days`); its result,
however that is reached; or a number that the question does not state but its words imply. Equal
addends of one sum have no order. It is also wrong where a step is missing, though each operand
that is there has its source. The readings of `nanoreason/assets/readings.csv` go by the same
rules; `results/teacher-gsm8k-read-twice.csv` holds both verdicts where two readers had one trace.
"""
from __future__ import annotations

import json
import random
import sys
import time
from collections import Counter

from nanoreason import paths
from nanoreason.graph.provenance import constants_of
from nanoreason.data import filter_traces, load_problems, teach
from nanoreason.environment import describe, peak_memory
from nanoreason.data.filters import reasons
from nanoreason.graph import dependency_graph
from nanoreason.graph.builder import sources_of
from nanoreason.data.gsm8k.teacher import gsm8k_trace
from nanoreason.graph.quantities import quantities
from nanoreason.data.gsm8k.readings import verdict_on
from nanoreason.data.gsm8k.solutions import Unteachable
from nanoreason.evaluation.report import share

SEED = 0


def candidates(value, question: str, results) -> int:
    """How many quantities, earlier results and constants have this value."""
    given = sum(value in quantity.values for quantity in quantities(question))
    return given + sum(value == result for result in results) + (value in constants_of(question))


def operands(trace, question: str):
    """(value, node, candidates) of every operand of a trace, in order."""
    graph, results = dependency_graph(trace, question), []
    for number in range(1, len(trace.execute) + 1):
        step = graph.nodes["step", number]
        for value, node in step["operands"]:
            yield value, node, candidates(value, question, results)
        results.append(step["value"])


def readings_of(kept) -> dict[str, int]:
    """How many of the traces were read and found right, how many wrong, how many not read."""
    found = Counter(right=0, wrong=0, unread=0)
    for problem, trace in kept:
        sources = sources_of(dependency_graph(trace, problem.question))
        found[verdict_on(problem.question, trace.execute, sources) or "unread"] += 1
    return dict(found)


def by_rules_alone(problems):
    """(problem, trace or rejection) of the teacher without the verdicts of readers."""
    for problem in problems:
        try:
            yield problem, gsm8k_trace(problem, by_readings=False)
        except Unteachable as error:
            yield problem, error.rejection(problem.id)


def main(path: str) -> None:
    began = time.perf_counter()
    problems = list(load_problems("gsm8k", path, "train+dev"))
    kept, rejected = filter_traces(zip(problems, teach(problems)))
    seconds = time.perf_counter() - began

    order = random.Random(SEED).sample(range(len(kept)), len(kept))
    own, other, ambiguous, whole = Counter(), Counter(), 0, 0
    for place, index in enumerate(order):
        problem, trace = kept[index]
        elsewhere = kept[order[place - 1]][0].question
        for _, node, sources in operands(trace, problem.question):
            own[node[0]] += 1
            ambiguous += sources > 1
        kinds = [node[0] for _, node, _ in operands(trace, elsewhere)]
        other.update(kinds)
        whole += "unknown" not in kinds
    total = sum(own.values())
    named = sum(any(", using the " in line for line in trace.plan) for _, trace in kept)
    alone, _ = filter_traces(by_rules_alone(problems))
    result = {
        "read": len(problems), "kept": len(kept), "rejected": reasons(rejected),
        "coverage": share(len(kept), len(problems)),
        "readings": readings_of(kept),
        "rules_alone": {"coverage": share(len(alone), len(problems)),
                        "readings": readings_of(alone)},
        "plan_names_sources": share(named, len(kept)),
        "sources": {kind: share(own[kind], total) for kind in sorted(own)},
        "ambiguous": share(ambiguous, total),
        "null": {"operands": share(other["given"] + other["constant"], sum(other.values())),
                 "traces": share(whole, len(kept))},
        "seconds": round(seconds, 1), "peak_memory_bytes": peak_memory(),
        "environment": describe(),
    }
    target = paths.RESULTS / "teacher-gsm8k.json"
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps({k: v for k, v in result.items() if k != "environment"}, indent=1))


if __name__ == "__main__":
    main(sys.argv[1])
