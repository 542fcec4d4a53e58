#!/usr/bin/env bash
# math-verify's comparison of two small exact values.
#
# Versions: Python 3.11, math-verify 0.9.0 (latex2sympy2_extended 1.11.0).
# Expected: formulas without a decimal are compared exactly: 1/2^70 is not 1/2^71.
# Seen: values are equal where they agree at float_rounding = 6 places, exact or not, so all
#   small fractions are equal, to nought as well, and 0.333333 is 1/3, while two fractions of
#   whole numbers, 1/3000000 and 1/3000001, are told apart. What helps:
#   verify(gold, answer, float_rounding=40, numeric_precision=80).
# Exits 0 while this is so, with another status where it has changed.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3.11 -m venv env
env/bin/pip install --quiet math-verify==0.9.0 latex2sympy2_extended==1.11.0
env/bin/python - <<'PYTHON'
from math_verify import parse, verify


def equal(gold, answer, *places):
    found = verify(parse(f"${gold}$"), parse(f"${answer}$"), *places)
    print(f"{answer} for {gold}, places {places or 'default'}: {found}")
    return found


pairs = [(r"\frac{1}{2^{70}}", r"\frac{1}{2^{71}}"), (r"\frac{7}{4^{31}}", r"\frac{5}{4^{31}}"),
         (r"\frac{1}{3}", "0.333333"), (r"\sqrt{2}", "1.4142136")]
for gold, answer in pairs:
    assert equal(gold, answer) and not equal(gold, answer, 40, 80)
assert equal(r"\sqrt{8}", r"2\sqrt{2}", 40, 80) and equal("0.5", r"\frac{1}{2}", 40, 80)
assert not equal(r"\frac{1}{3000000}", r"\frac{1}{3000001}")
PYTHON
