"""Equations in one unknown, as the arithmetic that solves them."""
from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nanoreason.arithmetic import evaluate
from nanoreason.arithmetic.expression import parse_expression, value_of
from nanoreason.data.columns import read_problem
from nanoreason.data.gsm8k.algebra import solved
from nanoreason.data.gsm8k.teacher import gsm8k_trace


def only(*steps):
    """All expressions that some steps work out, in order."""
    return [node for nodes in solved(steps).values() for node in nodes]


def parsed(*texts):
    return [parse_expression(text) for text in texts]


@pytest.mark.parametrize("equation, expression, value", [
    ("x + (12 + 5x) = 108", "(108 - 12) / (1 + 5)", "16"),
    ("Thus x+(2*x)+(2*2*x)=140 years", "140 / ((1 + 2) + (2 * 2))", "20"),
    ("4y = 18 + y", "18 / (4 - 1)", "6"),
    ("2b - 5 = 3(b - 5)", "((-5) + (3 * 5)) / (3 - 2)", "10"),
    ("so X - $120 = $540 is left", "540 + 120", "660"),
    ("x + x - 6 + 4(x - 6) = 30", "((30 + 6) + (4 * 6)) / ((1 + 1) + 4)", "10"),
    ("x - 14 - x/2 - 16 = 0", "((0 + 14) + 16) / (1 - (1 / 2))", "60"),
    ("20 - (3 + 4) = y - 5", "(20 - (3 + 4)) + 5", "18"),
    ("70 = n + n/4 - 5", "(70 + 5) / (1 + (1 / 4))", "60"),
    ("26 = 5 + 3p", "(26 - 5) / 3", "7"),
    ("1,200 ÷ 4 = 3 × k", "(1200 / 4) / 3", "100"),
])
def test_an_equation_becomes_the_expression_that_solves_it(equation, expression, value):
    assert only(equation) == parsed(expression)
    assert evaluate(expression) == evaluate(value)


def test_the_first_equation_of_a_letter_counts_and_the_others_simplify_it():
    steps = ["Let c be the cups", "c + 3c + 2 = 30", "4c + 2 = 30", "4c = 28", "c = 7"]
    assert solved(steps) == {1: parsed("(30 - 2) / (1 + 3)")}
    assert only("x + 2 = 9", "y - 1 = 4") == parsed("9 - 2", "4 + 1")


def test_what_is_said_of_an_unknown_once_its_value_is_stated_is_worked_out():
    steps = ["x + 2x = 30 games", "3x = 30", "x = 10 games", "So she won 2x = 20 and 2x - 5 = 15"]
    assert solved(steps) == {0: parsed("30 / (1 + 2)"), 3: parsed("2 * 10", "(2 * 10) - 5")}
    assert solved(steps[:2] + steps[3:]) == {0: parsed("30 / (1 + 2)")}
    assert only(*steps[:3], "2x = 21") == parsed("30 / (1 + 2)")


def test_an_identity_gives_what_it_works_out():
    assert only("Quiz: 4(x + 5) = 4x + 20") == parsed("4 * 5")
    assert only("11 + 7 + y = 18 + y") == parsed("11 + 7")
    assert only("First: 4(2x) = 8x") == parsed("4 * 2")


@pytest.mark.parametrize("text", [
    "x * x = 9", "x / (2 + x) = 3", "x + y = 9", "x = 5", "x + 2", "3 + 4 = 7", "0x = 0",
    "x / 0 = 3", "2x + 1 = 2x + 3", "x + x2 = 8", "a = 3 + 4", "x + = 3", "= x",
    "x + 2 apples and 3 = 7 pears", "x" * 5000 + " = 3", "x + 1 = " + "9" * 5000,
    "x" + " + 1" * 500 + " = 3", "(" * 3000 + "x = 3", "<<x+1=4>>", "",
])
def test_what_is_no_linear_equation_in_one_letter_is_passed_over(text):
    assert only(text) == []


def test_a_long_text_takes_no_longer_than_its_length_needs():
    assert only("7 + " * 50_000 + "x", "= " * 100_000) == []


number = st.integers(1, 40)


@settings(max_examples=200, deadline=None)
@given(number, number, number, number)
def test_the_solution_is_the_unknown(a, b, c, x):
    found, *_ = only(f"{a}n + {b} + {c}(n + {a}) = {a * x + b + c * (x + a)}")
    assert value_of(found) == x


def test_a_solution_by_algebra_becomes_a_trace():
    question = ("Ann and Bo hold 45 cards. Bo holds 3 more than twice as many as Ann. "
                "How many has Ann?")
    answer = ("Let x be Ann's cards ** Let x be Ann's cards\n"
              "Write an equation ** x + (3 + 2x) = 45\nCombine ** 3x + 3 = 45\n"
              "Subtract 3 ** 3x = 42\nDivide by 3 ** x=<<14=14>>14\n#### 14")
    problem = read_problem({"question": question, "answer": answer}, "p", "gsm8k", "train", "1")
    assert gsm8k_trace(problem).execute == ("45 - 3 = 42", "1 + 2 = 3", "42 / 3 = 14")


def test_what_its_author_works_out_again_is_said_once():
    question = "A bag of 20 nuts and 3 equal jars hold 65 nuts. How many does a jar hold?"
    answer = "20 + 3j = 65\n65 - 20 = <<65-20=45>>45\n45 / 3 = <<45/3=15>>15\n#### 15"
    problem = read_problem({"question": question, "answer": "20 + 3j = 65 and n = 7\n" + answer},
                           "p", "gsm8k", "train", "1")
    assert gsm8k_trace(problem).execute == ("65 - 20 = 45", "45 / 3 = 15")
