"""The committed gate: every number again from the rows beside it, thresholds from dev alone."""
import json

import pytest

from nanoreason.evaluation import self_verification
from nanoreason.evaluation.confidence import GATES, Gate, choose, gated
from nanoreason.evaluation.rows import read_rows
from nanoreason.runs import find_run


@pytest.fixture(scope="module")
def gate(benchmark_scripts):
    import gate
    return gate


@pytest.fixture(scope="module")
def table():
    return read_rows(find_run("nano-reference-gate").read_generations())


@pytest.fixture(scope="module")
def committed():
    return json.loads(find_run("nano-reference-gate").path("gate.json").read_text())


def test_the_committed_file_is_what_the_rows_give(gate, committed):
    assert json.loads(json.dumps(gate.score("nano-reference"))) == committed


def test_the_rows_of_test_are_those_of_the_run(table):
    run = read_rows(find_run("nano-reference").read_generations()).where("natural", split="test")
    own = {row.problem: (row.a1, row.blamed, row.a2) for row in run}
    assert {row.problem: (row.a1, row.blamed, row.a2)
            for row in table.where(split="test")} == own


def test_gates_know_dev_alone(committed, table):
    dev = table.where("natural", split="dev")
    for label, agree in GATES.items():
        found, chosen = committed["gates"][label], choose(dev, agree)
        assert (found["threshold"], found["agree"]) == tuple(chosen)
        on_dev = self_verification(list(gated(dev, chosen)))
        assert on_dev.c_to_i <= committed["spoils_at_most"]
        # No gate that heeds a little more or less gains more on dev within the limit.
        for shift in (-0.1, -0.02, 0.02, 0.1):
            other = self_verification(list(gated(dev, Gate(chosen.threshold + shift,
                                                           chosen.agree))))
            assert other.delta <= on_dev.delta or other.c_to_i > committed["spoils_at_most"]
