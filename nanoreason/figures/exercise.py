"""A page of worked answers with one hidden error each, and the key below.

The errors are those that an evaluation injected into EXECUTE (setting *injected*); what the model's
VERIFY said of them stands in the key. The page is static HTML, as every page of `trace_view`.
"""
from __future__ import annotations

import random
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from nanoreason.evaluation.report import SEED
from nanoreason.evaluation.rows import read_row
from nanoreason.figures.trace_view import TraceView, box, page, safe
from nanoreason.files import write_text
from nanoreason.stages import Stage
from nanoreason.trace import read_claims


@dataclass(frozen=True)
class Exercise:
    """Rows of generations.jsonl with an injected error, as a page. words: of `SENTENCES`."""

    rows: tuple[Mapping, ...]
    words: Mapping
    language: str = "en"

    @classmethod
    def draw(cls, rows: Iterable[Mapping], words: Mapping, language: str = "en", count: int = 10,
             seed: int = SEED) -> Exercise:
        """`count` of the rows with an injected error and a text to show, drawn by the seed."""
        fit = [row for row in rows if row["setting"] == "injected" and row.get("text")
               and row.get("teachers")]
        return cls(tuple(random.Random(seed).sample(fit, min(count, len(fit)))), words, language)

    def key(self) -> list[str]:
        """One line a row: the wrong step, its kind, the right line, and whether VERIFY found it."""
        return [self.words["key"].format(
            step=(step := row["planted"]["step"]),
            kind=self.words["errors"][row["planted"]["kind"]],
            right=read_claims(row["teachers"][0]).execute[step - 1],
            verify=self.words["found" if read_row(row).blamed == step else "missed"])
            for row in self.rows]

    def html(self) -> str:
        """The traces up to their VERIFY, without marks, then the key."""
        parts = [TraceView(row["text"].partition(f"\n{Stage.VERIFY.tag}")[0], row["question"],
                           title=f"{number}.", marks=False).html()
                 for number, row in enumerate(self.rows, 1)]
        key = "".join(f"<p>{number}. {safe(line)}</p>"
                      for number, line in enumerate(self.key(), 1))
        head = f'<h3 style="break-before:page">{safe(self.words["answers"])}</h3>'  # own sheet
        return box(f"<p>{safe(self.words['task'])}</p>{''.join(parts)}{head}{key}")

    _repr_html_ = html

    def __repr__(self):
        return f"{len(self.rows)} traces with one error each"

    def save(self, path: str | Path) -> Path:
        """Write it as an HTML page of its own; the page's path."""
        write_text(Path(path), page(self.words["task"], self.html(), self.language))
        return Path(path)
