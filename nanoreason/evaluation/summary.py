"""The scores of a run, worked out once from its rows: what summary.json holds.

Every score stands with its value, its counts, its 95 % interval and, where it has one, its
null. Splits are scored apart, natural rows and rows with a given EXECUTE are never pooled,
and the untouched base model stands beside the tuned one, on the same problems. What was
not generated is None ("not run"); a rate over zero cases has the value None ("n/a").
"""
from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Mapping
from itertools import product

from nanoreason import paths
from nanoreason.data.errors import KINDS
from nanoreason.evaluation.faithfulness import faithfulness
from nanoreason.evaluation.report import Comparison, compare, different_problems, rate_of, scores_of
from nanoreason.evaluation.rows import read_row, split_faults
from nanoreason.evaluation.self_verification import (accuracy, by_kind, by_steps, by_verifier,
                                                     read_once, self_verification, verification)
from nanoreason.evaluation.statistics import SEED, harmonic_mean
from nanoreason.files import to_json
from nanoreason.runs import Run, RunError, find_run
from nanoreason.stages import SPLITS

SMOKE_BELOW = 50  # natural test traces: a run with fewer says that it works, not how well
MAKERS = {"params.yaml": "02_train", "environment.json": "02_train",
          "metrics.csv": "02_train", "generations.jsonl": "03_evaluate",
          "summary.json": "04_metrics"}


def open_run(name: str, *files: str) -> Run:
    """The run of this name, with these files in it.

    Raises RunError, with the notebook that makes what is missing, if there is no such run
    or it lacks one of the files.
    """
    try:
        run = find_run(name)
    except RunError as error:
        first = MAKERS[files[0]] if files else "02_train"
        raise RunError(f"{error}. To make it, run notebook {first} with run = {name!r}") from None
    for file in files:
        if not run.has(file):
            raise RunError(f"{paths.relative(run.folder)} has no {file}: run notebook "
                           f"{MAKERS[file]} with run = {name!r} first")
    return run


def find_base(run: Run) -> Run | None:
    """The run with the rows of the untouched base that `run` was tuned from, or None.

    Its name is that of the run with `-base`, or that of its base, e.g. "nano-base".
    """
    base = str(run.read_params().get("base", "nano")).rsplit("/", 1)[-1].lower()
    for name in (f"{run.name}-base", f"{base}-base"):
        try:
            return open_run(name, "generations.jsonl")
        except RunError:
            continue
    return None


def find_prompted(run: Run) -> Run | None:
    """The run with the rows of the base under a four-stage prompt, `<run>-prompted`, or None."""
    try:
        return open_run(f"{run.name}-prompted", "generations.jsonl")
    except RunError:
        return None


def find_others(run: Run, names: Iterable[str] = ()) -> list[Run]:
    """The runs of these names, and `<run>-no-verify` where there is one.

    That is the name for the same training without the loss of VERIFY, which says whether a
    verifier was bought by spoiling EXECUTE. Raises RunError where a named run has no rows.
    """
    found = [open_run(name, "generations.jsonl") for name in names]
    control = f"{run.name}-no-verify"
    if control not in names:
        try:
            found.append(open_run(control, "generations.jsonl"))
        except RunError:
            pass
    return found


def lacks_verify_loss(run: Run) -> bool:
    """Whether a run was trained without the loss of VERIFY: weight 0, or phase "reasoning"."""
    params = run.read_params()
    return params.get("phase") == "reasoning" or params.get("verify_weight") == 0


def summarise(rows: Iterable[Mapping], base_rows: Iterable[Mapping] | None = None, *,
              others: Mapping[str, Iterable[Mapping]] | None = None,
              prompted_rows: Iterable[Mapping] | None = None,
              no_verify_loss: Iterable[str] = (), run: str | None = None,
              base_run: str | None = None, seed: int = SEED) -> dict:
    """All scores of a run by split, as plain values for `Run.write_summary`.

    rows: of generations.jsonl, every split and setting together; a row without `split` is
    of the split test. base_rows: natural rows of the untouched base; None = not run.
    others: name -> rows of further runs, compared on the natural traces of the split test.
    prompted_rows: natural rows of the base under a four-stage prompt; None = not run.
    no_verify_loss: names in `others` of runs trained without the loss of VERIFY.
    seed: of the nulls (dealt verdicts, rewired edges).
    Raises RunError for a run of `others` that answered different problems.
    Returns {run, base_run, smoke, n_rows, splits, others, verifiers, no_verify_loss};
    verifiers: {natural, given} of the split test, see `breakdown.by_verifier`; splits maps
    each of SPLITS to None or
      n: natural traces; accuracy: a1, a2 (strict), lenient; base: the same of the base;
      comparison: a1, a2, lenient, tuned against base on the same problems;
      verification, cells, by_steps: of natural traces; faithfulness: of natural and
      intervened ones, with causal: the causal rate by operation and depth of the changed
      line; given: {verification, cells, kinds, by_kind, by_steps} of traces with EXECUTE
      given, injected and clean.
    """
    rows, base_rows = list(rows), list(base_rows or ())
    test, further = _part(rows, "test"), {}
    for name, found in (others or {}).items():
        further[name] = _part(list(found), "test")
        odd = different_problems(_natural(test), _natural(further[name]))
        if odd:
            raise RunError(f"runs {run} and {name} answered different problems and are not "
                           f"compared: {odd}. Evaluate both with the same data, n and seed")
    splits = {split: _split(_part(rows, split), _part(base_rows, split), seed)
              for split in SPLITS}
    natural = [section["n"] for section in splits.values() if section]
    prompted = _part(list(prompted_rows or ()), "test")
    summary = {"run": run, "base_run": base_run, "n_rows": len(rows),
               "smoke": max(natural, default=0) < SMOKE_BELOW, "splits": splits,
               "others": {name: compare_runs(_natural(test), _natural(found))
                          for name, found in further.items()},
               "no_verify_loss": sorted(no_verify_loss),
               "verifiers": by_verifier(test, prompted, further, seed)}
    # Through JSON, so that what is returned equals what is read back from summary.json.
    return json.loads(to_json(summary))


def _part(rows: list[Mapping], split: str) -> list[Mapping]:
    return [row for row in rows if (row.get("split") or "test") == split]


def _natural(rows: list[Mapping]) -> list[Mapping]:
    return [row for row in rows if row.get("setting") == "natural"]


def _split(rows: list[Mapping], base: list[Mapping], seed: int) -> dict | None:
    by = {setting: [row for row in rows if row.get("setting") == setting]
          for setting in ("natural", "injected", "clean", "intervened")}
    if not by["natural"] and not (by["injected"] and by["clean"]):
        return None
    natural = [read_once(row) for row in by["natural"]]
    faith = _faithfulness(by["natural"], by["intervened"], seed)  # the same graphs again
    base = [read_once(row) for row in _natural(base)]
    # In the file's order: the null deals verdicts by place.
    given = [read_once(row) for row in rows if row.get("setting") in ("injected", "clean")]
    return {
        "n": len(natural),
        "accuracy": _accuracy(natural),
        "base": _accuracy(base),
        "comparison": compare_runs(natural, base) if natural and base else None,
        "verification": verification(natural, seed),
        "cells": count_cells(natural),
        "by_steps": by_steps(natural, seed),
        "faithfulness": faith,
        "given": {
            "verification": verification(given, seed), "cells": count_cells(given),
            "kinds": count_kinds(given), "by_kind": by_kind(given, seed),
            "by_steps": by_steps(given, seed),
        } if by["injected"] and by["clean"] else None,
    }


def _accuracy(rows: list[Mapping]) -> dict | None:
    if not rows:
        return None
    answers, checked = scores_of(accuracy(rows)), scores_of(self_verification(rows))
    return {"n": checked["n"], "a1": checked["accuracy_a1"], "a2": checked["accuracy_a2"],
            "lenient": answers["lenient"]}


def _faithfulness(natural: list[Mapping], intervened: list[Mapping], seed: int
                  ) -> dict | None:
    if not natural:
        return None
    report = faithfulness([*natural, *intervened], seed)
    scores = scores_of(report, {"edge_f1": "edge_f1_null"})
    scores["causal"] = report.causal if intervened else None
    scores |= {side: scores_of(getattr(report, side), {"edge_f1": "edge_f1_null"})
               for side in ("right", "wrong")}
    for part in (scores, scores["right"], scores["wrong"]):
        null, cause = part["edge_f1"]["null"], part["causal_rate"]["value"]
        # What RFS would be if the edges were drawn at random, the causal rate as it is.
        if None not in (null, cause):
            part["rfs"]["null"] = float(harmonic_mean(null, cause))
        if not intervened:
            part["causal_rate"] = part["rfs"] = None
    return scores


def count_cells(rows: Iterable[Mapping]) -> list[dict]:
    """How many traces fall into each of the eight cells a1 right x verdict x a2 right.

    A list of {a1_right, verdict_error, a2_right, count}; an unreadable verdict is no error.
    """
    readings = [read_row(row) for row in split_faults(rows)[0]]
    found = [(reading.first, reading.error, reading.second) for reading in readings]
    return [{"a1_right": first, "verdict_error": error, "a2_right": second,
             "count": found.count((first, error, second))}
            for first, error, second in product((False, True), repeat=3)]


def count_kinds(rows: Iterable[Mapping]) -> dict[str, dict]:
    """By kind of planted error: detected, located (the right step blamed) and repaired.

    rows: of which the injected ones count; the denominator is always the number of traces
    with this kind of error.
    repaired: the verdict is an error and the answer is right.
    """
    found: dict[str, list[tuple]] = {kind: [] for kind in KINDS}
    for row in (row for row in split_faults(rows)[0] if row["setting"] == "injected"):
        planted, reading = row.get("planted") or {}, read_row(row)
        found.setdefault(planted.get("kind") or "unknown", []).append((
            reading.problem, reading.error, reading.error and reading.blamed == planted.get("step"),
            reading.error and reading.second))
    names = "detected", "located", "repaired"
    return {kind: {name: rate_of([case[place] for case in cases], [case[0] for case in cases])
                   for place, name in enumerate(names, 1)} for kind, cases in found.items()}


def compare_runs(rows: Iterable[Mapping], others: Iterable[Mapping]) -> dict[str, dict]:
    """Two runs on the same problems, one split, one setting: by a1, a2 and lenient.

    Each is {n, first, second, difference, interval, only_first, only_second, p_value};
    see `scores.Comparison`.
    """
    rows, others = list(rows), list(others)
    names = [field.name for field in dataclasses.fields(Comparison) if field.name != "left_out"]
    compared = {of: compare(rows, others, of) for of in ("a1", "a2", "lenient")}
    return {of: {name: getattr(result, name) for name in names}
            for of, result in compared.items()}
