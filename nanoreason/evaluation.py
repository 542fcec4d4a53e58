"""From a tuned pair of adapters to rows that can be scored.

Four settings. *natural*: the model writes the whole trace. *clean* and *injected*: the
same problems with EXECUTE given, once right and once with a planted error, and only
VERIFY is written. *intervened*: one value in EXECUTE of a natural trace is replaced and
what follows is written anew.
"""
from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Sequence

from nanoreason.data import plant
from nanoreason.faithfulness import faithfulness
from nanoreason.generation import Request, generate
from nanoreason.intervention import choose_intervention, intervene
from nanoreason.problem import Problem
from nanoreason.scores import accuracy, self_verification
from nanoreason.teacher import procedural_trace
from nanoreason.tokens import given_part, partial_ids, prompt_ids, tag_ids
from nanoreason.trace import Trace, render_trace

__all__ = ["accuracy", "faithfulness", "generate_traces", "given_rows", "natural_rows",
           "interventions", "self_verification"]


def make_row(problem: Problem, setting: str, teacher: Trace | None, **values) -> dict:
    """A row of `generations.jsonl` without its text; `values` override the empty fields."""
    return {"problem_id": problem.id, "sample": 0, "setting": setting, "split": problem.split,
            "question": problem.question, "gold": problem.answer,
            "teachers": [render_trace(teacher)] if teacher else [], "text": "",
            "planted": None, "intervention": None} | values


def natural_rows(problems: Iterable[Problem], teachers: dict[str, Trace] | None = None
                 ) -> list[dict]:
    """Rows to be written from the question alone.

    teachers: right traces by problem id; None takes the procedural teacher where a problem
    has steps, and no teacher where it has none.
    """
    if teachers is None:
        return [make_row(p, "natural", procedural_trace(p) if p.steps else None)
                for p in problems]
    return [make_row(p, "natural", teachers.get(p.id)) for p in problems]


def given_rows(pairs: Iterable[tuple[Problem, Trace]], seed: int) -> list[dict]:
    """Matched rows with EXECUTE given: each trace once right and once with an error.

    The kind of error is drawn uniformly, see `data.plant`. A trace with room for no kind
    gives no row in either setting.
    """
    rows = []
    for problem, trace in pairs:
        found = plant(problem, trace, seed)
        if found is None:
            continue
        wrong, kind = found
        planted = {"step": wrong.verdict, "kind": kind, "origin": "planted"}
        rows.append(make_row(problem, "clean", trace, text=given_part(trace)))
        rows.append(make_row(problem, "injected", trace, text=given_part(wrong),
                             planted=planted))
    return rows


def interventions(rows: Iterable[dict], seed: int) -> list[dict]:
    """One intervened row for each natural row whose EXECUTE has a line with a dependent."""
    changed = []
    for row in rows:
        rng = random.Random(f"intervention/{seed}/{row['problem_id']}/{row['sample']}")
        intervention = choose_intervention(row["text"], row["question"], rng)
        if intervention is None:
            continue
        try:
            text = intervene(row["text"], intervention)
        except ValueError:  # the line does not state its value in a form that can be replaced
            continue
        changed.append(row | {"setting": "intervened", "text": text, "teachers": [],
                              "intervention": intervention, "parent_sample": row["sample"]})
    return changed


def generate_traces(model, tokenizer, rows: Sequence[dict], max_new_tokens: int,
                    batch_tokens: int, temperature: float = 0.0, seed: int = 0,
                    label: str = "generation") -> Iterator[dict]:
    """Complete the text of each row with the model; rows come as their batches finish.

    What stands in `text` is given and is continued. temperature 0 is greedy; else every
    sample has a seed of its own. max_new_tokens, batch_tokens: see `generation.generate`.
    """
    requests = []
    for row in rows:
        ids = partial_ids(tokenizer, row["question"], row["text"])
        start = len(prompt_ids(tokenizer, row["question"]))
        own = random.Random(f"{seed}/{row['problem_id']}/{row['sample']}").getrandbits(60)
        requests.append(Request(ids, start, own))
    for index, new in generate(model, tokenizer, requests, tag_ids(tokenizer), max_new_tokens,
                               batch_tokens, temperature, label):
        text = rows[index]["text"] + tokenizer.decode(new, skip_special_tokens=True)
        yield rows[index] | {"text": text.rstrip("\n")}
