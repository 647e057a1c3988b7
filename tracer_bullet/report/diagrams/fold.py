"""Makes a diagram small enough to read: leaf stores into their services, groups into one box, the rest cut. Pure.

Rules, each only where the diagram is still too large, and each told in `notes`:
1. over `fold_leaves` boxes: what only one service uses and what uses nothing (stores, queues, third parties, peers)
   becomes a line in its user's box;
2. over `fold_groups` boxes: each group becomes one box, with one edge for all edges between two;
3. over `crowd` arrows a box, and 40 in all: the most important stay, twice as many as there are boxes, and of each
   box the most important one that comes in and that goes out;
4. over `nodes` boxes or `edges` arrows: the most important stay.
Importance is failing calls, then calls; without counts how many arrows one stands for, which traffic does not change.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, replace

from tracer_bullet.report.diagrams.build import merge_edges
from tracer_bullet.report.diagrams.diagram import ROLE_TEXT, Diagram, DiagramEdge, DiagramNode, Level, Role
from tracer_bullet.report.text import plural

_LEAVES = (Role.STORE, Role.QUEUE, Role.THIRD_PARTY, Role.PEER)
_MOST_LINES = 3
_FEW_EDGES = 40


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """From how many boxes on a picture is folded, and what of it is left at most."""

    fold_leaves: int = 40
    fold_groups: int = 100
    crowd: float = 3.0
    nodes: int = 120
    edges: int = 240


def fold(diagram: Diagram, limits: Limits | None = None) -> Diagram:
    """The diagram, small enough."""
    limits = limits or Limits()
    if len(diagram.nodes) > limits.fold_leaves:
        diagram = _fold_leaves(diagram)
    if len(diagram.nodes) > limits.fold_groups and diagram.groups:
        diagram = _fold_groups(diagram)
    if len(diagram.edges) > max(limits.crowd * len(diagram.nodes), _FEW_EDGES):
        diagram = _thin(diagram, 2 * len(diagram.nodes))
    return cut(diagram, nodes=limits.nodes, edges=limits.edges)


def _fold_leaves(diagram: Diagram) -> Diagram:
    users: dict[str, set[str]] = defaultdict(set)
    busy = set()
    for edge in diagram.edges:
        users[edge.target].add(edge.source)
        busy.add(edge.source)
    owner = {
        n.id: next(iter(users[n.id]))
        for n in diagram.nodes
        if n.role in _LEAVES and n.id not in busy and len(users[n.id]) == 1
    }
    if not owner:
        return diagram
    lines: dict[str, list[str]] = defaultdict(list)
    for node in diagram.nodes:
        if node.id in owner:
            lines[owner[node.id]].append(f"+ {node.system or ROLE_TEXT[node.role]} {node.name}")
    nodes = [
        replace(n, details=(*n.details, *_shortened(lines[n.id]))) if n.id in lines else n
        for n in diagram.nodes
        if n.id not in owner
    ]
    note = f"{plural(len(owner), 'part')} that only one service uses: named in its box"
    edges = tuple(e for e in diagram.edges if e.target not in owner)
    return replace(diagram, nodes=tuple(nodes), edges=edges, notes=(*diagram.notes, note))


def _shortened(lines: list[str]) -> list[str]:
    return lines if len(lines) <= _MOST_LINES else [*lines[: _MOST_LINES - 1], f"+ {len(lines) - _MOST_LINES + 1} more"]


def _fold_groups(diagram: Diagram) -> Diagram:
    members = Counter(n.group for n in diagram.nodes if n.group)
    names = {g.id: g.name for g in diagram.groups}
    place = {n.id: n.group or n.id for n in diagram.nodes}
    noun = "operation" if diagram.level is Level.OPERATIONS else "service"
    boxes = [
        DiagramNode(id=group, name=names[group], role=Role.FOLDED, details=(plural(n, noun),))
        for group, n in members.items()
        if group in names
    ]
    counts = any(e.calls for e in diagram.edges)
    edges = [
        replace(e, source=place[e.source], target=place[e.target], label=(), p95_ms=0.0)
        for e in diagram.edges
        if place[e.source] != place[e.target]
    ]
    inside = len(diagram.edges) - len(edges)
    note = f"{plural(len(boxes), 'group')} drawn as one box each, with {plural(inside, 'edge')} inside"
    kept = [n for n in diagram.nodes if not n.group]
    return replace(
        diagram,
        nodes=tuple(sorted([*kept, *boxes], key=lambda n: n.id)),
        edges=merge_edges(edges, counts=counts),
        groups=(),
        notes=(*diagram.notes, note),
    )


def _importance(edge: DiagramEdge) -> tuple[int, int, int, str, str]:
    """The most important first."""
    return -edge.errors, -edge.calls, -edge.stands_for, edge.source, edge.target


def _thin(diagram: Diagram, most: int) -> Diagram:
    by_importance = sorted(diagram.edges, key=_importance)
    seen: set[tuple[str, bool]] = set()
    chosen = set()
    for edge in by_importance:
        ends = {(edge.source, True), (edge.target, False)}
        if not ends <= seen:
            chosen.add(edge)
            seen |= ends
    chosen |= set([e for e in by_importance if e not in chosen][: max(most - len(chosen), 0)])
    note = f"{plural(len(diagram.edges) - len(chosen), 'arrow')} of less weight between the boxes not drawn"
    return replace(diagram, edges=tuple(e for e in diagram.edges if e in chosen), notes=(*diagram.notes, note))


def cut(diagram: Diagram, *, nodes: int, edges: int) -> Diagram:
    """At most so many nodes and edges, the most important ones."""
    if len(diagram.nodes) <= nodes and len(diagram.edges) <= edges:
        return diagram
    weight: Counter[str] = Counter()
    failing: Counter[str] = Counter()
    for edge in diagram.edges:
        for end in {edge.source, edge.target}:
            weight[end] += edge.calls or edge.stands_for
            failing[end] += edge.errors
    by_weight = sorted(
        diagram.nodes, key=lambda n: (n.role not in (Role.ENTRY, Role.SYSTEM), -failing[n.id], -weight[n.id], n.id)
    )
    kept = {n.id for n in by_weight[:nodes]}
    between = [e for e in diagram.edges if e.source in kept and e.target in kept]
    chosen = set(sorted(between, key=_importance)[:edges])
    left = tuple(n for n in diagram.nodes if n.id in kept)
    used = {n.group for n in left}
    note = (
        f"left out: {plural(len(diagram.nodes) - len(left), 'node')} and "
        f"{plural(len(diagram.edges) - len(chosen), 'edge')} of less weight"
    )
    return replace(
        diagram,
        nodes=left,
        edges=tuple(e for e in diagram.edges if e in chosen),
        groups=tuple(g for g in diagram.groups if g.id in used),
        notes=(*diagram.notes, note),
    )
