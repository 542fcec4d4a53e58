"""The base model's own text: questions with short free-form solutions.

This is what the nano base has read before any tuning: procedural problems of the train
part with solutions in loose prose, sums to work out, and claims to judge. None of it is
in the four-stage form; the stages, their order and their tags are what tuning adds.
"""
from __future__ import annotations

import random
from collections.abc import Iterator
from fractions import Fraction

from nanoreason.data.problem import Operand, Problem, Step
from nanoreason.data.procedural import BASE_SCALE, TRAIN_STEPS, hash_split, make_problem
from nanoreason.data.stories import Scale, load_words
from nanoreason.data.verify_lines import (compute, draw_kinds, equation, slip, write_check,
                                          write_number)
from nanoreason.model.tokens import prompt_text


def _lower(text: str) -> str:
    return text[0].lower() + text[1:].rstrip(".")


def _solution(problem: Problem, rng: random.Random) -> str:
    """A short solution in prose; each part comes and goes at random."""
    parts = []
    if rng.random() < 0.4:
        given = problem.details["given"]
        parts.append(f"We know {', '.join(given[:-1]) + ' and ' if given[1:] else ''}"
                     f"{given[-1]}.")
    if rng.random() < 0.3:
        parts.append(f"We want the {problem.details['find']}.")
    told = rng.random() < 0.3
    if told:
        parts.append("To do: " + ", then ".join(_lower(s.plan) for s in problem.steps) + ".")
    with_words, with_checks = not told and rng.random() < 0.4, rng.random() < 0.35
    for step, kind in zip(problem.steps, draw_kinds(len(problem.steps), rng)):
        text = equation(step.operator, step.left, step.right, step.value)
        if with_words:
            text = f"{step.plan.rstrip('.')}: {text}"
        if with_checks:
            text += f", because {write_check(kind, step, step.value)}"
        parts.append(text + ".")
    return " ".join(parts) + f" The answer is {problem.answer}."


def _story(rng: random.Random, situations, scale: Scale) -> tuple[str, str]:
    while True:
        problem = make_problem(rng, rng.choice(situations), rng.choice(TRAIN_STEPS),
                               load_words("en").names.base, "train", scale)
        if hash_split(problem.question) == "train":
            break
    if rng.random() < 0.12:
        claim = problem.answer if rng.random() < 0.5 else str(slip(int(problem.answer), rng))
        verdict = "correct" if claim == problem.answer else "wrong"
        return (f"{problem.question} The result {claim} is suggested.",
                f"{_solution(problem, rng)} So {claim} is {verdict}.")
    return problem.question, _solution(problem, rng)


def random_step(rng: random.Random, scale: Scale = BASE_SCALE) -> Step:
    """A sum of the size that the problems of a scale have, on numbers of no story."""
    operator = rng.choice("++--**//%")
    x = rng.randint(2, scale.largest)
    y = rng.randint(2, scale.largest)
    right = None
    if operator == "+":  # a start and a little more than a gain
        x, y = rng.randint(2, scale.start[1]), rng.randint(2, scale.gain[1] + 10)
    elif operator == "-":
        x, y = max(x, y) + 1, min(x, y)
    elif operator == "*":
        x, y = rng.randint(2, 50), rng.randint(2, 12)
        if rng.random() < 0.5:
            x, y = y, x
    elif operator == "/":
        y = rng.randint(2, 9)
        x = y * rng.randint(2, scale.largest // y + 1)
        if rng.random() < 0.1:
            x = rng.randint(2, scale.largest)
    else:
        rate = rng.choice((10, 20, 25, 40, 75))
        parts = Fraction(rate, 100).denominator
        x, operator = parts * rng.randint(1, scale.largest // parts), "*"
        right = Operand("given", 0, Fraction(rate, 100), f"{rate}%")
    left = Operand("given", 0, Fraction(x), str(x))
    right = right or Operand("given", 0, Fraction(y), str(y))
    if right.text.endswith("%") and rng.random() < 0.3:
        left = Operand("given", 0, left.value * right.value,
                       write_number(left.value * right.value))
        operator = "/"
    return Step(operator, left, right, compute(operator, left.value, right.value), "")


def _sums(rng: random.Random, scale: Scale) -> tuple[str, str]:
    """Some sums to work out, with or without a check of each."""
    steps = [random_step(rng, scale) for _ in range(rng.randint(2, 10))]
    asked = ", ".join(f"{s.left.text} {s.operator} {s.right.text}" for s in steps)
    with_checks = rng.random() < 0.5
    lines = []
    for step, kind in zip(steps, draw_kinds(len(steps), rng)):
        text = equation(step.operator, step.left, step.right, step.value)
        lines.append(text + (f", because {write_check(kind, step, step.value)}."
                             if with_checks else "."))
    return f"Work out {asked}.", " ".join(lines)


def _claims(rng: random.Random, scale: Scale) -> tuple[str, str]:
    """Claimed sums, each judged by a check of another form."""
    asked, lines = [], []
    for _ in range(rng.randint(2, 7)):
        step = random_step(rng, scale)
        found = step.value
        if rng.random() < 0.5 and found.denominator == 1:
            found = Fraction(slip(int(found), rng))
        asked.append(equation(step.operator, step.left, step.right, found))
        verdict = "correct" if found == step.value else "wrong"
        kind = draw_kinds(1, rng)[0]
        lines.append(f"{write_check(kind, step, found)}, so {asked[-1]} is {verdict}.")
    return f"Is it true that {', '.join(asked)}?", " ".join(lines)


def documents(seed: int, scale: Scale = BASE_SCALE) -> Iterator[tuple[str, str]]:
    """An endless, seeded stream of (prompt, solution) pairs for the base model.

    scale: of the numbers, in stories and sums alike.
    """
    rng = random.Random(f"freeform/{seed}")
    situations = [s for s in load_words("en").situations if not s.held_out]
    while True:
        draw = rng.random()
        if draw < 0.6:
            question, solution = _story(rng, situations, scale)
        elif draw < 0.8:
            question, solution = _sums(rng, scale)
        else:
            question, solution = _claims(rng, scale)
        yield prompt_text(question), solution
