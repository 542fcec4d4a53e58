"""What a set of prepared traces is made of, as numbers, and their figure; no text of it."""
from __future__ import annotations

import hashlib
import json
import statistics
from collections import Counter
from collections.abc import Mapping

import matplotlib.pyplot as plt
import networkx as nx
from matplotlib.figure import Figure

from nanoreason import paths
from nanoreason.data.problem import FIELDS
from nanoreason.graph.builder import dependency_graph
from nanoreason.model.tokens import encode
from nanoreason.stages import GROUPS, Stage
from nanoreason.trace import parse_trace

SOURCES = {"given": "question", "step": "earlier step",  # kind of source: what it is called
           "constant": "constant", "unknown": "unknown"}


def clean_graphs(records: list[dict], shift: int = 0) -> list[nx.DiGraph]:
    """The graphs of all traces but those with an injected error, whose operands may be wrong on
    purpose.

    shift: match each trace against the question of the trace so many places on; matching is
    by value, so shift=1 measures how much of it is chance (the null).
    """
    clean = [record for record in records if record["planted"] is None]
    return [dependency_graph(parse_trace(record["trace"]), asked["question"])
            for record, asked in zip(clean, clean[shift:] + clean[:shift])]


def operand_sources(graphs: list[nx.DiGraph]) -> dict[str, float]:
    """Share of the operands of EXECUTE by kind of source, of all operands."""
    counts = Counter(source[0] for graph in graphs for _, operands in graph.nodes(data="operands")
                     for _, source in operands or ())
    return {kind: counts[kind] / (counts.total() or 1) for kind in SOURCES}


def ambiguous_operands(graphs: list[nx.DiGraph]) -> dict[str, int]:
    """How many operands of the clean traces have several possible sources, and no name in PLAN.

    `operands`, `of` (all operands), `traces` (that hold one), `of_traces` (all clean ones).
    """
    found = [len(graph.graph["ambiguous"]) for graph in graphs]
    return {"operands": sum(found), "of": sum(
        len(operands or ()) for graph in graphs for _, operands in graph.nodes(data="operands")),
        "traces": sum(map(bool, found)), "of_traces": len(found)}


def data_card(records: list[dict], report: Mapping, tokenizer) -> dict:
    """Counts, lengths and provenance of a training set, ready for JSON.

    report: as `data.prepare` fills it. Lengths are in tokens of `tokenizer`, over the clean
    traces: [median, 90th percentile, longest] of each loss group and of question and trace
    together. `sha256` is that of the records, in order.
    """
    clean = [record for record in records if record["planted"] is None]
    traces, graphs = [parse_trace(record["trace"]) for record in clean], clean_graphs(records)
    rows = [encode(tokenizer, record["question"], trace, 10**9)
            for record, trace in zip(clean, traces)]
    by_source = report.get("by_source") or _one_source(records, report)
    steps = Counter(len(trace.plan) for trace in traces)
    digest = hashlib.sha256()
    for record in records:
        digest.update(json.dumps([record[field] for field in FIELDS]).encode())
    return {
        "traces": len(records), "planted": len(records) - len(clean),
        "problems": len({(r["source"], r["id"]) for r in records}),
        "read": report["read"], "kept": report["kept"], "rejected": len(report["rejected"]),
        "by_source": by_source, "test_sets": report.get("test_sets"),
        "steps": {str(k): steps[k] for k in sorted(steps)},
        "tokens": {**{group: _spread([row.groups.count(i) for row in rows])
                      for i, group in enumerate(GROUPS)},
                   "question and trace": _spread([len(row) for row in rows])},
        "operands": operand_sources(graphs),
        "operands_null": operand_sources(clean_graphs(records, 1)),
        "ambiguous": ambiguous_operands(graphs),
        "sha256": digest.hexdigest()}


def _one_source(records: list[dict], report: Mapping) -> dict:
    name = records[0]["source"] if records else ""
    clean = sum(record["planted"] is None for record in records)
    return {name: {"read": report["read"], "kept": report["kept"],
                   "reasons": report["reasons"], "wanted": len(records), "clean": clean,
                   "planted": report["planted"], "no_kind_fits": report["no_kind_fits"]}}


def _spread(counts: list[int]) -> list[int]:
    """[median, 90th percentile, longest]; [] of nothing."""
    if len(counts) < 2:
        return counts * 3
    return [round(statistics.median(counts)),
            round(statistics.quantiles(counts, n=10, method="inclusive")[-1]), max(counts)]


@plt.style.context(paths.asset("style.mplstyle"))
def draw_card(card: Mapping) -> Figure:
    """The card as one figure: what became of the records, how long the stages are, where
    the operands come from and by chance."""
    figure = plt.figure(figsize=(6.8, 5.2))
    (kept, lengths), (operands, steps) = figure.subplots(
        2, 2, gridspec_kw={"height_ratios": [1.3, 1]})
    rows = [(f"{name}: kept", part["kept"], "#444444") for name, part in card["by_source"].items()]
    rows += [(f"{name}: {reason}", count, "#BBBBBB") for name, part in card["by_source"].items()
             for reason, count in list(part["reasons"].items())[:8]]
    labels, counts, colours = zip(*rows)
    kept.bar_label(kept.barh(labels, counts, color=colours), fmt=" {:,.0f}")
    kept.margins(x=0.2)
    kept.invert_yaxis()
    kept.set(xlabel="problems")
    for place, stage in enumerate(Stage):
        median, ninety, longest = card["tokens"][stage.value.lower()] or [0] * 3
        lengths.plot([median, longest], [place] * 2, color=stage.colour, linewidth=1)
        lengths.plot([median, ninety], [place] * 2, color=stage.colour, linewidth=5)
        lengths.plot(median, place, "o", color=stage.colour, markersize=6)
    lengths.set(yticks=range(len(Stage)), yticklabels=[stage.value for stage in Stage],
                xlabel="tokens: median, 90th percentile, longest", xlim=(0, None))
    lengths.invert_yaxis()
    for offset, (key, colour, label) in enumerate((
            ("operands", "#444444", "own question"),
            ("operands_null", "#BBBBBB", "another question (null)"))):
        operands.barh([i + 0.4 * offset for i in range(len(SOURCES))],
                      [100 * card[key][kind] for kind in SOURCES], 0.4, color=colour, label=label)
    operands.set(yticks=[i + 0.2 for i in range(len(SOURCES))], yticklabels=SOURCES.values(),
                 xlabel="% of the operands, by source")
    operands.invert_yaxis()
    operands.legend(ncols=2, loc="lower left", bbox_to_anchor=(-0.1, 1), borderaxespad=0)
    steps.bar(list(card["steps"]), list(card["steps"].values()), color="#444444")
    steps.set(xlabel="steps of a clean trace", ylabel="traces")
    for axes in (kept, lengths, operands):
        axes.grid(False)  # the bars lie
    return figure
