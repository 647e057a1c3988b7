"""Jaeger's, Tempo's and Zipkin's graphs by plain Python, one trace at a time, written from their published rules."""

from __future__ import annotations

from collections import Counter, defaultdict, deque
from collections.abc import Iterable

from tracer_bullet.model import Span, SpanKind, SpanStatus, Trace, attributes
from tracer_bullet.model.graph import ProfileEdge

CALLERS, CALLEES = (SpanKind.CLIENT, SpanKind.PRODUCER), (SpanKind.SERVER, SpanKind.CONSUMER)
UNKNOWN = "unknown_service"
Links = list[tuple[str, str, bool]]


def profile(spans: Iterable[Span], name: str) -> tuple[ProfileEdge, ...]:
    by_trace: dict[str, list[Span]] = defaultdict(list)
    for span in spans:
        if span.name != attributes.SEAL_SPAN_NAME:
            by_trace[span.trace_id].append(span)
    links: Links = []
    for trace_id, some in by_trace.items():
        links += {"jaeger": _jaeger, "tempo": _tempo, "zipkin": _zipkin}[name](Trace.of(trace_id, some))
    calls = Counter((a, b) for a, b, _ in links)
    errors = Counter((a, b) for a, b, failed in links if failed)
    return tuple(ProfileEdge(parent=a, child=b, calls=n, errors=errors[a, b]) for (a, b), n in sorted(calls.items()))


def _jaeger(trace: Trace) -> Links:
    return [(p.service, s.service, False) for s in trace.spans if (p := trace.by_id.get(s.parent_id or "")) is not None]


def _tempo(trace: Trace) -> Links:
    """Halves wait under a key until both are there; spans arrive by start, but a client before its servers."""
    links: Links = []
    spans = [s for s in trace.spans if s.service != UNKNOWN]
    waiting: dict[str, list[Span]] = defaultdict(list)
    for span in spans:
        if span.kind in CALLEES:
            waiting[span.parent_id or ""].append(span)
    for span in spans:
        if span.kind in CALLERS:
            failed, store = span.failed, _store(span)
            servers = waiting.get(span.span_id, [])
            peer = _first(span, "peer.service", "db.name", "db.system", "db.system.name")
            if store:
                links.append((span.service, store, failed))
            elif servers:
                links.append((span.service, servers[0].service, failed or servers[0].failed))
            elif peer:
                links.append((span.service, peer, failed))
    if roots := waiting.get(""):
        latest = max(s.start_ns for s in roots)
        last = next(s for s in roots if s.start_ns == latest)
        peer = _first(last, "peer.service", "db.name", "db.system", "db.system.name") or "user"
        links.append((peer, last.service, any(s.failed for s in roots)))
    return links


def _store(span: Span) -> str:
    store = _first(span, "db.namespace", "db.name", "db.system", "db.system.name")
    if not store:
        return ""
    host, port = span.attributes.get("network.peer.address", ""), span.attributes.get("network.peer.port", "")
    return _first(span, "peer.service", "server.address") or (f"{host}:{port}" if host and port else host) or store


def _first(span: Span, *names: str) -> str:
    return next((v for n in names if (v := span.attributes.get(n))), "")


def _zipkin(trace: Trace) -> Links:
    """zipkin2's tree, walked from its top in breadth, as DependencyLinker does."""
    up: dict[str, Span | None] = {}
    spans = sorted(trace.spans, key=lambda s: s.span_id)
    roots = [s for s in spans if s.parent_id is None or s.parent_id == s.span_id]
    root = roots[0] if roots else None
    children: dict[str, list[Span]] = defaultdict(list)
    tops: list[Span] = [] if root is None else [root]
    for span in spans:
        parent = trace.by_id.get(span.parent_id or "") if span not in roots else None
        up[span.span_id] = parent = None if span is root else parent or root
        if parent is not None:
            children[parent.span_id].append(span)
        elif span is not root:
            tops.append(span)
    links: Links = []
    queue = deque(tops)
    while queue:
        span = queue.popleft()
        queue.extend(children[span.span_id])
        links += _zipkin_links(span, up, bool(children[span.span_id]), span is root)
    return links


def _zipkin_links(span: Span, up: dict[str, Span | None], has_children: bool, is_root: bool) -> Links:
    kind: SpanKind | None = span.kind if span.kind in (*CALLERS, *CALLEES) else None
    if kind is SpanKind.CLIENT and has_children:
        return []
    here, there = _name(span), span.attributes.get("peer.service", "").lower()
    if kind is None:
        if not (here and there):
            return []
        kind = SpanKind.CLIENT
    if kind in CALLEES:
        parent, child = there, here
        if is_root and not parent:
            return []
    else:
        parent, child = here, there
    failed = _zipkin_failed(span)
    if kind in (SpanKind.PRODUCER, SpanKind.CONSUMER):
        return [(parent, child, failed)] if parent and child else []
    ancestor = up[span.span_id]
    while ancestor is not None and ancestor.kind not in (*CALLERS, *CALLEES):
        ancestor = up[ancestor.span_id]
    links: Links = []
    if ancestor is not None and (above := _name(ancestor)):
        if kind is SpanKind.CLIENT and here and above != here:
            links.append((above, here, False))
        if kind is SpanKind.SERVER or not parent:
            parent = above
        if ancestor.kind is SpanKind.CLIENT and span.parent_id == ancestor.span_id:
            failed = failed or _zipkin_failed(ancestor)
    if parent and child:
        links.append((parent, child, failed))
    return links


def _name(span: Span) -> str:
    return "" if span.service == UNKNOWN else span.service.lower()


def _zipkin_failed(span: Span) -> bool:
    return span.status is SpanStatus.ERROR or bool(span.attributes.get("error"))
