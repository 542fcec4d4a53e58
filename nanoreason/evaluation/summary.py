"""The scores of a run, worked out once from its rows: what summary.json holds.

Every score stands with its value, its counts, its 95 % interval and, where it has one, its
null. Splits are scored apart, natural rows and rows with a given EXECUTE are never pooled,
and the untouched base model stands beside the tuned one, on the same problems. What was
not generated is None ("not run"); a rate over zero cases has the value None ("n/a").
"""
from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from contextlib import suppress
from itertools import product

from nanoreason import paths
from nanoreason.data.errors import KINDS
from nanoreason.evaluation.faithfulness import faithfulness
from nanoreason.evaluation.ledger import false_equations, ledger
from nanoreason.evaluation.report import (SEED, SMOKE_BELOW, compare, different_problems,
                                          harmonic_mean, rate_of)
from nanoreason.evaluation.rows import ScoredRow, ScoredRows, read_rows
from nanoreason.evaluation.self_verification import (accuracy, by_kind, by_steps, by_verifier,
                                                     self_verification, verification)
from nanoreason.files import to_json
from nanoreason.runs import (EVALUATED, FINISHED, Run, RunError, check_manifest, find_run,
                             writable)
from nanoreason.stages import GIVEN, SPLITS

MAKERS = {"params.yaml": "02_train", "environment.json": "02_train",
          "metrics.csv": "02_train", "generations.jsonl": "03_evaluate",
          "summary.json": "04_metrics"}


def open_run(name: str, *files: str) -> Run:
    """The run of this name, with these files in it.

    Raises RunError, with the notebook that makes what is missing, if there is no such run
    or it lacks one of the files.
    """
    try:
        run = writable(find_run(name))
    except RunError as error:
        first = MAKERS[files[0]] if files else "02_train"
        raise RunError(f"{error}. To make it, run notebook {first} with run = {name!r}") from None
    for file in files:
        if not run.has(file):
            raise RunError(f"{paths.relative(run.folder)} has no {file}: run notebook "
                           f"{MAKERS[file]} with run = {name!r} first")
    with run.held("metrics"):  # nothing is being written while it is read
        check_whole(run, scored="summary.json" in files)
    return run


def check_whole(run: Run, scored: bool = True) -> None:
    """Raise RunError where the files of a finished training are not as they were written, a run's
    rows are not of its adapters, or (scored) its summary.json is not of its rows, as after rows
    were added to them."""
    check_manifest(run.folder, FINISHED)
    trained, wrote = (run.recorded("adapters_sha256", of) for of in ("training", EVALUATED))
    if trained and wrote and trained != wrote:
        raise RunError(f"the rows of run {run.name} were written by other adapters ({wrote[:12]}) "
                       f"than it holds ({trained[:12]}): run notebook 03_evaluate with run = "
                       f"{run.name!r}, which sets them aside")
    if scored and run.has("summary.json") and run.has("generations.jsonl"):
        summary = run.read_summary()
        if not {"run", "base_run", "splits"} <= summary.keys():
            raise RunError(f"summary.json of run {run.name} is not whole: run notebook 04_metrics "
                           f"with run = {run.name!r} again")
        then, now = summary.get("n_rows"), len(run.scan_generations()[0])
        if then not in (None, now):
            raise RunError(f"summary.json of run {run.name} is of {then} rows, but there are "
                           f"{now}: run notebook 04_metrics with run = {run.name!r} again")


def _with_rows(name: str) -> Run | None:
    with suppress(RunError):
        found = find_run(name)
        return found if found.has("generations.jsonl") else None


def _beside(run: Run, name: str, key: str) -> Run | None:
    """The run of this name with rows that go with those of `run`, or None.

    key: `adapters_sha256` or `base_version`, of what wrote them. Where both runs record it and
    it differs, as after a new training of the same name, they are left out, and that is said.
    """
    found = _with_rows(name)
    if found is None:
        return None
    own, there = (of.recorded(key) for of in (run, found))
    if None in (own, there) or own == there:
        return found
    print(f"run {name} is of other weights ({key} {there[:12]}) than run {run.name} ({own[:12]}) "
          "and is left out")
    return None


def find_base(run: Run) -> Run | None:
    """The run with the rows of the untouched base that `run` was tuned from, or None.

    Its name is that of the run with `-base`, or that of its base, e.g. "nano-base".
    """
    base = str(run.read_params().get("base", "nano")).rsplit("/", 1)[-1].lower()
    return (_beside(run, f"{run.name}-base", "base_version")
            or _beside(run, f"{base}-base", "base_version"))


def find_prompted(run: Run) -> Run | None:
    """The run with the rows of the base under a four-stage prompt, `<run>-prompted`, or None."""
    return _beside(run, f"{run.name}-prompted", "base_version")


def find_gate(run: Run, compared: bool = True) -> Run | None:
    """The run with rows of dev and test that say how sure they are, `<run>-gate`, or None.

    compared: it is left out, and that is said, where it answered other problems of test.
    """
    found = _beside(run, f"{run.name}-gate", "adapters_sha256")
    return None if found and compared and _answered_others(run, found) else found


def _answered_others(run: Run, found: Run) -> bool:
    """Whether the problems of test that two runs answered differ, which is then said."""
    odd = different_problems(*([row for row in of.read_generations() if row["setting"] == "natural"
                                and row.get("split") in ("test", None)] for of in (run, found)))
    if odd:
        print(f"run {found.name} answered other problems and is left out ({odd})")
    return bool(odd)


def find_others(run: Run, names: Iterable[str] = ()) -> list[Run]:
    """The runs of these names, and `<run>-no-verify` where there is one.

    That is the name for the same training without the loss of VERIFY, which says whether a
    verifier was bought by spoiling EXECUTE; it is left out, and that is said, where it
    answered other problems. Raises RunError where a named run has no rows.
    """
    found = [_with_rows(name) or open_run(name, "generations.jsonl") for name in names]
    name = f"{run.name}-no-verify"
    control = None if name in names else _with_rows(name)
    return found if control is None or _answered_others(run, control) else [*found, control]


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
    verifiers: {natural, given} of the split test, see `by_verifier`; splits maps
    each of SPLITS to None or
      n: natural traces; accuracy: a1, a2 (strict), lenient; base: the same of the base;
      comparison: a1, a2, lenient, tuned against base on the same problems;
      verification, cells, by_steps: of natural traces; faithfulness: of natural and
      intervened ones; given: {verification, cells, kinds, by_kind, by_steps} of traces with
      EXECUTE given, injected and clean.
    """
    table = read_rows(rows)

    def test_of(found: Iterable[Mapping] | None) -> ScoredRows:
        return read_rows(found or (), table.texts).where(split="test")

    test, prompted = table.where(split="test"), test_of(prompted_rows)
    natural, base = test.where("natural"), read_rows(base_rows or (), table.texts)
    further = {name: test_of(found) for name, found in (others or {}).items()}
    for name, found in further.items():
        odd = different_problems(natural.mappings, found.where("natural").mappings)
        if odd:
            raise RunError(f"runs {run} and {name} answered different problems and are not "
                           f"compared: {odd}. Evaluate both with the same data, n and seed")
    splits = {split: _split(table.where(split=split), base.where("natural", split=split), seed)
              for split in SPLITS}
    counts = [section["n"] for section in splits.values() if section]
    summary = {"run": run, "base_run": base_run, "n_rows": len(table.mappings),
               "smoke": max(counts, default=0) < SMOKE_BELOW, "splits": splits,
               "others": {name: compare_runs(natural, found.where("natural"))
                          for name, found in further.items()},
               "no_verify_loss": sorted(no_verify_loss),
               "verifiers": by_verifier(test, prompted, further, seed)}
    # Through JSON, so that what is returned equals what is read back from summary.json.
    return json.loads(to_json(summary))


def _split(table: ScoredRows, base: ScoredRows, seed: int) -> dict | None:
    natural = table.where("natural")
    given = table.where(*GIVEN)
    both = {row["setting"] for row in given.mappings} == set(GIVEN)
    if not natural.mappings and not both:
        return None
    return {
        "n": len(natural.mappings),
        "accuracy": _accuracy(natural),
        "base": _accuracy(base),
        "comparison": compare_runs(natural, base) if natural.mappings and base.mappings else None,
        "verification": verification(natural, seed),
        "cells": count_cells(natural),
        "by_steps": by_steps(natural, seed),
        "ledger": ledger(natural).to_dict(),
        "equations": false_equations(natural),
        "faithfulness": _faithfulness(natural, table.where("natural", "intervened"), seed),
        "given": {
            "verification": verification(given, seed), "cells": count_cells(given),
            "kinds": count_kinds(given), "by_kind": by_kind(given, seed),
            "by_steps": by_steps(given, seed), "ledger": ledger(given).to_dict(),
        } if both else None,
    }


def _accuracy(table: ScoredRows) -> dict | None:
    if not table.mappings:
        return None
    checked = self_verification(table)
    return {"n": checked.n, "a1": checked.entry("accuracy_a1"),
            "a2": checked.entry("accuracy_a2"), "lenient": accuracy(table).entry("lenient")}


def _faithfulness(natural: ScoredRows, table: ScoredRows, seed: int) -> dict | None:
    """table: the natural rows and those with an intervention."""
    if not natural.mappings:
        return None
    report, nulls = faithfulness(table, seed), {"edge_f1": "edge_f1_null"}
    intervened = len(table.mappings) > len(natural.mappings)
    scores = report.to_dict(nulls)
    scores |= {side: getattr(report, side).to_dict(nulls) for side in ("right", "wrong")}
    for part in (scores, scores["right"], scores["wrong"]):
        null, cause = part["edge_f1"]["null"], part["causal_rate"]["value"]
        # What RFS would be if the edges were drawn at random, the causal rate as it is.
        if None not in (null, cause):
            part["rfs"]["null"] = float(harmonic_mean(null, cause))
        if not intervened:
            part["causal_rate"] = part["rfs"] = None
    return scores


def count_cells(rows: Iterable[Mapping] | ScoredRows) -> list[dict]:
    """How many traces fall into each of the eight cells a1 right x verdict x a2 right.

    A list of {a1_right, verdict_error, a2_right, count}; an unreadable verdict is no error.
    """
    found = Counter((row.first, row.error, row.second) for row in read_rows(rows))
    return [{"a1_right": first, "verdict_error": error, "a2_right": second,
             "count": found[first, error, second]}
            for first, error, second in product((False, True), repeat=3)]


def count_kinds(rows: Iterable[Mapping] | ScoredRows) -> dict[str, dict]:
    """By kind of injected error: detected, located (the right step blamed) and repaired.

    rows: of which the injected ones count; the denominator is always the number of traces
    with this kind of error.
    repaired: the verdict is an error and the answer is right.
    """
    found: dict[str, list[ScoredRow]] = {kind: [] for kind in KINDS}
    for row in read_rows(rows).where("injected"):
        found.setdefault(row.kind or "unknown", []).append(row)
    counted = {"detected": lambda row: row.error,
               "located": lambda row: row.error and row.blamed == row.planted.get("step"),
               "repaired": lambda row: row.error and row.second}
    return {kind: {name: rate_of([counts(row) for row in cases],
                                 [row.problem for row in cases]).to_dict()
                   for name, counts in counted.items()} for kind, cases in found.items()}


def compare_runs(rows: Iterable[Mapping] | ScoredRows, others: Iterable[Mapping] | ScoredRows
                 ) -> dict[str, dict]:
    """Two runs on the same problems, one split, one setting: by a1, a2 and lenient.

    Each is {n, first, second, difference, interval, only_first, only_second, p_value};
    see `report.compare`.
    """
    tables = read_rows(rows), read_rows(others)
    return {of: compare(*tables, of) for of in ("a1", "a2", "lenient")}
