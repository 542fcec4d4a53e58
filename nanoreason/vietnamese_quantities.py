"""The quantities of a Vietnamese question: decimal comma, thousands point, words for parts.

Read are digits (`2.500`, `2,5`), per cent, shares (`3/4`), `nghìn`, `triệu` and `tỉ` after
a number, `tá` (a dozen), parts in words (`một nửa`, `hai phần ba`) and multiples (`gấp đôi`,
`gấp ba`). Number words alone are not: `một người bạn` is a friend, `năm` a year, `ba` a
father as often as they are 1, 5 and 3.
"""
from __future__ import annotations

import re
from collections.abc import Iterator
from fractions import Fraction

from nanoreason.expression import MAX_DIGITS

# Letters that Vietnamese has and other languages in Latin letters hardly have.
_LETTER = re.compile("[ăđơưĂĐƠƯ\u1ea0-\u1ef9]")
_SHARE_OF_WORDS = 0.2
_DIGITS = {"một": 1, "hai": 2, "ba": 3, "bốn": 4, "tư": 4, "năm": 5, "sáu": 6, "bảy": 7,
           "tám": 8, "chín": 9, "mười": 10}
_TIMES = {"đôi": 2} | {word: n for word, n in _DIGITS.items() if n > 2}
_SCALES = {"nghìn": 10**3, "ngàn": 10**3, "triệu": 10**6, "tỉ": 10**9, "tỷ": 10**9, "tá": 12}
_WORD = "|".join(_DIGITS)
_QUANTITY = re.compile(
    rf"(?<![\w.,/])(?P<top>[0-9]+)\s?/\s?(?P<bottom>[0-9]+)(?![0-9/])"
    rf"|(?<![\w.,/])(?P<number>[0-9]{{1,3}}(?:\.[0-9]{{3}})+(?:,[0-9]+)?|[0-9]+(?:,[0-9]+)?)"
    rf"(?:(?P<percent>\s?%|\sphần\străm\b)|\s(?P<scale>{'|'.join(_SCALES)})\b)?"
    rf"|\b(?:một\s)?(?P<half>nửa)\b"
    rf"|\b(?P<count>{_WORD})\sphần\s(?P<part>{_WORD})\b"
    rf"|\bgấp\s(?P<times>{'|'.join(_TIMES)})\b", re.IGNORECASE)


def is_vietnamese(text: str) -> bool:
    """Whether a fifth of a text's words, and two at least, have letters of Vietnamese: one
    name does not make a question Vietnamese."""
    if not _LETTER.search(text):
        return False
    words = text.split()
    marked = sum(_LETTER.search(word) is not None for word in words)
    return marked >= 2 and marked >= _SHARE_OF_WORDS * len(words)


def read_vietnamese(question: str) -> Iterator[tuple[tuple[Fraction, ...], tuple[int, int]]]:
    """(values, as written first; span) of each quantity, in order of position."""
    for found in _QUANTITY.finditer(question):
        digits = found["number"] or (found["top"] or "") + (found["bottom"] or "")
        if len(digits) > MAX_DIGITS or found["bottom"] and not int(found["bottom"]):
            continue
        yield tuple(dict.fromkeys(map(Fraction, _values(found)))), found.span()


def _values(found: re.Match) -> tuple:
    if found["number"]:
        value = Fraction(found["number"].replace(".", "").replace(",", "."))
        if found["percent"]:
            return value / 100, value
        return (value, value * _SCALES[found["scale"].lower()]) if found["scale"] else (value,)
    if found["half"]:
        return Fraction(1, 2), 2
    if found["times"]:
        return (_TIMES[found["times"].lower()],)
    top, bottom = (int(found["top"]), int(found["bottom"])) if found["top"] else (
        _DIGITS[found["count"].lower()], _DIGITS[found["part"].lower()])
    return (Fraction(top, bottom), bottom, top) if top > 1 else (Fraction(top, bottom), bottom)
