"""What the words around a quantity say: its role, its unit, whether it is money.

`half` is a share, `20%` a percentage, `twice` and `3 times` multiples, `5 more than` a
difference; every other quantity is plain. Words are taken from the quantity's own stretch of
its sentence, up to its neighbours. English; a Vietnamese question's quantities are plain.
"""
from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

from nanoreason.arithmetic.lexer import MULTIPLES, PARTS
from nanoreason.graph.quantities import Quantity, quantities

MOST_WORDS = 6  # on either side of a quantity

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
_REST = re.compile(r"\s+of\s+(?:\w+\s+)?(?:rest|remaining|remainder|others)\b", re.IGNORECASE)
SENTENCE_END = re.compile(r"[.?!](?:\s|$)")
_PER = re.compile(r"[\s-]*(?:for\s+)?(?:per|each|every|an?)\b", re.IGNORECASE)


@dataclass(frozen=True)
class Wording:
    """What the words around a quantity say.

    role: "share", "percent", "times", "more" or "plain"; money: whether it is an amount of
    money; words, unit: content words around it, and the first one after it; again: whether
    it may only repeat a number (`the three of them`); rest: whether it is one of what is left
    (`half of the rest`).
    """

    role: str
    money: bool
    words: frozenset[str]
    unit: str
    again: bool
    rest: bool


@lru_cache(maxsize=4096)  # the questions of a run: scores come back to each
def wordings(question: str) -> tuple[Wording, ...]:
    """The wording of each quantity of a question, in order."""
    found, given = [], quantities(question)
    for position, quantity in enumerate(given):
        start, end = quantity.span
        since = given[position - 1].span[1] if position else 0
        last = position + 1 == len(given)
        until = len(question) if last else given[position + 1].span[0]
        before = SENTENCE_END.split(question[since:start])[-1]
        if position:
            before = _CUT.split(before)[-1]
        sentences = SENTENCE_END.split(question[end:until])
        after = sentences[0]
        cuts = list(_CUT.finditer(after))
        if cuts and not last and len(sentences) == 1:
            after = after[:cuts[-1].start()]  # what follows belongs to the next quantity
        words = content_words(after)[:MOST_WORDS]
        around = frozenset(words) | frozenset(content_words(before)[-MOST_WORDS:])
        money = quantity.text[0] in "$€£" or bool(_MONEY.match(question, end))
        unit = words[0] if words and not _PER.match(after) else ""
        found.append(Wording(_role(quantity, question[end:end + 40]), money, around, unit,
                             bool(_AGAIN.search(before)), bool(_REST.match(question, end))))
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
