"""Model spans to OTLP, by the stock protobuf classes: what senders do, for tests of the receiver."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

from google.protobuf.json_format import MessageToDict
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tracer_bullet.model import Span

PROTOBUF = {"content-type": "application/x-protobuf"}
JSON = {"content-type": "application/json"}


def to_request(spans: Iterable[Span]) -> ExportTraceServiceRequest:
    request = ExportTraceServiceRequest()
    for span in spans:
        part = request.resource_spans.add()
        _set(part.resource.attributes, span.resource)
        scope = part.scope_spans.add()
        scope.scope.name = span.scope_name
        out = scope.spans.add(
            trace_id=bytes.fromhex(span.trace_id),
            span_id=bytes.fromhex(span.span_id),
            parent_span_id=bytes.fromhex(span.parent_id or ""),
            trace_state=span.trace_state,
            name=span.name,
            kind=int(span.kind),
            start_time_unix_nano=span.start_ns,
            end_time_unix_nano=span.end_ns,
        )
        out.status.code = int(span.status)
        out.status.message = span.status_message
        _set(out.attributes, span.attributes)
        for event in span.events:
            _set(out.events.add(time_unix_nano=event.time_ns, name=event.name).attributes, event.attributes)
        for link in span.links:
            out.links.add(trace_id=bytes.fromhex(link.trace_id), span_id=bytes.fromhex(link.span_id))
    return request


def to_protobuf(spans: Iterable[Span]) -> bytes:
    return to_request(spans).SerializeToString()


def to_json(spans: Iterable[Span], *, upper: bool = False) -> bytes:
    return request_json(to_request(spans), upper=upper)


def request_json(request: ExportTraceServiceRequest, *, upper: bool = False) -> bytes:
    """OTLP's JSON: protobuf's mapping, but hex ids."""
    value = MessageToDict(request, use_integers_for_enums=True)
    for part, wire in zip(value.get("resourceSpans", []), request.resource_spans, strict=True):
        for scope, wire_scope in zip(part.get("scopeSpans", []), wire.scope_spans, strict=True):
            for span, wire_span in zip(scope.get("spans", []), wire_scope.spans, strict=True):
                _hex(span, wire_span, ("traceId", "spanId", "parentSpanId"), upper)
                for link, wire_link in zip(span.get("links", []), wire_span.links, strict=True):
                    _hex(link, wire_link, ("traceId", "spanId"), upper)
    return json.dumps(value).encode()


def _hex(value: dict[str, Any], wire: Any, names: tuple[str, ...], upper: bool) -> None:
    for name in names:
        raw = getattr(wire, re.sub("([A-Z])", lambda m: "_" + m[1].lower(), name)).hex()
        value[name] = raw.upper() if upper else raw


def _set(attributes: Any, values: Mapping[str, str]) -> None:
    for key, value in values.items():
        attributes.add(key=key).value.string_value = value
