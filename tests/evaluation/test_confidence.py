"""Confidence on cases that can be counted by hand, and the gate on rows written by hand."""
import math
import random

import numpy as np
import pytest

from synthetic import row, unasked

from nanoreason.evaluation.confidence import (Gate, auc, aurc, choose, confidence, coverage, gated)
from nanoreason.evaluation import self_verification
from nanoreason.evaluation.rows import compact_row, read_rows


def test_auc_is_the_share_of_pairs_in_order_and_coverage_the_accuracy_of_the_surest():
    rng = random.Random(0)
    sure = np.array([rng.randrange(6) for _ in range(40)], float)
    right = np.array([rng.random() < 0.4 + 0.1 * value for value in sure])
    pairs = [1 if a > b else 0.5 if a == b else 0 for a in sure[right] for b in sure[~right]]
    assert auc(sure, right) == pytest.approx(sum(pairs) / len(pairs))
    assert auc(sure, right | True) is None
    # Ties count as the mean over the orders in which they could stand.
    shuffled = np.zeros(40)
    for draw in range(4000):
        order = sorted(range(40), key=lambda i: (-sure[i], rng.random()))
        shuffled += np.cumsum(right[order]) / np.arange(1, 41)
    assert coverage(sure, right) == pytest.approx(shuffled / 4000, abs=0.02)
    assert aurc(np.array([3., 2., 1.]), np.array([True, True, False])) == pytest.approx(1 / 9)


def unsure(logp, problem, a1="16", verdict="correct", a2=None, verifies=(), setting="natural"):
    decisions = [["wrong" if verdict != "correct" else "correct", -0.1]]
    return row(a1=a1, verdict=verdict, a2=a1 if a2 is None else a2, problem=problem,
               setting=setting) | {
        "logprobs": {"execute_min": logp, "decisions": decisions, "answer": -0.1},
        "verifies": [{"v": 1 if answer != a1 else None, "a2": answer} for answer in verifies]}


ROWS = [unsure(-2.0, "a", "17", "step 1 is wrong", "16", ("16", "16", "16.0", "17")),
        unsure(-1.5, "b", "17", "step 1 is wrong", "16", ("15", "16", "15", "14")),
        unsure(-1.0, "c", "16", "step 1 is wrong", "15", ("15", "14", "16", "16")),
        unsure(-0.1, "d", "16", "step 1 is wrong", "15"),
        unsure(-0.2, "e", "17"), unsure(None, "f", "16")]


def answers(gate):
    return {one["problem_id"]: (one["v"], one["a2"]) for one in gated(read_rows(ROWS), gate)}


def test_a_gate_heeds_in_doubt_and_keeps_the_result_elsewhere():
    found = answers(Gate(-1.2))
    assert found["a"] == (1, "16") and found["b"] == (1, "16")
    assert found["c"] == found["d"] == ("correct", "16") and found["e"] == ("correct", "17")
    assert answers(Gate(-math.inf)) == {name: ("correct", a1) for name, a1 in zip(
        "abcdef", ("17", "17", "16", "16", "17", "16"))}


def test_an_answer_needs_enough_sampled_verifies_that_object():
    found = answers(Gate(-0.5, 2))
    assert found["a"][1] == "16"          # 16 and 16.0 are one answer, 17 is the result itself
    assert found["b"][1] == "15" and found["c"] == ("correct", "16")
    assert answers(Gate(-0.5, 3))["b"] == ("correct", "17")


def test_the_gate_is_the_one_that_gains_most_within_the_limit():
    table = read_rows(ROWS)
    assert choose(table) == Gate((-1.5 - 1.0) / 2)
    assert choose(table, limit=0) == Gate((-1.5 - 1.0) / 2)
    assert choose(table, (1, 2, 3)) == Gate((-2.0 - 1.5) / 2, 1)
    spoiling = read_rows([unsure(-2.0, "c", "16", "step 1 is wrong", "15")])
    assert choose(spoiling) == Gate(-math.inf)
    # One is spoiled before two are repaired: only a limit that allows it finds them.
    hard = read_rows([unsure(-3.0, "c", "16", "step 1 is wrong", "15"),
                      *(unsure(-2.0, name, "17", "step 1 is wrong", "16") for name in "ab")])
    assert choose(hard, limit=0.4) == Gate(-1.0)
    assert choose(hard, limit=0.1) == Gate(-math.inf)


def test_of_gates_that_gain_alike_the_order_in_which_they_are_tried_decides_nothing():
    table = read_rows(ROWS)
    for need in (1, 2, 3):  # each gains the one right answer of row a
        assert choose(table, (need,)) == Gate((-2.0 - 1.5) / 2, need)
    for tried in ((1, 2, 3), (3, 2, 1), (2, 3, 1)):
        assert choose(table, tried) == Gate((-2.0 - 1.5) / 2, 1)
    assert choose(table, (3, 2)) == Gate((-2.0 - 1.5) / 2, 2)
    # Row e gains nothing and loses nothing: the lower threshold stands.
    assert choose(read_rows([*ROWS[:2], ROWS[4]])) == Gate((-1.5 - 0.2) / 2)


def test_gated_rows_are_scored_as_others_are_and_need_no_texts():
    table = read_rows(ROWS)
    bare = read_rows([compact_row(one) | {name: one.row[name] for name in ("logprobs", "verifies")}
                      for one in table])
    for gate in (Gate(-1.2), Gate(-0.5, 2)):
        whole, short = list(gated(table, gate)), list(gated(bare, gate))
        assert [(one["v"], one["a2"]) for one in whole] == [(one["v"], one["a2"]) for one in short]
    report = self_verification(list(gated(bare, Gate(-1.2))))
    assert (report.counts["i_to_c"], report.counts["c_to_i"]) == ((2, 6), (0, 6))
    assert [one["scores"]["lenient"] for one in gated(bare, Gate(-1.2))] == [
        True, True, True, True, False, True]


def test_confidence_of_rows():
    report = confidence(ROWS)
    # Right: c, d and f (not known: least sure); wrong: a, b, e.
    assert report.auc_execute == pytest.approx((2 + 3 + 0) / 9)
    assert report.auc_verdict == pytest.approx((0.5 + 0.5 + 0.5 + 0.5 + 0 + 0 + 1 + 1 + 0.5) / 9)
    assert report.counts["auc_execute"] == (3, 6)
    low, high = report.interval("auc_decision")
    assert 0 <= low <= report.auc_decision <= high <= 1
    with pytest.raises(ValueError, match="do not pool"):
        confidence([*ROWS, unsure(-1, "g", setting="clean")])
    assert confidence([row()]).auc_execute is None
    # What VERIFY would have said is not known of a row that was sure.
    some = confidence([*ROWS, unasked(unsure(-0.01, "g"))])
    assert some.auc_decision is some.aurc_answer is None
    assert some.counts["auc_execute"] == some.counts["auc_verdict"] == (4, 7)
