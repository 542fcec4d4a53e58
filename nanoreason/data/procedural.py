"""Word problems made to order, each with the dependency graph of its answer.

A problem strings together events of one situation (start, gain, loss, groups, a
fraction or a percentage, a comparison, sharing, a price), in English or Vietnamese words
(see `stories`). An event says what happens, names the quantities that it gives and adds its
steps.

Splits. A hash of the question decides between train, dev and test, so no seed can put
the same question into two of them; the base model's own text is drawn from the train
part alone. `test` uses names that training never shows, `test_999` numbers up to 999 (as does
`train_999`, from which VERIFY alone is learned), `test_template` situations that it never shows,
and `test_ood` one step more than training has.
"""
from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Iterator
from dataclasses import replace
from fractions import Fraction

from nanoreason.data.problem import Operand, Problem, question_sha256, words_of, write_number
from nanoreason.data.stories import RejectedStory, Scale, Situation, Story, load_words
from nanoreason.host import GivenError
from nanoreason.stages import LANGUAGES, SPLITS as SCORED_SPLITS

SPLITS = ("train", "train_999", "dev", *SCORED_SPLITS)
TRAIN_STEPS = (1, 2, 3, 4, 5)
OOD_STEPS = 6
# Tuning and tests go beyond the numbers of the base's stories: sums go wrong now and then,
# so that VERIFY has errors of the model's own to find.
BASE_SCALE = Scale(99, (6, 70), (3, 50))
SCALE = Scale(199, (6, 150), (3, 110))
LARGE = Scale(999, (6, 700), (3, 500))
PERCENTAGES = (10, 20, 25, 40, 75)


def _start(story: Story) -> None:
    n, story.current = story.quantity(*story.scale.start)
    story.happens(story.situation.start, n)
    story.give("start", n=n)


def _groups(story: Story, key: str, given: str) -> Operand:
    """`k` groups of `m` items: two quantities, one product."""
    form = story.form(key)
    count, left = story.quantity(2, 9)
    size, right = story.quantity(2, 12)
    story.say(story.fill(form, k=story.word(count), m=size))
    story.give(given, n=count)
    story.give("group", n=size)
    return story.step(left, "*", right, "groups_plan")


def _start_groups(story: Story) -> None:
    key = "start_groups" if story.situation.other else "start_groups_person"
    _groups(story, key, "start_groups")


def _gain(story: Story) -> None:
    gained = story.situation.gained
    n, operand = story.quantity(*story.scale.gain)
    story.happens(story.situation.gain, n)
    story.given.append(story.text("given", n=n, what=gained))
    story.step(story.current, "+", operand, "gain_plan", what=gained)


def _lose(story: Story) -> None:
    lost = story.situation.lost
    n, operand = story.quantity(2, max(2, int(story.current.value) - 2))
    story.happens(story.situation.lose, n)
    story.given.append(story.text("given", n=n, what=lost))
    story.step(story.current, "-", operand, "lose_plan", what=lost)


def _halve(story: Story) -> None:
    operand = story.take(2, Fraction(1, 2))
    story.tell("halve")
    story.step(story.current, "/", operand, "halve_plan")


def _gain_groups(story: Story) -> None:
    before = story.current
    product = _groups(story, "gain_groups", "gain_groups")
    story.step(before, "+", product, "gain_groups_plan")


def _lose_each(story: Story) -> None:
    before = story.current
    days, left = story.quantity(2, 7)
    each, right = story.quantity(2, 9)
    story.say(story.text("lose_each", k=story.word(days), n=each))
    story.give("days", n=days)
    story.give("each", n=each)
    product = story.step(left, "*", right, "lose_each_plan")
    story.step(before, "-", product, "lose_all_plan")


def _lose_part(story: Story, key: str, sign: str, operand: Operand, part: str, **told) -> None:
    """A part of what there is, named in PLAN: worked out, then taken away."""
    before = story.current
    story.tell(key, **told)
    lost = story.step(before, sign, operand, "part_plan", words=part)
    story.step(before, "-", lost, f"{key}_plan")


def _lose_fraction(story: Story) -> None:
    parts, words = story.choose(list(story.words.parts.items()))
    operand = story.take(parts, Fraction(1, parts))
    _lose_part(story, "lose_fraction", "/", operand, words, words=words)


def _lose_percent(story: Story) -> None:
    rate = story.rng.choice(PERCENTAGES)
    operand = replace(story.take(Fraction(rate, 100), rate), text=f"{rate}%")
    _lose_part(story, "lose_percent", "*", operand, f"{rate}%", rate=rate)


def _now(story: Story) -> None:
    story.ask("now")


def _share(story: Story) -> None:
    n, operand = story.quantity(2, 9)
    story.tell("boxes", k=story.word(n), n=n)
    story.ask("share")
    story.step(story.current, "/", operand, "share_plan")


def _price(story: Story) -> None:
    n = story.draw(2, 9)
    value, written = story.price(n)
    operand = story.take(value)
    story.tell("price_each", price=written)
    story.ask("price")
    story.step(story.current, "*", operand, "price_plan",
               largest=story.scale.largest * max(1, int(value) // n))


def _need(story: Story) -> None:
    n, operand = story.quantity(int(story.current.value) + 2, story.scale.largest)
    story.tell("goal", n=n)
    story.ask("need")
    story.step(operand, "-", story.current, "need_plan")


def _with_others(story: Story, key: str, sign: str, operand: Operand, **told) -> None:
    """What another has, by comparison, and how much that makes together."""
    before = story.current
    story.tell(key, **told)
    theirs = story.step(before, sign, operand, "other_plan")
    story.step(before, "+", theirs, "both_plan")
    story.ask("together")


def _more_than(story: Story) -> None:
    n, operand = story.quantity(2, 30)
    sign, word = story.choose(list(story.words.more.items()))
    _with_others(story, "more_than", sign, operand, n=n, word=word)


def _times_as_many(story: Story) -> None:
    times, word = story.choose(list(story.words.times.items()))
    _with_others(story, "times", "*", story.take(times), word=word)


# What may open, continue and end a story, and how many steps each event adds.
OPENINGS = {_start: 0, _start_groups: 1}
MIDDLES = {_gain: 1, _lose: 1, _halve: 1, _gain_groups: 2, _lose_each: 2, _lose_fraction: 2,
           _lose_percent: 2}
ENDINGS = {_now: 0, _share: 1, _price: 1, _need: 1, _more_than: 2, _times_as_many: 2}


def _story_line(steps: int, rng: random.Random) -> list[Callable[[Story], None]]:
    """A random series of events with exactly `steps` steps."""
    while True:
        opening, ending = rng.choice(list(OPENINGS)), rng.choice(list(ENDINGS))
        left = steps - OPENINGS[opening] - ENDINGS[ending]
        middles = []
        while left > 0:
            middles.append(rng.choice([event for event, size in MIDDLES.items() if size <= left]))
            left -= MIDDLES[middles[-1]]
        if left == 0 and len(set(middles)) == len(middles):
            return [opening, *middles, ending]


def make_problem(rng: random.Random, situation: Situation, steps: int, names: list[str],
                 split: str, scale: Scale = SCALE, language: str = "en") -> Problem:
    """One problem with exactly `steps` steps; numbers are redrawn until they work out."""
    words = load_words(language)
    while True:
        story = Story(rng, situation, scale, words, rng.choice(names))
        events = _story_line(steps, rng)
        distractor = rng.randrange(1, len(events)) if rng.random() < 0.3 else 0
        try:
            for position, event in enumerate(events):
                if position and position == distractor:
                    n, _ = story.quantity(2, 60)
                    story.say(rng.choice(words.distractors).format(n=n))
                event(story)
        except RejectedStory:
            continue
        question = " ".join(story.sentences)
        details = {"given": tuple(story.given), "find": story.find,
                   "situation": situation.key, "distractor": bool(distractor)}
        return Problem(f"procedural-{question_sha256(question)[:12]}", "procedural", split,
                       language, question, write_number(story.steps[-1].value),
                       tuple(story.steps), details)


def hash_split(question: str) -> str:
    """train, dev or test by the question's hash: 1 part dev, 3 parts test, 16 train."""
    part = int(hashlib.sha256(" ".join(words_of(question)).encode()).hexdigest()[:8], 16) % 20
    return "dev" if part == 0 else "test" if part <= 3 else "train"


def problems(split: str, count: int, seed: int, steps: tuple[int, ...] | None = None,
             language: str = "en") -> Iterator[Problem]:
    """`count` different problems of a split, the same ones for the same seed.

    language: "en", "vi", or "en+vi" for one of the two, drawn for each problem.
    Raises `ValueError` for an unknown split or language.
    """
    for name, value, known in (("split", split, SPLITS), ("language", language, LANGUAGES)):
        if value not in known:
            raise GivenError(f"{name} {value!r} is unknown; choose one of {', '.join(known)}")
    steps = steps or ((OOD_STEPS,) if split == "test_ood" else TRAIN_STEPS)
    return _problems(split, count, random.Random(f"procedural/{split}/{seed}"), steps,
                     language.split("+"))


def _problems(split: str, count: int, rng: random.Random, steps: tuple[int, ...],
              languages: list[str]) -> Iterator[Problem]:
    part = split.removesuffix("_999")
    wanted = part if part in ("train", "dev") else "test"
    seen: set[str] = set()
    while len(seen) < count:
        language = languages[0] if len(languages) == 1 else rng.choice(languages)
        words = load_words(language)
        situations = [s for s in words.situations if s.held_out == (split == "test_template")]
        names = words.names.test if wanted == "test" else words.names.base + words.names.train
        problem = make_problem(rng, rng.choice(situations), rng.choice(steps), names, split,
                               LARGE if split.endswith("_999") else SCALE, language)
        if problem.id not in seen and hash_split(problem.question) == wanted:
            seen.add(problem.id)
            yield problem
