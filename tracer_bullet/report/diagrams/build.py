"""From a service graph to a diagram at one of three levels. Pure; the same graph gives the same diagram."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, replace

from tracer_bullet.errors import UsageError
from tracer_bullet.model import Catalog, Edge, Node, NodeKind, ServiceGraph
from tracer_bullet.report.diagrams.diagram import Diagram, DiagramEdge, DiagramGroup, DiagramNode, Level, Role
from tracer_bullet.report.diagrams.groups import group_services
from tracer_bullet.report.text import count, line, ms, percent

_ROLES = {
    NodeKind.HARNESS: Role.ENTRY,
    NodeKind.SERVICE: Role.SERVICE,
    NodeKind.STORE: Role.STORE,
    NodeKind.QUEUE: Role.QUEUE,
    NodeKind.THIRD_PARTY: Role.THIRD_PARTY,
    NodeKind.PEER: Role.PEER,
}
_OUTSIDE = (NodeKind.HARNESS, NodeKind.THIRD_PARTY, NodeKind.PEER)
SYSTEM_ID = "system"
USERS_ID = "entry:users"


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """What a diagram is made with besides the graph. `name` is the system's; without `counts` there are no numbers,
    so that the same architecture gives the same diagram whatever the traffic was."""

    name: str
    counts: bool = True
    catalog: Catalog | None = None
    seconds: float = 0.0
    at_ms: int = 0


def build_diagram(graph: ServiceGraph, level: Level, frame: Frame) -> Diagram:
    """The whole diagram, nothing folded. Raises UsageError (TB551) when the graph does not know the level."""
    if level is Level.CONTEXT:
        nodes, edges, groups = _context(graph, frame)
    elif level is Level.SERVICES:
        nodes, edges, groups = _services(graph, frame)
    else:
        nodes, edges, groups = _operations(graph, frame)
    known = {n.id for n in nodes}
    edges = [e for e in edges if e.source in known and e.target in known]
    return Diagram(
        name=line(frame.name) or "system",
        level=level,
        nodes=tuple(sorted(nodes, key=lambda n: n.id)),
        edges=merge_edges(edges, counts=frame.counts),
        groups=tuple(sorted(groups, key=lambda g: g.id)),
        seconds=frame.seconds,
        at_ms=frame.at_ms,
    )


Parts = tuple[list[DiagramNode], list[DiagramEdge], list[DiagramGroup]]


def _context(graph: ServiceGraph, frame: Frame) -> Parts:
    outside = [n for n in graph.nodes if n.kind in _OUTSIDE]
    kept = {n.id for n in outside}
    nodes = [_node(n, "", frame) for n in outside]
    nodes.append(DiagramNode(id=SYSTEM_ID, name=line(frame.name) or "system", role=Role.SYSTEM))
    edges = [
        replace(
            _edge(e),
            source=e.source if e.source in kept else SYSTEM_ID,
            target=e.target if e.target in kept else SYSTEM_ID,
        )
        for e in graph.edges
        if e.source in kept or e.target in kept
    ]
    if not any(n.kind is NodeKind.HARNESS for n in graph.nodes):
        users = entry_calls(graph)
        nodes += [DiagramNode(id=USERS_ID, name="users", role=Role.ENTRY)] if users else []
        edges += [replace(e, target=SYSTEM_ID) for e in users]
    return nodes, edges, []


def entry_calls(graph: ServiceGraph) -> list[DiagramEdge]:
    """Edges from `USERS_ID` to each service that is called by nobody who was seen."""
    called = {e.target for e in graph.edges if e.source != e.target}
    return [
        DiagramEdge(source=USERS_ID, target=n.id, calls=n.calls, errors=n.errors)
        for n in graph.nodes
        if n.kind is NodeKind.SERVICE and n.id not in called
    ]


def _services(graph: ServiceGraph, frame: Frame) -> Parts:
    names = [n.name for n in graph.nodes if n.kind is NodeKind.SERVICE]
    placed, groups = group_services(names, frame.catalog)
    nodes = [_node(n, placed.get(n.name, "") if n.kind is NodeKind.SERVICE else "", frame) for n in graph.nodes]
    return nodes, [_edge(e) for e in graph.edges], groups


def _operations(graph: ServiceGraph, frame: Frame) -> Parts:
    if graph.edges and not graph.operation_edges:
        raise UsageError(
            "TB551",
            "the graph does not say which operation calls which",
            why="it was made by a version before operation edges, or holds edges of another tool's rules",
            cure="make it again: tracer-bullet analyse",
        )
    services = {n.id: n for n in graph.nodes if n.kind is NodeKind.SERVICE}
    by_name = {n.name: n.id for n in services.values()}
    nodes = {n.id: _node(n, "", frame) for n in graph.nodes if n.id not in services}

    served = {(o.service, o.name): (o.calls, o.errors) for o in graph.operations} if frame.counts else {}

    def end(node: str, operation: str) -> str:
        if node not in services:
            return node
        key = _operation_id(node, operation)
        if key not in nodes:
            service = services[node].name
            calls, errors = served.get((service, operation), (0, 0))
            nodes[key] = DiagramNode(
                id=key,
                name=line(operation) or "(unnamed)",
                role=Role.OPERATION,
                group=node,
                owner=line(frame.catalog.owner_of(service)) if frame.catalog else "",
                calls=calls,
                errors=errors,
            )
        return key

    for operation in graph.operations:
        if operation.service in by_name:
            end(by_name[operation.service], operation.name)
    edges = [
        DiagramEdge(
            source=end(e.source, e.source_operation),
            target=end(e.target, e.target_operation),
            calls=e.calls,
            errors=e.errors,
            asynchronous=e.asynchronous,
            label=(line(e.target_operation),) if e.target not in services and e.target_operation else (),
        )
        for e in graph.operation_edges
    ]
    groups = [DiagramGroup(id=key, name=line(n.name)) for key, n in services.items()]
    return list(nodes.values()), edges, groups


def _operation_id(node: str, operation: str) -> str:
    """One id a pair: the first `#` ends the node's."""
    return f"{node.replace('%', '%25').replace('#', '%23')}#{operation}"


def _node(node: Node, group: str, frame: Frame) -> DiagramNode:
    owner = frame.catalog.owner_of(node.name) if frame.catalog and node.kind is NodeKind.SERVICE else ""
    return DiagramNode(
        id=node.id,
        name=line(node.name) or "(unnamed)",
        role=_ROLES[node.kind],
        system=line(node.system),
        group=group,
        owner=line(owner),
        calls=node.calls if frame.counts else 0,
        errors=node.errors if frame.counts else 0,
    )


def _edge(edge: Edge) -> DiagramEdge:
    return DiagramEdge(
        source=edge.source,
        target=edge.target,
        calls=edge.calls,
        errors=edge.errors,
        p95_ms=edge.latency.p95_ms,
        asynchronous=edge.asynchronous,
        label=tuple(f"{count(n)} {line(decision)}" for decision, n in edge.decisions),
    )


def merge_edges(edges: Iterable[DiagramEdge], *, counts: bool) -> tuple[DiagramEdge, ...]:
    """One edge a pair, sorted, with its label; without `counts` nothing that traffic could change.

    An edge of several has no p95 of its own, and is asynchronous when all of them are.
    """
    pairs: dict[tuple[str, str], list[DiagramEdge]] = defaultdict(list)
    for edge in edges:
        pairs[edge.source, edge.target].append(edge)
    return tuple(_merged(pairs[pair], counts=counts) for pair in sorted(pairs))


def _merged(some: list[DiagramEdge], *, counts: bool) -> DiagramEdge:
    calls, errors = sum(e.calls for e in some), sum(e.errors for e in some)
    p95 = some[0].p95_ms if len(some) == 1 else 0.0
    bare = DiagramEdge(
        source=some[0].source,
        target=some[0].target,
        asynchronous=all(e.asynchronous for e in some),
        stands_for=sum(e.stands_for for e in some),
    )
    if not counts:
        return bare
    said = dict.fromkeys(one for e in some for one in e.label)
    head = f"{count(calls)}×" + (f" · p95 {ms(p95)}" if p95 > 0 else "")
    alert = f"{count(errors)} failed ({percent(errors, calls)})" if errors else ""
    more = tuple(sorted(said))
    return replace(bare, calls=calls, errors=errors, p95_ms=p95, label=(head, *_few(more)), alert=alert)


def _few(lines: tuple[str, ...], most: int = 4) -> tuple[str, ...]:
    return lines if len(lines) <= most else (*lines[: most - 1], f"and {len(lines) - most + 1} more")
