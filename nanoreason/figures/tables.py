"""Tables of results: one writer for Markdown and CSV, one way to write a score.

A score is a mapping {value, counts, interval, null}, as `summary.summarise` makes them.
It is written with its raw counts and its interval, `15.6 % (78/500) [12.7–19.0]`. What was
not measured says so: `n/a (n=0)` is a rate over nothing, `not run` is a setting that was
never generated.
"""
from __future__ import annotations

import csv
import html
import io
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from nanoreason.evaluation.report import BETTER
from nanoreason.evaluation.self_verification import NO_VERIFY_LOSS
from nanoreason.files import write_text

NOT_RUN, NOTHING = "not run", "n/a (n=0)"
SIGNED = ("delta", "youden_j", "difference")  # differences, in points, with their sign
RIGHT = ("a1", "a2", "detected", "located", "repaired")  # more is better in these too


@dataclass(frozen=True, repr=False)
class Table:
    """A table of text cells under a title that is the question it answers.

    Raises ValueError where a row has another number of cells than there are columns.
    """

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    def __post_init__(self):
        for number, row in enumerate(self.rows, 1):
            if len(row) != len(self.columns):
                raise ValueError(f"row {number} of {self.title!r} has {len(row)} cells for "
                                 f"{len(self.columns)} columns")

    def markdown(self, title: bool = True) -> str:
        """The table in Markdown, without a line break at its end.

        Markdown may hold HTML, so `<` and `&` of a cell are written as entities: names in
        the cells come from rows.
        """
        def plain(cell: str) -> str:
            return html.escape(" ".join(cell.split()), quote=False).replace("|", "\\|")

        def line(cells: Iterable[str]) -> str:
            return "| " + " | ".join(map(plain, cells)) + " |"

        head = [f"**{plain(self.title)}**", ""] if title else []
        rule = "|" + "---|" * len(self.columns)
        return "\n".join([*head, line(self.columns), rule, *map(line, self.rows)])

    def csv(self) -> str:
        """The table as comma-separated values, columns first."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerows([self.columns, *self.rows])
        return text.getvalue()

    def save(self, folder: Path, name: str) -> tuple[Path, Path]:
        """Write <name>.md and <name>.csv into a folder; their paths."""
        paths = Path(folder) / f"{name}.md", Path(folder) / f"{name}.csv"
        write_text(paths[0], self.markdown() + "\n")
        write_text(paths[1], self.csv())
        return paths

    def _repr_markdown_(self) -> str:
        return self.markdown()

    def __repr__(self):
        return self.markdown()


def show_counts(counts) -> str:
    """`78/500`; of a composite score its parts, `12/40; 250/260`."""
    if counts is None:
        return ""
    if isinstance(counts[0], (list, tuple)):
        return "; ".join(show_counts(part) for part in counts)
    numerator = f"{counts[0]:.1f}" if isinstance(counts[0], float) else str(counts[0])
    return f"{numerator}/{counts[1]}"


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


def show(name: str, score: Mapping | None, null: bool = True) -> str:
    """A score in one cell: value, counts, interval and, if it has one, its null."""
    if score is None:
        return NOT_RUN
    if score["value"] is None:
        return NOTHING
    parts = [show_value(name, score["value"])]
    if score.get("counts") is not None:
        parts.append(f"({show_counts(score['counts'])})")
    parts.append(show_interval(name, score.get("interval")))
    cell = " ".join(part for part in parts if part)
    if null and score.get("null") is not None:
        cell += f", null {show_value(name, score['null'])}"
    return cell


def arrow(name: str) -> str:
    """↑ where more is better, ↓ where less is, nothing where neither is."""
    return "↑" if name in RIGHT else BETTER.get(name, "")


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
