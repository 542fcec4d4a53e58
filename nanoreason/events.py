"""What happens in a word problem: each event adds a sentence, quantities, and steps.

The sums are here and the words are in a `Wording`, one a language: an event draws its
numbers, tells them, names them, and appends its one or two steps. All quantities and all
intermediate values of a story are different from one another, so that which operand comes
from where is never in doubt.
"""
from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import NamedTuple

from nanoreason.checks import compute, write_number
from nanoreason.problem import Operand, Step
from nanoreason.situations import Situation

PERCENTAGES = (10, 20, 25, 40, 75)
# How many steps each event adds, and what may open, continue and end a story.
OPENINGS = {"start": 0, "start_groups": 1}
MIDDLES = {"gain": 1, "lose": 1, "halve": 1, "gain_groups": 2, "lose_each": 2,
           "lose_fraction": 2, "lose_percent": 2}
ENDINGS = {"now": 0, "share": 1, "price": 1, "need": 1, "more_than": 2, "times_as_many": 2}


class RejectedStory(Exception):
    """The numbers drawn do not work out (too large, not exact, or not all different)."""


class Scale(NamedTuple):
    """How large the numbers are: the largest value, and what a start and a gain may be."""

    largest: int
    start: tuple[int, int]
    gain: tuple[int, int]


@dataclass(frozen=True)
class Wording:
    """A language's words for the events.

    forms: for each key, one form or a tuple of forms of which one is drawn. In a form,
    `{items}`, `{groups}`, `{group}`, `{boxes}`, `{box}` and `{other}` are the situation's
    words, `{S}` is the subject; what else there is, the event says.
    number_words: of 0 to 10, now and then used for digits; () for never.
    parts: (words, divisor) of fractions; times: (factor, words); more: (words, sign).
    prices: (price of one, in what the answer is counted in; as it is written) by a whole
    number from 2 to 9, one of which is drawn.
    """

    language: str
    forms: Mapping[str, str | tuple[str, ...]]
    number_words: tuple[str, ...]
    parts: tuple[tuple[str, int], ...]
    times: tuple[tuple[int, str], ...]
    more: tuple[tuple[str, str], ...]
    prices: tuple
    distractors: tuple[str, ...]


@dataclass
class Story:
    """A problem under construction."""

    rng: random.Random
    situation: Situation
    scale: Scale
    wording: Wording
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
            raise RejectedStory
        return self.rng.choice(free)

    def take(self, *values) -> Operand:
        """Register the next quantity of the question; the first value is the operand's."""
        values = [Fraction(value) for value in values]
        if self.taken & set(values):
            raise RejectedStory
        self.taken.update(values)
        self.quantities += 1
        return Operand("given", self.quantities - 1, values[0], write_number(values[0]))

    def word(self, n: int) -> str:
        """A small number is sometimes written as a word in the question."""
        words = self.wording.number_words
        return words[n] if words and n <= 10 and self.rng.random() < 0.15 else str(n)

    def step(self, left: Operand, operator: str, right: Operand, plan: str,
             largest: int | None = None) -> Operand:
        """Append a step and return its value as an operand for later ones."""
        value = compute(operator, left.value, right.value)
        if value.denominator != 1 or not 1 < value <= (largest or self.scale.largest) \
                or value in self.taken:
            raise RejectedStory
        self.taken.add(value)
        self.steps.append(Step(operator, left, right, value, plan))
        self.current = Operand("step", len(self.steps), value, write_number(value))
        return self.current

    def form(self, key: str) -> str:
        """The form of a key, drawn where it has several."""
        forms = self.wording.forms[key]
        return forms if isinstance(forms, str) else self.rng.choice(forms)

    def fill(self, form: str, **words) -> str:
        """A form with its words put in; the subject stays open until it is said."""
        situation = self.situation
        return form.format(S="{S}", items=situation.items, groups=situation.group[0],
                           group=situation.group[1], boxes=situation.box[0],
                           box=situation.box[1], other=situation.other, **words)

    def text(self, key: str, **words) -> str:
        """One filled form of a key."""
        return self.fill(self.form(key), **words)

    def say(self, sentence: str) -> None:
        """Add a sentence; `{S}` becomes the name at first and the pronoun afterwards."""
        if "{S}" in sentence:
            named, self.named = self.named, True
            who = self.pronoun if named and self.rng.random() < 0.7 else self.subject
            sentence = sentence.replace("{S}", who)
        self.sentences.append(sentence[0].upper() + sentence[1:])

    def ask(self, key: str) -> None:
        """Add the question and what is to be found."""
        self.sentences.append(self.text(key))
        self.find = self.text(f"{key}_find")


def _start(story: Story) -> None:
    n = story.draw(*story.scale.start)
    operand = story.take(n)
    story.say(story.situation.start.replace("{n}", str(n)) + ".")
    story.given.append(story.text("start_given", n=n))
    story.current = operand


def _groups(story: Story, form: str, given: str) -> Operand:
    """`k` groups of `m` items: two quantities, one product."""
    count = story.draw(2, 9)
    left = story.take(count)
    size = story.draw(2, 12)
    right = story.take(size)
    story.say(story.fill(form, k=story.word(count), m=size))
    story.given.append(story.text(given, n=count))
    story.given.append(story.text("group_given", n=size))
    return story.step(left, "*", right, story.text("groups_plan"))


def _start_groups(story: Story) -> None:
    key = "start_groups_person" if story.situation.person else "start_groups"
    _groups(story, story.form(key), "start_groups_given")


def _gain(story: Story) -> None:
    n = story.draw(*story.scale.gain)
    before, operand = story.current, story.take(n)
    story.say(story.situation.gain.replace("{n}", str(n)) + ".")
    story.given.append(story.text("given", n=n, what=story.situation.gained))
    story.step(before, "+", operand, story.text("gain_plan", what=story.situation.gained))


def _lose(story: Story) -> None:
    before = story.current
    n = story.draw(2, max(2, int(before.value) - 2))
    operand = story.take(n)
    story.say(story.situation.lose.replace("{n}", str(n)) + ".")
    story.given.append(story.text("given", n=n, what=story.situation.lost))
    story.step(before, "-", operand, story.text("lose_plan", what=story.situation.lost))


def _halve(story: Story) -> None:
    before = story.current
    operand = story.take(2, Fraction(1, 2))
    story.say(story.text("halve"))
    story.given.append(story.text("halve_given"))
    story.step(before, "/", operand, story.text("halve_plan"))


def _gain_groups(story: Story) -> None:
    before = story.current
    product = _groups(story, story.form("gain_groups"), "gain_groups_given")
    story.step(before, "+", product, story.text("gain_groups_plan"))


def _lose_each(story: Story) -> None:
    before = story.current
    days = story.draw(2, 7)
    left = story.take(days)
    each = story.draw(2, 9)
    right = story.take(each)
    story.say(story.text("lose_each", k=story.word(days), n=each))
    story.given += [story.text("days_given", n=days), story.text("each_given", n=each)]
    product = story.step(left, "*", right, story.text("lose_each_plan"))
    story.step(before, "-", product, story.text("lose_all_plan"))


def _lose_fraction(story: Story) -> None:
    before = story.current
    words, parts = story.rng.choice(story.wording.parts)
    operand = story.take(parts, Fraction(1, parts))
    story.say(story.text("lose_fraction", words=words))
    story.given.append(story.text("lose_fraction_given", words=words))
    part = story.step(before, "/", operand, story.text("part_plan", words=words))
    story.step(before, "-", part, story.text("lose_fraction_plan"))


def _lose_percent(story: Story) -> None:
    before = story.current
    rate = story.rng.choice(PERCENTAGES)
    operand = story.take(Fraction(rate, 100), rate)
    operand = Operand("given", operand.index, operand.value, f"{rate}%")
    story.say(story.text("lose_percent", rate=rate))
    story.given.append(story.text("lose_percent_given", rate=rate))
    part = story.step(before, "*", operand, story.text("part_plan", words=f"{rate}%"))
    story.step(before, "-", part, story.text("lose_percent_plan"))


def _now(story: Story) -> None:
    story.ask("now")


def _share(story: Story) -> None:
    before = story.current
    n = story.draw(2, 9)
    operand = story.take(n)
    story.say(story.text("share_into", k=story.word(n)))
    story.given.append(story.text("boxes_given", n=n))
    story.ask("share")
    story.step(before, "/", operand, story.text("share_plan"))


def _price(story: Story) -> None:
    before = story.current
    n = story.draw(2, 9)
    prices = story.wording.prices
    value, written = prices[0](n) if len(prices) == 1 else story.rng.choice(prices)(n)
    operand = story.take(value)
    story.say(story.text("price_of_one", price=written))
    story.given.append(story.text("price_given", price=written))
    story.ask("price")
    story.step(before, "*", operand, story.text("price_plan"),
               story.scale.largest * max(1, int(value) // n))


def _need(story: Story) -> None:
    before = story.current
    n = story.draw(int(before.value) + 2, story.scale.largest)
    operand = story.take(n)
    story.say(story.text("goal", n=n))
    story.given.append(story.text("goal_given", n=n))
    story.ask("need")
    story.step(operand, "-", before, story.text("need_plan"))


def _more_than(story: Story) -> None:
    before = story.current
    n, (word, sign) = story.draw(2, 30), story.rng.choice(story.wording.more)
    operand = story.take(n)
    story.say(story.text("more_than", n=n, word=word))
    story.given.append(story.text("more_than_given", n=n, word=word))
    theirs = story.step(before, sign, operand, story.text("other_plan"))
    story.step(before, "+", theirs, story.text("both_plan"))
    story.ask("together")


def _times_as_many(story: Story) -> None:
    before = story.current
    times, word = story.rng.choice(story.wording.times)
    operand = story.take(times)
    story.say(story.text("times", word=word))
    story.given.append(story.text("times_given", word=word))
    theirs = story.step(before, "*", operand, story.text("other_plan"))
    story.step(before, "+", theirs, story.text("both_plan"))
    story.ask("together")


EVENTS = {name: globals()[f"_{name}"] for name in (*OPENINGS, *MIDDLES, *ENDINGS)}


def story_line(steps: int, rng: random.Random) -> list[str]:
    """The names of a random series of events with exactly `steps` steps."""
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
