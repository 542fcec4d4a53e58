"""Every number of the README comes from a committed file and comes out of it again."""
from __future__ import annotations

import json
import re

import pytest
import yaml

from nanoreason import paths
from nanoreason.evaluation.generate import EVALUATED
from nanoreason.runs import Run
from nanoreason.evaluation import accuracy
from study import cost_table
from nanoreason.evaluation.summary import find_others, find_prompted, lacks_verify_loss, summarise
from nanoreason.figures.tables import put_results, show

README = (paths.ROOT / "README.md").read_text(encoding="utf-8")
REFERENCE = Run(paths.RESULTS / "nano-reference")
BASE = Run(paths.RESULTS / "nano-reference-base")


@pytest.fixture(scope="module")
def summary():
    return REFERENCE.read_summary()


def test_the_results_table_is_that_of_the_committed_run(summary):
    assert put_results(README, summary) == README


def test_the_committed_summary_is_worked_out_again_from_the_rows(summary):
    prompted, others = find_prompted(REFERENCE), find_others(REFERENCE)
    fresh = summarise(REFERENCE.read_generations(), BASE.read_generations(),
                      others={run.name: run.read_generations() for run in others},
                      prompted_rows=prompted.read_generations() if prompted else None,
                      no_verify_loss=[run.name for run in others if lacks_verify_loss(run)],
                      run="nano-reference", base_run="nano-reference-base")
    assert fresh == summary


def test_one_changed_row_changes_the_summary():
    rows = [row for row in REFERENCE.read_generations() if row["setting"] == "natural"
            and row["split"] == "test" and f"Answer: {row['gold']}" in row["text"]][:50]
    before = summarise(rows)
    rows[7]["text"] = rows[7]["text"].replace(f"Answer: {rows[7]['gold']}", "Answer: 100000")
    assert summarise(rows) != before


def test_the_count_on_real_questions_is_that_of_the_committed_run():
    run = Run(paths.RESULTS / "nano-gsm8k")
    right, asked = accuracy(run.read_generations()).counts["strict"]
    traces = run.read_environment()["training"]["traces"]
    assert f"strict {right} of {asked} test questions after tuning on {traces} traces" in README


def test_the_sentence_on_smollm2_is_that_of_the_committed_run():
    """README: a small real model on a few hundred real traces, and how little it learned."""
    run = Run(paths.RESULTS / "smollm2-gsm8k")
    rows, facts = run.read_generations(), run.read_environment()
    counts, training = accuracy(rows).counts, facts["training"]
    (strict, asked), lenient = counts["strict"], counts["lenient"][0]
    too_long, asked_traces = training["too_long"], training["traces"]
    never = sum(not row["scores"]["reached_verify"] for row in rows)
    tokens = yaml.safe_load(run.path(EVALUATED).read_text())["max_new_tokens"]
    minutes = round(facts["seconds"] / 60)
    assert (f"(profile `smollm2`, two CPU cores, {minutes} minutes) tuned for one epoch on "
            f"{asked_traces - too_long} of {asked_traces} rule-made traces, {too_long} being too "
            f"long, answers strict {strict} and lenient {lenient} of {asked} GSM8K test questions; "
            f"{never} of its answers do not reach VERIFY in {tokens} tokens"
            in README)
    assert f"{training['optimiser_steps']} optimiser steps teach it" in README
    assert facts["dirty"] is False and run.read_params()["epochs"] == 1
    assert f"has been trained on {asked_traces - too_long} traces" in README
    assert f"{asked_traces} traces took {minutes} minutes" in (
        paths.ROOT / "params/smollm2.yaml").read_text(encoding="utf-8")


def test_the_sentences_on_verify_hold(summary):
    """README: both bars of VERIFY are missed, recall's narrowly; no gain of VERIFY is shown."""
    test = summary["splits"]["test"]
    given = test["given"]["verification"]
    low, high = given["recall"]["interval"]
    assert given["recall"]["value"] < 0.6 < high and given["specificity"]["interval"][1] < 0.9
    found, kept = given["svr"]["counts"]
    blamed = show("first_wrong_step", given["first_wrong_step"]).split(" [")[0]
    assert (f"it objects to {show('recall', given['recall'])}, blames the right step in {blamed} "
            f"and repairs {found[0] / found[1]:.1%} ({found[0]}/{found[1]}); right traces it leaves "
            f"alone in {show('specificity', given['specificity'])}.").replace("%", " %").replace(
                "  %", " %") in README
    verifiers, own = summary["verifiers"], test["verification"]["svr"]["value"]
    checker = verifiers["natural"]["step checker"]["svr"]["value"]
    assert (f"reaches an SVR of {100 * checker:.1f} % there; VERIFY reaches {100 * own:.1f} %"
            in README)
    checker = verifiers["given"]["step checker"]["svr"]["value"]
    assert (f"the checker reaches {100 * checker:.1f} %, VERIFY {100 * given['svr']['value']:.1f} %"
            in README)
    low, high = test["verification"]["delta"]["interval"]
    assert low < 0 < high
    for section in summary["splits"].values():
        svr = section["verification"]["svr"]
        assert svr["value"] > svr["null"]
    longer = summary["splits"]["test_ood"]
    assert longer["accuracy"]["lenient"]["value"] < longer["base"]["lenient"]["value"] / 5


def test_the_sentences_on_the_other_verifiers_hold(summary):
    """README: what learning VERIFY costs EXECUTE, and the base under a four-stage prompt."""
    paired = summary["others"]["nano-reference-no-verify"]["a1"]
    verifiers = summary["verifiers"]["natural"]
    alone = verifiers["nano-reference-no-verify"]["accuracy_a1"]
    share = show("accuracy_a1", alone).split(" [")[0]
    low, high = paired["interval"]
    assert (f"gets {share} of the results right on the same problems, the run of reference "
            f"{100 * paired['difference']:+.1f} points [{100 * low:+.1f} to {100 * high:+.1f}]"
            in README)
    assert high < 0
    prompted = verifiers["base, four-stage prompt"]
    (first, asked), (second, _) = (prompted[name]["counts"]
                                   for name in ("accuracy_a1", "accuracy_a2"))
    assert (f"states the right result in {first} of {asked} test problems and the right answer "
            f"in {second}.") in README


def test_the_attempts_at_verify_end_with_the_run_of_reference(summary):
    """README: what was tried beside it, with its counts."""
    tried = json.loads((paths.RESULTS / "verify-attempts.json").read_text())
    given = summary["splits"]["test"]["given"]["verification"]
    last = tried["attempts"][-1]
    for score in ("recall", "specificity"):
        assert last[score] == given[score]["counts"]
    reference, digits = tried["screened"][:2]
    assert (f"to more ({digits['recall'][0]} of {digits['recall'][1]} against "
            f"{reference['recall'][0]}, at a specificity of {digits['specificity'][0]} against "
            f"{reference['specificity'][0]})") in README
    for attempt in tried["attempts"] + tried["screened"]:
        met = [right / asked >= bar for (right, asked), bar in (
            (attempt[score], tried["bar"][score]) for score in ("recall", "specificity"))]
        assert not all(met)  # "None of them meets both bars"


def test_the_cost_is_that_of_the_committed_measurement():
    costs = json.loads((paths.RESULTS / "costs.json").read_text())
    between = README.split("<!-- cost:begin -->\n")[1].split("\n<!-- cost:end -->")[0]
    assert between == cost_table(costs)


def test_every_link_of_the_readme_leads_somewhere():
    for target in re.findall(r"\]\(([^)#:]+)\)", README):
        assert (paths.ROOT / target).exists(), target
