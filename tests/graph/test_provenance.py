"""PLAN says where operands come from, and the graph goes by it."""
import pytest

from nanoreason.data.filters import examine
from nanoreason.graph import dependency_graph
from nanoreason.graph.builder import execute_graph
from nanoreason.graph.provenance import name_of, named_sources, using
from nanoreason.data.problem import Problem
from nanoreason.trace import Trace

PENS = "Ann has 5 pens and 5 caps. She loses a dozen of 12 pencils."


def sources(lines, plan, question=PENS):
    graph = execute_graph(lines, question, plan=plan)
    return [[node for _, node in graph.nodes["step", k]["operands"]]
            for k in range(1, len(lines) + 1)]


@pytest.mark.parametrize("source, words", [
    (("given", 0), "the 1st given"), (("given", 1), "the 2nd given"),
    (("given", 2), "the 3rd given"), (("given", 3), "the 4th given"),
    (("given", 10), "the 11th given"), (("given", 11), "the 12th given"),
    (("given", 20), "the 21st given"), (("given", 110), "the 111th given"),
    (("step", 12), "the result of step 12"), (("constant", "1/100"), "the constant 1/100"),
])
def test_a_name_is_read_as_it_is_written(source, words):
    assert name_of(source) == words
    assert named_sources(f"Find it, using {words}.") == [source]


@pytest.mark.parametrize("line", [
    "Find how many pens she was given.", "Add the given 3 pens.", "Find the 3rd giveaway.",
    "Find the result of steps 2 and 3.", "Find the constant.", "",
    "Find it, using the constant 1/0.", "Find it, using the result of step 99999.",
    "Find it, using the constant 12.5.", "Find it, using the constant 1,000.",
    "Find it, using the constant 3/00.", "Find it, using the 0th given."])
def test_other_words_name_nothing(line):
    assert named_sources(line) == []


def test_names_are_added_once_before_the_full_stop():
    assert using("Add 5 and 2.", [("given", 1), ("step", 3)]) == (
        "Add 5 and 2, using the 2nd given and the result of step 3.")
    assert using("Add the result of step 3 and 5.", [("step", 3), ("given", 1)]) == (
        "Add the result of step 3 and 5, using the 2nd given.")
    assert using("Subtract the result of step 3 from 5.", [("step", 3)]) == (
        "Subtract the result of step 3 from 5.")
    assert using("Find out: how much?", [("constant", "7")]) == (
        "Find out: how much, using the constant 7?")


def test_an_operand_comes_from_where_the_plan_says():
    lines = ["5 * 2 = 10"]
    assert sources(lines, ["Find it."])[0][0] == ("given", 0)
    assert sources(lines, ["Find it, using the 2nd given."])[0][0] == ("given", 1)
    twice = ["Find it, using the 2nd given and the 1st given."]
    assert sources(["5 * 5 = 25"], twice) == [[("given", 1), ("given", 0)]]
    assert sources(["5 * 5 = 25"], ["Square it, using the 2nd given and the 2nd given."]) == [
        [("given", 1), ("given", 1)]]


def test_a_result_and_a_constant_can_be_named():
    lines = ["12 - 7 = 5", "5 + 5 = 10", "10 * 12 = 120"]
    plan = ["Find it.", "Add, using the 1st given and the 2nd given.",
            "Find the months, using the constant 12."]
    found = sources(lines, plan, PENS + " How many a year?")
    assert found[1] == [("given", 0), ("given", 1)]
    assert found[2] == [("step", 2), ("constant", "12")]


def test_a_percentage_may_come_from_the_number_or_the_share():
    question = "Of 20 pens 20% are red, of 50 caps 20% too."
    for name, node in (("2nd", 1), ("4th", 3)):
        found = sources(["50 * 20% = 10"], [f"Find it, using the {name} given."], question)
        assert found[0][1] == ("given", node)
    lines, plan = ["50 - 30 = 20", "100 * 20% = 20"], ["", "Take it, using the result of step 1."]
    assert sources(lines, plan, question)[1][1] == ("step", 1)


@pytest.mark.parametrize("name", [
    "the 3rd given", "the 9th given", "the 0th given", "the result of step 7",
    "the constant 5", "the constant 52"])
def test_a_name_of_another_value_or_of_nothing_does_not_count(name):
    assert sources(["5 * 2 = 10"], [f"Find it, using {name}."]) == sources(["5 * 2 = 10"], [""])


def test_a_plan_of_another_length_is_not_read():
    """Where a step is left out, the numbers of PLAN and EXECUTE no longer belong together."""
    lines = ["5 * 2 = 10"]
    named = "Find it, using the 2nd given."
    assert sources(lines, [named, "Add."]) == sources(lines, [""])


def test_a_trace_is_read_and_filtered_by_its_plan():
    question = "Ann has 5 pens and 5 caps. How many pens are 7 times as many caps?"
    trace = Trace(("Given: 5 pens; 5 caps", "Find: pens"), ("Multiply, using the 2nd given.",),
                  ("5 * 7 = 35",), "35", ("35 / 7 = 5",), None, (), "35")
    graph = dependency_graph(trace, question)
    assert set(graph.predecessors(("step", 1))) == {("given", 1), ("given", 2)}
    assert graph.nodes["step", 1]["canonical"] == "(*q1 *q2)"
    kept, _ = examine(Problem("p", "gsm8k", "train", "en", question, "35"), trace)
    assert kept == trace
