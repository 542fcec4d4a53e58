"""Which of several equal quantities an operand means.

`graph.provenance` finds the quantities of a question that have an operand's value. Where
several have it, the wording decides, by a cost of which the lowest wins:

- a quantity that some operand came from already costs more;
- `half` and `a third` are multiplied by or divided by, `twice` and `three times` multiply,
  `5 more than` is added or taken away, `20%` stands for a percentage: what does something
  else costs more;
- money is not multiplied by money, and not added to what is no money;
- quantities whose words speak of the same things belong together, and so do neighbours;
- a share is taken from, or put on, what it is a share of: `80 * 20% = 16`, `80 - 16`.

Only the question and EXECUTE are looked at, because a model's trace has nothing else. The
weights are set by hand on traces of GSM8K's training set. What the wording does not tell,
the nearest place in the question decides, then the first.
"""
from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from functools import lru_cache

from nanoreason.constants import constants_of
from nanoreason.number_words import MULTIPLES, PARTS
from nanoreason.quantities import Quantity, quantities

# What a cost is made of; see `Roles.cost`.
USED, SAME_LINE, UNFIT, MONEY, STRANGE, INVERSE = 2.0, 4.0, 8.0, 8.0, 3.0, 0.5
FITS, SHARED_WORD, NEIGHBOUR, BASE, UNIT, SAID_BEFORE = -1.0, -1.0, -2.0, -3.0, 1.0, 0.5
DOUBT = 4.0  # at this cost, apart from its use before, a quantity is hardly meant
MOST_WORDS = 6  # on either side of a quantity
MOST_SHARED = 3  # words that count

_EMPTY = frozenset(
    "a an the of to in on for at by with from his her their its my is are was were has have had "
    "he she they it i as per that this be more and or x so then each every than less there will "
    "total also which if now how many much what another other would could do does did s only "
    "all them just across through".split())
_CUT = re.compile(r"[,;:](?=\s|$)|\b(?:and|but|while|then|so|if|or)\b", re.IGNORECASE)
_TIMES = re.compile(r"\s+times\b(?!\s+(?:a|per|each|every)\b)", re.IGNORECASE)
_MORE = re.compile(
    r"(?:\s+[^\W\d_]+){0,2}\s+(?:more|less|fewer|older|younger|taller|shorter|longer|higher|"
    r"lower|heavier|lighter|faster|slower)\b", re.IGNORECASE)
_MONEY = re.compile(r"[\s-]*(?:dollars?|cents?|bucks?)\b|¢", re.IGNORECASE)
_AGAIN = re.compile(r"\b(?:the|these|those|all|all the)\s+$", re.IGNORECASE)
_PER = re.compile(r"[\s-]*(?:for\s+)?(?:per|each|every|an?)\b", re.IGNORECASE)
_SQUARES = re.compile(r"\b(?:squar|cub|themselves|itself)", re.IGNORECASE)
_SPLITS = re.compile(r"\b(?:equal|average|split|share)", re.IGNORECASE)
# What is divided by 60, 7, 12, 24, 100 to come to the next larger unit.
_CONVERTED = {Fraction(60): ("minute", "second"), Fraction(7): ("day",), Fraction(24): ("hour",),
              Fraction(12): ("month", "inch"), Fraction(100): ("cent",)}
_SENTENCE = re.compile(r"[.?!](?:\s|$)")


@dataclass(frozen=True)
class Place:
    """Where an operand stands: the operator that takes it ("" for none) and on which side.

    percent: whether it is written with a per cent sign.
    """

    value: Fraction
    operator: str
    right: bool
    percent: bool = False


@dataclass(frozen=True)
class Wording:
    """What the words around a quantity say.

    role: "share", "percent", "times", "more" or "plain"; money: whether it is an amount of
    money; words, unit: content words around it, and the first one after it; again: whether
    it may only repeat a number (`the three of them`).
    """

    role: str
    money: bool
    words: frozenset[str]
    unit: str
    again: bool


@lru_cache(maxsize=4096)  # the questions of a run: scores come back to each
def wordings(question: str) -> tuple[Wording, ...]:
    """The wording of each quantity of a question, in order."""
    found, given = [], quantities(question)
    for position, quantity in enumerate(given):
        start, end = quantity.span
        since = given[position - 1].span[1] if position else 0
        last = position + 1 == len(given)
        until = len(question) if last else given[position + 1].span[0]
        before = _SENTENCE.split(question[since:start])[-1]
        if position:
            before = _CUT.split(before)[-1]
        sentences = _SENTENCE.split(question[end:until])
        after = sentences[0]
        cuts = list(_CUT.finditer(after))
        if cuts and not last and len(sentences) == 1:
            after = after[:cuts[-1].start()]  # what follows belongs to the next quantity
        words = content_words(after)[:MOST_WORDS]
        around = frozenset(words) | frozenset(content_words(before)[-MOST_WORDS:])
        money = quantity.text[0] in "$€£" or bool(_MONEY.match(question, end))
        unit = words[0] if words and not _PER.match(after) else ""
        found.append(Wording(_role(quantity, question[end:end + 40]), money, around, unit,
                             bool(_AGAIN.search(before))))
    return tuple(found)


def content_words(text: str) -> list[str]:
    """The words of a text that name things, in the singular, lower case, in order."""
    words = (word.lower() for word in re.findall(r"[^\W\d_]+", text))
    return [_singular(word) for word in words if word not in _EMPTY]


def _singular(word: str) -> str:
    if word.endswith("ies") and len(word) > 4:
        return word[:-3] + "y"
    if word.endswith("es") and len(word) > 4 and word[-3] in "sxh":
        return word[:-2]
    return word[:-1] if word.endswith("s") and len(word) > 3 and word[-2] != "s" else word


def _role(quantity: Quantity, after: str) -> str:
    first = quantity.values[0]
    if len(quantity.values) > 1 and quantity.values[1] == 100 * first:
        return "percent"
    last = re.split(r"[\s-]", quantity.text.lower())[-1]
    if last in PARTS or "/" in quantity.text and first.denominator > 1 and first < 1:
        return "share" if first < 1 else "plain"
    if last in MULTIPLES or _TIMES.match(after):
        return "times"
    return "more" if _MORE.match(after) else "plain"


@dataclass
class Roles:
    """Costs of quantities for operands, line after line of one EXECUTE.

    `learn` is told every line.
    """

    question: str
    origins: dict[tuple, frozenset[int]] = field(default_factory=dict)
    _money: dict[tuple, bool | None] = field(default_factory=dict)
    _bases: dict[tuple, frozenset[tuple]] = field(default_factory=dict)
    _squares: bool = False
    _splits: bool = False
    _constants: frozenset[Fraction] = frozenset()
    _pure: set[tuple] = field(default_factory=set)  # results made of shares alone
    _parts: set[int] = field(default_factory=set)  # shares that were taken of something
    _undone: set[int] = field(default_factory=set)  # shares that were undone

    def __post_init__(self):
        self.wording = wordings(self.question)
        self.given = quantities(self.question)
        self._splits = bool(_SPLITS.search(self.question))
        self._constants = constants_of(self.question)
        self._squares = bool(_SQUARES.search(self.question))
        for quantity in self.given:
            self.origins["given", quantity.index] = frozenset([quantity.index])

    def cost(self, node: tuple, place: Place, here: Collection[tuple],
             used: Collection[tuple]) -> tuple[float, float, int]:
        """(cost, distance in characters, position) of a quantity for an operand.

        here: the nodes of the line's other operands, as far as they are known; used: the
        nodes that some operand came from already, `here` included.
        """
        own = node[1]
        near = {index for other in here for index in self.origins.get(other, ())} - {own}
        quantity, wording = self.given[own], self.wording[own]
        others = [self.wording[index] for index in near]
        shared = max((len(wording.words & other.words) for other in others), default=0)
        cost = USED * (node in used) + self.misfit(node, place, here, used)
        cost += SHARED_WORD * min(shared, MOST_SHARED) + SAID_BEFORE * wording.again
        gaps = [max(quantity.span[0] - self.given[index].span[1],
                    self.given[index].span[0] - quantity.span[1]) for index in near]
        cost += NEIGHBOUR * any(gap <= 2 for gap in gaps)
        adds = place.operator in ("+", "-")
        if wording.unit and any(wording.unit == other.unit for other in others):
            cost += -UNIT if adds else UNIT * (place.operator == "*")
        cost += BASE * (adds and any(node in self._bases.get(other, ()) for other in here))
        return cost, min(gaps, default=0), own

    def misfit(self, node: tuple, place: Place, here: Collection[tuple],
               used: Collection[tuple]) -> float:
        """How badly a quantity or a result fits an operand, whatever else may have its value.

        A result has no role, but it may be money.
        """
        cost, money = 0.0, self._is_money(node)
        if node[0] == "given":
            cost = self._given_misfit(node, place, here, used)
        amounts = [self._is_money(other) for other in here if other[0] in ("given", "step")]
        if len(amounts) == 1 and None not in (money, amounts[0]):
            if place.operator == "*":
                cost += MONEY * (amounts[0] and money)
            elif place.operator in ("+", "-"):
                cost += MONEY * (amounts[0] != money)
        return cost

    def _given_misfit(self, node: tuple, place: Place, here: Collection[tuple],
                      used: Collection[tuple]) -> float:
        role = self.wording[node[1]].role
        cost = self._role_cost(node[1], role, place)
        converted = any(other[0] == "constant" for other in here)  # `two feet shorter`: 12 * 2
        if role == "more" and place.operator in ("*", "/") and not converted:
            cost += STRANGE
        cost += (STRANGE if place.percent else INVERSE) * (place.percent != (role == "percent"))
        alone = node in here and role != "share" and not self._squares
        cost += SAME_LINE * (alone and place.operator in ("*", "/", "-"))
        again = node in used and role in ("share", "times") and place.operator == "/"
        cost += DOUBT * (place.operator == "/" and self._converts(node[1], place, here))
        return cost + UNFIT * (again and self._splits)  # half of it, then equally between two

    def _converts(self, own: int, place: Place, here: Collection[tuple]) -> bool:
        """`1200 / 60` of minutes that become hours, where the quantity counts something else."""
        units = _CONVERTED.get(place.value, ())
        if not place.right or place.value not in self._constants or (
                self.wording[own].unit in units):
            return False
        near = {index for other in here for index in self.origins.get(other, ())}
        return any(self.wording[index].unit in units for index in near)

    def _role_cost(self, own: int, role: str, place: Place) -> float:
        first = place.value == self.given[own].values[0]
        operator = place.operator
        if role == "share":
            if first:
                return 2 * FITS if operator == "*" else 0
            if operator not in ("*", "/") or operator == "/" and not place.right:
                return UNFIT if operator != "-" else INVERSE
            taken = self._takes(own, place)
            return UNFIT if own in (self._undone if taken else self._parts) else (
                2 * FITS if taken else INVERSE)
        if role == "times":
            return FITS if operator == "*" else 0 if operator == "/" and place.right else INVERSE
        if role == "more":
            added = operator == "+" or operator == "-" and place.right
            return FITS if added else INVERSE
        return 0

    def _takes(self, own: int, place: Place) -> bool:
        """Whether a share is taken of something (`/ 3`, `* 2` of 2/3), or that is undone."""
        share = self.given[own].values[0]
        above = place.value in (share, share.numerator) and place.value != share.denominator
        return (place.operator == "*") == above

    def _is_money(self, node: tuple) -> bool | None:
        if node[0] != "given":
            return self._money.get(node)
        wording = self.wording[node[1]]
        return wording.money if wording.role in ("plain", "more") else None

    def learn(self, node: tuple, places: Sequence[Place], sources: Sequence[tuple]) -> None:
        """Take note of a line: the places of its operands and where they came from."""
        self.origins[node] = frozenset().union(
            *(self.origins.get(source, ()) for source in sources))
        for place, source in zip(places, sources):
            if source[0] == "given" and self.wording[source[1]].role == "share":
                taken = self._takes(source[1], place)
                (self._parts if taken else self._undone).add(source[1])
        if len(sources) != 2:
            return
        operator, amounts = places[0].operator, [self._is_money(s) for s in sources]
        shares = [self._is_share(source, place) for source, place in zip(sources, places)]
        if all(shares):
            self._pure.add(node)
        if operator in ("+", "-"):
            self._money[node] = amounts[0] if amounts[0] == amounts[1] else None
            return
        for base, share, amount in ((0, 1, amounts[0]), (1, 0, amounts[1])):
            if shares[share] and not shares[base]:
                self._bases[node] = (self._bases.get(sources[base], frozenset())
                                     | {sources[base]})
                self._money[node] = amount
                return
        if None not in amounts:
            self._money[node] = any(amounts) if operator == "*" else amounts == [True, False]

    def _is_share(self, source: tuple, place: Place) -> bool:
        if source[0] == "given":
            return self.wording[source[1]].role in ("share", "percent", "times")
        return source in self._pure or source[0] == "constant" and (
            place.value in (Fraction(1, 100), 100))
