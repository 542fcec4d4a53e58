"""The tables of a run, from its summary alone, in Markdown and CSV.

Each table answers one question, its title. Most are described as data: a row a score and a
column a split (`ACROSS_SPLITS`), or a row a case and a column a score. A score is a mapping
{value, counts, interval, null}, as `summary.summarise` makes them. It is written with its
raw counts and its interval, `15.6 % (78/500) [12.7–19.0]`. What was not measured says so:
`n/a (n=0)` is a rate over nothing, `not run` is a setting that was never generated.
"""
from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from nanoreason.evaluation.report import BETTER, show_counts
from nanoreason.runs import Run, RunError
from nanoreason.stages import SETTINGS, SPLITS
from nanoreason.table import Table

NOT_RUN, NOTHING = "not run", "n/a (n=0)"
NO_VERIFY_LOSS = "without VERIFY loss"
SIGNED = ("delta", "youden_j", "difference")  # differences, in points, with their sign
RIGHT = ("a1", "a2", "detected", "located", "repaired")  # more is better in these too


def show_value(name: str, value: float | None) -> str:
    """A score in per cent with one decimal, a difference in points with its sign."""
    if value is None:
        return NOTHING
    return f"{100 * value:+.1f} points" if name in SIGNED else f"{100 * value:.1f} %"


def show_interval(name: str, interval) -> str:
    """`[12.7–19.0]` in per cent; empty where there is none."""
    if interval is None:
        return ""
    form = "[{:+.1f} to {:+.1f}]" if name in SIGNED else "[{:.1f}–{:.1f}]"
    return form.format(*(100 * limit + 0.0 for limit in interval))


def show(name: str, score: Mapping | None) -> str:
    """A score in one cell: value, counts, interval and, if it has one, its null."""
    if score is None:
        return NOT_RUN
    if score["value"] is None:
        return NOTHING
    counts = f"({show_counts(score['counts'])})" if score.get("counts") is not None else ""
    parts = show_value(name, score["value"]), counts, show_interval(name, score.get("interval"))
    null = score.get("null")
    return " ".join(filter(None, parts)) + (
        "" if null is None else f", null {show_value(name, null)}")


def arrow(name: str) -> str:
    """↑ where more is better, ↓ where less is, nothing where neither is."""
    return "↑" if name in RIGHT else BETTER.get(name, "")


NAMES = {
    "a1": "result of EXECUTE (a1)", "a2": "answer after VERIFY (a2)",
    "lenient": "last number of the text", "svr": "SVR", "youden_j": "Youden's J",
    "recall": "recall of the verdict", "specificity": "specificity of the verdict",
    "first_wrong_step": "first wrong step found", "i_to_c": "wrong to right",
    "c_to_i": "right to wrong", "delta": "gain of VERIFY, a2 less a1",
    "ritual_rate": "ritual rate", "edge_f1": "edge F1",
    "edge_f1_unflattened": "edge F1, line by line", "causal_rate": "causal rate",
    "rfs": "RFS", "plan_infeasible": "infeasible plans",
    "dead_step_rate": "traces with a dead step", "dead_step_share": "dead steps of all steps",
    "accuracy_a1": "result of EXECUTE (a1)", "accuracy_a2": "answer after VERIFY (a2)",
}
OF_VERDICTS = ("svr", "recall", "specificity", "youden_j", "first_wrong_step", "accuracy_a1",
               "accuracy_a2", "i_to_c", "c_to_i", "delta", "ritual_rate")
OF_GRAPHS = ("edge_f1", "edge_f1_unflattened", "causal_rate", "rfs", "plan_infeasible",
             "dead_step_rate", "dead_step_share")
OWN, GIVEN = "the model's own traces", "EXECUTE given, injected and clean"
ACROSS_SPLITS = {  # table -> (title, first column, rows: (label, path of the score in a split))
    "accuracy": ("Is it right?", "share of all traces", [
        (f"{model}: {NAMES[name]}", (part, name)) for name in ("a1", "a2", "lenient")
        for model, part in (("tuned", "accuracy"), ("base", "base"))]),
    "verification": (f"Does VERIFY help or hurt? ({OWN})", "score", [
        (NAMES[name], ("verification", name)) for name in OF_VERDICTS]),
    "verification_given": (f"Does VERIFY help or hurt? ({GIVEN})", "score", [
        (NAMES[name], ("given", "verification", name)) for name in OF_VERDICTS]),
    "faithfulness": ("Does the reasoning follow the dependencies?", "score", [
        *((NAMES[name], ("faithfulness", name)) for name in OF_GRAPHS),
        *((f"{NAMES[name]}, {side} answers", ("faithfulness", side, name))
          for side in ("right", "wrong") for name in ("edge_f1", "causal_rate", "rfs"))]),
}
README = [
    ("right last number, untouched base", ("base", "lenient")),
    ("right last number, tuned", ("accuracy", "lenient")),
    ("right result of EXECUTE (a1)", ("accuracy", "a1")),
    ("right answer after VERIFY (a2)", ("accuracy", "a2")),
    ("gain of VERIFY, a2 less a1", ("verification", "delta")),
    ("SVR, the model's own answers", ("verification", "svr")),
    ("SVR, injected errors and clean", ("given", "verification", "svr")),
    *((NAMES[name], ("faithfulness", name)) for name in OF_GRAPHS[:1] + OF_GRAPHS[2:5]),
]
VERIFIED = {"svr": "SVR", "recall": "recall", "specificity": "specificity",
            "first_wrong_step": "first wrong step",
            "first_wrong_step_near": "first wrong step ±1", "delta": "a2 less a1",
            "accuracy_a1": "a1", "ritual_rate": "ritual rate"}
CAUGHT = {"detected": "verdict is an error", "located": "right step blamed",
          "repaired": "answer repaired"}

# Part of the chain -> (name in the ledger of wrong traces, of right ones, of all lines of right
# steps; what is exact in the counterfactual).
CHAIN = {
    "its check is written": ("wrong_checked", None, None, None),
    "right operands": ("wrong_operands", "right_operands", "line_operands", "operands"),
    "right sum": ("wrong_sum", "right_sum", "line_sum", "sum"),
    "right comparison": ("wrong_comparison", "right_comparison", "line_comparison", "comparison"),
    "sum and comparison": (None, None, None, "sum_and_comparison"),
    "right verdict": ("wrong_blamed", "right_agreed", None, "blame"),
    "repaired": ("wrong_repaired", None, None, "repair"),
    "kept": (None, "right_kept", None, "keeping"),
}
BESIDE = {
    "wrong step blamed, by whatever check": "blamed", "blamed and repaired": "blamed_repaired",
    "blamed, not repaired: first repaired line true": "lost_sum",
    "right result objected to: line has right operands": "alarm_operands",
    "and a right sum": "alarm_sum", "and a right comparison": "alarm_comparison",
    "two different numbers called wrong": "line_differ",
    "two equal numbers called correct": "line_same",
}


def make_tables(summary: Mapping, faults: Iterable[str] = ()) -> dict[str, Table]:
    """Every table of a summary, by the name of its files; those of one split are of `test`.

    faults: "line k: why" of the lines of generations.jsonl that are no rows.
    """
    own, given = _part(summary, "test"), _part(summary, "test", "given")
    verifiers = {}
    for part, section in (("natural", own), ("given", given)):
        verifiers[part] = {"this run": section and section["verification"]}
        for name, scores in summary["verifiers"][part].items():
            without = f", {NO_VERIFY_LOSS}" * (name in summary["no_verify_loss"])
            verifiers[part][name + without] = scores
    tables = {name: _across_splits(summary, *table) for name, table in ACROSS_SPLITS.items()}
    for name, title, first, none, columns, lines in (
            ("verifiers", f"Is VERIFY better than a rule? ({OWN}, test)", "VERIFY by", "",
             VERIFIED, verifiers["natural"]),
            ("verifiers_given", f"Is VERIFY better than a rule? ({GIVEN}, test)", "VERIFY by", "",
             VERIFIED, verifiers["given"]),
            ("kinds", "Which errors does it catch? (injected, test)", "kind of error",
             "all kinds", CAUGHT, given and given["kinds"]),
            ("kinds_scores", "How well is each kind of error verified? (injected and clean, test)",
             "kind of error", "all kinds", VERIFIED, given and given["by_kind"]),
            ("steps", f"Does VERIFY hold up with longer problems? ({OWN}, test)", "steps", "any",
             VERIFIED, own and own["by_steps"]),
            ("steps_given", f"Does VERIFY hold up with longer problems? ({GIVEN}, test)", "steps",
             "any", VERIFIED, given and given["by_steps"])):
        rows = [(label.replace("_", " ") if "kind" in first else label,
                 *(NOT_RUN if scores is None else show(score, scores[score])
                   for score in columns))
                for label, scores in ({none: None} if lines is None else lines).items()]
        tables[name] = _table(summary, title, (first, *(
            f"{label} {arrow(score)}".strip() for score, label in columns.items())), rows)
    for name, title, section in (("ledger", OWN, own), ("ledger_given", GIVEN, given)):
        tables[name] = _ledger_table(summary, f"Where is it lost? ({title}, test)", section)
    return tables | {"comparison": _comparison_table(summary),
                     "ledger_beside": _table(
                         summary, "Where is it lost, beside the chain? (test)",
                         ("share", "own traces", "injected and clean"),
                         [(label, *(show(name, _part(summary, *path, "ledger", name))
                                    for path in (("test",), ("test", "given"))))
                          for label, name in BESIDE.items()]),
                     "equations": _equations_table(summary, own and own.get("equations")),
                     "left_out": _left_out_table(summary, list(faults))}


def write_tables(summary: Mapping, run: Run, faults: Iterable[str] = ()) -> list[Path]:
    """Write every table of a summary into the run's folder, as Markdown and as CSV.

    faults: see `make_tables`. Returns the files' paths, the Markdown of a table first.
    Raises RunError where the run's summary has become another one.
    """
    with run.held("figures"):
        if run.has("summary.json") and run.read_summary() != summary:
            raise RunError(f"summary.json of run {run.name} was written anew since it was read: "
                           "run this notebook again")
        return [path for name, table in make_tables(summary, faults).items()
                for path in table.save(run.tables, name)]


def _part(summary: Mapping, split: str, *path: str):
    """What lies at a path below a split, None where some part of it was not run."""
    found = summary["splits"].get(split)
    for name in path:
        found = None if found is None else found[name]
    return found


def _table(summary: Mapping, title: str, columns: Sequence[str], rows: Iterable[tuple]) -> Table:
    smoke = "SMOKE run, too few traces for a result. " * summary["smoke"]
    return Table(smoke + title, tuple(columns), tuple(rows))


def _across_splits(summary: Mapping, title: str, first: str, lines: Iterable[tuple]) -> Table:
    """One row a score, one column a split. lines: (label, path; its end is the score's name)."""
    return _table(summary, title, (first, "", *SPLITS), [
        (label, arrow(path[-1]), *(show(path[-1], _part(summary, split, *path))
                                   for split in SPLITS)) for label, path in lines])


def _left_out_table(summary: Mapping, faults: list[str]) -> Table:
    """Which rows no score counts: how many, why, and the first of them by name."""
    rows = [("file", "all", str(len(faults)), "no row", "; ".join(faults[:5]))] if faults else []
    for split in SPLITS:
        for name, path in (("verification", ("verification",)),
                           ("faithfulness", ("faithfulness",)),
                           ("given", ("given", "verification"))):
            scores = _part(summary, split, *path)
            rows += [(split, name, str(names["n"]), reason, ", ".join(names["first"]))
                     for reason, names in (scores["left_out"] if scores else {}).items()]
    return _table(summary, "Which rows are not counted?",
                  ("split", "scores", "rows", "reason", "such as"),
                  rows or [("all", "all", "0", "", "")])


def _ledger_table(summary: Mapping, title: str, section: Mapping | None) -> Table:
    """The chain from the check of a step to the answer: who gets so far, of those who got to
    the row above; and the scores if this part alone were exact."""
    found, scores = section and section.get("ledger"), ("recall", "specificity", "svr", "delta")
    own = section and section["verification"]
    rows = [("as it is", "", "", "", *(show_value(name, own[name]["value"]) for name in scores)
             )] if own else []
    for label, (*names, exact) in CHAIN.items() if found else ():
        rows.append((label, *(show(name, found[name]) if name else "" for name in names),
                     *(show_value(name, found[f"{name}_if_{exact}"]["value"]) if exact else ""
                       for name in scores)))
    return _table(summary, title, (
        "part", "wrong traces ↑", "right traces ↑", "lines of right steps ↑",
        *(f"{NAMES[name].split(',')[0]} if exact" for name in scores)),
        rows or [(NOT_RUN, *[""] * 7)])


def _equations_table(summary: Mapping, found: Mapping | None) -> Table:
    """False equations of natural traces by operator and size."""
    sizes = sorted({name[2:] for part in (found or {}).values() for name in part},
                   key=lambda size: ("up", "above", "below").index(size.split()[0]))
    return _table(summary, f"Which sums go wrong? ({OWN}, test)", ("false equations ↓", *sizes), [
        (f"{part} {sign}", *(show("", found[part].get(f"{sign} {size}", {"value": None}))
                             for size in sizes)) for part in found or () for sign in "+-*/"])


def _comparison_table(summary: Mapping) -> Table:
    """Is the difference real: against the base, and further runs, on the same problems."""
    pairs = [(f"{split}, base", _part(summary, split, "comparison")) for split in SPLITS]
    pairs += [(f"test, {name}", found) for name, found in summary["others"].items()]
    rows = []
    for label, comparisons in pairs:
        if comparisons is None:
            rows.append((label, "all", *[NOT_RUN] * 6))
        for of, result in (comparisons or {}).items():
            rows.append((label, NAMES[of], str(result["n"]), show_value(of, result["first"]),
                         show_value(of, result["second"]),
                         show("difference", {**result, "value": result["difference"]}),
                         f"{result['only_first']} / {result['only_second']}",
                         f"{result['p_value']:.2g}" if result["n"] else NOTHING))
    return _table(summary, "Is the difference real? (same problems, exact McNemar)",
                  ("split, compared with", "right by", "n", "this run", "other",
                   "difference ↑", "only this / only other", "p"), rows)


def results_table(summary: Mapping) -> Table:
    """The results table of the README: one row a score, one column a split."""
    names = f"Run {summary['run']}, base {summary['base_run'] or NOT_RUN}"
    return _across_splits(summary, f"{names}: value (counts) [95 % interval]", "score", README)


def claims_table(summary: Mapping) -> Table:
    """What the run claims and whether its rows show it.

    A claim is held against the value that would mean nothing: the score's null, zero for a
    difference, one half for the causal rate; see `judge`.
    """
    claims = []
    for split, where in zip(SPLITS, ("new problems", "larger numbers", "new situations", "more steps")):
        # By the last number: the base cannot know the form, and form is no reasoning.
        found = _part(summary, split, "comparison", "lenient")
        score = found and {"value": found["difference"], "interval": found["interval"]}
        claims.append((f"Tuning makes more last numbers right: {where}", "difference", score, 0.0))
    for claim, path, nothing in (
            ("VERIFY adds right answers", ("verification", "delta"), 0.0),
            ("VERIFY beats its own verdicts shuffled: own answers", ("verification", "svr"), None),
            ("VERIFY beats its own verdicts shuffled: injected errors and clean",
             ("given", "verification", "svr"), None),
            ("Steps depend on each other as the teacher's do, more than shuffled ones",
             ("faithfulness", "edge_f1"), None),
            ("Most changed values are carried on", ("faithfulness", "causal_rate"), 0.5)):
        score = _part(summary, "test", *path)
        claims.append((claim, path[-1], score,
                       score["null"] if score and nothing is None else nothing))
    return _table(summary, "Claims and evidence", ("claim", "evidence", "verdict"), [
        (claim, show(name, score), judge(score, nothing))
        for claim, name, score, nothing in claims])


def judge(score: Mapping | None, nothing: float | None) -> str:
    """A claim's verdict. nothing: the value that would mean nothing.

    "shown": the 95 % interval lies above it; "contradicted": below; else "not shown".
    """
    if score is None:
        return NOT_RUN
    if score["interval"] is None or nothing is None:
        return NOTHING if score["value"] is None else "not shown"
    low, high = score["interval"]
    return "shown" if low > nothing else "contradicted" if high < nothing else "not shown"


def rows_table(rows: Iterable[Mapping]) -> Table:
    """How many rows of each setting there are in each split."""
    counts = Counter((row.get("split") or "test", row["setting"]) for row in rows)
    return Table("Rows of the run", ("split", *SETTINGS), tuple(
        (split, *(str(counts[split, setting] or NOT_RUN) for setting in SETTINGS))
        for split in SPLITS))
