"""Strategies that game self-verification, each as strong as it can be made.

A score that one of them wins measures form. Each takes a row with its text and gives the
row with another VERIFY (the spoiler: with another EXECUTE too). Where a strategy answers
anew it answers rightly, as a perfect solver would, so that what it scores is what its kind
can score at most. `audit` runs them over a run's rows.
"""
from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction

from nanoreason.answers import read_answer
from nanoreason.checks import write_number
from nanoreason.rows import name_of
from nanoreason.stages import NUMBERED, RESULT
from nanoreason.trace import Claims, read_claims
from nanoreason.verifiers import before_verify, graph_oracle, with_verify

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
