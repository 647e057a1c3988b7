"""OTLP JSON: one export request, and the lines of the collector's file exporter, signals mixed.

Source: opentelemetry-proto's JSON mapping and the specification's file exporter. Jaeger's `/api/v3` answers are the
same in `{"result": …}` chunks (`JaegerV3`).
"""

from __future__ import annotations

from typing import Any

from tracer_bullet.model.losses import Losses
from tracer_bullet.traces.columns import SpanColumns
from tracer_bullet.traces.formats import convert as c
from tracer_bullet.traces.formats.otlp_spans import SpansReader, has_signals


class OtlpJson:
    """Documents with `resourceSpans`, on their own, in lines, or in an array."""

    name = "OTLP JSON"

    def recognises(self, value: Any) -> bool:
        """See Format."""
        return has_signals(value[0] if isinstance(value, list) and value else value)

    def reader(self, losses: Losses) -> _Reader:
        """See Format."""
        return _Reader(losses)


class _Reader:
    def __init__(self, losses: Losses) -> None:
        self._losses = losses
        self._spans = SpansReader(losses)

    def feed(self, value: Any, to: SpanColumns) -> None:
        """See Reader."""
        for document in c.dicts(value if isinstance(value, list) else [value], self._losses, c.NO_MEANING):
            self._spans.add_document(document, to)

    def finish(self, to: SpanColumns) -> None:
        """See Reader."""


class JaegerV3:
    """Answers of Jaeger's `/api/v3/traces…`: OTLP in `{"result": …}`, one or several after each other."""

    name = "Jaeger API v3"

    def recognises(self, value: Any) -> bool:
        """See Format."""
        first = value[0] if isinstance(value, list) and value else value
        return isinstance(first, dict) and has_signals(first.get("result"))

    def reader(self, losses: Losses) -> _ResultReader:
        """See Format."""
        return _ResultReader(losses)


class _ResultReader(_Reader):
    def feed(self, value: Any, to: SpanColumns) -> None:
        """See Reader."""
        for chunk in c.dicts(value if isinstance(value, list) else [value], self._losses, c.NO_MEANING):
            if "error" in chunk:
                self._losses.lose("chunks that are errors: the answer is not whole", c.shown(chunk["error"]))
            else:
                super().feed(chunk.get("result"), to)
