"""Provenance, dependency graphs, alignment and edge F1, on cases worked out by hand."""
import random
import time
from fractions import Fraction

import networkx as nx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nanoreason.errors import KINDS, CorruptionError, corrupt
from nanoreason.feasibility import infeasible_step, plan_lines
from nanoreason.graph import (
    align,
    canonical,
    dead_steps,
    dependency_graph,
    edge_f1,
    execute_graph,
    first_wrong_step,
    matched_edges,
    provenance,
    rewired_edge_f1,
    unknown_operands,
)
from nanoreason.procedural import problems
from nanoreason.quantities import quantities
from nanoreason.teacher import procedural_trace
from nanoreason.trace import read_claims, render_trace

CLIPS = ("Natalia sold clips to 48 of her friends in April, and then she sold half as many "
         "clips in May. How many clips did Natalia sell in April and May?")
APPLES = "Ann has 12 apples. She buys 9 more and gives 5 away. She has 40 nuts."


def edges(graph):
    return set(graph.edges)


# --- provenance -----------------------------------------------------------------------

def test_order_of_provenance():
    quantity = quantities(APPLES)
    five = Fraction(5)
    results = {("step", 1): five, ("step", 2): five}
    assert provenance(five, results, set(), quantity) == ("step", 2)
    assert provenance(five, results, {("step", 2)}, quantity) == ("step", 1)
    assert provenance(five, results, set(results), quantity) == ("given", 2)
    assert provenance(five, results, set(results), ()) == ("step", 2)
    assert provenance(Fraction(60), results, set(), quantity) == ("constant", "60")
    assert provenance(Fraction(7919), results, set(), quantity) == ("unknown", "7919")


def test_a_quantity_is_found_by_position():
    question = "Tom has 5 red balls, 5 blue balls and 3 bats."
    assert provenance(Fraction(5), {}, set(), quantities(question)) == ("given", 0)
    assert provenance(Fraction(3), {}, set(), quantities(question)) == ("given", 2)


def test_a_written_percentage_may_be_a_result():
    results = {("step", 1): Fraction(20)}
    assert provenance(Fraction(1, 5), results, set(), (), percent=True) == ("step", 1)
    assert provenance(Fraction(1, 5), results, set(), ())[0] == "unknown"


# --- graphs ---------------------------------------------------------------------------

def test_graph_of_the_example():
    graph = execute_graph(["48 / 2 = 24", "24 + 48 = 72"], CLIPS)
    assert graph.graph["unreadable"] is None
    assert edges(graph) == {
        (("given", 0), ("step", 1)), (("given", 1), ("step", 1)),
        (("step", 1), ("step", 2)), (("given", 0), ("step", 2)),
    }
    assert graph.nodes["step", 2]["value"] == 72
    assert graph.nodes["given", 0]["value"] == 48
    assert canonical(graph, ("given", 0)) == "q0"


def test_edges_are_a_set():
    graph = execute_graph(["12 + 12 + 12 = 36"], APPLES)
    assert edges(graph) == {(("given", 0), ("step", 1))}


def test_the_claimed_value_is_what_later_lines_use():
    graph = execute_graph(["48 / 2 = 25", "25 + 48 = 73"], CLIPS)
    assert (("step", 1), ("step", 2)) in edges(graph)
    assert graph.nodes["step", 1]["holds"] is False


def test_units_several_operands_and_reversed_equations():
    graph = execute_graph(["12 apples + 9 apples - 5 = 16 apples", "56 = 40 + 16"], APPLES)
    assert edges(graph) == {
        (("given", 0), ("step", 1)), (("given", 1), ("step", 1)), (("given", 2), ("step", 1)),
        (("given", 3), ("step", 2)), (("step", 1), ("step", 2)),
    }


def test_percent_operands():
    question = "A coat costs $80. It is 20% off. A hat costs half of it."
    for line in ("80 * 20% = 16", "80 * 0.2 = 16", "80 * 20 / 100 = 16"):
        graph = execute_graph([line], question)
        assert {(("given", 0), ("step", 1)), (("given", 1), ("step", 1))} <= edges(graph), line
        assert not unknown_operands(graph), line


def test_a_fraction_of_the_question_is_one_operand():
    both = {(("given", 0), ("step", 1)), (("given", 1), ("step", 1))}
    for words in ("3/4", "three fourths"):
        for line in ("3/4 * 80 = 60", "80 * 3/4 = 60", "80 * (3/4) = 60", "0.75 * 80 = 60"):
            graph = execute_graph([line], f"She gave {words} of her 80 stamps away.")
            assert edges(graph) == both, (words, line)
    # Where the question names 3 and 4 themselves, they are two operands.
    apart = execute_graph(["3 / 4 = 0.75"], "Of 4 pens 3 are red, so 75% are. How many of 8?")
    assert len(apart.nodes["step", 1]["operands"]) == 2


def test_negative_results_are_traced():
    graph = execute_graph(["9 - 12 = -3", "-3 + 40 = 37"], APPLES)
    assert (("step", 1), ("step", 2)) in edges(graph)
    assert not unknown_operands(graph)


def test_several_equations_in_a_line():
    graph = execute_graph(["12 + 9 = 21 and 21 - 5 = 16", "16 + 40 = 56"], APPLES)
    assert (("step", 1, 1), ("step", 1)) in edges(graph)
    assert (("step", 1), ("step", 2)) in edges(graph)


@pytest.mark.parametrize("lines", [[], ["12 + 9 = 21", "so it is done"], ["x = 5"], ["1/0 = 3"]])
def test_an_unreadable_line_spoils_the_graph(lines):
    graph = execute_graph(lines, APPLES)
    assert graph.graph["unreadable"]
    teacher = execute_graph(["12 + 9 = 21"], APPLES)
    assert edge_f1(graph, teacher) == 0 == edge_f1(teacher, graph)
    assert rewired_edge_f1(graph, teacher, 10, np.random.default_rng(0)).tolist() == [0] * 10


def test_claims_and_traces_give_the_same_graph():
    problem = next(iter(problems("train", 1, seed=3)))
    trace = procedural_trace(problem)
    claims = read_claims(render_trace(trace))
    one, two = (dependency_graph(x, problem.question) for x in (trace, claims))
    assert edges(one) == edges(two) and len(edges(one)) > 0


def test_graphs_of_procedural_traces_are_the_known_graphs():
    for problem in problems("train", 200, seed=5):
        graph = dependency_graph(procedural_trace(problem), problem.question)
        known = {
            ((operand.kind, operand.index), ("step", number))
            for number, step in enumerate(problem.steps, 1)
            for operand in (step.left, step.right)
        }
        assert edges(graph) == known, problem.question


def test_unknown_operands_and_dead_steps():
    graph = execute_graph(["12 + 7919 = 7931", "9 - 5 = 4", "12 + 9 = 21"], APPLES)
    assert unknown_operands(graph) == ["line 1 operand 2"]
    assert dead_steps(graph) == [1, 2]
    assert dead_steps(execute_graph(["48 / 2 = 24", "24 + 48 = 72"], CLIPS)) == []


# --- canonical expressions ---------------------------------------------------------------

def same(first, second, question=APPLES):
    graphs = [execute_graph(lines, question) for lines in (first, second)]
    return len({canonical(g, ("step", len(x))) for g, x in zip(graphs, (first, second))}) == 1


def test_commutative_and_associative_operations_are_ordered():
    assert same(["12 + 9 = 21"], ["9 + 12 = 21"])
    assert same(["12 * 9 = 108"], ["9 * 12 = 108"])
    assert same(["12 + 9 = 21", "21 + 40 = 61"], ["9 + 40 = 49", "12 + 49 = 61"])
    assert same(["12 + 9 = 21", "21 - 5 = 16"], ["12 - 5 = 7", "7 + 9 = 16"])
    assert same(["40 * (12 + 9) = 840"], ["9 + 12 = 21", "21 * 40 = 840"])


def test_other_operations_are_not():
    assert not same(["12 - 9 = 3"], ["9 - 12 = -3"])
    assert not same(["12 / 5 = 2.4"], ["5 / 12 = 5/12"])
    assert not same(["12 + 9 = 21"], ["12 * 9 = 108"])
    assert not same(["12 + 9 = 21"], ["12 + 12 = 24"])
    # Nothing is multiplied out.
    assert not same(["40 * (12 + 9) = 840"], ["40 * 12 = 480", "40 * 9 = 360", "480 + 360 = 840"])


def test_repeated_squaring_stays_small():
    lines, value = [], 12
    for _ in range(9):
        lines.append(f"{value} * {value} + {value} = {value * value + value}")
        value = value * value + value
    lines = [line for line in lines if len(line) < 150]
    graph = execute_graph(lines, APPLES)
    assert graph.graph["unreadable"] is None and len(lines) > 4
    assert all(len(canonical(graph, node)) <= 200 for node in graph)


# --- alignment and edge F1 ----------------------------------------------------------------

def test_identical_graphs_score_one_and_disjoint_ones_zero():
    teacher = execute_graph(["48 / 2 = 24", "24 + 48 = 72"], CLIPS)
    assert edge_f1(teacher, teacher) == 1
    other = execute_graph(["7 * 11 = 77"], "There are 7 rows of 11 seats.")
    assert edge_f1(other, teacher) == 0


def test_edge_f1_by_hand():
    teacher = execute_graph(["12 + 9 = 21", "21 - 5 = 16"], APPLES)  # 4 edges
    half = execute_graph(["12 + 9 = 21"], APPLES)  # 2 edges, both matched
    assert edge_f1(half, teacher) == pytest.approx(2 * 2 / (2 + 4))
    longer = execute_graph(["12 + 9 = 21", "21 - 5 = 16", "16 + 40 = 56"], APPLES)  # 6 edges
    assert edge_f1(longer, teacher) == pytest.approx(2 * 4 / (6 + 4))
    # The second line takes 40 for 5: its node has no partner, so both its edges are lost.
    swapped = execute_graph(["12 + 9 = 21", "40 - 21 = 19"], APPLES)
    assert edge_f1(swapped, teacher) == pytest.approx(2 * 2 / (4 + 4))


def test_a_wrong_value_still_aligns_by_its_expression():
    teacher = execute_graph(["12 + 9 = 21", "21 - 5 = 16"], APPLES)
    slip = execute_graph(["12 + 9 = 22", "22 - 5 = 17"], APPLES)
    assert edge_f1(slip, teacher) == 1


def test_another_expression_aligns_by_its_value():
    teacher = execute_graph(["48 / 2 = 24", "24 + 48 = 72"], CLIPS)
    other = execute_graph(["48 - 24 = 24", "24 + 48 = 72"], CLIPS)
    partner = align(other, teacher)
    assert partner["step", 1] == ("step", 1)
    # Of its 4 edges the unknown 24 has no counterpart.
    assert len(matched_edges(other, teacher)) == 3
    assert edge_f1(other, teacher) == pytest.approx(2 * 3 / (4 + 4))


def test_expression_outweighs_value():
    question = "There are 6 cats, 4 dogs, 3 birds and 7 fish."
    teacher = execute_graph(["6 + 4 = 10", "3 + 7 = 10"], question)
    student = execute_graph(["3 + 7 = 10", "6 + 4 = 10"], question)
    partner = align(student, teacher)
    assert partner["step", 1] == ("step", 2) and partner["step", 2] == ("step", 1)
    assert edge_f1(student, teacher) == 1


def test_ties_go_by_order():
    graph, one = nx.DiGraph(), nx.DiGraph()
    graph.add_nodes_from([("step", k) for k in range(1, 6)], kind="step", value=Fraction(7))
    one.add_node(("step", 1), kind="step", value=Fraction(7))
    assert align(graph, graph) == {node: node for node in graph}
    assert align(graph, one) == {("step", 1): ("step", 1)}
    assert align(one, graph) == {("step", 1): ("step", 1)}


def test_alignment_has_maximum_weight_whatever_the_order():
    # An early greedy pair would cost the other two: 2 = expression, 1 = value.
    student, teacher = nx.DiGraph(), nx.DiGraph()
    student.add_node("s1", value=1, canonical="a")
    student.add_node("s2", value=1, canonical="b")
    teacher.add_node("t1", value=1, canonical="b")
    teacher.add_node("t2", value=9, canonical="a")
    assert align(student, teacher) == {"s1": "t2", "s2": "t1"}


@st.composite
def solutions(draw):
    """Random steps over givens with distinct values: (operator, operand, operand)."""
    givens = draw(st.lists(st.integers(2, 97), min_size=3, max_size=5, unique=True))
    question = "There are " + ", ".join(f"{n} things" for n in givens) + "."
    values, steps = [Fraction(n) for n in givens], []
    for _ in range(draw(st.integers(2, 5))):
        left, right = draw(st.sampled_from(range(len(values)))), draw(
            st.sampled_from(range(len(values))))
        sign = draw(st.sampled_from("+*-"))
        if sign == "-" and values[left] < values[right]:
            left, right = right, left
        value = {"+": values[left] + values[right], "*": values[left] * values[right],
                 "-": values[left] - values[right]}[sign]
        if value in values or not 100 < value < 10**6 or left == right:
            continue
        steps.append((sign, left, right))
        values.append(value)
    return question, givens, steps


def write(givens, steps, order=None, swap=False):
    """Lines of steps, in another order if it respects what they need, operands swapped."""
    values = [Fraction(n) for n in givens]
    for sign, left, right in steps:
        values.append({"+": values[left] + values[right], "*": values[left] * values[right],
                       "-": values[left] - values[right]}[sign])
    lines = []
    for number in order or range(len(steps)):
        sign, left, right = steps[number]
        if swap and sign != "-":
            left, right = right, left
        lines.append(f"{values[left]} {sign} {values[right]} = {values[len(givens) + number]}")
    return lines


@settings(max_examples=60, deadline=None)
@given(solutions(), st.randoms(use_true_random=False))
def test_renumbering_and_commuting_change_nothing(solution, rng):
    question, givens, steps = solution
    if not steps:
        return
    needs = nx.DiGraph()
    needs.add_nodes_from(range(len(steps)))
    for number, (_, left, right) in enumerate(steps):
        needs.add_edges_from((p - len(givens), number) for p in (left, right) if p >= len(givens))
    key = {n: rng.random() for n in needs}
    order = list(nx.lexicographical_topological_sort(needs, key=key.get))
    teacher = execute_graph(write(givens, steps), question)
    student = execute_graph(write(givens, steps, order, swap=True), question)
    assert edge_f1(student, teacher) == 1 == edge_f1(teacher, student)


@settings(max_examples=60, deadline=None)
@given(solutions(), st.randoms(use_true_random=False), st.sampled_from(["drop", "add", "rewire"]))
def test_a_changed_edge_lowers_the_score(solution, rng, change):
    question, givens, steps = solution
    teacher = execute_graph(write(givens, steps), question)
    if teacher.graph["unreadable"]:
        return
    student = teacher.copy()
    source, target = rng.choice(sorted(student.edges))
    free = [node for node in student if not student.has_edge(node, target) and node != target]
    if change != "add":
        student.remove_edge(source, target)
    if change != "drop":
        if not free:
            return
        student.add_edge(rng.choice(free), target)
    assert edge_f1(student, teacher) < 1
    assert edge_f1(student, teacher) == pytest.approx(edge_f1(teacher, student))


def test_a_thousand_pairs_take_seconds():
    made = list(problems("test_ood", 100, seed=1))
    pairs = [(procedural_trace(p).execute, p.question) for p in made] * 10
    start = time.process_time()
    for lines, question in pairs:
        student, teacher = execute_graph(lines[::-1], question), execute_graph(lines, question)
        edge_f1(student, teacher)
    assert time.process_time() - start < 10


# --- the null -----------------------------------------------------------------------------

def test_null_by_hand():
    # One step from two of two quantities: each operand is 12 or 9 with equal chance. Both
    # the same (chance 1/2): one edge, F1 = 2/3; else 1. The mean is 5/6.
    teacher = execute_graph(["12 + 9 = 21"], APPLES)
    values = rewired_edge_f1(teacher, teacher, 20_000, np.random.default_rng(0))
    assert set(np.round(values, 6)) == {round(2 / 3, 6), 1.0}
    assert values.mean() == pytest.approx(5 / 6, abs=0.01)


def test_null_draws_earlier_nodes_only_and_is_seeded():
    teacher = execute_graph(["12 + 9 = 21", "21 - 5 = 16", "16 + 40 = 56"], APPLES)
    first = rewired_edge_f1(teacher, teacher, 100, np.random.default_rng(4))
    assert np.array_equal(first, rewired_edge_f1(teacher, teacher, 100, np.random.default_rng(4)))
    assert first.mean() < 0.8
    # The last step could not feed the first: an edge from it never appears as a match.
    backwards = teacher.copy()
    backwards.remove_edges_from(list(backwards.edges))
    backwards.add_edge(("step", 3), ("step", 1))
    values = rewired_edge_f1(teacher, backwards, 500, np.random.default_rng(0))
    assert values.max() == 0


# --- first wrong step, plans ----------------------------------------------------------------

def test_first_wrong_step():
    teacher = execute_graph(["12 + 9 = 21", "21 - 5 = 16", "16 + 40 = 56"], APPLES)
    cases = {
        2: ["12 + 9 = 21", "21 - 5 = 17", "17 + 40 = 57"],  # slip
        1: ["12 * 9 = 108", "108 - 5 = 103", "103 + 40 = 143"],  # operator
        3: ["12 + 9 = 21", "21 - 5 = 16", "16 + 12 = 28"],  # operand
        None: ["12 + 9 = 21", "21 - 5 = 16", "16 + 40 = 56"],
    }
    for expected, lines in cases.items():
        assert first_wrong_step(execute_graph(lines, APPLES), teacher) == expected
    skipped = ["12 + 9 = 21", "21 + 40 = 61"]  # step 2 skipped: blamed on its own number
    assert first_wrong_step(execute_graph(skipped, APPLES), teacher) == 2
    assert first_wrong_step(execute_graph(["?"], APPLES), teacher) is None


def test_planted_errors_are_found_where_they_were_planted():
    checked = coincidences = 0
    for problem in problems("train", 80, seed=11):
        trace = procedural_trace(problem)
        teacher = dependency_graph(trace, problem.question)
        for kind in KINDS:
            try:
                wrong = corrupt(trace, kind, random.Random(problem.id + kind))
            except CorruptionError:
                continue
            student = dependency_graph(wrong, problem.question)
            found = first_wrong_step(student, teacher)
            if found != wrong.verdict:
                # Only where the wrong line happens to come to another step's right value.
                value = student.nodes["step", wrong.verdict]["value"]
                assert found > wrong.verdict, (kind, wrong.execute)
                assert value in {step.value for step in problem.steps}, (kind, wrong.execute)
                coincidences += 1
            checked += 1
    assert checked > 200 and coincidences < 0.03 * checked, (checked, coincidences)


def test_plan_feasibility():
    teacher_plan = ("Add the apples bought.", "Subtract the apples given away.", "Add the nuts.")
    teacher = execute_graph(["12 + 9 = 21", "21 - 5 = 16", "16 + 40 = 56"], APPLES)
    assert infeasible_step(teacher_plan, teacher_plan, teacher) == 0
    assert infeasible_step(teacher_plan[:2], teacher_plan, teacher) == 0
    assert infeasible_step(teacher_plan[1:], teacher_plan, teacher) == 1
    assert infeasible_step(("Add the apples bought.", "Add the nuts."), teacher_plan, teacher) == 2
    assert infeasible_step(("Think.", *teacher_plan), teacher_plan, teacher) is None
    assert infeasible_step((), teacher_plan, teacher) is None
    assert plan_lines("[PLAN]\n1. Think.\n2. Act.\n[EXECUTE]\n1. 1 + 1 = 2") == ("Think.", "Act.")
    assert plan_lines("nothing") == ()
