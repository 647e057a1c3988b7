"""The graph as Jaeger, Tempo or Zipkin would draw it, to be compared with theirs; `union` is ours."""

from __future__ import annotations

from typing import Final

from tracer_bullet.errors import UsageError
from tracer_bullet.graph.assemble import assemble
from tracer_bullet.graph.engines import Engine
from tracer_bullet.graph.sql import figures, profiles
from tracer_bullet.model import Distribution, Edge, Evidence, Node, NodeKind, ServiceGraph
from tracer_bullet.model.attributes import HARNESS_SERVICE
from tracer_bullet.model.graph import ProfileEdge

UNION: Final = "union"
PROFILES: Final = (UNION, "jaeger", "tempo", "zipkin")


def build_profile(engine: Engine, name: str) -> tuple[ProfileEdge, ...]:
    """The edges that the system `name` (`jaeger`, `tempo`, `zipkin`) derives from the spans, sorted.

    `engine` has the tables of graph/prepare.py. Jaeger counts no errors. Raises UsageError (TB507) for another name.
    """
    if name not in PROFILES or name == UNION:
        raise UsageError("TB507", f"there is no edge profile {name!r}", cure=f"use one of {', '.join(PROFILES)}")
    if name == "jaeger":
        return _edges(engine, profiles.JAEGER)
    engine.define("said", profiles.SAID)
    found = _edges(engine, profiles.TEMPO) if name == "tempo" else _zipkin(engine)
    engine.drop("said")
    return found


def profile_graph(engine: Engine, name: str) -> ServiceGraph:
    """A profile as a graph that can be drawn like ours: without operations and latencies, services by their spans.

    What no span was made by is a peer. Zipkin writes names in lower case. Raises UsageError (TB507).
    """
    if name == UNION:
        return assemble(engine)
    found = build_profile(engine, name)
    spelled = str.lower if name == "zipkin" else str
    services = {spelled(row[0]) for row in engine.rows(figures.SERVICES)}
    traces, spans = engine.rows(figures.TOTALS)[0]
    calls: dict[str, tuple[int, int]] = {edge.parent: (0, 0) for edge in found}
    for edge in found:
        before = calls.get(edge.child, (0, 0))
        calls[edge.child] = (before[0] + edge.calls, before[1] + edge.errors)
    nodes = {text: _node(text, services, *some) for text, some in calls.items()}
    return ServiceGraph(
        nodes=tuple(sorted(nodes.values(), key=lambda n: n.id)),
        edges=tuple(sorted((_edge(e, nodes, name) for e in found), key=lambda e: (e.source, e.target))),
        operations=(),
        traces=traces,
        spans=spans,
    )


def _zipkin(engine: Engine) -> tuple[ProfileEdge, ...]:
    engine.define("zipkin_node", profiles.ZIPKIN_NODES)
    top = _climb(engine, "zipkin_top", profiles.TO_TOP)
    remote = _climb(engine, "zipkin_remote", profiles.TO_KIND)
    found = _edges(engine, profiles.ZIPKIN.format(top=top, remote=remote))
    for table in (top, remote, "zipkin_node"):
        engine.drop(table)
    return found


def _climb(engine: Engine, name: str, start: str) -> str:
    """Make the table of where each span's climb ends; its name. Circles are left unfound."""
    here, there = f"{name}_a", f"{name}_b"
    engine.define(here, start)
    left = _count(engine, here)
    # As many steps as double up to the longest way; in a circle none is the last.
    for _ in range(max(left, 1).bit_length() + 1):
        if not left:
            break
        engine.define(there, profiles.CLIMB.format(climbed=here))
        engine.drop(here)
        here, there = there, here
        left = _count(engine, here)
    return here


def _count(engine: Engine, table: str) -> int:
    return int(engine.rows(profiles.UNFOUND.format(climbed=table))[0][0])


def _edges(engine: Engine, query: str) -> tuple[ProfileEdge, ...]:
    return tuple(
        ProfileEdge(parent=parent, child=child, calls=int(calls), errors=int(errors))
        for parent, child, calls, errors in engine.rows(query)
    )


def _node(name: str, services: set[str], calls: int, errors: int) -> Node:
    kind = NodeKind.SERVICE if name in services else NodeKind.PEER
    kind = NodeKind.HARNESS if name == HARNESS_SERVICE else kind
    return Node(id=f"{kind.value}:{name}", name=name, kind=kind, calls=calls, errors=errors)


def _edge(edge: ProfileEdge, nodes: dict[str, Node], profile: str) -> Edge:
    return Edge(
        source=nodes[edge.parent].id,
        target=nodes[edge.child].id,
        calls=edge.calls,
        errors=edge.errors,
        latency=Distribution().latency(),
        evidence=(Evidence(rule=profile, count=edge.calls, example_trace_ids=()),),
    )
