"""Traces of GSM8K's training set that were read, and what was found.

Which of two equal numbers a solution means, or that it means neither, is often told by nothing
that rules can see. So the traces of which `witness` is least sure were read one by one, by
language models with one page of instructions (`benchmarks/reading.md`), and the verdicts come
with the package: a trace found right is taught however unlikely the rules think it, one found
wrong is not, unless the reader's source for the operand makes it one that was read in its turn
and found right. A verdict holds for what was read and for nothing else: the same question, lines
and sources. The traces of other problems have none, nor has one that other rules make.

`assets/readings.csv` has a line a trace: its row in GSM8K's training file (from 1), its
`fingerprint`, the verdict, and of a wrong one the first operand with another source (its line
and its place in it, from 1) and that source: a quantity (`q0` is the question's first), a result
(`r1`: of line 1), a `constant`, or `step` where a step is left out. Its `round` is 1 for what was
read before the weights of `witness` were learned, which they are from these, 2 for the traces
that they make, and 3 for those whose reader named every fault: what they are with all of these
corrected counts as read. No text of the data.
"""
from __future__ import annotations

import csv
import hashlib
import json
from collections.abc import Sequence
from fractions import Fraction
from functools import lru_cache
from importlib.resources import files

RIGHT, WRONG = "right", "wrong"
DIGITS = 16  # of a fingerprint: 64 bits


def fingerprint(question: str, lines: Sequence[str], sources: Sequence[Sequence[tuple]]) -> str:
    """What a verdict is about: the question, EXECUTE's lines and the node of each operand."""
    told = json.dumps([question, list(lines), [list(nodes) for nodes in sources]])
    return hashlib.sha256(told.encode()).hexdigest()[:DIGITS]


@lru_cache(maxsize=1)
def readings() -> dict[str, dict[str, str]]:
    """Every trace that was read, by its fingerprint."""
    text = files("nanoreason").joinpath("assets/readings.csv").read_text(encoding="utf-8")
    return {row["trace"]: row for row in csv.DictReader(text.splitlines())}


def as_read(question: str, lines: Sequence[str], sources: Sequence[Sequence[tuple]],
            values: Sequence[Sequence[Fraction]]) -> tuple[str | None, list[list[tuple]]]:
    """The verdict on a trace, and its sources as readers corrected them.

    values: of the operands. RIGHT; WRONG, where what was found wrong cannot be corrected; None
    where the trace was not read, or what it was corrected to was not.
    """
    sources, seen = [list(nodes) for nodes in sources], set()
    while True:
        trace = fingerprint(question, lines, sources)
        read = readings().get(trace)
        if read is None or read["verdict"] == RIGHT:
            return read and RIGHT, sources
        line, operand = int(read["line"] or 0) - 1, int(read["operand"] or 0) - 1
        source = line >= 0 and node_of(read["source"], values[line][operand])
        if trace in seen or not source:
            return WRONG, sources
        seen.add(trace)
        sources[line][operand] = source


def verdict_on(question: str, lines: Sequence[str], sources: Sequence[Sequence[tuple]]
               ) -> str | None:
    """RIGHT or WRONG, None for a trace that was not read."""
    read = readings().get(fingerprint(question, lines, sources))
    return read and read["verdict"]


def node_of(name: str, value: Fraction) -> tuple | None:
    """The graph's node of a source as the table names it; None for a step that is left out."""
    if name == "constant":
        return "constant", str(value)
    return None if name == "step" else ({"q": "given", "r": "step"}[name[0]], int(name[1:]))
