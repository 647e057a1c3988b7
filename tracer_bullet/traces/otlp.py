"""What both OTLP encodings share: the outcome of decoding and the rules for single spans.

A body that is no `ExportTraceServiceRequest` is refused as a whole (`MalformedError`). A span
that is one, but whose values cannot be, is rejected alone and counted, and the rest kept.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Final

from tracer_bullet.traces import ids
from tracer_bullet.traces.columns import SpanColumns

SERVICE_NAME: Final = "service.name"
# OpenTelemetry's semantic conventions, resource/service: the name of a service that gives none.
UNKNOWN_SERVICE: Final = "unknown_service"

BAD_ID: Final = "bad_id"
BAD_TIMES: Final = "bad_times"
SPAN_REASONS: Final = {
    BAD_ID: "trace and span ids need 16 and 8 bytes that are not all zero",
    BAD_TIMES: "start and end are needed, start not after end, both below 2^63 ns",
}

LAST_NS: Final = (1 << 63) - 1
LAST_KIND: Final = 5
LAST_STATUS: Final = 2


class MalformedError(ValueError):
    """A body that cannot be decoded."""


@dataclass(slots=True)
class Decoded:
    """Spans of one body, and how many were rejected for which reason."""

    columns: SpanColumns = field(default_factory=SpanColumns)
    rejected: Counter[str] = field(default_factory=Counter)


def span_fault(trace_id: bytes, span_id: bytes, parent_id: bytes, start_ns: int, end_ns: int) -> str | None:
    """Why a span with these values is rejected, or None (trace.proto of OTLP 1.x, message Span).

    A parent may be empty or all zero: then the span is a root.
    """
    if (
        len(trace_id) != ids.TRACE_BYTES
        or len(span_id) != ids.SPAN_BYTES
        or len(parent_id) not in (0, ids.SPAN_BYTES)
        or trace_id == ids.ZERO_TRACE
        or span_id == ids.ZERO_SPAN
    ):
        return BAD_ID
    if not 0 < start_ns <= end_ns <= LAST_NS:
        return BAD_TIMES
    return None


def double_text(value: float) -> str:
    """A double in decimal, special values as protobuf's JSON mapping spells them."""
    if value != value:  # noqa: PLR0124
        return "NaN"
    if value in (float("inf"), float("-inf")):
        return "Infinity" if value > 0 else "-Infinity"
    return repr(value)
