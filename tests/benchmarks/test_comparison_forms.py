"""In which form a comparison is learned: what the lines say, and what was found."""
from __future__ import annotations

import json
from itertools import islice

import comparison_forms
import gpu_scores
import pytest

from nanoreason import paths
from nanoreason.arithmetic import read_equations

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
