"""Which members of a log line are read, in which order, in which unit (docs/import-formats.md has the same tables).

Names are those of the flattened line: `{"dd": {"trace_id": 1}}` and `{"dd.trace_id": 1}` are the same.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final

from tracer_bullet.traces.formats.lenient import rfc3339_ns, scaled

TRACE_IDS: Final = (
    "trace_id", "traceId", "traceID", "traceid", "TraceId", "trace.id", "trace.trace_id", "otelTraceID",
    "otel.trace_id", "dd.trace_id", "logging.googleapis.com/trace", "trace",
)  # fmt: skip
SPAN_IDS: Final = (
    "span_id", "spanId", "spanID", "spanid", "SpanId", "span.id", "otelSpanID", "otel.span_id", "dd.span_id",
    "logging.googleapis.com/spanId", "id",
)  # fmt: skip
PARENT_IDS: Final = (
    "parent_id", "parentId", "parentID", "parent_span_id", "parentSpanId", "parentSpanID", "ParentSpanId",
    "parent.id", "span.parent_id", "dd.parent_id", "parent",
)  # fmt: skip
STARTS: Final = (
    "start_time",
    "startTime",
    "start_ts",
    "start_timestamp",
    "started_at",
    "start",
    "begin",
    "event.start",
)
ENDS: Final = (
    "end_time",
    "endTime",
    "end_ts",
    "end_timestamp",
    "ended_at",
    "finished_at",
    "end",
    "finish",
    "event.end",
)
MOMENTS: Final = ("timestamp", "@timestamp", "time", "ts", "datetime", "date", "asctime", "eventTime")
DURATIONS: Final = (
    "duration", "elapsed", "latency", "took", "response_time", "responseTime", "elapsed_time", "http.latency",
    "httpRequest.latency",
)  # fmt: skip
NAMES: Final = (
    "span_name", "spanName", "span.name", "operation", "operation_name", "operationName", "op", "name", "msg",
    "message", "event",
)  # fmt: skip
MESSAGES: Final = ("msg", "message", "event", "name")
SERVICES: Final = (
    "service.name", "service_name", "serviceName", "service", "otelServiceName", "otel.service_name", "dd.service",
    "resource.service.name", "app", "application",
)  # fmt: skip
KINDS: Final = ("span_kind", "spanKind", "span.kind", "kind")
SCOPES: Final = ("logger", "logger_name", "loggerName", "logger.name", "log.logger")
LEVELS: Final = ("level", "levelname", "log_level", "log.level", "severity", "severity_text", "lvl")
ERRORS: Final = ("error", "error.message", "err", "err.message", "exception", "exc_info", "exception.message")
BAD_LEVELS: Final = frozenset(
    {"error", "err", "critical", "crit", "fatal", "alert", "emergency", "emerg", "panic", "severe"}
)

# Suffixes that tell the unit: `duration_ms`, `elapsedMs`, `latency.us`, `start_ns`.
UNITS: Final = {
    "_ns": 1, "Ns": 1, ".ns": 1, "_nanos": 1, "Nanos": 1, "_us": 1_000, "Us": 1_000, ".us": 1_000,
    "_micros": 1_000, "Micros": 1_000, "_ms": 1_000_000, "Ms": 1_000_000, ".ms": 1_000_000, "_millis": 1_000_000,
    "Millis": 1_000_000, "_s": 1_000_000_000, "_sec": 1_000_000_000, "_secs": 1_000_000_000,
    "_seconds": 1_000_000_000, "Seconds": 1_000_000_000,
}  # fmt: skip
# Elastic Common Schema: `event.duration` is in nanoseconds.
_NANOSECONDS: Final = ("event.duration", "startTimeUnixNano", "endTimeUnixNano", "duration_nano", "durationNano")
_UNIT_NS: Final = {
    "ns": 1, "us": 1_000, "µs": 1_000, "μs": 1_000, "ms": 1_000_000, "s": 1_000_000_000, "sec": 1_000_000_000,
    "m": 60_000_000_000, "min": 60_000_000_000, "h": 3_600_000_000_000,
}  # fmt: skip
_PIECE = re.compile(r"(\d+(?:\.\d+)?)\s*([a-zµμ]+)")
_CLOCK = re.compile(r"(\d{1,5}):(\d\d):(\d\d)(\.\d{1,9})?")
# Unix times by their size, unambiguous between 1973 and 5138: below 10^11 they are seconds, below 10^14 milliseconds …
_SIZES: Final = ((10**11, 1_000_000_000), (10**14, 1_000_000), (10**17, 1_000))


def pick(line: Mapping[str, Any], names: tuple[str, ...]) -> str:
    """The first of `names` that has a value in the line that is no object, list or null; empty for none."""
    return next((n for n in names if isinstance(line.get(n), str | int | float) and line[n] != ""), "")


Units = dict[str, tuple[int, int | None]]
"""Members by name: (precedence, nanoseconds a unit, or None where the value must tell)."""


def with_units(names: tuple[str, ...]) -> Units:
    """Each name, and each with a unit's suffix."""
    found: Units = {}
    for name in names:
        found[name] = len(found), 1 if name in _NANOSECONDS else None
        for suffix, unit in UNITS.items():
            found[name + suffix] = len(found), unit
    return found


def _present(line: Mapping[str, Any], units: Units) -> list[tuple[int, int | None, str]]:
    """The members of a line that have one of the names, by precedence."""
    return sorted((*units[name], name) for name in line.keys() & units.keys())  # no two have one precedence


START_UNITS: Final = with_units(("startTimeUnixNano", *STARTS))
END_UNITS: Final = with_units(("endTimeUnixNano", *ENDS))
MOMENT_UNITS: Final = with_units(MOMENTS)
DURATION_UNITS: Final = with_units(("event.duration", "duration_nano", "durationNano", *DURATIONS))


def time_of(line: Mapping[str, Any], units: Units) -> tuple[str, int, bool] | None:
    """(member, Unix nanoseconds, whether the time had a zone) of the first of `units` that is a time."""
    for _, unit, name in _present(line, units):
        value = line[name]
        written = rfc3339_ns(value)
        if written is not None:
            return name, *written
        number = scaled(value, 1_000_000_000)
        if number is not None and number > 0:
            return name, number * unit // 1_000_000_000 if unit else _sized(number), True
    return None


def _sized(billionths: int) -> int:
    """Unix nanoseconds of a Unix time in a unit that its size tells; given in 10^-9 of that unit."""
    unit = next((unit for below, unit in _SIZES if billionths < below * 1_000_000_000), 1)
    return billionths * unit // 1_000_000_000


def duration_of(line: Mapping[str, Any]) -> tuple[str, int, bool] | None:
    """(member, nanoseconds, whether its unit is a guess) of the first member that is a duration."""
    for _, unit, name in _present(line, DURATION_UNITS):
        value = line[name]
        number = scaled(value, unit or 1_000_000)
        if number is not None and number >= 0:
            return name, number, unit is None
        written = _written(value) if isinstance(value, str) and len(value) < 64 else None
        if written is not None:
            return name, written, False
    return None


def _written(text: str) -> int | None:
    """Nanoseconds of `1.5s`, `1m3.2s`, `12 ms`, `0:00:01.5`."""
    clock = _CLOCK.fullmatch(text.strip())
    if clock:
        whole = int(clock[1]) * 3_600 + int(clock[2]) * 60 + int(clock[3])
        return whole * 1_000_000_000 + (scaled(Decimal("0" + clock[4]), 1_000_000_000) or 0 if clock[4] else 0)
    pieces = _PIECE.findall(text.strip())
    if not pieces or _PIECE.sub("", text).strip() or any(unit not in _UNIT_NS for _, unit in pieces):
        return None
    return sum(scaled(number, _UNIT_NS[unit]) or 0 for number, unit in pieces)
