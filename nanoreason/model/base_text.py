"""What the nano base reads: stories with short solutions, sums to work out, claims to judge.

Never the four-stage form: the stages, their order and their tags are what tuning adds.
`documents` is plain text (`87 + 15 = 112`). `column_documents` adds what a verifier has to be
able to do, digit by digit: sums by columns, claims judged by such a sum and a comparison (half
of them wrong), and stories in which each step is checked and a wrong one is done again.
Numbers above those of the problems, up to 999, are worked out by columns alone.
"""
from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction

from nanoreason.data.problem import Operand, Problem, Step, compute, write_number
from nanoreason.data.procedural import (BASE_SCALE, LARGE, SCALE, TRAIN_STEPS, hash_split,
                                        make_problem)
from nanoreason.data.stories import Scale, Situation, load_words
from nanoreason.data.verify_lines import (column_check, draw_kinds, equation, slip, worked,
                                          write_check)
from nanoreason.model.tokens import prompt_text

COLUMN_STEPS = (*TRAIN_STEPS, TRAIN_STEPS[-1] + 1)


def _lower(text: str) -> str:
    return text[0].lower() + text[1:].rstrip(".")


def _lines(steps: Sequence[Step], rng: random.Random, with_checks: bool,
           with_words: bool = False) -> list[str]:
    """A sentence a step: its equation, with the words of its plan before it and a check behind."""
    lines = []
    for step, kind in zip(steps, draw_kinds(len(steps), rng)):
        text = equation(step.operator, step.left, step.right, step.value)
        before = f"{step.plan.rstrip('.')}: " if with_words else ""
        behind = f", because {write_check(kind, step, step.value)}" if with_checks else ""
        lines.append(f"{before}{text}{behind}.")
    return lines


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
    parts += _lines(problem.steps, rng, with_checks, with_words)
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
    return f"Work out {asked}.", " ".join(_lines(steps, rng, rng.random() < 0.5))


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


def drawn_step(rng: random.Random, largest: int) -> Step:
    """A sum on numbers of no story, none of them above `largest`."""
    operator = rng.choice("++--*/")
    if operator in "+-":
        total = rng.randint(4, largest)
        part = rng.randint(1, total - 1)
        x, y = (total - part, part) if operator == "+" else (total, part)
    else:
        y = rng.randint(2, 9) if rng.random() < 0.8 else rng.randint(10, 12)
        x = rng.randint(2, max(2, largest // y))
        if operator == "/":
            x *= y
        elif rng.random() < 0.5:
            x, y = y, x
    left, right = (Operand("given", 0, Fraction(value), str(value)) for value in (x, y))
    return Step(operator, left, right, compute(operator, left.value, right.value), "")


def largest_number(rng: random.Random) -> int:
    """The largest number of a few sums: most are of the problems' size."""
    return rng.choice((BASE_SCALE.largest, SCALE.largest, SCALE.largest, LARGE.largest))


def column_claims(rng: random.Random, count: int,
                  check: Callable[[Step, Fraction], str] = column_check) -> tuple[str, list[str]]:
    """Some claimed sums in a question, half of them wrong, and the check of each."""
    asked, lines, largest = [], [], largest_number(rng)
    for _ in range(count):
        step = drawn_step(rng, largest)
        found = Fraction(slip(int(step.value), rng)) if rng.random() < 0.5 else step.value
        asked.append(equation(step.operator, step.left, step.right, found))
        lines.append(check(step, found))
    return f"Is it true that {', '.join(asked)}?", lines


def column_sums(rng: random.Random, work: Callable[[str, Operand, Operand], str] = worked
                ) -> tuple[str, str]:
    """Some sums to work out by digits."""
    largest = largest_number(rng)
    steps = [drawn_step(rng, largest) for _ in range(rng.randint(2, 6))]
    asked = ", ".join(f"{s.left.text} {s.operator} {s.right.text}" for s in steps)
    return f"Work out {asked} by digits.", " ".join(
        f"{work(s.operator, s.left, s.right)}." for s in steps)


def _column_story(rng: random.Random, situations: list[Situation]) -> tuple[str, str]:
    """A story by columns, or, in three of five, one whose plain steps are checked; three of
    ten of these are wrong and done again by columns."""
    checked = rng.random() < 0.6
    while True:
        problem = make_problem(
            rng, rng.choice(situations), rng.choice(COLUMN_STEPS), load_words("en").names.base,
            "train", LARGE if not checked and rng.random() < 0.8 else SCALE)
        if hash_split(problem.question) == "train":
            break
    parts = []
    for step in problem.steps:
        again = worked(step.operator, step.left, step.right)
        if not checked:
            parts.append(again)
            continue
        wrong = rng.random() < 0.3
        found = Fraction(slip(int(step.value), rng)) if wrong else step.value
        parts += [equation(step.operator, step.left, step.right, found),
                  column_check(step, found), *([again] if wrong else [])]
    return problem.question, " ".join(f"{part}." for part in parts) + \
        f" The answer is {problem.answer}."


def column_documents(seed: int) -> Iterator[tuple[str, str]]:
    """An endless, seeded stream of (prompt, solution) pairs, nearly half of them plain ones of
    the problems' scale."""
    rng, plain = random.Random(f"columns/{seed}"), documents(seed, SCALE)
    situations = [s for s in load_words("en").situations if not s.held_out]
    while True:
        draw = rng.random()
        if draw < 0.45:
            yield next(plain)
            continue
        if draw < 0.65:
            question, solution = _column_story(rng, situations)
        elif draw < 0.75:
            question, solution = column_sums(rng)
        else:
            question, lines = column_claims(rng, rng.randint(2, 4))
            solution = " ".join(f"{line}." for line in lines)
        yield prompt_text(question), solution
