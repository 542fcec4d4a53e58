"""Formulas are compared in a worker that no answer can keep busy."""
import time

import pytest

from nanoreason.arithmetic.answers import grade, last_answer, numbers_in, same_answer
from nanoreason.arithmetic.symbolic import (LATE, REFUSED, _forked, comparable,
                                             compare_formulas)
from nanoreason.data import load_problems
from nanoreason.data.problem import Problem
from nanoreason.evaluation import accuracy
from nanoreason.evaluation.rows import compact_row


@pytest.mark.parametrize("answer, gold, equal", [
    (r"\dfrac12", r"\frac{1}{2}", True), ("0.5", r"\frac{1}{2}", True),
    ("(x+1)^2", "x^2+2x+1", True), (r"2\sqrt{2}", r"\sqrt{8}", True),
    (r"\{2,1\}", r"\{1,2\}", True), ("(2,1)", "(1,2)", False), ("[0,1]", "[0,1)", False),
    (r"\frac{1}{3}", r"\frac{1}{2}", False), ("", r"\sqrt{8}", False), ("B", "b", True),
    ("twelve", "12", False), (r"50\%", "50", False), (r"\frac{24}{2}", "12", True),
    ("6, -6", "-6, 6", True), ("4+n", "n+4", True), ("5+2m", "2m+5", True), ("3*k", "3k", True),
    ("5,2", "2,5", True), (r"\{5,2\}", "2,5", True), (r"\{3,8\}", "(3,8)", False),
    ("[1,2]", "(1,2)", False), (r"(-\infty,1)\cup(2,3)", r"(2,3) \cup (-\infty,1)", True),
    (r"\begin{pmatrix}1\\2\end{pmatrix}", r"\begin{pmatrix}2\\1\end{pmatrix}", False),
    ("2x=5", "5", False), ("x+y=5", "5", False), (r"\sqrt{x}=5", "5", False), ("x = 5", "5", True),
    ("5", "x=5", True), ("y=2x-1", "y = 2x + 1", False),
    (r"\frac{1}{2^{71}}", r"\frac{1}{2^{70}}", False), ("0.333333", "1/3", False),
    ("1.4142136", r"\sqrt{2}", False),
    (r"2+\frac{1}{\mathrm{e}}", r"2-\frac{1}{\mathrm{e}}", False),
    (r"4\text{ minutes}", r"4\text{ hours}", False), (r"30\text{ m}", r"30\text{ cm}", False),
    (r"30\text{ metres}", "30 m", True), (r"15\text{ cm}^2", r"15\text{ cm}", False),
    (r"9\text{ am}", r"9\text{ pm}", False), ("12 apples", "12", True), ("even", "neve", False),
    ("45°", r"45^\circ", True), ("π/3", r"\frac{\pi}{3}", True), ("√7", r"\sqrt{7}", True),
    ("6!", "720", True), ("m²", "m^2", True), (r"33 \frac{1}{3}", r"\frac{100}{3}", True),
    (r"12.5\%", r"\frac{25}{2}\%", True), ("35%", r"35\%", True), ("0.35", r"35\%", True),
    (r"\pm 3", "-3, 3", True), ("±3", "3 and -3", True), ("x = 3 or x = -3", r"\pm 3", True),
    (r"5 \text{ or } 8", "8, 5", True), ("{5, 8}", r"\{8,5\}", True),
    ("1, 2, and 5", "1,2,5", True),
    ("x > 2 and x < 5", "x > 2 or x < 5", False), ("(0,1) U (2,3)", r"(0,1)\cup(2,3)", True),
    (r"\begin{bmatrix} 1 & 0.5 \\ 3 & 4 \end{bmatrix}",
     r"\begin{pmatrix}1&\frac12\\3&4\end{pmatrix}", True),
    (r"\begin{pmatrix}1&2\\3&4\end{pmatrix}", r"\begin{vmatrix}1&2\\3&4\end{vmatrix}", False),
    ("1011_2", "1011_{2}", True), ("1011_2", "1011_3", False), ("2*sqrt(3)", r"\sqrt{12}", True),
    ("2pi", r"2\pi", True), ("3 × 10⁵", r"3 \times 10^5", True), ("1½", r"\frac{3}{2}", True),
    ("x ≥ 5", r"x \geq 5", True), ("2·a·b", "2ab", True), ("2ab", "2 a b", True),
    # What stands behind a number is its unit, or another number, or a factor.
    ("12 or 13", "12", False), ("12", "12 and 13", False), ("12 hours 30 minutes", "12", False),
    ("2xy", "2", False), ("2", "2cd", False), ("2pi", "2", False), ("3 sqrt(2)", "3", False),
    ("2cos(x)", "2", False), ("5 squared", "5", False), ("2", "2 dozen", False),
    ("1 0", "10", False),
    ("12 and a half", "12", False), ("5 or more", "5", False), ("40 (quả)", "40", True),
    ("12 boys and girls", "12", True), ("15 square centimeters", r"15\text{ cm}^2", True),
    ("60 percent", r"60\%", True), ("45 degrees", r"45^\circ", True), ("Rs. 500", "500", True),
    ("9'500", "9500", True), ("- 8", "8", False), ("(4,112]", "(4,112)", False),
    ("- 8", "-8", True), ("5mph", "5", True), ("8 km/h", "8", True),
])
def test_symbolic_answers(answer, gold, equal):
    assert same_answer(answer, gold) is equal


@pytest.mark.parametrize("text", [
    "10^{10^{10}}", "2^99999", "9**9**9", "1" * 40, "x" * 201, "__import__('os')!", "", "x\ny",
])
def test_what_could_run_for_ever_is_not_compared(text):
    assert not comparable(text)
    start = time.perf_counter()
    assert compare_formulas(text, r"\sqrt{2}") == REFUSED
    assert time.perf_counter() - start < 30  # the shortest would take minutes


def test_a_worker_that_takes_too_long_is_replaced():
    assert compare_formulas(r"\sqrt{8}", r"2\sqrt{2}", seconds=0.0) == LATE
    assert compare_formulas(r"\sqrt{8}", r"2\sqrt{2}", seconds=60) is True


def test_the_limit_is_of_the_processor_not_of_the_clock():
    """On a busy machine a comparison waits; what it comes to must be the same."""
    def busy():
        while True:
            pass

    assert _forked(lambda: time.sleep(1.0) or True, 0.2) is True
    start = time.perf_counter()
    assert _forked(busy, 0.2) == LATE and time.perf_counter() - start < 20 * 0.2
    assert _forked(lambda: time.sleep(60), 0.01) == LATE  # nothing is waited for without end


HOSTILE = [r"(x+1)^{999}", r"\binom{999999999}{499999999}", "(" * 90 + "x" + ")" * 90,
           r"10^{10^{10}}", r"\frac{1}{" * 40 + "2" + "}" * 40, "9" * 100_000, "x" * 100_000,
           r"\begin{pmatrix}" * 13, "=" * 200, r"1/0", "1e999999"]


def row(answer, gold, text=None):
    text = text or f"[EXECUTE]\n1. 1 + 1 = 2\nResult: 2\n[VERIFY]\nAnswer: {answer}"
    return {"problem_id": "p", "sample": 0, "setting": "natural", "question": "What is it?",
            "gold": gold, "teachers": [], "planted": None, "intervention": None, "text": text}


@pytest.mark.parametrize("answer", HOSTILE, ids=lambda text: text[:12])
def test_a_hostile_answer_is_given_up_soon(answer):
    compare_formulas("x", "y")  # the worker is there
    spent, start = time.process_time(), time.perf_counter()
    assert grade(answer, r"\sqrt{2}").right is False
    # The worker's limit is a second of the processor; without it these take minutes.
    assert time.process_time() - spent < 10 and time.perf_counter() - start < 30


def test_what_was_not_compared_is_counted_in_the_report():
    assert compare_formulas(r"\binom{999999999}{499999999}", r"\sqrt{2}") == LATE
    assert compare_formulas("2^99999", r"\sqrt{2}") == REFUSED
    rows = [row(r"\sqrt{2}", r"\sqrt{2}"), row("2^99999", r"\sqrt{2}"),
            row(r"\binom{999999999}{499999999}", r"\sqrt{2}"), row("3", r"\sqrt{2}")]
    for chosen in (rows, [compact_row(one) for one in rows]):
        report = accuracy(chosen)
        assert report.counts["strict"] == (1, 4)
        assert {reason: len(names) for reason, names in report.refused.items()} == {
            REFUSED: 1, LATE: 1}
        lines = [line.split() for line in str(report).splitlines()]
        assert ["Counted", "as", "wrong", "1", *LATE.split(), "p/0/natural"] in lines
    assert accuracy(rows[:1]).refused == {}


@pytest.mark.parametrize("answer, gold, right", [
    ("B", "B", True), ("b", "B", True), ("(B)", "B", True), ("B.", "B", True), ("B)", "B", True),
    ("B. 12", "B", True), ("B: x = 2", "B", True), ("C", "B", False), ("Because", "B", False),
    ("A and B", "B", False), ("AB", "B", False), ("", "B", False), ("2", "B", False),
    ("1.000", "1000", False), ("1,000", "1000", True), ("1.000", "1", True),
    ("50", "50%", False), ("50%", "0.5", True), ("2/4", "0.5", True),
    (r"\text{(C)}", "C", True), (r"\boxed{\text{C}}", "C", True), ("**C**", "C", True),
    ("Option C", "C", True), ("Đáp án C", "C", True), ("C", r"\text{(C)}", True),
    ("Option (j)", "J", True), ("E. 12", "(e)", True), ("F", "E", False),
    ("f", r"\text{(F)}", True), ("3i", "3 i", True), ("I", "i", True),
    ("D", r"\text{(C)}", False), (r"12\,500", "12500", True), (r"12\,500", "512", False),
    (r"10\,000", "0", False), (r"64,\!000", "64000", True), ("12~500", "12500", True),
    ("−8", "-8", True), ("8", "−8", False), ("+8", "8", True), ("12,5", "12.5", False),
    ("12.5", "12,5", False), ("5{,}3", "3{,}5", False), ("3.5", "3{,}5", True),
    ("(0;5,1)", "(0,5;1)", False), ("1; 2; 3", "1, 2, 3", True), ("(1; 200)", "(1, 200)", True),
])
def test_options_and_numbers(answer, gold, right):
    assert grade(answer, gold).right is right


@pytest.mark.parametrize("answer, gold, right", [
    ("12,5", "12.5", True), ("12.5", "12,5", True), ("1.500", "1500", True),
    ("1500", "1.500", True), ("12.000 đồng", "12000", True), ("12,5", "125", False),
    ("(0;5,1)", "(0,5;1)", False), ("(0.5; 1)", "(0,5;1)", True), ("(0,5;1)", "(0;5;1)", False),
    (r"\{2;\frac{3}{2}\}", r"\{1,5;2\}", True), (r"[\frac{1}{4};1)", "[0,25;1)", True),
    ("(0;5,100)", "(0,5;100)", False), ("5{,}3", "3{,}5", False), ("3,5", "3{,}5", True),
    ("(1,2)", "(1;2)", True), ("x = 2; x = 1,5", "1,5; 2", True),
])
def test_a_vietnamese_row_writes_its_numbers_as_vietnamese_does(answer, gold, right):
    assert grade(answer, gold, vietnamese=True).right is right


@pytest.mark.parametrize("text, gold, right", [
    (r"That makes $\boxed{72}$ for all days up to the 30th.", "72", True),
    ("So Ben saves #### 54 dollars in 9 weeks.", "54", True),
    ("Answer: 28\nCheck: 28 / 7 = 4.", "28", True), ("The change is −8.", "-8", True),
    ("The change is −8.", "8", False), (r"So $\boxed{\frac{7}{2}}$.", "3.5", True),
    (r"So $\boxed{6{,}200}$.", "6200", True), ("The area is 18 cm^2.", "18", True),
    ("Altogether 3 1/2 cups", "7/2", True), ("It is 4e3 in all", "4000", True),
    ("Answer: B because A is too small.", "B", True),
    ("The answer is B, as A is too small.", "B", True),
    ("Đáp án đúng là C. Vì A sai.", "C", True), (r"It comes to $\frac{3}{4}$.", "0.75", True),
    (r"It comes to $\frac{3}{4}$.", "4", False), ("so x = − 8", "-8", True),
    ("so x = − 8", "8", False),
    ("Answer: 3\n#### 4", "3", True), (r"\boxed{5} #### 4", "4", True),
    ("She spent #### 60% of it", "60", True), ("She spent #### 60% of it", "0.6", True),
    ("#### 60% of it", "61", False), ("#### VERIFY ####\nso 7", "7", True),
    ("so the answer is (c)", "C", True), ("So it is E.", "E", True), ("Answer: (H)", "H", True),
    ("I take B", "B", True), (r"It is \(n+4\).", "4+n", True),
    (r"\[n^2+4\]", "n^2+4", True), ("Answer: x = 5 + 3 = 8 cm", "8", True),
])
def test_the_lenient_reading_takes_what_is_stated_before_what_is_last(text, gold, right):
    assert grade(last_answer(text, gold), gold).right is right


@pytest.mark.parametrize("text, gold, last", [
    ("A is wrong, so B. 3", "C", "B"), ("no option, Dad", "A", None), ("it is 3 or 4", "7", "4"),
    (r"so \boxed{\frac{1}{2}} it is, 3", r"\frac{1}{2}", r"\frac{1}{2}"),
    ("hence $x^2$ for 5", "x^2", "x^2"), (r"\boxed{open", r"\pi", None), ("or 5", r"\pi", "5"),
])
def test_the_last_answer_is_of_the_golds_kind(text, gold, last):
    assert last_answer(text, gold) == last


GOLDS = ["12", "-3", "1,234", "0.5", r"\frac{3}{4}", r"\dfrac{2\pi}{3}", "x^2+2x+1", r"11\sqrt{2}",
         "(2,3)", r"[0,\infty)", r"\text{even}", "50\\%", r"90^\circ", "A", "D", r"\{1,2\}",
         r"\begin{pmatrix}1\\2\end{pmatrix}", "y = 2x - 1", r"33\frac{1}{3}", "2^{2005}", r"\$5"]


@pytest.mark.parametrize("gold", GOLDS)
def test_a_gold_answer_grades_right_and_a_constant_one_wrong(gold):
    assert accuracy([row(gold, gold)]).counts["strict"] == (1, 1)
    assert accuracy([row("7919", gold)]).counts["strict"] == (0, 1)


@pytest.mark.parametrize("part", ["train", "test"])
def test_every_gold_answer_of_gsm8k_grades_right_and_a_constant_one_does_not(gsm8k, part):
    problems = [p for p in load_problems("gsm8k", str(gsm8k), part) if isinstance(p, Problem)]
    assert len(problems) > 1000
    assert all(grade(p.answer, p.answer).right for p in problems)
    assert not any(grade("7919", p.answer).right for p in problems)


def test_numbers_beyond_all_bounds_are_passed_over():
    assert numbers_in(f"2 and {'9' * 5000} and 3.5") == {2, 7 / 2}
    text = f"[EXECUTE]\n1. {'9' * 5000} + 1 = 2\nResult: {'9' * 5000}\n[VERIFY]\nAnswer: 1"
    assert accuracy([row("", "2", text)]).counts["strict"] == (0, 1)
