"""The teacher for problems whose solutions no rules can read: a language model.

One prompt (`assets/teacher_prompt.txt`) shows the form, the problem and its worked
solution; the model writes the four stages, and where its steps are plain arithmetic the
rules write VERIFY anew (see `verify_lines.with_rule_checks`). It is asked through an endpoint that speaks
OpenAI's chat protocol, or it runs here with transformers. What it writes is text until
`parse_trace` and the filter have let it pass; nothing of it is run.

Every answer is kept on disk under the hash of its request, as it came: a run that was
stopped goes on where it was, and a second run with the same prompt asks nothing.
"""
from __future__ import annotations

import hashlib
import json
import random
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sized
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from threading import Lock

from nanoreason import paths
from nanoreason.data.problem import Problem, Rejection
from nanoreason.data.verify_lines import with_rule_checks
from nanoreason.files import to_json, write_json
from nanoreason.stages import TraceError
from nanoreason.trace import Trace, parse_trace

PROMPT = "teacher_prompt.txt"
MAX_TOKENS = 2048
LONGEST_WAIT = 60.0  # seconds between two tries
GIVE_UP_AFTER = 8  # problems in a row that the endpoint has failed
TRY_AGAIN = {408, 409, 425, 429, 500, 502, 503, 504, 529}  # of statuses
REFUSED_FOR_ALL = {401, 403, 404, 405}


class TeacherError(RuntimeError):
    """The model cannot be asked at all; the message says why and that nothing is lost."""


class Unavailable(Exception):
    """One try has failed and another may succeed. seconds: what the server asks to wait."""

    def __init__(self, reason: str, seconds: float | None = None):
        super().__init__(reason)
        self.seconds = seconds


class Refused(ValueError):
    """The server refuses this very request; another problem's may be fine."""


@dataclass
class LlmTeacher:
    """A model that writes traces.

    model: its name, part of each request. complete: sends one request (a mapping in the
    form of OpenAI's chat completions) and returns the answer as a mapping; raises
    `Unavailable`, `Refused` (or another ValueError) or `TeacherError`. cache: folder of the
    kept answers. parallel: requests under way at one time. attempts: how often a problem is
    asked, each time with another seed, until an answer is a trace. retries: tries of one
    request after the first, with waits that double from `wait` seconds, at random by a
    quarter. sleep: how it waits, in seconds.
    """

    model: str
    complete: Callable[[dict], dict]
    cache: Path
    parallel: int = 4
    attempts: int = 2
    retries: int = 5
    wait: float = 1.0
    max_tokens: int = MAX_TOKENS
    sleep: Callable[[float], None] = time.sleep
    asked: int = field(default=0, init=False)  # answers that were not in the cache
    _failed: int = field(default=0, init=False)
    _lock: Lock = field(default_factory=Lock, init=False, repr=False)

    def __post_init__(self):
        for name, least in (("parallel", 1), ("attempts", 1), ("retries", 0)):
            if getattr(self, name) < least:
                raise ValueError(f"{name} must be {least} or more, not {getattr(self, name)!r}")
        self.prompt = paths.asset(PROMPT).read_text(encoding="utf-8")

    def teach(self, problems: Iterable[Problem | Rejection]) -> Iterator[Trace | Rejection]:
        """One trace or rejection a problem, in order, `parallel` problems at a time.

        Reason codes: `llm/no_answer` (every try failed), `llm/refused`, `llm/empty`,
        `llm/not_a_trace`. Raises `TeacherError` where the endpoint refuses all requests or
        fails GIVE_UP_AFTER problems in a row.
        """
        from tqdm.auto import tqdm  # warns in a kernel without widgets, so only when a bar is shown

        total = len(problems) if isinstance(problems, Sized) else None
        problems, waiting = iter(problems), deque()
        with (ThreadPoolExecutor(self.parallel) as pool,
              tqdm(desc=f"asking {self.model}", unit="problem", total=total) as bar):
            while True:
                for problem in islice(problems, 2 * self.parallel - len(waiting)):
                    waiting.append(pool.submit(self.teach_one, problem))
                if not waiting:
                    return
                yield waiting.popleft().result()
                bar.update()

    def teach_one(self, problem: Problem | Rejection) -> Trace | Rejection:
        """The first of the answers that is a trace, else why there is none."""
        if isinstance(problem, Rejection):
            return problem
        rejection = None
        for attempt in range(self.attempts):
            request = self.request(problem, attempt)
            place = f"{self.model}, request {request_hash(request)[:16]}"
            try:
                text = self._answer(request)
            except (Unavailable, ValueError) as error:
                code = "no_answer" if isinstance(error, Unavailable) else "refused"
                return Rejection(problem.id, f"llm/{code}", place, str(error)[:300])
            try:
                return with_rule_checks(parse_trace(_unfenced(text)), problem.id)
            except TraceError as error:
                code = "not_a_trace" if text.strip() else "empty"
                rejection = Rejection(problem.id, f"llm/{code}", place, str(error)[:300])
        return rejection

    def request(self, problem: Problem, attempt: int = 0) -> dict:
        """The request for a problem, a mapping that JSON can hold."""
        solution = problem.details.get("worked") or "\n".join(
            step for _, step in problem.details.get("solution", ())) or "(none is given)"
        asked = (f"Problem: {problem.question}\n\nWorked solution: {solution}\n\n"
                 f"Answer: {problem.answer}")
        return {"model": self.model, "max_tokens": self.max_tokens, "temperature": 0.0
                if attempt == 0 else 0.7, "seed": attempt,
                "messages": [{"role": "system", "content": self.prompt},
                             {"role": "user", "content": asked}]}

    def _answer(self, request: dict) -> str:
        """The text of an answer, from the cache or else from the model."""
        key = request_hash(request)
        path = self.cache / key[:2] / f"{key}.json"
        try:
            return _text_of(json.loads(path.read_text(encoding="utf-8"))["answer"])
        except (OSError, ValueError, KeyError, TypeError, Unavailable):
            pass  # not there, or damaged: ask (again)
        answer = self._ask(request)
        write_json(path, {"request": request, "answer": answer,
                          "received": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())})
        return _text_of(answer)

    def _ask(self, request: dict) -> dict:
        for attempt in range(self.retries + 1):
            with self._lock:
                if self._failed >= GIVE_UP_AFTER:
                    raise TeacherError(
                        f"{self.model}: {self._failed} problems in a row got no answer; what "
                        f"was answered is kept in {paths.relative(self.cache)}, so start "
                        "again to go on")
            try:
                answer = self.complete(request)
                _text_of(answer)
            except Unavailable as error:
                if attempt == self.retries:
                    with self._lock:
                        self._failed += 1
                    raise
                pause = max(error.seconds or 0.0, self.wait * 2**attempt)
                self.sleep(min(pause, LONGEST_WAIT) * random.uniform(0.75, 1.25))
            else:
                with self._lock:
                    self.asked, self._failed = self.asked + 1, 0
                return answer
        raise AssertionError("unreachable: the last try returns or raises")


def request_hash(request: dict) -> str:
    """Hexadecimal sha256 of a request, whatever the order of its fields."""
    return hashlib.sha256(to_json(dict(sorted(request.items()))).encode()).hexdigest()


def _text_of(answer: dict) -> str:
    """The text of a chat completion; `Unavailable` where it is none. No text is ""."""
    try:
        text = answer["choices"][0]["message"]["content"]
    except (KeyError, IndexError, TypeError) as error:
        raise Unavailable(f"the answer is no chat completion: {answer!r:.120}") from error
    return text if isinstance(text, str) else ""


def _unfenced(text: str) -> str:
    """Without the code fence that some models put around what they were asked for."""
    lines = text.strip().split("\n")
    fenced = len(lines) > 2 and lines[0].startswith("```") and lines[-1].strip() == "```"
    return "\n".join(lines[1:-1] if fenced else lines)


def endpoint(url: str | None, token: str | None = None, timeout: float = 120.0
             ) -> Callable[[dict], dict]:
    """Requests go to an OpenAI-compatible endpoint, or to the hub's providers if url is None.

    url: up to and without `/chat/completions`. token: of the endpoint; without one, none is
    sent: the hub's own token goes to the hub alone. timeout: seconds without a byte.
    """
    from huggingface_hub import InferenceClient
    from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled

    if token is None and url is not None:
        token = "none"
    client = InferenceClient(base_url=url, token=token, timeout=timeout)

    def complete(request: dict) -> dict:
        try:
            return json.loads(json.dumps(client.chat_completion(**request)))
        except OfflineModeIsEnabled as error:
            raise TeacherError(f"{error} The endpoint is not asked in offline mode") from error
        except HfHubHTTPError as error:
            status = error.response.status_code
            if status in REFUSED_FOR_ALL:
                raise TeacherError(f"{url or 'the hub'} answers {status} to model "
                                   f"{request['model']!r}: {error}; check address, token and "
                                   "the model's name") from error
            if status not in TRY_AGAIN:
                raise Refused(f"status {status}: {error}") from error
            raise Unavailable(f"status {status}", _seconds(error.response)) from error
        except Exception as error:  # time-outs, broken connections, JSON that breaks off
            raise Unavailable(f"{type(error).__name__}: {error}") from error
    return complete


def _seconds(response) -> float | None:
    try:
        return max(float(response.headers.get("retry-after")), 0.0)
    except (TypeError, ValueError):  # none, or a date
        return None
