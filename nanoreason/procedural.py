"""Word problems made to order, each with the dependency graph of its answer.

A problem strings together events of one situation (start, gain, loss, groups, a
fraction or a percentage, a comparison, sharing, a price); every event adds a sentence,
names the quantities it brings, and appends one or two steps to the known solution. All
quantities and all intermediate values of a problem are different from one another, so
that which operand comes from where is never in doubt.

Splits. A hash of the question decides between train, dev and test, so no seed can put
the same question into two of them; the base model's own text is drawn from the train
part alone. `test` uses names that training never shows, `test_template` situations that
it never shows, and `test_ood` one step more than training has.
"""
from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from typing import NamedTuple

from nanoreason.checks import compute, write_number
from nanoreason.problem import Operand, Problem, Step, question_sha256
from nanoreason.situations import (DISTRACTORS, NAMES, SHE, SITUATIONS, TEST_NAMES,
                                   Situation)

SPLITS = ("train", "dev", "test", "test_template", "test_ood")
TRAIN_STEPS = (1, 2, 3, 4, 5)
OOD_STEPS = 6
NUMBER_WORDS = ("", "", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
PERCENTAGES = (10, 20, 25, 40, 75)
# How many steps each event adds, and what may open, continue and end a story.
OPENINGS = {"start": 0, "start_groups": 1}
MIDDLES = {"gain": 1, "lose": 1, "halve": 1, "gain_groups": 2, "lose_each": 2,
           "lose_fraction": 2, "lose_percent": 2}
ENDINGS = {"now": 0, "share": 1, "price": 1, "need": 1, "more_than": 2, "times_as_many": 2}


class _Rejected(Exception):
    """The numbers drawn do not work out (too large, not exact, or not all different)."""


class Scale(NamedTuple):
    """How large the numbers are: the largest value, and what a start and a gain may be."""

    largest: int
    start: tuple[int, int]
    gain: tuple[int, int]


# Tuning and tests go beyond the numbers of the base's stories: sums go wrong now and then,
# so that VERIFY has errors of the model's own to find.
BASE_SCALE = Scale(99, (6, 70), (3, 50))
SCALE = Scale(199, (6, 150), (3, 110))


@dataclass
class _Story:
    """A problem under construction."""

    rng: random.Random
    situation: Situation
    scale: Scale
    subject: str
    pronoun: str
    sentences: list[str] = field(default_factory=list)
    given: list[str] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)
    taken: set[Fraction] = field(default_factory=set)
    quantities: int = 0
    current: Operand | None = None
    find: str = ""
    named: bool = False

    def draw(self, low: int, high: int) -> int:
        """A whole number that no other quantity or value of the problem has."""
        free = [n for n in range(low, high + 1) if n not in self.taken]
        if not free:
            raise _Rejected
        return self.rng.choice(free)

    def take(self, *values) -> Operand:
        """Register the next quantity of the question; the first value is the operand's."""
        values = [Fraction(value) for value in values]
        if self.taken & set(values):
            raise _Rejected
        self.taken.update(values)
        self.quantities += 1
        return Operand("given", self.quantities - 1, values[0], write_number(values[0]))

    def word(self, n: int) -> str:
        """A small number is sometimes written as a word in the question."""
        return NUMBER_WORDS[n] if n <= 10 and self.rng.random() < 0.15 else str(n)

    def step(self, left: Operand, operator: str, right: Operand, plan: str) -> Operand:
        """Append a step and return its value as an operand for later ones."""
        value = compute(operator, left.value, right.value)
        if value.denominator != 1 or not 1 < value <= self.scale.largest or value in self.taken:
            raise _Rejected
        self.taken.add(value)
        self.steps.append(Step(operator, left, right, value, plan))
        self.current = Operand("step", len(self.steps), value, write_number(value))
        return self.current

    def say(self, sentence: str) -> None:
        """Add a sentence; `{S}` becomes the name at first and the pronoun afterwards."""
        if "{S}" in sentence:
            named, self.named = self.named, True
            who = self.pronoun if named and self.rng.random() < 0.7 else self.subject
            sentence = sentence.replace("{S}", who)
        self.sentences.append(sentence[0].upper() + sentence[1:])


def _start(story: _Story) -> None:
    items, n = story.situation.items, story.draw(*story.scale.start)
    operand = story.take(n)
    story.say(story.situation.start.replace("{n}", str(n)) + ".")
    story.given.append(f"{n} {items} at first")
    story.current = operand


def _groups(story: _Story, sentence: str, label: str) -> Operand:
    """`k` groups of `m` items: two quantities, one product."""
    items, (groups, group) = story.situation.items, story.situation.group
    count = story.draw(2, 9)
    left = story.take(count)
    size = story.draw(2, 12)
    right = story.take(size)
    story.say(sentence.format(S="{S}", k=story.word(count), m=size, groups=groups,
                              group=group, items=items))
    story.given.append(f"{count} {groups}{label}")
    story.given.append(f"{size} {items} in each {group}")
    return story.step(left, "*", right, f"Find the {items} in the {groups}.")


def _start_groups(story: _Story) -> None:
    form = "There are {k} {groups} with {m} {items} in each."
    if story.situation.person:
        form = story.rng.choice((form, "{S} has {k} {groups} of {m} {items} each."))
    _groups(story, form, "")


def _gain(story: _Story) -> None:
    items, n = story.situation.items, story.draw(*story.scale.gain)
    before, operand = story.current, story.take(n)
    story.say(story.situation.gain.replace("{n}", str(n)) + ".")
    story.given.append(f"{n} {items} {story.situation.gained}")
    story.step(before, "+", operand, f"Add the {items} {story.situation.gained}.")


def _lose(story: _Story) -> None:
    items, before = story.situation.items, story.current
    n = story.draw(2, max(2, int(before.value) - 2))
    operand = story.take(n)
    story.say(story.situation.lose.replace("{n}", str(n)) + ".")
    story.given.append(f"{n} {items} {story.situation.lost}")
    story.step(before, "-", operand, f"Subtract the {items} {story.situation.lost}.")


def _halve(story: _Story) -> None:
    items, before = story.situation.items, story.current
    operand = story.take(2, Fraction(1, 2))
    form = story.rng.choice(("Then half of the {} are gone.", "Only half of the {} stay."))
    story.say(form.format(items))
    story.given.append(f"half of the {items} left")
    story.step(before, "/", operand, f"Find half of the {items}.")


def _gain_groups(story: _Story) -> None:
    items, before = story.situation.items, story.current
    form = story.rng.choice(("Then {k} {groups} with {m} {items} each are added.",
                             "{k} more {groups} arrive with {m} {items} in each {group}."))
    product = _groups(story, form, " added")
    story.step(before, "+", product, f"Add the {items} in the {story.situation.group[0]}.")


def _lose_each(story: _Story) -> None:
    items, before = story.situation.items, story.current
    days = story.draw(2, 7)
    left = story.take(days)
    each = story.draw(2, 9)
    right = story.take(each)
    story.say(f"Over {story.word(days)} days, {each} {items} are taken each day.")
    story.given += [f"{days} days", f"{each} {items} taken each day"]
    product = story.step(left, "*", right, f"Find the {items} taken in all.")
    story.step(before, "-", product, f"Subtract the {items} taken in all.")


def _lose_fraction(story: _Story) -> None:
    items, before = story.situation.items, story.current
    words, parts = story.rng.choice((("a third", 3), ("a quarter", 4)))
    operand = story.take(parts, Fraction(1, parts))
    story.say(f"Then {words} of the {items} are taken away.")
    story.given.append(f"{words} of the {items} taken away")
    part = story.step(before, "/", operand, f"Find {words} of the {items}.")
    story.step(before, "-", part, f"Subtract the {items} taken away.")


def _lose_percent(story: _Story) -> None:
    items, before = story.situation.items, story.current
    rate = story.rng.choice(PERCENTAGES)
    operand = story.take(Fraction(rate, 100), rate)
    operand = Operand("given", operand.index, operand.value, f"{rate}%")
    story.say(f"Later {rate}% of the {items} are sent away.")
    story.given.append(f"{rate}% of the {items} sent away")
    part = story.step(before, "*", operand, f"Find {rate}% of the {items}.")
    story.step(before, "-", part, f"Subtract the {items} sent away.")


def _now(story: _Story) -> None:
    items = story.situation.items
    story.sentences.append(story.rng.choice((
        f"How many {items} are there now?", f"How many {items} are left in the end?",
        f"What is the number of {items} now?", f"Find the number of {items} at the end.")))
    story.find = f"{items} now"


def _share(story: _Story) -> None:
    items, (boxes, box), before = story.situation.items, story.situation.box, story.current
    n = story.draw(2, 9)
    operand = story.take(n)
    story.say(f"All the {items} go equally into {story.word(n)} {boxes}.")
    story.sentences.append(story.rng.choice((
        f"How many {items} are in each {box}?", f"What number of {items} does each {box} get?",
        f"Find the {items} per {box}.")))
    story.given.append(f"{n} {boxes}")
    story.find = f"{items} in each {box}"
    story.step(before, "/", operand, f"Divide the {items} by the {boxes}.")


def _price(story: _Story) -> None:
    items, before = story.situation.items, story.current
    n = story.draw(2, 9)
    operand = story.take(n)
    story.say(f"The price is ${n} for each of the {items}.")
    story.sentences.append(story.rng.choice((
        f"How much do all the {items} cost?", f"What is the price of all the {items}?",
        f"Find the value of the {items} in dollars.")))
    story.given.append(f"${n} for each")
    story.find = f"price of all the {items}"
    story.step(before, "*", operand, f"Multiply the {items} by the price.")


def _need(story: _Story) -> None:
    items, before = story.situation.items, story.current
    n = story.draw(int(before.value) + 2, story.scale.largest)
    operand = story.take(n)
    story.say(f"The goal is {n} {items}.")
    story.sentences.append(story.rng.choice((
        f"How many more {items} are needed?", f"How many {items} are missing?",
        f"Find the number of {items} still needed.")))
    story.given.append(f"{n} {items} as the goal")
    story.find = f"{items} still needed"
    story.step(operand, "-", before, f"Subtract the {items} from the goal.")


def _together(story: _Story) -> None:
    items = story.situation.items
    story.sentences.append(story.rng.choice((
        f"How many {items} do both have together?", f"What is the total number of {items}?",
        f"Find the number of {items} in all.")))
    story.find = f"{items} of both together"


def _more_than(story: _Story) -> None:
    items, other, before = story.situation.items, story.situation.other, story.current
    n, word = story.draw(2, 30), story.rng.choice(("more", "fewer"))
    operand = story.take(n)
    story.say(f"{other} has {n} {word} {items} than that.")
    story.given.append(f"{n} {word} {items} for {other}")
    theirs = story.step(before, "+" if word == "more" else "-", operand,
                        f"Find the {items} of {other}.")
    story.step(before, "+", theirs, f"Add the {items} of both.")
    _together(story)


def _times_as_many(story: _Story) -> None:
    items, other, before = story.situation.items, story.situation.other, story.current
    times, word = story.rng.choice(((2, "twice"), (3, "three times"), (4, "four times")))
    operand = story.take(times)
    story.say(f"{other} has {word} as many {items}.")
    story.given.append(f"{word} as many {items} for {other}")
    theirs = story.step(before, "*", operand, f"Find the {items} of {other}.")
    story.step(before, "+", theirs, f"Add the {items} of both.")
    _together(story)


_EVENTS = {name: globals()[f"_{name}"] for name in (*OPENINGS, *MIDDLES, *ENDINGS)}


def _events(steps: int, rng: random.Random) -> list[str]:
    """A random story line with exactly `steps` steps."""
    while True:
        opening, ending = rng.choice(list(OPENINGS)), rng.choice(list(ENDINGS))
        left = steps - OPENINGS[opening] - ENDINGS[ending]
        middles = []
        while left > 0:
            fitting = [name for name, size in MIDDLES.items() if size <= left]
            middles.append(rng.choice(fitting))
            left -= MIDDLES[middles[-1]]
        if left == 0 and len(set(middles)) == len(middles):
            return [opening, *middles, ending]


def make_problem(rng: random.Random, situation: Situation, steps: int, names: tuple[str, ...],
                 split: str, scale: Scale = SCALE) -> Problem:
    """One problem with exactly `steps` steps; numbers are redrawn until they work out."""
    while True:
        subject = rng.choice(names)
        pronoun = ("she" if subject in SHE else "he") if situation.person else "it"
        story = _Story(rng, situation, scale, subject, pronoun)
        events = _events(steps, rng)
        distractor = rng.randrange(1, len(events)) if rng.random() < 0.3 else 0
        try:
            for position, name in enumerate(events):
                if position and position == distractor:
                    n = story.draw(2, 60)
                    story.take(n)
                    story.say(rng.choice(DISTRACTORS).format(n=n))
                _EVENTS[name](story)
        except _Rejected:
            continue
        question = " ".join(story.sentences)
        details = {"given": tuple(story.given), "find": story.find, "events": tuple(events),
                   "situation": situation.key, "distractor": bool(distractor)}
        return Problem(f"procedural-{question_sha256(question)[:12]}", "procedural", split,
                       "en", question, write_number(story.steps[-1].value),
                       tuple(story.steps), details)


def hash_split(question: str) -> str:
    """train, dev or test by the question's hash: 1 part dev, 3 parts test, 16 train."""
    part = int(question_sha256(question)[:8], 16) % 20
    return "dev" if part == 0 else "test" if part <= 3 else "train"


def problems(split: str, count: int, seed: int, steps: tuple[int, ...] | None = None
             ) -> Iterator[Problem]:
    """`count` different problems of a split, the same ones for the same seed.

    Raises `ValueError` for an unknown split.
    """
    if split not in SPLITS:
        raise ValueError(f"split {split!r} is unknown; choose one of {', '.join(SPLITS)}")
    rng = random.Random(f"procedural/{split}/{seed}")
    held_out = split == "test_template"
    situations = [s for s in SITUATIONS if s.held_out == held_out]
    names = NAMES if split in ("train", "dev") else TEST_NAMES
    steps = steps or ((OOD_STEPS,) if split == "test_ood" else TRAIN_STEPS)
    seen: set[str] = set()
    while len(seen) < count:
        problem = make_problem(rng, rng.choice(situations), rng.choice(steps), names, split)
        wanted = split if split in ("train", "dev") else "test"
        if problem.id not in seen and hash_split(problem.question) == wanted:
            seen.add(problem.id)
            yield problem
