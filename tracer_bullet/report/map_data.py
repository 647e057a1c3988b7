"""The service map as the data that the page's scripts draw: what is shown first, and what search can reach."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tracer_bullet.model import NodeKind
from tracer_bullet.report import text
from tracer_bullet.report.shape import EdgeView, GraphView, NodeView
from tracer_bullet.report.shape_base import Fact, Tick, Tone, TraceRef
from tracer_bullet.report.timing_view import QUANTILES

# Drawn at first. A layout of more takes a browser seconds, and nobody reads it.
DRAWN_NODES = 80
DRAWN_EDGES = 160
# In the page with all their numbers, for search and for the surroundings of a part; further edges have few.
MAX_NODES = 1000
MAX_EDGES = 1000


def ordered_nodes(graph: GraphView) -> list[NodeView]:
    """The harness, then failing parts, then the busiest."""
    return sorted(graph.nodes, key=lambda n: (n.kind is not NodeKind.HARNESS, not n.errors, -n.calls, n.key))


def ordered_edges(graph: GraphView) -> list[EdgeView]:
    """Edges in trouble, then the busiest."""
    return sorted(graph.edges, key=lambda e: (e.tone is Tone.PLAIN, -e.calls, e.key))


def drawn_note(graph: GraphView) -> str:
    """What the first drawing leaves out, and what the page does; "" when nothing."""
    nodes, edges = len(graph.nodes), len(graph.edges)
    if nodes <= DRAWN_NODES and edges <= DRAWN_EDGES:
        return ""
    said = (
        f"Drawn at first: at most {DRAWN_NODES} of {text.plural(nodes, 'part')} and {DRAWN_EDGES} of "
        f"{text.plural(edges, 'edge')}, the failing and the busiest first. Find a part by its name to draw it with its "
        "neighbours."
    )
    if nodes > MAX_NODES or edges > MAX_EDGES:
        parts, full = text.count(min(nodes, MAX_NODES)), text.count(min(edges, MAX_EDGES))
        said += f" The page holds {parts} parts, and all numbers of {full} edges."
    return said


def map_data(graph: GraphView, axis: Sequence[Tick]) -> dict[str, Any]:
    """JSON for the scripts. Nodes and edges are ordered, so that the first of them are the ones to draw."""
    nodes = ordered_nodes(graph)[:MAX_NODES]
    kept = {n.key for n in nodes}
    edges = [e for e in ordered_edges(graph) if e.source in kept and e.target in kept]
    return {
        "drawn": [DRAWN_NODES, DRAWN_EDGES],
        "heads": QUANTILES,
        "axis": [[tick.at, tick.text] for tick in axis],
        "nodes": [_node(n) for n in nodes],
        "edges": [_edge(e) for e in edges[:MAX_EDGES]],
        "brief": [_brief(e) for e in edges[MAX_EDGES:]],
    }


def _node(node: NodeView) -> dict[str, Any]:
    plain = node.kind in (NodeKind.SERVICE, NodeKind.HARNESS)
    return {
        "key": node.key,
        "name": node.name,
        "sub": node.system or node.kind_text,
        "kind": node.kind.value,
        "tone": node.tone.value,
        "alert": node.badge,
        "aria": f"{node.name}, {node.kind_text}"
        + (f", {node.system}" if node.system and not plain else "")
        + (f", {node.badge}" if node.badge else ""),
        "errors": [node.by_errors.step, node.by_errors.text],
        "latency": [node.by_latency.step, node.by_latency.text],
        "facts": _facts(node.facts),
        "findings": node.findings,
    }


def _edge(edge: EdgeView) -> dict[str, Any]:
    said = [edge.label, edge.label_alert, edge.writes_text if edge.writes or edge.undecided else ""]
    histogram = edge.timing.histogram
    return {
        "key": edge.key,
        "source": edge.source,
        "target": edge.target,
        "label": edge.label,
        "alert": edge.label_alert,
        "writes": ", ".join(f"{n:,} {name.replace('_', ' ')}" for name, n in edge.decisions),
        "later": edge.asynchronous,
        "tone": edge.tone.value,
        "aria": f"{edge.source_name} to {edge.target_name}: {', '.join(s for s in said if s)}",
        "errors": [edge.by_errors.step, edge.by_errors.text],
        "latency": [edge.by_latency.step, edge.by_latency.text],
        "facts": _facts(edge.facts),
        "quantiles": [[q.label, *q.values] for q in edge.quantiles],
        "histogram": [histogram.path, histogram.label] if histogram is not None else None,
        "findings": edge.findings,
        "evidence": [[e.rule, e.times, _refs(e.traces)] for e in edge.evidence],
        "examples": _refs(edge.examples),
    }


def _brief(edge: EdgeView) -> list[str | int | bool]:
    """What a line needs to be drawn: base.js makes an edge of it."""
    steps = (edge.by_errors.step, edge.by_latency.step)
    return [edge.source, edge.target, edge.label, edge.label_alert, edge.tone.value, *steps, edge.asynchronous]


def _facts(facts: Sequence[Fact]) -> list[list[str]]:
    return [[f.label, f.value] if f.tone is Tone.PLAIN else [f.label, f.value, f.tone.value] for f in facts]


def _refs(refs: Sequence[TraceRef]) -> list[list[str]]:
    return [[ref.id, ref.key] for ref in refs]
