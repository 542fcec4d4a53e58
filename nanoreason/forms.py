"""Canonical expressions: one spelling for all ways to write the same sums and products.

Commutative and associative operations are ordered, with subtraction and division as signed
terms, so `a - b - c` and `a - (c + b)` are one expression. Nothing is multiplied out and
nothing is cancelled: how a value is composed is what is compared, not what it comes to.
"""
from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass

LONGEST_KEY = 200  # characters; a longer key is hashed


@dataclass(frozen=True)
class Form:
    """One canonical expression; two are the same exactly when their `key` is.

    kind: "sum", "product" or "atom". terms: (key, sign) -> how often it occurs; sign -1
    means subtracted or divided by.
    """

    kind: str
    terms: Counter
    key: str

    @classmethod
    def of(cls, kind: str, terms: Counter) -> Form:
        """A sum or product of terms, written in a fixed order."""
        if sum(terms.values()) == 1 and kind != "atom":
            (key, sign), = terms
            if sign > 0:
                return cls("atom", terms, key)
        parts = [
            ("+-" if kind == "sum" else "*/")[sign < 0] + (f"{count}x" if count > 1 else "") + key
            for (key, sign), count in sorted(terms.items())
        ]
        key = f"({' '.join(parts)})"
        if len(key) > LONGEST_KEY:  # repeated squaring must not grow without bound
            key = "#" + hashlib.sha256(key.encode()).hexdigest()[:24]
        return cls(kind, terms, key)

    @classmethod
    def atom(cls, key: str) -> Form:
        """What is not taken apart: a quantity, a power."""
        return cls("atom", Counter({(key, 1): 1}), key)


def combine(operator: str, left: Form, right: Form) -> Form:
    """`left operator right`; sums of sums and products of products become one."""
    if operator == "^":
        return Form.atom(f"({left.key} ^ {right.key})")
    kind = "sum" if operator in "+-" else "product"
    terms: Counter = Counter()
    for form, turn in ((left, 1), (right, -1 if operator in "-/" else 1)):
        if form.kind == kind:
            for (key, sign), count in form.terms.items():
                terms[key, sign * turn] += count
        else:
            terms[form.key, turn] += 1
    return Form.of(kind, terms)


def negate(form: Form) -> Form:
    """`-form`, a sum of its own."""
    return combine("-", Form("sum", Counter(), ""), form)
