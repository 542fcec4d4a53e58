"""Strategies that game self-verification, each as strong as it can be made.

A score that one of them wins measures form. Each takes a scored row with its text and gives
the row with another VERIFY (the spoiler: with another EXECUTE too). Where a strategy answers
anew it answers rightly, as a perfect solver would, so that what it scores is what its kind
can score at most. `audit` runs them over a run's rows.
"""
from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction

from nanoreason.arithmetic.answers import read_answer
from nanoreason.data.problem import write_number
from nanoreason.evaluation.rows import ScoredRow, ScoredRows, read_rows
from nanoreason.evaluation.self_verification import graph_oracle, verification, with_verify
from nanoreason.evaluation.report import SEED, compare
from nanoreason.figures.tables import NOTHING, Table, show, show_interval
from nanoreason.stages import GIVEN, NUMBERED, RESULT
from nanoreason.trace import Claims, before_verify, read_claims

SPOILED = 0.5  # share of its traces in which the spoiler injects an error


def _last(claims: Claims) -> int:
    return max(1, len(claims.execute))


def always_agrees(row: ScoredRow) -> dict:
    """`Verdict: correct`, whatever EXECUTE says."""
    return with_verify(row.row, (), "correct", (), row.claims.a1)


def always_objects(row: ScoredRow) -> dict:
    """The last step is wrong, whatever EXECUTE says; answers anew."""
    return with_verify(row.row, row.claims.execute, _last(row.claims), row.claims.execute[-1:],
                       row.gold)


def blames_first_step(row: ScoredRow) -> dict:
    """Step 1 is wrong, whatever EXECUTE says; answers anew."""
    return with_verify(row.row, row.claims.execute[:1], 1, row.claims.execute, row.gold)


def copier(row: ScoredRow) -> dict:
    """Keeps the run's own verdict and copies `Result:` into `Answer:`."""
    verdict = row.claims.verdict or ("correct" if row.claims.verdict_readable else None)
    return with_verify(row.row, row.claims.checks, verdict, row.claims.repairs, row.claims.a1)


def ritual(row: ScoredRow) -> dict:
    """Says for each step that it was checked, with an equation that is true anywhere."""
    checks = ["Checked with care, 1 + 1 = 2, correct"] * _last(row.claims)
    return with_verify(row.row, checks, "correct", (), row.claims.a1)


def repeats_execute(row: ScoredRow) -> dict:
    """EXECUTE once more, line by line, and agreement."""
    return with_verify(row.row, row.claims.execute, "correct", (), row.claims.a1)


def detects_only(row: ScoredRow) -> dict:
    """The oracle's verdict, but the answer stays what EXECUTE said."""
    known = read_claims(graph_oracle(row)["text"])
    return with_verify(row.row, known.checks, known.verdict or "correct", known.repairs,
                       row.claims.a1)


def repairs_in_silence(row: ScoredRow) -> dict:
    """The right answer, but no verdict."""
    return with_verify(row.row, (), None, (), row.gold)


def empty_verify(row: ScoredRow) -> dict:
    """Nothing after the tag."""
    return with_verify(row.row, (), None, (), None)


def random_verdict(row: ScoredRow) -> dict:
    """Solves the problem anew and rightly, and tosses a coin for the verdict."""
    rng = random.Random(f"verdict/{row.name}")
    verdict = rng.choice(("correct", rng.randint(1, _last(row.claims))))
    return with_verify(row.row, (), verdict, (), row.gold)


def spoiler(row: ScoredRow) -> dict:
    """Spoils the result of every second trace of its own, then finds and repairs that."""
    rng, result = random.Random(f"spoil/{row.name}"), read_answer(row.claims.a1)
    if row.setting != "natural" or result is None or rng.random() >= SPOILED:
        return always_agrees(row)
    text = _with_result(before_verify(row.row["text"]), result, result + 1)
    return with_verify(row.row | {"text": text}, row.claims.execute, _last(row.claims),
                       row.claims.execute[-1:], row.claims.a1)


def _with_result(text: str, old: Fraction, new: Fraction) -> str:
    """The text with another result, in its `Result:` line and in the step that states it."""
    lines = text.split("\n")
    place = next(k for k, line in enumerate(lines) if line.lstrip().startswith(RESULT))
    lines[place] = f"{RESULT} {write_number(new)}"
    ending = f"= {write_number(old)}"
    if place and NUMBERED.match(lines[place - 1]) and lines[place - 1].rstrip().endswith(ending):
        lines[place - 1] = f"{lines[place - 1].rstrip()[:-len(ending)]}= {write_number(new)}"
    return "\n".join(lines)


@dataclass(frozen=True)
class Strategy:
    """A strategy and what exposes it.

    name: as tables have it. write: row -> row. bar: "low" (SVR at most 0.05), "null" (no
    better than its null) or "a1" (fewer right results than without it).
    """

    name: str
    write: Callable[[ScoredRow], dict]
    bar: str = "low"

    @property
    def does(self) -> str:
        """What it does, in a sentence."""
        return self.write.__doc__


STRATEGIES = (
    Strategy("always agrees", always_agrees),
    Strategy("always objects", always_objects),
    Strategy("always blames step 1", blames_first_step),
    Strategy("copier", copier),
    Strategy("ritual", ritual),
    Strategy("repeats EXECUTE", repeats_execute),
    Strategy("detects without repairing", detects_only),
    Strategy("repairs without a verdict", repairs_in_silence),
    Strategy("empty VERIFY", empty_verify),
    Strategy("re-solver, random verdict", random_verdict, "null"),
    Strategy("spoiler", spoiler, "a1"),
)


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
    `self_verification.verification` (given is None for a strategy that changes EXECUTE), a1 as
    `report.compare` gives it against the reference, passed None for the run's own VERIFY.
    """
    table = read_rows(rows)
    natural, given = table.where("natural", split="test"), table.where(*GIVEN, split="test")
    against = natural if reference is None else read_rows(reference).where("natural", split="test")
    own = Strategy("the run's own VERIFY", lambda row: dict(row.row), "")
    return [_earned(strategy, natural, given, against, seed) for strategy in (own, *STRATEGIES)]


def _earned(strategy: Strategy, natural: ScoredRows, given: ScoredRows, against: ScoredRows,
            seed: int) -> dict:
    written = _written(strategy, natural)
    scores = {"natural": verification(written, seed), "given": None}
    if strategy.bar != "a1":
        scores["given"] = verification(_written(strategy, given), seed)
    a1 = compare(written, against, "a1") if len(written) and len(against) else None
    return {"name": strategy.name, "does": strategy.does if strategy.bar else "", **scores,
            "bar": BARS.get(strategy.bar, ""), "a1": a1,
            "passed": passed(strategy.bar, scores, a1)}


def _written(strategy: Strategy, table: ScoredRows) -> ScoredRows:
    return read_rows((strategy.write(row) for row in table), table.texts)


def passed(bar: str, scores: Mapping, a1) -> bool | None:
    """Whether the score sees through the strategy; None where there is nothing to judge."""
    found = [score["svr"] for score in scores.values()
             if score is not None and score["svr"]["value"] is not None]
    if not bar or (not found and bar != "a1"):
        return None
    if bar == "low":
        return all(svr["value"] <= LOW for svr in found)
    if bar == "null":
        return all(svr["interval"][0] <= svr["null"] for svr in found)
    return None if a1 is None or not a1["n"] else a1["interval"][1] < 0


def audit_table(found: Iterable[Mapping], run: str, reference: str | None = None) -> Table:
    """The audit as a table, one row a strategy. run, reference: names for the title."""
    beside = f"run {reference}" if reference else "the run itself"
    rows = []
    for item in found:
        a1 = item["a1"]
        shown = NOTHING if a1 is None or not a1["n"] else (
            f"{100 * a1['difference']:+.1f} points "
            f"{show_interval('difference', a1['interval'])}")
        passed = {True: "yes", False: "no", None: ""}[item["passed"]]
        rows.append((item["name"], item["does"],
                     *(("" if item[part] is None else show("svr", item[part]["svr"]))
                       for part in ("natural", "given")), shown, item["bar"], passed))
    return Table(f"Can the scores be gamed? (run {run}, test; a1 paired with {beside})",
                 ("VERIFY by", "what it does", "SVR, natural ↑", "SVR, EXECUTE given ↑",
                  "a1 less the reference's ↑", "bar", "seen through"), tuple(rows))
