"""A trace to look at: its stages in colour, and what is true of each line.

The marks are the program's, never the model's: ✓ or ✗ says whether what a line states is
so (its equations, the word on a check's two numbers), whether `Result:` and `Answer:` equal
the gold answer, and whether the verdict is the right one. What the model itself claims is
the text. The page is static HTML with inline style; every character of the trace is
escaped, nothing is loaded and nothing is run.

`write_examples` makes a page of them. What a trace comes to has eight cases: whether EXECUTE's
result (a1) is right, what VERIFY says of it, whether the final answer (a2) is right. The page
counts the rows of each, right and wrong alike, and shows some that a seed draws; none is chosen
by hand.
"""
from __future__ import annotations

import html
import random
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from nanoreason import paths
from nanoreason.arithmetic.answers import same_answer
from nanoreason.data.verify_lines import stated
from nanoreason.evaluation.report import SEED, SMOKE_BELOW
from nanoreason.evaluation.rows import ScoredRow, read_row, read_rows
from nanoreason.files import write_text
from nanoreason.host import GivenError
from nanoreason.runs import SAID, Run
from nanoreason.stages import ANSWER, GIVEN, NUMBERED, RESULT, SPLITS, Stage
from nanoreason.trace import (Claims, Trace, closing_of, read_claims, render_trace,
                              stage_of)

MARKS = {True: "✓", False: "✗", None: ""}
HIDDEN = {"Cc", "Cf", "Cs", "Cn", "Co", "Zl", "Zp"}  # Unicode categories without a shape
JOINERS = "\u200c\u200d"  # parts of letters and emoji
MARK_COLOURS = {True: "#1B7837", False: "#B2182B", None: "#333333"}


class Line(NamedTuple):
    """One line of a trace: its stage (None before the first tag), text, mark and note.

    mark: True, False or None where nothing can be said; note: why, in a few words.
    """

    stage: Stage | None
    text: str
    mark: bool | None = None
    note: str = ""
    is_tag: bool = False


def read_lines(text: str, gold: str | None = None, wrong_step: int | None = None) -> list[Line]:
    """The lines of any text, as a trace would be read; never raises.

    gold: the right answer, None if not known: then results, answers and verdicts carry no
    mark. wrong_step: EXECUTE's first wrong step, where it is known from a teacher.
    """
    lines, stage, step = [], None, 0
    for raw in text.replace("\r\n", "\n").replace("\r", "\n").split("\n"):
        bare, mark, note = raw.strip(), None, ""
        opened, keyword, number = stage_of(raw), closing_of(raw), NUMBERED.match(raw)
        if opened:
            stage, step = opened, 0
            lines.append(Line(stage, bare, is_tag=True))
            continue
        if not bare:
            continue
        if keyword:
            step = 0
            if gold is not None:
                mark, note = _closing(keyword, bare, gold, read_claims(text), wrong_step)
        else:
            step = int(number[1]) if number else step
            if stage in (Stage.EXECUTE, Stage.VERIFY):
                mark, note = stated(raw)
            if stage is Stage.EXECUTE and number and step == wrong_step:
                mark, note = False, note or "not what this step should do"
        lines.append(Line(stage, bare if keyword else raw.rstrip(), mark, note))
    return lines


def _closing(keyword: str, bare: str, gold: str, claims: Claims, wrong_step: int | None
             ) -> tuple[bool, str]:
    """Mark and note of a closing line."""
    if keyword in (RESULT, ANSWER):
        right = same_answer(bare[len(keyword):].strip() or None, gold)
        return right, "" if right else f"right is {gold}"
    if not claims.verdict_readable:
        return False, "unreadable verdict"
    said = claims.verdict is not None
    if said == same_answer(claims.a1, gold):
        return False, "false alarm" if said else "missed error"
    if said and wrong_step is not None and claims.verdict != wrong_step:
        return False, f"the first wrong step is {wrong_step}"
    return True, ""


@dataclass(frozen=True)
class TraceView:
    """A trace as notebooks show it: HTML where that is possible, else plain text.

    marks: False leaves them and their notes out.
    """

    text: str
    question: str = ""
    gold: str | None = None
    wrong_step: int | None = None
    title: str = ""
    marks: bool = True

    @classmethod
    def of_row(cls, row: Mapping) -> TraceView:
        """The view of a row of generations.jsonl, its first wrong step where known.

        Raises ValueError for a row whose text may not be passed on.
        """
        if row.get("text") is None:
            raise GivenError(f"row {row.get('problem_id')} holds no text: its source keeps "
                             "the rights to it, so there is nothing to show")
        read = read_row(row)
        without = f", {SAID['sure']}" * read.unasked
        return cls(row["text"], row["question"], str(row["gold"]), read.wrong_step,
                   f"{row['problem_id']}, {row['setting']}{without}")

    @classmethod
    def of_trace(cls, trace: Trace, question: str = "", gold: str | None = None) -> TraceView:
        """The view of a `Trace`, e.g. of `nanoreason.solve`."""
        return cls(render_trace(trace), question, gold)

    @property
    def lines(self) -> list[Line]:
        """The trace's lines with their marks; see `read_lines`."""
        lines = read_lines(self.text, self.gold, self.wrong_step)
        return lines if self.marks else [line._replace(mark=None, note="") for line in lines]

    def html(self) -> str:
        """The trace as an HTML fragment: a coloured block a stage, a mark a line."""
        blocks: list[tuple[Stage | None, list[Line]]] = []
        for line in self.lines:
            if line.is_tag or not blocks:
                blocks.append((line.stage, []))
            blocks[-1][1].append(line)
        head = [f'<div style="color:#666666">{safe(self.title)}</div>' * bool(self.title),
                f'<p style="margin:4px 0 8px 0;white-space:pre-wrap">{safe(self.question)}</p>'
                * bool(self.question)]
        return box("".join([*head, *(_block(*block) for block in blocks)]))

    _repr_html_ = html

    def __repr__(self):
        head = [part for part in (self.title, self.question) if part]
        body = [f"{line.text}  {MARKS[line.mark]}" + (f" ({line.note})" if line.note else "")
                for line in self.lines]
        return "\n".join(part.rstrip() for part in (*head, *body))


def find_example(rows: Iterable[Mapping], setting: str, *, right: bool,
                 objects: bool) -> Mapping | None:
    """The first row of a setting with these outcomes and a text to show, None without one.

    right: whether the final answer is right; objects: whether the verdict is an error. An
    error that is found and repaired counts only where the step blamed is the wrong one, and a
    row whose VERIFY was left out has none to show.
    """
    for row in rows:
        if row["setting"] == setting and row.get("text") is not None:
            reading = read_row(row)
            if reading.unasked or (reading.second, reading.error) != (right, objects):
                continue
            if not (right and objects) or reading.blamed == reading.wrong_step:
                return row
    return None


def _block(stage: Stage | None, lines: Sequence[Line]) -> str:
    colour = stage.colour if stage else "#888888"
    rows = []
    for line in lines:
        if line.is_tag:
            rows.append(f'<div style="color:{colour};font-weight:bold">{safe(line.text)}</div>')
            continue
        mark = (f'<span style="color:{MARK_COLOURS[line.mark]};font-weight:bold">'
                f'{MARKS[line.mark]}</span> <span style="color:#666666">{safe(line.note)}</span>'
                if line.mark is not None else "")
        rows.append(f'<div style="white-space:pre-wrap;overflow-wrap:anywhere">'
                    f'{safe(line.text)} {mark}</div>')
    return (f'<div style="border-left:4px solid {colour};padding:1px 0 1px 8px;'
            f'margin:3px 0">{"".join(rows)}</div>')


def box(inside: str) -> str:
    """HTML on a ground of its own, whatever the theme of the page. inside: already safe."""
    return ('<div style="max-width:46em;font:13px/1.45 sans-serif;color:#222222;background:#ffffff;'
            f'padding:6px;overflow-wrap:anywhere">{inside}</div>')


def safe(text: object) -> str:
    """A text as it may stand in HTML, in an element or a quoted attribute: `visible`, and
    what would be markup escaped."""
    return html.escape(visible(text), quote=True)


def visible(text: object) -> str:
    """A text with characters that control rather than show written out: `␛`, `⟨U+202E⟩`.

    Such are nulls, escape sequences, changes of writing direction and halves of pairs.
    """
    return "".join(
        shown if shown in "\n\t" + JOINERS or unicodedata.category(shown) not in HIDDEN
        else chr(0x2400 + ord(shown)) if shown < " " else "␡" if shown == "\x7f"
        else f"⟨U+{ord(shown):04X}⟩" for shown in str(text))


WHAT = {"natural": "the model's own traces",
        **dict.fromkeys(GIVEN, "EXECUTE given, injected errors and clean")}  # by setting
CASES = {  # (a1 right, verdict an error, a2 right)
    (False, True, True): "found and repaired", (False, True, False): "found, not repaired",
    (False, False, True): "missed, yet right in the end", (False, False, False): "missed",
    (True, True, True): "false alarm, no harm done", (True, True, False): "spoiled",
    (True, False, True): "confirmed and kept", (True, False, False): "confirmed, then lost"}


def page(title: str, body: str, language: str = "en") -> str:
    """A whole HTML page that loads nothing. body: HTML already safe."""
    return _filled("page.html", language=language, title=safe(title), body=body)


def _filled(asset: str, **given: object) -> str:
    """The text of an asset with what is given in its places."""
    return paths.asset(asset).read_text(encoding="utf-8").format(**given)


def write_examples(run: Run, seed: int = SEED, each: int = 1) -> Path:
    """Write examples.html into a run's folder from its generations.jsonl; its path.

    each: traces shown of every case.
    """
    path = run.path("examples.html")
    write_text(path, examples_page(run.scan_generations()[0], run.name, seed, each))
    return path


def examples_page(rows: Iterable[Mapping], run: str, seed: int = SEED, each: int = 1) -> str:
    """The page as HTML, of the rows that can be scored."""
    parts: dict[tuple[str, str], dict[tuple, list[ScoredRow]]] = {}
    for row in read_rows(rows):
        if row.setting in WHAT:
            part = str(row.row.get("split") or "test"), WHAT[row.setting]
            cases = parts.setdefault(part, {case: [] for case in CASES})
            cases[row.first, row.error, row.second].append(row)
    sizes = {part: sum(map(len, cases.values())) for part, cases in parts.items()}
    small = max((n for (_, what), n in sizes.items() if what == WHAT["natural"]),
                default=0) < SMOKE_BELOW
    body = [_filled("examples.html", run=safe(run), seed=seed, each=each,
                    smoke="SMOKE run. " * small).rstrip("\n")]
    for part in sorted(parts, key=lambda part: ([*SPLITS, part[0]].index(part[0]), part[0],
                                                part[1] != WHAT["natural"])):
        body.append(f"<h2>{safe(part[0])}: {part[1]} (n={sizes[part]})</h2>")
        for case, members in parts[part].items():
            body.append(f"<h3>{describe(*case)}: {len(members)} of {sizes[part]}</h3>")
            shown = sorted((row for row in members if row.claims), key=lambda row: row.name)
            body += [TraceView.of_row(row.row).html() for row in
                     random.Random(seed).sample(shown, min(each, len(shown)))]
    return page(f"Example traces of {run}", "\n".join(body))


def describe(first: bool, error: bool, second: bool) -> str:
    """A case in words: `a1 wrong, VERIFY objects, a2 right (found and repaired)`."""
    return (f"a1 {'right' if first else 'wrong'}, VERIFY {'objects' if error else 'agrees'}, "
            f"a2 {'right' if second else 'wrong'} ({CASES[first, error, second]})")
