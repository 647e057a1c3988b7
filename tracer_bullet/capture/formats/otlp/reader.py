"""OTLP as a recording: the server spans where traffic entered, as JSON or protobuf.

Of spans, those with kind SERVER and a method of HTTP, or of gRPC, whose parent span is not in the recording
(`entries.py`): a replay of them makes the inner requests come of themselves.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import BinaryIO, Final

from tracer_bullet.capture.formats.base import ReadOptions
from tracer_bullet.capture.formats.otlp.entries import Entries
from tracer_bullet.capture.formats.otlp.exchange import exchange_of
from tracer_bullet.capture.formats.otlp.framing import has_span_ids, is_framed, resource_spans
from tracer_bullet.capture.formats.otlp.spans import Span, from_json, from_protobuf
from tracer_bullet.capture.formats.shared.json_cut import elements
from tracer_bullet.model.exchange import Exchange
from tracer_bullet.model.losses import Losses

_FRESH: Final = re.compile(rb'\{"(?:resource|scopeSpans|instrumentationLibrarySpans)"\s*:')
_JSON_HEAD: Final = re.compile(rb'\s*(?:\[\s*)?\{\s*"resource(?:Spans|Metrics|Logs)"\s*:\s*\[')


class OtlpJson:
    """One export, or the lines of the Collector's file exporter, signals mixed."""

    name = "OTLP JSON"

    def recognises(self, head: bytes) -> bool:
        """See Format."""
        return b'"resourceSpans"' in head and _JSON_HEAD.match(head) is not None

    def read(self, stream: BinaryIO, losses: Losses, options: ReadOptions) -> Iterator[Exchange]:
        """See Format."""
        groups = elements(stream, ("resourceSpans",), _FRESH, losses)
        return _entries((span for group in groups for span in from_json(group, losses)), losses, options)


class OtlpProtobuf:
    """One export, or those of the Collector's file exporter, each behind its length."""

    name = "OTLP protobuf"

    def recognises(self, head: bytes) -> bool:
        """See Format."""
        return (head[:1] == b"\n" or is_framed(head)) and has_span_ids(head)

    def read(self, stream: BinaryIO, losses: Losses, options: ReadOptions) -> Iterator[Exchange]:
        """See Format."""
        groups = resource_spans(stream, losses)
        return _entries((span for group in groups for span in from_protobuf(group, losses)), losses, options)


def _entries(spans: Iterable[Span], losses: Losses, options: ReadOptions) -> Iterator[Exchange]:
    entries = Entries(losses)
    for span in spans:
        if not entries.note(span):
            continue
        if span.is_server and (exchange := exchange_of(span, losses, options)) is not None:
            yield from entries.offer(span, exchange)
    yield from entries.rest()
