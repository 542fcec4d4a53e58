"""Conditions, the grid of their runs, and the hypotheses that it decides."""
