"""A word problem under construction: its words, its numbers, its steps."""
from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import NamedTuple

from nanoreason.checks import compute, write_number
from nanoreason.problem import Operand, Step
from nanoreason.situations import Situation


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
