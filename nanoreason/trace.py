"""A worked answer in four stages, its one text form, and two readers of that form.

A trace goes UNDERSTAND, PLAN, EXECUTE, VERIFY. `render_trace` writes the one form that
training, generation, demo and model card share; `parse_trace` reads it back, strictly,
and also reads two older spellings of the stage tags (`#### PLAN ####` headers and
`<PLAN>...</PLAN>` elements). `read_claims` reads text that a model wrote: it takes what
it can and never fails, because a broken trace is a result to score, not an error.

Whatever could be mistaken for structure (a stage tag or a closing keyword at a line's
start, a continuation line that begins with `2. `) is refused when a `Trace` is built, so
`parse_trace(render_trace(t)) == t` holds for every trace that exists. Reading takes one
pass over the lines: a lone line break separates lines, no other character does.
"""
from __future__ import annotations

from dataclasses import dataclass

from nanoreason.stages import (ANSWER, MARKER, NUMBERED, RESULT, VERDICT, VERDICT_TEXT, Stage,
                               TraceError, closing_of, cut_closings, cut_sections,
                               first_closing, read_loose_steps, read_steps)


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
        if len(self.execute) > len(self.plan):
            raise TraceError(
                Stage.EXECUTE,
                f"{len(self.execute)} steps, but PLAN has only {len(self.plan)}",
            )
        self._require_verdict()

    def _require_verdict(self):
        if self.verdict is None:
            if self.repairs:
                raise TraceError(
                    Stage.VERIFY,
                    f"{len(self.repairs)} repairs without a step that is wrong; "
                    "`Verdict: correct` goes straight to `Answer:`",
                )
            return
        if not isinstance(self.verdict, int) or isinstance(self.verdict, bool):
            raise TraceError(
                Stage.VERIFY,
                f"verdict must be None or a step number, not {self.verdict!r}",
            )
        if not 1 <= self.verdict <= len(self.plan):
            raise TraceError(
                Stage.VERIFY,
                f"the verdict blames step {self.verdict}, but PLAN has the steps 1 to "
                f"{len(self.plan)}",
            )
        if len(self.checks) != self.verdict:
            raise TraceError(
                Stage.VERIFY,
                f"{len(self.checks)} checks, but the verdict blames step {self.verdict}; "
                "checks run up to the first wrong step and no further",
            )
        if not self.repairs:
            raise TraceError(
                Stage.VERIFY, f"no repair of step {self.verdict}, which is blamed"
            )


def _require_items(stage, name, items, lines=True, empty=False):
    if not isinstance(items, tuple):
        raise TraceError(stage, f"{name} must be a tuple of strings, not {items!r}")
    if not items and not empty:
        raise TraceError(stage, f"the stage is empty: {name} has no line")
    for position, item in enumerate(items, 1):
        _require_content(stage, f"{name} {position}", item, lines)


def _require_content(stage, name, text, lines=True):
    """Refuse content that a reader would take for structure, or that would not survive."""
    if not isinstance(text, str):
        raise TraceError(stage, f"{name} must be a string, not {text!r}")
    if not text.strip():
        raise TraceError(stage, f"{name} is empty")
    if text != text.strip() or "\r" in text:
        raise TraceError(
            stage,
            f"{name} has blanks at an end or a carriage return, strip it: {text[:60]!r}",
        )
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
    verdict = "correct" if trace.verdict is None else f"step {trace.verdict} is wrong"
    return "\n".join(
        [
            Stage.UNDERSTAND.tag, *trace.understand,
            Stage.PLAN.tag, *_number(trace.plan),
            Stage.EXECUTE.tag, *_number(trace.execute), f"{RESULT} {trace.result}",
            Stage.VERIFY.tag, *_number(trace.checks), f"{VERDICT} {verdict}",
            *_number(trace.repairs, trace.verdict or 1), f"{ANSWER} {trace.answer}",
        ]
    )


def _number(items, first=1):
    return [f"{number}. {item}" for number, item in enumerate(items, first)]


def parse_trace(text: str) -> Trace:
    """Read a text that is a trace and nothing else; raises TraceError where it is not.

    Accepted are `[STAGE]` tags, `#### STAGE ####` headers and `<STAGE>...</STAGE>`
    elements, one form throughout. Blank lines between steps do not matter.
    """
    sections, problems = cut_sections(text)
    found = [section.stage for section in sections]
    for stage in Stage:
        if found.count(stage) != 1:
            times = "is missing" if stage not in found else "appears more than once"
            raise TraceError(stage, f"the stage {times}")
    for stage, other in zip(found, Stage):
        if stage is not other:
            raise TraceError(
                stage, f"out of order: {stage.value} stands where {other.value} should"
            )
    if problems:
        raise TraceError(*problems[0])
    understand, plan, execute, verify = (section.lines for section in sections)
    cut_closings(Stage.UNDERSTAND, understand, ())
    cut_closings(Stage.PLAN, plan, ())
    steps, result = cut_closings(Stage.EXECUTE, execute, (RESULT,))
    checks, verdict, repairs, answer = cut_closings(Stage.VERIFY, verify, (VERDICT, ANSWER))
    read = VERDICT_TEXT.fullmatch(verdict)
    if not read:
        raise TraceError(
            Stage.VERIFY,
            f"unreadable verdict {verdict[:60]!r}; write `correct` or `step k is wrong`",
        )
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

    @property
    def blamed(self) -> int | None:
        """The step that the verdict blames (not checked against PLAN), or None."""
        return self.verdict


def read_claims(text: str) -> Claims:
    """Read any text as a trace would be read, first occurrences first; never raises.

    The grammar is that of `parse_trace`, but what is missing or broken is left out. An
    EXECUTE after the first VERIFY does not count: the route has switched by then.
    """
    sections, _ = cut_sections(text)
    found = [section.stage for section in sections]
    verify_at = found.index(Stage.VERIFY) if Stage.VERIFY in found else len(found)
    plan, execute, verify = [], [], []
    if Stage.PLAN in found[:verify_at]:
        plan = sections[found.index(Stage.PLAN)].lines
    if Stage.EXECUTE in found[:verify_at]:
        execute = sections[found.index(Stage.EXECUTE)].lines
    if verify_at < len(found):
        verify = sections[verify_at].lines
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
