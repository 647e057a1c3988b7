"""From a trace that a process of Locust tells of to a bullet that can be judged, with the harness's own spans. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Final

from tracer_bullet.model import RequestType, Shot, Span, SpanKind, SpanStatus
from tracer_bullet.model.attributes import HARNESS_SERVICE, REQUEST_TYPE, RUN, STEP
from tracer_bullet.scenario import BulletResult

_MARKS: Final = {REQUEST_TYPE: RequestType.TRACE.value}
# Nothing of it left: no trace is to be awaited of it.
_UNSENT: Final = frozenset({"connect"})


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sent:
    span_id: str
    method: str
    url: str
    endpoint: str
    sent_ns: int
    ended_ns: int
    status: int
    error: str
    answer_bytes: int


_NAMES: Final = tuple(field.name for field in fields(_Sent))


def bullet_of(message: Mapping[str, Any], *, number: int, run_id: str, root_id: str) -> BulletResult | None:
    """The bullet of a `trace` message (load.locustfile.protocol); None when nothing of it left. Raises TypeError,
    KeyError or ValueError for what is no such message."""
    sent = [_Sent(**dict(zip(_NAMES, row, strict=True))) for row in message["shots"]]
    left = [s for s in sent if s.error not in _UNSENT]
    if not left:
        return None
    trace_id = message["id"]
    spans = [_span(trace_id, root_id, run_id, s) for s in left]
    failed = any(s.status is SpanStatus.ERROR for s in spans)
    root = Span(
        trace_id=trace_id,
        span_id=root_id,
        parent_id=None,
        name=f"locust {message['name']}",
        kind=SpanKind.INTERNAL,
        service=HARNESS_SERVICE,
        start_ns=min(s.start_ns for s in spans),
        end_ns=max(s.end_ns for s in spans),
        status=SpanStatus.ERROR if failed else SpanStatus.UNSET,
        attributes={**_MARKS, RUN: run_id},
    )
    # Of what Locust cut off at its end nobody knows whether it came to a service.
    shots = tuple(_shot(trace_id, run_id, number, s) for s in left if s.status or s.error != "stopped")
    return BulletResult(bullet=number, trace_id=trace_id, shots=shots, checks=(), spans=(root, *spans))


def _shot(trace_id: str, run_id: str, number: int, sent: _Sent) -> Shot:
    return Shot(
        run_id=run_id,
        bullet=number,
        step=sent.endpoint,
        trace_id=trace_id,
        span_id=sent.span_id,
        request_type=RequestType.TRACE,
        method=sent.method,
        url=sent.url,
        scheduled_ns=sent.sent_ns,
        sent_ns=sent.sent_ns,
        ended_ns=sent.ended_ns,
        status=sent.status or None,
        error=sent.error or None,
        request_bytes=0,
        response_bytes=sent.answer_bytes,
    )


def _span(trace_id: str, root_id: str, run_id: str, sent: _Sent) -> Span:
    failed = bool(sent.error) or sent.status >= 500
    attributes = {
        **_MARKS,
        RUN: run_id,
        STEP: sent.endpoint,
        "http.request.method": sent.method,
        "url.full": sent.url,
        **({"http.response.status_code": str(sent.status)} if sent.status else {}),
        **({"error.type": sent.error or str(sent.status)} if failed else {}),
    }
    return Span(
        trace_id=trace_id,
        span_id=sent.span_id,
        parent_id=root_id,
        name=sent.endpoint,
        kind=SpanKind.CLIENT,
        service=HARNESS_SERVICE,
        start_ns=sent.sent_ns,
        end_ns=max(sent.ended_ns, sent.sent_ns),
        status=SpanStatus.ERROR if failed else SpanStatus.UNSET,
        status_message=sent.error,
        attributes=attributes,
    )
