"""What every diagram format draws: nodes, edges and groups, ready and in order. Pure data.

All text in a `Diagram` is clean (`report.text.line`), nothing is escaped for any format.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Level(StrEnum):
    """How close one looks: the system as one box, its services, or their operations."""

    CONTEXT = "context"
    SERVICES = "services"
    OPERATIONS = "operations"


class Role(StrEnum):
    """What a node is. `FOLDED` stands for a whole group of services."""

    ENTRY = "entry"
    SYSTEM = "system"
    SERVICE = "service"
    OPERATION = "operation"
    FOLDED = "folded"
    STORE = "store"
    QUEUE = "queue"
    THIRD_PARTY = "third_party"
    PEER = "peer"


ROLE_TEXT = {
    Role.ENTRY: "entry",
    Role.SYSTEM: "system",
    Role.SERVICE: "service",
    Role.OPERATION: "operation",
    Role.FOLDED: "services",
    Role.STORE: "store",
    Role.QUEUE: "queue",
    Role.THIRD_PARTY: "third party",
    Role.PEER: "peer",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class DiagramNode:
    """A box. `id` is unique in the diagram, `name` need not be. `group` is the id of its group, or "".

    `calls` and `errors` are what it received, 0 where counts are off. `system` is a technology, as `postgresql`.
    `owner` is of the catalog, or "". `details` are more lines to show.
    """

    id: str
    name: str
    role: Role
    system: str = ""
    group: str = ""
    owner: str = ""
    calls: int = 0
    errors: int = 0
    details: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class DiagramEdge:
    """An arrow between node ids; one a pair. Numbers are 0 where counts are off; `p95_ms` is 0 where it is unknown.

    `label` lines are what to show beside it, `alert` one more that says that calls fail. `stands_for`: how many edges
    it is drawn for.
    """

    source: str
    target: str
    calls: int = 0
    errors: int = 0
    p95_ms: float = 0.0
    asynchronous: bool = False
    label: tuple[str, ...] = ()
    alert: str = ""
    stands_for: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class DiagramGroup:
    """A frame around nodes: services of one system of the catalog or of one prefix, or a service's operations."""

    id: str
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagram:
    """A picture or a model of a system. Nodes, edges and groups are sorted by id; `notes` say what was left out.

    `seconds` is how long the traffic was watched, 0 where that is unknown; `at_ms` its end in Unix milliseconds.
    """

    name: str
    level: Level
    nodes: tuple[DiagramNode, ...]
    edges: tuple[DiagramEdge, ...]
    groups: tuple[DiagramGroup, ...] = ()
    notes: tuple[str, ...] = ()
    seconds: float = 0.0
    at_ms: int = 0
