"""One word problem, whatever source it comes from.

A `Problem` is what every source yields and every teacher takes. Sources that know how
their answer comes about (the procedural generator) also give the steps, as a small
dependency graph: which operation, on which operands, with which value. Sources that do
not know leave `steps` empty, and a teacher works the steps out.
"""
from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field
from fractions import Fraction


@dataclass(frozen=True)
class Operand:
    """One operand of a step: where its value comes from.

    kind: "given" (index: position among the question's quantities, from 0), "step"
    (index: 1-based number of an earlier step) or "constant" (index: 0).
    text: how the operand is written in an equation, e.g. "48" or "20%".
    """

    kind: str
    index: int
    value: Fraction
    text: str


@dataclass(frozen=True)
class Step:
    """One step of the known solution: `left operator right = value`, and its plan."""

    operator: str  # "+", "-", "*" or "/"
    left: Operand
    right: Operand
    value: Fraction
    plan: str


@dataclass(frozen=True)
class Problem:
    """A question with its gold answer and what the source knows beyond that."""

    id: str
    source: str
    split: str
    language: str
    question: str
    answer: str
    steps: tuple[Step, ...] = ()
    details: dict = field(default_factory=dict, compare=False)


def normalise_question(question: str) -> str:
    """Lower-case words and numbers of a question, single spaces, no punctuation.

    Two questions that differ only in spacing, case or punctuation are the same question
    for splits and decontamination.
    """
    return " ".join(re.findall(r"\w+", question.lower()))


def question_sha256(question: str) -> str:
    """Hexadecimal sha256 of the normalised question; decides dev and test membership."""
    return hashlib.sha256(normalise_question(question).encode("utf-8")).hexdigest()
