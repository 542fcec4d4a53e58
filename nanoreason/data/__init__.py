"""From a source to training records: problems, teachers, filter, errors, mixture.

`load_problems` reads a source, `teach` makes a trace of each problem, `filter_traces` keeps
the good ones, `corrupt` injects an error into a right one. Each is loaded when it is first
used, so that reading parameters, which needs names of this room alone, stays fast.
"""
from importlib import import_module

_HOMES = {"corrupt": "errors", "filter_traces": "filters", "load_problems": "sources",
          "teach": "teachers"}
__all__ = ["corrupt", "filter_traces", "load_problems", "teach"]


def __getattr__(name: str):
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
