"""What the benchmark of VERIFY by digits counts, on rows and outcomes made by hand."""
from __future__ import annotations

import gzip
import json
import random
import re
from dataclasses import replace

import numpy as np
import pytest
import verify_digits
from synthetic import make_rows

from nanoreason.data.prepare import prepare
from nanoreason.data.procedural import SCALE, hash_split
from nanoreason.data.verify_lines import stated
from nanoreason.evaluation import self_verification
from nanoreason.trace import parse_trace


def made(dev, test):
    """A run of two settings, each (first, second, surest)."""
    names = ("first", "second", "surest")
    return {"settings": {"dev": dict(zip(names, dev)), "test": dict(zip(names, test))}}


# Repairs where EXECUTE was unsure, spoils where it was sure.
MIXED = "0011" * 50, "1100" * 50, [-2.0, -2.0, -0.1, -0.1] * 50


def test_a_gate_keeps_what_is_sure_and_heeds_what_is_not():
    run = made(MIXED, MIXED)
    assert verify_digits.gain([run], "test")[0] == 0
    gated = verify_digits.behind_gate(run, "test")
    assert gated[:, 1].all() and (gated[:, 0] == np.array([0, 0, 1, 1] * 50)).all()
    value, (low, high) = verify_digits.gain([run], "test", verify_digits.behind_gate)
    assert value == 50 and low < 50 < high


@pytest.mark.parametrize("dev, heeded", [("10", False), ("01", True)])
def test_the_threshold_comes_from_dev_alone(dev, heeded):
    """Where all objections of dev spoil none is heeded on test, where all repair each is."""
    first, second = dev
    run = made((first * 200, second * 200, [-1.0] * 200), ("01" * 100, "10" * 100, [-1.0] * 200))
    gated, plain = (judged(run, "test") for judged in (verify_digits.behind_gate,
                                                       verify_digits.outcomes))
    assert (gated == (plain if heeded else plain[:, :1])).all()


def test_a_gate_that_would_spoil_more_than_its_limit_stays_shut():
    first, second = "0" * 20 + "1" * 180, "1" * 20 + "0" * 2 + "1" * 178
    rows = first, second, [-1.0] * 200
    gated = verify_digits.behind_gate(made(rows, rows), "test")
    assert (gated[:, 1] == [int(c) for c in first]).all()


def test_what_else_the_tokens_could_buy():
    """Of two EXECUTEs the drawn one counts only where it is the surer."""
    test = "0011", "0111", [-1.0, -1.0, -1.0, -1.0]
    run = made(test, test)
    run["settings"]["test"]["tokens"] = 20
    run["drawn"] = {"first": "1100", "tokens": 10, "surest": [-0.5, -2.0, -0.5, -1.0]}
    assert verify_digits.surer(run).tolist() == [1, 0, 0, 1]
    ways = {one["way"]: one for one in verify_digits.spent([run])}
    assert [one["tokens"] for one in ways.values()] == [10, 20, 20, 20]
    assert ways["VERIFY repairs"]["points"] == 25
    assert ways["EXECUTE, the surer of two"]["points"] == 0


def test_a_control_is_compared_with_the_run_of_its_own_seed():
    test = "0011", "0111", [-1.0] * 4
    runs = [made(test, test) | {"seed": seed} for seed in (0, 1)]
    for run in runs:
        run["settings"]["test"]["tokens"] = 20
        run["drawn"] = {"first": "0011", "tokens": 10, "surest": [-2.0] * 4}
    control = {"condition": verify_digits.BY_DIGITS, "seed": 1, "settings": {
        "test": {"first": "1111", "tokens": 15}}}
    found = {one["way"]: one for one in verify_digits.spent(runs, [control])}
    assert verify_digits.BY_DIGITS not in {one["way"] for one in verify_digits.spent(runs)}
    found = found[verify_digits.BY_DIGITS]
    assert (found["tokens"], found["right"], found["points"]) == (15, [1.0], 50)


def test_what_two_runs_end_with_is_compared_problem_by_problem():
    run, other = (made(("01", "01", [-1.0] * 2), ("0110", second, [-1.0] * 4))
                  for second in ("1110", "0111"))
    assert verify_digits.less(run, run) == (0, [0, 0])
    points, (low, high) = verify_digits.less(run, other)
    assert points == 0 and low < 0 < high  # one more here, one more there
    assert verify_digits.less(made(*[("11", "11", [-1.0] * 2)] * 2),
                              made(*[("11", "00", [-1.0] * 2)] * 2)) == (100, [100, 100])


def test_larger_numbers_are_of_the_train_part_and_half_of_them_have_an_error():
    records = list(verify_digits.larger(40, 3))
    assert records == list(verify_digits.larger(40, 3)) != list(verify_digits.larger(40, 4))
    assert all(hash_split(record["question"]) == "train" for record in records)
    assert 15 <= sum(record["planted"] is not None for record in records) <= 20
    numbers = [int(n) for record in records for n in re.findall(r"\d+", record["question"])]
    assert max(numbers) > 2 * SCALE.largest


def test_execute_by_digits_is_the_same_solution():
    for record in prepare("procedural", total=20, error_share=0.0, seed=2):
        digits = verify_digits.by_digits(record)
        plain, trace = (parse_trace(one["trace"]) for one in (record, digits))
        assert [line.rpartition(";")[2] for line in trace.execute] == list(plain.execute)
        assert all(stated(line)[0] for line in trace.execute)
        assert replace(trace, execute=plain.execute) == plain


def test_prose_is_scored_by_its_last_number(tmp_path):
    row = {"problem_id": "p", "setting": "natural", "language": "en", "gold": "7",
           "question": "What is 3 + 4?"}
    made = [{"problem_id": "p", "text": "3 + 4 = 7. The answer is 7.", "surest": None,
             "until_verify": 12}]
    (tmp_path / "test.json.gz").write_bytes(gzip.compress(json.dumps(made).encode()))
    for of, right in (("lenient", "1"), ("first", "0")):
        found = verify_digits.executed(tmp_path / "test.json.gz", [row], of)
        assert found == {"first": right, "surest": [0.0], "tokens": 12}


@pytest.mark.parametrize("seed", range(3))
def test_counts_are_those_of_the_scores(seed):
    rows = [row | {"tokens": 7} for row in make_rows(60, seed) if row["setting"] == "natural"]
    random.Random(seed).shuffle(rows)
    found, scores = verify_digits.counted(rows), self_verification(rows)
    repaired = sum(pair == ("0", "1") for pair in zip(found["first"], found["second"]))
    assert repaired == scores.counts["i_to_c"][0]
    assert found["objected_wrong"] == scores.counts["recall"][0]
    right = found["first"].count("1")
    assert right - found["objected_right"] == scores.counts["specificity"][0]
    assert found["mended"] <= repaired and found["tokens"] == 7
    assert found == verify_digits.counted(reversed(rows))
