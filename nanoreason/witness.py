"""What a worked solution says of a number, against where the graph takes it from.

The graph has the numbers of EXECUTE and the question. Where a question has one value twice,
its wording decides, and is sometimes wrong. The teacher also has the solution, which often
says what a number counts (`12 tablespoons * 3` where the question has 12 tablespoons and a
dozen cupcakes). It cannot hand that on, because a trace shows numbers alone; but where the
solution speaks for another source, and plainly, the trace would teach a wrong dependency.
"""
from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from fractions import Fraction

import networkx as nx

from nanoreason.expression import NUMBER
from nanoreason.phrases import content_words
from nanoreason.quantities import quantities
from nanoreason.solutions import Draft
from nanoreason.unknowns import without_annotations

# Set on traces of GSM8K's training set whose sources were read one by one.
COUNTED = 3  # points of a word that follows the number itself; any word of the line has one
PLAINLY = 4  # points from which a line speaks for another source
COUNTED_PLAINLY = 1  # the same, where a word that follows the number speaks for it
AROUND, FOLLOWING = 4, 3  # words on either side of a quantity, words after a number

_COUNTED = re.compile(rf"(?<![\w.])({NUMBER})(?![\w%])")
_END = re.compile(r"[-+*/=×÷(),.;:]|\b(?:x|from|because|plus|times|and)\b")


def contradicted(drafts: Sequence[Draft], graph: nx.DiGraph, question: str
                 ) -> tuple[int, Fraction] | None:
    """The first (line of EXECUTE, operand) whose source the solution speaks against.

    graph: of the EXECUTE that `drafts` write. Another quantity or an earlier result of the
    operand's value must share so many words more with the solution than the source does: with
    those right after the number, or (a quantity against a result; of two quantities the line
    names both) with the line. Of two results the later one is meant. Sub-questions are not
    read, so that a solution with and without them gives the same traces. None where the
    solution speaks against no source.
    """
    around = {("given", quantity.index): _around(question, quantity.span)
              for quantity in quantities(question)}
    values = {("given", quantity.index): quantity.values for quantity in quantities(question)}
    for line, draft in enumerate(drafts, 1):
        text = without_annotations(draft.said)
        counted, told = _counted(text), set(content_words(text))
        operands = graph.nodes["step", line]["operands"]
        here = {source for _, source in operands}  # of `6 * 6` the one and the other
        for value, source in operands:
            own, after = around.get(source, frozenset()), counted[value]
            for other, words in around.items():
                if (other in here or value not in values[other]
                        or source[0] == other[0] == "step"):
                    continue
                speaking, against = words - own, own - words
                points = COUNTED * (len(after & speaking) - len(after & against))
                points += len(told & speaking) - len(told & against)
                plainly = COUNTED_PLAINLY if after & speaking else PLAINLY
                if points >= plainly and (after & speaking or source[0] != other[0]):
                    return line, value
        result = ("step", line)
        end = content_words(text.rsplit("=", 1)[-1])[:AROUND]
        around[result] = frozenset(end)
        values[result] = (graph.nodes[result]["value"],)
    return None


def _counted(text: str) -> dict[Fraction, set[str]]:
    """The words that follow each number of a line, up to a sign or the next number."""
    found: dict[Fraction, set[str]] = defaultdict(set)
    numbers = list(_COUNTED.finditer(text))
    for number, following in zip(numbers, [*numbers[1:], None]):
        after = text[number.end():following.start() if following else len(text)]
        value = Fraction(number[1].replace(",", ""))
        found[value].update(content_words(_END.split(after)[0])[:FOLLOWING])
    return found


def _around(question: str, span: tuple[int, int]) -> frozenset[str]:
    """The content words on either side of a quantity, within its sentence."""
    before = re.split(r"[.?!]", question[:span[0]])[-1]
    after = re.split(r"[.?!]", question[span[1]:])[0]
    return frozenset(content_words(before)[-AROUND:]) | frozenset(content_words(after)[:AROUND])
