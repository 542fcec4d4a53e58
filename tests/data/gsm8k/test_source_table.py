"""What is known of train solutions decides for their operands, and for nothing else."""
import re

import pytest

from nanoreason.data import filter_traces
from nanoreason.data.columns import read_problem
from nanoreason.data.gsm8k.teacher import (Unteachable, fingerprint, gsm8k_trace,
                                           known_sources)
from nanoreason.graph import dependency_graph
from nanoreason.graph.builder import sources_of
from teacher_gsm8k import table_use

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


def problem(question, answer):
    return read_problem({"question": question, "answer": answer}, "p1", "gsm8k", "train", "line 1")


def trace(question, answer):
    return gsm8k_trace(problem(question, answer))


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
    with pytest.raises(Unteachable) as caught:
        trace(question, answer)
    found = caught.value
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
