"""In which form a comparison is learned: what the lines say, and what was found."""
from __future__ import annotations

import random
from itertools import islice

import comparison_forms
import gpu_scores
import pytest
import verify_flags
from gpu_columns import checked

from nanoreason.arithmetic import read_equations
from nanoreason.model.base import load_tokenizer
from nanoreason.model.tokens import VERIFY, tag_ids

LINES = {"plain": "15 + 87 = 102, want 112, wrong",
         "pairs": "15 + 87 = 102, want 112: 22 01, wrong",
         "flags": "15 + 87 = 102, want 112: 22y 01n 11y, wrong"}


@pytest.mark.parametrize("form", comparison_forms.FORMS)
def test_a_line_is_read_as_it_is_meant(form):
    line = "15 + 87 = 102" + comparison_forms.comparison("102", "112", form)
    assert line == LINES[form]
    assert gpu_scores.comparisons([line])["counts"] == (1, 1)
    equal = "15 + 87 = 102" + comparison_forms.comparison("102", "102", form)
    assert gpu_scores.comparisons([equal])["counts"] == (0, 0)


@pytest.mark.parametrize("form", comparison_forms.FORMS)
def test_every_word_is_what_arithmetic_says(form):
    words = {"correct": 0, "wrong": 0}
    for prompt, solution in islice(comparison_forms.documents("sums", form, "a test"), 300):
        claim, = read_equations(prompt.split("Is it true that ")[1].split("?")[0])
        word = solution.rsplit(", ", 1)[1]
        assert (word == "correct") == claim.holds
        assert all(equation.holds for equation in read_equations(solution))
        words[word] += 1
    assert min(words.values()) > 120


def test_missing_digits_are_told():
    assert comparison_forms.comparison("7", "112", "pairs") == ", want 112: 72, wrong"
    assert comparison_forms.comparison("2", "12", "flags") == ", want 12: 22y -1n, wrong"


def test_what_a_line_of_flags_says_is_counted():
    text = """[EXECUTE]
1. 87 + 15 = 112
2. 3 - 1 = 1
3. 2 + 2 = 4
Result: 4
[VERIFY]
1. 15 + 87 = 102, want 112: 22y 01n 11y, wrong
2. 1 + 1 = 3, want 3: 33n, wrong
3. 2 + 3 = 5, want 5: 51y, correct
4. nothing
Verdict: correct
Answer: 1
"""
    counts = verify_flags.lines([{"setting": "natural", "text": text}])["natural"]
    assert counts == {
        "lines": 4, "differ": 1, "differ_right": 1, "equal": 2, "equal_right": 1, "asked": 2,
        "pairs": 2, "flags": 5, "flags_right": 3, "false_sums": 1, "unread": 1}


def test_each_adapter_learns_its_part_of_the_rows():
    tokenizer = load_tokenizer("nano")
    tag = tag_ids(tokenizer)
    for row in verify_flags.reasoning_rows(tokenizer, 4):
        assert row.input_ids[-len(tag):] == tag and VERIFY not in row.groups
    rows = verify_flags.verification_rows(tokenizer, 6, 0, 2, "a test")
    assert len(rows) == 8
    for row in rows:
        first = next(i for i, group in enumerate(row.groups) if group == VERIFY)
        assert row.input_ids[first - len(tag):first] == tag
        assert set(row.groups[:first]) == {-1}


def first_differences(count: int) -> list[tuple[int, int]]:
    """(place of the first digit that differs, digits) of wrong claims, units first."""
    rng, found = random.Random(0), []
    while len(found) < count:
        _, result, wanted = checked(*comparison_forms.claimed(rng))
        length = max(len(result), len(wanted))
        both = [*zip(result[::-1].ljust(length), wanted[::-1].ljust(length))]
        if result != wanted:
            found.append((next(k for k, (a, b) in enumerate(both) if a != b), length))
    return found


def test_what_the_page_says_of_the_claims():
    found = first_differences(4000)
    assert sum(k == 0 for k, _ in found) / 4000 == pytest.approx(0.73, abs=0.02)
    assert sum(k < length - 1 for k, length in found) / 4000 == pytest.approx(0.84, abs=0.02)
