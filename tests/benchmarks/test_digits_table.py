"""What the benchmark of VERIFY by digits counts, on rows and outcomes made by hand."""
from __future__ import annotations

import gzip
import json
import random

import digits_table
import numpy as np
import pytest
from synthetic import make_rows

from nanoreason.evaluation import self_verification
from nanoreason.evaluation.self_verification import count_table
from nanoreason.evaluation.rows import ScoredRow


def made(dev, test, condition="reread", seed=0):
    """A run of two settings, each (first, second, surest); an answer that differs from the
    result is objected to."""
    return {"condition": condition, "seed": seed, "settings": {
        name: {"first": first, "second": second, "surest": surest, "readable": "1" * len(first),
               "error": "".join(str(int(a != b)) for a, b in zip(first, second))}
        for name, (first, second, surest) in (("dev", dev), ("test", test))}}


# Repairs where EXECUTE was unsure, spoils where it was sure.
MIXED = "0011" * 50, "1100" * 50, [-2.0, -2.0, -0.1, -0.1] * 50


def test_a_gate_keeps_what_is_sure_and_heeds_what_is_not():
    run = made(MIXED, MIXED)
    assert digits_table.gain([run], "test")[0] == 0
    gated = digits_table.behind_gate(run, "test")
    assert gated[:, 1].all() and (gated[:, 0] == np.array([0, 0, 1, 1] * 50)).all()
    value, (low, high) = digits_table.gain([run], "test", digits_table.behind_gate)
    assert value == 50 and low < 50 < high


@pytest.mark.parametrize("dev, heeded", [("10", False), ("01", True)])
def test_the_threshold_comes_from_dev_alone(dev, heeded):
    """Where all objections of dev spoil none is heeded on test, where all repair each is."""
    first, second = dev
    run = made((first * 200, second * 200, [-1.0] * 200), ("01" * 100, "10" * 100, [-1.0] * 200))
    gated, plain = (judged(run, "test") for judged in (digits_table.behind_gate,
                                                       digits_table.outcomes))
    assert (gated == (plain if heeded else plain[:, :1])).all()


def test_a_gate_that_would_spoil_more_than_its_limit_stays_shut():
    first, second = "0" * 20 + "1" * 180, "1" * 20 + "0" * 2 + "1" * 178
    rows = first, second, [-1.0] * 200
    gated = digits_table.behind_gate(made(rows, rows), "test")
    assert (gated[:, 1] == [int(c) for c in first]).all()


def result(*runs, controls=()):
    return {"runs": list(runs), "controls": list(controls)}


def test_what_else_the_tokens_could_buy():
    """Of two EXECUTEs the drawn one counts only where it is the surer."""
    test = "0011", "0111", [-1.0, -1.0, -1.0, -1.0]
    run = made(test, test)
    run["settings"]["test"]["tokens"] = 20
    run["drawn"] = {"first": "1100", "tokens": 10, "surest": [-0.5, -2.0, -0.5, -1.0]}
    assert digits_table.surer(run).tolist() == [1, 0, 0, 1]
    ways = {one["way"]: one for one in digits_table.spent(result(run))}
    assert [one["tokens"] for one in ways.values()] == [10, 20, 20, 20]
    assert ways["VERIFY repairs"]["points"] == 25
    assert ways["EXECUTE, the surer of two"]["points"] == 0


def test_a_verify_that_is_not_written_costs_nothing():
    """The gate heeds the unsure half, whose texts alone are whole; a run that lacks the tokens of a
    text is refused."""
    run = made(MIXED, MIXED, digits_table.SHIPPED)
    run["settings"]["test"] |= {"tokens": 30, "each": [[10, 30], [11, 31], [12, 32], [13, 33]] * 50}
    assert digits_table.tokens_in_doubt(run, "test") == (30 + 31 + 12 + 13) / 4
    drawn = {"first": "01" * 100, "tokens": 10, "surest": [-9.0] * 200}
    usual = made(MIXED, MIXED) | {"drawn": drawn}
    usual["settings"]["test"]["tokens"] = 20
    *_, plain, doubt = digits_table.spent(result(usual, run))
    assert (plain["tokens"], plain["points"]) == (30, 0)
    assert (doubt["way"], doubt["tokens"], doubt["points"]) == (digits_table.IN_DOUBT, 21.5, 50)
    run["settings"]["test"]["each"] = []
    with pytest.raises(ValueError):
        digits_table.tokens_in_doubt(run, "test")


def test_what_the_folder_lacks_stays_and_what_it_holds_comes_in_its_place(tmp_path, monkeypatch):
    """If the base is the same; rows of another base are not kept beside these."""
    monkeypatch.setattr(digits_table, "asked", lambda: {})
    monkeypatch.setattr(digits_table, "counted", lambda rows: rows)
    (folder := tmp_path / "switch-1").mkdir()
    (folder / "environment.json").write_text('{"commit": "new"}')
    for name in digits_table.SETS:
        (folder / f"{name}.json.gz").write_bytes(gzip.compress(b'"new"'))
    old = [{"condition": name, "seed": seed, "settings": "old"}
           for name in ("reread", "switch") for seed in (0, 1)]
    control = {"condition": digits_table.PROSE, "seed": 2, "settings": "old"}
    before = {"base": digits_table.read_recipe()["sha256"], "runs": old, "controls": [control]}
    found = digits_table.score(tmp_path, before)
    assert found["runs"][:3] == old[:3] and found["controls"] == [control]
    assert [run["seed"] for run in found["runs"]] == [0, 1, 0, 1]
    assert found["runs"][3]["settings"] == dict.fromkeys(digits_table.SETS, "new")
    alone = digits_table.score(tmp_path, before | {"base": "another"})
    assert alone["runs"] == found["runs"][3:] and not alone["controls"]


def test_a_control_is_compared_with_the_run_of_its_own_seed():
    test = "0011", "0111", [-1.0] * 4
    runs = [made(test, test, seed=seed) for seed in (0, 1)]
    for run in runs:
        run["settings"]["test"]["tokens"] = 20
        run["drawn"] = {"first": "0011", "tokens": 10, "surest": [-2.0] * 4}
    control = made(test, ("1111", "1111", []), digits_table.PROSE, 1)
    control["settings"]["test"]["tokens"] = 15
    assert digits_table.PROSE not in {one["way"] for one in digits_table.spent(result(*runs))}
    ways = digits_table.spent(result(*runs, controls=[control]))
    found = next(one for one in ways if one["way"] == digits_table.PROSE)
    assert (found["tokens"], found["right"], found["points"]) == (15, [1.0], 50)


def test_what_runs_end_with_is_compared_problem_by_problem_and_seed_by_seed():
    def less(own, others, first="0110", of=digits_table.less, **more):
        runs = [made(("01", "01", [-1.0] * 2), (first, end, [-1.0] * 4), name, seed)
                for name, ends in (("a", own), ("b", others)) for seed, end in enumerate(ends)]
        return of(result(*runs), "a", "b", **more)

    assert less(("1110", "0111"), ("1110", "0111")) == (0, [0, 0])
    points, (low, high) = less(("1110",), ("0111", "0000"))
    assert points == 0 and low < 0 < high  # one more here, one more there
    assert less(("1111", "1111"), ("0000", "0000", "1111")) == (100, [100, 100])
    assert less(("1111", "0000"), ("0000", "0000"))[0] == 50
    gains = {"of": digits_table.less_gain, "name": "test", "judged": digits_table.outcomes}
    assert less(("1111",), ("0111",), "0111", **gains)[0] == 25
    assert less(("1111",), ("1111",), "0000", **gains) == (0, [0, 0])


@pytest.fixture
def of_claims():
    """Three seeds of profile nano, in which five of ten wrong results are mended and a tenth of
    the right ones is spoiled where EXECUTE was sure, and others that end with less."""
    first, second = "0" * 10 + "1" * 30, "1" * 5 + "0" * 5 + "1" * 27 + "0" * 3
    surest = [-2.0] * 10 + [-0.1] * 30
    names = ("reread", "mean over tokens", "one adapter", digits_table.SHIPPED)
    runs = [made((first, end, surest), (first, end, surest), name, seed)
            for name, end in zip(names, (second, first, "0" * 40, second)) for seed in range(3)]
    for run in runs:
        for name in ("injected", "clean", "test_999"):
            run["settings"][name] = run["settings"]["test"] | {"surest": []}
    controls = [made((first, first, []), (first, first, []), digits_table.PROSE, seed)
                for seed in range(2)]
    return result(*runs, controls=controls)


def test_claims_are_answered_as_those_of_the_grid_are(of_claims):
    found = {(answer.hypothesis.claim, answer.hypothesis.of): answer
             for answer in digits_table.claims(of_claims)}
    stages = found["four stages help", "lenient"]
    assert stages.seeds == (0, 1) and stages.word == "not decided"  # a word needs three seeds
    svr = found["the second adapter helps", "svr"]
    # 5 of 10 repaired, 27 of 30 kept; whoever ends with nothing right repairs and keeps none.
    assert (svr.first, svr.second) == (pytest.approx(2 * 0.5 * 0.9 / (0.5 + 0.9)), 0)
    assert svr.word == found["the second adapter helps", "a2"].word == "holds"
    plain, doubt = (found["VERIFY corrects" + how, "delta"] for how in ("", digits_table.DOUBT))
    assert plain.mean == pytest.approx(2 / 40) and doubt.mean == pytest.approx(5 / 40)
    assert found["the step-aware loss helps", "a2"].mean == pytest.approx(2 / 40)
    assert [row[2] for row in digits_table.parts_table(of_claims).rows] == [
        "75.0 % (90/120)"] * 4  # a1
    of_claims["runs"] = of_claims["runs"][:-3]
    *_, plain, doubt = digits_table.claims(of_claims)
    assert plain.mean is doubt.mean is None and plain.word == doubt.word == "not decided"  # no run


def test_a_repair_of_a_result_that_cannot_be_read_is_no_success():
    run = made(("01", "11", [-1.0] * 2), ("01", "11", [-1.0] * 2))
    assert digits_table.verify_counts([run], ["test"])["repaired"] == (1, 1)
    run["settings"]["test"]["readable"] = "01"
    assert digits_table.verify_counts([run], ["test"])["repaired"] == (0, 1)


def test_prose_is_scored_by_its_last_number(tmp_path):
    row = {"problem_id": "p", "setting": "natural", "language": "en", "gold": "7",
           "question": "What is 3 + 4?"}
    texts = [{"problem_id": "p", "text": "3 + 4 = 7. The answer is 7.", "surest": None,
              "until_verify": 12}]
    (tmp_path / "test.json.gz").write_bytes(gzip.compress(json.dumps(texts).encode()))
    for of, right in (("lenient", "1"), ("first", "0")):
        found = digits_table.executed(tmp_path / "test.json.gz", [row], of)
        assert found == {"first": right, "second": right, "readable": right, "error": "0",
                         "surest": [0.0], "tokens": 12}


@pytest.mark.parametrize("seed", range(3))
def test_counts_are_those_of_the_scores(seed):
    rows = [row | {"tokens": 7, "until_verify": len(row["text"])} for row in make_rows(60, seed)
            if row["setting"] == "natural"]
    random.Random(seed).shuffle(rows)
    found = digits_table.counted(rows)
    assert found == digits_table.counted(reversed(rows)) and found["tokens"] == 7
    run, scores = {"settings": {"test": found}}, self_verification(rows)
    rebuilt = digits_table.table_of(run, ["test"])[:, :7]  # lenient is told of no row
    ordered = sorted(rows, key=lambda row: row["problem_id"])
    assert found["each"] == [[len(row["text"]), 7] for row in ordered]
    assert (rebuilt == count_table(map(ScoredRow, ordered))[:, :7]).all()
    counts = digits_table.verify_counts([run], ["test"])
    assert counts["recall"] == tuple(scores.counts["recall"])
    assert counts["specificity"] == tuple(scores.counts["specificity"])
