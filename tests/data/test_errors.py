"""Injected errors: one wrong step, its consequence carried on, and the VERIFY that finds it."""
from __future__ import annotations

import random
import re
from collections import Counter
from dataclasses import replace
from itertools import islice, product

import pytest

from nanoreason.arithmetic import evaluate, read_equations
from nanoreason.arithmetic.answers import same_answer
from nanoreason.arithmetic.expression import parse_expression, value_of
from nanoreason.data import corrupt, filter_traces, load_problems, teach
from nanoreason.data.errors import KINDS, read_steps
from nanoreason.data.filters import examine
from nanoreason.data.procedural import problems
from nanoreason.data.verify_lines import (CorruptionError, check_kinds, procedural_trace,
                                          with_rule_checks)
from nanoreason.trace import Trace, parse_trace, render_trace


@pytest.fixture(scope="module", params=["procedural", "vietnamese", "gsm8k"])
def injected(request):
    """(problem, right trace, kind, wrong trace) for some hundred problems and each kind."""
    rng, found = random.Random(4), []
    if request.param != "gsm8k":
        language = {"procedural": "en", "vietnamese": "vi"}[request.param]
        pairs = [(p, procedural_trace(p)) for p in problems("train", 500, 4, language=language)]
    else:
        folder = request.getfixturevalue("gsm8k")
        some = list(islice(load_problems("gsm8k", folder, "train"), 400))
        pairs = filter_traces(zip(some, teach(some)))[0]
    for problem, trace in pairs:
        for kind in KINDS:
            try:
                found.append((problem, trace, kind, corrupt(trace, kind, rng)))
            except CorruptionError:
                continue
    assert len(found) >= (1000 if request.param == "gsm8k" else 2000)
    return found


def values(trace):
    return [evaluate(read_equations(line)[0].right) for line in trace.execute]


def test_every_kind_is_injected_often(injected):
    counts = Counter(kind for _, _, kind, _ in injected)
    assert set(counts) == set(KINDS) and min(counts.values()) > 100


def test_the_blamed_step_is_the_first_with_a_false_equation_or_another_value(injected):
    for problem, right, kind, wrong in injected:
        first = next(k for k, line in enumerate(wrong.execute, 1)
                     if not read_equations(line)[0].holds
                     or evaluate(read_equations(line)[0].right) != values(right)[k - 1])
        assert wrong.verdict == first, (kind, render_trace(wrong))


def test_the_consequence_is_carried_into_every_line_that_depends_on_it(injected):
    for _, right, kind, wrong in injected:
        if kind == "skipped_step":
            continue
        found = values(wrong)
        for number, (step, line) in enumerate(zip(read_steps(right), wrong.execute), 1):
            node = parse_expression(read_equations(line)[0].left)
            for operand, text in ((step.left, node.left), (step.right, node.right)):
                if number > wrong.verdict and operand.kind == "step":
                    assert value_of(text) == found[operand.index - 1], (kind, wrong.execute)
                elif number != wrong.verdict:
                    assert value_of(text) == operand.value, (kind, wrong.execute)


def test_what_follows_the_wrong_step_is_consistent_with_it(injected):
    for _, _, kind, wrong in injected:
        bad = [k for k, line in enumerate(wrong.execute, 1) if not read_equations(line)[0].holds]
        assert bad == ([wrong.verdict] if kind == "arithmetic_slip" else [])
        assert evaluate(wrong.result) == values(wrong)[-1]


def test_verify_finds_blames_and_repairs(injected):
    for problem, right, _, wrong in injected:
        assert evaluate(wrong.result) != evaluate(problem.answer) == evaluate(wrong.answer)
        assert len(wrong.checks) == wrong.verdict
        assert wrong.repairs == right.execute[wrong.verdict - 1:]
        # The checks before the blamed one are those of the right trace; the blamed one
        # does not come to what is wanted.
        assert wrong.checks[:-1] == right.checks[:wrong.verdict - 1]
        assert all(check.endswith(", correct") for check in right.checks)
        assert wrong.checks[-1].endswith(", wrong")
        for check in (*right.checks, *wrong.checks):
            wanted = evaluate(check.split(", want ")[1].split(",")[0])
            came = evaluate(read_equations(check)[0].right)
            assert (came == wanted) == check.endswith(", correct")
        assert all(read_equations(check)[0].holds for check in wrong.checks)


def test_an_injected_trace_passes_the_filter_and_the_grammar(injected):
    for problem, _, _, wrong in injected:
        assert examine(problem, wrong)[1] is None
        assert parse_trace(render_trace(wrong)) == wrong


def test_a_skipped_step_is_never_the_last(injected):
    for problem, _, kind, wrong in injected:
        if kind == "skipped_step":
            assert len(wrong.execute) == len(wrong.plan) - 1
            assert wrong.verdict < len(wrong.plan)


def test_the_form_of_a_check_does_not_give_the_verdict_away(injected):
    """Check kinds of blamed and of sound steps come from one distribution (chi-squared)."""
    from scipy.stats import chi2_contingency
    table = Counter()
    for _, right, _, wrong in injected:
        kinds = check_kinds(right, read_steps(right))
        for k, kind in enumerate(kinds[:wrong.verdict], 1):
            table[k == wrong.verdict, kind] += 1
    rows = [[table[blamed, kind] for kind in ("inverse", "recompute")]
            for blamed in (True, False)]
    assert chi2_contingency(rows).pvalue > 0.01


def test_what_cannot_be_corrupted_is_refused():
    problem = next(p for p in problems("train", 50, 1) if len(p.steps) == 1)
    trace = procedural_trace(problem)
    with pytest.raises(ValueError, match="'typo' is unknown"):
        corrupt(trace, "typo", random.Random(0))
    with pytest.raises(CorruptionError, match="none to skip"):
        corrupt(trace, "skipped_step", random.Random(0))
    wrong = corrupt(trace, "arithmetic_slip", random.Random(0))
    with pytest.raises(CorruptionError, match="already holds an error"):
        corrupt(wrong, "arithmetic_slip", random.Random(0))
    with pytest.raises(CorruptionError, match="EXECUTE line 1"):
        corrupt(replace(trace, execute=("some words",)), "arithmetic_slip", random.Random(0))


def test_an_error_is_carried_on_by_the_sources_that_plan_names():
    question = "Ann has 4 pens and gives 2 away. A pen costs 2 dollars. What are hers worth?"
    trace = Trace(("Given: 4 pens; 2 away; 2 dollars", "Find: worth"),
                  ("Find the pens.", "Multiply, using the result of step 1 and the 3rd given."),
                  ("4 - 2 = 2", "2 * 2 = 4"), "4", ("2 + 2 = 4", "4 / 2 = 2"), None, (), "4")
    trace = with_rule_checks(trace, "p1")
    for seed in range(20):
        wrong = corrupt(trace, "arithmetic_slip", random.Random(seed), question)
        if wrong.verdict == 1:
            slipped = wrong.execute[0].rpartition("= ")[2]
            assert wrong.execute[1].startswith(f"{slipped} * 2 = ")
            break
    else:
        pytest.fail("no slip in step 1")


@pytest.mark.parametrize("question", ["", "There are 4, 2, 9, 3, 5 and 8 of them."])
def test_of_equal_results_the_latest_that_no_line_has_used_is_meant(question):
    lines = ("4 + 2 = 6", "9 - 3 = 6", "6 + 5 = 11", "6 * 8 = 48", "48 + 11 = 59")
    trace = with_rule_checks(
        Trace(("Given: some numbers", "Find: one"), ("Do it.",) * 5, lines, "59",
              ("1 = 1",) * 5, None, (), "59"), "p1")
    steps = read_steps(trace, question)
    assert [(step.left.kind, step.left.index) for step in steps[2:]] == [
        ("step", 2), ("step", 1), ("step", 4)]
    blamed = set()
    for seed in range(60):
        wrong = corrupt(trace, "arithmetic_slip", random.Random(seed), question)
        blamed.add(wrong.verdict)
        untouched = {1: 2, 2: 3}.get(wrong.verdict)  # a line that the slip does not reach
        if untouched:
            assert wrong.execute[untouched] == lines[untouched]
            reached = 5 - untouched
            assert wrong.execute[reached] != lines[reached]
    assert {1, 2} <= blamed


# --- steps in prose and LaTeX -------------------------------------------------------------

PROSE = [  # question, steps, answer; all invented
    ("A box holds 12 pens, and there are 9 boxes. 30 pens are sold. How many are left?",
     ["In all there are $12 \\cdot 9 = 108$ pens.", "After the sale $108 - 30 = 78$ are left.",
      "So the answer is $\\boxed{78}$."], "78"),
    ("What is $7 \\cdot 6$ taken from 50?",
     ["The product of 7 and 6 is 42.", "Taken from 50, that leaves $50 - 42 = 8$ of it.",
      "The answer is $\\boxed{8}$."], "8"),
    ("Find the slope of the line $4y + 3x = 8$.",
     ["We have $4y = -3x + 8$.", "The slope is therefore $-\\frac{3}{4}$.",
      "It is $\\boxed{-\\frac{3}{4}}$."], "-\\frac{3}{4}"),
    ("Where is $x + 9 = 4$, and what is four times that?",
     ["Solving, we have $x = -5$.",
      "Four times $-5$ is $\\boxed{-20}$ then, as $4 \\cdot (-5) = -20$."], "-20"),
]


def prose(question, steps, answer):
    trace = Trace(("Find: it.",), ("Go on.",) * len(steps), tuple(steps), answer, ("Looks right.",),
                  None, (), answer)
    return with_rule_checks(trace, question)


def test_errors_are_injected_into_prose_and_latex():
    found = Counter()
    for question, steps, answer in PROSE:
        right = prose(question, steps, answer)
        assert len(right.checks) == len(steps) and not any("wrong" in c for c in right.checks)
        for kind, seed in product(KINDS, range(12)):
            try:
                wrong = corrupt(right, kind, random.Random(seed), question)
            except CorruptionError:
                continue
            found[kind] += 1
            first = next(k for k, step in enumerate(wrong.execute) if step != right.execute[k])
            assert wrong.verdict == first + 1 and not same_answer(wrong.result, answer)
            assert wrong.answer == answer and wrong.repairs == right.execute[first:]
            assert len(wrong.execute) == len(steps) - (kind == "skipped_step")
            # The checks are those of the right trace but for what stands in EXECUTE.
            assert wrong.checks[:-1] == right.checks[:first]
            again, ours = (c.rpartition(", want ") for c in (right.checks[first], wrong.checks[-1]))
            assert ours[0] == again[0] and ours[2].endswith(", wrong") and ours[2] != again[2]
            assert parse_trace(render_trace(wrong)) == wrong
    assert set(found) == set(KINDS) and min(found.values()) >= 8, found


@pytest.mark.parametrize("kind, place, wrong", [
    ("copying_slip", 0, r"\$(?!12 )\d+ .cdot"),
    ("wrong_operator", 1, "(sum|difference) of 7 and 6"),
    ("wrong_operator", 3, r"\$x = 5\$"), ("skipped_step", 0, "^After"),
])
def test_each_kind_does_what_it_says(kind, place, wrong):
    question, steps, answer = PROSE[place]
    made = [corrupt(prose(question, steps, answer), kind, random.Random(s), question)
            for s in range(20)]
    assert any(re.search(wrong, trace.execute[0]) for trace in made)


def test_the_consequence_in_prose_reaches_the_result():
    (question, steps, answer), blamed = PROSE[0], set()
    for seed in range(30):
        wrong = corrupt(prose(question, steps, answer), "arithmetic_slip", random.Random(seed),
                        question)
        assert wrong.result in wrong.execute[-1]
        false = [k for k, step in enumerate(wrong.execute, 1)
                 if any(e.holds is False for e in read_equations(step))]
        assert false in ([wrong.verdict], [])  # carried on: no later line is false
        blamed.add(wrong.verdict)
    assert blamed == {1, 2, 3}  # through two equations, through one, and where it is stated


@pytest.mark.parametrize("kind", ["arithmetic_slip", "skipped_step"])
def test_no_step_in_prose_is_blamed_more_than_another(kind):
    """What depends on these steps stands in letters, and only the last reaches the result."""
    steps = ["Let 4 of them be $a$, and so $a + b = 9$.", "Then from 5 lines we find $b = c + 17$.",
             "Hence with 2 of the roots $2c - b = 26$.", "Of the 8 signs $d = 3c + 31$ is left.",
             "The product of 3 and $d$ is $\\boxed{57}$."]
    right, blamed = prose("Find it.", steps, "57"), Counter()
    for seed in range(400):
        wrong = corrupt(right, kind, random.Random(seed), "Find it.")
        blamed[wrong.verdict] += 1
        assert wrong.result != "57" and wrong.result in wrong.execute[-1]
    assert len(blamed) == 5 - (kind == "skipped_step")
    assert max(blamed.values()) < 1.5 * min(blamed.values()), blamed


def test_a_result_that_is_stated_before_the_wrong_step_is_not_another():
    right = prose("Find it.", ["It is $\\boxed{12}$.", "Another way has 7 cases.",
                               "It gives 12."], "12")
    wrong = [corrupt(right, "arithmetic_slip", random.Random(seed), "") for seed in range(60)]
    assert 2 not in {trace.verdict for trace in wrong}
