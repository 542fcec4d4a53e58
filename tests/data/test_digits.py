"""Sums by digits: every fact holds, and together they spell the result."""
import random

import pytest

from nanoreason.arithmetic import read_equations
from nanoreason.data.verify_lines import digit_facts, digit_flags


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
