"""Which teacher writes the traces: the rules, a language model after them, or a file."""
from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator

from nanoreason import paths
from nanoreason.data import teach
from nanoreason.llm_models import endpoint, local
from nanoreason.llm_teacher import LlmTeacher
from nanoreason.problem import Problem
from nanoreason.recorded import RecordedTeacher
from nanoreason.records import Rejection
from nanoreason.trace import Trace

TEACHERS = ("rules", "llm", "recorded")
TOKEN = "NANOREASON_TEACHER_TOKEN"


class RulesFirst:
    """The rules where they can, and another teacher for what they refuse."""

    def __init__(self, other):
        self.other = other

    def teach(self, problems: Iterable[Problem | Rejection]) -> Iterator[Trace | Rejection]:
        """One trace or rejection a problem, in order."""
        problems = list(problems)
        found = list(teach(problems, "rules"))
        open_ = [p for p, result in zip(problems, found)
                 if isinstance(p, Problem) and isinstance(result, Rejection)]
        answers = iter(self.other.teach(open_))
        for problem, result in zip(problems, found):
            refused = isinstance(problem, Problem) and isinstance(result, Rejection)
            yield next(answers) if refused else result


def choose_teacher(name: str, model: str | None = None, url: str | None = None,
                   path: str | None = None, parallel: int = 4):
    """What `teach` and `prepare` take as `teacher`, from a notebook's parameters.

    name: "rules"; "llm": the rules first, then the language model `model` at the endpoint
    `url` (None: the hub's providers; "local": on this machine); "recorded": the traces of
    the file `path` alone. The endpoint's token is read from the environment,
    `NANOREASON_TEACHER_TOKEN`. Raises `ValueError` for what is missing.
    """
    if name == "rules":
        return name
    if name == "recorded":
        if not path:
            raise ValueError("teacher 'recorded' reads its traces from a file: give teacher_path")
        return RecordedTeacher(path)
    if name != "llm":
        raise ValueError(f"teacher {name!r} is unknown; choose one of {', '.join(TEACHERS)}")
    if not model:
        raise ValueError("teacher 'llm' needs the name of a model: give teacher_model")
    folder = paths.BUILD / "teacher" / re.sub(r"[^\w.-]+", "-", model)
    if url == "local":
        return RulesFirst(LlmTeacher(model, local(model), folder, parallel=1))
    complete = endpoint(url, os.environ.get(TOKEN))
    return RulesFirst(LlmTeacher(model, complete, folder, parallel=parallel))
