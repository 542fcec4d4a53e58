"""The ledger: where self-correction is lost, by line of VERIFY and by trace.

An error is corrected if VERIFY checks its step with the right numbers, works the check out,
sees that it does not come to what it should, blames the step and repairs the answer; a right
result is kept if the same holds with nothing to see. Each part is judged by arithmetic from
the text alone, and counted among the traces that got so far. Beside the counts stands the
counterfactual: what the scores would be if that part alone were exact and all else as it is.

A line of VERIFY is read as `left = result, want value, word`, with anything (columns of
digits) between left and result. Without a wanted value it is the one that the check should
come to, without a word the line is called wrong if the verdict blames its step. Line k checks
line k of EXECUTE; at the first wrong step it should check the closest teacher's step k with
the value that EXECUTE found. A check has the right operands if it is one of the four
rearrangements of its step; a step of more than two numbers must be worked out from numbers
of its own. Left out on purpose: checks in words, whose operands count as wrong.
"""
from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from functools import cache, partial

import numpy as np

from nanoreason.arithmetic.answers import numbers_in
from nanoreason.arithmetic.equations import read_equations
from nanoreason.arithmetic.expression import (ArithmeticTextError, Binary, Node, Number,
                                              parse_expression, value_of, value_or_none)
from nanoreason.data.verify_lines import compute
from nanoreason.evaluation.report import Report, Score, harmonic_mean, rate, rate_of
from nanoreason.evaluation.rows import ScoredRow, ScoredRows, by_reason, closest, read_rows

_WANT = re.compile(r"\bwant\s+([^\s,;:]+)")
_WORD = re.compile(r"\b(correct|wrong)\b")
_HEAD = re.compile(r"([^=:;,]+?)\s*[=:]")
_LAST = re.compile(r"(-?[0-9][0-9./]*%?)\W*$")
LINE_PARTS = ("operands", "sum", "comparison")
EXACT = {part: {part} for part in (*LINE_PARTS, "blame", "repair", "keeping")}
EXACT["sum_and_comparison"] = {"sum", "comparison"}
Sides = tuple[str, Fraction, Fraction]  # sign, left, right
Case = tuple[ScoredRow, list["Line"]]


def sides_of(tree: Node | None) -> Sides | None:
    """Sign and numbers of an expression of two numbers, else None."""
    if isinstance(tree, Binary) and all(isinstance(s, Number) for s in (tree.left, tree.right)):
        return tree.op, tree.left.value, tree.right.value
    return None


def rearranged(sides: Sides | None, found: Fraction) -> dict[Sides, Fraction]:
    """The checks of a step that came to `found`, each with the value it should come to.

    Those of `x + y = c` are c - y = x, x + y = c, y + x = c and c - x = y; so for the others.
    """
    if sides is None or sides[0] not in "+-*/":
        return {}
    sign, x, y = sides
    forth, back = ("+", "-") if sign in "+-" else ("*", "/")
    part, whole = (x, found) if sign == forth else (found, x)  # part forth y = whole
    checks = {(back, whole, y): part, (forth, part, y): whole, (forth, y, part): whole,
              (back, whole, part): y}
    return {check: want for check, want in checks.items() if check[0] != "/" or check[2]}


@dataclass(frozen=True)
class Line:
    """A check of VERIFY. step: its number. sides, exact: its left side and what that comes to.

    result, want: its two numbers. objects: whether it calls the step wrong. due: what could
    stand there (`rearranged`). operands: whether it does. None: not readable.
    """

    step: int
    sides: Sides | None
    exact: Fraction | None
    result: Fraction | None
    want: Fraction | None
    objects: bool
    due: Mapping[Sides, Fraction]
    operands: bool

    @property
    def sum(self) -> bool:
        """Whether the left side comes to the result."""
        return self.exact is not None and self.exact == self.result

    @property
    def differ(self) -> bool | None:
        """Whether the line's own two numbers differ."""
        return None if None in (self.result, self.want) else self.result != self.want

    @property
    def comparison(self) -> bool:
        """Whether the line says of its own two numbers what is so."""
        return self.differ == self.objects

    def would_object(self, exact: set[str]) -> bool:
        """What the line would say if these parts of it were exact and the others as they are.

        A false sum stays false by as much; one that copies the wanted value copies it again.
        """
        value, result, want = self.exact, self.result, self.want
        if "operands" in exact and not self.operands and self.due:
            copied = not self.sum and self.differ is False
            off = 0 if None in (value, result) else result - value
            sides, want = next(iter(self.due.items()))
            value = compute(*sides)
            result = want if copied else value + off
        result = value if "sum" in exact and value is not None else result
        if None in (result, want):
            return self.objects
        return (result != want) == ("comparison" in exact or self.comparison)


def read_left(text: str) -> tuple[Node | None, Fraction | None]:
    """The expression that a line begins with, and what it comes to; None if unreadable."""
    head, equations = _HEAD.match(text), read_equations(text)
    for found in (head and head[1], equations and equations[0].left):
        with suppress(ArithmeticTextError):
            tree = parse_expression(found or "")
            if isinstance(tree, Binary):
                return tree, value_of(tree)
    return None, None


def read_lines(row: ScoredRow) -> list[Line]:
    """The lines of a row's VERIFY, in order; the row must have its text."""
    return [_read_line(row, number, text) for number, text in enumerate(row.claims.checks, 1)]


def _read_line(row: ScoredRow, number: int, text: str) -> Line:
    (tree, exact), told, words = read_left(text), _WANT.search(text), _WORD.findall(text)
    body, equations = text[:told and told.start()], read_equations(text)
    last = _LAST.search(body.rstrip(", ")) if told else None
    stated = equations[-1].right if equations and not told else last and last[1]
    result = value_or_none(stated)
    node, own, sides = ("step", number), row.graph, sides_of(tree)
    step = own.nodes.get(node)
    found = step and step["value"]
    if number == row.wrong_step and row.teachers:
        step = closest(own, row.teachers).nodes.get(node) or step
    due = rearranged(sides_of(step["tree"]), found) if found is not None else {}
    want = value_or_none(told[1]) if told else due.get(sides, found)
    right = sides in due and due[sides] == want
    if step and not due:  # of more than two numbers
        used = numbers_in(body) - {result}
        right = bool(used) and want == found and used <= {value for value, _ in step["operands"]}
    objects = words[-1] == "wrong" if words else row.blamed == number
    return Line(number, sides, exact, result, want, objects, due, right)


def ledger(rows: Iterable[Mapping] | ScoredRows) -> Report:
    """Where self-correction is lost, over rows of one setting, or injected and clean ones together.

    Every share is of the cases that the share before it counts:
    wrong_checked, wrong_operands, wrong_sum, wrong_comparison, wrong_blamed, wrong_repaired:
    of the traces with a wrong a1 whose first wrong step is known, the check of that step is
    written, has the right operands, a right sum, a right comparison; the verdict blames the
    step, a2 is right. blamed, blamed_repaired: the last two again, whatever the check is.
    lost_sum: of the traces blamed and not repaired, the first line of the repair is true.
    right_operands, right_sum, right_comparison, right_agreed, right_kept: of the traces with
    a right a1, all lines have right operands (and there are some), and so on; the verdict
    agrees, a2 is right. Traces whose VERIFY was left out (`ScoredRow.unasked`) are none of these.
    alarm_operands, alarm_sum, alarm_comparison: of the right traces objected to, the line that
    is blamed has right operands, and so on.
    line_operands, line_sum, line_comparison: of the checks of right steps, as above.
    line_differ, line_same: of all lines whose two numbers differ, and of those where they are
    the same, those that say so.
    recall_if_PART, specificity_if_PART, svr_if_PART, delta_if_PART: what `self_verification`
    would say if that part of `EXACT` alone were exact, see `_if_exact`.

    Raises ValueError for settings that must not be pooled.
    """
    table = read_rows(rows).pooled(single=True)
    cases = [(row, read_lines(row)) for row in table if row.claims]
    without = by_reason(("without its text", row.name) for row in table if not row.claims)
    made = {part: cache(partial(_if_exact, cases, exact)) for part, exact in EXACT.items()}
    scores = _shares(cases) | {
        f"{name}_if_{part}": lambda name=name, part=part: made[part]()[name]
        for part in EXACT for name in ("recall", "specificity", "svr", "delta")}
    return Report(len(cases), scores, {**table.left_out, **without}, table.rows)


def _shares(cases: list[Case]) -> dict[str, Callable[[], Score]]:
    """The shares of `ledger` but the counterfactual ones."""
    scores: dict[str, Callable[[], Score]] = {}

    def cascade(found: list[Case], **stages: Callable[[ScoredRow, list[Line]], bool]) -> None:
        for name, passes in stages.items():
            counted = [bool(passes(*case)) for case in found]
            scores[name] = partial(rate_of, counted, [row.problem for row, _ in found])
            found = [case for case, passed in zip(found, counted) if passed]

    def parts(prefix: str) -> dict[str, Callable]:
        return {f"{prefix}_{part}": lambda _, lines, part=part: lines and all(
            getattr(line, part) for line in lines) for part in LINE_PARTS}

    def at(row: ScoredRow, lines: list[Line], step: int) -> Case:
        return row, [line for line in lines if line.step == step]

    def blames(row: ScoredRow, _) -> bool:
        return row.blamed == row.wrong_step

    def answers(row: ScoredRow, _) -> bool:
        return row.second

    wrong = [at(*case, case[0].wrong_step) for case in cases if case[0].wrong_step]
    right = [case for case in cases if case[0].first and not case[0].unasked]
    lines = [(row, [line]) for row, found in cases for line in found]
    cascade(wrong, wrong_checked=lambda _, lines: lines, **parts("wrong"),
            wrong_blamed=blames, wrong_repaired=answers)
    cascade(wrong, blamed=blames, blamed_repaired=answers)
    cascade([case for case in wrong if blames(*case) and not answers(*case)],
            lost_sum=lambda row, _: row.claims.repairs and all(
                e.holds for e in read_equations(row.claims.repairs[0])))
    cascade(right, **parts("right"), right_agreed=lambda row, _: not row.error,
            right_kept=answers)
    cascade([at(*case, case[0].blamed) for case in right if case[0].error], **parts("alarm"))
    cascade([(row, [line]) for row, [line] in lines
             if row.first or line.step < (row.wrong_step or 0)], **parts("line"))
    for name, differ in (("line_differ", True), ("line_same", False)):
        cascade([case for case in lines if case[1][0].differ is differ],
                **{name: lambda _, lines: lines[0].comparison})
    return scores


def _if_exact(cases: list[Case], exact: set[str]) -> dict[str, Score]:
    """Scores if some parts were exact, without intervals: no estimate, but a calculation.

    A line that was not written objects to nothing. The verdict is the model's own where the
    first line that objects stays the same, else that line; with "blame" always that line.
    Where the verdict becomes another, the answer is right as often as in the traces that the
    model blamed alike (a1 right; a1 wrong and the first wrong step blamed, or another), and
    as a1 where nothing is blamed. With "repair" it is right where the first wrong step is
    blamed, with "keeping" where a1 is.
    """
    groups: dict[tuple, list[bool]] = {}
    for row, _ in cases:
        like = row.first, row.blamed == row.wrong_step, row.error
        groups.setdefault(like, []).append(row.second)
    sums = Counter()
    for row, lines in cases:
        said = next((line.step for line in lines if line.objects), None)
        blamed = next((line.step for line in lines if line.would_object(exact)), None)
        blamed = row.blamed if said == blamed and "blame" not in exact else blamed
        first, error, hit = row.first, blamed is not None, blamed == row.wrong_step
        second = float(row.second if blamed == row.blamed else first)
        if error and blamed != row.blamed and (first, hit, True) in groups:
            second = float(np.mean(groups[first, hit, True]))
        if ("keeping" in exact and first) or ("repair" in exact and error and hit):
            second = 1.0
        done = second * (error != first) * row.readable
        sums += Counter({("n", first): 1, ("verdict", first): error != first,
                         ("svr", first): done, "second": second})
    wrong, right = sums["n", False], sums["n", True]
    svr = (sums["svr", False], wrong), (sums["svr", True], right)
    parts = {"recall": (sums["verdict", False], wrong),
             "specificity": (sums["verdict", True], right)}
    delta = (sums["second"], len(cases)), (right, len(cases))
    whole = wrong and right
    return {name: Score(rate(counts), counts) for name, counts in parts.items()} | {
        "svr": Score(float(harmonic_mean(*map(rate, svr))) if whole else None, svr),
        "delta": Score(rate(delta[0]) - rate(delta[1]) if cases else None, delta)}


LARGE = 99  # sums of larger numbers are counted apart
SIZES = (f"up to {LARGE}", f"above {LARGE}", "below 0 or broken")


def false_equations(rows: Iterable[Mapping] | ScoredRows) -> dict[str, dict[str, dict]]:
    """False equations of two numbers, {"execute", "checks", "repairs": {"+ up to 99": score}}.

    A score is {value, counts, interval, null}: false / readable. The size is that of the
    largest of both numbers and of what they come to exactly; `below 0 or broken` where that
    is negative or no whole number.
    """
    found: dict[str, dict[str, list]] = {"execute": {}, "checks": {}, "repairs": {}}
    for row in (row for row in read_rows(rows) if row.claims):
        for part, text in ((part, text) for part in found for text in getattr(row.claims, part)):
            (tree, exact), equations = read_left(text), read_equations(text)
            sides = sides_of(tree)  # of a line by digits the sum, which stands last
            said = [one for one in equations if read_left(one.text)[0] == tree] or equations
            if sides and said and said[0].holds is not None:
                whole = exact >= 0 and exact.denominator == 1
                size = SIZES[max(*sides[1:], exact) > LARGE if whole else 2]
                found[part].setdefault(f"{sides[0]} {size}", []).append(
                    (not said[0].holds, row.problem))
    return {part: {name: rate_of(*zip(*cases)).to_dict()
                   for name, cases in sorted(sizes.items())} for part, sizes in found.items()}
