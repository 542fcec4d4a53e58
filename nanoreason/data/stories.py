"""The settings of the procedural word problems: who has what, and what happens to it.

Each `Situation` is a small table of wordings for the same few events (start, gain, loss,
groups, sharing). The generator in `procedural` strings events together and does the
sums; no number and no graph lives here. The situations marked `held_out` are shown
neither to the base model nor in tuning: they make up the split `test_template`.
"""
from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import NamedTuple

from nanoreason.data.problem import Operand, Step
from nanoreason.data.verify_lines import compute, write_number


@dataclass(frozen=True)
class Situation:
    """Wordings of one setting; `{S}` is the subject and `{n}` a number.

    gained, lost: how the given quantity is named afterwards ("9 apples bought").
    group: plural and singular of what items come in; box: of what they are shared into.
    other: who or what the subject is compared with.
    """

    key: str
    items: str
    start: str
    gain: str
    gained: str
    lose: str
    lost: str
    group: tuple[str, str]
    box: tuple[str, str]
    other: str
    person: bool = True
    held_out: bool = False


def _person(key, items, start, gain, gained, lose, lost, group, box, held_out=False):
    return Situation(key, items, "{S} " + start, "{S} " + gain, gained, "{S} " + lose, lost,
                     tuple(group.split("/")), tuple(box.split("/")), "a friend",
                     held_out=held_out)


def _thing(key, items, start, gain, gained, lose, lost, group, box, other, held_out=False):
    return Situation(key, items, start, gain, gained, lose, lost, tuple(group.split("/")),
                     tuple(box.split("/")), other, person=False, held_out=held_out)


SITUATIONS: tuple[Situation, ...] = (
    _person("apples", "apples", "has {n} apples", "picks {n} more apples", "picked",
            "eats {n} apples", "eaten", "bags/bag", "baskets/basket"),
    _person("marbles", "marbles", "owns {n} marbles", "wins {n} marbles", "won",
            "loses {n} marbles", "lost", "bags/bag", "jars/jar"),
    _person("stickers", "stickers", "collects {n} stickers", "gets {n} more stickers",
            "added", "gives away {n} stickers", "given away", "packs/pack", "pages/page"),
    _person("cookies", "cookies", "bakes {n} cookies", "makes {n} more cookies", "made",
            "sells {n} cookies", "sold", "trays/tray", "boxes/box"),
    _person("books", "books", "has {n} books on a shelf", "buys {n} books", "bought",
            "lends {n} books to a neighbor", "lent", "boxes/box", "shelves/shelf"),
    _person("pencils", "pencils", "finds {n} pencils in a desk", "buys {n} pencils",
            "bought", "breaks {n} pencils", "broken", "packs/pack", "cups/cup"),
    _person("flowers", "flowers", "plants {n} flowers", "plants {n} more flowers",
            "added", "cuts {n} flowers", "cut", "rows/row", "vases/vase"),
    _person("eggs", "eggs", "gathers {n} eggs", "gathers {n} more eggs", "added",
            "drops {n} eggs", "dropped", "nests/nest", "cartons/carton"),
    _person("coins", "coins", "saves {n} coins", "earns {n} coins", "earned",
            "spends {n} coins", "spent", "bags/bag", "jars/jar"),
    _person("shells", "shells", "collects {n} shells", "finds {n} more shells", "found",
            "throws back {n} shells", "thrown back", "buckets/bucket", "boxes/box"),
    _person("cards", "cards", "has {n} cards", "trades for {n} more cards", "added",
            "gives {n} cards to a cousin", "given away", "packs/pack", "albums/album"),
    _person("balloons", "balloons", "blows up {n} balloons", "buys {n} balloons",
            "bought", "pops {n} balloons", "popped", "bunches/bunch", "rooms/room"),
    _person("beads", "beads", "has {n} beads", "buys {n} more beads", "bought",
            "uses {n} beads", "used", "bags/bag", "strings/string"),
    _person("photos", "photos", "takes {n} photos", "takes {n} more photos", "added",
            "deletes {n} photos", "deleted", "films/film", "albums/album"),
    _person("stamps", "stamps", "owns {n} stamps", "receives {n} stamps", "received",
            "uses {n} stamps", "used", "sheets/sheet", "pages/page"),
    _person("muffins", "muffins", "bakes {n} muffins", "bakes {n} more muffins",
            "added", "serves {n} muffins", "served", "trays/tray", "plates/plate"),
    _person("tickets", "tickets", "prints {n} tickets", "prints {n} extra tickets",
            "added", "sells {n} tickets", "sold", "rolls/roll", "drawers/drawer"),
    _person("bottles", "bottles", "collects {n} bottles", "finds {n} bottles", "found",
            "recycles {n} bottles", "recycled", "crates/crate", "bins/bin"),
    _person("toys", "toys", "has {n} toys", "gets {n} toys as gifts", "received",
            "donates {n} toys", "donated", "boxes/box", "chests/chest"),
    _person("candles", "candles", "makes {n} candles", "makes {n} more candles",
            "made", "burns {n} candles", "burned", "packs/pack", "boxes/box"),
    _person("oranges", "oranges", "buys {n} oranges", "picks {n} oranges", "picked",
            "squeezes {n} oranges", "squeezed", "crates/crate", "bowls/bowl"),
    _person("pages", "pages", "writes {n} pages", "adds {n} pages", "added",
            "tears out {n} pages", "torn out", "chapters/chapter", "folders/folder"),
    _person("buttons", "buttons", "has {n} buttons", "finds {n} buttons", "found",
            "sews on {n} buttons", "sewn on", "tins/tin", "boxes/box"),
    _person("tomatoes", "tomatoes", "grows {n} tomatoes", "harvests {n} more tomatoes",
            "harvested", "cooks {n} tomatoes", "cooked", "rows/row", "baskets/basket"),
    _person("seeds", "seeds", "has {n} seeds", "buys {n} seeds", "bought",
            "plants {n} seeds", "planted", "packets/packet", "pots/pot"),
    _thing("bus", "passengers", "A bus carries {n} passengers",
           "At a stop {n} passengers get on", "getting on",
           "Then {n} passengers get off", "getting off", "vans/van", "cars/car",
           "another bus"),
    _thing("library", "visitors", "A library counts {n} visitors",
           "After lunch {n} visitors come in", "coming in",
           "Soon {n} visitors go home", "going home", "groups/group", "rooms/room",
           "another library"),
    _thing("tank", "liters", "A tank holds {n} liters of water",
           "Rain adds {n} liters", "added", "A leak wastes {n} liters", "wasted",
           "buckets/bucket", "barrels/barrel", "another tank"),
    _thing("farm", "cows", "A farm keeps {n} cows", "The farmer buys {n} cows", "bought",
           "The farmer sells {n} cows", "sold", "herds/herd", "barns/barn",
           "another farm"),
    _thing("store", "shirts", "A store stocks {n} shirts", "A truck brings {n} shirts",
           "delivered", "Customers buy {n} shirts", "sold", "boxes/box", "racks/rack",
           "another store"),
    _thing("school", "students", "A club has {n} students", "Later {n} students join",
           "joining", "In spring {n} students leave", "leaving", "classes/class",
           "teams/team", "another club"),
    _thing("parking", "bikes", "A rack holds {n} bikes", "Riders bring {n} bikes",
           "brought", "Riders take {n} bikes away", "taken away", "trucks/truck",
           "yards/yard", "another rack"),
    _person("fish", "fish", "has {n} fish", "catches {n} fish", "caught",
            "releases {n} fish", "released", "nets/net", "ponds/pond", held_out=True),
    _person("scarves", "scarves", "knits {n} scarves", "knits {n} more scarves",
            "knitted", "mails {n} scarves", "mailed", "parcels/parcel",
            "hampers/hamper", held_out=True),
    _person("magnets", "magnets", "owns {n} magnets", "orders {n} magnets", "ordered",
            "swaps away {n} magnets", "swapped away", "kits/kit", "boards/board",
            held_out=True),
    _thing("hotel", "guests", "A hotel hosts {n} guests", "At noon {n} guests check in",
           "checking in", "At dusk {n} guests check out", "checking out",
           "parties/party", "floors/floor", "another hotel", held_out=True),
    _thing("aviary", "parrots", "A zoo shelters {n} parrots",
           "A rescue brings {n} parrots", "rescued", "Keepers set free {n} parrots",
           "set free", "flocks/flock", "cages/cage", "another zoo", held_out=True),
    _thing("bakery", "loaves", "A bakery bakes {n} loaves",
           "The night shift bakes {n} loaves", "from the night shift",
           "A cafe takes {n} loaves", "taken", "ovens/oven", "carts/cart",
           "another bakery", held_out=True),
)

# The base model reads of the first twenty people only; tuning adds others, so that a name
# which nobody has seen before is nothing special.
BASE_NAMES = ("Mia", "Tom", "Anna", "Ben", "Lena", "Omar", "Ruth", "Sam", "Nina", "Jack",
              "Ella", "Hugo", "Iris", "Leo", "Mary", "Noah", "Olga", "Paul", "Rosa", "Tim")
NAMES = BASE_NAMES + (
    "Adam", "Bella", "Carl", "Dora", "Emil", "Fiona", "Gwen", "Hank", "Ines", "Jonas",
    "Karin", "Luis", "Marta", "Nils", "Oscar", "Petra", "Ralph", "Sofia", "Tariq", "Ursula",
    "Viktor", "Wendy", "Xenia", "Yusuf", "Zelda", "Bruno", "Cora", "Derek", "Elsa", "Frank",
    "Grace", "Henry", "Julia", "Kevin", "Laura", "Martin", "Nora", "Oliver", "Pia", "Robert")
TEST_NAMES = ("Vera", "Felix", "Chloe", "Igor", "Wanda", "Quinn", "Amir", "Clara", "Edgar",
              "Freya", "Ivan", "Lydia")
SHE = frozenset(
    "Mia Anna Lena Ruth Nina Ella Iris Mary Olga Rosa Bella Dora Fiona Gwen Ines Karin Marta "
    "Petra Sofia Ursula Wendy Xenia Zelda Cora Elsa Grace Julia Laura Nora Pia Vera Chloe "
    "Wanda Clara Freya Lydia".split())

# Sentences with a number that the question does not need.
DISTRACTORS = ("The walk home takes {n} minutes.", "The room is {n} feet long.",
               "It is {n} degrees outside.", "The street has {n} trees.",
               "The radio plays {n} songs.", "A clock on the wall is {n} years old.")


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
