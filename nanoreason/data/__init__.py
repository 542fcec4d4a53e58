"""From a source to training records: problems, teachers, filter, errors, mixture.

`load_problems` reads a source, `teach` makes a trace of each problem, `filter_traces` keeps
the good ones, `corrupt` injects an error into a right one.
"""
from nanoreason.data.errors import corrupt
from nanoreason.data.filters import filter_traces
from nanoreason.data.sources import load_problems
from nanoreason.data.teachers import teach

__all__ = ["corrupt", "filter_traces", "load_problems", "teach"]
