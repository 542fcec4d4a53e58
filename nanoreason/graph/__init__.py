"""The dependency graph of a trace: quantities, provenance, alignment with a teacher's graph."""
from nanoreason.graph.builder import dependency_graph
from nanoreason.graph.matching import edge_f1

__all__ = ["dependency_graph", "edge_f1"]
