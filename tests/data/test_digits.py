"""Sums by digits: every fact holds, and together they spell the result."""
import random
import re
from dataclasses import replace
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nanoreason.arithmetic import read_equations
from nanoreason.data.problem import Operand, Step, compute, write_number
from nanoreason.data.verify_lines import (CorruptionError, by_columns, column_check, digit_facts,
                                          digit_flags, repaired, stated, worked)
from nanoreason.trace import Trace


@pytest.mark.parametrize("sign", "+-*")
def test_the_facts_hold_and_spell_the_result_units_first(sign):
    rng = random.Random(sign)
    seen = 0
    for _ in range(400):
        left, right = rng.randint(0, 999), rng.choice((rng.randint(0, 9), rng.randint(0, 999)))
        facts = digit_facts(sign, left, right)
        value = {"+": left + right, "-": left - right, "*": left * right}[sign]
        if facts is None:
            assert max(left, right) < 10 or value < 0 or sign == "*" and min(left, right) > 9
            continue
        seen += 1
        parts = facts.split(";")
        equations = [read_equations(part)[0] for part in parts]
        assert all(equation.holds for equation in equations)
        assert all(int(number) < 10 for e in equations for number in e.left.split()[::2])
        results = [e.right for e in equations]
        if sign == "-":  # the second number of each fact is a digit of the difference
            spelled = "".join(e.left.split()[2] for e in reversed(equations))
        else:
            spelled = results[-1] + "".join(r[-1] for r in reversed(results[:-1]))
        assert int(spelled) == value
    assert seen > 100


def test_flags_stand_digit_beside_digit():
    assert digit_flags("102", "112") == "22y 01n 11y"
    assert digit_flags("9", "112") == "92n -1n -1n"
    assert digit_flags("112", "12") == "22y 11y 1-n"
    assert digit_flags("7", "7") == "77y"
    assert digit_flags("-5", "5") == "55y --n" and digit_flags("-5", "-5") == "55y --y"


NUMBERS = st.one_of(st.integers(0, 999).map(Fraction), st.integers(1, 300).map(
    lambda n: Fraction(1000 * n)), st.integers(1, 9999).map(lambda n: Fraction(n, 100)))
OPERANDS = st.one_of(NUMBERS.map(lambda n: Operand("given", 0, n, write_number(n))), st.integers(
    1, 99).map(lambda n: Operand("given", 0, Fraction(n, 100), f"{n}%")))


@given(st.sampled_from("+-*/"), OPERANDS, OPERANDS, st.sampled_from((0, 0, 1, -1, 10, -10)),
       st.integers(0), st.integers(1, 9))
def test_what_is_written_holds_and_no_longer_once_a_digit_is_changed(sign, x, y, off, place, by):
    if y.value == 0:  # whatever stands in place of a factor beside 0 is as true
        return
    step = Step(sign, x, y, compute(sign, x.value, y.value), "")
    for line in (column_check(step, step.value + off), worked(sign, x, y)):
        assert stated(line) == (True, ""), line
        digits = [found.start() for found in re.finditer("[0-9]", line)]
        at = digits[place % len(digits)]
        changed = f"{line[:at]}{(int(line[at]) + by) % 10}{line[at + 1:]}"
        assert stated(changed)[0] is not True or " * 0" in line or line.startswith("0 "), changed


@pytest.mark.parametrize("line, holds", [
    ("²² + 33: 2 + 3 = 5;²² + 33 = 55, want 55: 55y 55y, correct", False),
    (f"{'1' * 5000} + 12: 1 + 1 = 2;{'1' * 5000} + 12 = 3, want 3, correct", False),
    ("1,200 + 15: 0 + 5 = 5;1,200 + 15 = 1,215", False)])
def test_numbers_of_other_digits_or_without_end_are_judged_too(line, holds):
    assert stated(line)[0] is holds


PLAIN = Trace(("Given: 48; 24", "Find: all"), ("Halve.", "Add."), ("48 / 2 = 24", "24 + 48 = 71"),
              "71", ("24 * 2 = 48", "71 - 24 = 47"), 2, ("24 + 48 = 72",), "72")


def test_verify_of_a_trace_that_others_wrote_is_by_digits_or_as_it_was():
    plain = by_columns(PLAIN)
    assert plain.checks[1].endswith("48 + 24 = 72, want 71: 21n 77y, wrong")
    tight = replace(PLAIN, execute=("48/2=24 clips", "24+48=71"))
    assert by_columns(tight) == replace(plain, execute=tight.execute)
    for odd in (replace(PLAIN, execute=PLAIN.execute[:1]),  # the last step is skipped
                replace(PLAIN, execute=("48 / 2 = 24", "about 71")),
                replace(PLAIN, repairs=(*PLAIN.repairs, "72 + 1 = 73"))):
        assert by_columns(odd) == odd
    with pytest.raises(CorruptionError, match="3 lines once repaired for 2 steps of PLAN"):
        repaired(odd)
