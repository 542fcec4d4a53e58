#!/usr/bin/env bash
# pint's reading of an amount of everyday things, as word problems have them.
#
# Versions: Python 3.11, pint 0.25.3.
# Expected: what is no unit is refused: `3 apples` raises UndefinedUnitError, and so do cats and
#   hats.
# Seen: apples do, and dogs. Cats, hats, mats, pats and rats are pressures, since `at` is the
#   technical atmosphere and c, h, m, p and r are prefixes; the s at the end is dropped. So 3 hats +
#   4 cats are 3.0004 hats, 29.4 MPa, where things of two kinds should not add up at all. Pins and
#   pinches are picoinches, a bag is 94 pounds of cement, a point 0.35 mm. Nothing is said, so a
#   check of units by pint passes sums of unlike things. What helps against the prefixes: take only
#   words that stand in `dir(registry)`, with and without their s, and a list of one's own of short
#   ones (cm, kg).
# Exits 0 while this is so, with another status where it has changed.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3.11 -m venv env
env/bin/pip install --quiet pint==0.25.3
env/bin/python - <<'PYTHON'
import pint

registry = pint.UnitRegistry()
for word in ("apples", "dogs"):
    try:
        raise SystemExit(f"read: {registry(f'3 {word}')}")
    except pint.UndefinedUnitError as error:
        print(error)

things = {word: registry(f"3 {word}") for word in
          "cats hats mats pats rats pins pinches bags points".split()}
for word, amount in things.items():
    print(f"3 {word}: {amount}, {amount.to_base_units():.3g}")
pressure = registry.pascal.dimensionality
assert all(things[word].dimensionality == pressure for word in "cats hats mats pats rats".split())
assert things["pins"] == things["pinches"] and things["pins"].check("[length]")
assert things["bags"].check("[mass]") and things["points"].check("[length]")
total = registry("3 hats") + registry("4 cats")
print("3 hats + 4 cats:", total)
assert abs(total.magnitude - 3.0004) < 1e-9

names = set(dir(registry))
kept = [word for word in (*things, "miles", "feet", "meters") if {word, word.rstrip("s")} & names]
print("left by dir():", kept)
assert kept == ["bags", "points", "miles", "feet", "meters"]
PYTHON
