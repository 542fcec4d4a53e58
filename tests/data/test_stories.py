"""The files of story words: what a teacher may add, and what is refused with its place."""
from __future__ import annotations

import random

import pytest

from nanoreason import paths
from nanoreason.data.procedural import make_problem
from nanoreason.data.stories import StoryWordsError, load_words, read_words

SITUATION = """  - key: kittens
    items: kittens
    start: feeds {n} kittens
    gain: takes in {n} kittens
    gained: taken in
    lose: hands over {n} kittens
    lost: handed over
    groups: litters/litter
    boxes: hutches/hutch
"""


def written(folder, old, new):
    text = paths.asset("stories/en.yaml").read_text(encoding="utf-8")
    assert old in text
    path = folder / "en.yaml"
    path.write_text(text.replace(old, new, 1), encoding="utf-8")
    return path


def test_a_situation_can_be_added_without_touching_code(tmp_path):
    words = read_words(written(tmp_path, "people:\n", "people:\n" + SITUATION))
    kittens = words.people[0]
    assert kittens.key == "kittens" and len(words.people) == len(load_words("en").people) + 1
    for seed in range(30):
        problem = make_problem(random.Random(seed), kittens, 2, words.names.train, "train")
        assert "kittens" in problem.question and problem.details["situation"] == "kittens"
        assert not set("{}/") & set(problem.question)


@pytest.mark.parametrize("old, new, told", [
    ("    gained: picked\n", "", "people.0.gained.*Field required"),
    ("    gained: picked\n", "    gaind: picked\n", "people.0.gaind.*Extra inputs"),
    ("    gained: picked\n", "    gained: 7\n", "people.0.gained.*valid string"),
    ("picks {n} more apples", "picks more apples", "people.0.gain.*must hold {n}"),
    ("picks {n} more apples", "picks {m} more apples", "people.0.gain.*must hold {n}"),
    ("key: marbles", "key: apples", "come twice: apples"),
    ("    other: another bus\n", "", "things have `other`, people have not: bus"),
    ("now_find: ", "now_fnd: ", "missing or unknown: now_find, now_fnd"),
    ("halve_plan: Find half of the {items}.", "halve_plan: Find {half}.", "halve_plan: .*nothing"),
    ("lose_each: Over {k} days, {n}", "lose_each: Over {k} days, {m}", "lose_each.*{k} {n}"),
    ("  together:\n", "  together: []\n  together_:\n", "together_"),
    ("test: [Vera", "test: [Mia", "training and of test: Mia"),
    ("The street has {n} trees", "The street has trees", "distractors.3.*must hold {n}"),
    ("names:", "names: [", "line 2[0-9]"),
])
def test_what_is_wrong_in_a_file_is_named_with_its_place(tmp_path, old, new, told):
    with pytest.raises(StoryWordsError, match=f"(?s)en.yaml.*{told}"):
        read_words(written(tmp_path, old, new))


def test_a_form_without_words_is_refused(tmp_path):
    path = written(tmp_path, "now_find: \"{items} now\"", "now_find: []")
    with pytest.raises(StoryWordsError, match="forms.now_find"):
        read_words(path)
