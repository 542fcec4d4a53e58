"""Evaluation: generation to rows, SVR, RFS, interventions, the ledger, statistics, summary."""
from nanoreason.evaluation.faithfulness import faithfulness
from nanoreason.evaluation.ledger import ledger
from nanoreason.evaluation.self_verification import accuracy, self_verification

__all__ = ["accuracy", "faithfulness", "generate_traces", "ledger", "self_verification"]


def __getattr__(name: str):
    """`generate_traces` when it is asked for: scoring rows needs no torch."""
    if name != "generate_traces":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from nanoreason.evaluation.generate import generate_traces

    return generate_traces
