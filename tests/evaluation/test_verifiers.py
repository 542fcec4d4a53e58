"""Verifiers by rule, strategies that game the score, and what the scores make of them."""
import csv
import random

import pytest
from synthetic import make_rows

from nanoreason import paths
from nanoreason.evaluation.self_verification import (PROMPTED, by_kind, by_steps, by_verifier,
                                                     graph_oracle, step_checker, with_verify)
from nanoreason.evaluation.report import compare
from gaming import LOW, STRATEGIES, always_agrees, audit, audit_table, passed, spoiler
from nanoreason.evaluation.rows import compact_row, read_row
from nanoreason.evaluation import self_verification
from nanoreason.evaluation.summary import summarise
from nanoreason.trace import before_verify, parse_trace, read_claims
from nanoreason.figures.tables import make_tables

QUESTION = "Ann has 12 apples. She buys 9 more and gives 5 away. Bob has 4. How many have they?"
HEAD = "[UNDERSTAND]\nGiven: 12; 9; 5; 4\n[PLAN]\n1. Add.\n2. Subtract.\n3. Add.\n[EXECUTE]\n"
TEACHER = (f"{HEAD}1. 12 + 9 = 21\n2. 21 - 5 = 16\n3. 16 + 4 = 20\nResult: 20\n[VERIFY]\n"
           "1. 21 - 9 = 12\n2. 16 + 5 = 21\n3. 20 - 4 = 16\nVerdict: correct\nAnswer: 20")


def row(execute, result, setting="natural"):
    return {"problem_id": "p", "sample": 0, "setting": setting, "split": "test",
            "question": QUESTION, "gold": "20", "teachers": [TEACHER], "planted": None,
            "intervention": None,
            "text": f"{HEAD}{execute}\nResult: {result}\n[VERIFY]\nVerdict: correct\nAnswer: 1"}


@pytest.fixture(scope="module")
def rows():
    return make_rows(24, splits=("test",))


def test_the_step_checker_finds_a_false_equation_and_carries_the_right_value_on():
    wrong = row("1. 12 + 9 = 22\n2. 22 - 5 = 17\n3. 17 + 4 = 21", 21)
    trace = parse_trace(step_checker(wrong)["text"])
    assert trace.verdict == 1 and trace.answer == "20"
    assert trace.repairs == ("12 + 9 = 21", "21 - 5 = 16", "16 + 4 = 20")
    assert trace.checks == ("22 - 9 = 13",)
    late = step_checker(row("1. 12 + 9 = 21\n2. 21 - 5 = 17\n3. 17 + 4 = 22", 22))
    assert parse_trace(late["text"]).repairs == ("21 - 5 = 16", "16 + 4 = 20")


def test_the_step_checker_knows_arithmetic_alone():
    operand = row("1. 12 + 5 = 17\n2. 17 - 9 = 8\n3. 8 + 4 = 12", 12)  # true, but not the problem
    claims = read_claims(step_checker(operand)["text"])
    assert claims.verdict is None and claims.verdict_readable and claims.a2 == "12"
    # A line in words cannot be carried past: blamed, not repaired.
    words = row("1. 12 + 9 = 22\n2. take five away\n3. 17 + 4 = 21", 21)
    claims = read_claims(step_checker(words)["text"])
    assert (claims.verdict, claims.a2) == (1, "21")
    nothing = step_checker(row("1. no sums here", "")) | {"gold": "20"}
    assert not read_row(nothing).first


def test_two_independent_false_lines_are_both_worked_out():
    two = row("1. 12 + 9 = 22\n2. 5 + 4 = 8\n3. 22 - 8 = 14", 14)
    assert parse_trace(step_checker(two)["text"]).repairs == (
        "12 + 9 = 21", "5 + 4 = 9", "21 - 9 = 12")


def test_the_oracle_knows_the_teachers_graph():
    operand = row("1. 12 + 5 = 17\n2. 17 - 9 = 8\n3. 8 + 4 = 12", 12)
    trace = parse_trace(graph_oracle(operand)["text"])
    assert trace.verdict == 1 and trace.answer == "20"
    right = row("1. 12 + 9 = 21\n2. 21 - 5 = 16\n3. 16 + 4 = 20", 20)
    right = parse_trace(graph_oracle(right)["text"])
    assert right.verdict is None and right.answer == "20"
    # True steps under a false result: the last step is blamed.
    result = row("1. 12 + 9 = 21\n2. 21 - 5 = 16\n3. 16 + 4 = 20", 19)
    assert parse_trace(graph_oracle(result)["text"]).verdict == 3
    # Of two teachers the closer one counts, wherever it stands.
    late = row("1. 12 + 9 = 21\n2. 21 - 5 = 17\n3. 17 + 4 = 21", 21)
    other = TEACHER.replace("1. 12 + 9 = 21\n2. 21 - 5 = 16", "1. 9 - 5 = 4\n2. 12 + 4 = 16")
    for teachers in ([TEACHER, other], [other, TEACHER]):
        late["teachers"] = teachers
        assert read_row(late).wrong_step == 2 == parse_trace(graph_oracle(late)["text"]).verdict
    with pytest.raises(ValueError, match="no teacher"):
        graph_oracle(operand | {"teachers": []})


@pytest.mark.parametrize("setting", ["natural", "given"])
def test_the_oracle_is_the_ceiling_and_the_checker_lies_below(rows, setting):
    chosen = [r for r in rows if (r["setting"] == "natural") == (setting == "natural")
              and r["setting"] != "intervened"]
    oracle = self_verification([graph_oracle(r) for r in chosen])
    checker = self_verification([step_checker(r) for r in chosen])
    readable = sum(read_row(r).readable for r in chosen if not read_row(r).first)
    assert oracle.counts["svr"][0][0] == readable and oracle.specificity == oracle.recall == 1
    assert 0 < checker.svr < oracle.svr and checker.specificity == 1


def test_only_verify_is_replaced(rows):
    for one in [r for r in rows if r["setting"] != "intervened"][::7]:
        before = read_row(one)
        for write in (step_checker, graph_oracle, *(s.write for s in STRATEGIES if s.bar != "a1")):
            after = read_row(write(before))
            assert before_verify(write(before)["text"]) == before_verify(one["text"])
            assert (after.first, after.readable, after.steps) == (
                before.first, before.readable, before.steps)
    with pytest.raises(ValueError, match="has no text"):
        with_verify({"problem_id": "p", "setting": "natural"}, (), None, (), None)


@pytest.mark.parametrize("head", ["#### VERIFY ####", "<VERIFY>", "  [VERIFY]"])
def test_a_verify_in_another_spelling_is_replaced_too(head):
    assert before_verify(f"[EXECUTE]\n1. 1 + 1 = 2\n{head}\nAnswer: 2") == (
        "[EXECUTE]\n1. 1 + 1 = 2\n")
    assert before_verify("no stage") == "no stage\n"


# --- the audit ------------------------------------------------------------------------------

def test_every_strategy_is_seen_through(rows):
    found = {item["name"]: item for item in audit(rows)}
    assert len(found) == len(STRATEGIES) + 1
    for strategy in STRATEGIES:
        item = found[strategy.name]
        assert item["passed"] is True, strategy.name
        if strategy.bar == "low":
            assert item["natural"]["svr"]["value"] <= LOW >= item["given"]["svr"]["value"]
    own = found["the run's own VERIFY"]
    assert own["passed"] is None and own["natural"]["svr"]["value"] > 0.1
    table = audit_table(found.values(), "synthetic").markdown()
    assert table.count("| yes |") == len(STRATEGIES) and "| no |" not in table


def test_the_audit_says_where_a_strategy_is_not_seen_through(rows):
    low = passed("low", {"natural": {"svr": {"value": 0.051}}}, None)
    null = passed("null", {"natural": {"svr": {"value": 0.6, "interval": (0.5, 0.7),
                                                       "null": 0.4}}}, None)
    natural = [r for r in rows if r["setting"] == "natural"]
    honest = passed("a1", {}, compare(natural, natural, "a1"))
    assert (low, null, honest) == (False, False, False)
    assert passed("low", {"natural": None, "given": None}, None) is None


def test_the_spoiler_wins_svr_and_loses_results(rows):
    natural = [r for r in rows if r["setting"] == "natural"]
    spoiled = [spoiler(read_row(r)) for r in natural]
    # It finds no error but its own: without those it would always agree.
    assert self_verification([always_agrees(read_row(r)) for r in natural]).svr == 0
    assert self_verification(spoiled).svr > 0.4
    paired = compare(spoiled, natural, "a1")
    assert paired["difference"] < -0.2 and paired["interval"][1] < 0
    assert self_verification(spoiled).accuracy_a2 == self_verification(natural).accuracy_a1


def test_the_committed_audit_is_that_of_the_committed_rows():
    folder = paths.RESULTS / "nano-reference" / "tables"
    with (folder / "audit.csv").open(encoding="utf-8") as file:
        table = {line[0]: line for line in csv.reader(file)}
    assert [table[s.name][6] for s in STRATEGIES] == ["yes"] * len(STRATEGIES)
    with (folder / "verification.csv").open(encoding="utf-8") as file:
        svr = next(line for line in csv.reader(file) if line[0] == "SVR")[2]
    assert table["the run's own VERIFY"][2] == svr


# --- apart ----------------------------------------------------------------------------------

def test_scores_by_kind_are_of_matched_rows(rows):
    given = [r for r in rows if r["setting"] in ("injected", "clean")]
    kinds = by_kind(given)
    injected = [r for r in given if r["setting"] == "injected"]
    assert sum(scores["n"] for scores in kinds.values()) == 2 * len(injected)
    for kind, scores in kinds.items():
        chosen = [r for r in injected if r["planted"]["kind"] == kind]
        assert scores["recall"]["counts"][1] == scores["specificity"]["counts"][1] == len(chosen)
        problems = {r["problem_id"] for r in chosen}
        same = [r for r in given if r["problem_id"] in problems]
        assert scores["svr"]["value"] == self_verification(same).svr


def test_scores_by_steps_add_up(rows):
    natural = [r for r in rows if r["setting"] == "natural"]
    found = by_steps(natural)
    assert list(found) == sorted(found) and len(found) > 1
    for steps, scores in found.items():
        chosen = [r for r in natural if read_claims(r["teachers"][0]).execute[int(steps):] == ()
                  and len(read_claims(r["teachers"][0]).execute) == int(steps)]
        assert scores["n"] == len(chosen)
        assert scores["recall"]["value"] == self_verification(chosen).recall
    assert list(by_steps([r | {"teachers": []} for r in natural[:3]])) == ["unknown"]


def test_near_counts_the_neighbours_of_the_first_wrong_step():
    wrong = row("1. 12 + 9 = 22\n2. 22 - 5 = 17\n3. 17 + 4 = 21", 21)
    blames = [with_verify(wrong, ("0 + 0 = 0",) * k, k, ("1 + 1 = 2",), "2") for k in (1, 2, 3)]
    report = self_verification([*blames, with_verify(wrong, (), "correct", (), "21")])
    assert report.counts["first_wrong_step"] == (1, 4)
    assert report.counts["first_wrong_step_near"] == (2, 4)


def test_the_summary_holds_what_stands_beside_the_run(rows):
    natural = [r for r in rows if r["setting"] == "natural"]
    rng = random.Random(0)
    silent = [r | {"text": r["text"] if rng.random() < 0.5 else "no"} for r in natural]
    summary = summarise(rows, others={"plain": silent}, prompted_rows=silent,
                        no_verify_loss=["plain"], run="synthetic")
    found = summary["verifiers"]["natural"]
    assert set(found) == {PROMPTED, "plain", "step checker", "graph oracle"}
    assert found["plain"] == found[PROMPTED] != found["step checker"]
    assert summary["verifiers"]["given"]["plain"] is None  # no rows with EXECUTE given
    tables = make_tables(summary)
    text = tables["verifiers"].markdown()
    assert "plain, without VERIFY loss" in text and "this run" in text
    assert "not run" in tables["verifiers_given"].markdown()
    section = summary["splits"]["test"]
    assert section["given"]["by_kind"].keys() <= section["given"]["kinds"].keys()
    for name in ("kinds_scores", "steps", "steps_given"):
        assert tables[name].title.startswith("SMOKE") and len(tables[name].rows) > 1
    elsewhere = make_tables(summarise([row | {"split": "test_ood"} for row in natural]))
    assert all("not run" in elsewhere[name].markdown() for name in ("steps", "kinds_scores"))


def test_rules_are_none_where_the_texts_may_not_be_kept(rows):
    compact = [compact_row(r) for r in rows if r["setting"] == "natural"]
    assert by_verifier(compact)["natural"]["step checker"] is None
    assert list(by_steps(compact)) == list(by_steps(rows_of(rows)))


def rows_of(rows):
    return [r for r in rows if r["setting"] == "natural"]
