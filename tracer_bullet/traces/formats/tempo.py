"""Tempo's trace by id: v1 `{"batches": […]}`, v2 `{"trace": {"resourceSpans": […]}, "status": …}`.

OTLP inside, ids in base64 or hex and enums by name, by version and path of the answer. Grafana's trace download is v1.
Source: the API documentation of Tempo 2, `api/v2/traces`, and `tempopb.TraceByIDResponse`.
"""

from __future__ import annotations

from typing import Any, Final

from tracer_bullet.model.losses import Losses
from tracer_bullet.traces.columns import SpanColumns
from tracer_bullet.traces.formats import convert as c
from tracer_bullet.traces.formats.otlp_spans import SpansReader

PARTIAL: Final = "traces that Tempo gave in part (status PARTIAL): spans are missing"
SEARCH: Final = "search results: they name traces and hold no whole spans; fetch each by its id"
_SPANS: Final = ("batches", "resourceSpans")


class Tempo:
    """Answers of Tempo's API."""

    name = "Tempo"

    def recognises(self, value: Any) -> bool:
        """See Format."""
        return _is_trace(value[0] if isinstance(value, list) and value else value)

    def reader(self, losses: Losses) -> _Reader:
        """See Format."""
        return _Reader(losses)


class _Reader:
    def __init__(self, losses: Losses) -> None:
        self._losses = losses
        self._spans = SpansReader(losses)

    def feed(self, value: Any, to: SpanColumns) -> None:
        """See Reader."""
        for answer in c.dicts(value if isinstance(value, list) else [value], self._losses, c.NO_MEANING):
            if answer.get("status") in ("PARTIAL", 1):
                self._losses.lose(PARTIAL, answer.get("message", ""))
            trace = answer.get("trace", answer)
            trace = trace if isinstance(trace, dict) else {}
            found = [key for key in _SPANS if key in trace]
            for key in found:
                self._spans.add(trace[key], to)
            if not found and _is_search(answer):
                self._losses.lose(SEARCH, c.shown(answer), len(answer["traces"]))
            elif not found:
                self._losses.lose(c.NO_MEANING, c.shown(answer))

    def finish(self, to: SpanColumns) -> None:
        """See Reader."""


def _is_trace(value: object) -> bool:
    if not isinstance(value, dict):
        return False
    trace = value.get("trace")
    nested = isinstance(trace, dict) and any(isinstance(trace.get(key), list) for key in _SPANS)
    return isinstance(value.get("batches"), list) or nested or _is_search(value)


def _is_search(value: dict[str, Any]) -> bool:
    traces = value.get("traces")
    first = traces[0] if isinstance(traces, list) and traces else None
    return isinstance(first, dict) and "rootServiceName" in first
