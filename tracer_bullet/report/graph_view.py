"""The service graph as the report shows it: nodes, edges, operations, with numbers as text."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from tracer_bullet.model import Finding, Node, NodeKind, ServiceGraph, Severity, Verdict
from tracer_bullet.model.analysis import ServiceLatency
from tracer_bullet.model.catalog import Catalog
from tracer_bullet.report import text
from tracer_bullet.report.edge_view import Ends, Frame, GraphContext, bad_if, badge_of, edge_view, tone_of
from tracer_bullet.report.levels import ERROR_STEPS, NOTHING, LatencySteps, error_level
from tracer_bullet.report.shape import EdgeView, GraphView, NodeView
from tracer_bullet.report.shape_base import Fact, Tone
from tracer_bullet.report.timing_view import errors_text, scale_of

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


def build_graph_view(graph: ServiceGraph, known: GraphContext) -> GraphView:
    """All of `graph`, in a stable order: nodes by kind and name, edges by the order of their ends.

    A node that only an edge names is added as an unknown peer, so that no edge is lost.
    """
    verdict = known.verdict
    nodes = _all_nodes(graph)
    key_of = {node.id: f"n{i}" for i, node in enumerate(nodes)}
    name_of = _shown_names(nodes)
    rank = {node.id: i for i, node in enumerate(nodes)}
    edges = sorted(graph.edges, key=lambda e: (rank[e.source], rank[e.target], e.asynchronous))
    by_id = {node.id: node for node in nodes}
    findings = verdict.findings if verdict is not None else ()
    hops_of = [_hops(name_of[e.source], name_of[e.target], by_id[e.target]) for e in edges]
    by_hop = _by([f for f in findings if f.hop], lambda f: text.line(f.hop))
    by_service = _by([f for f in findings if f.service], lambda f: f.service)
    bare = Counter(text.line(f.hop) for f in unguarded(verdict)) if verdict is not None else Counter[str]()
    measured = {(e.source, e.target): e for e in known.analysis.edges} if known.analysis is not None else {}
    steps = LatencySteps.of(e.latency.p95_ms for e in edges)
    frame = Frame(known=known, scale=scale_of(e.latency for e in edges), steps=steps)
    views = tuple(
        edge_view(
            f"e{i}",
            e,
            Ends(
                source=key_of[e.source],
                target=key_of[e.target],
                source_name=name_of[e.source],
                target_name=name_of[e.target],
                crossed=known.crossings.get((by_id[e.source].name, by_id[e.target].name), ()),
            ),
            frame,
            measured.get((e.source, e.target)),
            [f for hop in hops_of[i] for f in by_hop.get(hop, ())],
            sum(bare[hop] for hop in hops_of[i]),
        )
        for i, e in enumerate(edges)
    )
    ids = _unique([text.line(node.id) for node in nodes])
    around = _Around.of(views)
    served = {s.service: s for s in known.analysis.services} if known.analysis is not None else {}
    shown = tuple(
        _node_view(
            (key_of[n.id], shown_id, name_of[n.id]),
            n,
            around,
            frame,
            served.get(n.name) if n.kind is NodeKind.SERVICE else None,
            by_service.get(n.name, []),
        )
        for n, shown_id in zip(nodes, ids, strict=True)
    )
    return GraphView(
        nodes=shown,
        edges=views,
        summary=_summary(shown, views, graph),
        note=_orphans(graph),
        error_steps=ERROR_STEPS,
        latency_steps=steps.texts(),
    )


@dataclass(frozen=True, slots=True)
class _Around:
    """Edges by the key of the node they enter and leave."""

    into: Mapping[str, list[EdgeView]]
    out: Mapping[str, list[EdgeView]]

    @classmethod
    def of(cls, edges: Iterable[EdgeView]) -> _Around:
        into: dict[str, list[EdgeView]] = {}
        out: dict[str, list[EdgeView]] = {}
        for edge in edges:
            into.setdefault(edge.target, []).append(edge)
            out.setdefault(edge.source, []).append(edge)
        return cls(into, out)


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


def _node_view(
    ids: tuple[str, str, str],
    node: Node,
    around: _Around,
    frame: Frame,
    served: ServiceLatency | None,
    found: list[Finding],
) -> NodeView:
    key, shown_id, shown_name = ids
    kind = KIND_TEXT[node.kind]
    system = text.line(node.system, 60)
    calls_to, calls_from = around.into.get(key, []), around.out.get(key, [])
    failed = any(f.severity is Severity.ERROR for f in found)
    p95 = served.durations.quantile_ns(0.95) / 1e6 if served is not None and served.durations.buckets else None
    if p95 is None and calls_to:
        p95 = max(e.timing.ms.p95_ms for e in calls_to)
    facts = (
        Fact(label="Kind", value=f"{kind} ({system})" if system else kind),
        *(() if shown_name == text.line(node.name or node.id) else (Fact(label="File", value=text.line(node.name)),)),
        Fact(label="Calls", value=text.count(node.calls)),
        Fact(label="Errors", value=errors_text(node.errors, node.calls), tone=bad_if(node.errors)),
        *_service_facts(served),
        *_owner_facts(frame.known.catalog, node),
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
        tone=tone_of(failed or bool(node.errors), bool(found)),
        badge=badge_of(node.errors, len(found)),
        facts=facts,
        findings=tuple(text.line(f.message) for f in found),
        by_errors=error_level(node.errors, node.calls),
        by_latency=frame.steps.level(p95) if p95 is not None else NOTHING,
    )


def _service_facts(served: ServiceLatency | None) -> tuple[Fact, ...]:
    if served is None or not served.durations.buckets:
        return ()
    found, own = served.durations.latency(), served.own.latency()
    return (
        Fact(label="Rate", value=text.rate(served.rate_per_s)),
        Fact(label="p50", value=text.ms(found.p50_ms)),
        Fact(label="p95", value=text.ms(found.p95_ms)),
        Fact(label="p99.9", value=text.ms(found.p999_ms)),
        Fact(label="Own time", value=f"p50 {text.ms(own.p50_ms)}, p95 {text.ms(own.p95_ms)}"),
    )


def _owner_facts(catalog: Catalog | None, node: Node) -> tuple[Fact, ...]:
    entity = catalog.of_service(node.name) if catalog is not None else None
    if entity is None:
        return ()
    said = [("Owner", entity.owner), ("On call", entity.on_call), ("About", entity.description)]
    return tuple(Fact(label=label, value=text.line(value)) for label, value in said if value)


def _hops(source: str, target: str, node: Node) -> list[str]:
    """The names that findings use for an edge: of a store they say the system and the database's last part."""
    hops = [f"{source} → {target}"]
    if node.kind is NodeKind.STORE and node.system:
        hops.append(f"{source} → {text.line(node.system, 60)} {target.rpartition('/')[2]}")
    return hops


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
