"""Traffic for Vizceral (github.com/Netflix/vizceral/wiki/How-to-Use): global → region → nodes, requests per second."""

from __future__ import annotations

import json
from typing import Any

from tracer_bullet.report.diagrams.diagram import Diagram, DiagramEdge, DiagramNode, Level, Role
from tracer_bullet.report.diagrams.ids import plain_ids

INTERNET = "INTERNET"
_DANGER = 0.05
_WARNING = 0.01
_DIGITS = 6
# Shapes that Vizceral comes with.
_TYPES = {
    Role.ENTRY: "users",
    Role.STORE: "storage",
    Role.QUEUE: "pipe",
    Role.SERVICE: "service",
    Role.OPERATION: "service",
}


class Vizceral:
    """One region, in which `INTERNET` calls what nobody else was seen to call, or stands for the harness.

    Node names are plain ids (Vizceral uses them as keys of objects), `displayName` is the name. Without a length of
    time all calls count as made in one second. At 5 % of errors a node is in danger, at 1 % there is a warning.
    """

    name = "vizceral"
    picture = False
    counted = True
    levels = tuple(Level)

    def render(self, diagram: Diagram) -> str:
        """See DiagramFormat."""
        names = plain_ids((n.id, n.role.value, n.name) for n in diagram.nodes)
        names |= {n.id: INTERNET for n in diagram.nodes if n.role is Role.ENTRY}
        edges = [*diagram.edges, *_from_outside(diagram)]
        connections = _connections(edges, names | {"": INTERNET}, diagram.seconds or 1.0)
        entered = [c for c in connections if c["source"] == INTERNET]
        volume = _volume(connections)
        called: dict[str, list[int]] = {}
        for edge in diagram.edges:
            into = called.setdefault(edge.target, [0, 0])
            into[0] += edge.calls
            into[1] += edge.errors
        groups = {"": "", **{g.id: g.name for g in diagram.groups}}
        nodes = [
            _node(n, names[n.id], groups[n.group], *called.get(n.id, (0, 0)))
            for n in diagram.nodes
            if n.role is not Role.ENTRY
        ]
        region: dict[str, Any] = {
            "renderer": "region",
            "name": "system",
            "displayName": diagram.name,
            "class": "normal",
            "updated": diagram.at_ms,
            "maxVolume": volume,
            "nodes": [{"name": INTERNET, "renderer": "focusedChild", "class": "normal", "node_type": "users"}, *nodes],
            "connections": connections,
        }
        total = {key: round(sum(c["metrics"][key] for c in entered), _DIGITS) for key in ("normal", "danger")}
        traffic = {
            "renderer": "global",
            "name": "edge",
            "serverUpdateTime": diagram.at_ms,
            "entryNode": INTERNET,
            "maxVolume": max(sum(total.values()), volume),
            "nodes": [{"renderer": "region", "name": INTERNET, "class": "normal"}, region],
            "connections": [{"source": INTERNET, "target": "system", "metrics": total, "notices": []}],
        }
        return json.dumps(traffic, indent=2, ensure_ascii=False) + "\n"


def _from_outside(diagram: Diagram) -> list[DiagramEdge]:
    """From `INTERNET` (the id "") to what nobody calls, as often as that calls others itself."""
    if any(n.role is Role.ENTRY for n in diagram.nodes):
        return []
    called = {e.target for e in diagram.edges if e.source != e.target}
    made: dict[str, int] = {}
    for edge in diagram.edges:
        made[edge.source] = max(made.get(edge.source, 0), edge.calls)
    inner = (Role.SERVICE, Role.OPERATION, Role.SYSTEM)
    return [
        DiagramEdge(source="", target=n.id, calls=n.calls or made.get(n.id, 0), errors=n.errors)
        for n in diagram.nodes
        if n.role in inner and n.id not in called
    ]


def _connections(edges: list[DiagramEdge], names: dict[str, str], seconds: float) -> list[dict[str, Any]]:
    pairs: dict[tuple[str, str], list[DiagramEdge]] = {}
    for edge in edges:
        pairs.setdefault((names[edge.source], names[edge.target]), []).append(edge)
    return [
        {
            "source": source,
            "target": target,
            "metrics": {
                "normal": round(sum(e.calls - e.errors for e in some) / seconds, _DIGITS),
                "danger": round(sum(e.errors for e in some) / seconds, _DIGITS),
            },
            "metadata": {"asynchronous": all(e.asynchronous for e in some)},
            "notices": [{"title": e.alert, "severity": 1} for e in some if e.alert],
        }
        for (source, target), some in sorted(pairs.items())
        if target != INTERNET
    ]


def _volume(connections: list[dict[str, Any]]) -> float:
    """What the densest connection carries; never 0, by which Vizceral divides."""
    return max((sum(c["metrics"].values()) for c in connections), default=0.0) or 1.0


def _node(node: DiagramNode, name: str, group: str, calls: int, errors: int) -> dict[str, Any]:
    share = errors / calls if calls else 0.0
    return {
        "renderer": "focusedChild",
        "name": name,
        "displayName": node.name,
        "class": "danger" if share >= _DANGER else "warning" if share >= _WARNING else "normal",
        "metadata": {"owner": node.owner, "system": node.system, "kind": node.role.value, "group": group},
        "node_type": _TYPES.get(node.role, "default"),
        "notices": [],
    }
