"""The teacher for problems whose solutions no rules can read: a language model.

One prompt (`assets/teacher_prompt.txt`) shows the form, the problem and its worked
solution; the model writes the four stages, and where its steps are plain arithmetic the
rules write VERIFY anew (see `verify_lines.with_rule_checks`). It is asked through an endpoint that speaks
OpenAI's chat protocol, or it runs here with transformers; `endpoint.Client` asks, tries
again and keeps what it answers. What it writes is text until `parse_trace` and the filter
have let it pass; nothing of it is run.
"""
from __future__ import annotations

from collections.abc import Iterable, Iterator, Sized
from dataclasses import dataclass, field

from nanoreason import paths
from nanoreason.data.problem import Problem, Rejection
from nanoreason.data.verify_lines import with_rule_checks
from nanoreason.endpoint import Client, Unavailable, request_sha256, text_of
from nanoreason.host import GivenError, progress
from nanoreason.trace import Trace, TraceError, parse_trace

PROMPT = "teacher_prompt.txt"
MAX_TOKENS = 2048
CHARACTERS = 16  # a token at most; a longer text was not bounded by max_tokens


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
        for name in ("attempts", "max_tokens"):
            if getattr(self, name) < 1:
                raise GivenError(f"{name} must be 1 or more, not {getattr(self, name)!r}")
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
