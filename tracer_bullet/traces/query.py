"""Spans from the query APIs of Jaeger and Tempo, read by the importers of their formats."""

from __future__ import annotations

from typing import ClassVar

from tracer_bullet.model import Span
from tracer_bullet.model.losses import Losses
from tracer_bullet.traces.columns import SpanColumns
from tracer_bullet.traces.formats.base import Format
from tracer_bullet.traces.formats.registry import FORMATS
from tracer_bullet.traces.http_source import HttpSource
from tracer_bullet.traces.otlp import MalformedError
from tracer_bullet.traces.otlp_json import parse_json
from tracer_bullet.traces.table import batch_to_spans


class JaegerSource(HttpSource):
    """A `TraceSource` over Jaeger's query service (`GET /api/traces/{id}`), which gives microseconds."""

    server: ClassVar[str] = "Jaeger"

    def path(self, trace_id: str) -> str:
        """See HttpSource."""
        return f"/api/traces/{trace_id}"

    def read(self, trace_id: str, body: bytes) -> list[Span]:
        """See HttpSource."""
        return _spans(FORMATS["jaeger"], body, trace_id)


class TempoSource(HttpSource):
    """A `TraceSource` over Grafana Tempo (`GET /api/v2/traces/{id}`, which says when a trace is only partial)."""

    server: ClassVar[str] = "Tempo"

    def path(self, trace_id: str) -> str:
        """See HttpSource."""
        return f"/api/v2/traces/{trace_id}"

    def read(self, trace_id: str, body: bytes) -> list[Span]:
        """See HttpSource."""
        return _spans(FORMATS["tempo"], body, trace_id)


def _spans(known: Format, body: bytes, trace_id: str) -> list[Span]:
    value = parse_json(body)
    if not known.recognises(value):
        raise MalformedError(f"it is not in {known.name}'s format")
    columns = SpanColumns()
    reader = known.reader(Losses())
    reader.feed(value, columns)
    reader.finish(columns)
    return [span for span in batch_to_spans(columns.to_arrow()) if span.trace_id == trace_id]
