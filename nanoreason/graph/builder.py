"""The dependency graph of EXECUTE: which value is computed from which.

A node stands for each quantity used and each value computed, an edge for each operand of
each value. EXECUTE only shows numbers, so where an operand comes from is a matter of one
rule, `provenance`, which teacher, filter and scores share; where PLAN names the sources of
a line (see `provenance`), an operand of such a value comes from there. Nodes are tuples:

| node                                | stands for                                       |
|-------------------------------------|--------------------------------------------------|
| ("given", 0)                        | the question's first quantity                    |
| ("step", 2)                         | the value of EXECUTE's line 2                    |
| ("step", 2, 1)                      | the first of several equations in line 2         |
| ("constant", "12")                  | a named constant, such as 12 a dozen             |
| ("unknown", "line 2 operand 1")     | a number that nothing explains                   |

Node attributes: `kind` (the first entry), `value` (a Fraction: for a step the value that
the line claims, right or wrong), `canonical` (its expression over the givens); steps also
have `holds` (whether the equation is true), `operands` ((value, node), in order), `tree`
(the parsed expression, its operands as Numbers) and `dead` (whether the result does not
depend on it). Every edge runs from an earlier node to a later one, so there is no cycle.
A line without a readable equation makes the graph useless as a whole, because what
follows may depend on it: `graph.graph["unreadable"]` then says which line and why.
"""
from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction

import networkx as nx

from nanoreason.arithmetic.equations import Equation, read_equations
from nanoreason.arithmetic.expression import (ArithmeticTextError, Binary, Negative, Node, Number,
                                              parse_expression, value_of, value_or_none)
from nanoreason.graph.matching import Form, combine, negate, steps_of
from nanoreason.graph.provenance import constants_of, named_sources, possible_sources
from nanoreason.graph.quantities import quantities
from nanoreason.host import check_type
from nanoreason.trace import Claims, Trace


def _sides(equation: Equation) -> tuple[Node, Fraction] | None:
    """What an equation computes, and the value that it claims; None if unreadable."""
    try:
        left, right = parse_expression(equation.left), parse_expression(equation.right)
        if isinstance(left, Number) and not isinstance(right, Number):
            left, right = right, left  # `72 = 24 + 48` claims 72 too
        value, worked_out = value_of(right), value_of(left)
        # `1 / 4 * 100 = 25%` claims 25: a lone percentage may stand for its number.
        if isinstance(right, Number) and right.percent and 100 * value == worked_out:
            value *= 100
        return left, value
    except ArithmeticTextError:
        return None


def _readable(text: str) -> list[tuple[Equation, Node, Fraction]]:
    """The equations of a line that can be read, with what each computes and claims."""
    found = [(equation, _sides(equation)) for equation in read_equations(text)]
    return [(equation, *sides) for equation, sides in found if sides]


class _Builder:
    """Reads lines in order and grows the graph.

    An operand is mostly a number. So is a negative result (`-2 + 10`), and a fraction that the
    question has as one quantity (`3/4`).
    """

    def __init__(self, question: str):
        self.given, self.constants = quantities(question), constants_of(question)
        self.graph = nx.DiGraph(unreadable=None, ambiguous=[])
        self.results: dict[tuple, Fraction] = {}
        self.used: set[tuple] = set()
        self.forms: dict[tuple, Form] = {}

    def add_line(self, line: int, equations: Sequence[tuple[Equation, Node, Fraction]],
                 plan: str) -> None:
        """equations: at least one, see `_readable`. plan: PLAN's line, "" for none."""
        names = named_sources(plan)
        for position, (equation, left, value) in enumerate(equations, 1):
            node = ("step", line) if position == len(equations) else ("step", line, position)
            numbers: list[Number] = []
            tree = self.read(left, numbers)
            sources = self.sources(line, numbers, names)
            form = self.form(tree, iter(sources))
            self.forms[node], self.results[node] = form, value
            self.graph.add_node(
                node, kind="step", value=value, canonical=form.key, holds=equation.holds,
                tree=tree, operands=tuple((number.value, source)
                                          for number, source in zip(numbers, sources)))
            self.graph.add_edges_from((source, node) for source in sources)

    def read(self, tree: Node, numbers: list[Number]) -> Node:
        """An expression with every operand as one Number; these are added to `numbers`."""
        whole = self._one_operand(tree)
        if whole is not None:
            numbers.append(whole)
            return whole
        if isinstance(tree, Negative):
            return Negative(self.read(tree.operand, numbers))
        if tree.op == "/" and isinstance(tree.left, Binary) and tree.left.op == "*":
            share = self._written_fraction(tree.left.right, tree.right)
            if share:  # `80 * 3/4` is read as (80 * 3) / 4
                tree = Binary("*", tree.left.left, share)
        return Binary(tree.op, self.read(tree.left, numbers), self.read(tree.right, numbers))

    def _one_operand(self, tree: Node) -> Number | None:
        """The number that an expression is when it is a single operand, else None."""
        if isinstance(tree, Number):
            return tree
        if isinstance(tree, Negative) and isinstance(tree.operand, Number):
            value = -tree.operand.value
            known = value in self.results.values()
            return Number(value, f"-{tree.operand.text}") if known else None
        if isinstance(tree, Binary) and tree.op == "/":
            return self._written_fraction(tree.left, tree.right)
        return None

    def _written_fraction(self, above: Node, below: Node) -> Number | None:
        """`3/4` as one number where the question has that share as one quantity."""
        if any(not isinstance(part, Number) or part.percent for part in (above, below)):
            return None
        share = above.value / below.value  # not by 0: the equation has a value
        given = {value for quantity in self.given for value in quantity.values}
        apart = {above.value, below.value} <= given  # the question may mean 3 of 4
        lowest = (share.numerator, share.denominator) == (above.value, below.value)
        for quantity in self.given:
            written = "/" in quantity.text and share == quantity.values[0]
            if written or share in quantity.values and lowest and not apart:
                return Number(share, f"{above.text}/{below.text}")
        return None

    def form(self, tree: Node, sources: Iterator[tuple]) -> Form:
        """The canonical form of an expression whose operands come from `sources`, in order."""
        if isinstance(tree, Number):
            return self.forms[next(sources)]
        if isinstance(tree, Negative):
            return negate(self.form(tree.operand, sources))
        left = self.form(tree.left, sources)
        return combine(tree.op, left, self.form(tree.right, sources))

    def sources(self, line: int, numbers: Sequence[Number], names: list[tuple]) -> list[tuple]:
        """The node of each operand, in order: the one that PLAN names, else by the rule.

        names: what PLAN's line names; what an operand takes is removed, so that each is for one.
        """
        found = []
        for k, number in enumerate(numbers, 1):
            known = possible_sources(number, self.results, self.used, self.given, self.constants)
            source = next((named for named in names if named in known), None)
            if source is not None:
                names.remove(source)
            else:
                name = f"line {line} operand {k}"
                source = known[0] if known else ("unknown", name)
                if len(known) > 1:
                    self.graph.graph["ambiguous"].append(name)
            if source not in self.graph:
                kind, own = source
                atom = {"given": f"q{own}", "constant": own}.get(kind, f"?{number.value}")
                self.forms[source] = Form.atom(atom)
                self.graph.add_node(source, kind=kind, value=number.value,
                                    canonical=self.forms[source].key)
            self.used.add(source)
            found.append(source)
        return found


def execute_graph(lines: Sequence[str], question: str, result: str | None = None,
                  plan: Sequence[str] = ()) -> nx.DiGraph:
    """The dependency graph of EXECUTE's lines (without numbers); see the module.

    result: what EXECUTE states as its result, which is then the last step of this value
    (of lines after it nothing is needed); else, and without one, it is the last step.
    plan: PLAN's lines; the sources that they name count where each has a line of EXECUTE.
    Never raises for text that a model wrote: `graph.graph["unreadable"]` is None, or the
    reason, and then the graph holds what came before the unreadable line.
    """
    builder = _Builder(question)
    graph = builder.graph
    if not lines:
        graph.graph["unreadable"] = "EXECUTE has no lines"
    told = plan if len(plan) == len(lines) else [""] * len(lines)
    for line, (text, of_plan) in enumerate(zip(lines, told), 1):
        equations = _readable(text)
        if not equations:
            graph.graph["unreadable"] = (
                f"EXECUTE line {line}: no readable equation in {text[:60]!r}")
            break
        builder.add_line(line, equations, of_plan)
    _mark_dead(graph, result)
    return graph


def _mark_dead(graph: nx.DiGraph, result: str | None) -> None:
    steps = steps_of(graph)
    if not steps:
        return
    stated = value_or_none(result)
    same = [node for node in steps if graph.nodes[node]["value"] == stated]
    last = same[-1] if same else steps[-1]
    alive = nx.ancestors(graph, last) | {last}
    for node in steps:
        graph.nodes[node]["dead"] = node not in alive


def sources_of(graph: nx.DiGraph) -> list[list[tuple]]:
    """The node that each operand comes from, line after line; of a line, its last equation."""
    lines = max((node[1] for node in steps_of(graph)), default=0)
    return [[source for _, source in graph.nodes["step", line]["operands"]]
            for line in range(1, lines + 1)]


def dependency_graph(trace, question: str) -> nx.DiGraph:
    """The dependency graph of EXECUTE; nodes and attributes are described at the module's head.

    trace: a `Trace`, or the `Claims` that `read_claims` takes from a model's text. question: the
    text in which operands that are no earlier result are looked for.
    """
    check_type((Trace, Claims), "a Trace, as parse_trace reads it from a text", trace=trace)
    check_type(str, "the question's text", question=question)
    result = trace.result if isinstance(trace, Trace) else trace.a1
    return execute_graph(trace.execute, question, result, trace.plan)


def dead_steps(graph: nx.DiGraph) -> list[int]:
    """The numbers of the lines that the result does not depend on: nothing uses what they
    compute, or only other such lines do."""
    steps = steps_of(graph)
    alive = {node[1] for node in steps if not graph.nodes[node]["dead"]}
    return sorted({node[1] for node in steps} - alive)


def dead_share(graph: nx.DiGraph) -> tuple[int, int] | None:
    """(dead lines, lines) of a graph, None where it is unreadable."""
    if graph.graph["unreadable"]:
        return None
    return len(dead_steps(graph)), len({node[1] for node in steps_of(graph)})


def unknown_operands(graph: nx.DiGraph) -> list[str]:
    """The operands without a source, as "line 2 operand 1", in order."""
    return [node[1] for node, kind in graph.nodes(data="kind") if kind == "unknown"]
