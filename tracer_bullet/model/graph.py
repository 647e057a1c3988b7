"""The dependency graph that traces show, with the evidence for every edge."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from tracer_bullet.model.distribution import Latency


class NodeKind(Enum):
    """What a node is. `PEER` is an address that nothing more is known of."""

    HARNESS = "harness"
    SERVICE = "service"
    STORE = "store"
    QUEUE = "queue"
    THIRD_PARTY = "third_party"
    PEER = "peer"


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """A part of the system. `id` is unique and stable: `kind:name`. `system` is e.g. `postgresql`."""

    id: str
    name: str
    kind: NodeKind
    system: str = ""
    calls: int = 0
    errors: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """By which rule an edge was found, how often, and where to look."""

    rule: str
    count: int
    example_trace_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Edge:
    """Calls from one node to another. Latency is the caller's where the caller was seen."""

    source: str
    target: str
    calls: int
    errors: int
    latency: Latency
    evidence: tuple[Evidence, ...]
    writes: int = 0
    decisions: tuple[tuple[str, int], ...] = ()
    asynchronous: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """What a service does under one name: entry operations (server, consumer spans)."""

    service: str
    name: str
    calls: int
    errors: int
    latency: Latency
    self_p50_ms: float


@dataclass(frozen=True, slots=True, kw_only=True)
class OperationEdge:
    """Calls from one operation to another, as far as names are known; ends are node ids.

    `source_operation` is "" for a queue, `target_operation` for a queue too; of a store it is as `SELECT orders`, of an
    address `POST /charges/{id}`, or the span's name. `requests`: in how many of the source's requests there was one.
    `offset_ms`: how long after the request's begin, on average.
    """

    source: str
    source_operation: str
    target: str
    target_operation: str
    calls: int
    errors: int
    requests: int
    offset_ms: float
    asynchronous: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceGraph:
    """The whole picture. `orphans` counts spans whose parent is missing, by service."""

    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...]
    operations: tuple[Operation, ...]
    traces: int
    spans: int
    orphans: tuple[tuple[str, int], ...] = ()
    operation_edges: tuple[OperationEdge, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ProfileEdge:
    """An edge as another system draws it, by the names that it gives to both ends."""

    parent: str
    child: str
    calls: int
    errors: int
