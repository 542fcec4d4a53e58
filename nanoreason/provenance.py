"""Where an operand comes from: the one rule of teacher, filter and scores alike.

EXECUTE shows numbers alone, so a source is found by its value, and the rule fixes an order.
Which of several equal quantities is meant is told by the question's wording (see `roles`).
"""
from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from fractions import Fraction

from nanoreason.constants import CONSTANTS
from nanoreason.quantities import Quantity


def provenance(
    value: Fraction,
    results: Mapping[tuple, Fraction],
    used: Collection[tuple],
    given: Sequence[Quantity],
    percent: bool = False,
    constants: Collection[Fraction] = CONSTANTS,
    cost: Callable[[tuple], tuple] | None = None,
    gives_way: Callable[[tuple], bool] | None = None,
    here: Collection[tuple] = (),
) -> tuple:
    """The node that an operand comes from: the one rule of the whole project.

    In this order: an earlier result not yet used (latest first), a quantity of the
    question (by position; of equal ones that of the lowest `cost`), an earlier result already
    used (latest first), a named constant, else ("unknown", the value as text).

    value: the operand; percent: whether it is written with a per cent sign, so that `20%`
    may also be the number 20. results: earlier step nodes in order with their values.
    used: the nodes that some operand came from already; the caller keeps it. constants:
    those that the question speaks of. cost: of a quantity's node, see `roles`; without it,
    the first quantity not yet used. gives_way: whether a quantity is no such number here where
    a result is (`20%` is 20 and `twice` is 2, but neither is an amount to be added). here: the
    nodes of the line's other operands; of results of one value another one is meant.
    """
    values = (value, 100 * value) if percent else (value,)
    latest = [node for node in reversed(results) if results[node] in values]
    latest.sort(key=lambda node: node in here)
    for node in latest:
        if node not in used:
            return node
    asked = [("given", quantity.index) for quantity in given
             if any(v in quantity.values for v in values)]
    if latest and gives_way:
        asked = [node for node in asked if not gives_way(node)]
    if asked:
        return min(asked, key=cost or (lambda node: node in used))
    if latest:
        return latest[0]
    for v in values:
        if v in constants:
            return ("constant", str(v))
    return ("unknown", str(value))
