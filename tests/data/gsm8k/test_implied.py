"""Steps that a solution takes in its head are written, and only those."""
import pytest

from nanoreason.arithmetic.expression import parse_expression
from nanoreason.data.gsm8k.binary_steps import BinarySteps
from nanoreason.data.verify_lines import equation
from nanoreason.data.gsm8k.implied import complete
from nanoreason.graph.quantities import quantities


def lines(question, *expressions):
    collected = BinarySteps(quantities(question))
    for expression in expressions:
        collected.add(parse_expression(expression))
    return [equation(step.operator, step.left, step.right, step.value)
            for _, step in complete(collected.steps, question)]


@pytest.mark.parametrize("question, expression, expected", [
    ("The 50 pens cost 20% more.", "50 * 1.2", ["1 + 20% = 1.2", "50 * 1.2 = 60"]),
    ("The 50 pens cost 20% less.", "50 * 0.8", ["1 - 20% = 0.8", "50 * 0.8 = 40"]),
    ("20% of the pens, that is 16, are red.", "16 / 80", ["100 - 20 = 80", "16 / 80 = 0.2"]),
    ("1/4 of the 60 pens are red.", "60 * 0.75", ["1 - 0.25 = 0.75", "60 * 0.75 = 45"]),
    ("A quarter of the 60 pens and a quarter of the caps are red.", "60 * 0.75",
     ["1 - 0.25 = 0.75", "60 * 0.75 = 45"]),
    ("She has twice as many as he; 60 in all.", "60 / 3", ["1 + 2 = 3", "60 / 3 = 20"]),
    ("Ann and 4 friends share 60 pens.", "60 / 5", ["1 + 4 = 5", "60 / 5 = 12"]),
    ("Ann is with 4 older friends; they share 60 pens.", "60 / 5", ["60 / 5 = 12"]),
    ("She sells 50% of the 60 pens.", "60 / 2", ["60 * 50% = 30"]),
    ("She reads 280 pages in two weeks.", "280 / 14", ["2 * 7 = 14", "280 / 14 = 20"]),
    ("500 grams cost $6 a kilogram.", "0.5 * 6", ["500 / 1000 = 0.5", "0.5 * 6 = 3"]),
    ("Ann has $2.50, in cents.", "250 - 70", ["2.5 * 100 = 250", "250 - 70 = 180"]),
    ("Every 3rd day she has twice as many.", "60 / 3", ["60 / 3 = 20"]),
    ("She swims 14 laps in two hours.", "14 / 7", ["14 / 7 = 2"]),
    ("Two weeks here and two weeks there.", "280 / 14", ["280 / 14 = 20"]),
    # The question gives the number itself, or nothing explains it, or too much does.
    ("The 50 pens cost 20% more, 1.2 times.", "50 * 1.2", ["50 * 1.2 = 60"]),
    ("The 50 pens cost 20% more.", "50 * 1.3", ["50 * 1.3 = 65"]),
    ("Twice 60, and 4 men.", "60 / 5", ["60 / 5 = 12"]),
    ("25% of 60, three quarters of a day, 1/4 of it.", "60 * 1.25", ["60 * 1.25 = 75"]),
])
def test_a_share_a_multiple_or_another_unit_is_completed(question, expression, expected):
    assert lines(question, expression) == expected


def test_an_implied_step_is_written_once():
    assert lines("The 50 pens and the 40 caps cost 20% more.", "50 * 1.2", "40 * 1.2") == [
        "1 + 20% = 1.2", "50 * 1.2 = 60", "40 * 1.2 = 48"]
