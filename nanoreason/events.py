"""What happens in a word problem: each event adds a sentence, quantities, and steps.

The sums are here and the words are in a `Wording`, one a language: an event draws its
numbers, tells them, names them, and appends its one or two steps. All quantities and all
intermediate values of a story are different from one another, so that which operand comes
from where is never in doubt.
"""
from __future__ import annotations

import random
from fractions import Fraction

from nanoreason.problem import Operand
from nanoreason.story import Story

PERCENTAGES = (10, 20, 25, 40, 75)
# How many steps each event adds, and what may open, continue and end a story.
OPENINGS = {"start": 0, "start_groups": 1}
MIDDLES = {"gain": 1, "lose": 1, "halve": 1, "gain_groups": 2, "lose_each": 2,
           "lose_fraction": 2, "lose_percent": 2}
ENDINGS = {"now": 0, "share": 1, "price": 1, "need": 1, "more_than": 2, "times_as_many": 2}


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
