"""The ledger on lines written by hand, on the rules' own VERIFY, and on the run of reference."""
from fractions import Fraction

import pytest

from synthetic import row, unasked

from nanoreason.data.errors import inject
from nanoreason.data.procedural import problems
from nanoreason.data.verify_lines import procedural_trace
from nanoreason.evaluation import ledger, self_verification
from nanoreason.evaluation.ledger import (LINE_PARTS, false_equations, read_left, read_lines,
                                          rearranged)
from nanoreason.evaluation.rows import compact_row, read_row, read_rows
from nanoreason.runs import find_run
from nanoreason.trace import render_trace

SCORES = ("recall", "specificity", "svr", "delta")


def wrong(check, verdict="correct", a2="17", **more):
    """QUESTION with a false second line, `21 - 5 = 17`, and this check of it."""
    return row(a1="17", execute="1. 12 + 9 = 21\n2. 21 - 5 = 17", verdict=verdict, a2=a2,
               checks=f"1. 21 - 9 = 12, want 12, correct\n2. {check}", **more)


MENDED = {"verdict": "step 2 is wrong\n2. 21 - 5 = 16", "a2": "16"}


@pytest.mark.parametrize("check, parts, objects", [
    ("17 + 5 = 22, want 21, wrong", "111", True),
    ("17 + 5 = 22, want 21, correct", "110", False),
    ("21 - 17 = 4, want 5, wrong", "111", True),       # worked out another way
    ("17 + 5 = 21, want 21, correct", "101", False),   # the wanted value copied
    ("17 + 5 = 23, want 21, wrong", "101", True),
    ("17 + 9 = 26, want 21, wrong", "011", True),
    ("17 + 5 = 22, want 22, correct", "011", False),   # the wanted value is another
    ("12 + 9 = 21, want 21, correct", "011", False),
    ("17 + 5:7 + 5 = 12;1 + 1 = 2;22, want 21, wrong", "111", True),  # digit by digit
    ("17 + 5: 7 + 5 = 12;1 + 1 = 2;17 + 5 = 22, want 21: 21n 22y, wrong", "111", True),
    ("17 + 5: 7 + 5 = 12;1 + 1 = 2;17 + 5 = 22, want 21: 21n 22y, correct", "110", False),
    ("17 + 5 = 2[PLAN], want 21, wrong", "100", True),  # no result can be read
    ("all is well", "000", False),
])
def test_a_line_is_judged_part_by_part(check, parts, objects):
    line = read_lines(read_row(wrong(check)))[1]
    found = "".join(str(int(getattr(line, part))) for part in LINE_PARTS)
    assert (found, line.objects) == (parts, objects)


def test_without_wanted_value_and_word_the_step_and_the_verdict_say_them():
    line = read_lines(read_row(wrong("17 + 5 = 22", **MENDED)))[1]
    assert line.operands and line.sum and line.comparison and line.objects
    assert line.want == 21
    silent = read_lines(read_row(wrong("17 + 5 = 22")))[1]
    assert not silent.comparison and not silent.objects


def test_a_step_of_three_numbers_is_worked_out_from_its_own():
    one = row(execute="1. 12 + 9 - 5 = 16", checks="1. 16 + 5 - 9 = 12, want 12, correct")
    assert not read_lines(read_row(one))[0].operands
    one = row(execute="1. 12 + 9 - 5 = 16", checks="1. 12 - 5 + 9 = 16, want 16, correct")
    assert read_lines(read_row(one))[0].operands


@pytest.mark.parametrize("sign, x, y, c", [("+", 12, 9, 21), ("-", 21, 5, 16), ("*", 3, 4, 12),
                                           ("/", 20, 4, 5)])
def test_a_check_comes_to_what_it_should_exactly_when_the_value_found_is_right(sign, x, y, c):
    for found in (c, c + 1):
        checks = rearranged((sign, Fraction(x), Fraction(y)), Fraction(found))
        assert len(checks) == 4
        assert {read_left(f"{a} {s} {b} = 0")[1] == want for (s, a, b), want in checks.items()
                } == {found == c}


def test_each_part_that_fails_is_where_a_trace_is_lost():
    rows = [wrong("17 + 5 = 22, want 21, wrong", problem="a", **MENDED),
            wrong("17 + 5 = 22, want 21, wrong", "step 2 is wrong\n2. 21 - 5 = 15", "15",
                  problem="b"),
            wrong("17 + 5 = 22, want 21, correct", problem="c"),
            wrong("17 + 5 = 21, want 21, correct", problem="d"),
            wrong("17 + 9 = 26, want 26, correct", problem="e"),
            row(a1="17", execute="1. 12 + 9 = 21\n2. 21 - 5 = 17", a2="3", problem="f",
                verdict="step 1 is wrong\n1. 1 + 2 = 3", checks="1. 21 - 8 = 13, want 12, wrong"),
            row(problem="g", checks="1. 21 - 9 = 12, want 12, correct\n"
                                    "2. 16 + 5 = 21, want 21, correct"),
            row(problem="h", checks="1. 21 - 8 = 13, want 12, wrong", a2="3",
                verdict="step 1 is wrong\n1. 1 + 2 = 3")]
    found = ledger(rows)
    assert found.counts | {
        "wrong_checked": (5, 6), "wrong_operands": (4, 5), "wrong_sum": (3, 4),
        "wrong_comparison": (2, 3), "wrong_blamed": (2, 2), "wrong_repaired": (1, 2),
        "blamed": (2, 6), "blamed_repaired": (1, 2), "lost_sum": (0, 1),
        "right_operands": (1, 2), "right_sum": (1, 1), "right_comparison": (1, 1),
        "right_agreed": (1, 1), "right_kept": (1, 1), "alarm_operands": (0, 1),
        "line_operands": (7, 9), "line_sum": (7, 7), "line_comparison": (7, 7),
        "line_differ": (4, 5), "line_same": (9, 9)} == found.counts
    assert found.interval("wrong_operands") is not None
    # Of 6 wrong: 3 are found. With exact operands e is found, f is not: its alarm was chance.
    assert found.counts["recall_if_operands"] == (3, 6)
    assert found.counts["specificity_if_operands"] == (2, 2)
    assert found.counts["recall_if_sum"] == (4, 6)            # d: the copy is seen through
    assert found.counts["recall_if_comparison"] == (4, 6)     # c
    assert found.counts["recall_if_sum_and_comparison"] == (5, 6)
    assert found.counts["svr_if_comparison"] == ((1.5, 6), (1, 2))  # half of the blamed mend
    assert found.counts["svr_if_repair"] == ((2, 6), (1, 2))
    assert found.delta_if_keeping == pytest.approx(1 / 8)     # a mended, h spoiled no longer


@pytest.mark.parametrize("check, found", [
    ("17 + 9 = 21, want 21, correct", 0),  # copied: with the right numbers it would be again
    ("17 + 9 = 27, want 27, correct", 0),
    ("17 + 9 = 26, want 26, correct", 1),  # a right sum comes to another value than is wanted
    ("17 + 9 = 27, want 26, wrong", 0),    # one more than it is: 21 - 5 would come to 17, too
])
def test_with_the_right_numbers_a_sum_stays_as_false_as_it_is(check, found):
    verdict = "step 2 is wrong" if check.endswith("wrong") else "correct"
    assert ledger([wrong(check, verdict)]).counts["recall_if_operands"] == (found, 1)


def test_nothing_exact_is_the_run_itself_and_a_verdict_follows_its_lines():
    rows = find_run("nano-reference").read_generations()
    table = read_rows(rows).where("natural", split="test")
    own, found = self_verification(table), ledger(table)
    assert [getattr(found, f"{name}_if_blame") for name in SCORES] == pytest.approx(
        [getattr(own, name) for name in SCORES])


def test_the_rules_own_verify_loses_nothing():
    rows = []
    for problem in problems("train", 60, seed=2):
        trace = procedural_trace(problem)
        bad, planted = inject(problem, trace, 0) or (None, None)
        rows += [row(problem=problem.id, setting=setting, question=problem.question,
                     gold=problem.answer, teachers=[render_trace(trace)],
                     text=render_trace(one), planted=planted if one is bad else None)
                 for setting, one in (("clean", trace), ("injected", bad)) if one]
    found = ledger(rows)
    assert found.counts["wrong_checked"][1] > 50
    for name, counts in found.counts.items():
        value = getattr(found, name)
        if name.startswith(("alarm", "lost")):
            assert counts[1] == 0
        elif name.startswith("delta"):
            assert value == counts[0][0] / counts[0][1] - counts[1][0] / counts[1][1] > 0.4
        else:
            assert value == 1, name


def test_a_verify_that_was_left_out_is_no_check_with_wrong_operands():
    rows = [row(checks="1. 21 - 9 = 12\n2. 16 + 5 = 21"),
            unasked(row(problem="q")), unasked(wrong("", problem="r"))]
    found = ledger(rows)
    assert found.counts["right_operands"] == found.counts["right_kept"] == (1, 1)
    assert found.counts["wrong_checked"] == (0, 1)
    assert [found.counts[f"{name}_if_repair"] for name in ("recall", "specificity")] == [
        (0, 1), (2, 2)]


def test_rows_without_texts_are_left_out_and_mixtures_refused():
    whole = row(problem="a")
    found = ledger([whole, compact_row(row(problem="b"))])
    assert (found.n, found.left_out) == (1, {"without its text": ("b/0/natural",)})
    with pytest.raises(ValueError, match="do not pool"):
        ledger([whole, row(setting="clean")])
    assert ledger([]).wrong_operands is None


@pytest.mark.parametrize("line, false", [
    ("7 + 14: 7 + 4 = 11;0 + 1 + 1 = 2;7 + 14 = 21, want 21: 11y 22y, correct", 0),
    ("7 + 14: 7 + 4 = 12;0 + 1 + 1 = 2;7 + 14 = 21, want 21: 11y 22y, correct", 0),
    ("7 + 14: 7 + 4 = 11;0 + 1 + 1 = 2;7 + 14 = 31, want 21: 11y 32n, wrong", 1)])
def test_of_a_line_by_digits_the_sum_is_counted_and_not_the_first_digits(line, false):
    row = {"problem_id": "a", "setting": "natural", "question": "?", "gold": "21",
           "text": f"[EXECUTE]\n1. 14 + 7 = 21\nResult: 21\n[VERIFY]\n1. {line}\n"
                   "Verdict: correct\nAnswer: 21"}
    assert false_equations([row])["checks"]["+ up to 99"]["counts"] == (false, 1)


def test_false_equations_by_operator_and_size_and_not_by_their_digits():
    """Of a line by digits the sum counts, not the facts that it is put together from."""
    one = row(a1="17", execute="1. 12 + 9 = 21\n2. 21 - 5 = 17\n3. 121 + 5 = 127",
              checks="1. 12 + 9: 2 + 9 = 11;1 + 1 = 2;12 + 9 = 22, want 21: 21n 22y, wrong\n"
                     "2. 17 + 5: 7 + 5 = 13;1 + 1 = 2;17 + 5 = 22, want 21: 21n 22y, wrong",
              verdict="step 2 is wrong\n2. 21 - 5: 6 + 5 = 11;1 + 1 = 2;21 - 5 = 16", a2="16")
    found = false_equations([one])
    assert {part: {name: score["counts"] for name, score in sizes.items()}
            for part, sizes in found.items()} == {
        "execute": {"+ up to 99": (0, 1), "- up to 99": (1, 1), "+ above 99": (1, 1)},
        "checks": {"+ up to 99": (1, 2)}, "repairs": {"- up to 99": (0, 1)}}
