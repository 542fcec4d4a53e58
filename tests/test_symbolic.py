"""Formulas are compared in a worker that no answer can keep busy."""
import time

import pytest

from nanoreason.rows import same_answer
from nanoreason.symbolic import comparable, same_formula


@pytest.mark.parametrize("answer, gold, equal", [
    (r"\dfrac12", r"\frac{1}{2}", True), ("0.5", r"\frac{1}{2}", True),
    ("(x+1)^2", "x^2+2x+1", True), (r"2\sqrt{2}", r"\sqrt{8}", True),
    (r"\{2,1\}", r"\{1,2\}", True), ("(2,1)", "(1,2)", False), ("[0,1]", "[0,1)", False),
    (r"\frac{1}{3}", r"\frac{1}{2}", False), ("", r"\sqrt{8}", False), ("B", "b", True),
    ("twelve", "12", False), (r"50\%", "50", False), (r"\frac{24}{2}", "12", True),
])
def test_symbolic_answers(answer, gold, equal):
    assert same_answer(answer, gold) is equal


@pytest.mark.parametrize("text", [
    "10^{10^{10}}", "2^99999", "9**9**9", "1" * 40, "x" * 201, "__import__('os')!", "", "x\ny",
])
def test_what_could_run_for_ever_is_not_compared(text):
    assert not comparable(text)
    start = time.perf_counter()
    assert same_formula(text, r"\sqrt{2}") is False
    assert time.perf_counter() - start < 1


def test_a_worker_that_takes_too_long_is_replaced():
    assert same_formula(r"\sqrt{8}", r"2\sqrt{2}", seconds=0.0) is False
    assert same_formula(r"\sqrt{8}", r"2\sqrt{2}", seconds=60) is True
