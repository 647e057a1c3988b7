"""Requests under way and what came back of them, made by hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tests.unit.engine.shot_batches import SECOND, START, shot
from tracer_bullet.model import Span, SpanKind
from tracer_bullet.model.arrival import Endpoint, Origin
from tracer_bullet.model.exchange import Answer, Exchange, Request
from tracer_bullet.runs.replay.feed import Flying
from tracer_bullet.traces.ids import trace_hex

ORIGIN = Origin(number=0, scheme="http", host="127.0.0.1", port=80)
ENDPOINTS = [Endpoint(number=0, method="GET", name="/a"), Endpoint(number=1, method="POST", name="/b/{}")]


def exchange(record: str = "e", answer: Answer | None = None) -> Exchange:
    request = Request(method="GET", scheme="http", authority="shop", target="/a")
    return Exchange(id=record, session="s", source="tests", started_ns=START, request=request, answer=answer)


def flying(
    number: int, *, session: int = 0, nth: int = 1, last: bool = False, endpoint: int = 0, **more: object
) -> Flying:
    values: dict[str, object] = {
        "number": number, "session": session, "endpoint": endpoint, "origin": 0, "last": last, "nth": nth,
        "target": b"/a?secret=1", "record": f"e-{number}", "takes": (), "started_ns": START, "ended_ns": START + SECOND,
        "exchange": None,
    }  # fmt: skip
    return Flying(**{**values, **more})  # type: ignore[arg-type]


def row(number: int, *, session: int = 0, error: str = "", sent: bool = True, **more: int) -> Mapping[str, int]:
    """A row of a batch. Sessions are traces; spans are numbered from 1."""
    made = shot(number=number, error=error, sent=sent, due=START + number * 1_000_000)
    return {**made, "session": session, "trace_hi": 7, "trace_lo": session + 1, "span_id": number + 1, **more}


def trace_of(session: int) -> str:
    return trace_hex(7, session + 1)


def served(trace_id: str, step_id: str, *, number: int, marked: bool = True, seal: bool = True) -> Sequence[Span]:
    """What a guarded service leaves of a request, with its seal."""
    mark = {"tb.request_type": "TRACE", "tb.scope": f"scope-{number}", "http.status_code": "200"} if marked else {}
    server = Span(
        trace_id=trace_id, span_id=f"{number:x}a".zfill(16), parent_id=step_id, name="GET /a", kind=SpanKind.SERVER,
        service="shop", start_ns=START, end_ns=START + 9, attributes={**mark},
    )  # fmt: skip
    attributes = {
        **mark, "tb.sealed_spans": "1", "tb.carriers": "baggage,tracestate,header", "tb.guards": "sqlalchemy=rollback",
    }  # fmt: skip
    sealing = Span(
        trace_id=trace_id, span_id=f"{number:x}b".zfill(16), parent_id=server.span_id, name="tracer-bullet seal",
        kind=SpanKind.INTERNAL, service="shop", start_ns=START, end_ns=START + 9, attributes=attributes,
    )  # fmt: skip
    return (server, sealing) if seal else (server,)
