"""The stages of a trace, and how a text is cut into them.

A text is cut once, at its stage tags, into sections of lines; the strict reader
(`trace.parse_trace`) and the tolerant one (`trace.read_claims`) both start from there.
The tags may be `[PLAN]`, `#### PLAN ####` or `<PLAN>...</PLAN>`. Every function takes one
pass over the lines, and only a line break separates lines.
"""
from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import Enum


class Stage(Enum):
    """The four stages in their order; iterate over the class to get that order."""

    UNDERSTAND = "UNDERSTAND"
    PLAN = "PLAN"
    EXECUTE = "EXECUTE"
    VERIFY = "VERIFY"

    @property
    def tag(self) -> str:
        """The stage's tag as it stands on a line of its own, e.g. `[PLAN]`."""
        return f"[{self.value}]"

    @property
    def colour(self) -> str:
        """The stage's colour in every figure and page (hexadecimal RGB)."""
        return _COLOURS[self.value]


_COLOURS = {
    "UNDERSTAND": "#4477AA",
    "PLAN": "#332288",
    "EXECUTE": "#999933",
    "VERIFY": "#CC6677",
}
GROUPS = (*(stage.value.lower() for stage in Stage), "transition")  # a token's, in the loss
SETTINGS = ("natural", "injected", "clean", "intervened")  # a row's
SPLITS = ("test", "test_template", "test_ood")  # of procedural problems, for the scores
RESULT, VERDICT, ANSWER = CLOSINGS = ("Result:", "Verdict:", "Answer:")
_NAMES = "|".join(stage.value for stage in Stage)
MARKER = re.compile(
    rf"\[(?P<tag>{_NAMES})\]|#{{2,}}\s*(?P<header>{_NAMES})\s*#{{2,}}"
    rf"|<(?P<element>{_NAMES})>|</(?P<end>{_NAMES})>"
)
NUMBERED = re.compile(r"\s*([0-9]{1,9})\.(?:\s+(.*)|$)", re.DOTALL)
VERDICT_TEXT = re.compile(r"correct|step ([1-9][0-9]{0,5}) is wrong")


class TraceError(ValueError):
    """A text is no trace, or a trace cannot be built. `stage` and `reason` say why."""

    def __init__(self, stage: Stage, reason: str):
        super().__init__(stage, reason)  # both, so that it can cross processes
        self.stage = stage
        self.reason = reason

    def __str__(self):
        return f"{self.stage.value}: {self.reason}"


def closing_of(line: str) -> str | None:
    """The closing keyword that the line starts with, or None."""
    bare = line.lstrip()
    return next((keyword for keyword in CLOSINGS if bare.startswith(keyword)), None)


@dataclass
class Section:
    """The lines under one stage tag. form: "tag", "header" or "element"."""

    stage: Stage
    form: str
    lines: list[str] = field(default_factory=list)
    closed: bool = False


def cut_sections(text: str) -> tuple[list[Section], list[tuple[Stage, str]]]:
    """Cut a text at its stage tags: sections in order, problems a strict reader names."""
    sections, problems = [], []
    for line in text.replace("\r\n", "\n").replace("\r", "\n").split("\n"):
        bare = line.strip()
        marker = MARKER.match(bare)
        current = sections[-1] if sections else None
        if marker and marker.lastgroup != "end":
            current = Section(Stage[marker[marker.lastgroup]], marker.lastgroup)
            sections.append(current)
            line = bare = bare[marker.end():].strip()
            if bare and current.form != "element":
                problems.append((current.stage, f"text after the tag: {bare[:60]!r}"))
        if current is None or current.closed:
            if bare:
                stage = current.stage if current else Stage.UNDERSTAND
                where = "after" if current else "before"
                problems.append((stage, f"text {where} the stage: {bare[:60]!r}"))
            continue
        end = f"</{current.stage.value}>"
        if current.form == "element" and bare.endswith(end):
            current.closed = True
            line = line.rstrip()[: -len(end)]
        elif marker and marker.lastgroup == "end":
            problems.append((current.stage, f"stray {marker.group()}"))
            continue
        current.lines.append(line)
    for section in sections:
        if section.form == "element" and not section.closed:
            problems.append((section.stage, f"no </{section.stage.value}>"))
        if section.form != sections[0].form:
            first = sections[0].stage.value
            problems.append((section.stage, f"written in another form than {first}"))
    return sections, problems


def cut_closings(stage: Stage, lines: list[str], keywords: tuple[str, ...]) -> list:
    """Cut a stage at its closing lines into [lines, value, lines, value ...].

    The stage must have each of `keywords` once, in order, nothing after the last, and no
    other closing line; else TraceError.
    """
    places = [place for place, line in enumerate(lines) if closing_of(line)]
    found = [closing_of(lines[place]) for place in places]
    for keyword in CLOSINGS:
        count = found.count(keyword)
        if count and keyword not in keywords:
            raise TraceError(stage, f"`{keyword}` does not belong in this stage")
        if keyword in keywords and count != 1:
            lines_found = f"{count} `{keyword}` lines" if count else f"no `{keyword}` line"
            raise TraceError(stage, f"{lines_found}; there must be one")
    if found != list(keywords):
        raise TraceError(stage, f"closing lines out of order: {', '.join(found)}")
    parts, start = [], 0
    for place, keyword in zip(places, found):
        parts += [lines[start:place], lines[place].strip()[len(keyword):].strip()]
        start = place + 1
    after = " ".join(line.strip() for line in lines[start:] if line.strip())
    if found and after:
        raise TraceError(stage, f"text after `{found[-1]}`: {after[:60]!r}")
    return parts


def read_steps(stage: Stage, lines: list[str], first: int = 1) -> tuple[str, ...]:
    """The items of lines numbered from `first` on; an unnumbered line continues its item.

    Raises TraceError where a number is not the next one, or none stands at the start.
    """
    items = []
    for line in lines:
        match = NUMBERED.match(line)
        if match:
            expected = first + len(items)
            if int(match[1]) != expected:
                raise TraceError(
                    stage, f"step {expected} is numbered {match[1]}: {line[:60]!r}"
                )
            items.append([match[2] or ""])
        elif items:
            items[-1].append(line)
        elif line.strip():
            raise TraceError(stage, f"unnumbered step: {line.strip()[:60]!r}")
    return tuple("\n".join(item).strip() for item in items)


def first_closing(lines: list[str], keyword: str) -> tuple[int, str | None]:
    """Place and text of a closing keyword's first line; (len(lines), None) if none."""
    for place, line in enumerate(lines):
        bare = line.strip()
        if bare.startswith(keyword):
            return place, bare[len(keyword):].strip() or None
    return len(lines), None


def read_loose_steps(lines: list[str]) -> tuple[str, ...]:
    """Items of lines numbered in any way; lines before the first number count alone.

    Closing lines, second verdicts for example, belong to no item.
    """
    items, numbered = [], False
    for line in lines:
        if closing_of(line):
            continue
        match = NUMBERED.match(line)
        if match or not numbered:
            items.append([match[2] or "" if match else line])
            numbered = numbered or bool(match)
        else:
            items[-1].append(line)
    texts = ("\n".join(item).strip() for item in items)
    return tuple(text for text in texts if text)
