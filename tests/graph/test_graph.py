"""Provenance, dependency graphs and canonical expressions, on cases worked out by hand."""
from fractions import Fraction

import numpy as np
import pytest

from nanoreason.arithmetic.expression import parse_expression
from nanoreason.graph.builder import dead_steps, execute_graph, unknown_operands
from nanoreason.graph import dependency_graph, edge_f1
from nanoreason.graph.matching import rewired_edge_f1
from nanoreason.graph.provenance import possible_sources
from nanoreason.data.procedural import problems
from nanoreason.graph.quantities import quantities
from nanoreason.data.verify_lines import procedural_trace
from nanoreason.trace import read_claims, render_trace

CLIPS = ("Natalia sold clips to 48 of her friends in April, and then she sold half as many "
         "clips in May. How many clips did Natalia sell in April and May?")
APPLES = "Ann has 12 apples. She buys 9 more and gives 5 away. She has 40 nuts."


def edges(graph):
    return set(graph.edges)


# --- provenance -----------------------------------------------------------------------

def source(text, results, used, given, **constants):
    """Where an operand comes from by the rule, None where nothing explains it."""
    found = possible_sources(parse_expression(text), results, used, given, **constants)
    return found[0] if found else None


def test_order_of_provenance():
    quantity = quantities(APPLES)
    results = {("step", 1): Fraction(5), ("step", 2): Fraction(5)}
    assert source("5", results, set(), quantity) == ("step", 2)
    assert source("5", results, {("step", 2)}, quantity) == ("step", 1)
    assert source("5", results, set(results), quantity) == ("given", 2)
    assert source("5", results, set(results), ()) == ("step", 2)
    assert source("60", results, set(), quantity) == ("constant", "60")
    assert source("60", {}, set(), (), constants={Fraction(12)}) is None
    assert source("7919", results, set(), quantity) is None


def test_what_a_line_took_is_used_for_its_next_operand():
    graph = execute_graph(["12 + 9 = 21", "40 - 19 = 21", "21 + 21 = 42"], APPLES)
    assert {node for _, node in graph.nodes["step", 3]["operands"]} == {("step", 1), ("step", 2)}
    twice = execute_graph(["6 + 6 = 12"], "Ann has 6 pens and 6 caps.")
    assert edges(twice) == {(("given", 0), ("step", 1)), (("given", 1), ("step", 1))}


def test_an_operand_of_several_possible_sources_is_ambiguous_unless_plan_names_one():
    def ambiguous(plan, question="Ann has 5 pens and 5 caps and 8 mugs."):
        return execute_graph(["5 + 8 = 13", "13 - 8 = 5"], question, plan=plan).graph["ambiguous"]

    assert ambiguous(["", ""]) == ["line 1 operand 1"]
    assert ambiguous(["Add, using the 2nd given.", ""]) == []
    assert ambiguous(["", ""], "Ann has 5 pens and 8 mugs.") == []
    assert ambiguous(["", ""], "Ann has 5 pens, 8 mugs and 13 caps.") == ["line 2 operand 1"]
    constant = execute_graph(["12 + 7 = 19"], "Ann has 12 pens and 7 caps a month.")
    assert constant.graph["ambiguous"] == ["line 1 operand 1"]


def test_a_quantity_is_found_by_position():
    question = "Tom has 5 red balls, 5 blue balls and 3 bats."
    assert source("5", {}, set(), quantities(question)) == ("given", 0)
    assert source("3", {}, set(), quantities(question)) == ("given", 2)
    used = {("given", 0)}  # of equal quantities the first that no operand came from yet
    assert source("5", {}, used, quantities(question)) == ("given", 1)
    used.add(("given", 1))
    assert source("5", {}, used, quantities(question)) == ("given", 0)


def test_a_written_percentage_may_be_a_result():
    results = {("step", 1): Fraction(20)}
    assert source("20%", results, set(), ()) == ("step", 1)
    assert source("0.2", results, set(), ()) is None


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
    assert graph.nodes["given", 0]["canonical"] == "q0"


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
    return len({g.nodes["step", len(x)]["canonical"]
                for g, x in zip(graphs, (first, second))}) == 1


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
    assert all(len(form) <= 200 for _, form in graph.nodes(data="canonical"))


def test_a_division_that_comes_to_a_part_of_a_fraction_is_no_fraction():
    graph = execute_graph(["50 / 5 = 10"], "He reads 1/10 of the 50 pages, 5 at a time.")
    assert [node for _, node in graph.nodes["step", 1]["operands"]] == [("given", 1), ("given", 2)]
