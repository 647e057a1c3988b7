"""What inbound guards of every kind share: the refusal, the scope, the trace a request belongs to."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping
from typing import Any

from opentelemetry import context as otel_context
from opentelemetry import propagate, trace

from tracer_bullet import __version__
from tracer_bullet.context.decide import Admission
from tracer_bullet.context.scope import Scope, entered, inherited_scope
from tracer_bullet.guards.evidence import TRACER_NAME, mark_span
from tracer_bullet.guards.registry import Armed
from tracer_bullet.model import FlagState, attributes

PROBLEM_TYPE = "application/problem+json"
_TITLES = {"disabled": "Tracer bullets are disabled", "flag-lost": "The tracer bullet's flag was lost on the way"}


def problem(admission: Admission, service: str) -> bytes:
    """The body of a refusal (RFC 9457)."""
    document = {
        "type": f"urn:tracer-bullet:{admission.reason}",
        "title": _TITLES.get(admission.reason, "Tracer bullet refused"),
        "status": admission.status,
        "detail": admission.detail,
        "service": service,
        "carriers": list(admission.carriers),
    }
    return json.dumps(document).encode()


def open_scope(armed: Armed, admission: Admission, headers: Mapping[str, Any]) -> tuple[Scope, otel_context.Context]:
    """The scope of an admitted bullet, and the trace context that its seal belongs under.

    `headers`: lower-case name to value or list of values.
    """
    assert admission.context is not None  # noqa: S101  # VALID has one
    armed.mark_spans()
    parent = _parent(headers)
    span = trace.get_current_span(parent).get_span_context()
    scope = Scope(
        admission.context,
        armed,
        linger_s=armed.config.linger_s,
        trace_id=trace.format_trace_id(span.trace_id) if span.is_valid else "",
        traceparent=first(headers, "traceparent"),
        carriers=admission.carriers,
    )
    scope.parent = parent
    running = trace.get_current_span()
    if running.is_recording():  # the server span was started outside of us
        mark_span(running, scope)
    return scope, parent


def record_refusal(armed: Armed | None, admission: Admission, headers: Mapping[str, Any], name: str) -> None:
    """Leave the refusal on the trace: on the server span, or on one of our own."""
    evidence = {
        attributes.SCHEMA: attributes.SCHEMA_VERSION,
        attributes.REFUSED: admission.reason,
        attributes.CARRIERS: ",".join(admission.carriers),
    }
    if admission.state is FlagState.REFUSED or admission.state is FlagState.LOST:
        evidence[attributes.REQUEST_TYPE] = "TRACE"
    running = trace.get_current_span()
    if running.is_recording():
        running.set_attributes(evidence)
        return
    tracer = armed.tracer if armed is not None else trace.get_tracer(TRACER_NAME, __version__)
    status = {"http.response.status_code": admission.status}
    tracer.start_span(
        name, context=_parent(headers), kind=trace.SpanKind.SERVER, attributes={**evidence, **status}
    ).end()


def is_nested(armed: Armed, traceparent: str) -> bool:
    """Whether this very request is already being served here (an application mounted in another).

    The context alone does not say: a server may run the next request of a connection under the
    context of the one before. The parent span of a request is its own.
    """
    scope = inherited_scope()
    return (
        scope is not None
        and not scope.ended
        and scope.owner is armed
        and bool(traceparent)
        and scope.traceparent == traceparent
    )


@contextlib.contextmanager
def untangled(traceparent: str) -> Iterator[None]:
    """Run the block without what another request left in the running context.

    asyncio runs a connection's callbacks under the context in which its reader was last
    registered, and a server starts a pipelined request from inside the one before it
    (https://github.com/python/cpython/issues/140947): a bullet's flag, baggage and span, which
    may still record, must not reach the next request, nor a customer's span a bullet.
    """
    own = trace.get_current_span()
    if inherited_scope() is None and not _is_anothers(own, traceparent):
        yield
        return
    clean = otel_context.Context()
    token = otel_context.attach(trace.set_span_in_context(own, clean) if _is_child(own, traceparent) else clean)
    try:
        with entered(None):
            yield
    finally:
        otel_context.detach(token)


def _is_anothers(span: trace.Span, traceparent: str) -> bool:
    """Whether the current span is of another trace than the request says."""
    found = span.get_span_context()
    return found.is_valid and traceparent != "" and trace.format_trace_id(found.trace_id) != traceparent[3:35]


def _is_child(span: trace.Span, traceparent: str) -> bool:
    """Whether a span that still records was started for the request with this traceparent."""
    parent = getattr(span, "parent", None)
    return (
        span.is_recording()
        and parent is not None
        and traceparent[3:52] == f"{trace.format_trace_id(parent.trace_id)}-{trace.format_span_id(parent.span_id)}"
    )


def first(headers: Mapping[str, Any], name: str) -> str:
    """The first value of a header, or an empty text."""
    value = headers.get(name, "")
    return str(value if isinstance(value, str) else value[0])


def _parent(headers: Mapping[str, Any]) -> otel_context.Context:
    running = otel_context.get_current()
    if trace.get_current_span(running).get_span_context().is_valid:
        return running
    return propagate.extract(headers, context=running)
