"""The graph by plain Python over model spans, one trace at a time: what the SQL must agree with.

Written from the rules, not from the SQL. Slow, and for small traces without unusual addresses.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from tracer_bullet.model import Distribution, Span, SpanKind, System, Trace, attributes
from tracer_bullet.model.address import address_of

CALLER_KINDS = (SpanKind.CLIENT, SpanKind.PRODUCER)


@dataclass(frozen=True)
class Use:
    source: str
    target: str
    rule: str
    span: Span
    duration_ns: int
    failed: bool
    asynchronous: bool
    counted: bool = True


@dataclass(frozen=True)
class Facts:
    """What two graphs of the same spans must agree on, edge by edge and operation by operation."""

    edges: dict[tuple[str, str], tuple[object, ...]]
    operations: dict[tuple[str, str], tuple[object, ...]]
    services: dict[str, tuple[int, int]]
    orphans: dict[str, int]
    spans: int
    traces: int


def node(service: str) -> str:
    return f"harness:{service}" if service == attributes.HARNESS_SERVICE else f"service:{service}"


def assemble(spans: Iterable[Span], system: System) -> Facts:
    by_trace: dict[str, list[Span]] = defaultdict(list)
    for span in spans:
        if span.name != attributes.SEAL_SPAN_NAME:
            by_trace[span.trace_id].append(span)
    traces = [Trace.of(trace_id, some) for trace_id, some in by_trace.items()]
    known = {s.service for t in traces for s in t.spans}
    uses: dict[tuple[str, str], list[Use]] = defaultdict(list)
    entries: dict[str, list[Span]] = {service: [] for service in known}
    operations: dict[tuple[str, str], list[tuple[Span, int]]] = defaultdict(list)
    orphans: dict[str, int] = defaultdict(int)
    for trace in traces:
        for use in [*_uses(trace, system, known), *_linked(trace, {t.trace_id: t for t in traces})]:
            uses[use.source, use.target].append(use)
        for span in trace.spans:
            if is_entry(trace, span):
                operations[span.service, span.name].append((span, _self_ns(trace, span)))
                entries[span.service].append(span)
        for span in trace.orphans:
            orphans[span.service] += 1
    return Facts(
        edges={ends: _edge(some) for ends, some in uses.items() if any(u.counted for u in some)},
        operations={key: _operation(some) for key, some in operations.items()},
        services={node(s): (len(some), sum(x.failed for x in some)) for s, some in entries.items()},
        orphans=dict(orphans),
        spans=sum(len(t.spans) for t in traces),
        traces=len(traces),
    )


def _edge(uses: list[Use]) -> tuple[object, ...]:
    counted = [u for u in uses if u.counted]
    lengths = [u.duration_ns for u in counted]
    rules: dict[str, int] = defaultdict(int)
    for use in uses:
        if use.counted or use.rule == "link":
            rules[use.rule] += 1
    decided: dict[str, set[tuple[str, str]]] = defaultdict(set)
    for use in uses:
        decision = use.span.attributes.get(attributes.DECISION)
        if decision:
            decided[decision].add((use.span.trace_id, use.span.span_id))
    return (
        len(counted),
        sum(u.failed for u in counted),
        all(u.asynchronous for u in counted),
        tuple(sorted(rules.items())),
        tuple(sorted((d, len(some)) for d, some in decided.items())),
        Distribution.of(lengths).latency(),
    )


def _operation(some: list[tuple[Span, int]]) -> tuple[object, ...]:
    return (
        len(some),
        sum(s.failed for s, _ in some),
        Distribution.of(s.end_ns - s.start_ns for s, _ in some).latency(),
        Distribution.of(own for _, own in some).quantile_ns(0.5) / 1e6,
    )


def is_entry(trace: Trace, span: Span) -> bool:
    """Whether a service's work begins here."""
    parent = _parent(trace, span)
    is_kindless_root = span.parent_id in (None, span.span_id) and span.kind is SpanKind.UNSPECIFIED
    is_below_another = parent is not None and parent.service != span.service
    return span.kind in (SpanKind.SERVER, SpanKind.CONSUMER) or is_below_another or is_kindless_root


def _self_ns(trace: Trace, span: Span) -> int:
    covered: set[int] = set()
    for child in trace.children(span):
        if child.span_id != span.span_id:
            covered.update(range(max(child.start_ns, span.start_ns), min(child.end_ns, span.end_ns)))
    return max(span.end_ns - span.start_ns, 0) - len(covered)


def _parent(trace: Trace, span: Span) -> Span | None:
    parent = trace.parent(span)
    return None if parent is span else parent


def _target(span: Span) -> tuple[str, str] | None:
    """(kind, node id without its kind) of what a span uses."""
    a = span.attributes
    queue = a.get("messaging.destination.name") or a.get("messaging.destination")
    if queue and span.kind in (*CALLER_KINDS, SpanKind.CONSUMER):
        system = a.get("messaging.system", "")
        return "queue", f"{system}/{queue}" if system else queue
    host, port = address_of(a)
    host = f"[{host}]" if ":" in host else host
    store = a.get("db.system.name") or a.get("db.system")
    if store and span.kind is SpanKind.CLIENT:
        name = a.get("db.namespace") or a.get("db.name") or ""
        if host:
            place = host if port in (None, 5432) else f"{host}:{port}"
            return "store", f"{store}/{place}" + (f"/{name}" if name else "")
        if name.startswith("/"):
            return "store", f"{store}/{name}"
        return "store", f"{store}/{span.service}/{name or store}"
    if span.kind in CALLER_KINDS:
        if a.get("peer.service"):
            return "address", a["peer.service"]
        if host:
            return "address", host if port in (None, 80, 443) else f"{host}:{port}"
        if a.get(attributes.DECISION) == "stubbed":
            return "address", "(unknown)"
    return None


def _direction(span: Span) -> str:
    target = _target(span)
    operation = span.attributes.get("messaging.operation.type", "")
    if target is None or target[0] != "queue" or operation in ("create", "settle", "ack"):
        return ""
    if span.kind is SpanKind.CONSUMER or (span.kind is SpanKind.CLIENT and operation in ("receive", "process")):
        return "in"
    return "out"


def _uses(trace: Trace, system: System, known: set[str]) -> Iterator[Use]:
    answered: set[str] = set()
    for span in trace.spans:
        parent = _parent(trace, span)
        if parent is None:
            continue
        pair = parent.kind is SpanKind.CLIENT and span.kind is SpanKind.SERVER
        by_queue = _direction(parent) == "out" and (span.kind is SpanKind.CONSUMER or _direction(span) == "in")
        if pair or (parent.service != span.service and not by_queue):
            answered.add(parent.span_id)
            seen = parent if parent.kind is SpanKind.CLIENT else span
            yield Use(
                node(parent.service), node(span.service), "client-server" if pair else "parent-child", parent,
                max(seen.end_ns - seen.start_ns, 0), span.failed or seen.failed,
                parent.kind is SpanKind.PRODUCER or span.kind is SpanKind.CONSUMER,
            )  # fmt: skip
        elif parent.service == span.service and span.kind in CALLER_KINDS and (_target(parent) or [""])[0] == "address":
            answered.add(parent.span_id)
        own = _target(span)
        if _direction(parent) == "out" and span.kind is SpanKind.CONSUMER and (own is None or own[0] != "queue"):
            queue = f"queue:{(_target(parent) or ('', ''))[1]}"
            length = max(span.end_ns - span.start_ns, 0)
            yield Use(queue, node(span.service), "messaging", span, length, span.failed, asynchronous=True)
    for span in trace.spans:
        yield from _own_use(trace, span, span.span_id in answered, system, known)


def _linked(trace: Trace, traces: dict[str, Trace]) -> Iterator[Use]:
    """What the links of a trace's spans add, each pair of spans once, whichever trace they lead to."""
    for later in trace.spans:
        targets = {(link.trace_id, link.span_id) for link in later.links}
        for trace_id, span_id in targets - {(later.trace_id, later.span_id)}:
            earlier = traces[trace_id].by_id.get(span_id) if trace_id in traces else None
            if earlier is not None:
                yield from _link(later, earlier, repeated=_parent(trace, later) is earlier)


def _link(later: Span, earlier: Span, *, repeated: bool) -> Iterator[Use]:
    sent, own = _target(earlier), _target(later)
    takes, gives = _direction(later) == "in", _direction(later) == "out"
    of_queue = own is not None and own[0] == "queue"
    length = max(later.end_ns - later.start_ns, 0)
    there, failed = node(later.service), later.failed
    if sent is not None and sent[0] == "queue" and _direction(earlier) != "in":
        if takes or not of_queue or (gives and later.service != earlier.service):
            name = own[1] if takes and own is not None else sent[1]
            counted = not takes and not repeated
            yield Use(f"queue:{name}", there, "link", later, length, failed, asynchronous=True, counted=counted)
    elif later.service != earlier.service and (not of_queue or takes or gives):
        here = node(earlier.service)
        yield Use(here, there, "link", earlier, length, failed, asynchronous=True, counted=not repeated)


def _own_use(trace: Trace, span: Span, answered: bool, system: System, known: set[str]) -> Iterator[Use]:
    target = _target(span)
    if target is None:
        return
    kind, name = target
    parent = _parent(trace, span)
    inner = (
        parent is not None
        and parent.service == span.service
        and _target(parent) == target
        and _direction(parent) == _direction(span)
    )
    length = max(span.end_ns - span.start_ns, 0)
    here, there = node(span.service), f"{kind}:{name}"
    if kind == "queue":
        if _direction(span) == "out":
            yield Use(here, there, "messaging", span, length, span.failed, asynchronous=True, counted=not inner)
        elif _direction(span) == "in":
            yield Use(there, here, "messaging", span, length, span.failed, asynchronous=True, counted=not inner)
    elif answered:
        return
    elif kind == "store":
        yield Use(here, there, "database", span, length, span.failed, asynchronous=False, counted=not inner)
    else:
        rule, there = _address(span, name, system, known)
        yield Use(here, there, rule, span, length, span.failed, span.kind is SpanKind.PRODUCER)


def _address(span: Span, name: str, system: System, known: set[str]) -> tuple[str, str]:
    host, port = address_of(span.attributes)
    if (host and system.is_third_party(host, port)) or span.attributes.get(attributes.DECISION) == "stubbed":
        return "third-party", f"third_party:{name}"
    peer = span.attributes.get("peer.service")
    return "peer", node(peer) if peer in known else f"peer:{name}"
