"""The quantities of a question: which numbers it gives, in what order.

Provenance asks of every operand whether the question gave it, so a quantity is a place in
the question together with every value that a solution may use for it: `20%` is 1/5 or 20,
`half` is 1/2 or (divide by) 2,
`2/3` is 2/3 or (divide by 3, take 2), `50 cents` is 50 or 1/2 a dollar, `2 dozen` is 24 or 2.
The value as written comes first, and no two places are merged.

In English are read: digits (thousands commas, decimals, money, `3/4`, `2 1/2`), number words
to the millions, dozens, per cent, fractions in words, twice, double, triple and thrice. In
Vietnamese: digits (`2.500`, `2,5`), per cent, shares, `nghìn`, `triệu` and `tỉ` after a
number, `tá` (a dozen), parts in words (`một nửa`, `hai phần ba`) and multiples (`gấp đôi`);
number words alone are not, since `năm` is a year and `ba` a father as often as 5 and 3.
Signs are not read: `-5` is the quantity 5.

Not quantities: ordinals (`third day`, `21st`), a year's quarter (`the first quarter`),
vague plurals (`dozens of`), and numbers inside names (`mp3`). `one` counts unless it
stands for a thing (`the red one`, `which one`, `one another`, `one of them`).
"""
from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache

from nanoreason.arithmetic.expression import is_vietnamese
from nanoreason.arithmetic.lexer import (CURRENCY, MAX_DIGITS, MULTIPLES, NUMBER, NUMBERS, PARTS,
                                         SCALES, SMALL, TENS, WORDS)

_ORDINALS, _ARTICLES, _AFTER_PART, _BEFORE_THING = (set(WORDS[name].split()) for name in (
    "ordinals", "articles", "after_part", "before_thing"))


def _any(words):
    return "(?:" + "|".join(sorted(words, key=len, reverse=True)) + ")"


# "twenty five-dollar bills" are twenty, "twenty-five dollars" are not.
_BELOW = rf"(?:{_any(TENS)}(?:-{_any(SMALL[1:10])}|\s{_any(SMALL[1:10])}(?!-))?|{_any(SMALL)})\b"
_HUNDREDS = rf"(?:(?:a|{_BELOW})[\s-]hundred\b(?:\s(?:and\s)?{_BELOW})?|{_BELOW})"
_SHARE = r"(?<![0-9/.,])[0-9]+\s?/\s?[0-9]+(?![0-9]|/[0-9])"
_START = re.compile(
    rf"(?P<ordinal>(?<!\w)[0-9]+(?:st|nd|rd|th)\b"
    rf"|\b{_any(TENS)}-(?:first|{_any(PARTS)}\b))"
    rf"|(?P<share>{_SHARE})(?:(?:th|rd|nd)s?\b)?"
    rf"|(?:{CURRENCY}\s?)?(?<!\w)(?P<digits>{NUMBER})"
    rf"|\b(?P<words>{_HUNDREDS}|an?(?=\s{_any(SCALES)}\b)|(?=(?:{_any(SCALES)}(?<!s))\b))"
    rf"|\b(?P<multiple>{_any(MULTIPLES)})\b"
    rf"|\b(?P<part>{_any(PARTS)})\b(?P<dozen>(?:\s(?:a|of))?[\s-]dozen\b)?",
    re.IGNORECASE,
)
# Cheap to find; only there is the long pattern above tried.
_CANDIDATE = re.compile(rf"{CURRENCY}\s?\.?[0-9]|\.?[0-9]|(?P<word>[^\W\d_]\w*)")
_STARTERS = {"a", "an", *NUMBERS, *SCALES, *MULTIPLES, *PARTS}
_SCALE = re.compile(rf"[\s-]?({_any(SCALES)})\b", re.IGNORECASE)
_MORE = re.compile(rf"\s(?:and\s)?({_HUNDREDS})", re.IGNORECASE)
_MIXED = re.compile(
    rf"(?:\sand\s(?:an?|one)[\s-](?P<part>{_any(PARTS)})\b|(?:\sand\s|[\s-])(?P<share>{_SHARE}))"
    r"(?!\s(?:of|as)\b)",
    re.IGNORECASE,
)
_PERCENT = re.compile(r"\s?%|[\s-]per\s?cent\b", re.IGNORECASE)
_PART = re.compile(rf"(?P<gap>[\s-])(?P<part>{_any(PARTS)})\b(?P<of>\sof\b)?", re.IGNORECASE)
_CENTS = re.compile(r"[\s-]?(?:cents?\b|¢)", re.IGNORECASE)
_THOUSANDS = re.compile(r"k\b", re.IGNORECASE)
_WORD_BEFORE = re.compile(r"([^\W\d_]+)[\s-]*$")
_WORD_AFTER = re.compile(r"[\s-]*([^\W\d_]+)")
_WINDOW = 24  # characters looked at for the word before or after
# The same for Vietnamese.
_DIGITS, _TIMES, _SCALES = (WORDS["vietnamese"][name] for name in ("digits", "times", "scales"))
_WORD = "|".join(_DIGITS)
_QUANTITY = re.compile(
    rf"(?<![\w.,/])(?P<top>[0-9]+)\s?/\s?(?P<bottom>[0-9]+)(?![0-9/])"
    rf"|(?<![\w.,/])(?P<number>[0-9]{{1,3}}(?:\.[0-9]{{3}})+(?:,[0-9]+)?|[0-9]+(?:,[0-9]+)?)"
    rf"(?:(?P<percent>\s?%|\sphần\străm\b)|\s(?P<scale>{'|'.join(_SCALES)})\b)?"
    rf"|\b(?:một\s)?(?P<half>nửa)\b"
    rf"|\b(?P<count>{_WORD})\sphần\s(?P<part>{_WORD})\b"
    rf"|\bgấp\s(?P<times>{'|'.join(_TIMES)})\b", re.IGNORECASE)


@dataclass(frozen=True)
class Quantity:
    """One quantity of a question.

    index: its position among the question's quantities, from 0; values: the values that a
    solution may use for it, as written first; text, span: as it stands in the question.
    """

    index: int
    values: tuple[Fraction, ...]
    text: str
    span: tuple[int, int]


@lru_cache(maxsize=4096)  # the questions of a run: scores come back to each
def quantities(question: str) -> tuple[Quantity, ...]:
    """All quantities of a question in order of position; linear in its length.

    A number of more than MAX_DIGITS digits is passed over. A Vietnamese question is read by
    its own rules.
    """
    found = (_vietnamese if is_vietnamese(question) else _english)(question)
    return tuple(Quantity(index, tuple(dict.fromkeys(map(Fraction, values))),
                          question[slice(*span)], span)
                 for index, (values, span) in enumerate(found))


def _english(question: str) -> Iterator[tuple[Iterable, tuple[int, int]]]:
    """(values, as written first; span) of each quantity, in order of position."""
    place = 0
    while candidate := _CANDIDATE.search(question, place):
        place = candidate.end()
        if candidate["word"] and candidate["word"].lower() not in _STARTERS:
            continue
        match = _START.match(question, candidate.start())
        if match:
            values, place = _read(question, match)
            if values:
                yield values, (match.start(), place)


def _read(question, match):
    """(values, end) of the quantity that starts with a match; no values if it is none."""
    end = match.end()
    before = _WORD_BEFORE.search(question[max(0, match.start() - _WINDOW) : match.start()])
    before = before[1].lower() if before else ""
    after = _WORD_AFTER.match(question[end : end + _WINDOW])
    after = after[1].lower() if after else ""
    if match["ordinal"]:
        return (), end
    if match["multiple"]:
        return (MULTIPLES[match["multiple"].lower()],), end
    if match["dozen"] and match["part"].lower() == "half":
        return (6,), end
    if match["part"]:
        word = match["part"].lower()
        return (_parts(1, PARTS[word]) if _is_part(word, before, after) else ()), end
    if match["share"]:
        known = _share(match["share"]) is not None
        return (_parts(*map(int, match["share"].split("/"))) if known else ()), end
    if match["digits"]:
        if len(match["digits"]) > MAX_DIGITS:
            return (), end
        value = Fraction(match["digits"].replace(",", ""))
    else:
        if match["words"].lower() == "one" and _is_thing(question, end, before, after):
            return (), end
        value = Fraction(_number(match["words"]))
    return _extend(question, end, value, in_words=match["digits"] is None)


def _extend(question, end, value, in_words):
    """Scale, fraction, per cent or cents after a number: (values, end)."""
    total, group, alternatives = Fraction(0), value, []
    while scale := _SCALE.match(question, end):
        size = SCALES[scale[1].lower()]
        # "5 thousand dollars" may be reckoned in thousands, "five dozen" in dozens.
        if value != 1 and (not in_words or size == 12):
            alternatives = [value]
        group, end = group * size, scale.end()
        if in_words and size >= 1000 and (more := _MORE.match(question, end)):
            total, group, end = total + group, _number(more[1]), more.end()
    values = [total + group, *alternatives]
    if not in_words and (thousands := _THOUSANDS.match(question, end)):
        return [value * 1000, value], thousands.end()
    if mixed := _MIXED.match(question, end):
        part = _share(mixed["share"] or f"1/{PARTS[mixed['part'].lower()]}")
        if part is not None and part < 1 and value.denominator == 1:
            return [values[0] + part], mixed.end()
    if percent := _PERCENT.match(question, end):
        return [value / 100, value], percent.end()
    part = _PART.match(question, end)
    if part and value.denominator == 1 and _counts_parts(value, part, in_words):
        return _parts(value, PARTS[part["part"].lower()]), part.end("part")
    if _CENTS.match(question, end):
        values.append(value / 100)
    return values, end


def _number(words):
    """The value of words below a thousand; `a` and no word at all count as 1."""
    total = 0
    for word in re.findall(r"[a-z]+", words.lower()):
        if word == "hundred":
            total = max(total, 1) * 100
        else:
            total += NUMBERS.get(word, 0)
    return total if words and words.lower() not in ("a", "an") else 1


def _share(text):
    """The value of `3/4`; None where it has none."""
    above, below = text.split("/")
    if max(len(above), len(below)) > MAX_DIGITS or int(below) == 0:
        return None
    return Fraction(int(above), int(below))


def _parts(above, below):
    """A solution may take two thirds at once, or divide by three and take two of them."""
    return (Fraction(above, below), below, *([] if above == 1 else [above]))


def _is_part(word, before, after):
    """Whether a fraction word without a number is a fraction, not an ordinal or a term."""
    if PARTS[word] == 2:
        return True
    if word.startswith("quarter"):
        return before not in _ORDINALS
    return before in _ARTICLES and (word.endswith("s") or after in _AFTER_PART | {""})


def _counts_parts(value, part, in_words):
    """Whether a number counts a fraction word: `two thirds`, not the coins `5 quarters`."""
    word = part["part"].lower()
    if value == 1:
        return not word.endswith("s")
    if not 0 < value < 10 or (not word.endswith("s") and not part["of"]):
        return False
    return bool(part["of"] or part["gap"] == "-" or (in_words and value < PARTS[word]))


def _is_thing(question, end, before, after):
    """Whether `one` stands for a thing instead of a number."""
    if before in _BEFORE_THING or after == "another":
        return True
    rest = question[end : end + _WINDOW]
    if re.match(r"\s+of\s+(?:the|his|her|their|them|its|these|those|my)\b", rest):
        return True
    return before not in ("only", "just") and not re.match(r"[\s-]*\w", rest)


def _vietnamese(question: str) -> Iterator[tuple[Iterable, tuple[int, int]]]:
    for found in _QUANTITY.finditer(question):
        digits = found["number"] or (found["top"] or "") + (found["bottom"] or "")
        if len(digits) <= MAX_DIGITS and not (found["bottom"] and not int(found["bottom"])):
            yield _values(found), found.span()


def _values(found: re.Match) -> tuple:
    if found["number"]:
        value = Fraction(found["number"].replace(".", "").replace(",", "."))
        if found["percent"]:
            return value / 100, value
        return (value, value * _SCALES[found["scale"].lower()]) if found["scale"] else (value,)
    if found["half"]:
        return _parts(1, 2)
    if found["times"]:
        return (_TIMES[found["times"].lower()],)
    top, bottom = (int(found["top"]), int(found["bottom"])) if found["top"] else (
        _DIGITS[found["count"].lower()], _DIGITS[found["part"].lower()])
    return _parts(top, bottom)
