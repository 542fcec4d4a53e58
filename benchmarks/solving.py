"""Does `solve` say so where its answer is wrong, and how often where it is right?

    python benchmarks/solving.py [GSM8K]       writes results/solving.json, in minutes; goes on
                                               after a stop

Draws that no other run has read: N problems of `test`, and FOREIGN of each other split and, where
the folder GSM8K with test.jsonl.gz is given, of its test problems. Every rule of a warning was made
on dev, on the rows of the run of reference and on the wrong answers of `test` that went without one
in the draws of seeds 1 and 2. That doubt is no warning where the objection is settled, and its
threshold, were decided on dev after this draw had been counted; that the gate decides nothing of
questions unlike those learned, on the rows of the run of reference.
No text is kept.
"""
from __future__ import annotations

import sys
from collections import Counter
from itertools import islice

from gate import written
from result import write_result

from nanoreason import paths
from nanoreason.arithmetic.answers import same_answer
from nanoreason.data.problem import Problem
from nanoreason.data.sources import load_problems
from nanoreason.evaluation.generate import natural_rows
from nanoreason.evaluation.report import share
from nanoreason.solution import Solution, judge, threshold
from nanoreason.training.resume import load_run

RUN, N, FOREIGN = "nano-reference", 500, 200
SEEDS = {"test": 3, "test_999": 2, "test_template": 2, "test_ood": 2}


def count(problems: list[Problem], solutions: list[Solution]) -> dict:
    """Of right and of wrong answers how many carry a warning, and which."""
    told = {}
    for right in (True, False):
        of = [one for problem, one in zip(problems, solutions)
              if same_answer(one.answer, problem.answer) is right]
        kinds = Counter(key for one in of for key in {key for key, _ in one.against})
        warned = share(sum(bool(one.warnings) for one in of), len(of)) if of else {"counts": [0, 0]}
        told["right" if right else "wrong"] = warned | {"kinds": dict(kinds.most_common())}
    return {"n": len(problems)} | told


def measure(gsm8k: str | None) -> dict:
    """What solving.json holds. Rows that build/solving/ holds already are not written again."""
    asked = {split: (load_problems("procedural", None, split, count=n, seed=SEEDS[split]), n)
             for split, n in ((part, N if part == "test" else FOREIGN) for part in SEEDS)}
    if gsm8k:
        asked["gsm8k"] = load_problems("gsm8k", gsm8k, "test"), FOREIGN
    folder, found = paths.BUILD / "solving", {}
    folder.mkdir(parents=True, exist_ok=True)
    model, tokenizer, params = load_run(RUN)
    gate = threshold(RUN)
    for name, (problems, n) in asked.items():
        problems = list(islice((one for one in problems if isinstance(one, Problem)), n))
        rows = written(folder / f"{name}.jsonl", natural_rows(problems), model, tokenizer, 0.0)
        found[name] = count(problems, [judge(row, params, gate) for row in rows])
        print(name, {key: found[name][key] for key in ("right", "wrong")}, flush=True)
    return {"run": RUN, "seeds": SEEDS, "gate": gate, **found}


if __name__ == "__main__":
    write_result(paths.RESULTS / "solving.json", measure(*sys.argv[1:2] or [None]))
