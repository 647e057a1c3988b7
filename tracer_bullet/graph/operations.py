"""The edges between operations: which operation calls what, by name, how often in a request, and when in it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from tracer_bullet.graph.engines import Engine
from tracer_bullet.graph.sql import operations
from tracer_bullet.model import Node, OperationEdge

_MOST_NAMES: Final = 50
_NS_PER_MS: Final = 1e6


def read_operation_edges(engine: Engine, node: Callable[[str, str, str], Node]) -> tuple[OperationEdge, ...]:
    """From the tables of graph/prepare.py, sorted. `node` makes a node of kind, name and system.

    Beyond the 50 most used names of an edge, target operations are counted together as `(other)`.
    """
    owners = find_owners(engine)
    engine.define("asked", operations.ASKED)
    engine.define("ask", operations.ASKS.format(owners=owners))
    engine.define("ask_name", operations.NAMES.format(most=_MOST_NAMES))
    found = [
        OperationEdge(
            source=node(*row[:3]).id,
            source_operation=row[3],
            target=node(*row[4:7]).id,
            target_operation=row[7],
            calls=row[8],
            errors=int(row[9]),
            requests=row[10],
            offset_ms=int(row[11]) / row[8] / _NS_PER_MS,
            asynchronous=bool(row[12]),
        )
        for row in engine.rows(operations.OPERATION_EDGES)
    ]
    for table in ("ask_name", "ask", "asked", owners):
        engine.drop(table)
    return tuple(sorted(found, key=lambda e: (e.source, e.source_operation, e.target, e.target_operation)))


def find_owners(engine: Engine) -> str:
    """Make the table of whose work each span is part of; its name. Parents in a circle are left where they are."""
    here, there = "owner_a", "owner_b"
    engine.define(here, operations.OWNERS)
    left = _count(engine, here)
    while left:
        engine.define(there, operations.JUMP.format(owners=here))
        engine.drop(here)
        here, there = there, here
        before, left = left, _count(engine, here)
        if left == before:
            break
    return here


def _count(engine: Engine, owners: str) -> int:
    return int(engine.rows(operations.UNFOUND.format(owners=owners))[0][0])
