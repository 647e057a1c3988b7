"""The critical path: which spans a trace's root really waited for. The rule is in docs/critical-path.md.

The engine resolves parents; numpy walks the traces of a whole chunk at once. No loop over
spans, levels or siblings: what a span has from its ancestors comes by pointer doubling
(trees.py), so that depth and width cost nothing extra.
"""

from tracer_bullet.graph.paths.find import find_critical_paths
from tracer_bullet.graph.paths.single import trace_critical_path

__all__ = ["find_critical_paths", "trace_critical_path"]
