"""One intervention a trace: change the value of an EXECUTE line, see what follows it.

If later lines are computed from earlier ones, a changed value must travel: lines that
depend on it use the new value, the others stay as they were. `choose_intervention` picks
the line and the value, `intervene` gives the text to continue from, and `followed` judges
what was then generated.
"""
from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from fractions import Fraction
from itertools import groupby
from operator import itemgetter

import networkx as nx

from nanoreason.arithmetic.answers import NUMBER
from nanoreason.arithmetic.equations import read_equations
from nanoreason.arithmetic.expression import Binary, Negative, Node, Number, value_or_none
from nanoreason.data.problem import write_number
from nanoreason.graph.builder import execute_graph
from nanoreason.graph.matching import steps_of
from nanoreason.graph.quantities import quantities
from nanoreason.host import GivenError
from nanoreason.stages import MARKER, NUMBERED, Stage
from nanoreason.trace import closing_of, read_claims, stage_of

FARTHEST = 1000  # how far a new value lies from the old one; more would only cost time


def choose_intervention(text: str, question: str, rng) -> dict | None:
    """{"step", "old", "new"} for a trace, or None if no line has a dependent.

    The line is drawn uniformly from those with a dependent in the trace's own graph. The
    new value stands neither in the question nor in the trace. Among such values near the
    old one, those are preferred with which all that follows stays positive and as whole as
    it was, so that a small model can write it down. rng: anything with `random()`.
    """
    claims = read_claims(text)
    graph = execute_graph(claims.execute, question, plan=claims.plan)
    if graph.graph["unreadable"]:
        return None
    lines = sorted(
        node[1] for node, data in graph.nodes(data=True)
        if data["kind"] == "step" and len(node) == 2 and _later_dependents(graph, node)
        and _can_change(text, node[1], data["value"])
    )
    if not lines:
        return None
    step = lines[int(rng.random() * len(lines))]
    old = graph.nodes["step", step]["value"]
    seen = {Fraction(n.replace(",", "")) for n in NUMBER.findall(question + " " + text)}
    seen |= {abs(value) for q in quantities(question) for value in q.values}
    seen |= {abs(value) for _, value in graph.nodes(data="value")}
    reach = min(max(10, int(abs(old))), FARTHEST)
    near = [old + shift for shift in range(-reach, reach + 1) if old + shift > 0]
    free = [value for value in near if value not in seen] or [max(seen) + 1]
    order = sorted((rng.random(), value) for value in free)
    largest = max(max(seen), 99)
    plain = (value for _, value in order if _stays_plain(graph, step, value, largest))
    new = next(plain, order[0][1])
    return {"step": step, "old": write_number(old), "new": write_number(new)}


def _can_change(text: str, step: int, old: Fraction) -> bool:
    """Whether the line writes its value as the number that it is (`= 20 %` does not)."""
    value = write_number(old)
    try:
        intervene(text, {"step": step, "old": value, "new": value})
    except ValueError:
        return False
    return True


def _later_dependents(graph: nx.DiGraph, node: tuple) -> set[int]:
    return {other[1] for other in nx.descendants(graph, node)} - {node[1]}


def _stays_plain(graph: nx.DiGraph, step: int, new: Fraction, largest: Fraction) -> bool:
    values = propagate(graph, step, new)
    return values is not None and all(
        0 < value <= largest
        and (value.denominator == 1 or graph.nodes[node]["value"].denominator != 1)
        for node, value in values.items() if node[1] >= step
    )


def propagate(graph: nx.DiGraph, step: int, new: Fraction) -> dict[tuple, Fraction] | None:
    """The value of every step node if line `step` had the value `new`.

    Lines that do not depend on it keep the value that they claim; a dependent line is
    worked out. None where that cannot be done (a division by zero).
    """
    values = {node: data["value"] for node, data in graph.nodes(data=True) if node[0] == "step"}
    values["step", step] = Fraction(new)
    dependents = nx.descendants(graph, ("step", step))
    found = work_out(graph, [node for node in values if node in dependents], values)
    return None if found is None else values


def work_out(graph: nx.DiGraph, nodes: Iterable[tuple], values: dict[tuple, Fraction]
             ) -> dict[tuple, Node] | None:
    """The expressions of steps, worked out anew in order with the values of other steps.

    values: of the steps before them; those of `nodes` are put in. None where a step cannot
    be worked out (a division by zero).
    """
    trees = {}
    for node in nodes:
        trees[node] = _fill(graph.nodes[node]["tree"], iter(_operands(graph, node, values)))
        values[node] = value_or_none(trees[node])
        if values[node] is None:
            return None
    return trees


def _operands(graph: nx.DiGraph, node: tuple, values: Mapping[tuple, Fraction]
              ) -> list[Fraction]:
    """The operands of a step with the values of steps taken from `values`."""
    found = []
    for value, source in graph.nodes[node]["operands"]:
        if source in values:
            # `20%` may be written for a step's value of 20.
            same = value == graph.nodes[source]["value"]
            value = values[source] if same else values[source] / 100
        found.append(value)
    return found


def _fill(tree: Node, operands: Iterator[Fraction]) -> Node:
    """The expression with its numbers replaced, left to right."""
    if isinstance(tree, Number):
        value = next(operands)
        return tree if value == tree.value else Number(value, write_number(value))
    if isinstance(tree, Negative):
        return Negative(_fill(tree.operand, operands))
    left = _fill(tree.left, operands)
    return Binary(tree.op, left, _fill(tree.right, operands))


def intervene(text: str, intervention: dict) -> str:
    """The text up to and with the changed line, a line break at its end.

    Raises ValueError if EXECUTE has no such line, or the line does not state `old`.
    """
    step, old, new = intervention["step"], intervention["old"], intervention["new"]
    lines = text.split("\n")
    begin = next((place for place, line in enumerate(lines, 1)
                  if stage_of(line) is Stage.EXECUTE), len(lines))
    end = next((place for place, line in enumerate(lines[begin:], begin)
                if MARKER.match(line.strip()) or closing_of(line)), len(lines))
    starts = [place for place in range(begin, end) if NUMBERED.match(lines[place])]
    if not 1 <= step <= len(starts):
        raise GivenError(f"EXECUTE has {len(starts)} numbered lines, no line {step} to change")
    start, stop = [*starts, end][step - 1:step + 1]
    item = "\n".join(lines[start:stop]).rstrip()
    offset = NUMBERED.match(item).start(2)
    equations = [e for e in read_equations(item[offset:]) if e.holds is not None]
    if not equations:
        raise GivenError(f"EXECUTE line {step} has no readable equation: {item[:60]!r}")
    first, last = (offset + place for place in equations[-1].span)
    numbers = re.finditer(rf"-?(?:{NUMBER.pattern})(?:/[0-9]+)?", item[first:last])
    for match in reversed(list(numbers)):  # the claimed value is the last number equal to it
        if None is not value_or_none(match.group()) == value_or_none(old):
            before, after = item[:first + match.start()], item[first + match.end():]
            return "\n".join([*lines[:start], before + new + after, ""])
    raise GivenError(f"EXECUTE line {step} does not state {old}: {item[:60]!r}")


def followed(parent: nx.DiGraph, child: nx.DiGraph, intervention: dict) -> bool | None:
    """Whether every later line of the child does with the new value what the parent did
    with the old one.

    A dependent line must have the parent's operands with the propagated values in place of
    the old ones (in any order: a sum may be turned round), every other later line must be
    unchanged, and no line may be missing or added. None where the parent's line has no
    dependent, or the new value or what depends on it cannot be worked out.
    """
    step, new = intervention["step"], value_or_none(str(intervention["new"]))
    if new is None or parent.graph["unreadable"] or ("step", step) not in parent:
        return None
    dependents = _later_dependents(parent, ("step", step))
    values = propagate(parent, step, new)
    if not dependents or values is None:
        return None
    if child.graph["unreadable"]:
        return False
    before, after = _lines(parent), _lines(child)

    def stated(graph: nx.DiGraph, nodes: list[tuple]) -> list[tuple]:
        return [(graph.nodes[node]["tree"], graph.nodes[node]["value"]) for node in nodes]

    def as_due(line: int) -> bool:
        if line not in dependents:
            return stated(parent, before[line]) == stated(child, after[line])
        due = [value for node in before[line] for value in _operands(parent, node, values)]
        used = [value for node in after[line] for value, _ in child.nodes[node]["operands"]]
        return sorted(due) == sorted(used)

    return before.keys() == after.keys() and all(as_due(line) for line in before if line > step)


def _lines(graph: nx.DiGraph) -> dict[int, list[tuple]]:
    """The step nodes of each line, in order."""
    return {line: list(nodes) for line, nodes in groupby(steps_of(graph), itemgetter(1))}
