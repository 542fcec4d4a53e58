"""Self-verification taken apart: by kind of planted error, by number of steps, by verifier.

One SVR hides a great deal: which errors are found, how it falls with the length of the
problem, and whether a checker that only recomputes would do as well. Each part here is the
whole of the scores (`scores.self_verification`) over its own rows, natural rows and rows
with a given EXECUTE apart. Results are plain values for summary.json.
"""
from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from nanoreason.rows import compact_row, fault, read_row
from nanoreason.scorecard import scores_of
from nanoreason.scores import self_verification
from nanoreason.statistics import SEED
from nanoreason.verifiers import graph_oracle, step_checker

GIVEN = ("injected", "clean")
RULES: dict[str, Callable[[Mapping], dict]] = {
    "step checker": step_checker, "graph oracle": graph_oracle}
PROMPTED = "base, four-stage prompt"
NO_VERIFY_LOSS = "without VERIFY loss"


def verification(rows: Iterable[Mapping], seed: int = SEED) -> dict | None:
    """All self-verification scores of rows that pool; None for no rows."""
    rows = list(rows)
    return scores_of(self_verification(rows, seed), {"svr": "svr_null"}) if rows else None


def read_once(row: Mapping) -> Mapping:
    """The row in its compact form: a score of it then need not read its text again."""
    return row if row.get("text") is None or fault(row) else compact_row(row)


def by_kind(rows: Iterable[Mapping], seed: int = SEED) -> dict[str, dict]:
    """Injected rows of one kind of error with the clean rows of the same problems, by kind."""
    rows = [row for row in rows if not fault(row)]
    clean = {_case(row): row for row in rows if row["setting"] == "clean"}
    kinds: dict[str, list[Mapping]] = {}
    for row in (row for row in rows if row["setting"] == "injected"):
        kinds.setdefault((row.get("planted") or {}).get("kind") or "unknown", []).append(row)
    return {kind: verification([*found, *(clean[case] for case in map(_case, found)
                                          if case in clean)], seed)
            for kind, found in sorted(kinds.items())
            if any(_case(row) in clean for row in found)}


def _case(row: Mapping) -> tuple:
    return row.get("problem_id", row.get("id")), row.get("sample", 0)


def by_steps(rows: Iterable[Mapping], seed: int = SEED) -> dict[str, dict]:
    """Scores by the number of steps that the first teacher takes, fewest first.

    rows: of settings that pool. Those without a teacher stand under "unknown". A number of
    steps at which injected rows stand without clean ones, or the other way, is left out.
    """
    groups: dict[int | None, list[Mapping]] = {}
    for row in (row for row in rows if not fault(row)):
        groups.setdefault(read_row(row).steps, []).append(row)
    order = sorted(groups, key=lambda steps: (steps is None, steps))
    return {"unknown" if steps is None else str(steps): verification(groups[steps], seed)
            for steps in order
            if {row["setting"] for row in groups[steps]} in ({"natural"}, set(GIVEN))}


def by_verifier(rows: Iterable[Mapping], prompted: Iterable[Mapping] | None = None,
                others: Mapping[str, Iterable[Mapping]] | None = None, seed: int = SEED
                ) -> dict[str, dict[str, dict | None]]:
    """What stands beside a run's own VERIFY, in "natural" and in "given" rows.

    rows: of one split, with their texts. The step checker and the graph oracle write VERIFY
    after the run's EXECUTE (None where a row lacks its text or, for the oracle, a teacher);
    `prompted` are the untouched base's natural rows under a four-stage prompt (None = not
    run), `others` rows of further runs by name.
    """
    rows, parts = list(rows), {"natural": ("natural",), "given": GIVEN}
    found: dict[str, dict[str, dict | None]] = {}
    for part, settings in parts.items():
        ours = _complete(rows, settings)
        scores = {PROMPTED: verification(_complete(prompted or (), settings), seed)}
        scores |= {name: verification(_complete(theirs, settings), seed)
                   for name, theirs in (others or {}).items()}
        for name, write in RULES.items():
            able = ours and all(row.get("text") is not None and (
                write is not graph_oracle or row.get("teachers")) for row in ours)
            written = [read_once(write(row)) for row in ours] if able else []
            scores[name] = verification(written, seed)
        found[part] = scores
    return found


def _complete(rows: Iterable[Mapping], settings: tuple[str, ...]) -> list[Mapping]:
    """The rows of these settings; none of them unless there are rows of each."""
    chosen = [row for row in rows if row.get("setting") in settings and not fault(row)]
    return chosen if {row["setting"] for row in chosen} == set(settings) else []
