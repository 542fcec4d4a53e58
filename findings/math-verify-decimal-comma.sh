#!/usr/bin/env bash
# math-verify's reading of numbers and points with a decimal comma, as in Vietnam or Germany.
#
# Versions: Python 3.11, math-verify 0.9.0 (latex2sympy2_extended 1.11.0).
# Expected: `3{,}5`, the way to write 3,5 in LaTeX, is 3.5 or is not read; where a semicolon
#   separates, as in the point (0,5; 1), the comma belongs to its number, and there are two.
# Seen: every comma separates, within braces and beside semicolons too, unless just three digits
#   follow. `3{,}5` is the set {3, 5}: right for `5{,}3`, wrong for 3.5; 2,2 is 2. The point
#   (0,5; 1) has three coordinates and equals (0; 5,1). `1,234` is 1234. `(1; 2)` equals `(1, 2)`, but
#   `[1; 2)` is 2. In a language with decimal commas answers have to be rewritten before they are
#   compared.
# Exits 0 while this is so, with another status where it has changed.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3.11 -m venv env
env/bin/pip install --quiet math-verify==0.9.0 latex2sympy2_extended==1.11.0
env/bin/python - <<'PYTHON'
from math_verify import parse, verify


def equal(gold, answer):
    gold_read, read = parse(f"${gold}$"), parse(f"${answer}$")
    found = verify(gold_read, read)
    print(f"{answer} for {gold}: {found}, read as {read[0]} and {gold_read[0]}")
    return found


assert equal("3{,}5", "5{,}3") and equal("3,5", "5,3") and equal("2,2", "2")
assert not equal("3{,}5", "3.5") and not equal("3,5", r"\frac{7}{2}")
assert equal("(0,5; 1)", "(0; 5,1)") and not equal("(0,5; 1)", "(0.5; 1)")
assert equal("1,234", "1234") and not equal("1,23", "123")
assert equal("(1; 2)", "(1, 2)") and equal("2", "[1; 2)")
PYTHON
