"""The service graph as the report shows it: nodes, edges, operations, with numbers as text."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

from tracer_bullet.model import (
    Edge,
    Evidence,
    Finding,
    Latency,
    Node,
    NodeKind,
    Operation,
    ServiceGraph,
    Severity,
    Verdict,
)
from tracer_bullet.report import text
from tracer_bullet.report.shape import (
    Bar,
    EdgeView,
    EvidenceView,
    Fact,
    GraphView,
    NodeView,
    OperationRow,
    Timing,
    Tone,
)

KIND_TEXT = {
    NodeKind.HARNESS: "harness",
    NodeKind.SERVICE: "service",
    NodeKind.STORE: "store",
    NodeKind.QUEUE: "queue",
    NodeKind.THIRD_PARTY: "third party",
    NodeKind.PEER: "unknown peer",
}
_KIND_ORDER = tuple(KIND_TEXT)


# The audit's rule for a write that no guard decided on (docs/findings.md).
UNGUARDED_RULE = "unguarded-write"


def unguarded(verdict: Verdict) -> list[Finding]:
    """Every single write of the bullets that the audit found no guard's decision on."""
    return [f for b in verdict.bullets for f in b.findings if f.rule == UNGUARDED_RULE]


def build_graph_view(graph: ServiceGraph, verdict: Verdict) -> GraphView:
    """All of `graph`, in a stable order: nodes by kind and name, edges by the order of their ends.

    A node that only an edge names is added as an unknown peer, so that no edge is lost.
    """
    nodes = _all_nodes(graph)
    key_of = {node.id: f"n{i}" for i, node in enumerate(nodes)}
    name_of = _shown_names(nodes)
    rank = {node.id: i for i, node in enumerate(nodes)}
    edges = sorted(graph.edges, key=lambda e: (rank[e.source], rank[e.target], e.asynchronous))
    scale = _scale(e.latency for e in edges)
    by_id = {node.id: node for node in nodes}
    hops_of = [_hops(name_of[e.source], name_of[e.target], by_id[e.target]) for e in edges]
    by_hop = _by([f for f in verdict.findings if f.hop], lambda f: text.line(f.hop))
    by_service = _by([f for f in verdict.findings if f.service], lambda f: f.service)
    bare = Counter(text.line(f.hop) for f in unguarded(verdict))
    views = tuple(
        _edge_view(
            f"e{i}",
            e,
            (key_of[e.source], key_of[e.target], name_of[e.source], name_of[e.target]),
            scale,
            [f for hop in hops_of[i] for f in by_hop.get(hop, ())],
            sum(bare[hop] for hop in hops_of[i]),
        )
        for i, e in enumerate(edges)
    )
    ids = _unique([text.line(node.id) for node in nodes])
    shown = tuple(
        _node_view(key_of[n.id], (shown_id, name_of[n.id]), n, views, by_service.get(n.name, []))
        for n, shown_id in zip(nodes, ids, strict=True)
    )
    return GraphView(nodes=shown, edges=views, summary=_summary(shown, views, graph), note=_orphans(graph))


def cut_graph(view: GraphView, *, max_nodes: int, max_edges: int) -> GraphView:
    """The busiest part of `view`: nodes with the most calls (failing ones first), then edges likewise."""
    nodes = sorted(view.nodes, key=lambda n: (n.kind is not NodeKind.HARNESS, not n.errors, -n.calls, n.key))[
        :max_nodes
    ]
    kept = {n.key for n in nodes}
    inside = [e for e in view.edges if e.source in kept and e.target in kept]
    edges = {e.key for e in sorted(inside, key=lambda e: (e.tone is Tone.PLAIN, -e.calls, e.key))[:max_edges]}
    if len(kept) == len(view.nodes) and len(edges) == len(view.edges):
        return view
    said = (
        f"Drawn: {text.count(len(kept))} of {text.plural(len(view.nodes), 'part')} and {text.count(len(edges))} of "
        f"{text.plural(len(view.edges), 'edge')}, the failing and the busiest first."
    )
    return replace(
        view,
        nodes=tuple(n for n in view.nodes if n.key in kept),
        edges=tuple(e for e in view.edges if e.key in edges),
        note=f"{said} {view.note}".strip(),
    )


def build_operations(operations: Sequence[Operation], limit: int) -> tuple[tuple[OperationRow, ...], str]:
    """Rows with the slowest p95 first, at most `limit`, and a note when some were left out."""
    ordered = sorted(operations, key=lambda o: (-_finite(o.latency.p95_ms), o.service, o.name))[:limit]
    scale = _scale(o.latency for o in ordered)
    rows = tuple(
        OperationRow(
            service=text.line(o.service),
            name=text.line(o.name),
            calls=o.calls,
            errors=o.errors,
            calls_text=text.count(o.calls),
            errors_text=_errors(o.errors, o.calls),
            timing=_timing(o.latency, scale),
            self_p50=text.ms(o.self_p50_ms),
            tone=Tone.BAD if o.errors else Tone.PLAIN,
        )
        for o in ordered
    )
    return rows, cut_note(len(rows), len(operations), "operation", "slowest p95 first")


def cut_note(shown: int, known: int, noun: str, order: str) -> str:
    """`Shown: 200 of 852 operations, slowest p95 first.`, or nothing when all are shown."""
    return "" if shown == known else f"Shown: {text.count(shown)} of {text.plural(known, noun)}, {order}."


def _all_nodes(graph: ServiceGraph) -> list[Node]:
    known = {n.id: n for n in graph.nodes}
    for end in (i for e in graph.edges for i in (e.source, e.target)):
        known.setdefault(end, Node(id=end, name=end, kind=NodeKind.PEER))
    return sorted(known.values(), key=lambda n: (_KIND_ORDER.index(n.kind), n.name, n.id))


def _shown_names(nodes: Sequence[Node]) -> dict[str, str]:
    """Id → name; a database file by its last part, where that says which."""
    names = {node.id: text.line(node.name or node.id) for node in nodes}
    files = {n.id: names[n.id].rpartition("/")[2] for n in nodes if n.kind is NodeKind.STORE and n.name[:1] == "/"}
    taken = [*files.values(), *(name for node, name in names.items() if node not in files)]
    return {**names, **{node: short for node, short in files.items() if short and taken.count(short) == 1}}


def _unique(ids: list[str]) -> list[str]:
    """Ids that cleaning made equal get a number."""
    seen: set[str] = set()
    result = []
    for one in ids:
        name, n = one, 1
        while name in seen:
            n += 1
            name = f"{one} ({n})"
        seen.add(name)
        result.append(name)
    return result


def _by(findings: Iterable[Finding], key: Callable[[Finding], str]) -> dict[str, list[Finding]]:
    found: dict[str, list[Finding]] = {}
    for finding in findings:
        found.setdefault(key(finding), []).append(finding)
    return found


def _node_view(key: str, ids: tuple[str, str], node: Node, edges: Sequence[EdgeView], found: list[Finding]) -> NodeView:
    shown_id, shown_name = ids
    kind = KIND_TEXT[node.kind]
    system = text.line(node.system, 60)
    calls_to = [e for e in edges if e.target == key]
    calls_from = [e for e in edges if e.source == key]
    failed = any(f.severity is Severity.ERROR for f in found)
    facts = (
        Fact(label="Kind", value=f"{kind} ({system})" if system else kind),
        *(() if shown_name == text.line(node.name or node.id) else (Fact(label="File", value=text.line(node.name)),)),
        Fact(label="Calls", value=text.count(node.calls)),
        Fact(label="Errors", value=_errors(node.errors, node.calls), tone=Tone.BAD if node.errors else Tone.PLAIN),
        Fact(label="Called by", value=_ends(e.source_name for e in calls_to)),
        Fact(label="Calls to", value=_ends(e.target_name for e in calls_from)),
    )
    return NodeView(
        key=key,
        id=shown_id,
        name=shown_name,
        kind=node.kind,
        kind_text=kind,
        system=system,
        calls=node.calls,
        errors=node.errors,
        tone=_tone(failed or bool(node.errors), bool(found)),
        badge=_badge(node.errors, len(found)),
        facts=facts,
        findings=tuple(text.line(f.message) for f in found),
    )


def _hops(source: str, target: str, node: Node) -> list[str]:
    """The names that findings use for an edge: of a store they say the system and the database's last part."""
    hops = [f"{source} → {target}"]
    if node.kind is NodeKind.STORE and node.system:
        hops.append(f"{source} → {text.line(node.system, 60)} {target.rpartition('/')[2]}")
    return hops


def _edge_view(
    key: str, edge: Edge, ends: tuple[str, str, str, str], scale: float, found: list[Finding], undecided: int
) -> EdgeView:
    timing = _timing(edge.latency, scale)
    errors = _errors(edge.errors, edge.calls)
    bad = bool(edge.errors or undecided) or any(f.severity is Severity.ERROR for f in found)
    decisions = tuple(sorted((text.line(name, 60), n) for name, n in edge.decisions))
    writes = _writes(edge.writes, decisions, undecided)
    return EdgeView(
        key=key,
        source=ends[0],
        target=ends[1],
        source_name=ends[2],
        target_name=ends[3],
        calls=edge.calls,
        errors=edge.errors,
        calls_text=text.count(edge.calls),
        errors_text=errors,
        timing=timing,
        writes=edge.writes,
        undecided=undecided,
        decisions=decisions,
        writes_text=writes,
        asynchronous=edge.asynchronous,
        tone=_tone(bad, bool(found)),
        label=f"{text.count(edge.calls)}× · p95 {timing.p95}",
        label_alert=_badge(edge.errors, len(found)) or (f"{undecided} unguarded" if undecided else ""),
        facts=_edge_facts(edge, timing, errors, writes, undecided),
        evidence=tuple(_evidence(e) for e in edge.evidence),
        findings=tuple(text.line(f.message) for f in found),
    )


def _edge_facts(edge: Edge, timing: Timing, errors: str, writes: str, undecided: int) -> tuple[Fact, ...]:
    return (
        Fact(label="Calls", value=text.count(edge.calls)),
        Fact(label="Errors", value=errors, tone=Tone.BAD if edge.errors else Tone.PLAIN),
        Fact(label="p50", value=timing.p50),
        Fact(label="p90", value=timing.p90),
        Fact(label="p95", value=timing.p95),
        Fact(label="p99", value=timing.p99),
        Fact(label="Slowest", value=timing.max),
        Fact(label="Write calls", value=writes, tone=Tone.BAD if undecided else Tone.PLAIN),
        Fact(label="Manner", value="asynchronous" if edge.asynchronous else "the caller waits"),
    )


def _evidence(evidence: Evidence) -> EvidenceView:
    return EvidenceView(
        rule=text.line(evidence.rule, 80),
        times=text.plural(evidence.count, "time"),
        trace_ids=tuple(text.line(t, 40) for t in evidence.example_trace_ids[:3]),
    )


def _timing(latency: Latency, scale: float) -> Timing:
    def place(value: float) -> float:
        return round(1000 * min(_finite(value) / scale, 1.0), 1) if scale else 0.0

    return Timing(
        ms=latency,
        p50=text.ms(latency.p50_ms),
        p90=text.ms(latency.p90_ms),
        p95=text.ms(latency.p95_ms),
        p99=text.ms(latency.p99_ms),
        max=text.ms(latency.max_ms),
        bar=Bar(p50=place(latency.p50_ms), p95=place(latency.p95_ms)),
    )


def _scale(latencies: Iterable[Latency]) -> float:
    return max((_finite(found.p95_ms) for found in latencies), default=0.0)


def _finite(value: float) -> float:
    return value if 0 <= value < 1e300 else 0.0


def _tone(bad: bool, warn: bool) -> Tone:
    if bad:
        return Tone.BAD
    return Tone.WARN if warn else Tone.PLAIN


def _errors(errors: int, calls: int) -> str:
    return f"{text.count(errors)} ({text.percent(errors, calls)})" if errors else "0"


def _badge(errors: int, findings: int) -> str:
    parts = [text.plural(errors, "error")] if errors else []
    parts += [text.plural(findings, "finding")] if findings else []
    return " · ".join(parts)


def _writes(writes: int, decisions: tuple[tuple[str, int], ...], undecided: int) -> str:
    parts = [f"{text.count(n)} {name}" for name, n in decisions]
    parts += [f"{text.count(undecided)} without a guard's decision"] if undecided else []
    return ", ".join(parts) if parts else text.count(writes)


def _ends(names: Iterable[str]) -> str:
    found = list(dict.fromkeys(names))
    rest = f" and {len(found) - 12} more" if len(found) > 12 else ""
    return ", ".join(found[:12]) + rest if found else "none"


def _summary(nodes: Sequence[NodeView], edges: Sequence[EdgeView], graph: ServiceGraph) -> str:
    kinds = [(kind, sum(1 for n in nodes if n.kind is kind)) for kind in _KIND_ORDER if kind is not NodeKind.HARNESS]
    plurals = {"third party": "third parties"}
    parts = [text.plural(n, KIND_TEXT[k], plurals.get(KIND_TEXT[k], "")) for k, n in kinds if n]
    seen = f"{text.plural(graph.traces, 'trace')}, {text.plural(graph.spans, 'span')}"
    return f"{text.listing(parts) or 'No parts'}, {text.plural(len(edges), 'edge')}, from {seen}."


def _orphans(graph: ServiceGraph) -> str:
    if not graph.orphans:
        return ""
    total = sum(n for _, n in graph.orphans)
    by = ", ".join(f"{text.line(service, 80)} {text.count(n)}" for service, n in graph.orphans[:12])
    return f"{text.plural(total, 'span')} came without the parent they name ({by}); edges above them may be missing."
