"""The part of envoy.data.tap.v3 that holds HTTP, from protobuf's wire format into the shape of its JSON.

Field numbers: envoy/data/tap/v3/{wrapper,http,common}.proto and envoy/config/core/v3/{base,address}.proto. Unknown
fields are passed over, as protobuf has it. Bytes stay bytes here (JSON has them in base64); a Timestamp is an object.
"""

from __future__ import annotations

from typing import Any, Final

# message → field → (member, kind); a `*` says repeated. A kind is a message, or a scalar.
_SCHEMA: Final[dict[str, dict[int, tuple[str, str]]]] = {
    "wrapper": {1: ("http_buffered_trace", "buffered"), 2: ("http_streamed_trace_segment", "segment")},
    "buffered": {1: ("request", "message"), 2: ("response", "message"), 3: ("downstream_connection", "connection")},
    "message": {1: ("headers", "*header"), 2: ("body", "body"), 3: ("trailers", "*header"),
                4: ("headers_received_time", "timestamp")},
    "segment": {1: ("trace_id", "number"), 2: ("request_headers", "map"), 3: ("request_body_chunk", "body"),
                4: ("request_trailers", "map"), 5: ("response_headers", "map"), 6: ("response_body_chunk", "body"),
                7: ("response_trailers", "map")},
    "map": {1: ("headers", "*header")},
    "header": {1: ("key", "text"), 2: ("value", "text"), 3: ("raw_value", "bytes")},
    "body": {1: ("as_bytes", "bytes"), 2: ("as_string", "text"), 3: ("truncated", "flag")},
    "timestamp": {1: ("seconds", "number"), 2: ("nanos", "number")},
    "connection": {1: ("local_address", "address"), 2: ("remote_address", "address")},
    "address": {1: ("socket_address", "socket")},
    "socket": {2: ("address", "text"), 3: ("port_value", "number")},
}  # fmt: skip
_FIRST_KEYS: Final = frozenset({b":authority", b":path", b":method", b":scheme", b":status", b":protocol"})
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


def wrapper(data: bytes) -> dict[str, Any]:
    """A TraceWrapper. Raises ValueError when it is none."""
    return _message(data, "wrapper")


def varint(data: bytes, at: int) -> tuple[int, int]:
    """A number and where it ends. Raises ValueError when it is cut off or longer than ten bytes."""
    value = shift = 0
    while at < len(data) and shift < 70:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & 0xFFFF_FFFF_FFFF_FFFF, at
        shift += 7
    raise ValueError("no varint")


def frame(data: bytes) -> bytes:
    """A message with its length before it."""
    value, out = len(data), bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes(out) + bytes([value]) + data


def _message(data: bytes, kind: str) -> dict[str, Any]:
    fields, found = _SCHEMA[kind], dict[str, Any]()
    at = 0
    while at < len(data):
        tag, at = varint(data, at)
        value, at = _field(data, at, tag & 7)
        name, what = fields.get(tag >> 3, ("", ""))
        if not name:
            continue
        if what.startswith("*"):
            found.setdefault(name, []).append(_typed(value, what[1:]))
        elif isinstance(before := found.get(name), dict) and what in _SCHEMA:
            before.update(_typed(value, what))  # a message in two parts is one
        else:
            found[name] = _typed(value, what)
    return found


def _field(data: bytes, at: int, wire: int) -> tuple[int | bytes, int]:
    if wire == _VARINT:
        return varint(data, at)
    if wire == _BYTES:
        size, at = varint(data, at)
    elif wire in (_FIXED64, _FIXED32):
        size = 8 if wire == _FIXED64 else 4
    else:
        raise ValueError("no wire type")
    if at + size > len(data):
        raise ValueError("it is cut off")
    return data[at : at + size], at + size


def _typed(value: int | bytes, what: str) -> Any:
    if what in ("number", "flag"):
        if isinstance(value, bytes):
            raise ValueError("no number")
        return bool(value) if what == "flag" else value
    if isinstance(value, int):
        raise ValueError("no bytes")
    if what in _SCHEMA:
        return _message(value, what)
    return value if what == "bytes" else value.decode("utf-8", "surrogateescape")


def seems_wrapper(head: bytes, at: int) -> bool:
    """Whether a TraceWrapper with HTTP in it seems to begin there. The head may end behind the first header's name."""
    try:
        kind = head[at]
        size, at = varint(head, at + 1)
        if kind == 0x12:  # a segment: its id, and then one message
            if head[at] != 0x08:
                return False
            _, at = varint(head, at + 1)
            return size > 2 and head[at] in (0x12, 0x2A) and _seems_header(head, _inside(head, at))
        return kind == 0x0A and head[at] in (0x0A, 0x12) and _seems_header(head, _inside(head, at))
    except (ValueError, IndexError):
        return False


def _inside(head: bytes, at: int) -> int:
    return varint(head, at + 1)[1]


def _seems_header(head: bytes, at: int) -> bool:
    if head[at] != 0x0A:
        return False
    at = _inside(head, at)
    if head[at] != 0x0A:
        return False
    size, at = varint(head, at + 1)
    key = head[at : at + size]
    # Envoy has the pseudo headers first. Without them it would be like OTLP's resource attributes.
    return 0 < size < 256 and len(key) == size and key in _FIRST_KEYS
