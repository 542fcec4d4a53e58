"""GSM8K records and the rule teacher, on invented records and, where it lies, on the data."""
from __future__ import annotations

import hashlib
import json
import os
import random
import re
from pathlib import Path

import pytest

from nanoreason.arithmetic import evaluate, read_equations
from nanoreason.arithmetic.expression import parse_expression
from nanoreason.data import filter_traces, load_problems, teach
from nanoreason.data.gsm8k.binary_steps import BinarySteps, StepError
from nanoreason.data.gsm8k.solutions import Unteachable, line_expressions
from nanoreason.data.gsm8k.teacher import (fingerprint, gsm8k_trace, known_sources,
                                           read_problem, table_use)
from nanoreason.data.gsm8k.wording import asking_part, given_labels, imperative
from nanoreason.data.problem import Problem, Rejection
from nanoreason.data.verify_lines import equation
from nanoreason.graph import dependency_graph
from nanoreason.graph.builder import sources_of
from nanoreason.graph.quantities import quantities
from nanoreason.trace import parse_trace, render_trace

ROOT = Path(__file__).resolve().parents[1]
GSM8K = Path(os.environ.get("NANOREASON_GSM8K", ROOT.parent / "shared" / "data" / "gsm8k"))
needs_gsm8k = pytest.mark.skipif(
    not (GSM8K / "train_socratic.jsonl.gz").is_file(),
    reason=f"no GSM8K in {GSM8K}; set NANOREASON_GSM8K to a folder with its files")

LAMPS = "A shop has 40 lamps. It sells 12 on Monday and 9 on Tuesday. How many lamps are left?"


def problem(question, answer, source="gsm8k"):
    return read_problem({"question": question, "answer": answer}, "p1", source, "train", "line 1")


def trace(question, answer):
    return gsm8k_trace(problem(question, answer))


def refused(question, answer):
    with pytest.raises(Unteachable) as caught:
        trace(question, answer)
    return caught.value


def binary(text, question=""):
    collected = BinarySteps(quantities(question))
    collected.add(parse_expression(text))
    return [equation(s.operator, s.left, s.right, s.value) for s in collected.steps]


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


@pytest.mark.parametrize("text, question, lines", [
    ("100-50-30-15", "", ["100 - 50 = 50", "50 - 30 = 20", "20 - 15 = 5"]),
    ("(5+3)*2", "", ["5 + 3 = 8", "8 * 2 = 16"]),
    ("2*3+4*5", "", ["2 * 3 = 6", "4 * 5 = 20", "6 + 20 = 26"]),
    ("20/100*50", "20% of the 50", ["50 * 20% = 10"]),
    ("50*20/100", "20% of the 50", ["50 * 20% = 10"]),
    ("50*.2", "20 percent of the 50", ["50 * 20% = 10"]),
    ("20/100*50", "20 of 100 for 50", ["20 / 100 = 0.2", "0.2 * 50 = 10"]),
    ("1/2*60", "half of the 60", ["60 / 2 = 30"]),
    ("60*1/2", "half of the 60", ["60 / 2 = 30"]),
    ("1/4", "", ["1 / 4 = 0.25"]),
    ("1/4*1/2", "", ["1 / 4 = 0.25", "0.25 / 2 = 0.125"]),
    ("60*1", "", ["60 * 1 = 60"]),
    ("3/4*60", "3/4 of the 60", ["0.75 * 60 = 45"]),
    ("2/3*60", "2/3 of the 60", ["60 * (2/3) = 40"]),
    ("2/3*60", "60 in groups of 2 and 3", ["2 * 60 = 120", "120 / 3 = 40"]),
    ("30*(1/60)", "30 minutes", ["30 / 60 = 0.5"]),
    ("12*(1/4)", "1/4 of the 12", ["12 * 0.25 = 3"]),
    ("240/60", "3/4 of 60 minutes", ["240 / 60 = 4"]),
    ("1*2", "", ["1 * 2 = 2"]),
    ("10-30+25", "", ["10 + 25 = 35", "35 - 30 = 5"]),
    ("-17+43", "", ["43 - 17 = 26"]),
    ("71+-3", "", ["71 - 3 = 68"]),
    ("1,200*0.50", "", ["1200 * 0.5 = 600"]),
    ("7", "", []),
    ("5+8+0", "", ["5 + 8 = 13"]),
    ("0+7-0", "", []),
])
def test_binary_steps(text, question, lines):
    assert binary(text, question) == lines
    if lines:
        assert evaluate(lines[-1].split(" = ")[1]) == evaluate(text)


@pytest.mark.parametrize("text", ["10/3", "5/0", "6*0", "3^2", "-5-3", "0.00001+1"])
def test_what_has_no_exact_binary_steps_is_refused_and_leaves_nothing(text):
    collected = BinarySteps(())
    with pytest.raises(StepError):
        collected.add(parse_expression(f"2+3+{text}" if text[0] != "-" else text))
    assert collected.steps == []


def test_equations_are_read_from_plain_text_where_no_annotation_computes():
    assert line_expressions("so 5 x 2 = 10 pens") == [("5 * 2", "10")]
    assert line_expressions("which is 52 - 15 = <<37=37>>37") == [("52 - 15", "37")]
    assert line_expressions("Second day: 5(4)=20 inches") == [("5 * (4)", "20")]
    assert line_expressions("100% - 80% = 20% are red") == [("100 - 80", "20")]
    assert line_expressions("<<20%*50=10>>10") == [("20%*50", "10")]
    assert line_expressions("14 x 1 1/2 = 21 birds") == [("14 * 1.5", "21")]
    assert line_expressions("12 x 1 and 1/4 = 15") == [("12 * 1.25", "15")]
    assert line_expressions("5 x 2 = 11 is no truth, and neither is this") == []


def test_a_product_without_a_sign_and_the_name_in_front_of_a_line_are_read():
    assert line_expressions("Tuesday:6(2)=12 dollars") == [("6 * (2)", "12")]
    assert line_expressions("Both days:2(6+12)=36") == [("2 * (6 + 12)", "36")]
    assert line_expressions("Day 2:50(2)=100") == [("50 * (2)", "100")]
    assert line_expressions("Bo = (1/2) 18 = 9") == [("(1 / 2) * 18", "9")]
    assert line_expressions("so (1/2)(20)=10 berries") == [("(1 / 2) * (20)", "10")]
    assert line_expressions("in all (½)*6=3 caps") == [("((1 / 2)) * 6", "3")]


def test_a_number_over_a_unit_fraction_and_a_time_of_day_are_read():
    assert line_expressions("25 / 1/3 = 75 pens") == [("25 / (1 / 3)", "75")]
    assert line_expressions("it is open for 7:00 - 1:00 = 6 hours") == [("7 - 1", "6")]
    assert line_expressions("12 / 1/3 = 4 is no truth") == []


def test_the_whole_of_a_chain_is_read_where_its_annotation_starts_in_the_middle():
    chain = "40 - (12 + 9) = 40 - 21 = <<40-21=19>>19"
    assert line_expressions(chain) == [("40-21", "19")]
    assert line_expressions(chain, all_text=True) == [("40 - (12 + 9)", "19")]
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
    for written, plain in (("1,250", "1250"), ("$18.", "18"), ("-3", "-3"), ("7 km", "7 km")):
        assert problem("How many?", f"x\n#### {written}").answer == plain
    assert problem("How many?", 12, source="mine").answer == "12"


def test_questions_become_orders():
    for asked, told in (
            ("How many clips did Mia sell in May?", "Find how many clips Mia sold in May."),
            ("How much does she carry?", "Find how much she carries."),
            ("How many hens are there?", "Find how many hens there are."),
            ("How many hens are left?", "Find how many hens are left."),
            ("How old will Tom be?", "Find how old Tom will be."),
            ("What is the total price?", "Find the total price."),
            ("How many hats did Mia stop wearing?", "Find how many hats Mia stopped wearing."),
            ("How much did the old clown earn?", "Find out: how much did the old clown earn?")):
        assert imperative(asked) == told
    assert imperative("Define a variable") is None


def test_what_is_asked_and_given_is_found_in_the_question():
    assert asking_part("Mr. Lee has 3. If he buys 2, how many does he have?") == (
        "how many he has")
    for order in ("There are 3 hens. Calculate the number of legs.",
                  "If there are 3 hens, find the number of legs."):
        assert asking_part(order) == "the number of legs"
    for question, labels in (
            ("A 3-page letter costs $5.50.", ["3-page letter costs", "letter costs $5.50"]),
            ("The ticket costs $12.", ["ticket costs $12"]),
            ("She eats 20% of the 1,200 nuts, and half of the rest.",
             ["eats 20%", "1,200 nuts", "half of the rest"])):
        assert given_labels(question, quantities(question)) == labels


# --- the table of sources -----------------------------------------------------------------

MUGS = "A club has 90 mugs: 5 mugs for each guest, 4 guests on Monday, 5 on Tuesday."
SERVED = "5 guests * 5 mugs = <<5*5=25>>25\n90 - 25 = <<90-25=65>>65\n#### 65"
SERVED_LINES = ("5 * 5 = 25", "90 - 25 = 65")


@pytest.fixture
def known(monkeypatch):
    """Makes entries of the table, (question, lines, operand, source), the only ones there are."""
    def put(*entries):
        table = {}
        for question, lines, operand, source in entries:
            table.setdefault(fingerprint(question, lines), []).append(
                {"row": "7", "operand": operand, "source": source})
        monkeypatch.setattr("nanoreason.data.gsm8k.teacher.known_sources", lambda: table)
    return put


def sources(made, question):
    return sources_of(dependency_graph(made, question))


def test_plan_names_the_source_that_the_table_knows_and_no_other_line_does(known):
    known()
    plain = trace(MUGS, SERVED)
    assert sources(plain, MUGS)[0] == [("given", 1), ("given", 3)]
    known((MUGS, SERVED_LINES, "1.2", "q1"))
    made = trace(MUGS, SERVED)
    assert sources(made, MUGS)[0] == [("given", 1), ("given", 1)]
    assert made.plan == ("Multiply 5 by 5, using the 2nd given and the 2nd given.", plain.plan[1])
    assert (made.execute, made.checks) == (plain.execute, plain.checks)


def test_a_constant_and_a_result_can_be_what_is_meant(known):
    question = "Ann packs 12 caps, 4 boxes of them and a dozen of pens. How many a year?"
    lines = ("12 * 4 = 48", "48 / 12 = 4", "4 * 12 = 48", "48 + 4 = 52")
    answer = "\n".join(f"<<{line.replace(' ', '')}>>" for line in lines) + "\n#### 52"
    known((question, lines, "2.2", "constant"), (question, lines, "4.1", "r1"))
    found = sources(trace(question, answer), question)
    assert found[1] == [("step", 1), ("constant", "12")]
    assert found[3][0] == ("step", 1)


def test_no_line_is_named_that_the_names_before_it_have_put_right(known):
    question = "Ann has 5 pens, 5 caps and 10 mugs. She gives 5 away. How many are 5 and 5?"
    lines = ("10 - 5 = 5", "5 + 5 = 10")
    answer = "<<10-5=5>>5\n<<5+5=10>>10\n#### 10"
    known((question, lines, "1.2", "q1"))
    made = trace(question, answer)
    assert sources(made, question)[1] == [("step", 1), ("given", 0)]
    assert made.plan[1] == "Add the result of step 1 and 5."
    known((question, lines, "2.1", "q1"), (question, lines, "2.2", "r1"))  # a sum has no order
    assert trace(question, answer).plan[1] == "Add 5 and the result of step 1."


def test_an_entry_is_about_one_question_and_its_lines(known):
    known((MUGS + " ", SERVED_LINES, "1.2", "q1"), (MUGS, SERVED_LINES[:1], "1.2", "q1"))
    assert sources(trace(MUGS, SERVED), MUGS)[0] == [("given", 1), ("given", 3)]


def test_what_the_table_refuses_is_not_taught_in_another_form(known):
    """With the equation in the text the factors stand the other way round."""
    question, answer = "Ann has 8 pens and 3 caps.", "so 3 * 8 = <<8*3=24>>24\n#### 24"
    known((question, ("8 * 3 = 24",), "", "read_and_wrong"))
    found = refused(question, answer)
    assert (found.reason, found.place) == ("read_and_wrong", "EXECUTE")
    known()
    assert trace(question, answer).execute == ("8 * 3 = 24",)


def test_traces_in_rows_of_the_table_are_counted_where_they_have_changed(known):
    known((MUGS, SERVED_LINES, "1.2", "q1"))
    assert table_use([("gsm8k-train-7", MUGS, SERVED_LINES), ("other", MUGS, SERVED_LINES),
                      ("gsm8k-train-7", MUGS + "!", SERVED_LINES), ("gsm8k-train-8", "", ())]
                     ) == {"used": 2, "changed": 1}


def test_the_table_is_whole_and_holds_no_text():
    entries = [entry for found in known_sources().values() for entry in found]
    assert len({(entry["row"], entry["operand"]) for entry in entries}) == len(entries)
    for mark, found in known_sources().items():
        assert len(mark) == 12 and int(mark, 16) >= 0
        assert len({entry["row"] for entry in found}) == 1 and 1 <= int(found[0]["row"]) <= 7473
        for entry in found:
            if entry["operand"]:
                assert re.fullmatch(r"[1-9][0-9]*\.[12]", entry["operand"])
                assert re.fullmatch(r"q[0-9]+|r[1-9][0-9]*|constant", entry["source"])
            else:
                assert len(found) == 1 and entry["source"] in ("read_and_wrong",
                                                               "operand_in_doubt")


def test_a_trace_with_an_ambiguous_operand_can_be_left_out(known):
    known()
    read = problem(MUGS, SERVED)
    assert len(filter_traces([(read, trace(MUGS, SERVED))])[0]) == 1
    kept, (rejected,) = filter_traces([(read, trace(MUGS, SERVED))], drop_ambiguous=True)
    assert not kept and (rejected.reason, rejected.place) == (
        "consistency/ambiguous_operand", "EXECUTE line 1 operand 1")
    known((MUGS, SERVED_LINES, "1.2", "q1"))
    assert len(filter_traces([(read, trace(MUGS, SERVED))], drop_ambiguous=True)[0]) == 1


# --- on the data --------------------------------------------------------------------------

@needs_gsm8k
@pytest.mark.parametrize("split", ["dev", "test"])
def test_every_trace_is_the_committed_one(split):
    measured = json.loads((ROOT / "results" / "teacher-gsm8k.json").read_text())
    digests = measured["traces_sha256"] | measured["test"]["traces_sha256"]
    problems = list(load_problems("gsm8k", GSM8K, split))
    kept, _ = filter_traces(zip(problems, teach(problems)))
    text = "\n".join(render_trace(trace) for _, trace in kept)
    assert hashlib.sha256(text.encode()).hexdigest() == digests[split]


@needs_gsm8k
def test_most_of_a_sample_of_gsm8k_passes_the_filter_and_a_foreign_question_does_not():
    read = list(load_problems("gsm8k", GSM8K, "train+dev"))
    assert len(read) == 7473 and all(isinstance(p, Problem) for p in read)
    sample = random.Random(0).sample(read, 200)
    traces = list(teach(sample))
    kept, rejected = filter_traces(zip(sample, traces))
    assert len(kept) >= 140 and len(kept) + len(rejected) == 200
    # The null beside it: with another problem's question most traces lose a source. Not
    # all do, because small numbers match by chance or are named constants.
    moved = [Problem(p.id, p.source, p.split, "en", sample[k - 1].question, p.answer)
             for k, p in enumerate(sample)]
    assert 3 * len(filter_traces(zip(moved, traces))[0]) < len(kept)


@needs_gsm8k
def test_the_plain_and_the_socratic_file_give_the_same_execute():
    files = [GSM8K / f"{name}.jsonl.gz" for name in ("train", "train_socratic")]
    plain, socratic = (list(load_problems("gsm8k", path, "dev"))[:60] for path in files)
    assert [p.id for p in plain] == [p.id for p in socratic]
    for one, other in zip(teach(plain), teach(socratic)):
        assert type(one) is type(other)
        if not isinstance(one, Rejection):
            assert (one.execute, one.checks) == (other.execute, other.checks)
