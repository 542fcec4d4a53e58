"""The words of the procedural problems, one file a language, and a story in the making.

`assets/stories/en.yaml` and `vi.yaml` hold all words: the situations (who has what, and what
happens to it), the sentences of the events, the names. No number and no graph stands there; the
events in `procedural` draw the numbers and do the sums on a `Story`. The fields are checked when
a file is read, the words and their places in braces by the tests. Situations marked `held_out`
are shown neither to the base model nor in tuning: they make up the split `test_template`.
"""
from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from functools import lru_cache
from itertools import product
from pathlib import Path
from string import Formatter
from typing import NamedTuple

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from nanoreason import paths
from nanoreason.data.problem import Operand, Step, compute, write_number


class StoryWordsError(ValueError):
    """A file of story words is not of the form; the message names file, place and reason."""


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Situation(_Table):
    """The words of one setting; `{n}` is a number.

    gained, lost: how the given quantity is named afterwards ("9 apples bought").
    groups: what items come in, as plural/singular; boxes: what they are shared into.
    other: what a thing is compared with; "" where the subject is a person.
    """

    key: str
    items: str
    start: str
    gain: str
    gained: str
    lose: str
    lost: str
    groups: str
    boxes: str
    other: str = ""
    held_out: bool = False


class Names(_Table):
    """base: of the base model's stories; train: what tuning adds; test: of the test splits."""

    base: list[str]
    train: list[str]
    test: list[str]
    she: list[str]


class Words(_Table):
    """A language's words; what each field is for stands in the files."""

    names: Names
    pronouns: dict[str, str]
    friend: str
    thousands: str
    decimal: str
    number_words: dict[int, str]
    parts: dict[int, str]
    times: dict[int, str]
    more: dict[str, str]
    prices: dict[str, str]
    distractors: list[str]
    forms: dict[str, str | list[str]]
    people: list[Situation]
    things: list[Situation]

    @property
    def situations(self) -> list[Situation]:
        """Those of people, then those of things."""
        return self.people + self.things


@lru_cache
def load_words(language: str) -> Words:
    """The words of "en" or "vi", read once from the package."""
    return read_words(paths.asset(f"stories/{language}.yaml"))


def read_words(path: str | Path) -> Words:
    """A file of story words. Raises `StoryWordsError` with what is wrong and where."""
    path = Path(path)
    try:
        table = yaml.load(path.read_text(encoding="utf-8"), paths.LOADER)
        return Words.model_validate(table)
    except (yaml.YAMLError, ValidationError) as error:
        raise StoryWordsError(f"{path.name}: {error}") from error


def sentences(words: Words) -> Iterator[str]:
    """Every sentence that a problem of these words may hold, each number as `#`, each name as
    the first of the words; situations that are held out left out."""
    put = {"n": "#", "k": "#", "m": "#", "rate": "#"}
    told = {"words": [*words.parts.values()], "word": [*words.times.values(), *words.more.values()],
            "price": [form.format(price="#") for form in words.prices.values()]}
    subjects = [*(words.names.base + words.names.train)[:1], *words.pronouns.values()]
    for situation in (one for one in words.situations if not one.held_out):
        story = Story(random.Random(0), situation, Scale(9, (1, 9), (1, 9)), words, subjects[0])
        own = [f"{text}." for text in (situation.start, situation.gain, situation.lose)]
        forms = [form if situation.other else f"{{S}} {form}" for form in own]
        for key, found in words.forms.items():
            if not key.endswith(("given", "plan", "find")):
                forms += [found] if isinstance(found, str) else found
        for form in forms:
            holes = [name for _, name, _, _ in Formatter().parse(form) if name in told]
            for chosen in product(*(told[name] for name in holes)):
                text = story.fill(form, **put | dict(zip(holes, chosen)))
                yield from (text.replace("{S}", subject) for subject in subjects)
    yield from (sentence.format(n="#") for sentence in words.distractors)


class RejectedStory(Exception):
    """The numbers drawn do not work out (too large, not exact, or not all different)."""


class Scale(NamedTuple):
    """How large the numbers are: the largest value, and what a start and a gain may be."""

    largest: int
    start: tuple[int, int]
    gain: tuple[int, int]


@dataclass
class Story:
    """A problem under construction."""

    rng: random.Random
    situation: Situation
    scale: Scale
    words: Words
    subject: str
    sentences: list[str] = field(default_factory=list)
    given: list[str] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)
    taken: set[Fraction] = field(default_factory=set)
    quantities: int = 0
    current: Operand | None = None
    find: str = ""
    named: bool = False

    def choose(self, options):
        """One of some options; nothing is drawn where there is one alone."""
        return options[0] if len(options) == 1 else self.rng.choice(options)

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

    def quantity(self, low: int, high: int) -> tuple[int, Operand]:
        """A whole number that is new, registered as the next quantity of the question."""
        n = self.draw(low, high)
        return n, self.take(n)

    def word(self, n: int) -> str:
        """A small number is sometimes written as a word in the question."""
        words = self.words.number_words
        return words[n] if n in words and self.rng.random() < 0.15 else str(n)

    def price(self, n: int) -> tuple[Fraction, str]:
        """A price of `n` units, as a value and as it is written."""
        unit, form = self.choose(list(self.words.prices.items()))
        value = Fraction(unit) * n
        written = f"{value.numerator:,}" if value.denominator == 1 else f"{float(value):,}"
        marks = str.maketrans(",.", self.words.thousands + self.words.decimal)
        return value, form.format(price=written.translate(marks))

    def step(self, left: Operand, operator: str, right: Operand, plan: str,
             largest: int | None = None, **words) -> Operand:
        """Append a step, its plan in that form, and return its value as an operand."""
        value = compute(operator, left.value, right.value)
        if value.denominator != 1 or not 1 < value <= (largest or self.scale.largest) \
                or value in self.taken:
            raise RejectedStory
        self.taken.add(value)
        self.steps.append(Step(operator, left, right, value, self.text(plan, **words)))
        self.current = Operand("step", len(self.steps), value, write_number(value))
        return self.current

    def form(self, key: str) -> str:
        """The form of a key, drawn where it has several."""
        forms = self.words.forms[key]
        return forms if isinstance(forms, str) else self.choose(forms)

    def fill(self, form: str, **words) -> str:
        """A form with its words put in; the subject stays open until it is said."""
        situation = self.situation
        groups, _, group = situation.groups.partition("/")
        boxes, _, box = situation.boxes.partition("/")
        return form.format(S="{S}", items=situation.items, groups=groups, group=group or groups,
                           boxes=boxes, box=box or boxes,
                           other=situation.other or self.words.friend, **words)

    def text(self, key: str, **words) -> str:
        """One filled form of a key."""
        return self.fill(self.form(key), **words)

    def say(self, sentence: str) -> None:
        """Add a sentence; `{S}` becomes the name at first and the pronoun afterwards."""
        if "{S}" in sentence:
            named, self.named = self.named, True
            who = "she" if self.subject in self.words.names.she else "he"
            pronoun = self.words.pronouns.get("thing" if self.situation.other else who)
            again = named and self.rng.random() < 0.7
            sentence = sentence.replace("{S}", (again and pronoun) or self.subject)
        self.sentences.append(sentence[0].upper() + sentence[1:])

    def happens(self, sentence: str, n: int) -> None:
        """Add a sentence of the situation: of a person, what the subject does."""
        self.say(("" if self.situation.other else "{S} ") + sentence.replace("{n}", str(n)) + ".")

    def give(self, key: str, **words) -> None:
        """Add a quantity to what UNDERSTAND gives."""
        self.given.append(self.text(f"{key}_given", **words))

    def tell(self, key: str, **words) -> None:
        """Add a sentence, and its quantity to what UNDERSTAND gives."""
        self.say(self.text(key, **words))
        self.give(key, **words)

    def ask(self, key: str) -> None:
        """Add the question and what is to be found."""
        self.sentences.append(self.text(key))
        self.find = self.text(f"{key}_find")
