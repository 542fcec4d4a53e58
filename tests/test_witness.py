"""A solution's own words against the source that the question's wording leads to."""
from fractions import Fraction

import pytest

from nanoreason.graph import execute_graph
from nanoreason.gsm8k import gsm8k_trace, read_problem
from nanoreason.problem import Operand, Step
from nanoreason.quantities import quantities
from nanoreason.solutions import Draft, Unteachable
from nanoreason.witness import contradicted

MUGS = ("A club has 90 mugs. Each guest needs 5 mugs for the drinks. The club was able to serve 4 "
        "guests on the first evening of May, 5 guests on the second evening and 6 guests on the "
        "third evening. How many mugs went out on the first?")


def spoken(question, *said):
    """`contradicted` of steps given as (line of EXECUTE, line of the solution)."""
    lines = [line for line, _ in said]
    nothing = Step("+", Operand("given", 0, Fraction(0), "0"), Operand("given", 0, Fraction(0),
                                                                        "0"), Fraction(0), "")
    drafts = [Draft(nothing, "", text) for _, text in said]
    return contradicted(drafts, execute_graph(lines, question), question)


def source(question, line):
    """The texts of the question around the quantities that one line uses."""
    graph, given = execute_graph([line], question), quantities(question)
    return [question[given[node[1]].span[0]:][:10] for _, node in graph.nodes["step", 1]["operands"]]


def test_the_words_after_a_number_speak_against_another_quantity_of_its_value():
    assert source(MUGS, "4 * 5 = 20") == ["4 guests o", "5 guests o"]
    assert spoken(MUGS, ("4 * 5 = 20", "4 guests * 5 mugs = 20 mugs")) == (1, 5)
    assert spoken(MUGS, ("4 * 5 = 20", "4 guests * 5 guests = 20")) is None
    assert spoken(MUGS, ("4 * 5 = 20", "so 4 * 5 = 20")) is None


def test_of_two_quantities_that_one_line_uses_both_are_meant():
    question = "She walks 6 miles a day for 6 weeks."
    assert spoken(question, ("6 * 6 = 36", "6 miles a day * 6 weeks")) is None


def test_a_quantity_where_the_line_speaks_of_a_result():
    question = ("A pack costs 3 dollars and holds 4 tickets for the wooden rides. "
                "Ann lost 1 and wants 3 rides.")
    lines = [("4 - 1 = 3", "Ann has 4 - 1 = 3 wooden tickets left"),
             ("3 * 3 = 9", "3 * 3 = 9")]
    assert spoken(question, *lines) is None
    assert spoken("He reads 2 books, buys 6 and lends 4 to Bo.",
                  ("6 - 4 = 2", "There stay 6 - 4 = 2 thick novels"),
                  ("2 * 2 = 4", "2 * 2 = 4"),
                  ("4 + 2 = 6", "4 + 2 thick novels stay = 6")) == (3, 2)


def test_of_two_results_the_later_one_is_meant():
    assert spoken("Ann has 4 and 6 pens, Bo has 7 and 3 caps, and 1 more.",
                  ("4 + 6 = 10", "Ann has 4 + 6 = 10 red pens"),
                  ("7 + 3 = 10", "Bo has 7 + 3 = 10 blue caps"),
                  ("10 + 1 = 11", "10 red pens + 1 = 11")) is None


def test_the_teacher_refuses_such_a_trace():
    problem = read_problem({"question": MUGS, "answer": "4 guests * 5 mugs = <<4*5=20>>20\n#### 20"},
                           "p1", "gsm8k", "train", "")
    with pytest.raises(Unteachable) as caught:
        gsm8k_trace(problem)
    assert (caught.value.reason, caught.value.place) == ("operand_contradicted", "EXECUTE line 1")
    assert "another 5" in caught.value.detail
