"""NanoReason: four-stage reasoning with two LoRA adapters and a step-aware loss."""
from __future__ import annotations

from nanoreason.environment import VERSION as __version__

__all__ = ["__version__", "solve"]


def __getattr__(name: str):
    """`solve`, loaded with what it needs when it is asked for."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}: it has "
                             f"{', '.join(__all__)}")
    from nanoreason import solution

    return getattr(solution, name)
