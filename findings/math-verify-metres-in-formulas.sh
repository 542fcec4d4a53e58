#!/usr/bin/env bash
# math-verify's default reading of a formula whose last letter is also a unit.
#
# Versions: Python 3.11, math-verify 0.9.0 (latex2sympy2_extended 1.11.0).
# Expected: m is a letter like x: 5 + 2m is not 7, and 2m + 5 is 5 + 2m.
# Seen: the default extraction takes the m at the end for metres and drops it, so 5 + 2m is 7
#   and is not 2m + 5. So it goes with other units at the end; x stays. What helps: a
#   LatexExtractionConfig whose NormalizationConfig has units=False (and units taken off
#   before, by whoever needs them compared: with them dropped, 30 m is 30 cm).
# Exits 0 while this is so, with another status where it has changed.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3.11 -m venv env
env/bin/pip install --quiet math-verify==0.9.0 latex2sympy2_extended==1.11.0
env/bin/python - <<'PYTHON'
from latex2sympy2_extended import NormalizationConfig
from math_verify import LatexExtractionConfig, parse, verify

letters = [LatexExtractionConfig(normalization_config=NormalizationConfig(
    units=False, malformed_operators=True, nits=True))]


def equal(gold, answer, *config):
    found = verify(parse(f"${gold}$", *config), parse(f"${answer}$", *config))
    print(f"{answer} for {gold}, {'letters' if config else 'default'}: {found}")
    return found


assert equal("7", "5 + 2m") and not equal("2m + 5", "5 + 2m")
assert not equal("7", "5 + 2x") and equal("2x + 5", "5 + 2x")
assert equal(r"30\text{ m}", r"30\text{ cm}")
assert not equal("7", "5 + 2m", letters) and equal("2m + 5", "5 + 2m", letters)
PYTHON
