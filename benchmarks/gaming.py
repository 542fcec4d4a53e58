"""Strategies that game self-verification, each as strong as it can be made.

A score that one of them wins measures form. Each takes a row with its text and gives the
row with another VERIFY (the spoiler: with another EXECUTE too). Where a strategy answers
anew it answers rightly, as a perfect solver would, so that what it scores is what its kind
can score at most. `audit` runs them over a run's rows.
"""
from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction

from nanoreason.arithmetic.answers import read_answer
from nanoreason.data.verify_lines import write_number
from nanoreason.evaluation.report import compare
from nanoreason.evaluation.rows import fault, name_of
from nanoreason.evaluation.self_verification import GIVEN, read_once, verification
from nanoreason.evaluation.statistics import SEED
from nanoreason.evaluation.verifiers import before_verify, graph_oracle, with_verify
from nanoreason.figures.tables import NOTHING, Table, show, show_interval
from nanoreason.stages import NUMBERED, RESULT
from nanoreason.trace import Claims, read_claims

SPOILED = 0.5  # share of its traces in which the spoiler plants an error


def _last(claims: Claims) -> int:
    return max(1, len(claims.execute))


def always_agrees(row: Mapping) -> dict:
    """`Verdict: correct`, whatever EXECUTE says."""
    return with_verify(row, (), "correct", (), read_claims(row["text"]).a1)


def always_objects(row: Mapping) -> dict:
    """The last step is wrong, whatever EXECUTE says; answers anew."""
    claims = read_claims(row["text"])
    return with_verify(row, claims.execute, _last(claims), claims.execute[-1:],
                       str(row["gold"]))


def blames_first_step(row: Mapping) -> dict:
    """Step 1 is wrong, whatever EXECUTE says; answers anew."""
    claims = read_claims(row["text"])
    return with_verify(row, claims.execute[:1], 1, claims.execute, str(row["gold"]))


def copier(row: Mapping) -> dict:
    """Keeps the run's own verdict and copies `Result:` into `Answer:`."""
    claims = read_claims(row["text"])
    verdict = claims.verdict or ("correct" if claims.verdict_readable else None)
    return with_verify(row, claims.checks, verdict, claims.repairs, claims.a1)


def ritual(row: Mapping) -> dict:
    """Says for each step that it was checked, with an equation that is true anywhere."""
    claims = read_claims(row["text"])
    checks = ["Checked with care, 1 + 1 = 2, correct"] * _last(claims)
    return with_verify(row, checks, "correct", (), claims.a1)


def repeats_execute(row: Mapping) -> dict:
    """EXECUTE once more, line by line, and agreement."""
    claims = read_claims(row["text"])
    return with_verify(row, claims.execute, "correct", (), claims.a1)


def detects_only(row: Mapping) -> dict:
    """The oracle's verdict, but the answer stays what EXECUTE said."""
    claims = read_claims(graph_oracle(row)["text"])
    verdict = claims.verdict or "correct"
    return with_verify(row, claims.checks, verdict, claims.repairs,
                       read_claims(row["text"]).a1)


def repairs_in_silence(row: Mapping) -> dict:
    """The right answer, but no verdict."""
    return with_verify(row, (), None, (), str(row["gold"]))


def empty_verify(row: Mapping) -> dict:
    """Nothing after the tag."""
    return with_verify(row, (), None, (), None)


def random_verdict(row: Mapping) -> dict:
    """Solves the problem anew and rightly, and tosses a coin for the verdict."""
    rng, claims = random.Random(f"verdict/{name_of(row)}"), read_claims(row["text"])
    verdict = rng.choice(("correct", rng.randint(1, _last(claims))))
    return with_verify(row, (), verdict, (), str(row["gold"]))


def spoiler(row: Mapping) -> dict:
    """Spoils the result of every second trace of its own, then finds and repairs that."""
    claims, rng = read_claims(row["text"]), random.Random(f"spoil/{name_of(row)}")
    result = read_answer(claims.a1)
    if row["setting"] != "natural" or result is None or rng.random() >= SPOILED:
        return always_agrees(row)
    text = _with_result(before_verify(row["text"]), result, result + 1)
    return with_verify(dict(row) | {"text": text}, claims.execute, _last(claims),
                       claims.execute[-1:], claims.a1)


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
    write: Callable[[Mapping], dict]
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
