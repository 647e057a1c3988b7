"""The rules of the audit. Each finding names the service, the hop and the operation."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase

from tracer_bullet.audit.writes import find_write
from tracer_bullet.model import Finding, Severity, Span, SpanKind, System, Trace, attributes
from tracer_bullet.model.address import DATABASES, address_of, first

_ALL_CARRIERS = ("baggage", "tracestate", "header")
# Stock OpenTelemetry forwards these two; it knows nothing of our header.
_FORWARDED_CARRIERS = ("baggage", "tracestate")


@dataclass(frozen=True, slots=True, kw_only=True)
class AllowedWrite:
    """A write that the scenario lets through; globs over service and operation."""

    service: str
    operation: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditRules:
    """What the scenario says of its audit. `ignore` lists rules that it takes responsibility for."""

    no_writes: bool = True
    every_service_flagged: bool = True
    allow: tuple[AllowedWrite, ...] = ()
    ignore: tuple[str, ...] = ()


def audit_trace(trace: Trace, system: System, rules: AuditRules = AuditRules()) -> tuple[Finding, ...]:
    """Everything in one bullet's trace that speaks against its having been harmless."""
    checks: list[Callable[[Trace, System, AuditRules], Iterator[Finding]]] = [_refusals, _carriers, _errors]
    if rules.every_service_flagged:
        checks.append(_unmarked)
    if rules.no_writes:
        checks.append(_writes)
    found = [finding for check in checks for finding in check(trace, system, rules)]
    return tuple(f for f in found if f.rule not in rules.ignore)


def _refusals(trace: Trace, _system: System, _rules: AuditRules) -> Iterator[Finding]:
    for span in trace.spans:
        reason = span.attributes.get(attributes.REFUSED)
        if reason is None:
            continue
        hop, operation = _hop(trace, span), _entry_name(trace, span)
        if reason == "flag-lost":
            yield _finding(
                "flag-lost",
                span,
                hop=hop,
                operation=operation,
                message=f"the flag was lost on {hop}: only tracestate arrived, and {span.service} refused the request",
                cure=f"have {_caller(trace, span)} forward baggage: OTEL_PROPAGATORS names it, and no proxy drops it",
            )
        else:
            yield _finding(
                "refused",
                span,
                hop=hop,
                operation=operation,
                message=f"{span.service} refused the bullet: {reason}",
                cure="docs/protocol.md, section 3, explains the reason; `tracer-bullet doctor` tries it",
            )


def _carriers(trace: Trace, system: System, _rules: AuditRules) -> Iterator[Finding]:
    for seal in trace.spans:
        came = seal.attributes.get(attributes.CARRIERS)
        if came is None or attributes.SEALED_SPANS not in seal.attributes:
            continue
        caller = _caller(trace, seal)
        expected = _FORWARDED_CARRIERS if caller in system.forwarders else _ALL_CARRIERS
        lost = [name for name in expected if name not in came.split(",")]
        if lost:
            hop = _hop(trace, seal)
            yield _finding(
                "carrier-lost",
                seal,
                hop=hop,
                operation=_entry_name(trace, seal),
                message=f"{' and '.join(_CARRIER_WORDS[n] for n in lost)} was lost on {hop}; the flag still came",
                cure=f"find what drops it between {caller} and {seal.service}: the next loss may be silent",
            )


_CARRIER_WORDS = {"baggage": "baggage", "tracestate": "tracestate", "header": "x-tracer-bullet"}


def _unmarked(trace: Trace, system: System, _rules: AuditRules) -> Iterator[Finding]:
    """One finding a place where the flag stopped: the topmost unmarked spans."""
    marked_services = {s.service for s in trace.spans if _is_marked(s)}
    told: set[tuple[str, str, str]] = set()
    for span in trace.spans:
        if _is_ours(span) or _is_marked(span) or not system.takes_part(span.service):
            continue
        parent = trace.parent(span)
        if parent is not None and not _is_ours(parent) and not _is_marked(parent) and parent.service == span.service:
            continue
        hop = _hop(trace, span)
        write = find_write(span, system)
        operation = write.operation if write else span.name
        if (span.service, hop, operation) in told:
            continue
        told.add((span.service, hop, operation))
        if parent is not None and parent.service == span.service:
            yield _finding(
                "scope-lost",
                span,
                hop=hop,
                operation=operation,
                message=f"in {span.service}, {operation!r} ran outside of the bullet's request scope",
                cure="carry the context into that thread or task: context.threads.bind, or the stock executors",
            )
        elif span.service in marked_services:
            yield _finding(
                "flag-lost",
                span,
                hop=hop,
                operation=operation,
                message=f"the flag was lost on {hop}: {span.service} served {span.name!r} as a customer's request",
                cure=f"find what drops baggage, tracestate and x-tracer-bullet on {hop}",
            )
        else:
            yield _finding(
                "unmarked-service",
                span,
                hop=hop,
                operation=operation,
                message=f"{span.service} took no part: the flag was lost on {hop}, or {span.service} has no guards",
                cure=f"arm guards in {span.service} (docs/guards.md); if it only forwards, list it under `forwarders`",
            )


def _writes(trace: Trace, system: System, rules: AuditRules) -> Iterator[Finding]:
    for span in trace.spans:
        if _is_ours(span):
            continue
        decision = span.attributes.get(attributes.DECISION)
        operation = span.attributes.get(attributes.OPERATION, span.name)
        hop = f"{span.service} → {_peer(span)}"
        if decision is None:
            write = find_write(span, system)
            if write is not None:
                yield _finding(
                    "unguarded-write",
                    span,
                    hop=hop,
                    operation=write.operation,
                    message=f"{span.service} wrote for real: {write.operation} at {_peer(span)}, unguarded",
                    cure=f"guard this library in {span.service} (docs/guards.md), and undo what was written",
                )
        elif decision == "allowed" and not _is_allowed(span.service, operation, rules):
            yield _finding(
                "unallowed-write",
                span,
                hop=hop,
                operation=operation,
                message=f"{span.service} was allowed to write {operation}, and the scenario has no rule for it",
                cure="add it under audit.allow with a reason, or change the service's policy",
            )
        elif decision == "denied":
            yield _finding(
                "denied-write",
                span,
                hop=hop,
                operation=operation,
                severity=Severity.WARNING,
                message=f"{span.service} was refused {operation}: nothing was written, but the bullet saw an error",
                cure="give the guard a policy that can answer: a stub, a redirect, or rollback",
            )
        elif decision == attributes.UNGUARDED:
            if _is_allowed(span.service, operation, rules):
                continue
            yield _finding(
                "unguarded-call",
                span,
                hop=hop,
                operation=operation,
                severity=Severity.GAP,
                message=f"in {span.service} the bullet did {operation} through code that no guard stands for",
                cure="guard it, set TRACER_BULLET_NET=deny, or say under audit.allow why it is harmless",
            )
        elif decision not in attributes.DECISIONS:
            yield _finding(
                "unknown-decision",
                span,
                hop=hop,
                operation=operation,
                message=f"{span.service} says {decision!r} of {operation}, which the protocol does not know",
                cure="bring that service's guards to this protocol version",
            )


def _errors(trace: Trace, _system: System, _rules: AuditRules) -> Iterator[Finding]:
    """Failed calls under a request that was answered as a success, with no later success of the same call."""
    for span in trace.spans:
        if span.kind is not SpanKind.CLIENT or _is_ours(span) or not _call_failed(trace, span):
            continue
        server = next((a for a in trace.ancestors(span) if a.kind is SpanKind.SERVER), None)
        if server is None or server.service != span.service or server.failed or _http_status(server) >= 400:
            continue
        retried = any(
            other.start_ns >= span.end_ns and _same_call(other, span) and not _call_failed(trace, other)
            for other in trace.spans
        )
        if not retried:
            peer = _peer(span) or span.name
            yield _finding(
                "error-swallowed",
                span,
                hop=f"{span.service} → {peer}",
                operation=span.name,
                message=f"{span.service} answered {server.name!r} as a success, but {span.name!r} at {peer} failed",
                cure="let the failure show; if the answer is right without it, ignore the rule in the scenario",
            )


def _call_failed(trace: Trace, span: Span) -> bool:
    """An error that cannot be an ordinary answer: 404 and the like are answers."""
    status = _http_status(span)
    if status:
        refused = any(attributes.REFUSED in child.attributes for child in trace.children(span))
        return status >= 500 or refused
    return span.failed


def _same_call(one: Span, other: Span) -> bool:
    return (one.kind, one.service, one.name, one.parent_id, address_of(one.attributes)) == (
        other.kind,
        other.service,
        other.name,
        other.parent_id,
        address_of(other.attributes),
    )


def _http_status(span: Span) -> int:
    text = span.attributes.get("http.response.status_code") or span.attributes.get("http.status_code") or ""
    return int(text) if text.isdecimal() and len(text) == 3 else 0


def _is_marked(span: Span) -> bool:
    return span.attributes.get(attributes.REQUEST_TYPE) == "TRACE"


def _is_ours(span: Span) -> bool:
    """By what the harness and the guards put on their spans: anybody may bear a name of theirs."""
    if span.service == attributes.HARNESS_SERVICE:
        return span.parent_id is None or attributes.STEP in span.attributes
    return span.name == attributes.SEAL_SPAN_NAME and attributes.SEALED_SPANS in span.attributes


def _is_allowed(service: str, operation: str, rules: AuditRules) -> bool:
    return any(fnmatchcase(service, a.service) and fnmatchcase(operation, a.operation) for a in rules.allow)


def _caller(trace: Trace, span: Span) -> str:
    """The service before this span's own on the way from the harness."""
    return next((a.service for a in trace.ancestors(span) if a.service != span.service), "outside")


def _hop(trace: Trace, span: Span) -> str:
    return f"{_caller(trace, span)} → {span.service}"


def _entry_name(trace: Trace, span: Span) -> str:
    """The operation by which the span's service was entered."""
    if span.name != attributes.SEAL_SPAN_NAME:
        return span.name
    parent = trace.parent(span)
    if parent is None:
        return ""
    server = next((c for c in trace.children(parent) if c.kind is SpanKind.SERVER), parent)
    return server.name


def _peer(span: Span) -> str:
    """What a client or producer span talks to, in words."""
    found = span.attributes
    database = first(found, DATABASES)
    if database:
        name = found.get("db.namespace") or found.get("db.name") or ""
        return f"{database} {name.rpartition('/')[2]}".strip()
    queue = found.get("messaging.destination.name")
    if queue:
        return queue
    host, port = address_of(span.attributes)
    return f"{host}:{port}" if port else host


def _finding(
    rule: str, span: Span, *, message: str, cure: str, hop: str, operation: str, severity: Severity = Severity.ERROR
) -> Finding:
    return Finding(
        rule=rule,
        severity=severity,
        message=message,
        cure=cure,
        service=span.service,
        hop=hop,
        operation=operation,
        trace_id=span.trace_id,
        span_id=span.span_id,
    )
