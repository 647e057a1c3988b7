"""Rows of the graph's queries to the model."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import duckdb

from tracer_bullet.graph import sql
from tracer_bullet.model import Edge, Evidence, Latency, Node, NodeKind, Operation, ServiceGraph
from tracer_bullet.model.attributes import HARNESS_SERVICE

_NS_PER_MS = 1e6
_WRAP = 1 << 64


def assemble(connection: duckdb.DuckDBPyConnection) -> ServiceGraph:
    """The graph from the prepared tables of graph/sql.py; everything in it is sorted."""
    nodes, edges = _nodes_and_edges(connection)
    traces, spans = connection.execute(sql.TOTALS).fetchall()[0]
    return ServiceGraph(
        nodes=nodes,
        edges=edges,
        operations=tuple(
            Operation(
                service=service,
                name=name,
                calls=calls,
                errors=errors,
                latency=_latency(quantiles, longest),
                self_p50_ms=self_p50 / _NS_PER_MS,
            )
            for service, name, calls, errors, quantiles, longest, self_p50 in connection.execute(
                sql.OPERATIONS
            ).fetchall()
        ),
        traces=traces,
        spans=spans,
        orphans=tuple(connection.execute(sql.ORPHANS).fetchall()),
    )


def _nodes_and_edges(connection: duckdb.DuckDBPyConnection) -> tuple[tuple[Node, ...], tuple[Edge, ...]]:
    evidence = _evidence(connection)
    decisions: dict[int, list[tuple[str, int]]] = defaultdict(list)
    for edge_id, decision, count in connection.execute(sql.DECISIONS).fetchall():
        decisions[edge_id].append((decision, count))
    called: dict[Node, list[int]] = {}
    edges = []
    for edge_id, *ends, calls, errors, asynchronous, quantiles, longest in connection.execute(
        sql.EDGE_FIGURES
    ).fetchall():
        source, target = _node(*ends[:3]), _node(*ends[3:])
        called.setdefault(source, [0, 0])
        into = called.setdefault(target, [0, 0])
        into[0] += calls
        into[1] += errors
        edges.append(
            Edge(
                source=source.id,
                target=target.id,
                calls=calls,
                errors=errors,
                latency=_latency(quantiles, longest),
                evidence=tuple(evidence[edge_id]),
                writes=sum(count for _, count in decisions[edge_id]),
                decisions=tuple(decisions[edge_id]),
                asynchronous=asynchronous,
            )
        )
    # A service's own spans say how often it was called; other nodes have only their callers' word.
    for service, calls, errors in connection.execute(sql.SERVICES).fetchall():
        called[_node("service", service, "")] = [calls, errors]
    nodes = [
        Node(id=n.id, name=n.name, kind=n.kind, system=n.system, calls=calls, errors=errors)
        for n, (calls, errors) in called.items()
    ]
    return tuple(sorted(nodes, key=lambda n: n.id)), tuple(sorted(edges, key=lambda e: (e.source, e.target)))


def _node(kind: str, name: str, system: str) -> Node:
    if kind == "service" and name == HARNESS_SERVICE:
        kind = "harness"
    # One name may stand for different things in two systems: a Kafka topic and a RabbitMQ queue.
    qualified = f"{system}/{name}" if system else name
    return Node(id=f"{kind}:{qualified}", name=name, kind=NodeKind(kind), system=system)


def _evidence(connection: duckdb.DuckDBPyConnection) -> dict[int, list[Evidence]]:
    examples: dict[tuple[int, str, int], list[str]] = {}
    for edge_id, rule, count, high, low in connection.execute(sql.EVIDENCE).fetchall():
        examples.setdefault((edge_id, rule, count), []).append(f"{high % _WRAP:016x}{low % _WRAP:016x}")
    found: dict[int, list[Evidence]] = defaultdict(list)
    for (edge_id, rule, count), trace_ids in examples.items():
        found[edge_id].append(Evidence(rule=rule, count=count, example_trace_ids=tuple(trace_ids)))
    return found


def _latency(quantiles_ns: Sequence[Any], longest_ns: int) -> Latency:
    p50, p90, p95, p99 = (q / _NS_PER_MS for q in quantiles_ns)
    return Latency(p50_ms=p50, p90_ms=p90, p95_ms=p95, p99_ms=p99, max_ms=longest_ns / _NS_PER_MS)
