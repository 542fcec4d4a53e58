"""How well the step checker reads equations that it was not written for: GSM8K's lines.

    python benchmarks/step_checker.py FOLDER [OUT.json]

FOLDER holds `train.jsonl.gz` and `test.jsonl.gz`. Of every line whose annotation has an
operator, the annotation is taken out. Counted is whether an equation with an operator can
be read in what is left; whether all that can be read are true, as the data's authors meant
them to be; and, of the lines judged true, whether a slip in the result that one of them
states (seeded; off by a little, or another digit) is judged false.
"""
from __future__ import annotations

import random
import re
import sys
import time
from pathlib import Path

from result import write_result

from nanoreason import paths
from nanoreason.arithmetic.equations import Equation
from nanoreason.arithmetic import read_equations
from nanoreason.data.verify_lines import slip
from nanoreason.arithmetic.lexer import NUMBER
from nanoreason.data.problem import read_json_lines
from nanoreason.evaluation.report import share
from nanoreason.data.gsm8k.algebra import ANNOTATION

SEED = 0
_LAST_NUMBER = re.compile(rf"({NUMBER})(?!.*[0-9])", re.DOTALL)


def step_lines(folder: Path):
    """The lines whose annotation computes something, without their annotations."""
    for part in ("train", "test"):
        for _, record in read_json_lines(folder / f"{part}.jsonl.gz"):
            for line in record["answer"].split("\n"):
                sides = [a.rpartition("=")[0].strip().lstrip("-+")
                         for a in ANNOTATION.findall(line)]
                if any(re.search(r"[-+*/]", side) for side in sides):
                    yield ANNOTATION.sub("", line)


def judged(line: str) -> list[Equation]:
    """The equations of a line that compute something and can be read."""
    return [e for e in read_equations(line) if e.has_operator and e.holds is not None]


def with_slip(line: str, equation: Equation, rng: random.Random) -> str | None:
    """The line with another number where the equation's text has its last whole one."""
    found = _LAST_NUMBER.search(equation.text)
    if found is None or not found[1].replace(",", "").isdigit():
        return None
    value = int(found[1].replace(",", ""))
    wrong = str(slip(value, rng)) if value else "1"
    start = equation.span[0] + found.start(1)
    return line[:start] + wrong + line[start + len(found[1]):]


def measure(folder: Path) -> dict:
    """The three shares, with counts."""
    began, rng = time.perf_counter(), random.Random(SEED)
    lines = list(step_lines(folder))
    read = [(line, found) for line in lines if (found := judged(line))]
    true = [(line, found) for line, found in read if all(e.holds for e in found)]
    slips = list(filter(None, (with_slip(line, found[-1], rng) for line, found in true)))
    caught = sum(any(e.holds is False for e in judged(text)) for text in slips)
    return {"data": "GSM8K train and test", "seed": SEED,
            "read": share(len(read), len(lines)), "judged_true": share(len(true), len(read)),
            "slips_judged_false": share(caught, len(slips)),
            "seconds": round(time.perf_counter() - began, 1)}


if __name__ == "__main__":
    out = Path(sys.argv[2]) if sys.argv[2:] else paths.RESULTS / "step-checker.json"
    result = measure(Path(sys.argv[1]))
    write_result(out, result)
    for name in ("read", "judged_true", "slips_judged_false"):
        count, of = result[name]["counts"]
        print(f"{name:20} {count:,} of {of:,} = {100 * result[name]['value']:.2f} %")
