"""OTLP's JSON encoding to span columns (OTLP 1.x specification, "JSON Protobuf Encoding").

Ids are hex in any case, 64-bit integers strings or numbers, unknown keys are ignored and
`null` means absent. Enum names, which the specification forbids, are understood because
senders write them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, TypeVar

from tracer_bullet.traces import ids
from tracer_bullet.traces.columns import SpanColumns
from tracer_bullet.traces.otlp import (
    BAD_ID,
    LAST_KIND,
    LAST_NS,
    LAST_STATUS,
    SERVICE_NAME,
    UNKNOWN_SERVICE,
    Decoded,
    MalformedError,
    double_text,
    span_fault,
)

T = TypeVar("T")

# Same bound as protobuf's own parsers put on nested messages.
MAX_DEPTH = 100

_KINDS = {
    f"SPAN_KIND_{name}": number
    for number, name in enumerate(("UNSPECIFIED", "INTERNAL", "SERVER", "CLIENT", "PRODUCER", "CONSUMER"))
}
_STATUSES = {f"STATUS_CODE_{name}": number for number, name in enumerate(("UNSET", "OK", "ERROR"))}
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")


def parse_json(body: bytes) -> Any:
    """The JSON value of a body in UTF-8. Raises MalformedError.

    Lone surrogates, which JSON can spell and UTF-8 cannot, become `?`.
    """
    try:
        value = json.loads(body.decode("utf-8"))
        if _SURROGATE.search(body):
            value = json.loads(json.dumps(value, ensure_ascii=False).encode("utf-8", "replace"))
    except (ValueError, RecursionError) as error:
        raise MalformedError(f"not JSON: {error}") from None
    return value


def decode_json(body: bytes) -> Decoded:
    """The spans of an `ExportTraceServiceRequest` in JSON. Raises MalformedError when it is none."""
    request = parse_json(body)
    if not isinstance(request, dict):
        raise MalformedError(f"an object is needed at the top, not {_short(request)}")
    decoded = Decoded()
    for part in _messages(request, "resourceSpans"):
        resource = _texts(_message(part, "resource"))
        for scope in _messages(part, "scopeSpans"):
            _decode_scope(scope, resource, decoded)
    return decoded


def _decode_scope(scope: Mapping[str, Any], resource: dict[str, str], decoded: Decoded) -> None:
    to = decoded.columns
    name = _get(_message(scope, "scope"), "name", str, "")
    service = resource.get(SERVICE_NAME) or UNKNOWN_SERVICE
    kept = 0
    for span in _messages(scope, "spans"):
        fault = _decode_span(span, to)
        if fault is None:
            kept += 1
        else:
            decoded.rejected[fault] += 1
    if kept:
        to.services += [service] * kept
        to.scopes += [name] * kept
        to.resource_of += [len(to.resources.counts)] * kept
        to.resources.add(resource)


def _decode_span(span: Mapping[str, Any], to: SpanColumns) -> str | None:
    trace_id, span_id, parent = (_id(span, key) for key in ("traceId", "spanId", "parentSpanId"))
    start, end = _integer(span, "startTimeUnixNano"), _integer(span, "endTimeUnixNano")
    status = _message(span, "status")
    # Everything that may raise comes before the first append, so that columns stay of one length.
    name, state = _get(span, "name", str, ""), _get(span, "traceState", str, "")
    kind = _enum(span, "kind", _KINDS, LAST_KIND)
    code, message = _enum(status, "code", _STATUSES, LAST_STATUS), _get(status, "message", str, "")
    attributes = _texts(span)
    events = [(_integer(e, "timeUnixNano"), _get(e, "name", str, ""), _texts(e)) for e in _messages(span, "events")]
    links = list(_links(span))
    if trace_id is None or span_id is None or parent is None:
        return BAD_ID
    fault = span_fault(trace_id, span_id, parent, start, end)
    if fault is not None:
        return fault
    to.trace_ids.append(trace_id)
    to.span_ids.append(span_id)
    to.parent_ids.append(parent or ids.ZERO_SPAN)
    to.names.append(name)
    to.kinds.append(kind)
    to.starts.append(start)
    to.ends.append(end)
    to.statuses.append(code)
    to.messages.append(message)
    to.trace_states.append(state)
    to.attributes.add(attributes)
    to.event_counts.append(len(events))
    for time_ns, event_name, event_attributes in events:
        to.event_times.append(max(0, min(time_ns, LAST_NS)))
        to.event_names.append(event_name)
        to.event_attributes.add(event_attributes)
    to.link_counts.append(len(links))
    to.link_trace_ids += [t for t, _ in links]
    to.link_span_ids += [s for _, s in links]
    return None


def _links(span: Mapping[str, Any]) -> Iterator[tuple[bytes, bytes]]:
    for link in _messages(span, "links"):
        trace_id, span_id = _id(link, "traceId"), _id(link, "spanId")
        if trace_id is not None and span_id is not None and span_fault(trace_id, span_id, b"", 1, 1) is None:
            yield trace_id, span_id


def _get(message: Mapping[str, Any], key: str, kind: type[T], default: T) -> T:
    value = message.get(key)
    if value is None:
        return default
    if not isinstance(value, kind):
        raise MalformedError(f"{key}: {kind.__name__} is needed, not {_short(value)}")
    return value


def _message(parent: Mapping[str, Any], key: str) -> dict[str, Any]:
    return _get(parent, key, dict, {})


def _messages(parent: Mapping[str, Any], key: str) -> Iterable[dict[str, Any]]:
    values = _get(parent, key, list, [])
    for value in values:
        if not isinstance(value, dict):
            raise MalformedError(f"{key}: objects are needed, not {_short(value)}")
    return values


def _id(message: Mapping[str, Any], key: str) -> bytes | None:
    """Bytes of a hex id, empty when absent, None when it is not hex."""
    text = _get(message, key, str, "")
    try:
        return bytes.fromhex(text) if text.isalnum() or not text else None
    except ValueError:
        return None


def _integer(message: Mapping[str, Any], key: str) -> int:
    return _to_integer(message.get(key, 0), key)


def _to_integer(value: object, key: str) -> int:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if value is None:
        return 0
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, str) and len(value) <= 20 and re.fullmatch(r"-?[0-9]+", value):
        return int(value)
    raise MalformedError(f"{key}: a 64-bit integer is needed, not {_short(value)}")


def _enum(message: Mapping[str, Any], key: str, names: Mapping[str, int], last: int) -> int:
    value = message.get(key)
    if isinstance(value, str) and not value.isdecimal():
        return names.get(value, 0)
    number = _to_integer(value, key)
    return number if 0 <= number <= last else 0


def _texts(message: Mapping[str, Any]) -> dict[str, str]:
    return {_get(a, "key", str, ""): _text(_message(a, "value")) for a in _messages(message, "attributes")}


def _text(value: Mapping[str, Any]) -> str:
    """Text of an AnyValue, as model/span.py defines it."""
    plain = _plain(value, 0)
    if isinstance(plain, str):
        return plain
    if plain is None:
        return ""
    if isinstance(plain, bool):
        return "true" if plain else "false"
    if isinstance(plain, float):
        return double_text(plain)
    return json.dumps(plain, ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def _plain(value: Mapping[str, Any], depth: int) -> Any:
    """The JSON value of an AnyValue; NaN and the infinities are text, as in protobuf's mapping."""
    if depth > MAX_DEPTH:
        raise MalformedError(f"a value is nested more than {MAX_DEPTH} deep")
    for key, read in _READERS.items():
        if value.get(key) is not None:
            return read(value, depth)
    return None


def _double(value: Mapping[str, Any], _: int) -> float | str:
    found = value["doubleValue"]
    try:
        number = float(found) if isinstance(found, str | int | float) and not isinstance(found, bool) else None
    except (ValueError, OverflowError):
        number = None
    if number is None:
        raise MalformedError(f"doubleValue: a number is needed, not {_short(found)}")
    text = double_text(number)
    return number if text[-1].isdigit() else text


def _array(value: Mapping[str, Any], depth: int) -> list[Any]:
    return [_plain(v, depth + 1) for v in _messages(_message(value, "arrayValue"), "values")]


def _kvlist(value: Mapping[str, Any], depth: int) -> dict[str, Any]:
    pairs = _messages(_message(value, "kvlistValue"), "values")
    return {_get(p, "key", str, ""): _plain(_message(p, "value"), depth + 1) for p in pairs}


_READERS: dict[str, Callable[[Mapping[str, Any], int], Any]] = {
    "stringValue": lambda value, _: _get(value, "stringValue", str, ""),
    "intValue": lambda value, _: _integer(value, "intValue"),
    "boolValue": lambda value, _: _get(value, "boolValue", bool, False),  # noqa: FBT003
    "doubleValue": _double,
    "arrayValue": _array,
    "kvlistValue": _kvlist,
    "bytesValue": lambda value, _: _get(value, "bytesValue", str, ""),
}


def _short(value: object) -> str:
    return f"{type(value).__name__} {str(value)[:40]!r}"
