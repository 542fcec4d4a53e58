"""The generator: steps that hold, values that differ, splits that do not overlap."""
from __future__ import annotations

import random
from fractions import Fraction

import pytest

from nanoreason.checks import KINDS, check_line, compute, slip, write_check
from nanoreason.graph import dependency_graph
from nanoreason.problem import Operand, Step, normalise_question
from nanoreason.procedural import (BASE_SCALE, OOD_STEPS, SCALE, SPLITS, TRAIN_STEPS,
                                   problems)
from nanoreason.quantities import quantities
from nanoreason.situations import NAMES, SITUATIONS, TEST_NAMES
from nanoreason.teacher import procedural_trace

COUNT = 400


@pytest.fixture(scope="module", params=SPLITS)
def split_problems(request):
    return request.param, list(problems(request.param, COUNT, seed=3))


def test_there_are_enough_situations_and_the_held_out_ones_are_others():
    keys = [s.key for s in SITUATIONS]
    assert len(set(keys)) == len(keys) >= 30
    assert sum(s.held_out for s in SITUATIONS) >= 5
    assert not set(NAMES) & set(TEST_NAMES)


def test_every_step_holds_and_refers_to_what_stands_before_it(split_problems):
    _, made = split_problems
    for problem in made:
        values = []
        for step in problem.steps:
            assert step.value == compute(step.operator, step.left.value, step.right.value)
            for operand in (step.left, step.right):
                if operand.kind == "step":
                    assert values[operand.index - 1] == operand.value
                else:
                    assert operand.value in quantities(problem.question)[operand.index].values
            values.append(step.value)
        assert Fraction(problem.answer) == values[-1]


def test_no_two_values_of_a_problem_are_equal(split_problems):
    _, made = split_problems
    for problem in made:
        givens = {(o.index, o.value) for s in problem.steps for o in (s.left, s.right)
                  if o.kind == "given"}
        values = [value for _, value in givens] + [s.value for s in problem.steps]
        assert len(set(values)) == len(values), problem.question


def test_a_split_has_its_own_steps_situations_and_names(split_problems):
    split, made = split_problems
    steps = {len(problem.steps) for problem in made}
    assert steps == ({OOD_STEPS} if split == "test_ood" else set(TRAIN_STEPS))
    held_out = {s.key for s in SITUATIONS if s.held_out}
    assert all((p.details["situation"] in held_out) == (split == "test_template") for p in made)
    foreign = TEST_NAMES if split in ("train", "dev") else NAMES
    assert not any(name in problem.question.split() for problem in made for name in foreign)


def test_splits_share_no_question_whatever_the_seeds():
    seen: dict[str, str] = {}
    for split in SPLITS:
        for seed in (0, 1):
            for problem in problems(split, COUNT, seed):
                key = normalise_question(problem.question)
                assert seen.setdefault(key, split) == split


def test_the_same_seed_gives_the_same_problems_and_another_seed_others():
    first = [p.question for p in problems("train", 50, 1)]
    assert first == [p.question for p in problems("train", 50, 1)]
    assert first != [p.question for p in problems("train", 50, 2)]


def test_all_operations_fractions_percentages_and_distractors_occur():
    made = list(problems("train", COUNT, 5))
    assert {s.operator for p in made for s in p.steps} == set("+-*/")
    texts = " ".join(p.question for p in made)
    assert all(word in texts for word in ("half", "a third", "a quarter", "%", "$"))
    share = sum(p.details["distractor"] for p in made) / len(made)
    assert 0.15 < share < 0.45


def test_an_unknown_split_is_refused():
    with pytest.raises(ValueError, match="'tests' is unknown"):
        next(problems("tests", 1, 0))


def test_the_graph_read_from_the_text_is_the_generators():
    """At least 99 %: the reader sees the text alone, the generator knows the truth."""
    made = list(problems("train", 300, 8)) + list(problems("test_ood", 100, 8))
    right = sum(known_edges(p) == read_edges(p) for p in made)
    assert right / len(made) >= 0.99


def known_edges(problem):
    return {((o.kind, o.index), ("step", k)) for k, step in enumerate(problem.steps, 1)
            for o in (step.left, step.right)}


def read_edges(problem):
    graph = dependency_graph(procedural_trace(problem), problem.question)
    return {(source[:2], target[:2]) for source, target in graph.edges}


@pytest.mark.parametrize("operator, x, y", [("+", 48, 24), ("-", 60, 11), ("*", 6, 7),
                                            ("/", 48, 6)])
def test_a_check_comes_out_as_expected_exactly_if_the_value_is_right(operator, x, y):
    step = Step(operator, Operand("given", 0, Fraction(x), str(x)),
                Operand("given", 1, Fraction(y), str(y)), Fraction(0), "")
    right = compute(operator, Fraction(x), Fraction(y))
    right = int(right)
    expected = {("inverse", op): str(x) for op in "+-*/"}
    expected |= {("recompute", "+"): str(right), ("recompute", "*"): str(right),
                 ("recompute", "-"): str(y), ("recompute", "/"): str(x)}
    for kind in KINDS:
        line = write_check(kind, step, Fraction(right))
        assert line.endswith(f"= {expected[kind, operator]}")
        assert line != f"{x} {operator} {y} = {right}"
        assert check_line(kind, step, Fraction(right)).endswith(", correct")
        assert check_line(kind, step, Fraction(right + 1)).endswith(", wrong")
        refuted = write_check(kind, step, Fraction(right + 1))
        assert refuted != line or (kind == "recompute" and operator in "+*")


def test_a_slip_is_another_positive_number():
    rng = random.Random(0)
    for value in list(range(1, 120)) * 5:
        assert slip(value, rng) > 0 and slip(value, rng) != value


def test_the_bases_stories_have_smaller_numbers_than_tuning():
    from itertools import islice

    from nanoreason.arithmetic import evaluate
    from nanoreason.freeform import documents
    answers = [solution.rsplit("The answer is ", 1)[1].split(".")[0]
               for _, solution in islice(documents(2), 600) if "The answer is " in solution]
    assert max(map(evaluate, answers)) <= BASE_SCALE.largest < SCALE.largest
    made = list(problems("train", 300, 2))
    assert BASE_SCALE.largest < max(s.value for p in made for s in p.steps) <= SCALE.largest
