"""What one pair of adapters is worth: VERIFY's scores, false sums, and its comparisons.

A sum is an EXECUTE line `a + b = c` or `a - b = c`; it is false where c is not the value. Its
size is the largest of a, b and the value; up to 99 is what the shipped base has read. A comparison
is a VERIFY line `..., want W, WORD`, or `..., want W: DIGITS, WORD`, counted where the number
before it differs from W: the right word is then `wrong`. Sums of repairs and checks are not
counted among EXECUTE's.
"""
from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction

from nanoreason.data.problem import compute
from nanoreason.evaluation import self_verification
from nanoreason.evaluation.report import wilson
from nanoreason.evaluation.rows import ScoredRows, read_rows

READ = 99  # the largest value of the base's stories and drills
_SUM = re.compile(r"(\d+(?:\.\d+)?) ([-+]) (\d+(?:\.\d+)?) = (\d+(?:\.\d+)?)")
_COMPARISON = re.compile(r"= (\S+), want ([^\s:,]+)(?:: [^,]+)?, (correct|wrong)")
SCORES = ("accuracy_a1", "accuracy_a2", "delta", "i_to_c", "c_to_i", "recall", "specificity",
          "youden_j", "svr", "svr_null", "first_wrong_step", "ritual_rate")


def share(counted: int, cases: int) -> dict:
    """A rate with its counts and Wilson's 95 % interval; None of no cases."""
    return {"value": counted / cases if cases else None, "counts": (counted, cases),
            "interval": wilson(counted, cases)}


def false_sums(lines: Iterable[str]) -> dict[str, dict]:
    """False sums / all sums whose right value can be read, by operator and size."""
    found = {(sign, large): [0, 0] for sign in "+-" for large in (False, True)}
    for line in lines:
        sum_ = _SUM.fullmatch(line.rsplit(";", 1)[-1])  # behind the digit facts, if it has some
        if sum_:
            left, right, stated = (Fraction(sum_[place]) for place in (1, 3, 4))
            value = compute(sum_[2], left, right)
            cell = found[sum_[2], max(left, right, value) > READ]
            cell[0] += value != stated
            cell[1] += 1
    return {f"{'sum' if sign == '+' else 'difference'}_{'above' if large else 'to'}_{READ}":
            share(*cell) for (sign, large), cell in found.items()}


def comparisons(lines: Iterable[str]) -> dict:
    """Lines that say `wrong` / lines whose two numbers differ."""
    differ = [match[3] == "wrong" for match in map(_COMPARISON.search, lines)
              if match and match[1] != match[2]]
    return share(sum(differ), len(differ))


def outcomes(rows: ScoredRows) -> str:
    """A digit a row: 4 [a1 right] + 2 [the verdict is an error] + [a2 right]."""
    return "".join(str(4 * bool(row.first) + 2 * bool(row.error) + bool(row.second))
                   for row in rows)


def scores(rows: Sequence[Mapping]) -> dict:
    """All of it, natural rows apart from injected and clean ones."""
    parts = {"natural": [], "natural_999": [], "injected_and_clean": []}
    for row in rows:
        parts["injected_and_clean" if row["setting"] != "natural" else
              "natural_999" if row["split"] == "test_999" else "natural"].append(row)
    result: dict = {}
    for name, part in parts.items():
        if not part:
            continue
        table = read_rows(part)
        report, claims = self_verification(table), [row.claims for row in table]
        result[name] = {"n": report.n, **{
            score: {"value": getattr(report, score), "counts": report.counts.get(score),
                    "interval": report.interval(score)} for score in SCORES}}
        result[name]["comparison"] = comparisons(line for c in claims for line in c.checks)
        if name != "injected_and_clean":
            result[name] |= {
                "false": false_sums(line for c in claims for line in c.execute),
                "false_repairs": false_sums(line for c in claims for line in c.repairs)}
        result[name]["outcomes"] = outcomes(table)
    return result
