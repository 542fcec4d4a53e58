"""A text and traces in which VERIFY works its sums out digit by digit, units first.

The third text of `gpu_size`, `columns`, beside the two of the default form. What differs:

- the base reads the default plain stories and sums, up to 99, and in half of its text sums up to
  999 by columns, claims judged by such a sum (half of them wrong), and stories in which a
  wrong step is noticed and done again;
- VERIFY checks by columns, and by additions and products alone: a sum is worked out again,
  a difference added back, a quotient multiplied back. Which check is made follows from the
  operator, so the form of a check tells nothing of the verdict;
- repairs are by columns too, a difference by the missing addend;
- every trace with an error has its right twin, and nothing before its VERIFY is learned;
- short rows of claims, half of them wrong, for the verification adapter alone: such a row
  begins with the VERIFY tag, so that the other adapter acts on none of its tokens.

EXECUTE stays plain (`87 + 15 = 112`). The line of VERIFY that finds this wrong:

    15 + 87: 5 + 7 = 12;1 + 8 + 1 = 10;15 + 87 = 102, want 112, wrong
"""
from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import replace
from fractions import Fraction
from functools import partial

from nanoreason.data.errors import inject
from nanoreason.data.problem import Operand, Step, compute, write_number
from nanoreason.data.procedural import (LARGE, SCALE, TRAIN_STEPS, hash_split, make_problem,
                                        problems)
from nanoreason.data.stories import Situation, load_words
from nanoreason.data.verify_lines import equation, procedural_trace, slip
from nanoreason.model.base_text import COLUMN_STEPS, column_claims, column_sums
from nanoreason.model.base_text import documents as plain_documents
from nanoreason.model.tokens import prompt_text
from nanoreason.trace import Trace

CLAIMS = 3  # in a short row


def number(value: int | Fraction) -> Operand:
    """An operand that a text states."""
    return Operand("given", 0, Fraction(value), write_number(Fraction(value)))


def columns(operator: str, left: Operand, right: Operand) -> str | None:
    """The digit facts of a sum, units first; None where it is written in one go.

    A sum and a product by one digit carry; a difference is found as the missing addend.
    """
    if any(not o.text.isdigit() for o in (left, right)):
        return None
    x, y = int(left.text), int(right.text)
    if operator == "+" or operator == "-" and 0 <= y <= x:
        facts, carry, rest = [], 0, (x, y)
        while any(rest) or not facts:
            a, b = rest[0] % 10, rest[1] % 10
            if operator == "+":
                first, second = a, b
            else:  # b and what, with the carry, ends in a?
                first, second = b, (a - b - carry) % 10
            total = first + second + carry
            facts.append(f"{first} + {second}{' + 1' if carry else ''} = {total}")
            carry, rest = total // 10, (rest[0] // 10, rest[1] // 10)
        return ";".join(facts)
    if operator == "*" and min(x, y) < 10 < max(x, y):
        many, one = max(x, y), min(x, y)
        facts, carry = [], 0
        while many:
            total = many % 10 * one + carry
            facts.append(f"{many % 10} * {one}{f' + {carry}' if carry else ''} = {total}")
            carry, many = total // 10, many // 10
        return ";".join(facts)
    return None


def worked(operator: str, left: Operand, right: Operand) -> str:
    """A sum with its digit facts, where it has some: `15 + 87: 5 + 7 = 12;...;15 + 87 = 102`."""
    text = equation(operator, left, right, compute(operator, left.value, right.value))
    facts = columns(operator, left, right)
    return f"{text.rsplit(' = ', 1)[0]}: {facts};{text}" if facts else text


def checked(step: Step, found: Fraction) -> tuple[str, str, str]:
    """The sum that checks a step of which EXECUTE found the value `found`, what it comes to,
    and what it should come to."""
    x, y, c = step.left, step.right, number(found)
    operator, left, right, wanted = {
        "+": ("+", y, x, c), "*": ("*", y, x, c), "-": ("+", c, y, x), "/": ("*", c, y, x),
    }[step.operator]
    return (worked(operator, left, right),
            write_number(compute(operator, left.value, right.value)), write_number(wanted.value))


def check(step: Step, found: Fraction) -> str:
    """The line of VERIFY for a step of which EXECUTE found the value `found`."""
    text, result, wanted = checked(step, found)
    return f"{text}, want {wanted}, {'correct' if result == wanted else 'wrong'}"


def rewritten(trace: Trace, steps: tuple[Step, ...],
              check: Callable[[Step, Fraction], str] = check) -> Trace:
    """A trace with VERIFY in this form. steps: the right ones. check: writes a line."""
    until = len(steps) if trace.verdict is None else trace.verdict
    found = [Fraction(line.rsplit(" = ", 1)[1]) for line in trace.execute]
    repairs = () if trace.verdict is None else tuple(
        worked(step.operator, step.left, step.right) for step in steps[trace.verdict - 1:])
    return replace(trace, repairs=repairs, checks=tuple(
        check(step, value) for step, value in zip(steps[:until], found)))


claims, sums = partial(column_claims, check=check), partial(column_sums, work=worked)


def known_situations() -> list[Situation]:
    """The situations that training shows."""
    return [situation for situation in load_words("en").situations if not situation.held_out]


def story(rng: random.Random, situations: list[Situation]) -> tuple[str, str]:
    """A story by columns; in half of them steps are checked, and now and then one is wrong."""
    names = load_words("en").names.base
    while True:
        problem = make_problem(rng, rng.choice(situations), rng.choice(COLUMN_STEPS), names,
                               "train", LARGE if rng.random() < 0.5 else SCALE)
        if hash_split(problem.question) == "train":
            break
    parts, checked = [], rng.random() < 0.6
    for step in problem.steps:
        if not checked:
            parts.append(worked(step.operator, step.left, step.right))
            continue
        wrong = rng.random() < 0.3
        found = Fraction(slip(int(step.value), rng)) if wrong else step.value
        parts += [equation(step.operator, step.left, step.right, found), check(step, found)]
        if wrong:
            parts.append(worked(step.operator, step.left, step.right))
    return problem.question, " ".join(f"{part}." for part in parts) + \
        f" The answer is {problem.answer}."


def documents(seed: int) -> Iterator[tuple[str, str]]:
    """An endless, seeded stream of (prompt, solution): half of it the default text."""
    rng, plain = random.Random(f"columns/{seed}"), plain_documents(seed)
    situations = known_situations()
    while True:
        draw = rng.random()
        if draw < 0.5:
            yield next(plain)
        elif draw < 0.7:
            question, solution = story(rng, situations)
            yield prompt_text(question), solution
        elif draw < 0.8:
            question, solution = sums(rng)
            yield prompt_text(question), solution
        else:
            question, lines = claims(rng, rng.randint(2, 4))
            yield prompt_text(question), " ".join(f"{line}." for line in lines)


def short_row(tokenizer, question: str, lines: list[str]):
    """Claims and their checks as an encoded row for the verification adapter alone."""
    from nanoreason.model.tokens import IGNORE, TRANSITION, VERIFY, Encoded, tag_ids, text_ids

    tag = tag_ids(tokenizer)
    prompt = tag + text_ids(tokenizer, prompt_text(question)) + tag
    ids = text_ids(tokenizer, "".join(f"{k}. {line}\n" for k, line in enumerate(lines, 1)))
    return Encoded(prompt + ids + [tokenizer.eos_token_id],
                   [IGNORE] * len(prompt) + [VERIFY] * len(ids) + [TRANSITION], 0)


def training_rows(tokenizer, seed: int, traces: int, short: int, recipe: str) -> list:
    """Encoded rows of a recipe. traces: problems. short: rows of claims, of `columns` alone.

    `columns`: right traces, a wrong twin for every second one, short rows. The controls have
    right traces alone: `right`, and `careful`, whose EXECUTE is by columns too.
    """
    from nanoreason.model.tokens import IGNORE, Encoded, encode, tag_ids

    tag, rows = tag_ids(tokenizer), []
    for place, problem in enumerate(problems("train", traces, seed)):
        right = procedural_trace(problem)
        wrong = inject(problem, right, seed) if recipe == "columns" and place % 2 else None
        for trace in (right, *([wrong[0]] if wrong else [])):
            new = rewritten(trace, problem.steps)
            if recipe == "careful":
                new = replace(new, execute=tuple(
                    worked(step.operator, step.left, step.right) for step in problem.steps))
            row = encode(tokenizer, problem.question, new, 512, wrong_execute=trace is not right)
            if row is None:
                continue
            if trace is not right:
                switch = next(i for i in range(row.prompt_length, len(row))
                              if row.input_ids[i:i + len(tag)] == tag) + len(tag)
                groups = [IGNORE] * switch + row.groups[switch:]
                row = Encoded(row.input_ids, groups, row.prompt_length)
            rows.append(row)
    rng = random.Random(f"short/{seed}")
    rows += [short_row(tokenizer, *claims(rng, CLAIMS))
             for _ in range(short if recipe == "columns" else 0)]
    return rows


def large_problems(count: int, seed: int) -> Iterator:
    """Problems of the situations of train with numbers up to 999, of the test part."""
    rng, seen = random.Random(f"large/{seed}"), set()
    names, situations = load_words("en").names.test, known_situations()
    while len(seen) < count:
        problem = make_problem(rng, rng.choice(situations), rng.choice(TRAIN_STEPS), names,
                               "test", LARGE)
        if problem.id not in seen and hash_split(problem.question) == "test":
            seen.add(problem.id)
            yield replace(problem, split="test_999")

