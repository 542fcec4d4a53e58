r"""Is an answer right: numbers as fractions, options as letters, formulas by math-verify.

Two readings of a text stand side by side. The strict one takes what the trace states after
`Answer:`; the lenient one (`last_answer`) takes what the last `Answer:` line, the last
`####` or the last `\boxed{}` states, else the last thing in the text that could answer this
question. Both are then graded in the same way. What is not compared because it is too long,
too large or too slow is wrong, and says so (`Grade.refused`).

`grade` writes both sides in one way, takes them apart (an equation's two sides, the members
of a point, a set, an interval, a matrix) and compares what is left: as text, as exact
fractions, and only then by math-verify. Where it differs from math-verify 0.9.0 on purpose:
`2x = 5` and `x + y = 5` are not 5 (there a left side is dropped whatever it holds), a set is
no point and no interval, 50 is not 50 %, 0.333333 is not 1/3 (there values are equal at six
places), `12\,500` is 12500 (there a sum), units that differ are not equal (there they are
dropped), words are words (there their letters are multiplied), and `(0,5;1)` has two members
and `3{,}5` none (there they are three and two, so 3{,}5 is 5{,}3).

Left out on purpose: rounding and number words. An answer states its value.
"""
from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction
from unicodedata import normalize

from nanoreason.arithmetic.expression import value_or_none
from nanoreason.arithmetic.lexer import CURRENCY, MAX_DIGITS, PARTS, SCALES, UNITS, WORDS, clauses
from nanoreason.arithmetic.symbolic import REFUSED, compare_formulas
from nanoreason.paths import asset_table

MAX_CHARACTERS = 1000  # of an answer
_DIGITS = r"[0-9]+(?:,[0-9]{3})*(?:\.[0-9]+)?|\.[0-9]+"
NUMBER = re.compile(_DIGITS)
_PLACED = r"[0-9]+(?:(?:,|\{,\}|,?\\[!,])[0-9]{3})*(?:\.[0-9]+)?|\.[0-9]+"
# The sign counts where no operand stands before it: `= -3` and `= - 3`, but not `5 -3`; a number
# after a power sign or a letter (`18 cm^2`, `x2`) is no answer.
_SIGN = r"(?:(?<![0-9)%])(?<![0-9)%]\s)[-−–—](?:(?<==.)\s|(?<==\s.)\s)?)?"
_WRITTEN = re.compile(
    rf"(?<![\w^.])(?<!\^\{{){_SIGN}\\?{CURRENCY}?"
    rf"(?:(?:[0-9]+\s?)?\\[dtc]?frac\{{-?[0-9]+\}}\{{[0-9]+\}}|{_PLACED})"
    r"(?:[eE][0-9]+(?![0-9A-Za-z])|(?:\s[0-9]+)?\s?/\s?[0-9]+)?(?:\s?\\?%)?")
_ANSWER = re.compile(rf"[-+]?\s*(?:{_DIGITS})(?:\s*/\s*[0-9]+)?\s*%?")
_SUM = re.compile(r"[0-9.,]+(?:[-+*×][0-9.,]+)+")  # not worked out: no answer to a number
_MIXED = re.compile(r"([0-9]+)\s*\\frac\{([0-9]+)\}\{([0-9]+)\}|([0-9]+)\s([0-9]+)/([0-9]+)")
# An option of a multiple-choice question; `e` and `i` alone are numbers.
_OPTION = re.compile(r"\(?([A-Ja-d]|(?<=\()[e-j])\)?")
# `B`, `(b)`, `B.`, `B. 12`, `B because …` and `Option B` name an option; `Because` and `A and B`
# do not.
_NAMED = re.compile(r"(?:(?:option|choice|answer|phương án|đáp án)\s*:?\s*)?\(?\s*([A-J])\s*"
                    r"(?:\)?\s*|\)?\s*(?:[.:]|(?:because|since|as|vì)\b).*|\)\s.*)",
                    re.IGNORECASE | re.DOTALL)
_CHOSEN = re.compile(r"(?:(?:answer|option|choice)(?: is)?|chọn|đáp án(?: đúng)?(?: là)?)[\s:*]*"
                     r"\(?([A-E])(?!\w)", re.IGNORECASE)
_LETTER = re.compile(r"(?<!\w)(?:[A-E](?!\w)|(?<=\()[a-e](?=\)))")  # `I` is a word
_STATED = re.compile(r"^[ \t*_>-]*(?:final answer|answer|đáp án|đáp số)[ \t*_]*:[ \t]*(.+)$",
                     re.IGNORECASE | re.MULTILINE)
_HASHES = re.compile(r"####[ \t]*([^#\n]+)(?!#)(?:\n|\Z)")
_FORMULAS = re.compile(r"\$([^$\n]{1,200})\$|\\\((.{1,200}?)\\\)|\\\[(.{1,200}?)\\\]", re.DOTALL)
_COMMAS = re.compile(r"(?<![\w.,])(?:[0-9]{1,3}(?:\.[0-9]{3})+(?:,[0-9]+)?|[0-9]+,[0-9]+)"
                     r"(?![.,]?[0-9])")
_TEXT_AT_END = re.compile(r"(.*\S)\s*\\text\{\s*([^{}]*?)\s*\}(\^\{?[0-9]\}?)?", re.DOTALL)
_WORDS_AT_END = re.compile(r"([-+]?(?:[0-9][0-9,./ ]*))"
                           r"((?:[^\W\d_]{2}|\((?=[^\W\d_]{2}))[^\d()=<>+*\\$^]*"
                           r"(?:\)|\([^()]*\)|\^[23])?"
                           r"|[mghslđ](?:\^[23])?)", re.DOTALL)
_TEXT = re.compile(r"\\text\{\s*([^{}]*?)\s*\}")
_WORD = re.compile(r"(?<![A-Za-z\\])[A-Za-z]{3,}")
_FUNCTIONS = set("sin cos tan cot sec csc log exp arcsin arccos arctan".split())
_SHORT = {*WORDS["abbreviations"].lower().split(), *UNITS}
_NO_UNIT = {*_FUNCTIONS, *PARTS, *WORDS["no_unit"].split()} - {"quarter", "quarters"}
_BLANKS = re.compile(r"(?<![0-9])\s+|\s+(?![0-9])")  # `1 0` is not 10
_SQUARE = re.compile(r"^(sq(?:uare)?|cu(?:bic)?)\.?\s+(\w+)")
_JOIN = r"(?:and|or|và|hoặc)"
_LIST = rf"[,;]?\s*(?:\\text\{{\s*{_JOIN}\s*\}}|\b{_JOIN}\b)"
_ORDERED = re.compile(r"[<>]|\\(?:[lg]e|neq?)(?![a-z])")
_SMALL = re.compile("([¼-¾⅐-⅞])|[²³¹⁰⁴-⁹⁻]+")  # ½ and 10⁻³
_NAME = re.compile(r"[A-Za-z](?:_\{?\w+\}?)?(?:\([a-z]\))?|\\[a-z]+|[A-Z]{2}")
_BOXES = re.compile(r"(?P<box>\\(?:boxed|fbox)(?![A-Za-z]))\s*(?P<brace>\{?)|\\.|[{}]", re.DOTALL)
_BARE_END = re.compile(r"\$|\\\]|\\\)|\n")
_SPELLINGS = [(re.compile(pattern.replace("CURRENCY", CURRENCY)), written)
              for pattern, written in asset_table("spellings.yaml")["answers"]]


@dataclass(frozen=True)
class Grade:
    """right: whether an answer equals the gold one. refused: why the two could not be
    compared (`symbolic.REFUSED`, `symbolic.LATE`), None if they were."""

    right: bool
    refused: str | None = None


def read_answer(text: str | None) -> Fraction | None:
    """The number that an answer states, exactly; None if it states none.

    `$1,000`, `3/4`, `12.50`, `\\frac{3}{4}` and `20%` (one fifth) are numbers; sums are not
    answers.
    """
    if text is None or len(str(text)) > MAX_CHARACTERS:
        return None
    bare = spelled(str(text))
    if _ANSWER.fullmatch(bare):
        return value_or_none(bare.lstrip("+").replace(",", ""))
    return _value(bare)


def same_answer(text: str | None, gold: str, vietnamese: bool = False) -> bool:
    """Whether an answer equals the gold one, see `grade`."""
    return grade(text, gold, vietnamese).right


def grade(text: str | None, gold: str, vietnamese: bool = False) -> Grade:
    """An answer against the gold one: as fractions, as options, as text, else as formulas.

    Where the gold answer is a letter from A to J, `B`, `(b)`, `B. 12` and `Option B` name
    option B. A unit that one side alone states is left out. Formulas are compared by
    math-verify (see `symbolic`). 50 is not 50 %, 1.000 is one, unless the two are
    vietnamese: then it is 1000, and `12,5` is 12.5.
    """
    if text is None:
        return Grade(False)
    if max(len(str(text)), len(str(gold))) > MAX_CHARACTERS:
        return Grade(False, REFUSED)
    bare, bare_gold = spelled(str(text)), spelled(str(gold))
    if option := _OPTION.fullmatch(_TEXT.sub(r"\1", bare_gold)):
        named = _NAMED.fullmatch(_TEXT.sub(r"\1", bare))
        return Grade(named is not None and named[1].upper() == option[1].upper())
    found = _same(*_one_unit(bare, bare_gold), vietnamese)
    return Grade(found is True, None if isinstance(found, bool) else found)


def _one_unit(answer, gold):
    """The two without the unit that both have, or that one has alone; with their units
    where these differ."""
    (bare, unit), (bare_gold, gold_unit) = map(without_unit, (answer, gold))
    if unit != gold_unit and (unit and gold_unit or gold_unit in SCALES):
        return answer, gold
    return (bare, bare_gold) if unit or gold_unit else (answer, gold)


def without_unit(text: str) -> tuple[str, object]:
    """An answer in one spelling and its unit ("" for none), of which plural and short form are one.

    Words that change the number or tell another (`2 and a half`, `12 or 13`, `2xy`) are no unit.
    """
    if text.endswith("°"):
        return text[:-1], "°"
    found = _TEXT_AT_END.fullmatch(text) or _WORDS_AT_END.fullmatch(text)
    if not found or found[1].endswith("="):
        return text, ""
    words = (found[2] + (found[3] or "" if found.re is _TEXT_AT_END else "")).strip(" .()")
    words = _SQUARE.sub(lambda m: f"{m[2]}^{2 + (m[1][0] == 'c')}",
                        re.sub(r"[{}]", "", words).lower())
    name, power, height = words.partition("^")
    known, names = UNITS.get(name.strip()), re.findall(r"[^\W\d_]+", words) or [""]
    tight = found.re is _WORDS_AT_END and found[1][-1:].isdigit() and 1 < len(names[0]) < 4
    if not known and (tight and names[0].isascii() and names[0] not in _SHORT
                      or not _NO_UNIT.isdisjoint(names)):
        return text, ""
    name = known or name.strip().rstrip("s")
    return found[1].strip(), (name, height) if power else name


def _same(answer, gold, vietnamese):
    """Whether two answers in one spelling are equal, or why they were not compared."""
    bare, bare_gold = (_BLANKS.sub("", _TEXT.sub(r"\1", t)).strip(". ") for t in (answer, gold))
    if bare.lower() == bare_gold.lower():
        return bool(bare)
    value, expected = (_value(t, vietnamese) for t in (answer, gold))
    if value is not None and expected is not None:
        return value == expected
    if (value is None) != (expected is None) and any(map(_SUM.fullmatch, (bare, bare_gold))):
        return False
    sides, expected_sides = (re.split(r"(?<![<>=\\])=(?!=)|\\in(?![a-z])", t)
                             for t in (answer, gold))
    if len(sides) != len(expected_sides) and 2 in (len(sides), len(expected_sides)):
        named, other = (sides, gold) if len(sides) == 2 else (expected_sides, answer)
        if "," not in other and (len(expected_sides) > 2 or len(sides) > 2) or (
                not _NAME.fullmatch(named[0].strip())):
            return False  # `2x = 5` is not 5
        pair = (sides[-1], gold) if len(sides) == 2 else (answer, expected_sides[-1])
        return _same(*(t.strip() for t in pair), vietnamese)
    members, expected_members = _members(answer), _members(gold)
    if members or expected_members:
        return _same_members(members, expected_members, vietnamese)
    if "\\text" in answer + gold or _words(answer) or _words(gold) or "_" in answer + gold or (
            "%" in answer + gold or "°" in answer + gold or not (answer and gold)):
        return False
    if len(sides) == 2:
        both = [_same(a.strip(), b.strip(), vietnamese) for a, b in zip(sides, expected_sides)]
        if both == [True, True]:
            return True
    return compare_formulas(answer, gold)


def _words(text):
    return [w for w in _WORD.findall(text) if w not in _FUNCTIONS and not w.isupper()]


def _value(text, vietnamese=False):
    """The exact value of a number: whole, decimal, mixed, a fraction, a power, in per cent;
    None of anything else, sums and products among it."""
    if len(text) > 200 or not {"[", "]"}.isdisjoint(text):  # `(4,112]` is no bracketed number
        return None
    number = _MIXED.sub(
        lambda m: "({}+{}/{})".format(*(m.groups()[:3] if m[1] else m.groups()[3:])), text)
    if "," in number and not vietnamese and not re.fullmatch(rf"\W*(?:{_DIGITS})\W*", number):
        return None  # a list
    number = re.sub(r"(?<=[0-9])[eE](?=[0-9]+$)", "*10^", number)
    tokens, *more = clauses(number, vietnamese) or [[]]
    if more or not tokens:
        return None
    strict = " ".join(token.text for token in tokens)
    sums = [t for t in tokens[1:] if t.kind == "operator" and t.text in "+*-"]
    if number == text and sums and not re.fullmatch(r".*\^ (?:\( )?-.*", strict):
        return None
    return value_or_none(strict.lstrip("+"))


def _members(text):
    """(kind, parts) of a point, an interval, a set, a list, a union or a matrix, else None.
    A set and a list of bare members are of one kind: their order does not count."""
    if matrix := re.fullmatch(r"\\begin\{(\w+)\}(.*)\\end\{\1\}", text, re.DOTALL):
        rows = [row for row in matrix[2].split("\\\\") if row.strip()]
        return f"{'v' in matrix[1]} {len(rows)}", [cell.strip() for row in rows
                                                   for cell in row.split("&")]
    text = re.sub(r"\{([^{}]*,[^{}]*)\}", r"⟨\1⟩", text) if text[:1] == "{" else text
    text = text.replace("\\{", "⟨").replace("\\}", "⟩")
    parts = _split(text, r"\\cup(?![a-z])")
    if len(parts) > 1:
        return "set", parts
    # In `(0,5; 1)` the semicolon separates and the comma belongs to its number.
    cut = r"(?<![0-9]),|,(?![0-9])|;" if ";" in text else ","
    parts = _split(text, cut if _ORDERED.search(text) else f"{_LIST}|{cut}")
    if len(parts) == 1 and "\\pm" in text:
        return "set", [text.replace("\\pm", sign) for sign in "+-"]
    if len(parts) > 1:
        return "set", parts
    if text[:1] and text[0] in "([⟨" and text[-1] in ")]⟩" and len(_split(text[1:-1], cut)) > (
            text[0] != "⟨"):
        kind = "set" if text[0] + text[-1] == "⟨⟩" else text[0] + text[-1]
        return kind, _split(text[1:-1], cut)
    return None


def _split(text, pattern):
    """The parts of a text between separators that stand outside of all brackets."""
    parts, begin, depth = [], 0, 0
    for found in re.finditer(rf"(?P<cut>{pattern})|[][(){{}}⟨⟩]", text):
        thousands = found[0] == "," and re.match(r"[0-9]{3}(?![0-9])", text[found.end():])
        if found["cut"] and not depth and not thousands:
            parts.append(text[begin:found.start()].strip())
            begin = found.end()
        elif not found["cut"]:
            depth += 1 if found[0] in "([{⟨" else -1
    return [*parts, text[begin:].strip()]


def _same_members(members, expected, vietnamese):
    if not members or not expected or members[0] != expected[0] or (
            len(members[1]) != len(expected[1])):
        return False
    left = list(expected[1])
    for part in members[1]:
        tried = left if members[0] == "set" else left[:1]
        outcomes = [_same(*(t.replace("⟨", "\\{").replace("⟩", "\\}") for t in (part, other)),
                          vietnamese) for other in tried]
        if True not in outcomes:
            return next((o for o in outcomes if isinstance(o, str)), False)
        left.pop(outcomes.index(True))
    return True


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


def spelled(text: str) -> str:
    """An answer in the one spelling of `_SPELLINGS`, without its box and its dollars."""
    if "\\boxed" in text or "\\fbox" in text:
        text = boxed_answer(text) or text
    text = text.strip().strip("$").removeprefix("\\(").removesuffix("\\)")
    text = text.removeprefix("\\[").removesuffix("\\]")
    text = _SMALL.sub(lambda m: f" {normalize('NFKC', m[0])}".replace("⁄", "/") if m[1] else
                      f"^{{{normalize('NFKC', m[0])}}}", text)
    for pattern, written in _SPELLINGS if not text.isdigit() else ():
        text = pattern.sub(written, text)
    return text.strip().rstrip(".").rstrip()


def last_number(text: str) -> str | None:
    """The last number of a text as it is written, None if there is none."""
    return (_WRITTEN.findall(text) or [None])[-1]


def with_points(text: str) -> str:
    """A Vietnamese text with its numbers in English: `1.250,5` becomes `1250.5`."""
    return _COMMAS.sub(lambda found: found[0].replace(".", "").replace(",", "."), text)


def last_answer(text: str, gold: str) -> str | None:
    """What a text answers to a question with this kind of gold answer; None if nothing.

    The last `Answer:` line, else the last `####`, else the last box, where it states a
    letter for an option, a number for a number, anything for another. Else the last letter
    from A to E that stands alone, the last number, or the last formula between dollars.
    """
    option = _OPTION.fullmatch(_TEXT.sub(r"\1", spelled(gold)))
    number = not option and read_answer(gold) is not None
    for stated in ((_STATED.findall(text) or [""])[-1], (_HASHES.findall(text) or [""])[-1],
                   boxed_answer(text) or ""):
        stated = stated.strip().rstrip(".")
        if option and (named := _NAMED.fullmatch(_TEXT.sub(r"\1", spelled(stated)))):
            return named[1]
        if number and (found := stated_number(stated)):
            return _in_kind(found, gold)
        if stated and not option and not number:
            return boxed_answer(stated) or ([*map("".join, _FORMULAS.findall(stated)), stated])[0]
    if option:
        return (_CHOSEN.findall(text) or _LETTER.findall(text) or [""])[-1].upper() or None
    if number:
        return _in_kind(last_number(text), gold)
    return ([*map("".join, _FORMULAS.findall(text))] or [None])[-1] or last_number(text)


def _in_kind(found, gold):
    """A number without its per cent sign where the gold answer counts per cent: `#### 60%`
    answers how many per cent."""
    bare = (found or "").rstrip("% \\")
    asked = "%" not in gold and read_answer(bare) == read_answer(gold)
    return bare if asked and bare else found


def stated_number(text: str) -> str | None:
    """The number that a statement gives as its result: all of it, else what its box holds,
    else the first number after its last equals sign (`54 dollars in 9 weeks`)."""
    if read_answer(text) is not None:
        return text
    if box := boxed_answer(text):
        return stated_number(box)
    return (_WRITTEN.findall(text.rpartition("=")[2]) or [None])[0]


def numbers_in(text: str) -> set[Fraction]:
    """The values of all numbers in a text that have at most MAX_DIGITS characters."""
    return {Fraction(found.replace(",", "")) for found in NUMBER.findall(text)
            if len(found) <= MAX_DIGITS}
