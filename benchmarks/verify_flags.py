"""VERIFY by columns that compares digit by digit, on the shipped base, with EXECUTE frozen.

    python benchmarks/verify_flags.py results/verify-flags.json.gz

The reasoning adapter learns plain EXECUTE from right traces alone. Then it is frozen, and the
verification adapter learns in two rounds, each with an optimiser of its own: from traces, two
of three with an injected error, and from short rows of three claims, half of them wrong. Lines
are those of the form `flags` of `comparison_forms`, repairs are by columns.

After each round 300 problems of `test` are solved, and VERIFY is written behind 100 right and
100 wrong EXECUTEs that are given. The file holds all
rows; `lines` counts what stands in them.
"""
from __future__ import annotations

import json
import random
import re
import sys
from collections import Counter
from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path

import torch
from comparison_forms import line
from gpu_columns import CLAIMS, claims, rewritten, short_row
from gpu_loops import tune_adapters
from result import write_result

from nanoreason.arithmetic import read_equations
from nanoreason.data import load_problems, teach
from nanoreason.data.errors import inject
from nanoreason.data.procedural import problems
from nanoreason.data.verify_lines import procedural_trace
from nanoreason.evaluation import generate_traces
from nanoreason.evaluation.generate import given_rows, natural_rows
from nanoreason.model.adapters import adapter_parameters, attach_adapters
from nanoreason.model.base import load_base
from nanoreason.model.tokens import encode, tag_ids, until_tag
from nanoreason.params import TrainParams
from nanoreason.trace import read_claims
from nanoreason.training.trainer import for_phase

FORM = "flags"
RIGHT = 4000  # traces of the reasoning adapter
ROUNDS = (  # of the verification adapter: traces, their seed, short rows, their seed
    {"traces": 3000, "seed": 7, "short": 3000, "short_seed": "short"},
    {"traces": 6000, "seed": 11, "short": 500, "short_seed": "short2"})
ASKED, GIVEN = 300, 100
_LINE = re.compile(r"= (\S+), want ([^\s:,]+): ([^,]+), (correct|wrong)")
_STEP = re.compile(r"(\S+) ([-+*/]) (\S+) = (\S+)")
_FLAG = re.compile(r"(\S)(\S)([yn])")


def reasoning_rows(tokenizer, count: int) -> list:
    """Right traces up to the VERIFY tag."""
    rows, tag = [], tag_ids(tokenizer)
    for problem in problems("train", count, 0):
        rows.append(until_tag(
            encode(tokenizer, problem.question, procedural_trace(problem), 512), tag))
    return rows


def verification_rows(tokenizer, traces: int, seed: int, short: int, short_seed: str) -> list:
    """Traces whose VERIFY alone is learned, and short rows of claims."""
    check, rows = partial(line, form=FORM), []
    for place, problem in enumerate(problems("train", traces, seed)):
        trace = procedural_trace(problem)
        wrong = inject(problem, trace, seed) if place % 3 else None
        row = encode(tokenizer, problem.question,
                     rewritten(wrong[0] if wrong else trace, problem.steps, check), 512)
        if row:
            rows.append(for_phase(row, "verification", tag_ids(tokenizer)))
    rng = random.Random(short_seed)
    return rows + [short_row(tokenizer, *claims(rng, CLAIMS, check=check)) for _ in range(short)]


def asks(execute: tuple[str, ...], text: str, wanted: str) -> bool:
    """Whether a line checks the line of EXECUTE (none: no) with its numbers."""
    match = _STEP.fullmatch(execute[0]) if execute else None
    if not match:
        return False
    x, sign, y, c = match.groups()
    left, right, told, sign = {"+": (y, x, c, "+"), "*": (y, x, c, "*"), "-": (c, y, x, "+"),
                               "/": (c, y, x, "*")}[sign]
    return wanted == told and text.startswith((f"{left} {sign} {right}:",
                                               f"{left} {sign} {right} ="))


def lines(rows: Iterable[Mapping]) -> dict[str, dict[str, int]]:
    """What the lines of VERIFY come to, by setting.

    differ, equal: lines whose two numbers do, and of these those with the right word.
    asked: lines that check what EXECUTE's line of that number says, in the way of its operator.
    pairs: lines that pair the digits of just their numbers. flags: digits, and those whose
    flag is right. false_sums: lines with a false equation. unread: lines of no such form.
    """
    found: dict[str, Counter] = {}
    for row in rows:
        counts = found.setdefault(row["setting"], Counter())
        read = read_claims(row["text"])
        for number, text in enumerate(read.checks):
            counts["lines"] += 1
            counts["false_sums"] += any(e.holds is False for e in read_equations(text))
            match = _LINE.search(text)
            if not match:
                counts["unread"] += 1
                continue
            result, wanted, said, word = match.groups()
            counts["asked"] += asks(read.execute[number:number + 1], text, wanted)
            side = "equal" if result == wanted else "differ"
            counts[side] += 1
            counts[f"{side}_right"] += word == ("correct" if side == "equal" else "wrong")
            length, flags = max(len(result), len(wanted)), _FLAG.findall(said)
            counts["pairs"] += [flag[:2] for flag in flags] == [*zip(
                result[::-1].ljust(length, "-"), wanted[::-1].ljust(length, "-"))]
            counts["flags"] += len(flags)
            counts["flags_right"] += sum((a == b) == (flag == "y") for a, b, flag in flags)
    return {setting: dict(counts) for setting, counts in found.items()}


def asked_by_place(rows: Iterable[Mapping]) -> list[float]:
    """The share of VERIFY's first lines, second lines, ... that ask about EXECUTE's own."""
    found: list[list[bool]] = []
    for row in rows:
        read = read_claims(row["text"])
        for place, text in enumerate(read.checks):
            found += [[]] if place == len(found) else []
            found[place].append(asks_own(read, place))
    return [sum(each) / len(each) for each in found]


def asks_own(read, place: int) -> bool:
    """Whether a line of VERIFY asks about the line of EXECUTE at the same place."""
    match = _LINE.search(read.checks[place])
    return bool(match) and asks(read.execute[place:place + 1], read.checks[place], match[2])


def sound(read) -> bool:
    """Whether all lines ask about EXECUTE's own, and their sums are true."""
    return bool(read.checks) and all(
        asks_own(read, place) and all(e.holds is not False for e in read_equations(text))
        for place, text in enumerate(read.checks))


def main(file: Path) -> None:
    """Both adapters, and the rows after each round."""
    torch.set_num_threads(1)
    params = TrainParams(profile="nano-switch", run="verify-flags", seed=0)
    base, tokenizer = load_base("nano", "none")
    model = attach_adapters(base, params.rank, params.alpha, 0.0, 0, "switch")
    frozen = {name: [p for _, p in adapter_parameters(model, name)]
              for name in ("verification", "reasoning")}
    tune = partial(tune_adapters, model, params=params, tag=tag_ids(tokenizer),
                   pad=tokenizer.pad_token_id)
    for parameter in frozen["verification"]:
        parameter.requires_grad_(False)
    tune(reasoning_rows(tokenizer, RIGHT))
    for name, trains in (("verification", True), ("reasoning", False)):
        for parameter in frozen[name]:
            parameter.requires_grad_(trains)
    test = list(load_problems("procedural", None, "test", count=ASKED, seed=0))
    asked = natural_rows(test) + given_rows([*zip(test, teach(test))][:GIVEN], 0)
    found = {"form": FORM, "right": RIGHT, "rounds": []}
    for settings in ROUNDS:
        tune(verification_rows(tokenizer, **settings))
        model.eval()
        rows = list(generate_traces(model, tokenizer, asked, 340, 16_384))
        found["rounds"].append(settings | {"rows": rows})
        write_result(file, found)
        print(json.dumps(lines(rows)), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
