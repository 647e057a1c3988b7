"""Envoy's tap files: JSON (also pretty-printed without anything between the documents, as the admin sink streams them),
and protobuf (one message, or many with their lengths before them)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, BinaryIO, Final

from tracer_bullet.capture.formats.base import ReadOptions
from tracer_bullet.capture.formats.otlp.framing import has_span_ids
from tracer_bullet.capture.formats.shared.json_cut import documents
from tracer_bullet.capture.formats.shared.streams import CHUNK, RECORD_BYTES, chunks
from tracer_bullet.capture.formats.tap import wire
from tracer_bullet.capture.formats.tap.traces import exchanges
from tracer_bullet.model.exchange import Exchange
from tracer_bullet.model.losses import Losses

BROKEN: Final = "tap records that are broken: the rest is not read"
TOO_LARGE: Final = "tap records that are too large to be held: the rest is not read"
_JSON: Final = re.compile(
    rb'\s*\{\s*"(?:http_buffered_trace|httpBufferedTrace|http_streamed_trace_segment|httpStreamedTraceSegment)"\s*:'
)


class TapJson:
    """The reader of `.json` taps."""

    name = "Envoy tap"
    one_a_file = True

    def recognises(self, head: bytes) -> bool:
        """Whether it begins with a TraceWrapper of HTTP."""
        return _JSON.match(head) is not None

    def read(self, stream: BinaryIO, losses: Losses, options: ReadOptions) -> Iterator[Exchange]:
        """One exchange a trace."""
        return exchanges(documents(stream, losses), losses, options)


class TapProto:
    """The reader of `.pb` and `.pb_length_delimited` taps."""

    name = "Envoy tap (protobuf)"
    glue = b""
    one_a_file = True

    def recognises(self, head: bytes) -> bool:
        """Whether a TraceWrapper of HTTP seems to begin here, with or without its length."""
        return (_is_framed(head) or wire.seems_wrapper(head, 0)) and not has_span_ids(head)

    def read(self, stream: BinaryIO, losses: Losses, options: ReadOptions) -> Iterator[Exchange]:
        """One exchange a trace."""
        return exchanges(_messages(stream, losses), losses, options)

    def framed(self, head: bytes, stream: BinaryIO) -> Iterator[bytes]:
        """A file's content with lengths, so that it can follow another."""
        if _is_framed(head):
            while chunk := stream.read(CHUNK):
                yield chunk
        else:
            yield wire.frame(stream.read(RECORD_BYTES))


def _is_framed(head: bytes) -> bool:
    try:
        size, at = wire.varint(head, 0)
    except ValueError:
        return False
    return size > 3 and wire.seems_wrapper(head, at)


def _messages(stream: BinaryIO, losses: Losses) -> Iterator[Any]:
    content = chunks(stream, losses)
    held = bytearray()
    while len(held) < CHUNK and (chunk := next(content, b"")):
        held += chunk
    if not _is_framed(bytes(held[:CHUNK])):
        while len(held) <= RECORD_BYTES and (chunk := next(content, b"")):
            held += chunk
        if held:
            yield from _message(bytes(held), losses)
        return
    while held:
        try:
            size, at = wire.varint(bytes(held[:10]), 0)
        except ValueError:
            losses.lose(BROKEN)
            return
        if size > RECORD_BYTES:
            losses.lose(TOO_LARGE)
            return
        while len(held) < at + size and (chunk := next(content, b"")):
            held += chunk
        yield from _message(bytes(held[at : at + size]), losses)
        del held[: at + size]
        while len(held) < 10 and (chunk := next(content, b"")):
            held += chunk


def _message(data: bytes, losses: Losses) -> Iterator[Any]:
    try:
        found = wire.wrapper(data)
    except ValueError as error:
        losses.lose("tap records that are cut off or broken", error)
        return
    yield found
