#!/usr/bin/env bash
# McNemar's test of two models that are right on the same problems, in statsmodels and mlxtend.
#
# Versions: Python 3.11, statsmodels 0.15.0, mlxtend 0.25.0, numpy 2.4.6, scipy 1.17.1.
# Expected: without a problem on which they differ there is no sign of a difference: p is 1, as of
#   the exact test, or nan.
# Seen: with the correction for continuity the statistic is (|0 - 0| - 1)^2 / 0, infinite, and p is
#   0.0, as certain a difference as there can be, with a warning of numpy's alone. It is so in
#   mlxtend's default and in statsmodels with `exact=False`, which corrects by default; its default
#   is exact and gives 1. Where the two differ equally often in both directions the corrected
#   statistic is not nought either: 1 to 1 it is 0.5 and p is 0.48, where the exact p is 1. So a
#   table of ablations names just those significant that change no answer at all. What helps:
#   exact=True in both, for any number of problems.
# Exits 0 while this is so, with another status where it has changed.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3.11 -m venv env
env/bin/pip install --quiet statsmodels==0.15.0 mlxtend==0.25.0 numpy==2.4.6 scipy==1.17.1
env/bin/python -W ignore - <<'PYTHON'
import numpy as np
from mlxtend.evaluate import mcnemar as of_mlxtend, mcnemar_table
from statsmodels.stats.contingency_tables import mcnemar as of_statsmodels


def tests(first, second):
    """The p of each test for two models' right answers, given as 0 and 1."""
    table = mcnemar_table(np.ones(len(first), int), np.array(first), np.array(second))
    found = {
        "mlxtend": of_mlxtend(table)[1], "mlxtend, exact": of_mlxtend(table, exact=True)[1],
        "statsmodels, exact=False": of_statsmodels(table, exact=False).pvalue,
        "statsmodels, uncorrected": of_statsmodels(table, exact=False, correction=False).pvalue,
        "statsmodels": of_statsmodels(table).pvalue}
    print(table.tolist(), {name: round(float(p), 3) for name, p in found.items()})
    return list(found.values())


model = [1] * 80 + [0] * 20
corrected, exact, of_chi2, uncorrected, default = tests(model, model)
assert corrected == of_chi2 == 0.0 and exact == default == 1.0 and np.isnan(uncorrected)
corrected, exact, of_chi2, uncorrected, default = tests([1, 0] + model, [0, 1] + model)
assert round(corrected, 2) == round(of_chi2, 2) == 0.48 and exact == default == uncorrected == 1.0
PYTHON
