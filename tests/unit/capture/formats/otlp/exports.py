"""Spans as an exporter writes them, in both encodings from one place: opentelemetry-proto."""

from __future__ import annotations

import io
import struct
from dataclasses import dataclass, field
from typing import Any

from google.protobuf.json_format import MessageToDict
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tracer_bullet.capture.formats.base import Format, ReadOptions
from tracer_bullet.model.exchange import Exchange
from tracer_bullet.model.losses import Losses

SERVER, CLIENT = 2, 3
START = 1795290303_000_000_001


@dataclass(frozen=True)
class S:
    """A span: ids as numbers, 0 for no parent."""

    id: int
    parent: int = 0
    kind: int = SERVER
    trace: int = 1
    start: int = START
    end: int = START + 1000
    attributes: dict[str, Any] = field(default_factory=dict)


def export(*spans: S) -> ExportTraceServiceRequest:
    """All in one scope of one resource."""
    request = ExportTraceServiceRequest()
    resource = request.resource_spans.add()
    pair = resource.resource.attributes.add(key="service.name")
    pair.value.string_value = "shop"
    scope = resource.scope_spans.add()
    for given in spans:
        span = scope.spans.add(
            trace_id=given.trace.to_bytes(16, "big"), span_id=given.id.to_bytes(8, "big"), kind=given.kind, name="x",
            start_time_unix_nano=given.start, end_time_unix_nano=given.end,
        )  # fmt: skip
        if given.parent:
            span.parent_span_id = given.parent.to_bytes(8, "big")
        for key, value in given.attributes.items():
            _set(span.attributes.add(key=key).value, value)
    return request


def as_json(request: ExportTraceServiceRequest) -> dict[str, Any]:
    """OTLP's JSON: protobuf's mapping, but for ids, which are in hexadecimal, and enums, which are numbers."""
    found: dict[str, Any] = MessageToDict(request, use_integers_for_enums=True)
    spans = (s for r in found["resourceSpans"] for scope in r["scopeSpans"] for s in scope["spans"])
    messages = (s for r in request.resource_spans for scope in r.scope_spans for s in scope.spans)
    for span, message in zip(spans, messages, strict=True):
        span |= {"traceId": message.trace_id.hex(), "spanId": message.span_id.hex()}
        if message.parent_span_id:
            span["parentSpanId"] = message.parent_span_id.hex()
    return found


def framed(*requests: ExportTraceServiceRequest) -> bytes:
    """As the Collector's file exporter writes protobuf."""
    return b"".join(struct.pack(">I", len(body)) + body for body in (r.SerializeToString() for r in requests))


def read(format: Format, content: bytes, **options: str) -> tuple[list[Exchange], Losses]:  # noqa: A002
    losses = Losses()
    return list(format.read(io.BytesIO(content), losses, ReadOptions(**options))), losses  # type: ignore[arg-type]


def _set(to: Any, value: Any) -> None:
    match value:
        case bool():
            to.bool_value = value
        case int():
            to.int_value = value
        case float():
            to.double_value = value
        case list():
            to.array_value.SetInParent()
            for each in value:
                _set(to.array_value.values.add(), each)
        case _:
            to.string_value = value
