"""Text as tokens: numbers, operators, words; and the English words about numbers.

The tokens are for readers of equations in prose (see `spans`), the words also for readers of
questions (see `graph.quantities`).
"""
from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass

# A number and the operators of strict arithmetic, which `expression` reads.
NUMBER = r"(?:[0-9]{1,3}(?:,[0-9]{3})+(?![0-9])|[0-9]+)(?:\.[0-9]+)?|\.[0-9]+"
OPERATORS = {"+": "+", "-": "-", "−": "-", "*": "*", "×": "*", "·": "*", "⋅": "*",
             "/": "/", "÷": "/", "^": "^", "**": "^"}
MAX_DIGITS = 60  # of one number
SMALL = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen "
    "fifteen sixteen seventeen eighteen nineteen"
).split()
TENS = "twenty thirty forty fifty sixty seventy eighty ninety".split()
NUMBERS = {word: value for value, word in enumerate(SMALL)} | {
    word: 10 * value for value, word in enumerate(TENS, 2)}
SCALES = {"hundred": 100, "thousand": 1_000, "million": 1_000_000, "billion": 1_000_000_000,
          "dozen": 12, "dozens": 12}
MULTIPLES = (dict.fromkeys("twice double doubled doubles doubling".split(), 2)
             | dict.fromkeys("thrice triple tripled triples tripling".split(), 3)
             | dict.fromkeys("quadruple quadrupled quadruples".split(), 4))
# Fraction words by the number of parts that they make.
PARTS = {"half": 2, "halves": 2, "halved": 2, "quarter": 4, "quarters": 4} | {
    word + ending: value for ending in ("", "s") for value, word in enumerate(
        "third fourth fifth sixth seventh eighth ninth tenth".split(), 3)}
# Words that may stand between a share and what it is taken of: `20% of the 50`.
DETERMINERS = set("the his her their its my our those these all remaining".split())
# Words that no unit of measure holds; a unit ends before them.
CLAUSE_WORDS = set(
    "and so then because since but which that is are was were has have had if when while he she "
    "they it we I you or therefore thus leaving giving making where".split())


# Letters that Vietnamese has and other languages in Latin letters hardly have.
_LETTER = re.compile("[ăđơưĂĐƠƯ\u1ea0-\u1ef9]")
# A comma before one or two digits, or after a lone nought, is a decimal comma anywhere; that
# `1.500` is fifteen hundred and `1,500` one and a half is so in a Vietnamese text alone.
_COMMA = r"(?:0|[1-9][0-9]{0,2}(?:\.[0-9]{3})+|[0-9]+(?=,[0-9]{1,2}(?![0-9]))),[0-9]+"
_COMMA_NUMBER = re.compile(_COMMA)
_THOUSANDS_POINTS = re.compile(r"[1-9][0-9]{0,2}(?:\.[0-9]{3})+")
_BULLET = r"[ \t]*(?:[-+*•–][ \t]+)?"  # a list's dash is no minus
_TOKEN = re.compile(
    rf"""
    (?P<stop>\n{_BULLET}|\A{_BULLET}(?<=[ \t])|\\\\|\\[][()]|[<>!]=|=+>|->
        |\\(?:neq?|leq?|geq?|quad|qquad)(?![A-Za-z]))
    |(?P<clock>[0-9]+:[0-9]+)
    |(?P<number>[0-9]{{1,3}}(?:\{{,\}}[0-9]{{3}})+|(?:{_COMMA})(?![.,]?[0-9])
        |[1-9][0-9]{{0,2}}(?:\.[0-9]{{3}}){{2,}}(?![.,]?[0-9])|(?:{NUMBER})(?!,?[0-9]))
        (?P<dots>\.{{2,}}|…)?(?P<percent>\s?\\?%|\s(?:percent|per\scent|phần\străm)\b)?
    |(?P<malformed>[0-9][0-9,.]*)
    |(?P<equals>~?=+(?:\s?~)?|[≈≃≅]|\\(?:approx|simeq)(?![A-Za-z])
        |\bequals\b)
    |(?P<fraction>\\[dtc]?frac(?![A-Za-z]))
    |(?P<operator>(?<=[0-9]\s):(?=\s[0-9.,]+(?:\s:\s[0-9.,]+)*\s*(?:=|$|\n))|\*\*|//
        |[-+*/^−×·⋅÷∗∙–⁄]|\\(?:times|cdot|ast|div)(?![A-Za-z]))
    |(?P<skip>\\(?:left|right|big|Big|text|textbf|mathrm|mathbf|mbox|boxed|displaystyle)
        (?![A-Za-z])|\\[,;:!\ $]|[$€£¥₫¢&])
    |(?P<open>\\?[({{])|(?P<close>\\?[)}}])
    |(?P<word>(?:[^\W\d_][\u0300-\u036f]*)+(?:['’&][^\W\d_]+)*)
    |(?P<command>\\[A-Za-z]*)
    |(?P<other>\S)
    """,
    re.VERBOSE,
)
_SYMBOLS = OPERATORS | {
    ":": "/", "∗": "*", "∙": "*", "–": "-", "⁄": "/", "//": "/",
    "\\times": "*", "\\cdot": "*", "\\ast": "*", "\\div": "/"}
# Other characters end a clause (quotes, brackets, emoji), but mathematical ones and
# digits of other scripts mean something that is not understood here.
_UNKNOWN_CATEGORIES = {"Sm", "No", "Nd", "Nl", "Mn", "Me"}


@dataclass(slots=True)
class Token:
    """One token. kind: "number", "operator", "open", "close", "equals", "word" or
    "unknown"; text: as strict arithmetic where it has such a form; start, end: its place
    in the source; tight: no blank before it; rounded: a number with trailing dots, or an
    equals sign that means "about"."""

    kind: str
    text: str
    start: int
    end: int
    tight: bool = False
    rounded: bool = False


def clauses(text: str, vietnamese: bool = False) -> list[list[Token]]:
    """The tokens of a text, cut where prose ends a clause: at line ends and `. , ; : ?`.

    vietnamese: `1.500` is 1500 and `1,500` is 1.5, as Vietnamese writes them.
    """
    found, end = [[]], -1
    for match in _TOKEN.finditer(text):
        token = _token(match, found[-1], vietnamese)
        tight, end = match.start() == end, match.end()
        if token is not None and token.kind == "stop":
            found.append([])
        elif token is not None:
            token.tight = tight
            found[-1].append(token)
    return [_fractions(_plain(clause)) for clause in found if clause]


def _token(match, before, vietnamese):
    """The token of a match; kind "stop" ends the clause, None is left out."""
    kind, text, start, end = match.lastgroup, match.group(), match.start(), match.end()
    if match["number"]:
        number = match["number"].replace("{,}", ",")
        points = _THOUSANDS_POINTS.fullmatch(number)
        if points and (vietnamese or number.count(".") > 1):
            number = number.replace(".", "")
        elif _COMMA_NUMBER.fullmatch(number) or (vietnamese and number.count(",") == 1):
            number = number.replace(".", "").replace(",", ".")
        number += "%" if match["percent"] else ""
        return Token("number", number, start, end, rounded=bool(match["dots"]))
    if kind == "skip":
        return None
    if kind == "equals":
        return Token(kind, "=", start, end, rounded=text[0] in "≈≃≅\\" or "~" in text)
    if kind == "operator" and text != "**":
        text = _SYMBOLS[text]
    elif kind in ("open", "close"):
        text = "(" if kind == "open" else ")"
    elif kind == "other":
        factorial = (text == "!" and before and before[-1].end == start
                     and before[-1].kind in ("number", "close"))
        strange = (unicodedata.category(text) in _UNKNOWN_CATEGORIES and text not in "<>"
                   or text == "_")
        kind = "unknown" if factorial or strange else "stop"
    elif kind in ("clock", "malformed", "command") or (
            kind == "word" and any(map(str.isnumeric, text))):  # "²", "½"
        kind = "unknown"
    return Token(kind, text, start, end)


def _plain(clause):
    """Leave out Markdown's bold marks: `**` is a power only between two operands."""
    kept = []
    for place, token in enumerate(clause):
        if token.text == "**":
            power = kept and kept[-1].kind in ("number", "close") and any(
                after.kind in ("number", "open") or after.text == "-"
                for after in clause[place + 1:place + 2])
            if not power:
                continue
            token.text = "^"
        kept.append(token)
    return kept


def matching(tokens: list[Token]) -> dict[int, int]:
    """Place of each closing parenthesis by the place of its opening one."""
    pairs, waiting = {}, []
    for place, token in enumerate(tokens):
        if token.kind == "open":
            waiting.append(place)
        elif token.kind == "close" and waiting:
            pairs[waiting.pop()] = place
    return pairs


def _fractions(tokens):
    r"""Write \frac{a}{b} as ((a)/(b)); a \frac without two groups is unknown."""
    if not any(token.kind == "fraction" for token in tokens):
        return tokens
    pairs, added = matching(tokens), {}
    for place, token in enumerate(tokens):
        if token.kind != "fraction":
            continue
        middle = pairs.get(place + 1)
        last = pairs.get(middle + 1) if middle is not None else None
        if last is None:
            token.kind = "unknown"
            continue
        token.kind, token.text = "open", "("
        divide, close = tokens[middle].end, tokens[last].end
        added[middle] = [Token("operator", "/", divide, divide)]
        added[last] = [Token("close", ")", close, close, tight=True)]
    return [written for place, token in enumerate(tokens)
            for written in (token, *added.get(place, ()))]


def is_vietnamese(text: str) -> bool:
    """Whether a fifth of a text's words, and two at least, have letters of Vietnamese: one
    name does not make a question Vietnamese."""
    if not _LETTER.search(text):
        return False
    words = text.split()
    marked = sum(_LETTER.search(word) is not None for word in words)
    return marked >= 2 and 5 * marked >= len(words)
