"""Arithmetic in text: exact evaluation, and the equations that a text states.

`evaluate` and `parse_expression` (from `expression`) take a text that is arithmetic and
nothing else. `read_equations` looks for equations in any text: a reasoning step, a
model's prose, LaTeX. It would rather call an equation unreadable than misread it, because
scores count true and false equations and leave the unreadable ones out.

What is read: `7 trees * 3 nests per tree = 21 nests` (words after a number are its unit),
`$12 x 4 = $48`, `20% of 50 = 10`, `3/4 of the 8 = 6`, `6 times 7 = 42`, chains
`2 + 3 = 5 = 10 / 2`, names in front (`Total = 2 + 3 = 5`), `\frac{1}{2} \times 8 = 4`,
a decimal comma (`2,5 * 4 = 10`, `2{,}5`), powers of ten (`4 * 6.02 * 10^23`), and in a
Vietnamese text `1.500 đồng x 2 = 3.000 đồng`.

What is not: letters as variables, number words and mixed numbers (`twice 4 = 8`,
`7 / 2 = 3 1/2`), remainders, clock times, powers of units, roots. Their `holds` is None.
"""
from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import lru_cache

from nanoreason.arithmetic.expression import (WHOLE, ArithmeticTextError, Binary, Number, grown,
                                              is_number, is_percentage, is_vietnamese,
                                              last_place, meant, parse_expression, rounds,
                                              value_of, value_or_none)
from nanoreason.arithmetic.lexer import (DETERMINERS, UNITS, WORDS, Token, clauses,
                                         matching)
from nanoreason.arithmetic.spans import (LOOSE, MULTIPLIERS, NOUNS, UNREADABLE, Piece,
                                         read_pieces)
from nanoreason.host import check_type
from nanoreason.paths import asset_table

_EITHER = re.compile(r"[0-9][.,][0-9]{3}(?![0-9])")  # thousands to some, a fraction to others
# What is wrong as it stands may be true as it was meant, if it is written so.
_MEANT = [(re.compile(pattern), written)
          for pattern, written in asset_table("spellings.yaml")["equations"]]
_NOUGHT = re.compile(r"(?<=[-+])(\s?)0\.(?=[1-9]\s?[-+])")  # `1 \cdot 3 + 0.2 + 4`: 0 times 2
_REST = re.compile(r"[^.\n=]{0,80}?\b([0-9]{1,9}) (?:\w+ ){0,2}(?:remain\w*|left)\b")
# What a proof by contradiction says right behind a line, in English and in Vietnamese.
_DENIED = re.compile(r"(?:\\(?:[A-Za-z]+|.)|[^\\A-Za-z=\n]){0,60}?(?<!\w)(?:(?:which|that|this) is "
                     r")?(?:an? )?(?:absurd|impossible|contradiction|vô l[íý])\b(?! to\b)")
_ADDED_TO = {"to", "up", "total"}  # between `add` and `to`: what is added to is told there
_NO_LABEL = {*DETERMINERS, *WORDS["ordinals"].split(), "that", "/"}  # `each day`, `the third day`
_LONE = re.compile(r"\s*(?:[0-9]+[.)] )?[0-9.,]+ *= *[0-9.,]+\s*")
_PREFIXED = re.compile(  # a unit whose first letter stands for a power of ten
    r"(?:[\s~({\[]|\\[,;: ]|\\(?:text|mathrm|rm)(?![a-z]))*(\\mu|[kMGdcmµμnp])\s?"
    r"(?:Hz|Pa|eV|mol|[mgsAVWJFHCNTlLΩ]|\\Omega)(?![A-Za-z])(?:\^\{?([23]))?")
ROUNDED = "rounded"
LINE = 300  # characters; longer texts are not remembered
_EQUALS = re.compile(r"[=≈≃≅]|\\(?:approx|simeq)|\bequals\b")  # as in `lexer`
_PLAIN = re.compile(r"([0-9]{1,9}) ([-+*/]) ([1-9][0-9]{0,8}) = ([0-9]{1,9})"
                    r"(?P<told>, want [0-9]{1,9}, (?:correct|wrong))?")  # of a check in VERIFY
_APPROXIMATE = {"about", "approximately", "around", "roughly", "nearly", "almost"}
_LEADING = _APPROXIMATE | {"only", "just", "exactly", "a", "total", "of"}
# In front of an expression, these change its first number.
_BEFORE = MULTIPLIERS | {"times", "plus", "minus", "by", "root"}


@dataclass(frozen=True)
class Equation:
    """One equation, or one chain `a = b = c`, found in a text.

    text, span: as it stands in the source, `source[span[0]:span[1]] == text`.
    sides: each side as strict arithmetic that `parse_expression` reads ("7 * 3" for
        "7 trees * 3 nests"), or as it stands where it cannot be read.
    holds: True or False if every side can be read (False also if two neighbours that can
        be read differ), else None. Equality is exact, except that a lone percentage may
        stand for its number of per cent (`1 / 4 * 100 = 25%`), and a number with trailing
        dots or after `≈` is compared at the places that it shows: dots may cut or round,
        `≈` must round, and is None, not False, where it does not. A sum of unlike units is
        added up in one (`2 hours + 20 minutes = 140 minutes`). A lone number with its unit
        before another unit (`1 hour = 60 minutes`) is a conversion: None, not False, and so
        are a result in a unit that fits its size (`1 / 40 = 2.5 cm`) and lone numbers that
        differ, unless the text is nothing else (`3 boxes = 12`).
    has_operator: whether any side computes something, readable or not.
    rounded: whether it is neither true nor false because of rounding alone: `holds` is
        None, and a number equals what it stands for at the places that it shows
        (`100 / 7 = 14.29`, `2 / 3 * 60 = 0.67 * 60 = 40`, `8 / 3 * 10^5 = 2.67 * 10^5`);
        see `expression.rounds`.
    """

    text: str
    span: tuple[int, int]
    sides: tuple[str, ...]
    holds: bool | None
    has_operator: bool
    rounded: bool = False

    @property
    def left(self) -> str:
        """The first side."""
        return self.sides[0]

    @property
    def right(self) -> str:
        """The last side."""
        return self.sides[-1]


def read_equations(text: str) -> tuple[Equation, ...]:
    """All equations of a text in order, each with whether it holds (see `Equation`).

    No text is refused; its time is linear in the text's length.
    """
    check_type(str, "a text", text=text)
    if not _EQUALS.search(text):
        return ()
    return (_equations if len(text) <= LINE else _equations.__wrapped__)(text)


@lru_cache(maxsize=16_384)  # teacher, filter, injected errors and scores all read the same lines
def _equations(text: str) -> tuple[Equation, ...]:
    plain = _PLAIN.fullmatch(text)
    # Most lines of a trace: nothing to find, and nothing to be in doubt about.
    if plain and (plain[2] != "/" or int(plain[4]) < WHOLE):
        a, b, c = (int(plain[place]) for place in (1, 3, 4))
        holds = {"+": a + b == c, "-": a - b == c, "*": a * b == c, "/": a == b * c}[plain[2]]
        text = text.removesuffix(plain["told"] or "")
        return Equation(text, (0, len(text)), tuple(text.split(" = ")), holds, True),
    vietnamese = is_vietnamese(text)
    equations = _of_clauses(text, vietnamese)
    if all(e.holds is not False for e in equations):
        return tuple(equations)
    others = [(text, not vietnamese)] if _EITHER.search(text) else []  # `1.500`
    noughts = [(_NOUGHT, r"\g<1>0·")] if "\\cdot" in text else []
    others += [(changed, vietnamese) for pattern, written in (*_MEANT, *noughts)
               if (changed := pattern.sub(written, text)) != text]
    meant = {place for other in others for e in _of_clauses(*other) if e.holds is not False
             for place in range(*e.span)}
    return tuple(replace(e, holds=None) if e.holds is False and (
        e.span[1] - 1 in meant or _rest_is_told(text, e) or _is_denied(text, e)) else e
        for e in equations)


def _is_denied(text: str, equation: Equation) -> bool:
    """Whether a text itself says behind an equation that it cannot be: `1 = 2, impossible`."""
    return _DENIED.match(text, equation.span[0] + equation.text.rfind("=") + 1) is not None


def _rest_is_told(text: str, equation: Equation) -> bool:
    """Whether the remainder of a whole quotient stands behind it: `100 / 3 = 33 pens, 1 left`."""
    told = _REST.match(text, equation.span[1])
    node = parse_expression(equation.left) if told and len(equation.sides) == 2 else None
    if not isinstance(node, Binary) or node.op != "/":
        return False
    whole, divisor, rest = value_of(node.left), value_of(node.right), int(told[1])
    return rest < divisor and value_or_none(equation.right) * divisor + rest == whole


def _of_clauses(text, vietnamese):
    return [equation for clause in clauses(text, vietnamese, with_equals=True)
            for equation in _in_clause(text, clause)]


class _Side:
    """One side of an equation: its piece and what that comes to, or the tokens there.

    piece, node, value: None where the side cannot be read. place: of a side without tokens.
    """

    def __init__(self, piece: Piece | None, tokens: list[Token], place: int):
        self.piece = self.node = self.value = self.other = None
        self.tokens = tokens
        if piece and piece.trust:
            with suppress(ArithmeticTextError):
                node = parse_expression(piece.text)
                self.value, self.piece, self.node = value_of(node), piece, node
                # `24 / 12 = 2 dozen` counts dozens, `20 + 4 = 2 dozen` counts what is in them.
                self.other = self.value * NOUNS[piece.scale] if piece.scale else None
        shown = self.piece.tokens if self.piece else tokens
        self.span = (shown[0].start, shown[-1].end) if shown else (place, place)
        kinds = {token.kind for token in tokens}
        self.worded = "word" in kinds
        self.computes = isinstance(self.node, Binary) if self.piece else "operator" in kinds


def _last_piece(pieces: list[Piece], run: list[Token]) -> Piece | None:
    """The piece that ends a run, unreadable where what stands before it changes it."""
    if not pieces or pieces[-1].end != len(run):
        return None
    piece = pieces[-1]
    if not piece.start:
        return piece
    place = piece.start - 1
    before = run[place]
    while place > 0 and run[place].text in DETERMINERS | {"of", "("}:
        place -= 1
    changed = (
        before.kind in ("number", "unknown") or run[place].kind == "operator"
        or (before.kind == "close" and place in matching(run).values())
        or (run[place].text.lower() in _BEFORE and not _by_so_much(piece, run[:place + 1]))
        or (run[place].kind == "number" and run[place + 1].text == "of")
        or (before.kind == "word" and (not piece.computes or run[piece.start].tight
                                       or _calls(before, run[piece.start])))
    )
    if changed:
        doubtful = piece.computes and (run[place].text.lower() in NOUNS or before.text == "(")
        piece.trust = min(piece.trust, LOOSE if doubtful else UNREADABLE)
    elif _goes_before(run, place, piece):
        piece.trust = min(piece.trust, LOOSE)
    return piece


def _goes_before(run: list[Token], place: int, piece: Piece) -> bool:
    """Whether a word in front may take a piece's first number into another one: `1 and 3/4`,
    `day 2 * 3` (the second day's), `add 5 to the 2 * 3`."""
    word, before = run[place].text.lower(), [token.text.lower() for token in run[:place]]
    if word in ("to", "from"):
        added = [k for k, text in enumerate(before) if text.startswith(("add", "subtract"))]
        between = before[added[-1]:] if added else []
        return bool(added) and not any(
            text in _ADDED_TO or text.startswith(("bring", "brought")) for text in between)
    if word == "and":
        return bool(before) and run[place - 1].kind == "number" and run[piece.start + 1].text == "/"
    # The second day's: not what each day has, nor in two days.
    return (UNITS.get(word, word)[0] == "time" and not word.endswith("s")
            and _NO_LABEL.isdisjoint(before[-2:])
            and not any(token.kind == "number" for token in run[max(place - 2, 0):place]))


def _calls(before: Token, start: Token) -> bool:
    """Whether a word and what follows it are a function and its argument: `f (4)`."""
    return start.text == "(" and (before.math or len(before.text) == 1)


def _by_so_much(piece: Piece, before: list[Token]) -> bool:
    """Whether a piece stands after "by" as an amount (`it fell by 2 * 3`), not as what
    something is divided or multiplied by."""
    return (before[-1].text == "by" and piece.computes and not any(
        token.text.lower().startswith(("divi", "multi")) for token in before))


def _first_piece(pieces: list[Piece], run: list[Token]) -> Piece | None:
    """The piece that starts a run, after words like "about" or "only" at most."""
    if not pieces:
        return None
    piece = pieces[0]
    before = {token.text for token in run[: piece.start]}
    if not before <= _LEADING:
        return None
    piece.about = bool(before & _APPROXIMATE)
    if any(token.text in ("remainder", "dư") for token in run[piece.start:]):
        piece.trust = UNREADABLE
    if piece.start and (run[piece.start].tight or _calls(run[piece.start - 1], run[piece.start])):
        piece.trust = UNREADABLE  # "= a(4 - 2)"
    return piece


def _in_clause(source, clause):
    signs = [place for place, token in enumerate(clause) if token.kind == "equals"]
    edges, chain, links = [-1, *signs, len(clause)], [], []
    for number, (before, after) in enumerate(zip(edges, edges[1:])):
        run, final = clause[before + 1 : after], number == len(signs)
        pieces = read_pieces(run, number == 0, final)
        place = clause[before].end if number else clause[after].start
        if number:
            first = _first_piece(pieces, run)
            chain.append(_Side(first, run, place))
            links.append(clause[before].rounded or (first is not None and first.about))
            if not final and (not pieces or first and (first.start, first.end) == (0, len(run))):
                continue
            yield _equation(source, chain, links)
        # What is left of this run is where the next equation starts.
        chain, links = [_Side(_last_piece(pieces, run), run, place)], []


def _equation(source, chain, links):
    name = chain[0].node is None and (not chain[0].computes or _adds_names(chain[0].tokens))
    if name and len(chain) > 2:  # "Total = 2 + 3 = 5", "Monday + Tuesday = 2 + 3 = 5"
        chain, links = chain[1:], links[1:]
    computes = any(side.computes for side in chain)
    if computes and _unlike(*chain) and all(s.piece and s.piece.converted for s in chain):
        chain = [_Side(replace(side.piece, text=side.piece.converted, units=frozenset()),
                       side.tokens, 0) for side in chain]
    verdicts = [_link(a, b, about) for a, b, about in zip(chain, chain[1:], links)]
    rest = True  # whether the links behind are true
    for place in reversed(range(len(verdicts))):
        # "Share of the 12 boys = 3 * 4 = 12", "10 - 5 = 5 years * 12 = 60", "3 boxes = 12"
        left, right = chain[place:place + 2]
        if verdicts[place] is False and (
                not computes and not _LONE.fullmatch(source)
                or left.worded and rest and place < len(verdicts) - 1
                or right.worded and _goes_on(left, right)
                or place == len(verdicts) - 1 and _is_converted(source, left, right)):
            verdicts[place] = None
        else:
            rest = rest and verdicts[place] is True
    start, end = chain[0].span[0], chain[-1].span[1]
    unsure = False in verdicts or None in verdicts
    return Equation(
        text=source[start:end], span=(start, end),
        sides=tuple(side.piece.text if side.piece else source[slice(*side.span)] for side in chain),
        holds=False if False in verdicts else None if None in verdicts or ROUNDED in verdicts
        else True, has_operator=computes, rounded=not unsure and ROUNDED in verdicts)


def _unlike(*sides):
    """Whether numbers of the sides have different units of one kind: hours and minutes."""
    units = set().union(*(side.piece.units for side in sides if side.piece))
    return len({kind for kind, _ in units}) < len(units)


def _is_converted(source, left, right):
    """Whether the last side counts in a unit of which it takes 10, 100, … to make those that
    were computed in, or the other way round: `1 / 40 = 2.5 cm`."""
    unit = _PREFIXED.match(source, right.span[1])
    if not unit or not is_number(right.node):
        return False
    power = WORDS["prefixes"][unit[1]] * int(unit[2] or 1)
    return rounds(right.node, left.value / Fraction(10) ** power)


def _goes_on(left, right):
    """Whether a side takes up the value before it and computes on: `= 5 years * 12`."""
    node = right.node
    while isinstance(node, Binary):
        node = node.left
    return right.computes and isinstance(node, Number) and node.value == left.value


def _adds_names(tokens: list[Token]) -> bool:
    """Whether every operator stands before a word, no letter: `Week 1 + Week 2`."""
    return all(after.kind == "word" and len(after.text) > 1
               for token, after in zip(tokens, tokens[1:]) if token.kind == "operator")


def _link(left, right, about):
    """Whether two neighbouring sides are equal: True, False, ROUNDED, or None where that
    cannot be said."""
    if left.value is None or right.value is None:
        return None
    pieces = left.piece, right.piece
    if left.value == right.value or _same_percentage(left, right):  # "2 hours + 3 minutes = 5"
        return None if any(s.piece.converted and _unlike(s) for s in (left, right)) else True
    if LOOSE in (pieces[0].trust, pieces[1].trust):  # believed where it comes out
        return True if left.other == right.value or right.other == left.value else None
    lone = isinstance(left.node, Number) or _is_part(left) and pieces[1].unit
    if lone and pieces[0].unit and pieces[0].unit != pieces[1].unit:  # `1 hour = 60 minutes`
        return None
    # `48 = 100% + 20%` says how many the per cent are.
    told = lone and left.value.denominator == 1 and right.computes and is_percentage(right.node)
    if told or _unlike(left, right) or grown(left.node) == right.value or any(
            p.ratio and side.value == 1 for p, side in zip(pieces, (right, left))):
        return None  # `7 knicks / 2 knacks = 1`
    shown, other = (right, left) if is_number(right.node) else (left, right)
    if not is_number(shown.node):
        return ROUNDED if meant(left.node) == meant(right.node) else False
    dots = shown.piece.tokens[-1].rounded
    percent = min(1, Fraction(100) ** (is_percentage(other.node) - is_percentage(shown.node)),
                  key=lambda scale: abs(other.value * scale - shown.value))
    exact, simple = other.value * percent, meant(other.node) * percent
    gap, unit = abs(exact - shown.value), last_place(shown.node)
    if (about or dots) and (gap <= unit / 2 or (
            dots and gap < unit and abs(shown.value) <= abs(exact))):
        return True
    if about:
        return None
    return ROUNDED if rounds(shown.node, exact) or rounds(shown.node, simple) else False


def _is_part(side):
    """Whether a side is a fraction below 1 as one word: `3/4`, not `3 / 4`."""
    return (isinstance(side.node, Binary) and side.node.op == "/" and side.value < 1
            and len(side.piece.tokens) == 3 and all(t.tight for t in side.piece.tokens[1:]))


def _same_percentage(left, right):
    """`1 / 4 * 100 = 25%` and `1 / 4 * 100% = 25`: one side counts per cent."""
    return any(is_percentage(one.node) and not is_percentage(other.node)
               and one.value * 100 == other.value for one, other in ((left, right), (right, left)))
