"""summary.json and the tables: counts by hand, nothing pooled, nothing invented."""
import subprocess
import sys

import pytest
from synthetic import make_rows, make_run

from nanoreason.data.errors import KINDS
from nanoreason.runs import RunError
from nanoreason.evaluation import self_verification
from nanoreason.evaluation.report import harmonic_mean, wilson
from nanoreason.evaluation.summary import (count_kinds, find_base, find_gate, find_others,
                                           find_prompted, lacks_verify_loss, open_run, summarise)
from nanoreason.figures.tables import make_tables
from nanoreason.solution import threshold


@pytest.fixture(scope="module")
def rows():
    return make_rows(10)


@pytest.fixture(scope="module")
def summary(rows):
    base = make_rows(10, seed=1, base=True)
    return summarise(rows, base, run="synthetic", base_run="nano-base")


def trace(a1, verdict, a2, gold="5"):
    repair = "1. 2 + 3 = 5\n" if verdict != "correct" else ""
    return {"problem_id": f"p{a1}{verdict}{a2}", "sample": 0, "setting": "natural",
            "split": "test", "question": "Ann has 2 pears and buys 3. How many has she?",
            "gold": gold, "teachers": [], "planted": None, "intervention": None,
            "text": f"[UNDERSTAND]\nGiven: 2; 3\n[PLAN]\n1. Add.\n[EXECUTE]\n1. 2 + 3 = {a1}\n"
                    f"Result: {a1}\n[VERIFY]\n1. {a1} - 3 = 2\nVerdict: {verdict}\n"
                    f"{repair}Answer: {a2}"}


@pytest.fixture(scope="module")
def four():
    """Caught and repaired, missed, kept, spoiled: one trace each."""
    wrong = "step 1 is wrong"
    return [trace(6, wrong, 5), trace(7, "correct", 7), trace(5, "correct", 5),
            trace(5, wrong, 9)]


def test_scores_of_four_traces_are_those_counted_by_hand(four):
    section = summarise(four)["splits"]["test"]
    assert section["n"] == 4
    assert section["accuracy"]["a1"]["counts"] == [2, 4]
    assert section["accuracy"]["a2"]["counts"] == [2, 4]
    assert section["verification"]["svr"]["value"] == pytest.approx(0.5)
    assert section["verification"]["svr"]["counts"] == [[1, 2], [1, 2]]
    assert section["verification"]["i_to_c"]["counts"] == [1, 4]
    assert section["verification"]["c_to_i"]["counts"] == [1, 4]
    assert section["accuracy"]["a2"]["interval"] == pytest.approx(list(wilson(2, 4)))
    cells = {(c["a1_right"], c["verdict_error"], c["a2_right"]): c["count"]
             for c in section["cells"]}
    assert {key for key, n in cells.items() if n} == {
        (False, True, True), (False, False, False), (True, False, True), (True, True, False)}
    assert sum(cells.values()) == 4


def test_reading_each_row_once_changes_no_score(rows):
    natural = [r for r in rows if r["setting"] == "natural" and r["split"] == "test"]
    given = [r for r in rows if r["setting"] in ("injected", "clean")]
    section = summarise(rows)["splits"]["test"]
    for part, report in ((section["verification"], self_verification(natural)),
                         (section["given"]["verification"], self_verification(given))):
        for name in report.counts:
            assert part[name]["value"] == getattr(report, name), name
        assert part["svr"]["null"] == report.svr_null


def test_the_splits_stay_apart(rows, summary):
    for split in ("test", "test_template", "test_ood"):
        alone = summarise([r for r in rows if r["split"] == split])["splits"]
        assert alone[split]["verification"] == summary["splits"][split]["verification"]
        assert all(alone[other] is None for other in alone if other != split)


def test_base_and_tuned_are_paired_by_problem(four):
    base = [row | {"text": "nothing"} for row in four[:3]]
    result = summarise(four, base)["splits"]["test"]
    assert result["base"]["a2"]["counts"] == [0, 3]
    paired = result["comparison"]["a2"]
    assert (paired["n"], paired["only_first"], paired["only_second"]) == (3, 2, 0)
    assert paired["p_value"] == pytest.approx(2 * 0.5**2)  # two pairs that differ, both ways
    assert paired["difference"] == pytest.approx(2 / 3)


def test_further_runs_are_compared_on_the_natural_test_traces(rows, four):
    other = [row | {"text": "nothing"} for row in four]
    elsewhere = [row for row in rows if row["split"] != "test"]
    others = summarise([*four, *elsewhere], others={"silent": other})["others"]
    assert others["silent"]["a1"]["n"] == 4
    assert others["silent"]["a1"]["only_first"] == 2
    assert "test, silent" in make_tables(
        summarise(four, others={"silent": other}))["comparison"].markdown()


@pytest.mark.parametrize("change, said", [
    (lambda rows: rows[:3], "3 problems are the same, 1 only in the first, 0 only in the second"),
    (lambda rows: [row | {"problem_id": f"x{row['problem_id']}"} for row in rows], "0 problems"),
    (lambda rows: [row | {"gold": "6"} for row in rows], "0 problems are the same"),
    (lambda rows: [row | {"question": "What else?"} for row in rows], "0 problems are the same"),
])
def test_runs_on_different_problems_are_not_compared(four, change, said):
    with pytest.raises(RunError, match=f"runs mine and theirs answered different.*{said}"):
        summarise(four, others={"theirs": change(four)}, run="mine")


def test_a_run_without_the_loss_of_verify_is_known_by_its_parameters(workspace):
    run = make_run("half", n=2)
    assert not lacks_verify_loss(run)
    for params in ({"phase": "reasoning", "verify_weight": 1.0}, {"verify_weight": 0.0}):
        run.write_params(params)
        assert lacks_verify_loss(run)
    assert find_prompted(run) is None
    make_run("half-prompted", n=2)
    assert find_prompted(run).name == "half-prompted"


def test_rows_beside_a_run_are_of_its_weights(workspace, capsys):
    """What stands beside the first training of a name is not that of the next one."""
    run = make_run("half", n=2)
    for find, what in ((find_gate, "gate"), (find_prompted, "prompted"), (find_base, "base")):
        found, key = make_run(f"half-{what}", n=2, base=True), {
            find_gate: "adapters_sha256"}.get(find, "base_version")
        assert find(run) == found  # nothing is recorded
        found.write_params({"base": "nano", key: "a" * 64})
        for own, known in (("a", True), ("b", False)):
            run.write_environment({"training": {key: own * 64}})
            assert (find(run) == found) is known
            assert (f"half-{what} is of other weights" in capsys.readouterr().out) is not known
        if what == "gate":
            assert threshold("half") is None


def test_a_gate_of_other_problems_is_not_compared_but_keeps_its_threshold(workspace, capsys):
    run, gate = make_run("half", n=2), make_run("half-gate", n=3)
    assert find_gate(run) is None and find_gate(run, compared=False) == gate
    assert "run half-gate answered other problems and is left out" in capsys.readouterr().out


def test_the_control_without_the_loss_of_verify_is_found_by_its_name(workspace):
    run, other = make_run("half", n=2), make_run("other", n=2)
    assert find_others(run) == [] and find_others(run, ["other"]) == [other]
    control = make_run("half-no-verify", n=2)
    assert find_others(run, ["other"]) == [other, control]
    assert find_others(run, ["half-no-verify"]) == [control]
    with pytest.raises(RunError, match="nobody"):
        find_others(run, ["nobody"])


def test_what_was_not_generated_is_none_and_says_not_run(four):
    summary = summarise(four)
    section = summary["splits"]["test"]
    assert section["given"] is None and section["base"] is None
    assert section["faithfulness"]["causal_rate"] is None
    assert summary["splits"]["test_ood"] is None
    tables = make_tables(summary)
    cells = {row[0]: row[2:] for row in tables["faithfulness"].rows}
    assert cells["causal rate"] == ("not run",) * 4
    # There are traces, but no teacher to compare them with: measured over nothing.
    assert cells["edge F1"] == ("n/a (n=0)", *["not run"] * 3)
    assert "not run" in tables["kinds"].markdown()


def test_injected_rows_without_clean_ones_are_not_scored(rows):
    injected = [r for r in rows if r["setting"] in ("injected", "natural")]
    assert summarise(injected)["splits"]["test"]["given"] is None


def test_kinds_count_every_injected_row_once(rows, summary):
    kinds = summary["splits"]["test"]["given"]["kinds"]
    planted = [r["planted"]["kind"] for r in rows if r["setting"] == "injected"]
    for kind, scores in kinds.items():
        assert scores["detected"]["counts"][1] == planted.count(kind)
        assert scores["located"]["counts"][0] <= scores["detected"]["counts"][0]
    agreed = [r | {"text": r["text"].split("[VERIFY]")[0] + "[VERIFY]\n1. 1 + 1 = 2\n"
                   f"Verdict: correct\nAnswer: {r['gold']}"}
              for r in rows if r["setting"] == "injected"]
    assert all(s[name]["counts"][0] == 0 for s in count_kinds(agreed).values() for name in s)
    recall = summary["splits"]["test"]["given"]["verification"]["recall"]["counts"]
    assert sum(s["detected"]["counts"][0] for s in kinds.values()) == recall[0]


def test_the_null_of_rfs_keeps_the_causal_rate(summary):
    scores = summary["splits"]["test"]["faithfulness"]
    expected = harmonic_mean(scores["edge_f1"]["null"], scores["causal_rate"]["value"])
    assert scores["rfs"]["null"] == pytest.approx(float(expected))
    assert scores["rfs"]["null"] < scores["rfs"]["value"]


def test_kinds_of_several_samples_are_clustered_by_problem():
    rows = [trace(6, "step 1 is wrong" if k < 5 else "correct", 5)
            | {"problem_id": str(k), "sample": sample, "setting": "injected",
               "planted": {"step": 1, "kind": KINDS[0], "origin": "rules"}}
            for k in range(10) for sample in range(10)]
    many, once = (count_kinds(some)[KINDS[0]]["detected"]
                  for some in (rows, [row for row in rows if not row["sample"]]))
    assert many["counts"] == (50, 100) and once["interval"] == wilson(5, 10)
    low, high = many["interval"]
    assert high - low > 0.5  # Wilson's of 50 in 100 is 0.19 wide


def test_summary_is_read_back_as_it_was_returned(workspace, rows, summary):
    run = make_run(n=2)
    run.write_summary(summary)
    assert run.read_summary() == summary


def test_a_missing_run_or_file_names_the_notebook_that_makes_it(workspace):
    with pytest.raises(RunError, match="03_evaluate with run = 'ghost'"):
        open_run("ghost", "generations.jsonl")
    run = make_run("half", n=2)
    with pytest.raises(RunError, match="half has no summary.json.*04_metrics"):
        open_run("half", "summary.json")
    assert find_base(run) is None
    make_run("nano-base", n=2, base=True)
    assert find_base(run).name == "nano-base"
    make_run("half-base", n=2, base=True)
    assert find_base(run).name == "half-base"


def test_scores_are_read_and_made_without_torch():
    """A run's files are all that is needed: no model, and not the seconds that torch takes."""
    code = ("import sys, nanoreason.evaluation.summary, nanoreason.figures.tables\n"
            "sys.exit('torch' in sys.modules)")
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
