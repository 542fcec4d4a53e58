"""Arithmetic in text: exact evaluation, and the equations that a text states."""
from nanoreason.expression import (
    ArithmeticTextError, Binary, Negative, Number, evaluate, parse_expression, value_of
)
