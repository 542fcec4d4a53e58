"""An expression comes apart into exact steps of two operands, and implied ones are written."""
import pytest

from nanoreason.arithmetic import evaluate
from nanoreason.arithmetic.expression import parse_expression
from nanoreason.data.gsm8k.steps import BinarySteps, StepError, complete
from nanoreason.data.verify_lines import equation
from nanoreason.graph.quantities import quantities


def binary(text, question=""):
    collected = BinarySteps(quantities(question))
    collected.add(parse_expression(text))
    return [equation(s.operator, s.left, s.right, s.value) for s in collected.steps]


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


def lines(question, *expressions):
    collected = BinarySteps(quantities(question))
    for expression in expressions:
        collected.add(parse_expression(expression))
    return [equation(step.operator, step.left, step.right, step.value)
            for step in complete(collected.steps, question)]


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
