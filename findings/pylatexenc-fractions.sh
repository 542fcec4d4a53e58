#!/usr/bin/env bash
# pylatexenc's plain text of a fraction, as a grader of MATH answers may use it.
#
# Versions: Python 3.11, pylatexenc 2.11.
# Expected: `latex_to_text` of `\dfrac{1}{2}` is what it makes of `\frac{1}{2}`, 1/2; a macro that
#   it does not know is an error or stays as it is.
# Seen: `\dfrac`, `\tfrac`, `\cfrac` and `\binom` are unknown to it, and of an unknown macro the
#   arguments stay, side by side: `\dfrac{1}{2}` is 12, `\binom{5}{2}` is 52, whole numbers that any
#   grader reads. Of the known ones `2\frac{1}{2}` is 21/2, `\frac{1}{2}3` is 1/23, `\frac{a+b}{2}`
#   is a+b/2 and `\sqrt[3]{8}` is √(8). Nothing is said, so a right answer is marked as wrong, or a
#   wrong one as right. What helps against the first three and the mixed number: `\frac` with a
#   blank before it in their place; for the others a reader of formulas.
# Exits 0 while this is so, with another status where it has changed.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3.11 -m venv env
env/bin/pip install --quiet pylatexenc==2.11
env/bin/python - <<'PYTHON'
import re

from pylatexenc.latex2text import LatexNodes2Text

text = LatexNodes2Text().latex_to_text
read = {
    r"\frac{1}{2}": "1/2", r"\dfrac{1}{2}": "12", r"\tfrac12": "12", r"\cfrac{1}{2}": "12",
    r"-\dfrac{3}{4}": "-34", r"\binom{5}{2}": "52", r"2\frac{1}{2}": "21/2",
    r"\frac{1}{2}3": "1/23", r"\frac{a+b}{2}": "a+b/2", r"\sqrt[3]{8}": "√(8)",
}
for formula, plain in read.items():
    print(f"{formula}: {text(formula)}")
    assert text(formula) == text(f"${formula}$") == plain
for formula, plain in ((r"\dfrac{1}{2}", "1/2"), (r"\tfrac12", "1/2"), (r"2\dfrac{1}{2}", "2 1/2")):
    spelled = re.sub(r"\\[dtc]?frac(?![a-z])", r" \\frac", formula)
    print(f"{formula} with a blank and \\frac: {text(spelled).strip()}")
    assert text(spelled).strip() == plain
PYTHON
