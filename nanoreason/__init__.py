"""NanoReason: four-stage reasoning with two LoRA adapters and a step-aware loss."""
from __future__ import annotations

from nanoreason.environment import VERSION as __version__

MODULES = {"export": "exporting", "solve": "solution"}  # where each stands
__all__ = ["__version__", "export", "solve"]


def __getattr__(name: str):
    """`solve` and `export`, loaded with what they need when they are asked for."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}: it has "
                             f"{', '.join(__all__)}")
    from importlib import import_module

    return getattr(import_module(f"nanoreason.{MODULES[name]}"), name)
