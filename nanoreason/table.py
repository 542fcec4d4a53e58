"""A table as it is read: HTML in a notebook, text in a terminal, Markdown and CSV in files."""
from __future__ import annotations

import csv
import html
import io
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from nanoreason.files import write_text
from nanoreason.host import GivenError


@dataclass(frozen=True, repr=False)
class Table:
    """A table of text cells under a title: HTML in a notebook, aligned text in a terminal.

    Raises ValueError where a row has another number of cells than there are columns.
    """

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    def __post_init__(self):
        for number, row in enumerate(self.rows, 1):
            if len(row) != len(self.columns):
                raise GivenError(f"row {number} of {self.title!r} has {len(row)} cells for "
                                 f"{len(self.columns)} columns")

    @classmethod
    def of(cls, title: str, columns: Iterable[str], rows: Iterable[Iterable]) -> Table:
        """A table whose cells say what stands in the rows, names with their values too."""
        return cls(title, tuple(columns), tuple(tuple(map(_told, row)) for row in rows))

    def markdown(self, title: bool = True) -> str:
        """The table in Markdown, without a line break at its end.

        Markdown may hold HTML, so `<` and `&` of a cell are written as entities: names in
        the cells come from rows.
        """
        def plain(cell: str) -> str:
            return html.escape(" ".join(cell.split()), quote=False).replace("|", "\\|")

        head = [f"**{plain(self.title)}**", ""] if title else []
        columns, *rows = (f"| {' | '.join(map(plain, cells))} |"
                          for cells in (self.columns, *self.rows))
        return "\n".join([*head, columns, "|" + "---|" * len(self.columns), *rows])

    def csv(self) -> str:
        """The table as comma-separated values, columns first."""
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows([self.columns, *self.rows])
        return text.getvalue()

    def save(self, folder: Path, name: str) -> tuple[Path, Path]:
        """Write <name>.md and <name>.csv into a folder; their paths."""
        paths = Path(folder) / f"{name}.md", Path(folder) / f"{name}.csv"
        write_text(paths[0], self.markdown() + "\n")
        write_text(paths[1], self.csv())
        return paths

    def __repr__(self):
        lines = [[" ".join(cell.split()) for cell in cells] for cells in (self.columns, *self.rows)]
        widths = [max(map(len, column)) for column in zip(*lines)]
        return "\n".join([self.title, *("  ".join(map(str.ljust, cells, widths)).rstrip()
                                        for cells in lines)])

    def _repr_html_(self) -> str:
        def row(cells: tuple[str, ...], tag: str) -> str:
            inside = "".join(f'<{tag} style="text-align: left">{html.escape(cell)}</{tag}>'
                             for cell in cells)
            return f"<tr>{inside}</tr>"

        # In a box of its own, so that a wide table scrolls and not the page around it.
        return ('<div style="overflow-x: auto"><table>'
                '<caption style="text-align: left; font-weight: bold">'
                f"{html.escape(self.title)}</caption><thead>{row(self.columns, 'th')}</thead>"
                f"<tbody>{''.join(row(cells, 'td') for cells in self.rows)}</tbody></table></div>")


def _told(value, inside: bool = False) -> str:
    """What a cell says of a value: six digits of a number, `name value, name value` of a mapping.

    inside: of another one, which puts brackets around what has parts.
    """
    if isinstance(value, Mapping):
        parts = [f"{name} {_told(part, True)}" for name, part in value.items()]
    elif isinstance(value, (list, tuple)):
        parts = [_told(part, True) for part in value]
    else:
        return "none" if value is None else (
            f"{value:.6g}" if isinstance(value, float) else str(value))
    told = ", ".join(parts) or "none"
    return f"({told})" if inside and len(parts) > 1 else told
