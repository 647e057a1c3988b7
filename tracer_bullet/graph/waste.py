"""Calls that cost more than they must: repeated, sent again, one after the other, worked on for nobody.

What each shape is and what its cost means is in docs/latency.md.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

from tracer_bullet.graph.ceilings import find_long_timeouts
from tracer_bullet.graph.engines import Engine, Row
from tracer_bullet.graph.nodes import make_node
from tracer_bullet.graph.sql import waste
from tracer_bullet.model import Pattern, Waste

MOST_PLACES = 100
_NS_PER_MS = 1e6
_WRAP = 1 << 64
_KEY = 7


@dataclass(frozen=True, slots=True)
class _Target:
    """Where an edge leads: the node's id, and how people call it."""

    id: str
    name: str


def find_waste(engine: Engine) -> tuple[Pattern, ...]:
    """The 100 places that cost most, by what they cost in all; needs the tables of graph/prepare.py."""
    engine.define("made", waste.CALLS)
    engine.define("repeated", waste.REPEATED)
    engine.define("resent", waste.RESENT)
    engine.define("retried", waste.RETRIES)
    engine.define("sequential", waste.SEQUENTIAL)
    engine.define("overrun", waste.OVERRUNS)
    engine.define("waste", waste.FOUND)
    for table in ("overrun", "sequential", "retried", "resent", "repeated", "made"):
        engine.drop(table)
    engine.define("waste_place", waste.PLACES.format(most=MOST_PLACES))
    places = engine.rows("SELECT * FROM waste_place")
    examples: dict[Row, list[str]] = defaultdict(list)
    traces: dict[Row, int] = {}
    for row in engine.rows(waste.EXAMPLES):
        traces[row[:_KEY]] = int(row[_KEY])
        examples[row[:_KEY]].append(f"{row[-2] % _WRAP:016x}{row[-1] % _WRAP:016x}")
    engine.drop("waste_place")
    engine.drop("waste")
    edges = {int(edge_id): _Target(make_node(*ends[3:]).id, ends[4]) for edge_id, *ends in engine.rows(waste.EDGES)}
    found = [
        (int(row[_KEY + 1]), _pattern(edges, row, traces[row[:_KEY]], tuple(examples[row[:_KEY]]))) for row in places
    ]
    found += find_long_timeouts(engine)
    found.sort(key=lambda f: (-f[0], f[1].waste.value, f[1].service, f[1].operation, f[1].target, f[1].message))
    return tuple(pattern for _, pattern in found[:MOST_PLACES])


def _pattern(edges: dict[int, _Target], row: Row, traces: int, examples: tuple[str, ...]) -> Pattern:
    kind, service, operation, edge_id, name, before_edge, before_name, times, _, cost_ns, size = row
    shape = Waste(kind)
    target = edges[int(edge_id)]
    before = edges[int(before_edge)].name if before_edge else ""
    return Pattern(
        waste=shape,
        service=service,
        operation=operation,
        target=target.id,
        traces=traces,
        times=int(times),
        cost_ms=int(cost_ns) / _NS_PER_MS,
        message=_message(shape, f"`{name}` to {target.name}", f"`{before_name}` to {before}", int(size)),
        example_trace_ids=examples,
    )


def _message(shape: Waste, call: str, before: str, size: int) -> str:
    match shape:
        case Waste.REPEATED:
            return f"{call}: {size} calls under one span, one could ask for all"
        case Waste.RETRY:
            return f"{call}: failed and was sent again"
        case Waste.SEQUENTIAL:
            return f"{call} waits for {before}: if it does not need the answer, both could run at the same time"
        case Waste.TIMEOUT:
            return f"{call}: works on after its caller gave up"
