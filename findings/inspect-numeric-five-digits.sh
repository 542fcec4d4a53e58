#!/usr/bin/env bash
# inspect_ai's `match(numeric=True)` and numbers of more than five digits.
#
# Versions: Python 3.11, inspect_ai 0.3.285; the scorer alone, no model.
# Expected: a numeric match compares values: 1234568 is wrong where 1234567 is asked for.
# Seen: both sides are written with five significant digits and compared as text, so all numbers
#   that agree in those are one: 123456 is right for 123460, 100000001 for 100000000, 2999.96 for
#   3000. Whole numbers are told apart up to 99999. The description of `numeric` speaks of signs
#   of currency, commas and per cent, not of this. So a long sum with a false last digit counts as
#   right, and a verifier that objects to it as wrong. What helps: `pattern` with a group for the
#   number, or a scorer of one's own that compares fractions.
# Exits 0 while this is so, with another status where it has changed.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3.11 -m venv env
env/bin/pip install --quiet inspect_ai==0.3.285
cat > scored.py <<'P'
import asyncio
from fractions import Fraction

from inspect_ai.model import ModelOutput
from inspect_ai.scorer import Target, match, pattern
from inspect_ai.solver import TaskState


def right(scorer, answer, target):
    state = TaskState(model="none/none", sample_id=1, epoch=1, input="", messages=[],
                      output=ModelOutput.from_content("none", f"The answer is {answer}"))
    return asyncio.run(scorer(state, Target(target))).value == "C"


for answer, target in (("99998", "99999"), ("123456", "123460"), ("1234568", "1234567"),
                       ("100000001", "100000000"), ("2999.96", "3000"), ("0.333334", "0.333333"),
                       ("-7654321", "-7654322"), ("7654321", "-7654321")):
    numeric = right(match(numeric=True), answer, target)
    exact = right(pattern(r"([-0-9.]+)$"), answer, target)
    print(f"{answer} for {target}: {numeric} as a number, {exact} by pattern")
    assert not exact and Fraction(answer) != Fraction(target)
    assert numeric == (answer not in ("99998", "7654321"))
assert right(match(numeric=True), "$1,234,567.00", "1234567")
P
env/bin/python scored.py
