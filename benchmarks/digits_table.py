"""What the rows of `verify_digits` come to: results/verify-digits.json.gz, and tables of it.

    python benchmarks/digits_table.py FOLDER   after verify_digits.py has filled it; no text is kept

Counts of runs that the folder does not hold stay as they are, if their base is this one.
"""
from __future__ import annotations

import json
import sys
from collections import namedtuple
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import zip_longest
from pathlib import Path

import numpy as np
from result import write_result
from verify_digits import CONDITIONS, CONTROLS, LARGER, PROSE, SETS, SHIPPED, SOLVED, asked
from verify_flags import lines

from nanoreason import paths
from nanoreason.ablations.hypotheses import (ANSWER_COLUMNS, BOTH_GIVEN, NATURAL, Answer,
                                             Hypothesis, compared)
from nanoreason.evaluation.confidence import LIMIT
from nanoreason.evaluation.report import crossed_bootstrap, mean
from nanoreason.evaluation.rows import ScoredRow
from nanoreason.evaluation.self_verification import count_table
from nanoreason.files import read_text
from nanoreason.model.nano import read_recipe
from nanoreason.table import Table

RESULT = paths.RESULTS / "verify-digits.json.gz"
# Profile nano with fewer traces, none of larger numbers: what the parts are held against.
FEWER, SURER = "reread", "EXECUTE, the surer of two"
IN_DOUBT = f"{SHIPPED}: VERIFY written in doubt alone"
MORE = "more traces and larger numbers"
SEEDS = 3  # that a word on a claim needs
# What is asked of it, as `hypotheses.csv` asks it of the design as published.
DOUBT = ", heeded in doubt"
CLAIMS = (Hypothesis("four stages help", True, FEWER, PROSE, "lenient", NATURAL),
          Hypothesis("the step-aware loss helps", True, FEWER, "mean over tokens", "a2", NATURAL),
          Hypothesis("the second adapter helps", True, FEWER, "one adapter", "svr", BOTH_GIVEN),
          Hypothesis("the second adapter helps", True, FEWER, "one adapter", "a2", NATURAL),
          *(Hypothesis("VERIFY corrects" + how, True, SHIPPED, None, "delta", NATURAL)
            for how in ("", DOUBT)))
TOLD = ("first", "second", "error", "readable")  # of a row; see `ScoredRow`
Row = namedtuple("Row", (*TOLD, "lenient"))
Judged = Callable[[Mapping, str], np.ndarray]


def counted(rows: Iterable[Mapping]) -> dict:
    """What rows of one setting come to.

    TOLD: a digit a problem, in order of their ids. surest: the log-probability of EXECUTE's
    least likely token. tokens: mean of a text. each: tokens of a text as far as its VERIFY tag,
    and of all of it. lines: see `verify_flags.lines`.
    """
    rows = sorted(rows, key=lambda row: row["problem_id"])
    scored = [ScoredRow(row) for row in rows]
    return {**{name: _digits(getattr(row, name) for row in scored) for name in TOLD},
            "surest": [round(row["logprobs"]["execute_min"] or 0.0, 2) for row in rows
                       if "logprobs" in row],
            "tokens": round(sum(row["tokens"] for row in rows) / len(rows), 1),
            "each": [[row["until_verify"], row["tokens"]] for row in rows if "until_verify" in row],
            "lines": next(iter(lines(rows).values()))}


def _digits(values: Iterable[object]) -> str:
    return "".join(str(int(bool(value))) for value in values)


def executed(file: Path, asked: Iterable[Mapping], of: str = "first") -> dict:
    """The EXECUTEs that a file holds, in order of the problems' ids: whether each is right, how
    sure the model was, and mean tokens with the VERIFY tag.

    of: "first", or "lenient" for the last number of a text without stages.
    """
    rows = {row["problem_id"]: row for row in asked}
    made = sorted(json.loads(read_text(file)), key=lambda one: one["problem_id"])
    right = _digits(getattr(ScoredRow(rows[one["problem_id"]] | {"text": one["text"]}), of)
                    for one in made)
    return {**dict.fromkeys(("first", "second", "readable"), right), "error": "0" * len(right),
            "surest": [round(one["surest"] or 0.0, 2) for one in made],
            "tokens": round(sum(one["until_verify"] for one in made) / len(made), 1)}


def score(folder: Path, before: Mapping) -> dict:
    """The counts of all that the folder holds, and those of `before`, a result, that it
    does not."""
    found, rows, base = {"runs": [], "controls": []}, asked(), read_recipe()["sha256"]
    kept = before if before["base"] == base else found
    for condition in (*CONDITIONS, *LARGER, *CONTROLS):
        alone, runs = condition in CONTROLS, dict(of(kept, condition))
        for here in sorted(folder.glob(f"{condition}-[0-9]")):
            if not (here / "environment.json").is_file():
                continue
            one = {"condition": condition, "seed": int(here.name[-1]), "settings": {
                name: executed(here / f"{name}.json.gz", rows[name],
                               "lenient" if condition == PROSE else "first") if alone else
                counted(json.loads(read_text(here / f"{name}.json.gz")))
                for name in (SOLVED if alone else SETS)}}
            if condition == FEWER:
                one["drawn"] = executed(here / "drawn.json.gz", rows["test"])
            runs[one["seed"]] = one | {
                "environment": json.loads(read_text(here / "environment.json"))}
        found["controls" if alone else "runs"] += [runs[seed] for seed in sorted(runs)]
    return {"base": base, **found}


def of(result: Mapping, condition: str) -> dict[int, Mapping]:
    """The runs of a condition, by seed."""
    return {run["seed"]: run for run in (*result["runs"], *result["controls"])
            if run["condition"] == condition}


def told(run: Mapping, name: str, limit: float = np.inf) -> Iterator[Row]:
    """The rows of a setting. limit: an objection is heeded where EXECUTE's least likely token is
    below it. The last number of a text is its answer, so `lenient` is `second`."""
    found = run["settings"][name]
    signs = zip(*([value == "1" for value in found[key]] for key in TOLD))
    for (first, second, error, readable), sure in zip_longest(
            signs, found["surest"], fillvalue=0.0):
        if sure >= limit:
            second, error = first, False
        yield Row(first, second, error, readable, second)


def table_of(run: Mapping, names: Sequence[str], limit: float = np.inf) -> np.ndarray:
    """(problems, 8): `count_table` of settings of the same problems together."""
    return sum(count_table(told(run, name, limit)) for name in names)


def outcomes(run: Mapping, name: str, limit: float = np.inf) -> np.ndarray:
    """(problems, 2): whether Result and Answer are right."""
    return np.array([row[:2] for row in told(run, name, limit)])


def threshold(run: Mapping) -> float:
    """Of EXECUTE's least likely token: where an objection below it is heeded and others are not,
    most is gained on dev, of thresholds by which LIMIT of its problems are spoiled at most."""
    sure, less = np.array(run["settings"]["dev"]["surest"]), np.diff(
        outcomes(run, "dev").astype(int))[:, 0]
    below = {limit: less[sure < limit] for limit in (-np.inf, *np.unique(sure), np.inf)}
    return max((limit for limit, part in below.items()
                if (part < 0).sum() <= LIMIT * len(less)), key=lambda limit: below[limit].sum())


def behind_gate(run: Mapping, name: str) -> np.ndarray:
    """(problems, 2): Result, and what is right where an objection is heeded in doubt alone."""
    return outcomes(run, name, threshold(run))


def mean_tokens(runs: Mapping[int, Mapping], name: str) -> float:
    """Mean tokens of a text of a setting, over runs by seed."""
    return np.mean([run["settings"][name]["tokens"] for run in runs.values()])


def tokens_in_doubt(run: Mapping, name: str) -> float:
    """Mean tokens of a text that ends with EXECUTE where the gate would not heed VERIFY."""
    found, limit = run["settings"][name], threshold(run)
    return np.mean([until if sure >= limit else whole
                    for (until, whole), sure in zip(found["each"], found["surest"], strict=True)])


def surer(run: Mapping) -> np.ndarray:
    """(problems,): whether the surer of the greedy EXECUTE and a drawn one is right."""
    greedy, other = run["settings"]["test"], run["drawn"]
    return np.array([(b if q > p else a) == "1" for a, p, b, q in zip(
        greedy["first"], greedy["surest"], other["first"], other["surest"])])


def spent(result: Mapping, name: str = "test") -> list[dict]:
    """Ways to spend tokens on these problems: right answers, tokens a problem, and what is gained
    on the greedy EXECUTE of the run of the same seed, in points with a 95 % interval. Those of
    SHIPPED are held against its own EXECUTE, all others against that of FEWER."""
    runs = of(result, FEWER)
    whole = mean_tokens(runs, name)
    once = np.mean([run["drawn"]["tokens"] for run in runs.values()])

    def instead(by: Callable[[Mapping], np.ndarray]) -> Judged:
        """EXECUTE's results, and those of another way to them."""
        return lambda run, name: np.column_stack([outcomes(run, name)[:, 0], by(run)])

    ways = [("EXECUTE alone", once, instead(lambda run: outcomes(run, name)[:, 0]), runs)]
    if name == "test":
        ways.append((SURER, 2 * once, instead(surer), runs))
    ways += [("VERIFY repairs", whole, outcomes, runs),
             ("VERIFY repairs in doubt", whole, behind_gate, runs)]
    for condition in CONTROLS:
        own = of(result, condition)
        if own:
            ways.append((condition, mean_tokens(own, name),
                         instead(lambda run, own=own: outcomes(own[run["seed"]], name)[:, 0]),
                         {seed: runs[seed] for seed in own}))
    if shipped := of(result, SHIPPED):
        ways += [(f"{SHIPPED}: VERIFY repairs", mean_tokens(shipped, name), outcomes, shipped),
                 (IN_DOUBT, np.mean([tokens_in_doubt(run, name) for run in shipped.values()]),
                  behind_gate, shipped)]
    found = []
    for way, tokens, judged, beside in ways:
        points, interval = gain(beside.values(), name, judged)
        found.append({"way": way, "tokens": tokens, "points": points, "interval": interval,
                      "right": [judged(run, name)[:, 1].mean() for run in beside.values()]})
    return found


def gain(runs: Iterable[Mapping], name: str, judged: Judged = outcomes
         ) -> tuple[float, list[float]]:
    """What is right in the end less Result, in points, and its 95 % interval over seeds and
    problems."""
    less = np.stack([np.diff(judged(run, name).astype(float))[:, 0] for run in runs])
    low, high = crossed_bootstrap(mean, np.stack([less, np.ones_like(less)], axis=-1))
    return 100 * less.mean(), [100 * low, 100 * high]


def less(result: Mapping, first: str, second: str, name: str = "test",
         judged: Judged = outcomes, other: Judged = outcomes) -> tuple[float, list[float]]:
    """How many more are right in the end under the first condition than under the second, over
    the seeds that both have, in points, and its 95 % interval over seeds and problems."""
    runs, others = of(result, first), of(result, second)
    return gain([run for seed, run in runs.items() if seed in others], name,
                lambda run, name: np.column_stack([other(others[run["seed"]], name)[:, 1],
                                                   judged(run, name)[:, 1]]))


def less_gain(result: Mapping, first: str, second: str, name: str, judged: Judged
              ) -> tuple[float, list[float]]:
    """As `less`, of what VERIFY gains."""
    def gains(run: Mapping, name: str) -> np.ndarray:
        """(problems, 2): Result, and what is right in the end less Result."""
        return np.diff(judged(run, name).astype(int), prepend=0)

    return less(result, first, second, name, gains, gains)


def claims(result: Mapping) -> list[Answer]:
    """What the runs say of CLAIMS, over the seeds that both conditions have."""
    found = []
    for question in CLAIMS:
        runs = [of(result, name) for name in (question.first, question.second) if name]
        seeds = tuple(sorted(set.intersection(*map(set, runs))))
        names = ("test",) if question.setting == NATURAL else ("injected", "clean")
        gated = question.claim.endswith(DOUBT)
        tables = [np.stack([table_of(run, names, threshold(run) if gated else np.inf)
                            for run in map(each.get, seeds)]) for each in runs if seeds]
        question = replace(question, first=called(question.first))
        found.append(compared(question, seeds, tables, SEEDS) if seeds else Answer(question))
    return found


def called(condition: str) -> str:
    """The condition as tables name it."""
    return "24,000 traces" if condition == FEWER else condition


def claims_table(result: Mapping) -> Table:
    """A row a claim, in the columns that the design as published has."""
    return Table("", ANSWER_COLUMNS, tuple(answer.cells() for answer in claims(result)))


def ways_table(result: Mapping) -> Table:
    """What the tokens of VERIFY buy, and what they would buy in its place."""
    return Table("", ("way", "tokens ↓", "right ↑", "by seed, %", "less EXECUTE alone, points ↑"), [
        (one["way"], f"{one['tokens']:.0f}", f"{100 * np.mean(one['right']):.1f} %",
         " ".join(f"{100 * right:.1f}" for right in one["right"]),
         points(one["points"], one["interval"])) for one in spent(result)])


def parts_table(result: Mapping) -> Table:
    """A row a condition: what comes of it where one part differs from FEWER."""
    rows = []
    for condition in (*CONDITIONS, *LARGER):
        if own := of(result, condition):
            runs = own.values()
            rows.append((
                called(condition), str(len(own)),
                *(_share(column.sum(), len(column)) for column in np.concatenate(
                    [outcomes(run, "test") for run in runs]).T),
                points(*less(result, condition, FEWER)), points(*gain(runs, "test")),
                points(*gain(runs, "test", behind_gate)), points(*gain(runs, "test_999")),
                *verify_shares(runs, ("injected", "clean"))))
    return Table("", ("condition", "seeds", "a1 ↑", "a2 ↑", "a2 less the first row's ↑", "gain ↑",
                      "gain, gate ↑", "gain to 999 ↑", "recall, given ↑", "specificity, given ↑",
                      "repaired of those found, given ↑"), rows)


def table(result: Mapping) -> Table:
    """A row a run of FEWER and setting; `injected` and `clean` in one."""
    rows = []
    for run in of(result, FEWER).values():
        for name in ("test", "test_999", "test_template", "given"):
            parts = ("injected", "clean") if name == "given" else (name,)
            both = np.concatenate([outcomes(run, part) for part in parts])
            tokens = np.mean([run["settings"][part]["tokens"] for part in parts])
            rows.append((
                str(run["seed"]), name, *(_share(column.sum(), len(both)) for column in both.T),
                "" if name == "given" else _share(behind_gate(run, name)[:, 1].sum(), len(both)),
                f"{changed(both, (0, 1))} / {changed(both, (1, 0))}",
                *verify_shares([run], parts), f"{tokens:.0f}"))
    return Table("", ("seed", "problems", "a1 ↑", "a2 ↑", "a2, gate ↑",
                      "repaired / spoiled", "recall ↑", "specificity ↑",
                      "repaired of those found ↑", "tokens ↓"),
                 tuple(rows))


def changed(outcomes: np.ndarray, way: tuple[int, int]) -> int:
    """How many of (problems, 2) are this."""
    return int((outcomes == way).all(1).sum())


def verify_counts(runs: Iterable[Mapping], parts: Sequence[str]) -> dict[str, tuple[int, int]]:
    """Of VERIFY over runs and settings together: wrong results that it finds, right ones that it
    accepts, and of those found the ones that it repairs; each of how many."""
    sums = sum(table_of(run, [part]).sum(axis=0) for run in runs for part in parts)
    repaired, _, caught, agreed, wrong, right, *_ = map(int, sums)
    return {"recall": (caught, wrong), "specificity": (agreed, right),
            "repaired": (repaired, caught)}


def verify_shares(runs: Iterable[Mapping], parts: Sequence[str]) -> list[str]:
    """`verify_counts` as text."""
    return [_share(*counts) for counts in verify_counts(runs, parts).values()]


def points(value: float, interval: Sequence[float]) -> str:
    """A difference in points with its interval."""
    return "{:+.1f} [{:+.1f} to {:+.1f}]".format(value, *interval)


def _share(part: int, whole: int) -> str:
    return f"{100 * part / whole:.1f} % ({part}/{whole})" if whole else "n/a (n=0)"


if __name__ == "__main__":
    write_result(RESULT, score(Path(sys.argv[1]), json.loads(read_text(RESULT))), recorded=True)
