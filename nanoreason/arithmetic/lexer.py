"""Text as tokens: numbers, operators, words; and the words about numbers.

The tokens are for readers of equations in prose (see `spans`), the words also for readers of
questions (see `graph.quantities`).
"""
from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass

from nanoreason.paths import asset_table

# A number and the operators of strict arithmetic, which `expression` reads.
NUMBER = r"(?:[0-9]{1,3}(?:,[0-9]{3})+(?![0-9])|[0-9]+)(?:\.[0-9]+)?|\.[0-9]+"
OPERATORS = {"+": "+", "-": "-", "−": "-", "*": "*", "×": "*", "·": "*", "⋅": "*",
             "/": "/", "÷": "/", "^": "^", "**": "^"}
MAX_DIGITS = 60  # of one number
CURRENCY = r"(?:(?:US|NZ|HK|[ACRS])?\$|\b(?:USD|EUR|GBP|VND|Rs\.?)(?=\s?[0-9])|[€£¥₫¢₹₺₣₩₽฿₱₦₪])"
WORDS = asset_table("number_words.yaml")  # what each list is for stands there
SMALL, TENS, SCALES, MULTIPLES, PARTS = (
    WORDS[name] for name in ("small", "tens", "scales", "multiples", "parts"))
NUMBERS = {word: value for value, word in enumerate(SMALL)} | {
    word: 10 * value for value, word in enumerate(TENS, 2)}
DETERMINERS, CLAUSE_WORDS = (set(WORDS[name].split()) for name in ("determiners", "clause_words"))
UNITS = {name: (kind, amount) for kind, table in WORDS["units"].items()
         for amount, names in table.items() for name in names.split()}


# A comma before one or two digits, or after a lone nought, is a decimal comma anywhere; that
# `1.500` is fifteen hundred and `1,500` one and a half is so in a Vietnamese text alone.
_MARK = r"(?:,|\{,\})"  # as LaTeX writes it
_COMMA = (rf"(?:0|[1-9][0-9]{{0,2}}(?:\.[0-9]{{3}})+|[0-9]+(?={_MARK}[0-9]{{1,2}}(?![0-9])))"
          rf"{_MARK}[0-9]+")
_COMMA_NUMBER = re.compile(_COMMA)
_HOURS = re.compile("0[0-9][0-5][0-9]")  # `0730` may be a time; `06` is a number, badly written
_COMMAND = re.compile(r"\\[A-Za-z]")
_GROUPS = re.compile("\\{,(?:\\\\!)?\\}|,?\\\\[!,]|['’\u2009\u202f]")  # thousands, beside `,`
_THOUSANDS_POINTS = re.compile(r"[1-9][0-9]{0,2}(?:\.[0-9]{3})+")
_BULLET = r"[ \t]*(?:[-+*•–][ \t]+)?"  # a list's dash is no minus
_FIRST = re.compile(_BULLET)  # before a text
_TEXT = r"\\(?:text(?:bf|rm|it)?|mathrm|mbox|hbox)(?![A-Za-z])"
# What is commonest comes first, and one blank before it is passed over: both for speed alone.
# Markdown's bold marks are skipped: `**` is a power only between two operands.
_TOKEN = re.compile(
    rf"""[ ]?+(?:
    (?P<currency>(?:{CURRENCY}|\\\$)\s?(?=[0-9.]))
    |(?P<word>¢|(?!equals\b)(?:[^\W\d_]++[\u0300-\u036f]*+)++(?:['’&][^\W\d_]+)*)
    |(?=[0-9.\\])(?P<unread>[0-9]+:[0-9]+|[0-9]{{1,9}}(?:\.[0-9]{{0,9}})?[eE][-+]?[0-9]+(?![A-Za-z])
        |(?:[0-9.]{{1,19}}\s?)?\\(?:overline|bar|dot)(?![A-Za-z])
        |[0-9]{{1,9}}[.,][0-9]{{0,9}}\([0-9]{{1,9}}\)
        |[0-9]{{1,9}}(?:[.,]\{{(?!,)|\.[a-z]+\\[lc]?dots(?![A-Za-z]))
        |\\sqrt(?:\[[^][\n]*\])?(?![A-Za-z])
        |(?:(?<=[-+*])|(?<=[-+*]\s))\.{{3}})
    |(?=[0-9.])(?P<number>(?P<digits>
            [0-9]{{1,3}}(?:(?:,|{_GROUPS.pattern})[0-9]{{3}})+(?!,?[0-9])(?:\.[0-9]+)?
            |(?:{_COMMA})(?![.,]?[0-9])
            |[1-9][0-9]{{0,2}}(?:\.[0-9]{{3}}){{2,}}(?![.,]?[0-9])|(?:{NUMBER})(?!,?[0-9]|\.[0-9]))
        (?P<dots>\.{{2,}}|…|\\[lc]?dots(?![A-Za-z]))?
        (?P<percent>\s?\\?%|\s(?:percent|per\scent|phần\străm)\b)?)
    |(?P<malformed>[0-9][0-9,.]*)
    |(?P<stop>\n(?![ \t]*=(?![=>])){_BULLET}
        |\\\\(?![\s&]*(?:\\q?quad\s*)*[+=]|\s*&\s*(?:\\q?quad\s*)*-)|\\[][()]|[<>!]=|=+>|->|[→⇒⟹⇔∴∵]
        |\\(?:begin|end)\{{(?:align(?:ed|at)?|gather(?:ed)?|split|eqnarray|equation)\*?\}}
        |\\(?:neq?|leq?|geq?|q?quad(?!\s*\+)|implies|iff|therefore|to
            |(?:[Ll]ong)?(?:[Ll]eft)?[Rr]ightarrow|Leftarrow)(?![A-Za-z]))
    |(?P<equals>~?=+(?:\s?~)?|[≈≃≅]|\\(?:approx|simeq)(?![A-Za-z])
        |\bequals\b)
    |(?P<fraction>\\[dtc]?frac(?![A-Za-z]))
    |(?P<prose>{_TEXT})
    |(?P<skip>\\(?:left|right|q?quad|[bB]igg?[lr]?|boxed|fbox|displaystyle)(?![A-Za-z])
        |\\\\[\s&]*(?:\\q?quad\s*)*|\\[,;:!\ $]|\$\$|[$€£¥₫&]
        |\*\*(?:(?!\s*\[?[-−({{0-9])|(?<![0-9)\]}}%]\*\*)(?<![0-9)\]}}%]\s\*\*))
        |(?<=[0-9)}}])(?:\^\s?(?:\{{\s?\\circ\s?\}}|\\circ(?![A-Za-z]))|°))
    |(?P<operator>(?<=[0-9)]\s):(?=\s[(0-9][-+*/×÷·x%().,:0-9\s]{{0,60}}(?:=|$|\n))|\*\*|//
        |[-+*/^−×·⋅÷∗∙–⁄—‒―‐‑﹣－•✕✖⨯＊]|\\(?:times|cdot|ast|div)(?![A-Za-z]))
    |(?P<note>\[[^\W\d_]+(?:\ [^\W\d_]+)*\])
    |(?P<open>\\?[({{]|\[)|(?P<close>\\?[)}}]|\])
    |(?P<command>\\[A-Za-z]*)
    |(?P<other>\S))
    """,
    re.VERBOSE,
)
_SYMBOLS = OPERATORS | dict.fromkeys("–—‒―‐‑﹣－", "-") | dict.fromkeys("∗∙•✕✖⨯＊", "*") | {
    ":": "/", "⁄": "/", "//": "/", "\\times": "*", "\\cdot": "*", "\\ast": "*", "\\div": "/"}
# Signs that are often something else: a dash, a bullet, a quotient without its remainder.
_DOUBTFUL = set("—―•") | {"//", "\\ast"}
_FORMULA = {"\\[", "\\]", "\\(", "\\)", "\\b", "\\e"}  # what begins or ends one
_SILENT = {"skip", "currency", "prose"}  # kinds of match that are no token
# What goes on with a computation that words have interrupted.
_GOES_ON = re.compile(r"\s*(?:[=+*/×]|-\s|\\(?:times|cdot|div|approx|ast)(?![A-Za-z]))")
# Other characters end a clause (quotes, brackets, emoji), but mathematical ones and
# digits of other scripts mean something that is not understood here.
_UNKNOWN_CATEGORIES = {"Sm", "No", "Nd", "Nl", "Mn", "Me"}


@dataclass(slots=True)
class Token:
    """One token. kind: "number", "operator", "open", "close", "equals", "word" or
    "unknown"; text: as strict arithmetic where it has such a form; start, end: its place
    in the source; tight: no blank before it; rounded: a number with trailing dots, or an
    equals sign that means "about"; doubtful: it may mean something else (a bullet for a
    product, `2^10` in LaTeX); math: it stands in a formula, where a word is letters that
    are multiplied; unit: "$" of a number after a currency sign, else ""."""

    kind: str
    text: str
    start: int
    end: int
    tight: bool = False
    rounded: bool = False
    doubtful: bool = False
    math: bool = False
    unit: str = ""


def clauses(text: str, vietnamese: bool = False, with_equals: bool = False) -> list[list[Token]]:
    """The tokens of a text, cut where prose ends a clause: at line ends and `. , ; : ?`.

    vietnamese: `1.500` is 1500 and `1,500` is 1.5, as Vietnamese writes them; with_equals:
    only the clauses that have an equals sign.
    """
    latex = _COMMAND.search(text) is not None
    return [_fractions(_tokens(clause, vietnamese, latex)) for clause in _cut(text, latex)
            if any(part[1] == "equals" or not with_equals for part in clause)]


def _cut(text, latex):
    """What the tokens of each clause are made of, most of which have no equals sign: (match, its
    kind, tight, math, unit)."""
    dollars = text.count("$") - text.count("\\$") if latex else 0
    dollars = dollars > 0 and dollars % 2 == 0  # they begin and end formulas
    begin = _FIRST.match(text).end()
    clause, end, math, prose, unit, display = [], begin or -1, latex and not dollars, 0, "", False
    for match in _TOKEN.finditer(text, begin):
        kind = match.lastgroup
        start = match.start(kind)
        tight, end = start == end, match.end()
        if kind in _SILENT:
            delimits = dollars and text[start] == "$"
            math ^= delimits
            if delimits and math and clause and clause[-1][1] == "word" and (
                    not _GOES_ON.match(text, end)):
                yield clause
                clause = []
            prose = 1 if kind == "prose" else prose  # its group holds words, no letters
            unit = "$" if kind == "currency" and not delimits else unit
            end = end if tight else -1  # "- $71" has a blank between
        elif kind == "stop" or kind == "note" and not latex or (
                kind == "other" and _stops(match, clause, latex)):
            # `5 - 5 = 2[EXECUTE]` ends there; in LaTeX it may be the area of `[ABC]`.
            # A formula goes on in the next line; `20\text{ mi.}` goes on, too.
            mark = text[start:end].strip()
            if text[start] == "\n" and (display or dollars and math):
                if mark:  # no bullet there
                    clause.append((match, kind, False, False, ""))
            elif not prose:
                yield clause
                clause = []
                if mark[:2] in _FORMULA:
                    display = mark[1] in "[(b"
                    math = display if dollars else math
        else:
            if prose and kind in ("open", "close"):
                prose += 1 if kind == "open" else -1
                prose = 0 if prose < 2 else prose
            # `\binom{5}{2}` is no product, `(5)(2)` is one.
            tight = tight and not (kind == "open" and (prose or text[start] == "{"))
            clause.append((match, kind, tight, math and not prose, unit))
            unit = ""
    yield clause


def _stops(match, before, latex):
    """Whether a character without a meaning of its own ends a clause; one that does not is
    unknown. before: what the clause's tokens so far are made of."""
    text = match["other"]
    last, kind = before[-1][:2] if before else (None, "")
    factorial = text == "!" and kind in ("number", "close") and (
        latex or last.end() == match.start("other"))
    return not (factorial or unicodedata.category(text) in _UNKNOWN_CATEGORIES and text not in "<>"
                or text == "_" or latex and text in "|#@" or text == "%" and kind == "close")


def _tokens(parts, vietnamese, latex):
    """The tokens of a clause, from what `_cut` says of each."""
    tokens = []
    for match, kind, tight, math, unit in parts:
        text, (start, end) = match[kind], match.span(kind)
        last, rounded, doubtful = tokens[-1] if tokens else None, False, False
        if kind == "word":
            if not text.isalpha() and text.rstrip("²³") not in UNITS and any(
                    map(str.isnumeric, text)):  # "½", not "cm²"
                kind = "unknown"
        elif kind == "number":
            rounded, text = bool(match["dots"]), match["digits"]
            if not text.isdigit():
                text, doubtful = _in_digits(text, vietnamese)
                doubtful = doubtful and (latex or (last is not None and last.kind == "open"))
            doubtful |= _HOURS.fullmatch(text) is not None
            if latex and last and last.text == "^" and last.end == start and len(text) > 1:
                doubtful = True  # LaTeX raises the first digit alone
            text += "%" if match["percent"] else ""
        elif kind == "equals":
            rounded, text = text[0] in "≈≃≅\\" or "~" in text, "="
        elif kind == "operator":
            doubtful = text in _DOUBTFUL or (latex and text == "*")
            text = _SYMBOLS[text]
        elif kind in ("open", "close"):
            doubtful = text in "[]"  # `[7/2]` may be the whole part
            text = "(" if kind == "open" else ")"
            if kind == "close" and last and "," in match.string[last.start:last.end]:
                last.doubtful |= "," not in last.text or any(
                    token.kind == "open" for token in tokens[-2:-1])
        elif kind == "stop":  # the dash of a line in a formula
            kind, text, start, end = "operator", _SYMBOLS[text.strip()], end - 2, end - 1
        elif kind != "fraction":
            kind = "unknown"
        tokens.append(Token(kind, text, start, end, tight, rounded, doubtful, math, unit))
    return tokens


def _in_digits(written, vietnamese):
    """A number with a decimal point and commas of thousands, and whether it is doubtful: a
    point `(2,3)` or a list, unless the text is Vietnamese."""
    written = _GROUPS.sub(",", written)
    if (vietnamese or written.count(".") > 1) and _THOUSANDS_POINTS.fullmatch(written):
        return written.replace(".", ""), False
    if _COMMA_NUMBER.fullmatch(written) or (vietnamese and written.count(",") == 1):
        return written.replace(".", "").replace(",", "."), not vietnamese
    return written, False


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
        after = tokens[place + 1] if place + 1 < len(tokens) else token
        if len(after.text) == 2 and after.tight and after.text.isdigit():  # `\\frac12`
            token.kind, token.text = "number", "({}/{})".format(*after.text)
            token.end, after.kind = after.end, "read"
            continue
        middle = pairs.get(place + 1)
        last = pairs.get(middle + 1) if middle is not None else None
        if last is None:
            token.kind = "unknown"
            continue
        token.kind, token.text = "open", "("
        token.tight |= place > 0 and tokens[place - 1].kind == "number"  # `7 \\frac{1}{4}`
        divide, close = tokens[middle].end, tokens[last].end
        added[middle] = [Token("operator", "/", divide, divide)]
        added[last] = [Token("close", ")", close, close, tight=True)]
    return [written for place, token in enumerate(tokens)
            for written in (token, *added.get(place, ())) if token.kind != "read"]
