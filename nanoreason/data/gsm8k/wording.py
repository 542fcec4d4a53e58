"""How a question's own words become the lines of UNDERSTAND and PLAN.

Nothing here needs to be right for a trace to be right: the numbers are checked
elsewhere. So the rules are few, and where they do not fit, the question's words stay as
they are.
"""
from __future__ import annotations

import re

from nanoreason.paths import asset_table

WORDS_AFTER, WORDS_BEFORE = 5, 3  # of context around a quantity
_ASKING = re.compile(r"\b(how (?:many|much|old|long|far|tall|fast|often|big|heavy|high|wide|"
                     r"deep|large)|what|which|who|by how)\b", re.IGNORECASE)
_ORDER = re.compile(r"(?:^|,\s)(?:please\s+)?(?:find|calculate|determine|compute|express|give|work "
                    r"out)\s+(?:out\s+)?", re.IGNORECASE)
_SENTENCE_END = re.compile(r"(?<=[.?!])(?<!\b[A-Z]\.)(?<!Mr\.)(?<!Mrs\.)(?<!Dr\.)\s+")
_CONSONANT_Y = re.compile(r"(?<=[^aeiou])y$")
_TABLE = asset_table("gsm8k_words.yaml")
_PAST = _TABLE.pop("past")
_WORDS = {name: frozenset(words.split()) for name, words in _TABLE.items()}


def given_labels(question: str, found) -> list[str]:
    """A few words around each quantity, in order; `found`: `quantities(question)`.

    The words that follow it, up to the next quantity, a stop or `WORDS_AFTER`; where
    nothing follows, the `WORDS_BEFORE` in front of it.
    """
    labels = []
    for position, quantity in enumerate(found):
        start, end = quantity.span
        start -= start > 0 and question[start - 1] in "$€£"
        end += question[end:end + 1] == "%"
        until = found[position + 1].span[0] if position + 1 < len(found) else len(question)
        label = [question[start:end], *_words(question[end:until], WORDS_AFTER)]
        if len(label) == 1:
            since = found[position - 1].span[1] if position else 0
            label = [*_words(question[since:start], WORDS_BEFORE, back=True), *label]
        labels.append(" ".join(" ".join(label).split()).replace(" -", "-"))
    return labels


def _words(text: str, limit: int, back: bool = False) -> list[str]:
    """The first words of a text as far as a stop (back: the last ones), loose ends trimmed."""
    clauses = re.split(r"[,.;:?!()](?:\s|$)", text)
    words = []
    for word in (clauses[-1].split()[::-1] if back else clauses[0].split())[:limit]:
        if word.lower() in _WORDS["stops"] or not back and not re.search(r"\w", word):
            break
        words.append(word)
    while words and (words[-1].lower().strip("$") in _WORDS["loose"] | {""}
                     or back and words[-1].startswith("-")):
        words.pop()
    return words[::-1] if back else words


def asking_part(question: str) -> str:
    """What the question asks for: `how many clips Natalia sold in May`, one line."""
    sentences = [s for s in _SENTENCE_END.split(" ".join(question.split()))
                 if re.search(r"\w", s)] or [question.strip()]
    asked = next((s for s in reversed(sentences) if s.endswith("?")), sentences[-1]).rstrip("?.! ")
    if order := _ORDER.search(asked):
        return asked[order.end():] or asked
    if start := _ASKING.search(asked):
        asked = asked[start.start():]
    return statement(asked) or asked[0].lower() + asked[1:]


def imperative(question: str) -> str | None:
    """`How many clips did she sell?` as `Find how many clips she sold.`

    A question whose word order the rules cannot change stays one: `Find out: how much did
    the clown earn?` None for a text that asks nothing.
    """
    text = " ".join(question.split()).rstrip("?.! ")
    start = _ASKING.search(text)
    if start is None:
        return None
    text = text[start.start():]
    told = statement(text)
    return f"Find {told}." if told else f"Find out: {text[0].lower()}{text[1:]}?"


def statement(asked: str) -> str | None:
    """A question (without its mark) in the word order of a statement, or None."""
    words = asked.split()
    words[0] = words[0].lower()
    verb = next((k for k, word in enumerate(words) if word.lower() in _WORDS["verbs"]), None)
    if verb is None or verb + 1 == len(words):
        return " ".join(words)
    first, auxiliary, subject = words[0], words[verb].lower(), words[verb + 1]
    rest = words[verb + 2:]
    if first == "what" and verb == 1 and auxiliary in ("is", "are", "was", "were"):
        return " ".join(words[2:])
    simple = subject.lower() in _WORDS["pronouns"] or (
        re.fullmatch(r"[A-Z][a-z]+", subject) and not (rest and rest[0] in ("and", "or"))
        and not (rest and rest[0][:1].isupper()))
    before = words[:verb]
    if auxiliary in ("did", "does", "do"):
        if not simple or not rest or not re.fullmatch(r"[a-z]+", rest[0]):
            return None
        change = {"did": _past, "does": _third}.get(auxiliary, str)
        return " ".join([*before, subject, change(rest[0]), *rest[1:]])
    if simple:
        return " ".join([*before, subject, words[verb], *rest])
    if subject.lower() in _WORDS["determiners"] or subject[:1].isupper():
        return None
    return " ".join(words)


def _past(verb: str) -> str:
    doubled = verb in _WORDS["doubled"]
    stem = verb + verb[-1] if doubled else _CONSONANT_Y.sub("i", verb).removesuffix("e")
    return _PAST.get(verb, f"{stem}ed")


def _third(verb: str) -> str:
    ending = "es" if verb.endswith(("s", "sh", "ch", "x", "z", "o")) else "s"
    return {"have": "has", "be": "is"}.get(verb, _CONSONANT_Y.sub("ie", verb) + ending)
