"""Sums worked out digit by digit, units first, and two numbers compared in the same way.

A small model adds two digits and a carry by heart; a sum of three digits in one go is the
hard form of it (arXiv 2307.03381). A difference is found as the missing addend, so that all
facts are sums and products of single digits:

    87 + 15    7 + 5 = 12;8 + 1 + 1 = 10
    102 - 15   5 + 7 = 12;1 + 8 + 1 = 10
    24 * 3     4 * 3 = 12;2 * 3 + 1 = 7
"""
from __future__ import annotations


def digit_facts(sign: str, left: int, right: int) -> str | None:
    """The facts of `left sign right` for whole numbers from 0 up; None where there are none.

    Sums and differences that stay at 0 or above, and products with a factor below 10, of
    numbers that are not both single digits.
    """
    facts, carry = [], 0
    if max(left, right) < 10 or min(left, right) < 0:
        return None
    if sign == "*" and min(left, right) < 10:
        many, one = max(left, right), min(left, right)
        while many:
            total = many % 10 * one + carry
            facts.append(f"{many % 10} * {one}{f' + {carry}' if carry else ''} = {total}")
            many, carry = many // 10, total // 10
    elif sign == "+" or sign == "-" and right <= left:
        while left or right:
            first, second = left % 10, right % 10
            if sign == "-":  # right and what, with the carry, ends in the digit of left?
                first, second = second, (first - second - carry) % 10
            total = first + second + carry
            facts.append(f"{first} + {second}{' + 1' if carry else ''} = {total}")
            left, right, carry = left // 10, right // 10, total // 10
    return ";".join(facts) or None


def digit_flags(left: str, right: str) -> str:
    """Digit beside digit, units first, and of each two whether they are the same (y) or not
    (n); `-` for a missing one: `102` and `112` give `22y 01n 11y`."""
    width = max(len(left), len(right))
    return " ".join(f"{a}{b}{'y' if a == b else 'n'}" for a, b in zip(
        left[::-1].ljust(width, "-"), right[::-1].ljust(width, "-")))
