#!/usr/bin/env bash
# math-verify's reading of repeating decimals, of numbers in another base, and of parted thousands.
#
# Versions: Python 3.11, math-verify 0.9.0 (latex2sympy2_extended 1.11.0).
# Expected: `0.\overline{3}` is 1/3 or is not read; `101_2` is 5, or a symbol with an index, and in
#   no case `101_3`; `1 000` is 1000 or not read.
# Seen: the bar is dropped with all that stands under it, so a repeating decimal is what comes before
#   it: `0.\overline{3}` is right for 0 and wrong for 1/3. The base is dropped: `101_2`, `101_3` and
#   101 are one. `1 000` is a product, 1 times 000, and right for 0. Answers of these forms have to be
#   read before math-verify sees them.
# Exits 0 while this is so, with another status where it has changed.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3.11 -m venv env
env/bin/pip install --quiet math-verify==0.9.0 latex2sympy2_extended==1.11.0
env/bin/python - <<'PYTHON'
from math_verify import parse, verify


def equal(gold, answer):
    found = verify(parse(f"${gold}$"), parse(f"${answer}$"))
    print(f"{answer} for {gold}: {found}, read as {parse(f'${answer}$')[0]}")
    return found


assert equal("0", r"0.\overline{3}") and not equal(r"\frac{1}{3}", r"0.\overline{3}")
assert equal("101", "101_2") and equal("101_3", "101_2") and not equal("5", "101_2")
assert equal("0", "1 000") and not equal("1000", "1 000")
PYTHON
