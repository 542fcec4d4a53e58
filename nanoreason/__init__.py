"""NanoReason: four-stage reasoning with two LoRA adapters and a step-aware loss.

`solve` answers a question, `export` writes a run's adapters for use without this package. All
else is in the rooms, in the order of the data: `trace`, `arithmetic`, `graph`, `data`, `params`,
`model`, `training`, `evaluation`, `figures`, `ablations`. docs/method.md explains the words and
says where each part is.
"""
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
