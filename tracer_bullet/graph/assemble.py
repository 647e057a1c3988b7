"""Rows of the graph's queries to the model."""

from __future__ import annotations

from collections import defaultdict

from tracer_bullet.graph.distributions import read_distributions
from tracer_bullet.graph.engines import Engine
from tracer_bullet.graph.nodes import make_node
from tracer_bullet.graph.operations import read_operation_edges
from tracer_bullet.graph.sql import figures
from tracer_bullet.model import Edge, Evidence, Node, Operation, ServiceGraph

_NS_PER_MS = 1e6
_WRAP = 1 << 64


def assemble(engine: Engine) -> ServiceGraph:
    """The graph from the tables of graph/prepare.py; everything in it is sorted."""
    nodes, edges = _nodes_and_edges(engine)
    traces, spans = engine.rows(figures.TOTALS)[0]
    return ServiceGraph(
        nodes=nodes,
        edges=edges,
        operations=_operations(engine),
        traces=traces,
        spans=spans,
        orphans=tuple((service, count) for service, count in engine.rows(figures.ORPHANS)),
        operation_edges=read_operation_edges(engine, make_node),
    )


def _operations(engine: Engine) -> tuple[Operation, ...]:
    entries = "span AS s JOIN own_time AS o ON s.row_id = o.row_id"
    durations = read_distributions(engine, ("s.service", "s.name"), "s.duration_ns", entries)
    own = read_distributions(engine, ("s.service", "s.name"), "o.own_ns", entries)
    return tuple(
        Operation(
            service=service,
            name=name,
            calls=calls,
            errors=int(errors),
            latency=durations[service, name].latency(),
            self_p50_ms=own[service, name].quantile_ns(0.5) / _NS_PER_MS,
        )
        for service, name, calls, errors in engine.rows(figures.OPERATIONS)
    )


def _nodes_and_edges(engine: Engine) -> tuple[tuple[Node, ...], tuple[Edge, ...]]:
    evidence = _evidence(engine)
    decisions: dict[int, list[tuple[str, int]]] = defaultdict(list)
    for edge_id, decision, count in engine.rows(figures.DECISIONS):
        decisions[edge_id].append((decision, count))
    called: dict[Node, list[int]] = {}
    edges = []
    durations = read_distributions(engine, ("edge_id",), "duration_ns", "usage WHERE counted")
    for edge_id, *ends, calls, errors, asynchronous in engine.rows(figures.EDGE_FIGURES):
        source, target = make_node(*ends[:3]), make_node(*ends[3:])
        called.setdefault(source, [0, 0])
        into = called.setdefault(target, [0, 0])
        into[0] += calls
        into[1] += int(errors)
        edges.append(
            Edge(
                source=source.id,
                target=target.id,
                calls=calls,
                errors=int(errors),
                latency=durations[edge_id,].latency(),
                evidence=tuple(evidence[edge_id]),
                writes=sum(count for _, count in decisions[edge_id]),
                decisions=tuple(decisions[edge_id]),
                asynchronous=bool(asynchronous),
            )
        )
    # A service's own spans say how often it was called; other nodes have only their callers' word.
    for service, calls, errors in engine.rows(figures.SERVICES):
        called[make_node("service", service, "")] = [int(calls), int(errors)]
    nodes = [
        Node(id=n.id, name=n.name, kind=n.kind, system=n.system, calls=calls, errors=errors)
        for n, (calls, errors) in called.items()
    ]
    return tuple(sorted(nodes, key=lambda n: n.id)), tuple(sorted(edges, key=lambda e: (e.source, e.target)))


def _evidence(engine: Engine) -> dict[int, list[Evidence]]:
    examples: dict[tuple[int, str, int], list[str]] = {}
    for edge_id, rule, count, high, low in engine.rows(figures.EVIDENCE):
        examples.setdefault((edge_id, rule, count), []).append(f"{high % _WRAP:016x}{low % _WRAP:016x}")
    found: dict[int, list[Evidence]] = defaultdict(list)
    for (edge_id, rule, count), trace_ids in examples.items():
        found[edge_id].append(Evidence(rule=rule, count=count, example_trace_ids=tuple(trace_ids)))
    return found
