"""Who writes the right traces: the rules, a language model, or a file of traces.

A teacher is an object whose method `teach` takes problems and yields a trace or a rejection
for each, in order. Rejections among the problems are passed on.

The language model is for problems whose solutions no rules can read. One prompt
(`assets/teacher_prompt.txt`) shows the form, the problem and its worked solution; the model
writes the four stages, and where its steps are plain arithmetic the rules write VERIFY anew (see
`verify_lines.with_rule_checks`). It is asked through an endpoint that speaks OpenAI's chat
protocol, or it runs here with transformers; `endpoint.Client` asks, tries again and keeps what
it answers. What it writes is text until `parse_trace` and the filter have let it pass; nothing
of it is run.
"""
from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sized
from dataclasses import dataclass, field, replace
from pathlib import Path

from nanoreason import paths
from nanoreason.data.columns import gold_value
from nanoreason.data.gsm8k.teacher import Unteachable, gsm8k_trace
from nanoreason.data.problem import Problem, Rejection, question_sha256, read_json_lines
from nanoreason.data.verify_lines import procedural_trace, with_rule_checks
from nanoreason.endpoint import (MAX_BYTES, SECONDS, Client, Unavailable, endpoint,
                                 request_sha256, text_of)
from nanoreason.host import GivenError, check_number, progress
from nanoreason.stages import ANSWER, RESULT, VERDICT, Stage
from nanoreason.trace import Trace, TraceError, cut_sections, parse_trace

TEACHERS = ("rules", "llm", "recorded")
TOKEN = "NANOREASON_TEACHER_TOKEN"
PROMPT = "teacher_prompt.txt"
MAX_TOKENS = 2048
CHARACTERS = 16  # a token at most; a longer text was not bounded by max_tokens


def teach(problems: Iterable[Problem | Rejection], teacher="rules"
          ) -> Iterator[Trace | Rejection]:
    """A right trace of each problem, or a `Rejection` that says why there is none.

    One result a problem, in order. teacher: "rules" works from the known steps of a
    procedural problem and from the annotated solution of a GSM8K record; else a teacher such
    as an `LlmTeacher` or a `RecordedTeacher`. Raises `ValueError` for anything else.
    """
    if hasattr(teacher, "teach"):
        return teacher.teach(problems)
    if teacher != "rules":
        raise GivenError(f"teacher {teacher!r} is unknown; give 'rules', an LlmTeacher or a "
                         "RecordedTeacher")
    return map(_by_rules, problems)


def _by_rules(problem: Problem | Rejection) -> Trace | Rejection:
    if isinstance(problem, Rejection):
        return problem
    if problem.steps:
        return procedural_trace(problem)
    try:
        return gsm8k_trace(problem)
    except Unteachable as error:
        return error.rejection(problem.id)


@dataclass
class LlmTeacher:
    """A model that writes traces.

    client: asks it; its name is part of each request. attempts: how often a problem is
    asked, each time with another seed, until an answer is a trace. max_tokens: of an answer.
    """

    client: Client
    attempts: int = 2
    max_tokens: int = MAX_TOKENS
    prompt: str = field(init=False, repr=False)

    def __post_init__(self):
        check_number(int, 1, attempts=self.attempts, max_tokens=self.max_tokens)
        self.prompt = paths.asset(PROMPT).read_text(encoding="utf-8")

    def teach(self, problems: Iterable[Problem | Rejection]) -> Iterator[Trace | Rejection]:
        """One trace or rejection a problem, in order, several problems at one time.

        Reason codes: `llm/no_answer` (every try failed), `llm/refused`, `llm/empty`,
        `llm/too_long`, `llm/not_a_trace`. Raises `EndpointError` where the endpoint refuses
        all requests or answers none of several in a row.
        """
        total = len(problems) if isinstance(problems, Sized) else None
        return iter(progress(self.client.map(self.teach_one, problems), total=total,
                             desc=f"asking {self.client.name}", unit="problem"))

    def teach_one(self, problem: Problem | Rejection) -> Trace | Rejection:
        """The first of the answers that is a trace, else why there is none."""
        if isinstance(problem, Rejection):
            return problem
        for attempt in range(self.attempts):
            request = self.request(problem, attempt)
            place = f"{self.client.name}, request {request_sha256(request)[:16]}"
            try:
                text = _written(text_of(self.client.ask(request)))
            except (Unavailable, ValueError) as error:
                code = "no_answer" if isinstance(error, Unavailable) else "refused"
                return Rejection(problem.id, f"llm/{code}", place, str(error)[:300])
            try:
                if len(text) <= CHARACTERS * self.max_tokens:
                    return with_rule_checks(parse_trace(text), problem.id)
                code, detail = "too_long", f"{len(text)} characters"
            except TraceError as error:
                code, detail = "not_a_trace" if text else "empty", str(error)[:300]
        return Rejection(problem.id, f"llm/{code}", place, detail)

    def request(self, problem: Problem, attempt: int = 0) -> dict:
        """The request for a problem, a mapping that JSON can hold."""
        solution = problem.details.get("worked") or "\n".join(
            step for _, step in problem.details.get("solution", ())) or "(none is given)"
        asked = (f"Problem: {problem.question}\n\nWorked solution: {solution}\n\n"
                 f"Answer: {problem.answer}")
        return {"model": self.client.name, "max_tokens": self.max_tokens, "temperature": 0.0
                if attempt == 0 else 0.7, "seed": attempt,
                "messages": [{"role": "system", "content": self.prompt},
                             {"role": "user", "content": asked}]}


def _written(text: str) -> str:
    """Without a model's thinking before it and the code fence around what it was asked for."""
    lines = text.rpartition("</think>")[2].strip().split("\n")
    fenced = len(lines) > 2 and lines[0].startswith("```") and lines[-1].strip() == "```"
    return "\n".join(lines[1:-1] if fenced else lines)


class RulesFirst:
    """The rules where they can, and another teacher for what they refuse."""

    def __init__(self, other):
        self.other = other

    def teach(self, problems: Iterable[Problem | Rejection]) -> Iterator[Trace | Rejection]:
        """One trace or rejection a problem, in order."""
        pairs = [(problem, _by_rules(problem)) for problem in problems]
        # A rejection among the problems is passed on by every teacher.
        answers = iter(self.other.teach([problem for problem, found in pairs
                                         if isinstance(found, Rejection)]))
        for _, found in pairs:
            yield next(answers) if isinstance(found, Rejection) else found


class RecordedTeacher:
    """The traces of one file, by question.

    Two layouts, told apart line by line: this project's own prepared traces
    (`problem.FIELDS`) and the original study's eight fields (`id`, `question`,
    `original_solution`, `cot_4steps`, `model_prediction`, `ground_truth`, `is_correct`,
    `full_response`), stages in any of the tag styles that `parse_trace` reads, steps in the
    layouts that `_laid_out` names. Where the steps hold numbers the rules write VERIFY anew (see
    `verify_lines.with_rule_checks`).

    found: by hash of the question, the first record that is a trace, or why the last one is
    none. counts: records read, usable, repeated (another record of a question that has a
    trace), and refused by reason.
    """

    def __init__(self, path: str | Path):
        self.found: dict[str, Trace | Rejection] = {}
        self.counts: Counter[str] = Counter(read=0, usable=0, repeated=0)
        for number, record in read_json_lines(path):
            self.counts["read"] += 1
            self.counts[self._take(record, f"{Path(path).name} line {number}")] += 1

    def _take(self, record: dict | Rejection, place: str) -> str:
        """Note a record and return what it counts as."""
        if isinstance(record, Rejection):
            return f"recorded/{record.reason}"
        question = record.get("question")
        if not isinstance(question, str) or not question.strip():
            return "recorded/no_question"
        key = question_sha256(question)
        if isinstance(self.found.get(key), Trace):
            return "repeated"
        try:
            self.found[key] = _read(record)
            return "usable"
        except TraceError as error:
            reason = "recorded/not_a_trace"
            self.found[key] = Rejection("", reason, place, str(error)[:300])
            return reason

    def teach(self, problems: Iterable[Problem | Rejection]) -> Iterator[Trace | Rejection]:
        """One trace or rejection a problem, in order: `recorded/missing` where the file has
        nothing about the question, `recorded/not_a_trace` where it has no usable trace."""
        missing = Rejection("", "recorded/missing", "", "no record of its question")
        for problem in problems:
            if isinstance(problem, Rejection):
                yield problem
                continue
            found = self.found.get(question_sha256(problem.question), missing)
            yield with_rule_checks(found, problem.id) if isinstance(found, Trace) \
                else replace(found, problem_id=problem.id)


def _read(record: dict) -> Trace:
    """The trace of a record: its text as it stands, else its stages put together.

    Raises TraceError with the first reason and the layout in which the steps stand.
    """
    stages, text = record.get("cot_4steps"), record.get("trace") or record.get("full_response")
    if isinstance(text, str) and text.strip():
        try:
            return parse_trace(text)
        except TraceError:
            if not isinstance(stages, dict):
                stages = {s.stage.value.lower(): "\n".join(s.lines)
                          for s in cut_sections(text)[0]}
                if len(stages) < len(Stage):
                    raise
    if not isinstance(stages, dict):
        raise TraceError(Stage.UNDERSTAND, "the record has neither `trace`, `full_response` "
                                           "nor `cot_4steps`")
    # These records state the outcome in fields of their own: what a line would say is there.
    right = record.get("is_correct") is True
    outcome = gold_value(str(record.get("model_prediction", ""))) if right else None

    def stated(closings: dict[str, str], keyword: str) -> str:
        value = closings.get(keyword, "").rstrip(".")
        return gold_value(value) or value or outcome or ""

    laid = [_laid_out(str(stages.get(stage.value.lower()) or "")) for stage in Stage]
    (understand, _, _), (plan, _, _), (execute, worked, _), (checks, verified, _) = laid
    verdict = verified.get(VERDICT, "correct" if right else "none").rstrip(".")
    try:
        if verdict.lower() not in ("correct", "đúng"):
            raise TraceError(Stage.VERIFY, f"the verdict must be `correct`, not {verdict[:60]!r}")
        return Trace(understand, plan, execute, stated(worked, RESULT), checks, None, (),
                     stated(verified, ANSWER))
    except TraceError as error:
        layout = ", ".join(f"{stage.value} {name}" for stage, (_, _, name) in zip(Stage, laid))
        raise TraceError(error.stage, f"{error.reason} (layout: {layout})") from error


_BULLET = re.compile(r"^[-*•–+][ \t]+(?!\d+ *=)")
_STEP = re.compile(r"\*{0,2}(?:(?P<word>step|bước)\s*[0-9]+\s*(?:[:.)-]|\*\*)"
                   r"|(?P<number>\(?[0-9]+[.)])(?=\s))\s*\*{0,2}\s*:?\s*", re.IGNORECASE)
_CLOSING = re.compile(r"\*{0,2}(?:final\s+)?"
                      r"(?P<word>result|kết quả|answer|đáp số|đáp án|verdict|kết luận)"
                      r"\*{0,2}\s*:\s*\*{0,2}\s*(?P<value>.*)", re.IGNORECASE)
_CLOSES = {"result": RESULT, "kết quả": RESULT, "verdict": VERDICT, "kết luận": VERDICT}
# Where a step or a closing line begins inside a line.
_INSIDE = re.compile(r"(?<=[^\s*•–-])[ \t]+(?=\*{0,2}(?:(?:step|bước)\s*[0-9]+\s*[:.)]"
                     r"|(?:result|answer|verdict|kết quả|đáp số)\s*:))"
                     r"|[ \t]*;[ \t]+(?=[0-9]+[.)]\s)"
                     r"|(?<=[.;✓])[ \t]+(?=[0-9]+[.)]\s)", re.IGNORECASE)


def _laid_out(text: str) -> tuple[tuple[str, ...], dict[str, str], str]:
    """(steps, closing lines by keyword, the layout's name) of a stage of the original study.

    Steps are numbered, headed `Step k:` or `Bước k:`, bullets, or lines, several of them perhaps
    on one line; a line without a mark goes on with the step before it where there are marks.
    """
    lines, steps, closings = [], [], {}
    for line in _INSIDE.sub("\n", text).split("\n"):
        bullet = _BULLET.match(line.strip())
        bare = line.strip()[bullet.end() if bullet else 0:].strip()
        closing, step = _CLOSING.fullmatch(bare), _STEP.match(bare)
        if closing and closing["value"].strip():
            keyword = _CLOSES.get(closing["word"].lower(), ANSWER)
            closings[keyword] = closing["value"].strip().rstrip("*").strip()
        elif bare and not re.fullmatch(r"\$*\\boxed\{.*\}\$*\.?", bare):
            name = ((f"`{step['word']} k:` lines" if step["word"] else "numbered lines") if step
                    else "bullets" if bullet else "")
            lines.append((name, bare[step.end() if step else 0:].strip()))
    marks = [name for name, _ in lines if name]
    for name, bare in lines:
        if marks and not name and steps:
            steps[-1] += f" {bare}"
        elif bare:
            steps.append(bare)
    layout = marks[0] if marks else "one line" if len(lines) == 1 else "lines"
    return tuple(steps), closings, layout


def choose_teacher(name: str, model: str | None = None, url: str | None = None,
                   path: str | None = None, parallel: int = 4,
                   local: Callable[[str], Callable[[dict], str]] | None = None,
                   seconds: float = SECONDS, max_bytes: int = MAX_BYTES):
    """What `teach` and `prepare` take as `teacher`, from a notebook's parameters.

    name: "rules"; "llm": the rules first, then the language model `model` at the endpoint
    `url` (None: the hub's providers; "local": on this machine, by what `local` makes of the
    model's name, see `model.base.chat`); "recorded": the traces of the file `path` alone.
    seconds, max_bytes: of one try and of its answer. The endpoint's token is read from the
    environment, `NANOREASON_TEACHER_TOKEN`. Raises `ValueError` for what is missing.
    """
    if name == "rules":
        return name
    if name == "recorded":
        if not path:
            raise GivenError("teacher 'recorded' reads its traces from a file: give teacher_path")
        return RecordedTeacher(path)
    if name != "llm":
        raise GivenError(f"teacher {name!r} is unknown; choose one of {', '.join(TEACHERS)}")
    if not model:
        raise GivenError("teacher 'llm' needs the name of a model: give teacher_model")
    folder = paths.BUILD / "teacher" / re.sub(r"[^\w.-]+", "-", model)
    if url == "local":
        if local is None:
            raise GivenError("teacher_url 'local' needs `local`: give model.base.chat")
        complete, parallel = local(model), 1
    else:
        complete = endpoint(url, os.environ.get(TOKEN), seconds, max_bytes)
    return RulesFirst(LlmTeacher(Client(model, complete, folder, parallel)))
