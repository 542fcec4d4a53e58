"""The committed measurement of the step checker: its shares, its bars, its sentence."""
import importlib.util
import json

import pytest

from nanoreason import paths
from nanoreason.evaluation.report import wilson

NAMES = ("read", "judged_true", "slips_judged_false")


@pytest.fixture(scope="module")
def result():
    return json.loads((paths.RESULTS / "step-checker.json").read_text())


def test_shares_are_those_of_their_counts_and_meet_the_bars(result):
    for name, bar in zip(NAMES, (0.99, 0.99, 0.98)):
        share = result[name]
        assert share["value"] == share["counts"][0] / share["counts"][1] >= bar
        assert share["interval"] == pytest.approx(wilson(*share["counts"]))
    assert result["read"]["counts"][0] == result["judged_true"]["counts"][1]
    assert result["slips_judged_false"]["counts"][1] <= result["judged_true"]["counts"][0]
    assert not result["environment"]["dirty"]


@pytest.mark.slow
def test_the_measurement_is_made_again(result, gsm8k):
    place = paths.ROOT / "benchmarks" / "step_checker.py"
    spec = importlib.util.spec_from_file_location("step_checker", place)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    again = module.measure(gsm8k)
    assert all(again[name] == result[name] for name in NAMES)
