"""What speaks for a source of an operand, whatever the values: the features of `witness`.

An operand's number stands in a line of a worked solution, and words around it say what it is.
For a quantity of the question or an earlier result as its source, these are named numbers: how
far its words agree with those of the line, which kinds of quantity an operator takes, what was
used before, and how near the quantities lie. None of them looks at a value, so they can be
weighed on operands that have one possible source and be used for those that have several.
"""
from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from fractions import Fraction

import networkx as nx

from nanoreason.arithmetic.expression import MAX_DIGITS, NUMBER
from nanoreason.data.gsm8k.algebra import without_annotations
from nanoreason.data.gsm8k.solutions import Draft
from nanoreason.graph.phrases import SENTENCE_END, Wording, content_words, wordings
from nanoreason.graph.quantities import Quantity, quantities

AROUND, FOLLOWING = 4, 3  # words beside a quantity, words after a number

_COUNTED = re.compile(rf"(?<![\w.])({NUMBER})(?![\w%])")
_END = re.compile(r"[-+*/=×÷(),.;:]|\b(?:x|from|because|plus|times|and)\b")
# How a multiple or a share may be said again: by the same word, or by one of these.
_FORMS = {"twice": "twice|doubled?|two times|2 times", "double": "doubled?|twice",
          "triple": "triple|three times|3 times", "half": "half|halved?|1/2",
          "third": "thirds?|[12]/3", "quarter": "quarters?|fourths?|[13]/4",
          "dozen": "dozens?", "couple": "couple", "pair": "pairs?", "both": "both"}
_FORMS = {word: re.compile(rf"\b(?:{forms})\b", re.IGNORECASE) for word, forms in _FORMS.items()}

Features = dict[str, float]


def other_unit(source: tuple) -> str:
    """The name of the feature that a number counts something else than a source does."""
    return f"{source[0]} other unit"


@dataclass(frozen=True)
class Mention:
    """How a line of the solution writes a number.

    units: the first content words after it, one for each time it stands there; words: all
    that follow it; money: whether a dollar sign stands before it.
    """

    units: frozenset[str]
    words: frozenset[str]
    money: bool


def mention(line: str, value: Fraction) -> Mention:
    """Where and with which words a line of a solution writes a value."""
    units, words, money = set(), set(), False
    numbers = list(_COUNTED.finditer(line))
    for number, following in zip(numbers, [*numbers[1:], None]):
        text = number[1].replace(",", "")
        if len(text) > MAX_DIGITS or Fraction(text) != value:
            continue
        after = line[number.end():following.start() if following else len(line)]
        counted = content_words(_END.split(after)[0])[:FOLLOWING]
        units.update(counted[:1])
        words.update(counted)
        money = money or line[number.start() - 1:number.start()] == "$"
    return Mention(frozenset(units), frozenset(words), money)


def _words_of_result(line: str) -> list[str]:
    """The words after the value that a line of a solution comes to."""
    end = line.rsplit("=", 1)[-1]
    return content_words(re.sub(r"^[\s$]*[\d.,]+%?", "", end.strip()))[:AROUND]


class Quoted:
    """One of the question's quantities and the words of its sentence."""

    def __init__(self, question: str, quantity: Quantity, wording: Wording):
        self.quantity, self.wording = quantity, wording
        start, end = quantity.span
        earlier, after = SENTENCE_END.split(question[:start]), SENTENCE_END.split(question[end:])[0]
        self.after = content_words(after)[:AROUND]
        self.sentence = frozenset(content_words(earlier[-1] + quantity.text + after))
        self.number = len(earlier)  # of the sentence
        form = next((form for word, form in _FORMS.items() if word in quantity.text.lower()), None)
        self.form = form


class Attribution:
    """A solution's lines, what they calculate, and where the rule finds each operand.

    drafts: one for each line of EXECUTE, whose graph is `graph`.
    """

    def __init__(self, drafts: Sequence[Draft], graph: nx.DiGraph, question: str):
        self.drafts, self.graph = drafts, graph
        self.quoted = [Quoted(question, *pair)
                       for pair in zip(quantities(question), wordings(question))]
        self.said = [without_annotations(draft.said) for draft in drafts]
        self.told = [frozenset(content_words(text)) for text in self.said]
        self.results = [_words_of_result(text) for text in self.said]
        steps = [graph.nodes["step", line] for line in range(1, len(drafts) + 1)]
        self.operands = [step["operands"] for step in steps]
        self.values = [step["value"] for step in steps]

    def possible(self, k: int, value: Fraction) -> list[tuple]:
        """The quantities and the earlier results that an operand of line k may come from."""
        step = self.drafts[k].step
        percent = any(operand.value == value and operand.text.endswith("%")
                      for operand in (step.left, step.right))
        values = {value, 100 * value} if percent else {value}
        given = [("given", index) for index, quoted in enumerate(self.quoted)
                 if values & set(quoted.quantity.values)]
        return given + [("step", line) for line in range(1, k + 1)
                        if self.values[line - 1] in values]

    def of_one_step(self, k: int, other: int) -> bool:
        """Whether two lines (counted from 0) are from one line of the solution."""
        return self.drafts[k].said == self.drafts[other].said

    def is_inner(self, k: int) -> bool:
        """Whether a line comes to no more than a part of its step's result."""
        return k + 1 < len(self.drafts) and self.of_one_step(k, k + 1)

    def rest_of_sum(self, k: int) -> set[tuple]:
        """What the other lines of the running sum that line k belongs to take."""
        first = last = k
        while self._goes_on(first):
            first -= 1
        while last + 1 < len(self.drafts) and self._goes_on(last + 1):
            last += 1
        return {source for line in range(first, last + 1) if line != k
                for _, source in self.operands[line]}

    def _goes_on(self, k: int) -> bool:
        """Whether line k adds to (or takes from) what the line before it came to."""
        operators = {self.drafts[line].step.operator for line in (k - 1, k)}
        return (k > 0 and operators in ({"+"}, {"-"}) and self.of_one_step(k, k - 1)
                and self.operands[k][0][1] == ("step", k))

    def places(self):
        """(line from 0, value, source by the rule, `Beside`) of every operand, in order."""
        used: set[tuple] = set()
        last = -1  # the quantity that was used last
        for k, operands in enumerate(self.operands):
            for position, (value, source) in enumerate(operands):
                others = [node for j, (_, node) in enumerate(operands) if j != position]
                yield k, value, source, Beside(
                    self, k, position, value, others, frozenset(used), last)
            for _, source in operands:
                used.add(source)
                last = source[1] if source[0] == "given" else last


class Beside:
    """What stands beside an operand; gives the features of its possible sources."""

    def __init__(self, whole: Attribution, k: int, position: int, value: Fraction,
                 others: Sequence[tuple], used: Collection[tuple], last: int):
        self.whole, self.k, self.others, self.used, self.last = whole, k, others, used, last
        operator = whole.drafts[k].step.operator
        self.sums = operator in ("+", "-")
        self.operator = operator
        self.side = operator + ("" if operator in "+*" else "LR"[min(position, 1)])
        self.mention = mention(whole.said[k], value)
        self.said, self.told = whole.said[k], whole.told[k]
        self.summed = whole.rest_of_sum(k)
        self.near = [whole.quoted[node[1]] for node in others if node[0] == "given"]
        before = set(others).union(*(nx.ancestors(whole.graph, node) for node in others))
        self.origins = [node[1] for node in before if node[0] == "given"]

    def features(self, source: tuple) -> Features:
        """What speaks for and against a source, as named numbers; zeros are left out."""
        kind = source[0]
        found = self._shared(source) if kind in ("given", "step") else {}
        if kind == "given":
            found |= self._quantity(source)
        elif kind == "step":
            found |= self._result(source)
        return {name: float(value) for name, value in found.items() if value}

    def _counts_another(self, source: tuple) -> bool:
        """Whether the words after the number are none of those that a source counts."""
        if not self.mention.units:
            return False
        if source[0] == "given":
            quoted = self.whole.quoted[source[1]]
            counted, unit = frozenset(quoted.after) | quoted.wording.words, quoted.after[:1]
        else:
            counted = self.whole.results[source[1] - 1]
            unit = counted[:1]
        return bool(unit) and self.mention.words.isdisjoint(counted)

    def _shared(self, source: tuple) -> Features:
        kind = source[0]
        return {kind: 1, f"{kind} same line": source in self.others,
                f"{kind} same sum": source in self.summed,
                other_unit(source): self._counts_another(source)}

    def _quantity(self, source: tuple) -> Features:
        own = source[1]
        quoted = self.whole.quoted[own]
        wording, after, ahead = quoted.wording, quoted.after, own - self.last
        compares = wording.role in ("share", "times")
        spans = [self.whole.quoted[index].quantity.span[0] for index in self.origins]
        gaps = [abs(quoted.quantity.span[0] - start) for start in spans]
        pays = [other.wording.money for other in self.near]
        found = {
            f"{wording.role} {self.side}": 1,
            "unit": bool(after) and after[0] in self.mention.units,
            "words after": min(FOLLOWING, len(frozenset(after) & self.mention.words)),
            "line": len(wording.words & self.told) / (1 + len(wording.words)),
            "sentence": len(quoted.sentence & self.told) / (3 + len(self.told)),
            "form": 0 if quoted.form is None else 1 if quoted.form.search(self.said) else -1,
            "money": 1 if wording.money and self.mention.money else
                     -1 if wording.money or self.mention.money else 0,
            "money times money": self.operator == "*" and wording.money and any(pays),
            "money and none": (self.sums and bool(pays) and pays[0] != wording.money
                               and wording.role in ("plain", "more")),
            "two multiples": compares and any(
                other.wording.role in ("share", "times") for other in self.near),
            "again": wording.again,
            "used": source in self.used, "used multiple": compares and source in self.used,
            "ahead": min(5, max(0, ahead)) / 5, "behind": ahead < 0, "last": ahead == 0,
            "far": min(gaps, default=0) / 100,
            "one sentence": any(other.number == quoted.number for other in self.near),
            "shared words": max((len(wording.words & other.wording.words)
                                 for other in self.near), default=0),
        }
        same = bool(wording.unit) and any(o.wording.unit == wording.unit for o in self.near)
        return found | {"unit added" if self.sums else "unit multiplied": same}

    def _result(self, source: tuple) -> Features:
        index = source[1] - 1
        whole, words = self.whole, self.whole.results[index]
        inner, one = whole.is_inner(index), whole.of_one_step(index, self.k)
        return {
            f"result {self.side}": 1,
            "unused": source not in self.used, "steps back": min(6, self.k - index) / 6,
            "result unit": bool(words) and words[0] in self.mention.units,
            "result line": len(whole.told[index] & self.told) / (3 + len(self.told)),
            "part of this step": one, "part of another": inner and not one,
        }
