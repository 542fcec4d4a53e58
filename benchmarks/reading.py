"""Sheets of the traces of which the rules are least sure, and what readers found in them.

    python benchmarks/reading.py sheet PATH/TO/gsm8k sheet.txt --most 100
    python benchmarks/reading.py take PATH/TO/gsm8k verdicts.csv

`sheet` writes what nobody has read, the least sure first, as `reading.md` explains it to readers.
`take` adds their verdicts to `nanoreason/assets/readings.csv`, as round 3. A sheet holds text of
the data and stays where it is; the table holds none.
"""
from __future__ import annotations

import argparse
import csv
import re
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from nanoreason.data.verify_lines import write_number
from nanoreason.graph.provenance import constants_of
from nanoreason.data import load_problems
from nanoreason.graph.builder import sources_of
from nanoreason.data.gsm8k.teacher import readable_drafts
from nanoreason.paths import ROOT
from nanoreason.data.gsm8k.teacher import written_lines
from nanoreason.data.problem import Problem
from nanoreason.graph.quantities import quantities
from nanoreason.data.gsm8k.readings import RIGHT, WRONG, as_read, fingerprint, node_of
from nanoreason.data.gsm8k.solutions import Unteachable
from nanoreason.data.gsm8k.algebra import ANNOTATION
from nanoreason.data.gsm8k.witness import NONE, meant

TABLE = ROOT / "nanoreason/assets/readings.csv"
FIELDS = ("row", "trace", "verdict", "line", "operand", "source", "round")


@dataclass(frozen=True)
class Unread:
    """A trace without a verdict. row: of its problem, from 1; sure: the likelihood of its least
    likely source; values, sources: of its operands, line after line."""

    row: int
    problem: Problem
    sure: float
    lines: tuple[str, ...]
    results: list[Fraction]
    values: list[list[Fraction]]
    sources: list[list[tuple]]

    def sheet(self) -> str:
        question = self.problem.question
        for quantity in reversed(quantities(question)):
            start, end = quantity.span
            question = f"{question[:start]}[q{quantity.index}:{quantity.text}]{question[end:]}"
        told = [f"  - {ANNOTATION.sub('', step)}" for _, step in self.problem.details["solution"]]
        trace = [f"  {number}. {line}    [" + "; ".join(
            f"{write_number(value)} from {_words(source)}" for value, source in zip(*row)) + "]"
            for number, (line, *row) in enumerate(zip(self.lines, self.values, self.sources), 1)]
        return "\n".join([f"=== row {self.row}", question, "SOLUTION:", *told, "TRACE:", *trace])


def _words(source: tuple) -> str:
    kind, name = source
    return {"given": f"q{name}", "step": f"r{name}"}.get(kind, "constant")


def unread(path: Path) -> Iterator[Unread]:
    """The traces that the teacher makes, or would if it were sure, and nobody has read."""
    for row, problem in enumerate(load_problems("gsm8k", path, "train+dev"), 1):
        try:
            drafts, graph = readable_drafts(problem)
        except Unteachable:
            continue
        lines, found = written_lines(drafts), meant(drafts, graph, problem.question)
        values = [[value for value, _ in graph.nodes["step", k]["operands"]]
                  for k in range(1, len(lines) + 1)]
        likeliest = [[operand.source for operand in line] for line in found]
        by_rule, _ = as_read(problem.question, lines, sources_of(graph), values)
        verdict, sources = as_read(problem.question, lines, likeliest, values)
        if RIGHT in (by_rule, verdict) or verdict == WRONG or NONE in sum(sources, []):
            continue
        yield Unread(row, problem, min(o.probability for line in found for o in line), lines,
                     [draft.step.value for draft in drafts], values, sources)


def taken(trace: Unread, faults: list[tuple[int, int, str]]) -> Iterator[dict]:
    """The table's rows for a trace with these faults (line, operand, source), none if right.

    All faults were named, so the trace is right with all of them corrected, unless a step is left
    out or a constant is none that the question's words allow. Raises `ValueError` for a place that
    the trace does not have, and for a source of another value.
    """
    sources, question = [list(nodes) for nodes in trace.sources], trace.problem.question
    for line, operand, name in sorted(faults):
        if not (1 <= line <= len(sources) and 1 <= operand <= len(sources[line - 1])):
            raise ValueError(f"row {trace.row} has no operand {operand} in line {line}; "
                             "lines and operands count from 1")
        value = trace.values[line - 1][operand - 1]
        node = node_of(name, value)
        if node and node[0] != "constant" and not {value, 100 * value} & _values(trace, line, node):
            raise ValueError(f"row {trace.row}, line {line}: {name} is not "
                             f"{write_number(value)}; name a source that has this value")
        yield _row(trace, sources, WRONG, line, operand, name)
        if node is None or node[0] == "constant" and value not in constants_of(question):
            return
        sources[line - 1][operand - 1] = node
    yield _row(trace, sources, RIGHT)


def _values(trace: Unread, line: int, node: tuple) -> set[Fraction]:
    """The values of a quantity, or of the result of a line before this one; none if there is
    no such place."""
    kind, number = node
    if kind == "given":
        given = quantities(trace.problem.question)
        return set(given[number].values) if number < len(given) else set()
    return {trace.results[number - 1]} if 1 <= number < line else set()


def _row(trace: Unread, sources, verdict: str, line="", operand="", source="") -> dict:
    return dict(zip(FIELDS, (trace.row, fingerprint(trace.problem.question, trace.lines, sources),
                             verdict, line, operand, source, 3)))


def read_verdicts(path: Path) -> dict[int, list[tuple[int, int, str]]]:
    """The faults of each row that readers decided on; `unsure` ones are left out."""
    found: dict[int, list[tuple[int, int, str]]] = {}
    for number, cells in enumerate(csv.reader(path.open(encoding="utf-8")), 1):
        cells = [cell.strip() for cell in cells]
        known = len(cells) > 1 and cells[0].isdigit() and (
            cells[1] in (RIGHT, "unsure") or cells[1] == WRONG and len(cells) == 5
            and cells[2].isdigit() and cells[3].isdigit()
            and re.fullmatch(r"[qr]\d+|constant|step", cells[4]))
        if not known:
            raise ValueError(f"{path}, line {number}: {','.join(cells)!r} is no verdict; write "
                             "`row,right`, `row,unsure` or `row,wrong,line,operand,source`")
        if cells[1] != "unsure":
            faults = found.setdefault(int(cells[0]), [])
            if cells[1] == WRONG:
                faults.append((int(cells[2]), int(cells[3]), cells[4]))
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=("sheet", "take"))
    parser.add_argument("path", type=Path, help="GSM8K's file of training problems, or its folder")
    parser.add_argument("file", type=Path, help="the sheet to write, or the verdicts to take")
    parser.add_argument("--most", type=int, default=100, help="traces of a sheet")
    parser.add_argument("--table", type=Path, default=TABLE)
    args = parser.parse_args()
    if args.what == "sheet":
        least = sorted(unread(args.path), key=lambda trace: trace.sure)[:args.most]
        args.file.write_text("\n\n".join(trace.sheet() for trace in least) + "\n", encoding="utf-8")
        print(f"{len(least)} traces to read in {args.file}")
        return
    verdicts = read_verdicts(args.file)
    rows = list(csv.DictReader(args.table.open(encoding="utf-8")))
    known = {row["trace"] for row in rows}
    new = [row for trace in unread(args.path) if trace.row in verdicts
           for row in taken(trace, verdicts[trace.row]) if row["trace"] not in known]
    rows = sorted(rows + new, key=lambda row: (int(row["row"]), int(row["round"]), row["trace"]))
    with args.table.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, FIELDS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    print(f"{len(new)} verdicts added to {args.table}")


if __name__ == "__main__":
    main()
