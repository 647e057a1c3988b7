"""What changed between two sets of traces, from their graphs and analyses alone (docs/drift.md)."""

from tracer_bullet.graph.drift.compare import DriftRules, changes_of, compare
from tracer_bullet.graph.drift.side import Side, side_of

__all__ = ["DriftRules", "Side", "changes_of", "compare", "side_of"]
