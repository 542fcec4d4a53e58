"""How much of GSM8K the rule-based teacher covers, how much of that is chance, how fast.

    python benchmarks/teacher_gsm8k.py FOLDER

FOLDER holds GSM8K's files, gzipped or not. Writes `results/teacher-gsm8k.json`, of train and,
under `test`, of the test file, which the table of sources does not know; and the table of
`docs/gsm8k.md`, between its lines BEGIN and END. No text of the data is written.

- coverage: traces that pass all three filter layers, of the problems read.
- sources: where the operands come from, of all operands.
- ambiguous: operands that more than one source would explain (several equal quantities or
  results, or one of each, or a named constant) and whose source PLAN does not name, of all
  operands; ambiguous_traces: traces that hold one, of all traces.
- plan_names_sources: traces in which a line of PLAN names where its operands come from.
- table: entries of `nanoreason/assets/gsm8k_sources.csv` about operands and the traces that have
  one, and the traces that it refuses.
- null: every kept trace is matched against the question of the next one in a seeded order.
  `operands`: those that this other question gives or its words license as a constant, of
  all operands; `traces`: those without a single unexplained operand, of all traces.
- traces_sha256: of the text of all traces, in order, train and dev (5 % of it) apart.
"""
from __future__ import annotations

import json
import random
import sys
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from hashlib import sha256

from result import write_result

from nanoreason import paths
from nanoreason.data import filter_traces, load_problems, teach
from nanoreason.data.filters import reasons
from nanoreason.data.gsm8k import teacher
from nanoreason.environment import peak_memory
from nanoreason.evaluation.report import share
from nanoreason.files import write_text
from nanoreason.graph import dependency_graph
from nanoreason.graph.builder import sources_of
from nanoreason.trace import render_trace

SEED = 0
BEGIN, END = "<!-- gsm8k:begin -->", "<!-- gsm8k:end -->"


def kinds_of(graph) -> list[str]:
    """The kind of source of every operand of a graph, in order."""
    return [node[0] for nodes in sources_of(graph) for node in nodes]


def table_use(traces: Iterable[tuple[str, str, Sequence[str]]]) -> dict[str, int]:
    """How many of (problem id, question, EXECUTE's lines) the table has an entry of: `used`.

    `changed`: those in a row of the train file that has one, but with another question or other
    lines, so that the plain rule stands alone.
    """
    counts = {"used": 0, "changed": 0}
    rows = {f"gsm8k-train-{entries[0]['row']}" for entries in teacher.known_sources().values()}
    for problem_id, question, lines in traces:
        if teacher.fingerprint(question, lines) in teacher.known_sources():
            counts["used"] += 1
        elif problem_id in rows:
            counts["changed"] += 1
    return counts


def measured(folder: str, split: str) -> tuple[dict, list]:
    """What the teacher makes of a split, and its (problem, trace) pairs."""
    problems = list(load_problems("gsm8k", folder, split))
    kept, rejected = filter_traces(zip(problems, teach(problems)))
    graphs = [dependency_graph(trace, problem.question) for problem, trace in kept]
    sources = Counter(kind for graph in graphs for kind in kinds_of(graph))
    operands = sum(sources.values())
    ambiguous = [len(graph.graph["ambiguous"]) for graph in graphs]
    named = sum(any(", using the " in line for line in trace.plan) for _, trace in kept)
    texts: dict[str, list[str]] = {}
    for problem, trace in kept:
        texts.setdefault(problem.split, []).append(render_trace(trace))
    return {
        "read": len(problems), "kept": len(kept), "rejected": reasons(rejected),
        "coverage": share(len(kept), len(problems)),
        "sources": {kind: share(sources[kind], operands) for kind in sorted(sources)},
        "ambiguous": share(sum(ambiguous), operands),
        "ambiguous_traces": share(sum(count > 0 for count in ambiguous), len(kept)),
        "plan_names_sources": share(named, len(kept)),
        "table": table_use((problem.id, problem.question, trace.execute)
                           for problem, trace in kept),
        "traces_sha256": {part: sha256("\n".join(texts[part]).encode()).hexdigest()
                          for part in sorted(texts)},
    }, kept


def null(kept: list) -> dict:
    """How many operands and whole traces another problem's question explains."""
    order = random.Random(SEED).sample(range(len(kept)), len(kept))
    kinds, whole = Counter(), 0
    for place, index in enumerate(order):
        elsewhere = kept[order[place - 1]][0].question
        found = kinds_of(dependency_graph(kept[index][1], elsewhere))
        kinds.update(found)
        whole += "unknown" not in found
    return {"operands": share(kinds["given"] + kinds["constant"], sum(kinds.values())),
            "traces": share(whole, len(kept))}


def table(result: Mapping, readings: Mapping) -> str:
    """What was measured and what was checked, for `docs/gsm8k.md`."""
    def line(what: str, *counts: int) -> str:
        return f"| {what} | {counts[0]:,} of {counts[1]:,} | {counts[0] / counts[1]:.1%} |"

    kept, known, null = result["kept"], result["table"], result["null"]
    verdicts, alone = readings["verdicts"], readings["learned_rules_alone"]
    read = alone["read_right"] + alone["read_wrong"]
    lines = ["| | n | |", "|---|---|---|"]
    for name, part in (("train", result), ("test", result["test"])):
        lines += [line(f"{name}: problems with a trace", *part["coverage"]["counts"]),
                  line(f"{name}: ambiguous operands", *part["ambiguous"]["counts"]),
                  line(f"{name}: traces with one", *part["ambiguous_traces"]["counts"])]
    return "\n".join([
        *lines,
        line("train: traces with an entry in the table", known["used"], kept),
        line("train: refused by the table", known["refused"], result["read"]),
        line("train: PLAN names sources", *result["plan_names_sources"]["counts"]),
        line("null: operands explained by another question", *null["operands"]["counts"]),
        line("null: whole traces", *null["traces"]["counts"]),
        line("weighted rules alone: problems with a trace", *alone["coverage"]),
        line("weighted rules alone: wrong, of the traces read", alone["read_wrong"], read),
        line("verdicts: found right", verdicts["right"], verdicts["traces"]),
        line("train: traces read and found right", readings["taught"]["read"], kept),
        *(line(f"check: right {what}", check["right"], check["traces"])
          for what, check in readings["checks"].items())])


def main(folder: str) -> None:
    began = time.perf_counter()
    result, kept = measured(folder, "train+dev")
    seconds = time.perf_counter() - began
    entries = [entry for found in teacher.known_sources().values() for entry in found]
    refused = sum(not entry["operand"] for entry in entries)
    result["table"] |= {"operands": len(entries) - refused, "refused": refused}
    result |= {"null": null(kept), "seconds": round(seconds, 1),
               "peak_memory_bytes": peak_memory(), "test": measured(folder, "test")[0]}
    write_result(paths.RESULTS / "teacher-gsm8k.json", result)
    page = paths.ROOT / "docs" / "gsm8k.md"
    if page.is_file():
        readings = json.loads((paths.RESULTS / "teacher-gsm8k-readings.json").read_text())
        before, rest = page.read_text().split(BEGIN)
        write_text(page, f"{before}{BEGIN}\n{table(result, readings)}\n{END}{rest.split(END)[1]}")
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main(sys.argv[1])
