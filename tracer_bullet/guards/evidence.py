"""What guards leave on the trace (docs/protocol.md, section 5).

Evidence depends on no other instrumentation: where no client span stands for a write,
the guard makes one; when a request scope ends, a seal span says how many spans were
started in it, so that the harness can prove that none is missing.
"""

from __future__ import annotations

from typing import Any

from opentelemetry import context as otel_context
from opentelemetry import trace

from tracer_bullet.context.scope import Scope, live_scope
from tracer_bullet.guards.adopting import adopt
from tracer_bullet.model import RequestType, attributes

TRACER_NAME = "tracer_bullet.guards"


def scope_attributes(scope: Scope) -> dict[str, str]:
    """Attributes of every span of a bullet."""
    return {
        attributes.SCHEMA: attributes.SCHEMA_VERSION,
        attributes.REQUEST_TYPE: scope.context.request_type.value,
        attributes.RUN: scope.context.run_id,
    }


class MarkingProcessor:
    """Marks each span that starts inside a bullet's request scope.

    Has the methods of the SDK's SpanProcessor; the SDK itself is not imported, since a
    service may have none.
    """

    def on_start(self, span: Any, parent_context: object = None) -> None:  # noqa: ARG002
        """Set the attributes; nothing on STANDARD requests."""
        scope = live_scope()
        if scope is None or getattr(span, "name", "") == attributes.SEAL_SPAN_NAME:
            return
        if scope.context.request_type is RequestType.STANDARD:  # a tester's request, which is no bullet
            return
        mark_span(span, scope)
        adopt(span)

    def on_end(self, span: object) -> None:
        """Nothing to do."""

    def _on_ending(self, span: object) -> None:
        """Nothing to do; the SDK calls it on every processor."""

    def shutdown(self) -> None:
        """Nothing to release."""

    def force_flush(self, timeout_millis: int = 30_000) -> bool:  # noqa: ARG002
        """Nothing is buffered here."""
        return True


def mark_span(span: trace.Span, scope: Scope) -> None:
    """Mark one span as a bullet's and count it for the seal, if it will be exported."""
    span.set_attributes(scope_attributes(scope))
    if span.get_span_context().trace_flags.sampled and scope.count_span():
        span.set_attribute(attributes.SCOPE, scope.id)


def write_attributes(decision: str, operation: str, count: int = 1) -> dict[str, str | int]:
    """Attributes of a span that stands for `count` writes."""
    found: dict[str, str | int] = {attributes.DECISION: decision, attributes.OPERATION: operation}
    if count != 1:
        found[attributes.COUNT] = count
    return found


def span_parent(scope: Scope) -> otel_context.Context | None:
    """The context for a span of our own: the running one (None), or, in a service whose requests no
    instrumentation makes a span for, the caller's."""
    return None if trace.get_current_span().get_span_context().is_valid else scope.parent


def seal(tracer: trace.Tracer, scope: Scope, parent: otel_context.Context | None, guards: str) -> None:
    """Leave the seal of an ended scope: carriers that came, guards in force, spans started."""
    span = tracer.start_span(
        attributes.SEAL_SPAN_NAME,
        context=parent,
        kind=trace.SpanKind.INTERNAL,
        attributes={
            **scope_attributes(scope),
            attributes.SCOPE: scope.id,
            attributes.SEALED_SPANS: scope.spans,
            attributes.CARRIERS: ",".join(scope.carriers),
            attributes.GUARDS: guards,
        },
    )
    span.end()
