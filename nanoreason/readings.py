"""Traces of GSM8K's training set that were read, and what was found.

Which of two equal numbers a solution means, or that it means neither, is often told by nothing
that rules can see. So the traces of which `witness` is least sure were read one by one, and the
verdicts come with the package: a trace found right is taught however unlikely the rules think
it, one found wrong is not taught. A verdict holds for what was read and for nothing else: the
same question, lines and sources. The traces of other problems have none, nor has one that other
rules make.

`assets/readings.csv` has a line a trace: its row in GSM8K's training file (from 1), its
`fingerprint`, the verdict, and of a wrong one the first operand with another source (its line
and its place in it, from 1) and that source, as far as it is a quantity (`q0` is the question's
first), a result (`r1`: of line 1), a `constant` or a `step` that is left out. No text of the data.
"""
from __future__ import annotations

import csv
import hashlib
import json
from collections.abc import Sequence
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


def verdict(question: str, lines: Sequence[str], sources: Sequence[Sequence[tuple]]
            ) -> str | None:
    """RIGHT or WRONG, or None for a trace that was not read."""
    read = readings().get(fingerprint(question, lines, sources))
    return read and read["verdict"]
