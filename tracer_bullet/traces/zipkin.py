"""Spans from Zipkin's query API (`GET /api/v2/trace/{traceId}`, zipkin2-api.yaml)."""

from __future__ import annotations

from typing import ClassVar

from tracer_bullet.model import Span
from tracer_bullet.traces.http_source import HttpSource
from tracer_bullet.traces.otlp_json import parse_json
from tracer_bullet.traces.zipkin_spans import from_zipkin


class ZipkinSource(HttpSource):
    """A `TraceSource` over a Zipkin server.

    Zipkin stores names in lower case, microseconds, and no resource attributes: spans come back with that.
    """

    server: ClassVar[str] = "Zipkin"

    def path(self, trace_id: str) -> str:
        """See HttpSource."""
        return f"/api/v2/trace/{trace_id}"

    def read(self, trace_id: str, body: bytes) -> list[Span]:
        """See HttpSource."""
        return from_zipkin(trace_id, parse_json(body))
