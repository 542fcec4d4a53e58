"""NanoReason: four-stage reasoning with two LoRA adapters and a step-aware loss."""
from __future__ import annotations

from nanoreason.environment import VERSION as __version__

__all__ = ["__version__", "solve"]


def solve(question: str, run: str = "nano-reference", max_new_tokens: int = 512):
    """One question answered by a run's adapters, greedily; returns a `trace.Trace`.

    Raises `ValueError` for an empty question, `runs.RunError` if there is no such run, and
    `trace.TraceError` (with stage and reason) if what the model wrote is no whole trace.
    The arithmetic of the trace is the model's own: check it with
    `arithmetic.read_equations` or look at it with `figures.trace_view.TraceView`.
    """
    if not isinstance(question, str) or not question.strip():
        raise ValueError(f"question is {question!r}; give the text of a word problem")
    from nanoreason.evaluation.generate import complete_one
    from nanoreason.trace import parse_trace

    return parse_trace(complete_one(run, question.strip(), max_new_tokens))
