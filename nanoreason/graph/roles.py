"""Which of several equal quantities an operand means.

`graph.provenance` finds the quantities of a question that have an operand's value. Where
several have it, the wording decides, by a cost of which the lowest wins:

- a quantity that some operand came from already costs more;
- `half` and `a third` are multiplied by or divided by, `twice` and `three times` multiply,
  `5 more than` is added or taken away, `20%` stands for a percentage: what does something
  else costs more;
- the two numbers of `two thirds` are used together, and a share of the rest is not taken of the
  whole;
- money is not multiplied by money, and not added to what is no money;
- quantities whose words speak of the same things belong together, and so do neighbours;
- a share is taken from, or put on, what it is a share of: `80 * 20% = 16`, `80 - 16`;
- `twice` and `a third` are no amounts that are added, and `20%` is no 20, where a result is one.

Only the question and EXECUTE are looked at, because a model's trace has nothing else. The
weights are set by hand on traces of GSM8K's training set. What the wording does not tell,
the nearest place in the question decides, then the first.
"""
from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from fractions import Fraction

from nanoreason.graph.phrases import Wording, wordings
from nanoreason.graph.provenance import constants_of
from nanoreason.graph.quantities import quantities

# What a cost is made of; see `Roles.cost`.
USED, SAME_LINE, UNFIT, MONEY, STRANGE, INVERSE = 2.0, 4.0, 8.0, 8.0, 3.0, 0.5
FITS, SHARED_WORD, NEIGHBOUR, BASE, UNIT, SAID_BEFORE = -1.0, -1.0, -2.0, -3.0, 1.0, 2.0
SHARE_FITS, UNDONE = -2.5, 1.5  # `/ 3` and `* 3` for a third: the latter reasons backwards
# `twice` as an addend; a share of the rest, taken of the whole; the 2 of `2 dozen`
ADDED, OF_THE_REST, DOZENS = 2.0, 2.0, -4.0
DOUBT = 4.0  # at this cost, apart from its use before, a quantity is hardly meant
MOST_SHARED = 3  # words that count

_ONE = re.compile(r"(?:one[\s-]|1\s?/)", re.IGNORECASE)
_SQUARES = re.compile(r"\b(?:squar|cub|themselves|itself)", re.IGNORECASE)
_SPLITS = re.compile(r"\b(?:equal|average|split|share)", re.IGNORECASE)
# What is divided by 60, 7, 12, 24, 100 to come to the next larger unit.
_CONVERTED = {Fraction(60): ("minute", "second"), Fraction(7): ("day",), Fraction(24): ("hour",),
              Fraction(12): ("month", "inch"), Fraction(100): ("cent",)}


@dataclass(frozen=True)
class Place:
    """Where an operand stands: the operator that takes it ("" for none) and on which side.

    percent: whether it is written with a per cent sign.
    """

    value: Fraction
    operator: str
    right: bool
    percent: bool = False


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
    _taken: dict[int, set[Fraction]] = field(default_factory=dict)  # and by which numbers
    _undone: set[int] = field(default_factory=set)  # shares that were undone

    next_divisor: Fraction | None = None  # of the result of the line that is read

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
        parts = self._taken.get(own, ())  # of `two thirds`, the two and the three
        completes = own in self._parts and place.value not in parts
        cost = USED * (node in used and not completes) + self.misfit(node, place, here, used)
        cost += USED * (place.value in parts and quantity.values[0].numerator != 1)
        cost += SHARED_WORD * min(shared, MOST_SHARED) + SAID_BEFORE * wording.again
        cost += self._related(wording, place, here)
        gaps = [max(quantity.span[0] - self.given[index].span[1],
                    self.given[index].span[0] - quantity.span[1]) for index in near]
        cost += NEIGHBOUR * any(gap <= 2 for gap in gaps)
        adds = place.operator in ("+", "-")
        if wording.unit and any(wording.unit == other.unit for other in others):
            cost += -UNIT if adds else UNIT * (place.operator == "*")
        cost += BASE * (adds and any(node in self._bases.get(other, ()) for other in here))
        return cost, min(gaps, default=0), own

    def _related(self, wording: Wording, place: Place, here: Collection[tuple]) -> float:
        """Of a comparison with what stands beside it: hardly two multiples, nor a share of the
        rest where nothing was taken away yet."""
        beside = [self.wording[other[1]] for other in here if other[0] == "given"]
        two = wording.role == "times" and place.operator == "*" and any(
            other.role == "times" for other in beside)
        whole = wording.rest and any(other.role == "plain" for other in beside)
        return ADDED * two + OF_THE_REST * whole

    def misfit(self, node: tuple, place: Place, here: Collection[tuple],
               used: Collection[tuple]) -> float:
        """How badly a quantity or a result fits an operand, whatever else may have its value.

        A result has no role, but it may be money.
        """
        cost, money = 0.0, self._is_money(node)
        if node[0] == "given":
            cost = self._given_misfit(node, place, here, used)
            cost += UNFIT * self._alone(node, place, here)
        elif self._converts(None, place, here):
            cost = DOUBT
        amounts = [self._is_money(other) for other in here if other[0] in ("given", "step")]
        if len(amounts) == 1 and None not in (money, amounts[0]):
            if place.operator == "*":
                cost += MONEY * (amounts[0] and money)
            elif place.operator in ("+", "-"):
                cost += MONEY * (amounts[0] != money)
        return cost

    def stated_one(self, place: Place) -> tuple | None:
        """The share whose `one` a factor of 1 is (`one fourth`, `1/4`): the first untaken one."""
        shares = [quantity.index for quantity, wording in zip(self.given, self.wording)
                  if wording.role == "share" and _ONE.match(quantity.text)]
        if place.operator != "*" or not shares:
            return None
        return ("given", next((own for own in shares if own not in self._parts), shares[-1]))

    def doubtful(self, node: tuple, place: Place, here: Collection[tuple],
                 used: Collection[tuple], computed: bool) -> bool:
        """Whether a quantity or a result is hardly meant, though it is what the rule finds.

        computed: whether an earlier result has the operand's value; then `24 more`, used
        before, is as likely the difference again as what came to 24.
        """
        again = node[0] == "given" and self.wording[node[1]].role == "more" and node in used
        return self.misfit(node, place, here, used) >= DOUBT or again and computed

    def gives_way(self, node: tuple, place: Place, here: Collection[tuple]) -> bool:
        """Whether a quantity that compares is hardly a number here, where a result is one.

        `20%` is 20 only of a hundred (`100 - 20`), and neither it nor `twice` or `a third` is
        an amount that is added or taken away. here: as for `cost`.
        """
        role, share = self.wording[node[1]].role, self.given[node[1]].values[0]
        if role == "percent":
            of_hundred = any(other == ("constant", "100") for other in here)
            return not (place.percent or place.value == share or of_hundred)
        return role in ("share", "times") and place.operator in ("+", "-")

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
        cost += DOUBT * self._converts(node[1], place, here)
        counted = place.value != self.given[node[1]].values[0]  # the 2 of `2 dozen`, times 12
        cost += DOZENS * (counted and ("constant", "12") in here
                          and "dozen" in self.given[node[1]].text.lower())
        return cost + UNFIT * (again and self._splits)  # half of it, then equally between two

    def _alone(self, node: tuple, place: Place, here: Collection[tuple]) -> bool:
        """Whether an operand would be the two of `two thirds` without the three beside it."""
        share, role = self.given[node[1]].values[0], self.wording[node[1]].role
        above = place.value == share.numerator not in (1, share, share.denominator)
        if role != "share" or not above or node in here:
            return False
        return share.denominator not in (self.next_divisor, *self._taken.get(node[1], ()))

    def _converts(self, own: int | None, place: Place, here: Collection[tuple]) -> bool:
        """`1200 / 60` of minutes that become hours, where the quantity counts something else.

        own: None for a result.
        """
        units = _CONVERTED.get(place.value, ())
        if place.operator != "/" or not place.right or place.value not in self._constants or (
                own is not None and self.wording[own].unit in units):
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
                SHARE_FITS if taken else UNDONE)
        if role == "times":
            if operator in ("+", "-"):
                return ADDED
            return FITS if operator == "*" else 1 if operator == "/" and place.right else INVERSE
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
                self._taken.setdefault(source[1], set()).add(place.value)
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
            per_money = amounts == [False, True]  # points per dollar: times dollars, points again
            self._money[node] = any(amounts) if operator == "*" else (
                None if per_money else amounts == [True, False])

    def _is_share(self, source: tuple, place: Place) -> bool:
        if source[0] == "given":
            return self.wording[source[1]].role in ("share", "percent", "times")
        return source in self._pure or source[0] == "constant" and (
            place.value in (Fraction(1, 100), 100))
