"""The audit of the scores themselves: what strategies that game them earn, on a run's rows.

Every strategy of `gaming` writes VERIFY after the run's own EXECUTE and is scored as the run
is, natural rows and rows with a given EXECUTE apart. A score that one of them wins would
measure form, so each has its bar: an SVR of at most LOW; no better than its null; or fewer
right results (a1) than a run that has nothing to gain by spoiling them.
"""
from __future__ import annotations

from collections.abc import Iterable, Mapping

from nanoreason.breakdown import GIVEN, read_once, verification
from nanoreason.comparison import compare
from nanoreason.gaming import STRATEGIES, Strategy
from nanoreason.rows import fault
from nanoreason.statistics import SEED
from nanoreason.tables import NOTHING, Table, show, show_interval

LOW = 0.05
BARS = {"low": f"SVR at most {LOW}", "null": "no better than its null",
        "a1": "fewer right results (a1)"}


def audit(rows: Iterable[Mapping], reference: Iterable[Mapping] | None = None,
          seed: int = SEED) -> list[dict]:
    """What the run's own VERIFY and each strategy earn on the test rows of a run.

    rows: of generations.jsonl with their texts and teachers; those of another split than
    test are passed over. reference: rows of a run trained without the loss of VERIFY, with
    which results (a1) are paired; None takes the run itself, as it was without the strategy.
    Returns mappings {name, does, bar, natural, given, a1, passed}: natural and given as in
    `breakdown.verification` (given is None for a strategy that changes EXECUTE), a1 the
    `Comparison` with the reference, passed None for the run's own VERIFY.
    """
    rows = [row for row in rows if (row.get("split") or "test") == "test" and not fault(row)]
    natural = [row for row in rows if row["setting"] == "natural"]
    given = [row for row in rows if row["setting"] in GIVEN]
    against = natural if reference is None else [
        row for row in reference
        if (row.get("split") or "test") == "test" and row.get("setting") == "natural"]
    against = [read_once(row) for row in against]
    own = Strategy("the run's own VERIFY", lambda row: dict(row), "")
    return [_earned(strategy, natural, given, against, seed) for strategy in (own, *STRATEGIES)]


def _earned(strategy: Strategy, natural, given, against, seed: int) -> dict:
    written = [read_once(strategy.write(row)) for row in natural]
    scores = {"natural": verification(written, seed), "given": None}
    if strategy.bar != "a1":
        scores["given"] = verification([read_once(strategy.write(row)) for row in given], seed)
    a1 = compare(written, against, "a1") if written and against else None
    return {"name": strategy.name, "does": strategy.does if strategy.bar else "", **scores,
            "bar": BARS.get(strategy.bar, ""), "a1": a1,
            "passed": _passed(strategy.bar, scores, a1)}


def _passed(bar: str, scores: Mapping, a1) -> bool | None:
    """Whether the score sees through the strategy; None where there is nothing to judge."""
    found = [score["svr"] for score in scores.values()
             if score is not None and score["svr"]["value"] is not None]
    if not bar or (not found and bar != "a1"):
        return None
    if bar == "low":
        return all(svr["value"] <= LOW for svr in found)
    if bar == "null":
        return all(svr["interval"][0] <= svr["null"] for svr in found)
    return None if a1 is None or not a1.n else a1.interval[1] < 0


def audit_table(found: Iterable[Mapping], run: str, reference: str | None = None) -> Table:
    """The audit as a table, one row a strategy. run, reference: names for the title."""
    beside = f"run {reference}" if reference else "the run itself"
    rows = []
    for item in found:
        a1 = item["a1"]
        shown = NOTHING if a1 is None or not a1.n else (
            f"{100 * a1.difference:+.1f} points {show_interval('difference', a1.interval)}")
        passed = {True: "yes", False: "no", None: ""}[item["passed"]]
        rows.append((item["name"], item["does"],
                     *(("" if item[part] is None else show("svr", item[part]["svr"]))
                       for part in ("natural", "given")), shown, item["bar"], passed))
    return Table(f"Can the scores be gamed? (run {run}, test; a1 paired with {beside})",
                 ("VERIFY by", "what it does", "SVR, natural ↑", "SVR, EXECUTE given ↑",
                  "a1 less the reference's ↑", "bar", "seen through"), tuple(rows))
