"""The tables of a run: each answers one question, from summary.json alone."""
from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from nanoreason.figures.tables import (NOTHING, NOT_RUN, Table, arrow, kinds_scores_table, show,
                                       show_counts, show_value, steps_table, verifiers_table)
from nanoreason.runs import Run
from nanoreason.stages import SPLITS

BEGIN, END = "<!-- results:begin -->", "<!-- results:end -->"
NAMES = {
    "a1": "result of EXECUTE (a1)", "a2": "answer after VERIFY (a2)",
    "lenient": "last number of the text", "svr": "SVR", "youden_j": "Youden's J",
    "recall": "recall of the verdict", "specificity": "specificity of the verdict",
    "first_wrong_step": "first wrong step found", "i_to_c": "wrong to right",
    "c_to_i": "right to wrong", "delta": "gain of VERIFY, a2 less a1",
    "ritual_rate": "ritual rate", "edge_f1": "edge F1", "causal_rate": "causal rate",
    "rfs": "RFS", "plan_infeasible": "infeasible plans",
    "dead_step_rate": "traces with a dead step", "dead_step_share": "dead steps of all steps",
}


def _part(summary: Mapping, split: str, *path: str):
    """What lies at a path below a split, None where some part of it was not run."""
    found = summary["splits"].get(split)
    for name in path:
        found = None if found is None else found[name]
    return found


def _title(summary: Mapping, title: str) -> str:
    return f"SMOKE run, too few traces for a result. {title}" if summary["smoke"] else title


def _by_split(summary: Mapping, title: str, lines: Iterable[tuple], first: str) -> Table:
    """One row a score, one column a split. lines: (label, score's name, path to it)."""
    rows = [(label, arrow(name),
             *(show(name, _part(summary, split, *path)) for split in SPLITS))
            for label, name, path in lines]
    return Table(_title(summary, title), (first, "", *SPLITS), tuple(rows))


def accuracy_table(summary: Mapping) -> Table:
    """Is it right: the three readings of a trace, tuned model and untouched base."""
    return _by_split(summary, "Is it right?", [
        (f"{model}: {NAMES[name]}", name, (part, name))
        for name in ("a1", "a2", "lenient")
        for model, part in (("tuned", "accuracy"), ("base", "base"))], "share of all traces")


def verification_table(summary: Mapping, given: bool = False) -> Table:
    """Does VERIFY help or hurt: SVR with its null, and what it is made of.

    given: for the traces whose EXECUTE was given, once right and once with a planted error;
    else for the model's own.
    """
    names = ("svr", "recall", "specificity", "youden_j", "first_wrong_step", "accuracy_a1",
             "accuracy_a2", "i_to_c", "c_to_i", "delta", "ritual_rate")
    labels = NAMES | {"accuracy_a1": NAMES["a1"], "accuracy_a2": NAMES["a2"]}
    where = "EXECUTE given, injected and clean" if given else "the model's own traces"
    path = ("given", "verification") if given else ("verification",)
    return _by_split(summary, f"Does VERIFY help or hurt? ({where})",
                     [(labels[name], name, (*path, name)) for name in names], "score")


def kinds_table(summary: Mapping, split: str = "test") -> Table:
    """Which errors does VERIFY catch: by kind of planted error."""
    kinds = _part(summary, split, "given", "kinds")
    rows = [("all kinds", *[NOT_RUN] * 3)] if kinds is None else [
        (kind.replace("_", " "), *(show(name, scores[name]) for name in
                                   ("detected", "located", "repaired")))
        for kind, scores in kinds.items()]
    return Table(_title(summary, f"Which errors does it catch? (planted, {split})"),
                 ("kind of error", "verdict is an error ↑", "right step blamed ↑",
                  "answer repaired ↑"), tuple(rows))


def faithfulness_table(summary: Mapping) -> Table:
    """Does the reasoning follow the dependencies: edge F1, causal rate, RFS, plans."""
    names = ("edge_f1", "causal_rate", "rfs", "plan_infeasible", "dead_step_rate",
             "dead_step_share")
    lines = [(NAMES[name], name, ("faithfulness", name)) for name in names]
    lines += [(f"{NAMES[name]}, {side} answers", name, ("faithfulness", side, name))
              for side in ("right", "wrong") for name in ("edge_f1", "causal_rate", "rfs")]
    return _by_split(summary, "Does the reasoning follow the dependencies?", lines, "score")


def causal_table(summary: Mapping, split: str = "test") -> Table:
    """Which changed lines are followed: by their operation, and by their depth."""
    causal = _part(summary, split, "faithfulness", "causal")
    rows = [("all lines", NOT_RUN)] if causal is None else [
        (label.format(name), show("causal_rate", score))
        for part, label in (("operation", "{}"), ("depth", "depth {}"))
        for name, score in causal[part].items()]
    return Table(_title(summary, f"What is followed when a value is changed? ({split})"),
                 ("changed line", "causal rate ↑"), tuple(rows))


def left_out_table(summary: Mapping, faults: Iterable[str] = ()) -> Table:
    """Which rows no score counts: how many, why, and the first of them by name.

    faults: "line k: why" of the lines of generations.jsonl that are no rows.
    """
    faults = list(faults)
    rows = [("file", "all", str(len(faults)), "no row", "; ".join(faults[:5]))] if faults else []
    for split in SPLITS:
        parts = [(part, _part(summary, split, part)) for part in ("verification", "faithfulness")]
        parts.append(("given", _part(summary, split, "given", "verification")))
        rows += [(split, name, str(names["n"]), reason, ", ".join(names["first"]))
                 for name, part in parts if part
                 for reason, names in part["left_out"].items()]
    return Table(_title(summary, "Which rows are not counted?"),
                 ("split", "scores", "rows", "reason", "such as"),
                 tuple(rows) or (("all", "all", "0", "", ""),))


def comparison_rows(comparisons: Mapping[str, Mapping] | None, label: str) -> list[tuple]:
    """The rows of a comparison table for one pair of runs on one split."""
    if comparisons is None:
        return [(label, "all", *[NOT_RUN] * 6)]
    rows = []
    for of, result in comparisons.items():
        difference = {"value": result["difference"], "interval": result["interval"]}
        rows.append((label, NAMES[of], str(result["n"]),
                     *(show_value(of, result[side]) for side in ("first", "second")),
                     show("difference", difference),
                     f"{result['only_first']} / {result['only_second']}",
                     f"{result['p_value']:.2g}" if result["n"] else NOTHING))
    return rows


def comparison_table(summary: Mapping) -> Table:
    """Is the difference real: against the base, and further runs, on the same problems."""
    rows = [row for split in SPLITS for row in comparison_rows(
        _part(summary, split, "comparison"), f"{split}, base")]
    for name, comparisons in summary["others"].items():
        rows += comparison_rows(comparisons, f"test, {name}")
    return Table(_title(summary, "Is the difference real? (same problems, exact McNemar)"),
                 ("split, compared with", "right by", "n", "this run", "other",
                  "difference ↑", "only this / only other", "p"), tuple(rows))


def scores_table(summary: Mapping) -> Table:
    """Every score of summary.json in long form, numbers bare: one row a score."""
    rows = []

    def add(split, part, scores):
        for name, score in (scores or {}).items():
            if isinstance(score, dict) and "value" in score:
                limits = score["interval"] or (None, None)
                cells = (score["value"], show_counts(score["counts"]), *limits, score["null"])
                rows.append((split, part, name, arrow(name),
                             *("" if cell is None else str(cell) for cell in cells)))

    for split in SPLITS:
        for part in ("accuracy", "base", "verification", "faithfulness"):
            add(split, part, _part(summary, split, part))
        for side in ("right", "wrong"):
            add(split, f"faithfulness, {side} answers",
                _part(summary, split, "faithfulness", side))
        add(split, "given", _part(summary, split, "given", "verification"))
        for kind, scores in (_part(summary, split, "given", "kinds") or {}).items():
            add(split, f"given, {kind}", scores)
    return Table(_title(summary, "All scores"), ("split", "part", "score", "better", "value",
                 "counts", "low", "high", "null"), tuple(rows))


def readme(summary: Mapping) -> Table:
    """The results table of the README: one row a score, one column a split."""
    lines = [
        ("right last number, untouched base", "lenient", ("base", "lenient")),
        ("right last number, tuned", "lenient", ("accuracy", "lenient")),
        ("right result of EXECUTE (a1)", "a1", ("accuracy", "a1")),
        ("right answer after VERIFY (a2)", "a2", ("accuracy", "a2")),
        ("gain of VERIFY, a2 less a1", "delta", ("verification", "delta")),
        ("SVR, the model's own answers", "svr", ("verification", "svr")),
        ("SVR, planted errors and clean", "svr", ("given", "verification", "svr")),
        ("edge F1", "edge_f1", ("faithfulness", "edge_f1")),
        ("causal rate", "causal_rate", ("faithfulness", "causal_rate")),
        ("RFS", "rfs", ("faithfulness", "rfs")),
        ("infeasible plans", "plan_infeasible", ("faithfulness", "plan_infeasible")),
    ]
    names = f"Run {summary['run']}, base {summary['base_run'] or NOT_RUN}"
    return _by_split(summary, f"{names}: value (counts) [95 % interval]", lines, "score")


def readme_table(summary: Mapping) -> str:
    """The results table of the README, in Markdown, between its two marker lines."""
    return f"{BEGIN}\n{readme(summary).markdown()}\n{END}"


def put_results(text: str, summary: Mapping) -> str:
    """A text with what stands between the two markers replaced by `readme_table`.

    Raises ValueError where the text does not hold each marker once, in order.
    """
    head, begin, rest = text.partition(BEGIN)
    old, end, tail = rest.partition(END)
    if not begin or not end or BEGIN in rest or END in tail:
        raise ValueError(f"the text needs the markers {BEGIN} and {END} once each, in order")
    return head + readme_table(summary) + tail


def claims_table(summary: Mapping) -> Table:
    """What the run claims and whether its rows show it.

    "shown": the 95 % interval lies above the value that would mean nothing (the score's
    null, zero for a difference, one half for the causal rate); "contradicted": it lies
    below; else "not shown".
    """
    rows = []

    def add(claim, name, score, nothing):
        evidence = NOT_RUN if score is None else show(name, score)
        rows.append((claim, evidence, _judge(score, nothing)))

    for split, where in zip(SPLITS, ("new problems", "new situations", "more steps")):
        # By the last number: the base cannot know the form, and form is no reasoning.
        found = _part(summary, split, "comparison", "lenient")
        score = found and {"value": found["difference"], "interval": found["interval"]}
        add(f"Tuning makes more last numbers right: {where}", "difference", score, 0.0)
    add("VERIFY adds right answers", "delta", _part(summary, "test", "verification", "delta"), 0.0)
    for claim, path in (
            ("VERIFY beats its own verdicts shuffled: own answers", ("verification", "svr")),
            ("VERIFY beats its own verdicts shuffled: planted errors and clean", ("given", "verification", "svr")),
            ("Steps depend on each other as the teacher's do, more than shuffled ones", ("faithfulness", "edge_f1"))):
        score = _part(summary, "test", *path)
        add(claim, path[-1], score, score and score["null"])
    add("Most changed values are carried on", "causal_rate",
        _part(summary, "test", "faithfulness", "causal_rate"), 0.5)
    return Table(_title(summary, "Claims and evidence"), ("claim", "evidence", "verdict"),
                 tuple(rows))


def write_tables(summary: Mapping, run: Run, faults: Iterable[str] = ()) -> list[Path]:
    """Write every table of a summary into the run's folder, as Markdown and as CSV.

    faults: see `left_out_table`. Returns the files' paths, the Markdown of a table first.
    """
    tables = {
        "accuracy": accuracy_table(summary),
        "verification": verification_table(summary),
        "verification_given": verification_table(summary, given=True),
        "verifiers": verifiers_table(summary),
        "verifiers_given": verifiers_table(summary, "given"),
        "kinds": kinds_table(summary),
        "kinds_scores": kinds_scores_table(summary),
        "steps": steps_table(summary),
        "steps_given": steps_table(summary, "given"),
        "faithfulness": faithfulness_table(summary),
        "causal": causal_table(summary),
        "comparison": comparison_table(summary),
        "left_out": left_out_table(summary, faults),
        "scores": scores_table(summary),
    }
    return [path for name, table in tables.items() for path in table.save(run.tables, name)]


def _judge(score: Mapping | None, nothing: float | None) -> str:
    if score is None:
        return NOT_RUN
    if score["interval"] is None or nothing is None:
        return NOTHING if score["value"] is None else "not shown"
    low, high = score["interval"]
    return "shown" if low > nothing else "contradicted" if high < nothing else "not shown"


def rows_table(rows: Iterable[Mapping]) -> Table:
    """How many rows of each setting there are in each split."""
    counts: dict[tuple, int] = {}
    for row in rows:
        key = row.get("split") or "test", row["setting"]
        counts[key] = counts.get(key, 0) + 1
    settings = ("natural", "injected", "clean", "intervened")
    return Table("Rows of the run", ("split", *settings), tuple(
        (split, *(str(counts.get((split, setting), NOT_RUN)) for setting in settings))
        for split in SPLITS))
