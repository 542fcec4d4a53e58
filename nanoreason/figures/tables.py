"""The tables of a run, from its summary alone, in Markdown and CSV.

Each table answers one question, its title. Most are described as data, in `assets/tables.yaml`: a
row a score and a column a split, or a row a case and a column a score. A score is a mapping
{value, counts, interval, null}, as `summary.summarise` makes them. It is written with its
raw counts and its interval, `15.6 % (78/500) [12.7–19.0]`. What was not measured says so:
`n/a (n=0)` is a rate over nothing, `not run` is a setting that was never generated.
"""
from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from nanoreason.evaluation.report import TABLES, arrow, show_counts
from nanoreason.runs import SAID, Run, RunError
from nanoreason.stages import SETTINGS, SPLITS
from nanoreason.table import Table

NOT_RUN, NOTHING = "not run", "n/a (n=0)"
NO_VERIFY_LOSS = "without VERIFY loss"
OWN, GIVEN = "the model's own traces", "EXECUTE given, injected and clean"
# What each is for stands in the file.
SIGNED, NAMES, CAUGHT, CHAIN = (TABLES[name] for name in ("signed", "names", "caught", "chain"))


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


def make_tables(summary: Mapping, faults: Iterable[str] = ()) -> dict[str, Table]:
    """Every table of a summary, by the name of its files; those of one split are of `test`.

    faults: "line k: why" of the lines of generations.jsonl that are no rows.
    """
    own, given = _part(summary, "test"), _part(summary, "test", "given")
    verifiers = {}
    for name, part, section in (("verifiers", "natural", own), ("verifiers_given", "given", given)):
        verifiers[name] = {"this run": section and section["verification"]}
        for other, scores in summary["verifiers"][part].items():
            without = f", {NO_VERIFY_LOSS}" * (other in summary["no_verify_loss"])
            verifiers[name][other + without] = scores
    tables = {name: _across_splits(summary, **table)
              for name, table in TABLES["across_splits"].items()}
    for name, table in TABLES["by_case"].items():
        cases = verifiers[name] if name in verifiers else _part(
            summary, "test", *table["of"].split("."))
        first, columns = table["first"], TABLES[table["columns"]]
        rows = [(label.replace("_", " ") if "kind" in first else label,
                 *(NOT_RUN if scores is None else show(score, scores[score])
                   for score in columns))
                for label, scores in ({table["none"]: None} if cases is None else cases).items()]
        tables[name] = _table(summary, table["title"], (first, *(
            f"{label} {arrow(score)}".strip() for score, label in columns.items())), rows)
    for name, title, section in (("ledger", OWN, own), ("ledger_given", GIVEN, given)):
        tables[name] = _ledger_table(summary, f"Where is it lost? ({title}, test)", section)
    return tables | {"comparison": _comparison_table(summary),
                     "ledger_beside": _table(
                         summary, "Where is it lost, beside the chain? (test)",
                         ("share", "own traces", "injected and clean"),
                         [(label, *(show(name, _part(summary, *path, "ledger", name))
                                    for path in (("test",), ("test", "given"))))
                          for label, name in TABLES["beside"].items()]),
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


def _across_splits(summary: Mapping, title: str, first: str, rows: Mapping[str, str | None]
                   ) -> Table:
    """One row a score, one column a split. rows: path -> label; the path's end is the score's
    name, and what it is called where it has no label."""
    lines = [(path.split("."), label) for path, label in rows.items()]
    return _table(summary, title, (first, "", *SPLITS), [
        (label or NAMES[path[-1]], arrow(path[-1]), *(show(path[-1], _part(summary, split, *path))
                                                      for split in SPLITS))
        for path, label in lines])


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
    return _across_splits(summary, f"{names}: value (counts) [95 % interval]", "score",
                          TABLES["readme"])


def claims_table(summary: Mapping) -> Table:
    """What the run claims and whether its rows show it.

    A claim is held against the value that would mean nothing: the score's null, zero for a
    difference, one half for the causal rate; see `judge`.
    """
    claims = []
    for split, where in zip(SPLITS, ("new problems", "larger numbers", "new situations",
                                     "more steps")):
        # By the last number: the base cannot know the form, and form is no reasoning.
        found = _part(summary, split, "comparison", "lenient")
        score = found and {"value": found["difference"], "interval": found["interval"]}
        claims.append((f"Tuning makes more last numbers right: {where}", "difference", score, 0.0))
    for claim in TABLES["claims"]:
        path = claim["path"].split(".")
        score = _part(summary, "test", *path)
        claims.append((claim["claim"], path[-1], score,
                       claim.get("nothing", score["null"] if score else None)))
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
    """How many rows of each setting there are in each split, and of how many there is SAID."""
    counts, told = Counter(), Counter()
    for row in rows:
        place = row.get("split") or "test", row["setting"]
        counts[place] += 1
        told.update((*place, name) for name in SAID if row.get(name))
    return Table("Rows of the run", ("split", *SETTINGS), tuple((split, *(
        str(counts[split, setting] or NOT_RUN) + "".join(
            f" ({told[split, setting, name]} {what})" for name, what in SAID.items()
            if told[split, setting, name]) for setting in SETTINGS)) for split in SPLITS))
