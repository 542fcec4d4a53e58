"""Exact arithmetic on text: expressions, equations in prose, answers and their comparison."""
from nanoreason.arithmetic.equations import read_equations
from nanoreason.arithmetic.expression import ArithmeticTextError, evaluate

__all__ = ["ArithmeticTextError", "evaluate", "read_equations"]
