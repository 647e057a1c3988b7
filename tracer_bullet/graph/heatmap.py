"""How long traces took, over time."""

from __future__ import annotations

from tracer_bullet.graph.engines import Engine
from tracer_bullet.graph.sql import latency
from tracer_bullet.model import Heatmap

MOST_SLOTS = 60
_NS_PER_MS = 1e6


def make_heatmap(engine: Engine) -> Heatmap | None:
    """The durations of roots over their starts, in at most 60 slots of equal time; None without spans.

    Roots are spans without a parent; where the set has none at all, spans whose parent is missing. Needs the
    tables of graph/prepare.py.
    """
    engine.define("root", latency.ROOTS)
    extents = engine.rows(latency.ROOT_EXTENT)
    if not extents:
        engine.drop("root")
        return None
    true_root, first, last = (int(v) for v in extents[0])
    slot_ns = (last - first) // MOST_SLOTS + 1
    cells = engine.rows(latency.CELLS.format(start_ns=first, slot_ns=slot_ns, true_root=true_root))
    engine.drop("root")
    lowest = min(int(octave) for _, octave, _ in cells)
    return Heatmap(
        start_ns=first,
        slot_ns=slot_ns,
        slots=(last - first) // slot_ns + 1,
        row_0_ms=2.0**lowest / _NS_PER_MS,
        rows=max(int(octave) for _, octave, _ in cells) - lowest + 1,
        cells=tuple((int(slot), int(octave) - lowest, int(n)) for slot, octave, n in cells),
    )
