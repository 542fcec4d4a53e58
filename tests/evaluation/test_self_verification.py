"""Scores on scripted verifiers: what cannot be earned by form must come out as 0."""
import math
import random

import pytest

from synthetic import QUESTION, row

from nanoreason.data.errors import KINDS, CorruptionError
from nanoreason.data import corrupt
from nanoreason.data.procedural import problems
from nanoreason.evaluation.rows import compact_row, is_ritual
from nanoreason.arithmetic.answers import last_number, same_answer
from nanoreason.evaluation import accuracy, self_verification
from nanoreason.evaluation.report import compare
from nanoreason.evaluation.report import wilson
from nanoreason.data.verify_lines import procedural_trace
from nanoreason.trace import read_claims, render_trace


def gold_pairs(count=60):
    """Clean and injected gold traces of procedural problems, as injected and clean rows."""
    rows = []
    for problem in problems("train", count, seed=2):
        trace = procedural_trace(problem)
        rng = random.Random(problem.id)
        for kind in rng.sample(KINDS, len(KINDS)):
            try:
                wrong = corrupt(trace, kind, rng)
            except CorruptionError:
                continue
            for setting, one in (("clean", trace), ("injected", wrong)):
                planted = {"step": one.verdict, "kind": kind, "origin": "planted"}
                rows.append({
                    "problem_id": problem.id, "sample": 0, "setting": setting,
                    "question": problem.question, "gold": problem.answer,
                    "teachers": [render_trace(trace)], "text": render_trace(one),
                    "planted": planted if setting == "injected" else None,
                    "intervention": None,
                })
            break
    return rows


# --- answers ------------------------------------------------------------------------------

@pytest.mark.parametrize("text, gold, equal", [
    ("16", "16", True), ("16.0", "16", True), ("$18", "18", True), ("1,000", "1000", True),
    ("1/2", "0.5", True), ("16.", "16", True), ("-3", "-3", True), ("50%", "0.5", True),
    ("50", "50%", False), ("50%", "50", False), ("17", "16", False), ("", "16", False),
    (None, "16", False), ("12 + 4", "16", False), ("b", "B", True), ("C", "B", False),
    ("sixteen", "16", False), ("1/0", "16", False),
])
def test_answers_are_compared_as_fractions(text, gold, equal):
    assert same_answer(text, gold) is equal


@pytest.mark.parametrize("text, last", [
    ("it is 16.", "16"), ("5 -3", "3"), ("is -3", "-3"), ("= -3", "-3"), ("none", None),
    ("cost $1,000 in all", "$1,000"), ("or 50%", "50%"), ("a 3/4", "3/4"), ("Answer: 7\n", "7"),
])
def test_last_number(text, last):
    found = last_number(text)
    assert (found and found.strip()) == last


def test_answers_of_every_gold_problem_grade_right_and_a_constant_does_not():
    rows = [r for r in gold_pairs(40) if r["setting"] == "clean"]
    report = accuracy(rows)
    assert report.strict == report.lenient == 1
    constant = [r | {"text": "Answer: 7919"} for r in rows]
    assert accuracy(constant).strict == accuracy(constant).lenient == 0


def test_strict_and_lenient_stand_side_by_side():
    rows = [row(), row() | {"text": "The answer is 16"}, row(a2="15")]
    rows = [each | {"problem_id": str(k)} for k, each in enumerate(rows)]
    report = accuracy(rows)
    assert report.counts == {"strict": (1, 3), "lenient": (2, 3)}
    low, high = report.interval("strict")
    assert low < report.strict == 1 / 3 < high
    assert report.interval("lenient") != report.interval("strict")


# --- self-verification --------------------------------------------------------------------

def verifier(kind, n=20):
    """Natural rows, half of them with a wrong EXECUTE, under one scripted verifier."""
    rows = []
    for number in range(n):
        right = number % 2 == 0
        a1 = "16" if right else "17"
        verdict, a2 = {
            "agrees": ("correct", a1),
            "objects": ("step 2 is wrong", "16"),
            "objects and spoils": ("step 2 is wrong", "16" if not right else "15"),
            "detects only": ("correct" if right else "step 2 is wrong", a1),
            "perfect": ("correct" if right else "step 2 is wrong", "16"),
            "repairs in silence": ("correct", "16"),
            "inverted": ("step 2 is wrong" if right else "correct", "16"),
            "unreadable": ("hm", "16"),
        }[kind]
        execute = f"1. 12 + 9 = 21\n2. 21 - 5 = {a1}"
        rows.append(row(a1, verdict, a2, problem=f"p{number}", execute=execute))
    return rows


@pytest.mark.parametrize("kind, svr, recall, specificity", [
    ("agrees", 0, 0, 1), ("objects", 0, 1, 0), ("objects and spoils", 0, 1, 0),
    ("detects only", 0, 1, 1), ("perfect", 1, 1, 1), ("repairs in silence", 0, 0, 1),
    ("inverted", 0, 0, 0), ("unreadable", 0, 0, 1),
])
def test_scripted_verifiers(kind, svr, recall, specificity):
    report = self_verification(verifier(kind))
    assert (report.svr, report.recall, report.specificity) == (svr, recall, specificity)
    assert report.youden_j == recall + specificity - 1
    assert report.svr_null is not None


def test_copying_the_same_trace_everywhere_scores_zero():
    rows = [row("16", "correct", "16", problem=f"p{k}") | {"gold": str(k)} for k in range(10, 30)]
    report = self_verification(rows)
    assert report.svr == 0 and report.counts["accuracy_a1"] == (1, 20)
    assert report.counts["svr"] == ((0, 19), (1, 1))


def test_svr_is_the_harmonic_mean_of_its_parts():
    rows = [row("17", "step 2 is wrong", "16")] * 3 + [row("17", "correct", "17")] * 1
    rows += [row("16", "correct", "16")] * 1 + [row("16", "step 1 is wrong", "15")] * 1
    report = self_verification(rows)
    assert report.counts["svr"] == ((3, 4), (1, 2))
    assert report.svr == pytest.approx(2 * 0.75 * 0.5 / 1.25)
    assert report.counts["i_to_c"] == (3, 6) and report.counts["c_to_i"] == (1, 6)
    assert report.delta == pytest.approx(report.i_to_c - report.c_to_i)
    assert report.delta == pytest.approx(report.accuracy_a2 - report.accuracy_a1)
    assert report.recall == 0.75 and report.specificity == 0.5


def test_an_unreadable_result_is_wrong_and_never_a_success():
    spoiled = [row("", "step 2 is wrong", "16"), row("unclear", "step 2 is wrong", "16")]
    report = self_verification(spoiled + [row()])
    assert report.counts["svr"] == ((0, 2), (1, 1)) and report.svr == 0
    assert report.counts["accuracy_a1"] == (1, 3)


def test_the_null_too_counts_no_repair_of_an_unreadable_result():
    spoiled = [row("unclear", "step 2 is wrong", "16", problem=f"u{k}") for k in range(5)]
    right = [row(problem=f"r{k}") for k in range(5)]
    assert self_verification(spoiled + right).svr_null == 0
    read = [row("17", "step 2 is wrong", "16", problem=f"u{k}") for k in range(5)]
    assert self_verification(read + right).svr_null > 0.2


def test_null_of_verdicts_dealt_at_random():
    rows = verifier("perfect", 40)  # 20 wrong, 20 right, a2 always right
    report = self_verification(rows)
    # The number of errors dealt to the wrong traces is hypergeometric; both parts equal it.
    share = [math.comb(20, k) * math.comb(20, 20 - k) / math.comb(40, 20) for k in range(21)]
    expected = sum(p * k / 20 for k, p in enumerate(share))
    assert report.svr == 1 and report.svr_null == pytest.approx(expected, abs=0.01)
    assert report.svr_null == self_verification(rows).svr_null
    assert report.svr_null != self_verification(rows, seed=1).svr_null
    assert self_verification(verifier("agrees")).svr_null == 0
    # A blind verifier scores what its null says, however good it looks.
    rng = random.Random(0)
    blind = [row("16" if k % 2 else "17", rng.choice(["correct", "step 2 is wrong"]), "16",
                 problem=str(k)) for k in range(400)]
    report = self_verification(blind)
    assert report.svr > 0.4 and report.svr == pytest.approx(report.svr_null, abs=0.06)


def test_clean_and_injected_gold_score_one():
    rows = gold_pairs()
    report = self_verification(rows)
    assert len(rows) > 100
    assert report.svr == report.recall == report.specificity == report.first_wrong_step == 1
    assert report.ritual_rate == 0 and report.c_to_i == 0 and report.delta == 0.5
    assert report.interval("svr") == (1.0, 1.0)
    assert report.svr_null < 0.6


def test_first_wrong_step_counts_the_step_that_is_blamed():
    execute = "1. 12 + 9 = 22\n2. 22 - 5 = 17"
    right = row("17", "step 1 is wrong", "16", execute=execute)
    late = row("17", "step 2 is wrong", "16", execute=execute)
    missed = row("17", "correct", "17", execute=execute)
    report = self_verification([right, late, missed, row()])
    assert report.counts["first_wrong_step"] == (1, 3)
    unknown = [r | {"teachers": []} for r in (right, late)] + [row()]
    assert self_verification(unknown).first_wrong_step is None
    # A right answer has no first wrong step, whatever its way.
    way = row(execute="1. 12 - 5 = 8\n2. 8 + 9 = 16")
    assert self_verification([way]).first_wrong_step is None
    planted = {"step": 2, "kind": "slip", "origin": "planted"}
    rows = [late | {"setting": "injected", "planted": planted}, row(setting="clean")]
    assert self_verification(rows).counts["first_wrong_step"] == (1, 1)


@pytest.mark.parametrize("checks, ritual", [
    ("1. 21 - 9 = 12", False), ("1. 12 + 9 = 21", True), ("1. 12+9=21\n2. 21 - 5 = 16", True),
    ("1. The sum is fine.", True), ("1. 21 - 9 = 13", True), ("1. 700 + 77 = 777", True),
    ("1. 16 = 16", True), ("1. 45 / 9 = 5", False), ("1. 12 + 9 - 5 = 16", False), ("", True),
])
def test_ritual(checks, ritual):
    claims = read_claims(row(checks=checks)["text"])
    assert is_ritual(claims, QUESTION) is ritual


def test_ritual_rate_is_of_the_traces_that_reach_verify():
    cut = row() | {"text": row()["text"].split("[VERIFY]")[0]}
    report = self_verification([row(checks="1. fine"), row(), cut])
    assert report.counts["ritual_rate"] == (1, 2)
    # A ritual verifier that always agrees earns nothing.
    agrees = [r | {"text": r["text"].replace("1. 21 - 9 = 12", "1. All is well.")}
              for r in verifier("agrees")]
    report = self_verification(agrees)
    assert report.svr == 0 and report.ritual_rate == 1


@pytest.mark.parametrize("kinds", [
    ("natural", "injected"), ("natural", "clean"), ("natural", "injected", "clean"),
    ("injected",), ("clean",), ("intervened",), ("natural", "intervened"),
])
def test_settings_that_do_not_pool_are_refused(kinds):
    with pytest.raises(ValueError, match="do not pool"):
        self_verification([row(setting=setting) for setting in kinds])


def test_nothing_is_not_available():
    report = self_verification([row()])
    assert report.recall is None and report.svr is None and report.svr_null is None
    assert report.specificity == 1 and report.interval("svr") is None
    assert ("recall", "↑", "n/a (n=0)", "0/0", "") in report.table().rows
    empty = self_verification([])
    assert empty.n == 0 and empty.delta is None
    assert empty.counts and all(getattr(empty, name) is None for name in empty.counts)
    assert accuracy([]).strict is None and "n/a (n=0)" in str(accuracy([]))


def test_reports_show_counts_intervals_and_refuse_unknown_names():
    report = self_verification(verifier("perfect"))
    assert ("specificity", "↑", "100.0 %", "10/10") in [row[:4] for row in report.table().rows]
    assert report.interval("delta")[0] < report.delta < report.interval("delta")[1]
    with pytest.raises(ValueError, match="is no score"):
        report.interval("wer")
    plain = report.to_dict()
    assert plain["svr"]["counts"] == ((10, 10), (10, 10)) and plain["n"] == 20


def test_rows_that_cannot_be_scored_are_named():
    bad = [row() | {"gold": None}, row(problem="q") | {"setting": "wild"},
           {k: v for k, v in row().items() if k != "text"}]
    report = accuracy(bad + [row()])
    assert report.n == 1 and sum(len(names) for names in report.left_out.values()) == 3
    assert report.left_out["no gold answer"] == ("p/0/natural",)
    assert ("Left out", "", "1", "no gold answer", "p/0/natural") in report.table().rows
    assert "Left out" in str(report).splitlines()[-1]
    # A text that cannot be read is a wrong answer, not a bad row.
    assert accuracy([row() | {"text": "\x00[VERIFY"}]).counts["strict"] == (0, 1)


def test_compact_rows_give_the_same_report():
    rows = verifier("perfect") + verifier("agrees") + [row("", "hm", "16", problem="z")]
    compact = [compact_row(r) for r in rows]
    assert not any({"text", "question", "teachers"} & r.keys() for r in compact)
    assert self_verification(compact).to_dict() == self_verification(rows).to_dict()
    assert accuracy(compact).to_dict() == accuracy(rows).to_dict()
    given = gold_pairs(30)
    assert self_verification(map(compact_row, given)).to_dict() == (
        self_verification(given).to_dict())


def test_comparison_is_paired():
    first, second = verifier("agrees"), verifier("perfect")
    same = compare(first, second, of="a1")
    assert (same["difference"], same["p_value"], same["interval"]) == (0, 1, (0, 0))
    answers = compare(first, second, of="a2")
    assert (answers["only_first"], answers["only_second"]) == (0, 10)
    assert answers["p_value"] == pytest.approx(2 / 2**10) and answers["difference"] == -0.5
    assert compare(first, second[:-1])["n"] == 19
    with pytest.raises(ValueError, match="choose a1"):
        compare(first, second, of="svr")


def test_rows_of_one_name_but_other_problems_are_not_compared():
    first = verifier("agrees")
    with pytest.raises(ValueError, match="20 rows have the same name .* such as p0/0/natural"):
        compare(first, [r | {"question": "Another question?"} for r in first])
    with pytest.raises(ValueError, match="no row has a partner"):
        compare(first, [r | {"problem_id": "z" + r["problem_id"]} for r in first])
    assert compare(first, [])["n"] == 0  # nothing was generated: n/a, no refusal


def test_samples_of_one_problem_are_not_taken_for_independent():
    """Ten samples of each of ten problems, all alike: ten cases, not a hundred."""
    rows = [row(a2="16" if k < 5 else "15") | {"problem_id": str(k), "sample": sample}
            for k in range(10) for sample in range(10)]
    alone = [each for each in rows if each["sample"] == 0]
    many, once = accuracy(rows), accuracy(alone)
    assert many.strict == once.strict == 0.5 and many.counts["strict"] == (50, 100)
    low, high = many.interval("strict")
    assert high - low > 0.5  # Wilson's of 50 in 100 is 0.19 wide
    assert once.interval("strict") == pytest.approx(wilson(5, 10))
    verified = self_verification(rows)
    for name in ("accuracy_a2", "i_to_c", "c_to_i"):
        low, high = verified.interval(name)
        limits = wilson(*verified.counts[name])
        assert high - low > limits[1] - limits[0] or verified.counts[name][0] == 0, name


def test_injected_and_clean_rows_of_one_problem_keep_wilsons_interval():
    rows = [row(a1=a1) | {"problem_id": str(k), "setting": setting}
            for k in range(6) for setting, a1 in (("injected", "15"), ("clean", "16"))]
    report = self_verification(rows)
    assert report.interval("recall") == pytest.approx(wilson(*report.counts["recall"]))
