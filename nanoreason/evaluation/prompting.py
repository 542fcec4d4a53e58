"""The untouched base asked for the four stages: a prompt chosen on dev, then the test rows.

A base that was never shown the form cannot write it, so beside a tuned model it would lose
by form alone. Here it is told the form, or shown it by worked examples of the project's own,
and the prompt that does best on dev problems is the one that it is measured under. A base
that goes on after its answer is cut there: what follows is no part of the trace.

Left out on purpose: prompts tuned by hand for one base, and any choice made on test.
"""
from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import lru_cache

from nanoreason import paths
from nanoreason.data.errors import inject
from nanoreason.data.problem import Problem
from nanoreason.data.procedural import problems as make_problems
from nanoreason.data.verify_lines import procedural_trace
from nanoreason.evaluation.generate import (ROWS, Writer, append_missing, begin, beside, decoding,
                                            natural_rows, planned_rows, problems_of, writer)
from nanoreason.evaluation.rows import read_rows
from nanoreason.host import GivenError
from nanoreason.model.base import load_base, locate
from nanoreason.params.sets import EvaluateParams
from nanoreason.runs import Run, RunError, find_run, writable
from nanoreason.stages import ANSWER, Stage
from nanoreason.trace import TraceError, parse_trace, render_trace

DEV_PROBLEMS = 32
EXAMPLE_SEED = 11
CRITERION = ("most right `Answer:` lines on dev problems, then most whole traces, then the "
             "earlier in the list")
_ANSWERED = re.compile(rf"(?ms)^\s*{re.escape(Stage.VERIFY.tag)}.*?^\s*{ANSWER}[^\n]*")
FORM = paths.asset("base_prompt.txt").read_text(encoding="utf-8")


def _examples() -> tuple[str, str]:
    """Two worked examples of the project's own: one without an error, one that repairs one."""
    made = [(problem, procedural_trace(problem))
            for problem in make_problems("train", 40, EXAMPLE_SEED)]
    first = next((p, t) for p, t in made if len(t.plan) == 2)
    second = next((p, found[0]) for p, t in made if len(t.plan) == 3
                  and (found := inject(p, t, EXAMPLE_SEED, {"arithmetic_slip": 1.0})))
    return tuple(f"Problem: {p.question}\n{render_trace(t)}\n"
                 for p, t in (first, second))


def _prompt(*parts: str) -> Callable[[str], str]:
    """question -> the prompt: these parts, then the question."""
    return lambda question: "\n".join([*parts, f"Problem: {question}"])


@lru_cache(maxsize=1)
def candidates() -> dict[str, Callable[[str], str]]:
    """The prompts to choose from, by name: question -> what the base is asked."""
    first, second = _examples()
    return {"the form, told": _prompt(FORM), "told, one example": _prompt(FORM, first),
            "told, two examples": _prompt(FORM, first, second),
            "two examples alone": _prompt(first, second)}


def complete(write: Writer, rows: Iterable[dict], ask: Callable[[str], str],
             label: str = "prompted") -> Iterator[dict]:
    """Natural rows written under a prompt, each cut after its first answer."""
    asked = [row | {"question": ask(row["question"]), "asked": row["question"]} for row in rows]
    for row in write(asked, label):
        question, text = row.pop("asked"), until_answer(row["text"])
        yield row | {"question": question, "text": text, "cut": row["cut"] and text == row["text"]}


def until_answer(text: str) -> str:
    """A text up to and with its first `Answer:` line under VERIFY; all of it without one."""
    found = _ANSWERED.search(text)
    return text[:found.end()] if found else text


def choose_prompt(write: Writer, problems: Sequence[Problem]) -> tuple[str, dict[str, dict]]:
    """The candidate with the most right answers on these (dev) problems, see `CRITERION`.

    Returns its name, and of every candidate {right: right `Answer:` lines, whole: texts that
    are whole traces, n: problems}. Raises ValueError without problems.
    """
    if not problems:
        raise GivenError("no dev problems to choose a prompt on: give at least one")
    tried = {}
    for name, ask in candidates().items():
        rows = list(complete(write, natural_rows(problems), ask, f"prompt: {name}"))
        tried[name] = {"right": sum(row.second for row in read_rows(rows)),
                       "whole": sum(_is_trace(row["text"]) for row in rows), "n": len(rows)}
    return max(tried, key=lambda name: (tried[name]["right"], tried[name]["whole"])), tried


def _is_trace(text: str) -> bool:
    try:
        return parse_trace(text) is not None
    except TraceError:
        return False


def dev_problems(params: EvaluateParams) -> list[Problem]:
    """DEV_PROBLEMS problems of the dev part, drawn by seed from the first ones of the source."""
    found = problems_of(params, "dev", 4 * DEV_PROBLEMS)
    rng = random.Random(f"prompt/{params.seed}")
    return rng.sample(found, min(DEV_PROBLEMS, len(found)))


def evaluate_prompted(run: Run, write: Writer, rows: Sequence[dict], dev: Sequence[Problem],
                      **facts) -> None:
    """Choose a prompt on the dev problems and append what `run` lacks of these natural rows.

    run: `<run>-prompted`. The choice, its counts, the prompt and `facts` stand in the run's
    params.yaml; a stopped run goes on under the same prompt. Raises RunError where the rows were
    written under one that is not there any more.
    """
    if run.has(ROWS):
        kept = run.read_params()
        name = kept.get("prompt")
        if name not in candidates() or candidates()[name]("{question}") != kept.get("prompt_text"):
            raise RunError(f"the rows of run {run.name} were written under a prompt {name!r:.60} "
                           f"of other words: rename {paths.relative(run.folder)}, and new ones "
                           "are written")
    else:
        name, tried = choose_prompt(write, dev)
        run.write_params(facts | {
            "prompt": name, "prompt_text": candidates()[name]("{question}"),
            "criterion": CRITERION, "dev": tried})
    append_missing(run, rows, lambda left: complete(write, left, candidates()[name],
                                                    "base, prompted"))


def prompt_base(params: EvaluateParams) -> Run:
    """The natural rows of a run's untouched base under a four-stage prompt chosen on dev,
    greedily.

    They stand in `<run>-prompted`, which is returned; the run itself stays as it is.
    """
    run = writable(find_run(params.run))
    base, rows = run.read_params("base")["base"], [
        row for label, found in planned_rows(params) if label.startswith("natural")
        for row in found]
    prompted = beside(run, "prompted")
    with run.held("evaluation"), prompted.held("evaluation"):
        begin(prompted, params, rows, base_version=locate(base).version)
        model, tokenizer = load_base(base, params.quantisation)
        with decoding(prompted, params, model):
            evaluate_prompted(prompted, writer(model, tokenizer, params, temperature=0.0), rows,
                              dev_problems(params), base=base,
                              quantisation=params.quantisation)
    return prompted
