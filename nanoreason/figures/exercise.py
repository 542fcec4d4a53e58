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
from nanoreason.figures.trace_view import TraceView, page, safe
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
        lines = []
        for row in self.rows:
            step, kind = row["planted"]["step"], row["planted"]["kind"]
            right = read_claims(row["teachers"][0]).execute[step - 1]
            found = "found" if read_row(row).blamed == step else "missed"
            lines.append(self.words["key"].format(
                step=step, kind=self.words["errors"][kind], right=right,
                verify=self.words[found]))
        return lines

    def html(self) -> str:
        """The traces up to their VERIFY, without marks, then the key."""
        parts = [f"<p>{safe(self.words['task'])}</p>"]
        for number, row in enumerate(self.rows, 1):
            before = row["text"].partition(f"\n{Stage.VERIFY.tag}")[0]
            view = TraceView(before, row["question"], title=f"{number}.", marks=False)
            parts.append(view.html())
        key = "".join(f"<p>{number}. {safe(line)}</p>"
                      for number, line in enumerate(self.key(), 1))
        return ('<div style="max-width:46em;font:13px/1.45 sans-serif;color:#222222;'
                f'background:#ffffff;padding:6px">{"".join(parts)}'
                f'<h3>{safe(self.words["answers"])}</h3>{key}</div>')

    _repr_html_ = html

    def __repr__(self):
        return f"{len(self.rows)} traces with one error each"

    def save(self, path: str | Path) -> Path:
        """Write it as an HTML page of its own; the page's path."""
        write_text(Path(path), page(self.words["task"], self.html(), self.language))
        return Path(path)
