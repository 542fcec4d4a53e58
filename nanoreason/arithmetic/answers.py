"""Is an answer right: numbers as fractions, options as letters, formulas by math-verify.

Two readings of a text stand side by side. The strict one takes what the trace states after
`Answer:`; the lenient one (`last_answer`) looks for the last thing in the text that could
be an answer to this question. Both are then graded in the same way. What is not compared
because it is too long, too large or too slow is wrong, and says so (`Grade.refused`).

Left out on purpose: rounding, units and number words. An answer states its value.
"""
from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction

from nanoreason.arithmetic.expression import value_or_none
from nanoreason.arithmetic.symbolic import compare_formulas

MAX_DIGITS = 60  # a longer number is no quantity of a problem
_DIGITS = r"[0-9]+(?:,[0-9]{3})*(?:\.[0-9]+)?|\.[0-9]+"
NUMBER = re.compile(_DIGITS)
# The sign counts where no operand stands before it: `= -3`, but not `5 -3`.
_SIGN = r"(?:(?<![0-9)%])(?<![0-9)%]\s)-)?"
_WRITTEN = re.compile(rf"{_SIGN}[$€£]?(?:{_DIGITS})(?:\s?/\s?[0-9]+)?\s?%?")
_ANSWER = re.compile(rf"[-+]?\s*(?:{_DIGITS})(?:\s*/\s*[0-9]+)?\s*%?")
_OPTION = re.compile(r"[A-D]")  # of a multiple-choice question
# `B`, `(b)`, `B.` and `B. 12` name an option; `Because` and `A and B` do not.
_NAMED = re.compile(r"\(?\s*([A-D])\s*(?:\)?\s*|\)?\s*[.:].*|\)\s.*)", re.IGNORECASE | re.DOTALL)
_LETTER = re.compile(r"(?<!\w)[A-D](?!\w)")
_BOXES = re.compile(r"(?P<box>\\(?:boxed|fbox)(?![A-Za-z]))\s*(?P<brace>\{?)|\\.|[{}]", re.DOTALL)
_BARE_END = re.compile(r"\$|\\\]|\\\)|\n")
_DOLLARS = re.compile(r"\$([^$\n]{1,200})\$")
_FORMULA = re.compile(r"[\\^=(\[{]")


@dataclass(frozen=True)
class Grade:
    """right: whether an answer equals the gold one. refused: why the two could not be
    compared (`symbolic.REFUSED`, `symbolic.LATE`), None if they were."""

    right: bool
    refused: str | None = None


def read_answer(text: str | None) -> Fraction | None:
    """The number that an answer states, exactly; None if it states none.

    `$1,000`, `3/4`, `12.50` and `20%` (one fifth) are numbers; sums are not answers.
    """
    if text is None:
        return None
    bare = re.sub(r"[$€£]", "", str(text)).strip().rstrip(".").rstrip()
    return value_or_none(bare.replace(",", "")) if _ANSWER.fullmatch(bare) else None


def same_answer(text: str | None, gold: str) -> bool:
    """Whether an answer equals the gold one, see `grade`."""
    return grade(text, gold).right


def grade(text: str | None, gold: str) -> Grade:
    """An answer against the gold one: as fractions, as options, as text, else as formulas.

    Where the gold answer is a letter from A to D, `B`, `(b)` and `B. 12` name option B.
    Formulas are compared by math-verify (see `symbolic`). 50 is not 50 %, 1.000 is one.
    """
    value, expected = read_answer(text), read_answer(gold)
    if text is None or (value is not None and expected is not None):
        return Grade(value is not None and value == expected)
    bare, bare_gold = ("".join(t.split()).strip("$.") for t in (text, gold))
    if bare.lower() == bare_gold.lower():
        return Grade(bool(bare))
    if _OPTION.fullmatch(bare_gold.upper()):
        named = _NAMED.fullmatch(text.strip())
        return Grade(named is not None and named[1].upper() == bare_gold.upper())
    if not any(_FORMULA.search(t) for t in (bare, bare_gold)) or "%" in bare + bare_gold:
        return Grade(False)
    found = compare_formulas(bare, bare_gold)
    return Grade(found is True, None if isinstance(found, bool) else found)


def last_number(text: str) -> str | None:
    """The last number of a text as it is written, None if there is none."""
    return (_WRITTEN.findall(text) or [None])[-1]


def last_answer(text: str, gold: str) -> str | None:
    """The last thing in a text that could answer a question with this kind of answer.

    A gold letter from A to D asks for the last such letter that stands alone, a number for
    the last number; anything else for the last box, else what stands last between
    dollar signs, else the last number. None if there is none.
    """
    if _OPTION.fullmatch(gold.strip().upper()):
        return (_LETTER.findall(text) or [None])[-1]
    if read_answer(gold) is not None:
        return last_number(text)
    return boxed_answer(text) or (_DOLLARS.findall(text) or [None])[-1] or last_number(text)


def boxed_answer(text: str) -> str | None:
    """What stands in a text's last `\\boxed{…}` or `\\fbox{…}`; None without one that closes.

    Braces nest, `\\{` and `\\}` are no braces, and a box without braces (`\\boxed 2`) ends
    with its formula. An empty box gives "".
    """
    boxes = []  # (place, content), as they close: an outer one later than those inside
    opened = []  # for each open brace, its place and its box's, or None
    for token in _BOXES.finditer(text):
        box = token["box"]
        if box is not None and token["brace"]:
            opened.append((token.end(), token.start()))
        elif box is not None:
            bare = _BARE_END.split(text[token.end():token.end() + 500], maxsplit=1)[0]
            boxes.append((token.start(), bare.strip().rstrip(".").strip()))
        elif token[0] == "{":
            opened.append((token.end(), None))
        elif token[0] == "}" and opened:
            begin, box = opened.pop()
            if box is not None:
                boxes.append((box, text[begin:token.start()].strip()))
    return max(boxes)[1] if boxes else None


def numbers_in(text: str) -> set[Fraction]:
    """The values of all numbers in a text that have at most MAX_DIGITS characters."""
    return {Fraction(found.replace(",", "")) for found in NUMBER.findall(text)
            if len(found) <= MAX_DIGITS}
