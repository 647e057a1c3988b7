"""Spigo's architecture JSON, version `arch-0.0` (github.com/adrianco/spigo, json_arch/)."""

from __future__ import annotations

import json
from typing import Any

from tracer_bullet.report.diagrams.diagram import Diagram, DiagramNode, Level, Role
from tracer_bullet.report.diagrams.ids import plain_ids, slug

# Spigo's actors: DNS, a database, Cassandra, a microservice, and a program that answers by itself.
_PACKAGES = {Role.ENTRY: "denominator", Role.STORE: "store", Role.SERVICE: "karyon", Role.QUEUE: "karyon"}
_OUTSIDE = "monolith"


class Spigo:
    """Dependencies stand before dependants; the last one is where Spigo sends requests: the harness, else an entry.

    Spigo has no queues: a queue is a microservice that passes on. Its `count` is of machines, which traces do not
    know: 1, and 0 for DNS.
    """

    name = "spigo"
    picture = False
    counted = False
    levels = (Level.SERVICES,)

    def render(self, diagram: Diagram) -> str:
        """See DiagramFormat."""
        names = plain_ids(((n.id, "", n.name) for n in diagram.nodes), joint="-", fallback="part")
        called: dict[str, list[str]] = {n.id: [] for n in diagram.nodes}
        for edge in diagram.edges:
            if edge.source != edge.target:
                called[edge.source].append(edge.target)
        by_id = {n.id: n for n in diagram.nodes}
        services = [_service(by_id[key], names, called[key]) for key in _callees_first(called, by_id)]
        made = {
            "arch": slug(diagram.name, joint="-") or "system",
            "description": f"{diagram.name}, as traces show it",
            "version": "arch-0.0",
            "services": services,
        }
        return json.dumps(made, indent=4, ensure_ascii=False) + "\n"


def _service(node: DiagramNode, names: dict[str, str], called: list[str]) -> dict[str, Any]:
    package = _PACKAGES.get(node.role, _OUTSIDE)
    if node.role is Role.STORE and node.system == "cassandra":
        package = "priamCassandra"
    entry = node.role is Role.ENTRY
    return {
        "name": names[node.id],
        "package": package,
        "count": 0 if entry else 1,
        "regions": 0 if entry else 1,
        "dependencies": [names[key] for key in called],
    }


def _callees_first(called: dict[str, list[str]], nodes: dict[str, DiagramNode]) -> list[str]:
    """In the order in which a walk leaves them; in a circle somebody must come before whom he depends on."""
    targets = {key for some in called.values() for key in some}
    starts = sorted(nodes, key=lambda k: (nodes[k].role is Role.ENTRY, k not in targets, len(called[k]), k))
    done: dict[str, None] = {}
    seen: set[str] = set()
    for start in starts:
        walk = [(start, iter(called[start]))] if start not in seen else []
        seen.add(start)
        while walk:
            key, rest = walk[-1]
            following = next((k for k in rest if k not in seen), None)
            if following is None:
                done[key] = None
                walk.pop()
            else:
                seen.add(following)
                walk.append((following, iter(called[following])))
    return list(done)
