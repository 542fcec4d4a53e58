"""Quantities: which numbers a question gives, in what order, with which values."""
import gzip
import json
import re
from fractions import Fraction as F

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nanoreason.arithmetic import ArithmeticTextError, evaluate
from nanoreason.graph.provenance import CONSTANTS, constants_of
from nanoreason.graph.quantities import Quantity, quantities
from timing import grows_linearly


def read(question):
    return [(quantity.text, *quantity.values) for quantity in quantities(question)]


@pytest.mark.parametrize("question, expected", [
    ("12 pens, 1,234.50 pounds and .5 cups", [
        ("12", 12), ("1,234.50", F(2469, 2)), (".5", F(1, 2))]),
    ("$12 or 12 dollars or €1,000", [("$12", 12), ("12", 12), ("€1,000", 1000)]),
    ("$.75, 50 cents and 75¢", [("$.75", F(3, 4)), ("50", 50, F(1, 2)), ("75", 75, F(3, 4))]),
    ("five cents", [("five", 5, F(1, 20))]),
    ("zero, one pen, nineteen, ninety-nine", [
        ("zero", 0), ("one", 1), ("nineteen", 19), ("ninety-nine", 99)]),
    ("Twenty five pens", [("Twenty five", 25)]),
    ("twenty five-dollar notes", [("twenty", 20), ("five", 5)]),
    ("two three-legged dogs", [("two", 2), ("three", 3)]),
    ("a hundred and six, two hundred forty", [
        ("a hundred and six", 106), ("two hundred forty", 240)]),
    ("the first hundred guests", [("hundred", 100)]),
    ("three thousand five hundred", [("three thousand five hundred", 3500)]),
    ("one million two hundred thousand and six", [
        ("one million two hundred thousand and six", 1200006)]),
    ("$3.5 million", [("$3.5 million", 3500000, F(7, 2))]),
    ("5 thousand, $9k", [("5 thousand", 5000, 5), ("$9k", 9000, 9)]),
    ("a dozen eggs, per dozen", [("a dozen", 12), ("dozen", 12)]),
    ("two dozen, 5 dozens", [("two dozen", 24, 2), ("5 dozens", 60, 5)]),
    ("half a dozen, half dozen", [("half a dozen", 6), ("half dozen", 6)]),
    ("half of it, in halves, the second half", [
        ("half", F(1, 2), 2), ("halves", F(1, 2), 2), ("half", F(1, 2), 2)]),
    ("a third of, a fifth as many", [("third", F(1, 3), 3), ("fifth", F(1, 5), 5)]),
    ("one third, one-fourth, one half", [
        ("one third", F(1, 3), 3), ("one-fourth", F(1, 4), 4), ("one half", F(1, 2), 2)]),
    ("two thirds, three-fifths, 3 fifths of, two third of", [
        ("two thirds", F(2, 3), 3, 2), ("three-fifths", F(3, 5), 5, 3),
        ("3 fifths", F(3, 5), 5, 3), ("two third", F(2, 3), 3, 2)]),
    ("three quarters of the way, a quarter", [
        ("three quarters", F(3, 4), 4, 3), ("quarter", F(1, 4), 4)]),
    ("12 quarters and 3 dimes", [("12", 12), ("quarters", F(1, 4), 4), ("3", 3)]),
    ("twice, double, doubled, thrice, tripled, quadruple", [
        ("twice", 2), ("double", 2), ("doubled", 2), ("thrice", 3), ("tripled", 3),
        ("quadruple", 4)]),
    ("three times as many", [("three", 3)]),
    ("20% off, 20 percent, twenty per cent, 12.5 %", [
        ("20%", F(1, 5), 20), ("20 percent", F(1, 5), 20), ("twenty per cent", F(1, 5), 20),
        ("12.5 %", F(1, 8), F(25, 2))]),
    ("3/4 of, 1/3rd, 5 / 8", [
        ("3/4", F(3, 4), 4, 3), ("1/3rd", F(1, 3), 3), ("5 / 8", F(5, 8), 8, 5)]),
    ("2 1/2 cups, 1-1/2 cups, 2 and a half, two and one-half, 4 and 3/4", [
        ("2 1/2", F(5, 2)), ("1-1/2", F(3, 2)), ("2 and a half", F(5, 2)),
        ("two and one-half", F(5, 2)), ("4 and 3/4", F(19, 4))]),
    ("8 and half as many, 9 and a quarter of them", [
        ("8", 8), ("half", F(1, 2), 2), ("9", 9), ("quarter", F(1, 4), 4)]),
    ("120-page, ten-year-old, 9kg, 5s", [("120", 120), ("ten", 10), ("9", 9), ("5", 5)]),
    ("at 6:30 in the ratio 3:2 on 1/2/2006", [
        ("6", 6), ("30", 30), ("3", 3), ("2", 2), ("1", 1), ("2", 2), ("2006", 2006)]),
    ("a twenty-second wait of 10 seconds", [("twenty", 20), ("10", 10)]),
    ("one pen each, only one.", [("one", 1), ("one", 1)]),
    ("từ 12 quả, bán 5 quả", [("12", 12), ("5", 5)]),
])
def test_quantities_are_read(question, expected):
    assert read(question) == expected


@pytest.mark.parametrize("question", [
    "", "no numbers", "the first, second and third day", "the 21st, 2nd and 3rd", "twenty-third",
    "a third friend", "on the fifth", "the first quarter", "every quarter", "dozens of", "hundreds",
    "mp3", "halfway", "someone", "oneself", "tenant", "once", "which one", "the red one",
    "one another", "one of the men", "a new one.", "3/0", "a an", "9" * 61,
])
def test_what_is_not_a_quantity_is_passed_over(question):
    assert quantities(question) == ()


def test_a_quantity_knows_its_index_and_place():
    question = "She has 40% of twelve pens."
    assert quantities(question) == (
        Quantity(0, (F(2, 5), F(40)), "40%", (8, 11)), Quantity(1, (F(12),), "twelve", (15, 21)),
    )


def test_constants_have_fractions_and_names():
    assert all(isinstance(value, F) and value > 0 and name for value, name in CONSTANTS.items())
    for value in (7, 12, 24, 60, 100, 52, 365):
        assert F(value) in CONSTANTS
    assert F(37) not in CONSTANTS


@pytest.mark.parametrize("question, yes, no", [
    ("How many pens are there?", (), (1, 2, 3, 7, 12, 60, 100)),
    ("She buys two dozen eggs a week.", (12, 7), (60, 100)),
    ("It takes 3 Hours and 5 seconds", (60, 3600, 24), (12, 100)),
    ("20% of the pens", (100, F(1, 100), 1), (12, 60)),
    ("He has $5.", (), (60, 7, 100, F(1, 100))),
    ("1 gallon and 3 quarts, in ounces", (128, 32), (2000,)),
    ("a ton of feathers and a quart of milk", (2000,), (32, 128)),
    ("Together they have 66, she 8 more than he.", (1, 2), (3,)),
    ("She comes second.", (), (60,)),
    ("They walk half of the way and split the rest", (2, F(1, 2), 1), (60, 3)),
    ("a bookyard", (), (3,)),  # words count from their beginning
    ("He owns 3 dogs and a ferret.", (), (1, 2, 3)),
])
def test_a_constant_holds_only_where_the_question_speaks_of_it(question, yes, no):
    found = constants_of(question)
    assert found <= set(CONSTANTS)
    assert {F(value) for value in yes} <= found
    assert not {F(value) for value in no} & found


def test_the_days_and_the_months_of_a_span_are_counted():
    assert F(4) in constants_of("He runs from Monday to Thursday.")
    assert F(7) in constants_of("She saves 5 dollars from January through July.")
    assert F(3) in constants_of("They travel from December until February.")
    assert F(7) not in constants_of("She saves 5 dollars in January and July.")


def test_an_ordinal_may_be_counted():
    assert {F(15), F(22)} <= constants_of("After his 15th birthday, and before the 22nd")
    assert not {F(15), F(9)} & constants_of("After 15 years, the 9thing")


WORDS = st.sampled_from(
    "12 1,250 0.5 $3 20% 3/4 half twice a an one two twenty -five hundred thousand million dozen "
    "and third thirds quarter quarters of percent cents pens the first 21st . , - / k ¢ $".split()
)


@given(st.one_of(st.text(), st.lists(WORDS).map(" ".join), st.lists(WORDS).map("".join)))
def test_quantities_of_any_text_stand_in_order_and_do_not_overlap(question):
    end = 0
    for index, quantity in enumerate(quantities(question)):
        assert quantity.index == index and quantity.values
        assert quantity.span[0] >= end and quantity.text == question[slice(*quantity.span)]
        assert len(set(quantity.values)) == len(quantity.values)
        assert quantity.text.strip() == quantity.text != ""
        end = quantity.span[1]


NAMES = dict(enumerate("twenty thirty forty fifty sixty seventy eighty ninety".split(), 2))


@given(st.integers(2, 9), st.integers(1, 9))
def test_every_number_word_below_a_hundred_is_its_number(tens, units):
    names = "one two three four five six seven eight nine".split()
    for text in (f"{NAMES[tens]}-{names[units - 1]}", f"{NAMES[tens]} {names[units - 1]}"):
        assert read(f"so {text} pens") == [(text, 10 * tens + units)]


@pytest.mark.parametrize("unit", [
    "9", "1,", "1 ", "one ", "hundred ", "a ", "1/", "1 and ", "twenty-", ".", "$", " ",
    "two thousand ", "half a ", "a\u0301", "_9", "million ",
])
def test_hostile_text_is_read_in_linear_time(unit):
    assert grows_linearly(lambda size: quantities((unit * size)[:size]))

def test_most_operands_of_real_solutions_have_a_source(gsm8k):
    """Operands of the annotated computations: given, an earlier result or a constant."""
    with gzip.open(gsm8k / "test.jsonl.gz", "rt", encoding="utf-8") as lines:
        records = [json.loads(line) for line in lines]
    given_, known, total = 0, 0, 0
    for record in records:
        givens = {v for quantity in quantities(record["question"]) for v in quantity.values}
        results = set()
        for mark in re.findall(r"<<([^<>=]*)=([^<>]*)>>", record["answer"]):
            for text in re.findall(r"[0-9.]*[0-9]", mark[0]):
                value = F(text)
                total += 1
                given_ += value in givens
                known += value in givens or value in results or value in CONSTANTS
            try:
                results.add(evaluate(mark[1]))
            except ArithmeticTextError:
                continue
    assert total > 5000
    assert given_ > 0.5 * total
    assert known > 0.95 * total
