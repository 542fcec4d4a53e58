"""The generator: steps that hold, values that differ, splits that do not overlap."""
from __future__ import annotations

import random
import re
from fractions import Fraction

import pytest

from nanoreason.arithmetic import read_equations
from nanoreason.arithmetic.expression import is_vietnamese
from nanoreason.data.errors import inject
from nanoreason.data.prepare import prepare
from nanoreason.data.problem import Operand, Step, compute, normalise_question
from nanoreason.data.procedural import (BASE_SCALE, LARGE, OOD_STEPS, SCALE, SPLITS, TRAIN_STEPS,
                                        hash_split, problems)
from nanoreason.data.stories import load_words
from nanoreason.data.verify_lines import (KINDS, by_columns, check_line, procedural_trace, slip,
                                          write_check)
from nanoreason.graph import dependency_graph
from nanoreason.graph.quantities import quantities
from nanoreason.trace import parse_trace, render_trace

COUNT = 400


@pytest.fixture(scope="module", params=[f"{split} {language}" for split in SPLITS
                                        for language in ("en", "vi")])
def split_problems(request):
    split, language = request.param.split()
    return split, list(problems(split, COUNT, seed=3, language=language))


def test_there_are_enough_situations_and_the_held_out_ones_are_others():
    for language, least in (("en", 30), ("vi", 20)):
        situations = load_words(language).situations
        assert len(situations) >= least
        assert sum(s.held_out for s in situations) >= 4


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
    language = made[0].language
    words = load_words(language)
    held_out = {s.key for s in words.situations if s.held_out}
    assert all((p.details["situation"] in held_out) == (split == "test_template") for p in made)
    names = words.names
    foreign = names.test if split in ("train", "train_999", "dev") else names.base + names.train
    assert {p.language for p in made} == {language}
    assert not any(name in problem.question.split() for problem in made for name in foreign)


def test_a_split_keeps_to_its_part_of_the_hash_whatever_the_seeds(split_problems):
    """That keeps train, dev and test apart; the kinds of test differ in situations or steps."""
    split, made = split_problems
    part = split.removesuffix("_999") if split in ("train", "train_999", "dev") else "test"
    for problem in made:
        assert hash_split(problem.question) == part
        assert hash_split(normalise_question(problem.question)) == part


def test_splits_share_no_question():
    seen: dict[str, str] = {}
    for split in SPLITS:
        for seed in (0, 1):
            for problem in problems(split, 50, seed, language="en+vi"):
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


def test_vietnamese_numbers_are_written_as_vietnamese_writes_them():
    made = list(problems("train", 600, 5, language="vi"))
    texts = " ".join(p.question for p in made)
    for words in ("một nửa", "một phần ba", "một phần tư", "gấp đôi", "%", ".500 đồng",
                  ",5 nghìn đồng"):
        assert words in texts
    assert {s.operator for p in made for s in p.steps} == set("+-*/")
    for problem in made:
        assert not re.search(r"[0-9],[0-9]{3}|[0-9]\.[0-9]\b", problem.question)
        assert "." not in problem.answer and "," not in problem.answer


def test_a_run_can_mix_the_languages():
    made = list(problems("train", 400, 5, language="en+vi"))
    vietnamese_ones = sum(p.language == "vi" for p in made)
    assert 150 < vietnamese_ones < 250
    report = {}
    records = prepare("procedural", total=100, language="en+vi", report=report)
    assert len(records) == report["kept"] == report["read"] == 100
    marked = sum(is_vietnamese(r["question"]) for r in records)
    assert 30 < marked < 70 and sum(report["planted"].values()) == 50


def test_an_unknown_split_or_language_is_refused():
    with pytest.raises(ValueError, match="'tests' is unknown"):
        problems("tests", 1, 0)
    with pytest.raises(ValueError, match="'fr' is unknown.*en.vi"):
        problems("train", 1, 0, language="fr")


def test_the_graph_read_from_the_text_is_the_generators():
    """At least 99 %: the reader sees the text alone, the generator knows the truth."""
    made = [problem for language in ("en", "vi") for split, count in (
        ("train", 300), ("test_ood", 100)) for problem in problems(
            split, count, 8, language=language)]
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
    from nanoreason.model.base_text import documents

    def largest(scale):
        return max(evaluate(solution.rsplit("The answer is ", 1)[1].split(".")[0])
                   for _, solution in islice(documents(2, scale), 600)
                   if "The answer is " in solution)
    assert largest(BASE_SCALE) <= BASE_SCALE.largest < largest(SCALE) <= SCALE.largest
    made = list(problems("train", 300, 2))
    assert BASE_SCALE.largest < max(s.value for p in made for s in p.steps) <= SCALE.largest


def test_checks_by_digits_say_nothing_by_their_form_and_are_as_right_as_the_trace():
    forms = {}
    for seed in range(60):
        problem = next(problems("train", 1, seed))
        right = by_columns(procedural_trace(problem))
        assert by_columns(right) == right and parse_trace(render_trace(right)) == right
        found = inject(problem, procedural_trace(problem), seed)
        traces = [right] + ([by_columns(found[0])] if found else [])
        for trace in traces:
            rows = zip(trace.checks, problem.steps)
            for number, (check, step) in enumerate(rows, 1):
                assert all(e.holds for e in read_equations(check)), check
                sign = "+" if step.operator in "+-" else "*"
                assert read_equations(check)[-1].left.split()[1] == sign
                forms.setdefault((step.operator, sign), set()).add(number == trace.verdict)
                assert check.endswith("wrong") == (number == trace.verdict), check
                flags = re.findall(r"(.)(.)([yn])(?=[ ,])", check.partition("want")[2])
                assert flags and all((a == b) == (flag == "y") for a, b, flag in flags)
            assert trace.repairs == () or all(
                e.holds for line in trace.repairs for e in read_equations(line))
            assert len(trace.repairs) == (len(problem.steps) - trace.verdict + 1
                                          if trace.verdict else 0)
    assert all(seen == {True, False} for seen in forms.values()) and len(forms) == 4


def test_prepare_writes_checks_by_digits_where_asked():
    plain, digits = (prepare("procedural", total=20, seed=4, checks=checks)
                     for checks in ("rearranged", "digits"))
    for one, other in zip(plain, digits, strict=True):
        before, after = (record["trace"].partition("[VERIFY]")[0] for record in (one, other))
        assert before == after and one["trace"] != other["trace"] and " want " in other["trace"]
        assert {**one, "trace": ""} == {**other, "trace": ""}


@pytest.mark.parametrize("split", SPLITS)
def test_only_the_splits_to_999_have_numbers_above_those_that_were_learned(split):
    largest = [max(max(s.left.value, s.right.value, s.value) for s in problem.steps)
               for problem in problems(split, 60, 4)]
    above = sum(value > 2 * SCALE.largest for value in largest)
    assert above > 20 if split.endswith("_999") else above == 0
    assert max(largest) <= 2 * LARGE.largest
