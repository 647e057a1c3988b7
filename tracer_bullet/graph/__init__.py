"""The dependency graph that spans show: who calls whom, with the evidence, calls, errors and latency.

Must not fetch spans, judge bullets or draw. Reads the span table as docs/span-table.md has
it, so that it knows nothing of how spans came. Fails soft: what cannot be placed is
counted, as orphans are, and never guessed.
"""

from tracer_bullet.graph.build import build_graph
from tracer_bullet.graph.engines import EngineOptions

__all__ = ["EngineOptions", "build_graph"]
