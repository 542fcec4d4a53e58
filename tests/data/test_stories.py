"""The files of story words: that they are whole, what a teacher may add, what is refused."""
from __future__ import annotations

import random
from string import Formatter

import pytest

from nanoreason import paths
from nanoreason.data.procedural import make_problem
from nanoreason.data.stories import StoryWordsError, load_words, read_words

# The forms that a language has, by the numbers and words that the events put into them.
FORMS = {
    "": "halve halve_given halve_plan groups_plan gain_groups_plan lose_each_plan "
        "lose_all_plan lose_fraction_plan lose_percent_plan now now_find share share_find "
        "share_plan price price_find price_plan need need_find need_plan other_plan both_plan "
        "together together_find",
    "n": "start_given start_groups_given group_given gain_groups_given days_given each_given "
         "boxes_given goal goal_given",
    "k": "boxes", "k m": "start_groups start_groups_person gain_groups", "k n": "lose_each",
    "n what": "given", "what": "gain_plan lose_plan", "n word": "more_than more_than_given",
    "word": "times times_given", "price": "price_each price_each_given",
    "rate": "lose_percent lose_percent_given",
    "words": "lose_fraction lose_fraction_given part_plan"}
HOLES = {key: set(holes.split()) for holes, keys in FORMS.items() for key in keys.split()}
OF_THE_SITUATION = {"S", "items", "groups", "group", "boxes", "box", "other"}
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


def holes(text):
    return {name for _, name, _, _ in Formatter().parse(text) if name is not None}


@pytest.mark.parametrize("language", ["en", "vi"])
def test_every_form_and_sentence_holds_the_numbers_and_words_put_into_it(language):
    words = load_words(language)
    assert words.forms.keys() == HOLES.keys()
    for key, forms in words.forms.items():
        for form in [forms] if isinstance(forms, str) else forms or [""]:
            assert form and holes(form) - OF_THE_SITUATION == HOLES[key], (key, form)
    sentences = [text for s in words.situations for text in (s.start, s.gain, s.lose)]
    for sentence in sentences + words.distractors:
        assert holes(sentence) == {"n"}, sentence


@pytest.mark.parametrize("language", ["en", "vi"])
def test_situations_come_once_things_are_compared_and_names_of_tests_are_kept_from_training(
        language):
    words = load_words(language)
    keys = [situation.key for situation in words.situations]
    assert len(set(keys)) == len(keys)
    assert all(s.other for s in words.things) and not any(s.other for s in words.people)
    assert not {*words.names.base, *words.names.train} & {*words.names.test}


@pytest.mark.parametrize("old, new, told", [
    ("    gained: picked\n", "", "people.0.gained.*Field required"),
    ("    gained: picked\n", "    gaind: picked\n", "people.0.gaind.*Extra inputs"),
    ("    gained: picked\n", "    gained: 7\n", "people.0.gained.*valid string"),
    ("names:", "names: [", "line 2[0-9]"),
])
def test_what_is_wrong_in_a_file_is_named_with_its_place(tmp_path, old, new, told):
    with pytest.raises(StoryWordsError, match=f"(?s)en.yaml.*{told}"):
        read_words(written(tmp_path, old, new))
