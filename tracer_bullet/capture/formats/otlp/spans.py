"""A span of an export, out of JSON or protobuf, with its attributes as text.

Sources: opentelemetry-proto (trace.proto) and its JSON mapping (OTLP 1.x, "JSON Protobuf Encoding").
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from opentelemetry.proto.trace.v1 import trace_pb2

from tracer_bullet.capture.formats.shared.parts import as_dict, as_list, as_text
from tracer_bullet.model.losses import Losses

SERVER: Final = 2
_KINDS: Final = {"SPAN_KIND_SERVER": SERVER, 2: SERVER, "2": SERVER}
_LAST_NS: Final = 1 << 62
NO_SPAN: Final = "spans without an id or a time"

Attributes = Mapping[str, str | list[str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """Ids as they are written, for comparison alone; times in Unix nanoseconds. `attributes` only of server spans."""

    trace_id: bytes | str
    span_id: bytes | str
    parent_id: bytes | str
    is_server: bool
    start_ns: int
    end_ns: int
    attributes: Attributes


def from_json(resource_spans: Any, losses: Losses) -> Iterator[Span]:
    """The spans of a `ResourceSpans` object; those before 2022 have `instrumentationLibrarySpans`."""
    held = as_dict(resource_spans)
    for scope in as_list(held.get("scopeSpans") or held.get("instrumentationLibrarySpans")):
        for value in as_list(as_dict(scope).get("spans")):
            span = _json_span(as_dict(value))
            if span is None:
                losses.lose(NO_SPAN, value)
            else:
                yield span


def from_protobuf(resource_spans: trace_pb2.ResourceSpans, losses: Losses) -> Iterator[Span]:
    """The spans of a `ResourceSpans` message."""
    for scope in resource_spans.scope_spans:
        for span in scope.spans:
            if not (span.trace_id and span.span_id and 0 < span.start_time_unix_nano < _LAST_NS):
                losses.lose(NO_SPAN, span.name)
                continue
            is_server = span.kind == SERVER
            yield Span(
                trace_id=span.trace_id,
                span_id=span.span_id,
                parent_id=span.parent_span_id,
                is_server=is_server,
                start_ns=span.start_time_unix_nano,
                end_ns=min(span.end_time_unix_nano, _LAST_NS),
                attributes=dict(_pairs(span)) if is_server else {},
            )


def _json_span(value: dict[str, Any]) -> Span | None:
    trace_id, span_id = as_text(value.get("traceId")).lower(), as_text(value.get("spanId")).lower()
    start = _ns(value.get("startTimeUnixNano"))
    if not (trace_id and span_id and start):
        return None
    kind = value.get("kind")
    is_server = _KINDS.get(kind) == SERVER if isinstance(kind, int | str) else False
    return Span(
        trace_id=trace_id,
        span_id=span_id,
        parent_id=as_text(value.get("parentSpanId")).lower(),
        is_server=is_server,
        start_ns=start,
        end_ns=_ns(value.get("endTimeUnixNano")),
        attributes=_json_attributes(value.get("attributes")) if is_server else {},
    )


def _ns(value: object) -> int:
    """Nanoseconds, as a number or in text; 0 for none."""
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 20:
        value = int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 < value < _LAST_NS else 0


def _json_attributes(pairs: Any) -> Attributes:
    found: dict[str, str | list[str]] = {}
    for pair in as_list(pairs):
        held = as_dict(pair)
        key = held.get("key")
        value = _json_value(as_dict(held.get("value")))
        if isinstance(key, str) and value is not None:
            found[key] = value
    return found


def _json_value(value: dict[str, Any]) -> str | list[str] | None:
    for key in ("stringValue", "intValue", "doubleValue", "boolValue"):
        if isinstance(found := value.get(key), str | int | float):
            return str(found)
    if "arrayValue" in value:
        parts = [_json_value(as_dict(part)) for part in as_list(as_dict(value["arrayValue"]).get("values"))]
        return [part for part in parts if isinstance(part, str)]
    return None


def _pairs(span: trace_pb2.Span) -> Iterator[tuple[str, str | list[str]]]:
    for pair in span.attributes:
        value = _value(pair.value)
        if value is not None:
            yield pair.key, value


def _value(value: Any) -> str | list[str] | None:
    match value.WhichOneof("value"):
        case "string_value":
            return str(value.string_value)
        case "int_value":
            return str(value.int_value)
        case "double_value":
            return str(value.double_value)
        case "bool_value":
            return str(value.bool_value)
        case "array_value":
            parts = [_value(part) for part in value.array_value.values]
            return [part for part in parts if isinstance(part, str)]
    return None
