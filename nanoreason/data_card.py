"""What a set of prepared traces is made of: where its operands come from, and by chance."""
from __future__ import annotations

from collections import Counter

from nanoreason.graph import dependency_graph
from nanoreason.trace import parse_trace

SOURCES = ("given", "step", "constant", "unknown")


def operand_sources(records: list[dict], shift: int = 0) -> dict[str, float]:
    """Share of the operands of EXECUTE by kind of source, over all traces.

    Planted traces are left out: their operands may be wrong on purpose. shift: match each
    trace against the question of the trace so many places on; matching is by value, so
    shift=1 measures how much of it is chance (the null). Denominator: all operands.
    """
    right = [record for record in records if record["planted"] is None]
    counts: Counter[str] = Counter()
    for i, record in enumerate(right):
        question = right[(i + shift) % len(right)]["question"]
        graph = dependency_graph(parse_trace(record["trace"]), question)
        for _, data in graph.nodes(data=True):
            counts.update(source[0] for _, source in data.get("operands", ()))
    whole = sum(counts.values())
    return {kind: counts[kind] / whole if whole else 0.0 for kind in SOURCES}
