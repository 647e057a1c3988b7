"""OTLP protobuf in files: one request, or one after the other with lengths before them.

Three ways occur: a single `ExportTraceServiceRequest` (or `TracesData`, which is the same on the wire); the collector's
file exporter, with 4 bytes of length, big-endian, before each message, which may be compressed with zstd or be JSON;
and varint lengths, as the specification of OTLP files says.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from google.protobuf.json_format import MessageToDict
from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import InstrumentationScope
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from tracer_bullet.model.losses import Losses
from tracer_bullet.traces.columns import SpanColumns
from tracer_bullet.traces.formats import convert as c
from tracer_bullet.traces.formats import wire
from tracer_bullet.traces.formats.otlp_spans import SpansReader
from tracer_bullet.traces.formats.parse import parse
from tracer_bullet.traces.formats.stream import ZSTD, inflate_frame
from tracer_bullet.traces.otlp import MalformedError, span_fault
from tracer_bullet.traces.otlp_protobuf import ProtobufDecoder

CUT: Final = "messages that are cut short at the input's end"
BROKEN: Final = "messages that are no protobuf: the rest of the input is not read"
BAD_FRAME: Final = "messages that cannot be inflated or are no JSON"
BAD_SPAN: Final = "spans that are no protobuf"
BAD_PART: Final = "resources and scopes that are no protobuf"

_GROUP: Final = 1 << 20
_MOST: Final = 512 << 20
_RESOURCE_SPANS, _SCOPE_SPANS, _SPANS = 1, 2, 2
_OLD_SCOPE_SPANS: Final = 1000
_OLD_TAG: Final = bytes((0xC2, 0x3E))
# Tags of ResourceSpans: resource, scope_spans, schema_url, and instrumentation_library_spans.
_PART_STARTS: Final = (0x0A, 0x12, 0x1A, 0xC2)


class OtlpProtobuf:
    """`ExportTraceServiceRequest` as bytes."""

    name = "OTLP protobuf"

    def recognises(self, value: Any) -> bool:
        """See Format: the values of this format are bytes."""
        return isinstance(value, bytes) and _plausible(value, 0)

    def reader(self, losses: Losses) -> _Reader:
        """See Format."""
        return _Reader(losses)


def _plausible(data: bytes, at: int) -> bool:
    """Whether a request begins at a place."""
    try:
        field = wire.field_at(data, at)
    except ValueError:
        return False
    if field.number != _RESOURCE_SPANS or field.wire != wire.LENGTH:
        return False
    return field.end == field.content or (field.content < len(data) and data[field.content] in _PART_STARTS)


# ---- cutting an input into messages


def binary_values(content: Iterator[bytes], losses: Losses, most: int = _MOST) -> Iterator[Any]:
    """The messages of a binary input: bytes of requests, or JSON values where the collector wrote those.

    Nothing when the input begins like none of the three ways.
    """
    source = _Source(content, losses, most)
    source.have(64)
    head = bytes(source.held[:64])
    if _framed(head):
        return _frames(source, varints=False)
    if _plausible(head, 0):
        return _groups(source)
    try:
        _, behind = wire.varint(head, 0)
    except ValueError:
        return iter(())
    return _frames(source, varints=True) if _plausible(head, behind) else iter(())


def _framed(head: bytes) -> bool:
    length = int.from_bytes(head[:4], "big")
    body = head[4:]
    return 0 < length < 1 << 31 and (body[:4] == ZSTD or body[:1] == b"{" or _plausible(body, 0))


class _Source:
    """Bytes read and not yet taken."""

    def __init__(self, content: Iterator[bytes], losses: Losses, most: int) -> None:
        self._content = content
        self.losses = losses
        self.most = most
        self.held = bytearray()

    def have(self, size: int) -> bool:
        """Read until so many bytes are held; whether they are."""
        while len(self.held) < size:
            chunk = next(self._content, b"")
            if not chunk:
                return False
            self.held += chunk
        return True

    def take(self, size: int) -> bytes:
        taken = bytes(self.held[:size])
        del self.held[:size]
        return taken


def _groups(source: _Source) -> Iterator[bytes]:
    """One request in parts of about a megabyte, each a request of its own: fields of a message may be cut anywhere."""
    group = bytearray()
    while source.have(1):
        source.have(24)
        try:
            field = wire.field_at(source.held, 0)
        except ValueError as error:
            source.losses.lose(BROKEN, error)
            break
        if field.end > source.most or not source.have(field.end):
            source.losses.lose(CUT, f"{len(source.held)} of {field.end} bytes")
            # What is whole within is found by the reader.
            group += wire.put(_RESOURCE_SPANS, source.take(len(source.held))[field.content :])
            break
        raw = source.take(field.end)
        if field.number == _RESOURCE_SPANS:
            group += raw
        if len(group) >= _GROUP:
            yield bytes(group)
            group.clear()
    if group:
        yield bytes(group)


def _frames(source: _Source, *, varints: bool) -> Iterator[Any]:
    while source.have(1):
        try:
            length, head = _length(source, varints=varints)
        except ValueError as error:
            source.losses.lose(BROKEN if len(source.held) > 4 else CUT, error)
            return
        if length > source.most or not source.have(head + length):
            source.losses.lose(CUT, f"{len(source.held) - head} of {length} bytes")
            return
        source.take(head)
        frame = source.take(length)
        try:
            if frame[:4] == ZSTD:
                frame = inflate_frame(frame, source.most)
            value = parse(frame, source.losses) if frame[:1] == b"{" else frame
        except ValueError as error:
            source.losses.lose(BAD_FRAME, error)
        else:
            yield value


def _length(source: _Source, *, varints: bool) -> tuple[int, int]:
    source.have(10)
    if varints:
        return wire.varint(source.held, 0)
    if len(source.held) < 4:
        raise ValueError("no whole length")
    return int.from_bytes(source.held[:4], "big"), 4


# ---- messages to spans


class _Reader:
    def __init__(self, losses: Losses) -> None:
        self._losses = losses
        self._decoder = ProtobufDecoder()
        self._odd = SpansReader(losses)

    def feed(self, value: Any, to: SpanColumns) -> None:
        """See Reader."""
        if isinstance(value, bytes):
            self._add(_modern(value), to)
        elif isinstance(value, dict):
            self._odd.add_document(value, to)
        else:
            self._losses.lose(c.NO_MEANING, c.shown(value))

    def finish(self, to: SpanColumns) -> None:
        """See Reader."""

    def _add(self, body: bytes, to: SpanColumns) -> None:
        try:
            decoded = self._decoder.decode(body)
        except MalformedError:
            body = _sound(body, self._losses)
            decoded = self._decoder.decode(body)
        to.extend(decoded.columns)
        if decoded.rejected:
            self._add_odd(body, to)

    def _add_odd(self, body: bytes, to: SpanColumns) -> None:
        """Spans that a receiver rejects, read as leniently as those in JSON."""
        request = ExportTraceServiceRequest.FromString(body)
        for part in request.resource_spans:
            for scope in part.scope_spans:
                odd = [s for s in scope.spans if _fault(s)]
                del scope.spans[:]
                scope.spans.extend(odd)
        as_json = MessageToDict(request, use_integers_for_enums=True)
        for part, its in zip(as_json.get("resourceSpans", ()), request.resource_spans, strict=True):
            for scope, its_scope in zip(part.get("scopeSpans", ()), its.scope_spans, strict=True):
                for span, its_span in zip(scope.get("spans", ()), its_scope.spans, strict=True):
                    _hex_ids(span, its_span)
        self._odd.add(as_json.get("resourceSpans"), to)


def _fault(span: Any) -> str | None:
    return span_fault(
        span.trace_id, span.span_id, span.parent_span_id, span.start_time_unix_nano, span.end_time_unix_nano
    )


def _hex_ids(span: dict[str, Any], its: Any) -> None:
    span.update(traceId=its.trace_id.hex(), spanId=its.span_id.hex(), parentSpanId=its.parent_span_id.hex())
    for link, its_link in zip(span.get("links", ()), its.links, strict=True):
        link.update(traceId=its_link.trace_id.hex(), spanId=its_link.span_id.hex())


def _modern(body: bytes) -> bytes:
    """`instrumentation_library_spans` of 2022, which had number 1000 for a while, as `scope_spans`."""
    if _OLD_TAG not in body:
        return body
    try:
        parts = [(f, body[f.content : f.end]) for f in wire.fields(body)]
        return b"".join(wire.put(_RESOURCE_SPANS, _modern_part(raw)) for f, raw in parts if f.number == _RESOURCE_SPANS)
    except ValueError:
        return body


def _modern_part(part: bytes) -> bytes:
    return b"".join(
        wire.put(_SCOPE_SPANS, part[f.content : f.end]) if f.number == _OLD_SCOPE_SPANS else part[f.start : f.end]
        for f in wire.fields(part)
    )


def _sound(body: bytes, losses: Losses) -> bytes:
    """The request without what is no protobuf in it: parts are tried one by one, down to single spans."""
    return b"".join(
        wire.put(_RESOURCE_SPANS, _sound_part(raw, losses))
        for number, raw in _whole_fields(body, losses)
        if number == _RESOURCE_SPANS
    )


def _sound_part(part: bytes, losses: Losses) -> bytes:
    kept = b""
    for number, raw in _whole_fields(part, losses):
        if number == 1 and _parses(Resource, raw, losses, BAD_PART):
            kept += wire.put(1, raw)
        elif number == _SCOPE_SPANS:
            kept += wire.put(_SCOPE_SPANS, _sound_scope(raw, losses))
    return kept


def _sound_scope(scope: bytes, losses: Losses) -> bytes:
    kept = []
    for number, raw in _whole_fields(scope, losses):
        if (number == 1 and _parses(InstrumentationScope, raw, losses, BAD_PART)) or (
            number == _SPANS and _parses(Span, raw, losses, BAD_SPAN)
        ):
            kept.append(wire.put(number, raw))
    return b"".join(kept)


def _whole_fields(data: bytes, losses: Losses) -> Iterator[tuple[int, bytes]]:
    """Fields with a length, up to the first place where the message breaks."""
    try:
        for field in wire.fields(data):
            if field.wire == wire.LENGTH:
                yield field.number, data[field.content : field.end]
    except ValueError as error:
        losses.lose(BAD_PART, error)


def _parses(kind: Any, raw: bytes, losses: Losses, reason: str) -> bool:
    try:
        kind.FromString(raw)
    except DecodeError as error:
        losses.lose(reason, error)
        return False
    return True
