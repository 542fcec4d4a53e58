"""How a question's own words become the lines of UNDERSTAND and PLAN.

Nothing here needs to be right for a trace to be right: the numbers are checked
elsewhere. So the rules are few, and where they do not fit, the question's words stay as
they are.
"""
from __future__ import annotations

import re

WORDS_AFTER, WORDS_BEFORE = 5, 3  # of context around a quantity
_STOPS = frozenset("and but then so while if which who when after before because or than "
                   "where although however since unless until".split())
_LOOSE = frozenset("a an the of to in on for at by with from his her their its my is are was "
                   "were has have had he she they it i as per that this be more".split())
_ASKING = re.compile(r"\b(how (?:many|much|old|long|far|tall|fast|often|big|heavy|high|wide|"
                     r"deep|large)|what|which|who|by how)\b", re.IGNORECASE)
_ORDER = re.compile(r"(?:^|,\s)(?:please\s+)?(?:find|calculate|determine|compute|express|give|work "
                    r"out)\s+(?:out\s+)?", re.IGNORECASE)
_SENTENCE_END = re.compile(r"(?<=[.?!])(?<!\b[A-Z]\.)(?<!Mr\.)(?<!Mrs\.)(?<!Dr\.)\s+")
_PRONOUNS = frozenset("he she it they we you i there".split())
_VERBS = frozenset("did does do is are was were will would can could should has have had "
                   "must might".split())
_DETERMINERS = frozenset("the a an his her their its my your our each every all both this "
                         "that these those one".split())
_IRREGULAR = """
be was become became begin began break broke bring brought build built buy bought
catch caught choose chose come came cost cost cut cut do did draw drew drink drank
drive drove eat ate fall fell feed fed find found fly flew get got give gave go went
grow grew have had hit hit hold held keep kept know knew lay laid leave left lend
lent let let lose lost make made mean meant meet met owe owed pay paid put put read
read ride rode run ran say said see saw sell sold send sent set set sew sewed sleep
slept speak spoke spend spent stand stood steal stole swim swam take took teach
taught tell told think thought throw threw wear wore win won write wrote
""".split()
_PAST = dict(zip(_IRREGULAR[::2], _IRREGULAR[1::2]))
_DOUBLED = frozenset("plan shop stop drop jog ship trap grab swap skip chop mop pop".split())


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
        after = _words(question[end:until], WORDS_AFTER)
        label = [question[start:end], *after]
        if not after:
            since = found[position - 1].span[1] if position else 0
            label = [*_words_before(question[since:start]), question[start:end]]
        labels.append(" ".join(" ".join(label).split()).replace(" -", "-"))
    return labels


def _words(text: str, limit: int) -> list[str]:
    """The first words of a text as far as a stop, loose ends trimmed."""
    clause = re.split(r"[,.;:?!()](?:\s|$)", text, maxsplit=1)[0]
    words = []
    for word in clause.split()[:limit]:
        if word.lower() in _STOPS or not re.search(r"\w", word):
            break
        words.append(word)
    while words and words[-1].lower().strip("$") in _LOOSE | {""}:
        words.pop()
    return words


def _words_before(text: str) -> list[str]:
    """The last words of a text back to a stop, loose ends trimmed."""
    clause = re.split(r"[,.;:?!()](?:\s|$)", text)[-1]
    words = []
    for word in reversed(clause.split()[-WORDS_BEFORE:]):
        if word.lower() in _STOPS:
            break
        words.insert(0, word)
    while words and (words[0].lower() in _LOOSE or words[0].startswith("-")):
        words.pop(0)
    return words


def asking_part(question: str) -> str:
    """What the question asks for: `how many clips Natalia sold in May`, one line."""
    sentences = [s for s in _SENTENCE_END.split(" ".join(question.split()))
                 if re.search(r"\w", s)] or [question.strip()]
    asked = next((s for s in reversed(sentences) if s.endswith("?")), sentences[-1])
    asked = asked.rstrip("?.! ")
    order = _ORDER.search(asked)
    if order:
        return asked[order.end():] or asked
    words = list(_ASKING.finditer(asked))
    if words:
        asked = asked[words[0].start():]
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
    verb = next((k for k, word in enumerate(words) if word.lower() in _VERBS), None)
    if verb is None or verb + 1 == len(words):
        return " ".join(words)
    first, auxiliary, subject = words[0], words[verb].lower(), words[verb + 1]
    rest = words[verb + 2:]
    if first == "what" and verb == 1 and auxiliary in ("is", "are", "was", "were"):
        return " ".join(words[2:])
    simple = subject.lower() in _PRONOUNS or (
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
    if subject.lower() in _DETERMINERS or subject[:1].isupper():
        return None
    return " ".join(words)


def _past(verb: str) -> str:
    if verb in _PAST:
        return _PAST[verb]
    if verb.endswith("e"):
        return verb + "d"
    if verb.endswith("y") and verb[-2:-1] not in "aeiou":
        return verb[:-1] + "ied"
    return verb + (verb[-1] if verb in _DOUBLED else "") + "ed"


def _third(verb: str) -> str:
    if verb in ("have", "be"):
        return {"have": "has", "be": "is"}[verb]
    if verb.endswith(("s", "sh", "ch", "x", "z", "o")):
        return verb + "es"
    if verb.endswith("y") and verb[-2:-1] not in "aeiou":
        return verb[:-1] + "ies"
    return verb + "s"
