"""A worked answer in four stages, its one text form, and two readers of that form.

A trace goes UNDERSTAND, PLAN, EXECUTE, VERIFY. `render_trace` writes the one form that
training, generation, demo and model card share; `parse_trace` reads it back, strictly,
and also reads two older spellings of the stage tags (`#### PLAN ####` headers and
`<PLAN>...</PLAN>` elements). `read_claims` reads text that a model wrote: it takes what
it can and never fails, because a broken trace is a result to score, not an error.

Whatever could be mistaken for structure (a stage tag or a closing keyword at a line's
start, a continuation line that begins with `2. `) is refused when a `Trace` is built, so
`parse_trace(render_trace(t)) == t` holds for every trace that exists. A text is cut once, at
its stage tags, into sections of lines, from which both readers start. Reading takes one
pass over the lines: a lone line break separates lines, no other character does.
"""
from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import takewhile

from nanoreason.host import Told, check_type
from nanoreason.stages import (ANSWER, CLOSINGS, MARKER, NUMBERED, RESULT, VERDICT, VERDICT_TEXT,
                               Stage)


class TraceError(Told, ValueError):
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


def stage_of(line: str) -> Stage | None:
    """The stage whose tag the line starts with, or None."""
    marker = MARKER.match(line.strip())
    return Stage[marker[marker.lastgroup]] if marker and marker.lastgroup != "end" else None


def before_verify(text: str) -> str:
    """A text up to its first VERIFY tag, which is left out; all of it where there is none."""
    lines = takewhile(lambda line: stage_of(line) is not Stage.VERIFY, text.split("\n"))
    return "".join(f"{line}\n" for line in lines)


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
        _require(not count or keyword in keywords, stage,
                 f"`{keyword}` does not belong in this stage")
        _require(count == 1 or keyword not in keywords, stage,
                 (f"{count} `{keyword}` lines" if count else f"no `{keyword}` line")
                 + "; there must be one")
    _require(found == list(keywords), stage, f"closing lines out of order: {', '.join(found)}")
    parts, start = [], 0
    for place, keyword in zip(places, found):
        parts += [lines[start:place], lines[place].strip()[len(keyword):].strip()]
        start = place + 1
    after = " ".join(line.strip() for line in lines[start:] if line.strip())
    _require(not (found and after), stage, f"text after `{(found or [''])[-1]}`: {after[:60]!r}")
    return parts


def _items(lines: Iterable[str]) -> list[tuple[int | None, str]]:
    """(number, text) of numbered lines; an unnumbered line continues its item, or is one of its
    own, without a number, where none stands before it."""
    items: list[tuple[int | None, list[str]]] = []
    for line in lines:
        match = NUMBERED.match(line)
        if match:
            items.append((int(match[1]), [match[2] or ""]))
        elif items and items[-1][0] is not None:
            items[-1][1].append(line)
        else:
            items.append((None, [line]))
    return [(number, "\n".join(item).strip()) for number, item in items]


def read_steps(stage: Stage, lines: list[str], first: int = 1) -> tuple[str, ...]:
    """The items of lines numbered from `first` on; an unnumbered line continues its item.

    Raises TraceError where a number is not the next one, or none stands at the start.
    """
    items = [(number, text) for number, text in _items(lines) if number is not None or text]
    for expected, (number, text) in enumerate(items, first):
        if number != expected:
            said = "unnumbered step" if number is None else f"step {expected} is numbered {number}"
            raise TraceError(stage, f"{said}: {text[:60]!r}")
    return tuple(text for _, text in items)


def first_closing(lines: list[str], keyword: str) -> tuple[int, str | None]:
    """Place and text of a closing keyword's first line; (len(lines), None) if none."""
    for place, line in enumerate(lines):
        if closing_of(line) == keyword:
            return place, line.strip()[len(keyword):].strip() or None
    return len(lines), None


def read_loose_steps(lines: list[str]) -> tuple[str, ...]:
    """Items of lines numbered in any way; lines before the first number count alone.

    Closing lines, second verdicts for example, belong to no item.
    """
    return tuple(text for _, text in _items(line for line in lines if not closing_of(line))
                 if text)


@dataclass(frozen=True)
class Trace:
    """One worked answer; every part is text without its number or keyword.

    understand: the body lines of UNDERSTAND, one line each.
    plan, execute: the steps; EXECUTE may have fewer (a skipped step), never more.
    result: what EXECUTE states after `Result:` (a1), one line.
    checks: VERIFY's checks; as many as the blamed step's number where one is blamed.
    verdict: None for "correct", k >= 1 for "step k is wrong" (k counts PLAN's steps).
    repairs: the steps done again, numbered from `verdict` on; () if it is None.
    answer: what VERIFY states after `Answer:` (a2), one line.

    Steps, checks and repairs may span several lines (prose, LaTeX). Raises TraceError.
    """

    understand: tuple[str, ...]
    plan: tuple[str, ...]
    execute: tuple[str, ...]
    result: str
    checks: tuple[str, ...]
    verdict: int | None
    repairs: tuple[str, ...]
    answer: str

    def __post_init__(self):
        _require_items(Stage.UNDERSTAND, "understand", self.understand, lines=False)
        _require_items(Stage.PLAN, "plan", self.plan)
        _require_items(Stage.EXECUTE, "execute", self.execute)
        _require_content(Stage.EXECUTE, "result", self.result, lines=False)
        _require_items(Stage.VERIFY, "checks", self.checks)
        _require_items(Stage.VERIFY, "repairs", self.repairs, empty=True)
        _require_content(Stage.VERIFY, "answer", self.answer, lines=False)
        steps = len(self.plan)
        _require(len(self.execute) <= steps, Stage.EXECUTE,
                 f"{len(self.execute)} steps, but PLAN has only {steps}")
        if self.verdict is None:
            _require(not self.repairs, Stage.VERIFY,
                     f"{len(self.repairs)} repairs without a step that is wrong; "
                     "`Verdict: correct` goes straight to `Answer:`")
            return
        _require(isinstance(self.verdict, int) and not isinstance(self.verdict, bool),
                 Stage.VERIFY, f"verdict must be None or a step number, not {self.verdict!r}")
        _require(1 <= self.verdict <= steps, Stage.VERIFY,
                 f"the verdict blames step {self.verdict}, but PLAN has the steps 1 to {steps}")
        _require(len(self.checks) == self.verdict, Stage.VERIFY,
                 f"{len(self.checks)} checks, but the verdict blames step {self.verdict}; "
                 "checks run up to the first wrong step and no further")
        _require(self.repairs, Stage.VERIFY, f"no repair of step {self.verdict}, which is blamed")


def _require(holds, stage: Stage, reason: str) -> None:
    if not holds:
        raise TraceError(stage, reason)


def _require_items(stage, name, items, lines=True, empty=False):
    _require(isinstance(items, tuple), stage, f"{name} must be a tuple of strings, not {items!r}")
    _require(items or empty, stage, f"the stage is empty: {name} has no line")
    for position, item in enumerate(items, 1):
        _require_content(stage, f"{name} {position}", item, lines)


def _require_content(stage, name, text, lines=True):
    """Refuse content that a reader would take for structure, or that would not survive."""
    if not isinstance(text, str):
        raise TraceError(stage, f"{name} must be a string, not {text!r}")
    if not text.strip():
        raise TraceError(stage, f"{name} is empty")
    if text != text.strip() or "\r" in text:
        raise TraceError(stage, f"{name} has blanks at an end or a carriage return, strip it: "
                                f"{text[:60]!r}")
    if not lines and "\n" in text:
        raise TraceError(stage, f"{name} must be one line: {text[:60]!r}")
    for line in text.split("\n"):
        marker = MARKER.match(line.strip())
        structure = marker.group() if marker else closing_of(line)
        if structure:
            raise TraceError(stage, f"{name} has {structure!r} at a line's start")
        if lines and NUMBERED.match(line):
            raise TraceError(stage, f"{name} has a numbered line in it: {line[:60]!r}")


def render_trace(trace: Trace) -> str:
    """The text form of a trace, without a line break at its end."""
    check_type(Trace, "a Trace, as parse_trace reads it from a text", trace=trace)
    return "\n".join([
        Stage.UNDERSTAND.tag, *trace.understand,
        Stage.PLAN.tag, *_number(trace.plan),
        Stage.EXECUTE.tag, *_number(trace.execute), f"{RESULT} {trace.result}",
        render_verify(trace.checks, trace.verdict or "correct", trace.repairs, trace.answer)])


def render_verify(checks: Sequence[str], verdict: int | str | None, repairs: Sequence[str],
                  answer: str | None) -> str:
    """The text of VERIFY, tag included, whole or not.

    verdict: the step blamed, "correct", or None for no verdict line; answer: None for no
    answer line. Repairs are numbered from the step blamed.
    """
    lines = [Stage.VERIFY.tag, *_number(checks)]
    if verdict is not None:
        blames = isinstance(verdict, int)
        lines.append(f"{VERDICT} " + (f"step {verdict} is wrong" if blames else verdict))
    lines += _number(repairs, verdict if isinstance(verdict, int) else 1)
    if answer is not None:
        lines.append(f"{ANSWER} {answer}")
    return "\n".join(lines)


def _number(items, first=1):
    return [f"{number}. {item}" for number, item in enumerate(items, first)]


def parse_trace(text: str) -> Trace:
    """Read a text that is a trace and nothing else; raises TraceError where it is not.

    Accepted are `[STAGE]` tags, `#### STAGE ####` headers and `<STAGE>...</STAGE>`
    elements, one form throughout. Blank lines between steps do not matter.
    """
    check_type(str, "the text of a trace", text=text)
    sections, problems = cut_sections(text)
    found = [section.stage for section in sections]
    for stage in Stage:
        _require(stage in found, stage, "the stage is missing")
        _require(found.count(stage) == 1, stage, "the stage appears more than once")
    for stage, other in zip(found, Stage):
        _require(stage is other, stage,
                 f"out of order: {stage.value} stands where {other.value} should")
    if problems:
        raise TraceError(*problems[0])
    understand, plan, execute, verify = (section.lines for section in sections)
    cut_closings(Stage.UNDERSTAND, understand, ())
    cut_closings(Stage.PLAN, plan, ())
    steps, result = cut_closings(Stage.EXECUTE, execute, (RESULT,))
    checks, verdict, repairs, answer = cut_closings(Stage.VERIFY, verify, (VERDICT, ANSWER))
    read = VERDICT_TEXT.fullmatch(verdict)
    _require(read, Stage.VERIFY,
             f"unreadable verdict {verdict[:60]!r}; write `correct` or `step k is wrong`")
    blamed = int(read[1]) if read[1] else None
    return Trace(
        understand=tuple(line.strip() for line in understand if line.strip()),
        plan=read_steps(Stage.PLAN, plan),
        execute=read_steps(Stage.EXECUTE, steps),
        result=result,
        checks=read_steps(Stage.VERIFY, checks),
        verdict=blamed,
        repairs=read_steps(Stage.VERIFY, repairs, blamed or 1),
        answer=answer,
    )


@dataclass(frozen=True)
class Claims:
    """What a model's text claims, as far as it can be read.

    a1: the text after EXECUTE's first `Result:`, None if missing or empty.
    verdict: the blamed step's number; None for "correct" and where it cannot be read.
    verdict_readable: False where VERIFY has no verdict, or not one of the two forms.
    a2: the text after VERIFY's first `Answer:`, None if missing or empty.
    reached_verify: whether a VERIFY tag stands in the text.
    plan, execute, checks, repairs: lines without numbers, however they are numbered.
    """

    a1: str | None
    verdict: int | None
    verdict_readable: bool
    a2: str | None
    reached_verify: bool
    plan: tuple[str, ...]
    execute: tuple[str, ...]
    checks: tuple[str, ...]
    repairs: tuple[str, ...]


def read_claims(text: str) -> Claims:
    """Read any text as a trace would be read, first occurrences first; never raises.

    The grammar is that of `parse_trace`, but what is missing or broken is left out. An
    EXECUTE after the first VERIFY does not count: the route has switched by then.
    """
    sections, _ = cut_sections(text)
    found = [section.stage for section in sections]
    verify_at = found.index(Stage.VERIFY) if Stage.VERIFY in found else len(found)
    verify = sections[verify_at].lines if verify_at < len(found) else []
    plan, execute = (next((s.lines for s in sections[:verify_at] if s.stage is stage), [])
                     for stage in (Stage.PLAN, Stage.EXECUTE))
    result_at, a1 = first_closing(execute, RESULT)
    answer_at, a2 = first_closing(verify, ANSWER)
    verdict_at, verdict = first_closing(verify, VERDICT)
    read = VERDICT_TEXT.fullmatch(verdict or "")
    return Claims(
        a1=a1,
        verdict=int(read[1]) if read and read[1] else None,
        verdict_readable=read is not None,
        a2=a2,
        reached_verify=verify_at < len(found),
        plan=read_loose_steps(plan),
        execute=read_loose_steps(execute[:result_at]),
        checks=read_loose_steps(verify[: min(verdict_at, answer_at)]),
        repairs=read_loose_steps(verify[verdict_at + 1 : answer_at]),
    )
