"""`ResourceSpans` out of OTLP protobuf of any length, one at a time.

A body is one `ExportTraceServiceRequest`; the Collector's file exporter writes many, each behind its length as a
big-endian uint32. Both are read by their wire format (protobuf's "Encoding"), so that a body is never held as a whole.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Generator, Iterator
from typing import BinaryIO, Final

from google.protobuf.message import DecodeError
from opentelemetry.proto.trace.v1 import trace_pb2

from tracer_bullet.capture.formats.shared.streams import RECORD_BYTES, problem_of
from tracer_bullet.model.losses import Losses

NO_PROTOBUF: Final = "bytes that are no OTLP protobuf, and all that follows them"
CUT: Final = "messages that are cut off"
BROKEN: Final = "groups of spans that cannot be decoded"
TOO_LARGE: Final = "groups of spans that are too large to be held"
_RESOURCE_SPANS: Final = 0x0A  # field 1, length-delimited
# A trace id of 16 bytes beside a span id of 8, the first two fields of a span (the Collector writes fields backwards).
# A header of Envoy's tap may have a name and a value of these lengths; but that is text.
_ID: Final = rb"\x0a\x10(?![\x20-\x7e]{16})[\x00-\xff]{16}"
_IDS: Final = re.compile(_ID + rb"\x12\x08[\x00-\xff]{8}|\x12\x08[\x00-\xff]{8}" + _ID)
_LENGTH: Final = struct.Struct(">I")


def is_framed(head: bytes) -> bool:
    """Whether it begins with a length, and then a message."""
    return len(head) > 4 and head[0] != _RESOURCE_SPANS and head[4] == _RESOURCE_SPANS


def has_span_ids(head: bytes) -> bool:
    """Whether there is what only spans have."""
    return _IDS.search(head) is not None


def resource_spans(stream: BinaryIO, losses: Losses) -> Iterator[trace_pb2.ResourceSpans]:
    """All of them; what cannot be decoded is counted."""
    reader = _Reader(stream)
    framed = is_framed(reader.peek(5))
    while head := reader.take(_LENGTH.size) if framed else reader.peek(1):
        if framed and len(head) < _LENGTH.size:
            losses.lose(CUT)
            break
        end = reader.at + _LENGTH.unpack(head)[0] if framed else None
        if not (yield from _message(reader, end, losses)):
            break
    if problem := problem_of(stream):
        losses.lose(CUT, problem)


def _message(reader: _Reader, end: int | None, losses: Losses) -> Generator[trace_pb2.ResourceSpans, None, bool]:
    """One message up to `end`, or up to the end of the stream. Returns whether there may be another one behind it."""
    while end is None or reader.at < end:
        tag = reader.take(1)
        if not tag:
            if end is not None:
                losses.lose(CUT)
            return False
        length = reader.varint()
        if tag[0] != _RESOURCE_SPANS or length is None or (end is not None and reader.at + length > end):
            losses.lose(NO_PROTOBUF if length is not None or reader.peek(1) else CUT)
            return False
        if length > RECORD_BYTES:
            losses.lose(TOO_LARGE)
            if not reader.skip(length):
                losses.lose(CUT)
                return False
            continue
        body = reader.take(length)
        if len(body) < length:
            losses.lose(CUT)
            return False
        try:
            yield trace_pb2.ResourceSpans.FromString(body)
        except DecodeError as error:
            losses.lose(BROKEN, error)
    return True


class _Reader:
    """Bytes of a stream, counted."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._held = b""
        self.at = 0

    def peek(self, count: int) -> bytes:
        """The next bytes, left where they are."""
        while len(self._held) < count and (more := self._stream.read(count - len(self._held))):
            self._held += more
        return self._held[:count]

    def take(self, count: int) -> bytes:
        """The next bytes; fewer at the end."""
        parts, self._held = [self._held[:count]], self._held[count:]
        missing = count - len(parts[0])
        while missing and (more := self._stream.read(missing)):
            parts.append(more)
            missing -= len(more)
        taken = b"".join(parts)
        self.at += len(taken)
        return taken

    def skip(self, count: int) -> bool:
        """Whether so many bytes were there."""
        while count and (gone := self.take(min(count, 1 << 20))):
            count -= len(gone)
        return count == 0

    def varint(self) -> int | None:
        """A length; None for none."""
        value = 0
        for shift in range(0, 35, 7):
            byte = self.take(1)
            if not byte:
                return None
            value |= (byte[0] & 0x7F) << shift
            if byte[0] < 0x80:
                return value
        return None
