"""How two dependency graphs match: canonical expressions, alignment, edge F1 and its null.

A canonical expression is one spelling for all ways to write the same sums and products:
commutative and associative operations are ordered, with subtraction and division as signed
terms, so `a - b - c` and `a - (c + b)` are one expression. Nothing is multiplied out and
nothing is cancelled: how a value is composed is what is compared, not what it comes to.

For the same reason graphs are *flattened* before they are aligned (`flatten`): a line of several
operations is taken apart, and a value that one other alone uses is merged into it where both are
sums or both are products, so that order, grouping and number of lines make no difference.
"""
from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import networkx as nx
import numpy as np
from scipy.optimize import linear_sum_assignment

from nanoreason.arithmetic.expression import Negative, Node, Number, value_or_none
from nanoreason.host import check_type

LONGEST_KEY = 200  # characters; a longer key is hashed
SAME_EXPRESSION, SAME_VALUE = 2, 1  # what a pair of nodes weighs


@dataclass(frozen=True)
class Form:
    """One canonical expression; two are the same exactly when their `key` is.

    kind: "sum", "product" or "atom". terms: (key, sign) -> how often it occurs; sign -1
    means subtracted or divided by.
    """

    kind: str
    terms: Counter
    key: str

    @classmethod
    def atom(cls, key: str) -> Form:
        """What is not taken apart: a quantity, a power."""
        return cls("atom", Counter({(key, 1): 1}), key)


def combine(operator: str, left: Form, right: Form) -> Form:
    """`left operator right`; sums of sums and products of products become one."""
    if operator == "^":
        return Form.atom(f"({left.key} ^ {right.key})")
    kind = "sum" if operator in "+-" else "product"
    terms: Counter = Counter()
    for form, turn in ((left, 1), (right, -1 if operator in "-/" else 1)):
        if form.kind == kind:
            for (key, sign), count in form.terms.items():
                terms[key, sign * turn] += count
        else:
            terms[form.key, turn] += 1
    if sum(terms.values()) == 1:
        (key, sign), = terms
        if sign > 0:
            return Form.atom(key)
    parts = [
        ("+-" if kind == "sum" else "*/")[sign < 0] + (f"{count}x" if count > 1 else "") + key
        for (key, sign), count in sorted(terms.items())
    ]
    key = f"({' '.join(parts)})"
    if len(key) > LONGEST_KEY:  # repeated squaring must not grow without bound
        key = "#" + hashlib.sha256(key.encode()).hexdigest()[:24]
    return Form(kind, terms, key)


def negate(form: Form) -> Form:
    """`-form`, a sum of its own."""
    return combine("-", Form("sum", Counter(), ""), form)


def steps_of(graph: nx.DiGraph) -> list[tuple]:
    """The nodes that EXECUTE's lines compute, in order."""
    return [node for node, kind in graph.nodes(data="kind") if kind == "step"]


def align(student: nx.DiGraph, teacher: nx.DiGraph) -> dict:
    """One-to-one map of student nodes to teacher nodes of maximum total weight.

    Ties go by order (givens, steps, constants, numbers without a source; each in reading
    order, but of steps that compute the same the most used one first): of the maps of equal
    weight the one that takes the earliest nodes on both sides and crosses least is chosen,
    so the result never depends on the solver.
    """
    ours, theirs = _in_order(student), _in_order(teacher)
    if not ours or not theirs:
        return {}
    weight = np.zeros((len(ours), len(theirs)))
    for attribute, gain in (("value", SAME_VALUE), ("canonical", SAME_EXPRESSION)):
        places: dict = {}
        for column, node in enumerate(theirs):
            key = teacher.nodes[node].get(attribute)
            if key is not None:
                places.setdefault(key, []).append(column)
        for row, node in enumerate(ours):
            weight[row, places.get(student.nodes[node].get(attribute), [])] = gain
    # Only pairs with a weight may take part. Their order decides last: any pair's bonus
    # is too small to outweigh one unit of weight over the whole assignment.
    rows = np.arange(len(ours))[:, None] / len(ours)
    columns = np.arange(len(theirs))[None, :] / len(theirs)
    size = min(len(ours), len(theirs))
    early = (2 - rows - columns) / (4 * size)  # the sum over an assignment is below 1/2
    level = rows * columns / (64 * size * size * len(ours) * len(theirs))
    score = np.where(weight > 0, weight + early + level, 0.0)
    chosen = zip(*linear_sum_assignment(score, maximize=True))
    return {ours[row]: theirs[column] for row, column in chosen if weight[row, column] > 0}


def _in_order(graph: nx.DiGraph) -> list:
    kinds = ("given", "step", "constant", "unknown")
    places = {kind: place for place, kind in enumerate(kinds)}
    order = sorted(graph, key=lambda node: places.get(graph.nodes[node].get("kind"), len(kinds)))
    return _with_twins_ranked(graph, order)


def _with_twins_ranked(graph: nx.DiGraph, order: list) -> list:
    """The order with lines that compute the same (twins) put in one by what they are for.

    Which of two twins a later line uses is a matter of their places in the text, which must
    not count: the most used twin comes first, then the one that uses earlier twins.
    """
    groups: dict[tuple, list[int]] = {}  # (kind, canonical) -> places
    for place, node in enumerate(order):
        if graph.nodes[node].get("canonical") is not None:
            key = graph.nodes[node].get("kind"), graph.nodes[node]["canonical"]
            groups.setdefault(key, []).append(place)
    twins = [places for places in groups.values() if len(places) > 1]
    uses = {order[place]: _uses(graph, order[place]) for places in twins for place in places}
    for _ in twins:  # twins of twins: what one group comes to decides the next
        rank = {order[place]: number for places in twins for number, place in enumerate(places)}
        for places in twins:
            ranked = sorted((order[place] for place in places), key=lambda node: (
                uses[node], sorted((str(graph.nodes[source].get("canonical")), rank.get(source, 0))
                                   for source in graph.predecessors(node))))
            for place, node in zip(places, ranked):
                order[place] = node
    return order


def _uses(graph: nx.DiGraph, node) -> tuple[int, list[str], list[str]]:
    """A sort key, most used first: what is computed from a node, whatever its number."""
    far, near = (sorted(str(graph.nodes[other].get("canonical")) for other in found)
                 for found in (nx.descendants(graph, node), graph.successors(node)))
    return -len(far) - len(near), far, near


def matched_edges(student: nx.DiGraph, teacher: nx.DiGraph) -> set[tuple]:
    """The student's edges whose aligned ends are joined by an edge of the teacher's."""
    partner = align(student, teacher)
    return {
        (source, target) for source, target in student.edges
        if source in partner and target in partner
        and teacher.has_edge(partner[source], partner[target])
    }


def edge_f1(student: nx.DiGraph, teacher: nx.DiGraph, flat: bool = True) -> float:
    """2 * matched edges / (student edges + teacher edges), between 0 and 1.

    flat: of the flattened graphs; False: of the graphs as they are. 0 where either graph is
    marked unreadable, and where neither has an edge.
    """
    check_type(nx.DiGraph, "a graph that dependency_graph made", student=student, teacher=teacher)
    if student.graph.get("unreadable") or teacher.graph.get("unreadable"):
        return 0.0
    if flat:
        student, teacher = flatten(student), flatten(teacher)
    edges = student.number_of_edges() + teacher.number_of_edges()
    return 2 * len(matched_edges(student, teacher)) / edges if edges else 0.0


_KINDS = {"+": "sum", "-": "sum", "*": "product", "/": "product"}


@dataclass
class _Parts:
    """A graph's operations one by one. names: of the nodes, each after its operands; computed:
    how many of the names from the end are no sources; kinds, operands (places in `names`), values
    and forms of each; answer: the place of what the result is, None without a step."""

    names: list
    kinds: list
    operands: list[list[int]]
    forms: list
    values: list
    answer: int | None = None

    def add(self, name, kind, operands, form, value=None) -> int:
        self.names.append(name)
        self.kinds.append(kind)
        self.operands.append(operands)
        self.forms.append(form)
        self.values.append(value)
        return len(self.names) - 1


def _parts(graph: nx.DiGraph) -> _Parts:
    """The operations of a graph. Its edges decide: what was cut from it is no operand."""
    parts, place = _Parts([], [], [], [], []), {}
    for node, data in graph.nodes(data=True):
        if data["kind"] != "step":
            place[node] = parts.add(node, None, [], Form.atom(data["canonical"]), data["value"])
    for node in steps_of(graph):
        data = graph.nodes[node]
        sources = iter([source for _, source in data.get("operands", ())])
        root = _take_apart(parts, data["tree"], sources, place, graph, node) \
            if "tree" in data else parts.add(node, None, [], None)
        if parts.names[root] is not node:  # a line that restates one number
            root = parts.add(node, "same", [root], parts.forms[root])
        known = {place.get(source) for _, source in data.get("operands", ())}
        parts.operands[root] += [place[source] for source in graph.predecessors(node)
                                 if place[source] not in known]
        parts.values[root] = data["value"]
        place[node] = root
        if not data.get("dead", True):
            parts.answer = root
    return parts


def _take_apart(parts: _Parts, tree: Node, sources: Iterator, place: dict, graph: nx.DiGraph,
                node, top: bool = True) -> int | None:
    if isinstance(tree, Number):
        source = next(sources)
        return place[source] if graph.has_edge(source, node) else None
    sides = [tree.operand] if isinstance(tree, Negative) else [tree.left, tree.right]
    found = [_take_apart(parts, side, sources, place, graph, node, False) for side in sides]
    forms = [Form.atom("?") if side is None else parts.forms[side] for side in found]
    negative = isinstance(tree, Negative)
    name = node if top else (*node, "part", len(parts.names))
    return parts.add(name, "sum" if negative else _KINDS.get(tree.op, "power"),
                     [side for side in found if side is not None],
                     negate(*forms) if negative else combine(tree.op, *forms),
                     None if top else value_or_none(tree))


def _merged(kinds: list, operands: list[list[int]], answer: int | None) -> set[tuple[int, int]]:
    """The edges once every value that a single other one uses is merged into it where both are
    sums, or both are products, and it is not the answer."""
    users: list[set[int]] = [set() for _ in kinds]
    for target, taken in enumerate(operands):
        for source in taken:
            users[source].add(target)
    flat, gone = [], set()
    for target, taken in enumerate(operands):
        kind, new = kinds[target], []
        for source in taken:
            same = kinds[source] == "same" or kind == "same" and kinds[source] is not None
            if len(users[source]) == 1 and source != answer and (
                    same or kind is not None and kinds[source] == kind and kind != "power"):
                new += flat[source]
                kind = kinds[source] if kind == "same" else kind
                gone.add(source)
            else:
                new.append(source)
        flat.append(new)
        kinds[target] = kind
    return {(source, target) for target, taken in enumerate(flat) if target not in gone
            for source in taken}


def flatten(graph: nx.DiGraph) -> nx.DiGraph:
    """The graph with one node for each sum and each product, however many lines it takes.

    A difference adds a negated operand, a quotient multiplies by an inverse. A value that several
    others use, or none, stays a node, and so does the answer.
    """
    parts = _parts(graph)
    edges = _merged(list(parts.kinds), parts.operands, parts.answer)
    flat = nx.DiGraph(**graph.graph)
    kept = {place for edge in edges for place in edge}
    for place, name in enumerate(parts.names):
        if place in kept or parts.kinds[place] is None:
            form = parts.forms[place]
            flat.add_node(name, kind=graph.nodes[name]["kind"] if name in graph else "step",
                          value=parts.values[place], canonical=form and form.key)
    flat.add_edges_from((parts.names[a], parts.names[b]) for a, b in edges)
    return flat


def rewired_edge_f1(
    student: nx.DiGraph, teacher: nx.DiGraph, draws: int, rng: np.random.Generator
) -> np.ndarray:
    """Edge F1 of `draws` copies of the student with every operand drawn anew, (draws,).

    Each operand of a line is replaced by a uniformly drawn earlier node: a quantity that the
    graph uses, or the value of an earlier step; then the copy is flattened. Nodes keep their
    values and their partners, so this is what the wiring alone earns: the score of the right
    nodes joined at random.
    """
    if student.graph.get("unreadable") or teacher.graph.get("unreadable") \
            or not student.number_of_edges():
        return np.zeros(draws)
    parts, goal = _parts(student), flatten(teacher)
    place = {name: number for number, name in enumerate(parts.names)}
    partner = {place[node]: other for node, other in align(flatten(student), goal).items()}
    right = {(a, b) for a in partner for b in partner if goal.has_edge(partner[a], partner[b])}
    sources = [k for k, name in enumerate(parts.names) if name in student and (
        student.nodes[name]["kind"] != "step")]
    steps = [place[node] for node in steps_of(student)]
    leaves = {*sources, *steps}
    drawn, earlier = {}, list(sources)
    for target, taken in enumerate(parts.operands):
        for number, source in enumerate(taken):
            if source in leaves:
                drawn[target, number] = rng.choice(earlier, size=draws)
        if target in steps:
            earlier.append(target)
    found = np.zeros(draws)
    for draw in range(draws):
        operands = [list(taken) for taken in parts.operands]
        for (target, number), choices in drawn.items():
            operands[target][number] = int(choices[draw])
        edges = _merged(list(parts.kinds), operands, parts.answer)
        found[draw] = 2 * len(edges & right) / (len(edges) + goal.number_of_edges())
    return found


def first_wrong_step(student: nx.DiGraph, teacher: nx.DiGraph) -> int | None:
    """The number of the first wrong step of a wrong answer, None if no step is found wrong.

    A line is wrong if an equation of it is false, or if its value is not that of an
    aligned teacher's step. A step that the student skipped is wrong under its own number:
    one that no line is aligned with, in a student of fewer lines, unless what depends on it
    is there all the same (two steps in one line). Meant for wrong answers: a right one may
    come by steps that the teacher does not have. None for unreadable graphs.
    """
    if student.graph.get("unreadable") or teacher.graph.get("unreadable"):
        return None
    partner = align(student, teacher)
    lines, steps = steps_of(student), steps_of(teacher)
    wrong = []
    for node in lines:
        data, other = student.nodes[node], partner.get(node)
        same = other in steps and teacher.nodes[other]["value"] == data["value"]
        # An inner value of a line (a chain written out) may be the student's own.
        if not data["holds"] or (len(node) == 2 and not same):
            wrong.append(node[1])
    if lines and steps and lines[-1][1] < steps[-1][1]:
        done = set(partner.values())
        reached = {other for node, other in partner.items()
                   if student.nodes[node]["canonical"] == teacher.nodes[other]["canonical"]}
        wrong += [node[1] for node in steps if node not in done
                  and not reached.intersection(nx.descendants(teacher, node))]
    return min(wrong, default=None)
