"""GSM8K's records and the teacher of its solutions, on invented records."""
import pytest

from nanoreason.arithmetic import read_equations
from nanoreason.data.columns import read_problem
from nanoreason.data.gsm8k.teacher import Unteachable, gsm8k_trace
from nanoreason.data.problem import Rejection
from nanoreason.trace import parse_trace, render_trace

LAMPS = "A shop has 40 lamps. It sells 12 on Monday and 9 on Tuesday. How many lamps are left?"


def problem(question, answer, source="gsm8k"):
    return read_problem({"question": question, "answer": answer}, "p1", source, "train", "line 1")


def trace(question, answer):
    return gsm8k_trace(problem(question, answer))


def refused(question, answer):
    with pytest.raises(Unteachable) as caught:
        trace(question, answer)
    return caught.value


def test_a_socratic_record_becomes_a_trace_in_four_stages():
    made = trace(LAMPS, "How many lamps did the shop sell? ** It sold 12+9=<<12+9=21>>21 lamps.\n"
                        "How many lamps are left? ** There are 40-21=<<40-21=19>>19 left.\n#### 19")
    assert made.understand == ("Given: 40 lamps; 12 on Monday; 9 on Tuesday",
                               "Find: how many lamps are left")
    assert made.plan == ("Find out: how many lamps did the shop sell?",
                         "Find how many lamps are left.")
    assert made.execute == ("12 + 9 = 21", "40 - 21 = 19")
    assert (made.result, made.answer, made.verdict) == ("19", "19", None)
    assert parse_trace(render_trace(made)) == made


def test_a_plain_record_gets_its_plan_from_the_operations():
    made = trace(LAMPS, "It sold 12+9=<<12+9=21>>21.\nLeft: <<40-21=19>>19.\n#### 19")
    assert made.plan == ("Add 12 and 9.", "Subtract the result of step 1 from 40.")


def test_a_line_of_many_operands_becomes_binary_steps_and_one_of_them_answers_it():
    made = trace(LAMPS, "How many lamps are left? ** 40-12-9=<<40-12-9=19>>19\n#### 19")
    assert made.execute == ("40 - 12 = 28", "28 - 9 = 19")
    assert made.plan == ("Subtract 12 from 40.", "Find how many lamps are left.")


def test_of_steps_that_share_a_sub_question_only_the_last_answers_it():
    made = trace(LAMPS, "How many are left? ** <<40-12=28>>28\n"
                        "How many are left? ** <<28-9=19>>19\n#### 19")
    assert made.plan == ("Subtract 12 from 40.", "Find how many are left.")


def test_every_check_is_true_and_never_the_line_itself():
    question = "Ann has 5 pens and 5 caps. She fills 3 boxes. How many in all?"
    answer = ("5 pens + 5 caps = <<5+5=10>>10\n10 - 5 caps = <<10-5=5>>5\n"
              "5 * 3 boxes = <<5*3=15>>15\n#### 15")
    for number in range(20):
        made = gsm8k_trace(read_problem({"question": question, "answer": answer}, f"p{number}",
                                        "gsm8k", "train", ""))
        for line, check in zip(made.execute, made.checks):
            stated = read_equations(check)[0]
            assert stated.text != line and stated.holds


def test_a_chain_is_worked_out_from_its_start():
    chain = "40 - (12 + 9) = 40 - 21 = <<40-21=19>>19"
    assert trace(LAMPS, chain + "\n#### 19").execute == ("12 + 9 = 21", "40 - 21 = 19")


def test_a_share_of_what_is_left_is_written_by_the_per_cent_worked_out():
    made = trace("Of 50 tulips 40% are red, the others white. How many are white?",
                 "<<100-40=60>>60 per cent are white, <<50*.6=30>>30.\n#### 30")
    assert made.execute == ("100 - 40 = 60", "50 * 60% = 30")


def test_a_step_by_one_is_no_step_left_out():
    made = trace("Ann eats 2 figs on each of 5 days and 1 fig on each of 2 other days. "
                 "How many figs are that?",
                 "<<2*5=10>>10 and <<1*2=2>>2 make <<10+2=12>>12\n#### 12")
    assert made.execute == ("2 * 5 = 10", "1 * 2 = 2", "10 + 2 = 12")


def test_a_restatement_after_the_answer_is_left_out():
    made = trace(LAMPS, "<<12+9=21>>21\n<<40-21=19>>19\nTest: <<19+21=40>>40\n#### 19")
    assert made.execute[-1] == "40 - 21 = 19" and len(made.execute) == 2


@pytest.mark.parametrize("answer, reason, place", [
    ("Nineteen are left.\n#### 19", "no_steps", "solution"),
    ("<<12+9=22>>22\n<<40-22=18>>18\n#### 19", "false_equation", "solution line 1"),
    ("<<12+9=21>>21\n#### 19", "answer_not_reached", "answer"),
    ("<<40-21=19>>19 by chance\n<<40+12=52>>52\n#### 19", "steps_after_answer", "solution"),
    ("<<40-21=19>>19\n#### 19", "operand_without_source", "EXECUTE line 1 operand 2"),
    ("<<40/21=x>>1\n#### 19", "unreadable_expression", "solution line 1"),
    ("<<40/9=40/9>>1\n#### 19", "no_binary_steps", "solution line 1"),
    ("<<12+9=21>>21\n#### some", "answer_not_a_number", "answer"),
])
def test_what_the_rules_cannot_make_right_is_refused_with_a_reason(answer, reason, place):
    found = refused(LAMPS, answer)
    assert (found.reason, found.place) == (reason, place), found
    assert found.rejection("p1") == Rejection("p1", reason, place, found.detail)


def test_a_question_that_looks_like_structure_gives_no_broken_trace():
    made = trace("Result: 40 lamps.\n[PLAN] 12 go. Answer: how many lamps are left?",
                 "<<40-12=28>>28\n#### 28")
    assert parse_trace(render_trace(made)) == made


@pytest.mark.parametrize("record, reason", [
    ({"answer": "1\n#### 1"}, "no_question"),
    ({"question": "  ", "answer": "#### 1"}, "no_question"),
    ({"question": ["How?"], "answer": "#### 1"}, "no_question"),
    ({"question": "How many?"}, "no_answer"),
    ({"question": "How many?", "answer": True}, "no_answer"),
    ({"question": "How many?", "answer": "seven"}, "no_final_answer"),
    ({"question": "How many?", "answer": "7\n####  "}, "no_final_answer"),
])
def test_a_record_that_is_no_problem_is_named(record, reason):
    found = read_problem(record, "p9", "gsm8k", "train", "f line 3")
    assert isinstance(found, Rejection)
    assert (found.problem_id, found.reason, found.place) == ("p9", reason, "f line 3")


def test_the_gold_answer_is_written_plainly():
    for written, plain in (("1,250", "1250"), ("$18.", "18"), ("-3", "-3"), ("7 km", "7")):
        assert problem("How many?", f"x\n#### {written}").answer == plain
    assert problem("How many?", 12, source="mine").answer == "12"
