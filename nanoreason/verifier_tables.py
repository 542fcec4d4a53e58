"""Tables of self-verification taken apart: by verifier, kind of error, number of steps.

Each reads summary.json alone, as those of `score_tables` do.
"""
from __future__ import annotations

from collections.abc import Mapping

from nanoreason.breakdown import NO_VERIFY_LOSS
from nanoreason.tables import NOT_RUN, Table, arrow, show

COLUMNS = (("svr", "SVR"), ("recall", "recall"), ("specificity", "specificity"),
           ("first_wrong_step", "first wrong step"),
           ("first_wrong_step_near", "first wrong step ±1"), ("delta", "a2 less a1"),
           ("accuracy_a1", "a1"), ("ritual_rate", "ritual rate"))
WHERE = {"natural": "the model's own traces", "given": "EXECUTE given, injected and clean"}


def _table(summary: Mapping, title: str, first: str, lines: Mapping[str, Mapping | None]) -> Table:
    title = f"SMOKE run, too few traces for a result. {title}" if summary["smoke"] else title
    rows = [(label, *(NOT_RUN if scores is None else show(name, scores[name])
                      for name, _ in COLUMNS)) for label, scores in lines.items()]
    return Table(title, (first, *(f"{label} {arrow(name)}".strip() for name, label in COLUMNS)),
                 tuple(rows))


def _own(summary: Mapping, part: str, split: str = "test") -> Mapping | None:
    section = summary["splits"].get(split)
    if section is None or part == "natural":
        return section
    return section["given"]


def verifiers_table(summary: Mapping, part: str = "natural") -> Table:
    """Is VERIFY better than a rule: the run, what it is measured against, and the ceiling.

    part: "natural" or "given" (EXECUTE given); the split test.
    """
    own = _own(summary, part)
    lines = {"this run": own and own["verification"]}
    for name, scores in summary["verifiers"][part].items():
        label = f"{name}, {NO_VERIFY_LOSS}" if name in summary["no_verify_loss"] else name
        lines[label] = scores
    return _table(summary, f"Is VERIFY better than a rule? ({WHERE[part]}, test)", "VERIFY by",
                  lines)


def kinds_scores_table(summary: Mapping) -> Table:
    """How well is each kind of error verified: planted rows with the clean ones, test."""
    own = _own(summary, "given")
    lines = {"all kinds": None} if own is None else {
        kind.replace("_", " "): scores for kind, scores in own["by_kind"].items()}
    return _table(summary, "How well is each kind of error verified? (planted and clean, test)",
                  "kind of error", lines)


def steps_table(summary: Mapping, part: str = "natural", split: str = "test") -> Table:
    """Does VERIFY hold up with longer problems: by the number of the teacher's steps."""
    own = _own(summary, part, split)
    lines = {"any": None} if own is None else own["by_steps"]
    return _table(summary, f"Does VERIFY hold up with longer problems? ({WHERE[part]}, {split})",
                  "steps", lines)
