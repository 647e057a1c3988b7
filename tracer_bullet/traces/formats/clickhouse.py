"""Rows of ClickHouse's `otel_traces` (the collector's clickhouseexporter) as JSON.

Formats: JSONEachRow, JSON (`{"meta", "data"}`) and JSONCompact (`data` of lists). Both generations of the table:
attributes as `Map`, or as `JSON` columns, which come back nested. Kinds and statuses are spelled
`SPAN_KIND_SERVER` and `STATUS_CODE_ERROR` before version 0.108 of the exporter, `Server` and `Error` since.
A row is a whole span: nothing is kept.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from tracer_bullet.model import Span, SpanEvent, SpanKind, SpanLink, SpanStatus
from tracer_bullet.model.losses import Losses
from tracer_bullet.traces.columns import SpanColumns
from tracer_bullet.traces.formats.base import Reader
from tracer_bullet.traces.formats.convert import (
    BAD_ATTRIBUTE,
    LINK_ATTRIBUTES,
    NO_ID,
    NO_SPAN,
    NO_TIME,
    ONE_TIME,
    Resources,
)
from tracer_bullet.traces.formats.lenient import (
    UnusableError,
    flat,
    is_id,
    items,
    put,
    rfc3339_ns,
    samples,
    scaled,
    text_of,
    word,
)
from tracer_bullet.traces.otlp import SERVICE_NAME, UNKNOWN_SERVICE

NO_ZONE: Final = "rows whose times have no zone: read as UTC"
NO_COLUMN: Final = "columns that otel_traces does not have"
UNEVEN: Final = "events and links whose columns are of unequal length"
NO_KIND: Final = "kinds and statuses of no known spelling"

_COLUMNS: Final = frozenset(
    {
        *("Timestamp", "TraceId", "SpanId", "ParentSpanId", "TraceState", "SpanName", "SpanKind", "ServiceName"),
        *("ResourceAttributes", "ScopeName", "ScopeVersion", "SpanAttributes", "Duration", "StatusCode"),
        *("StatusMessage", "Events.Timestamp", "Events.Name", "Events.Attributes", "Links.TraceId", "Links.SpanId"),
        *("Links.TraceState", "Links.Attributes", "Events", "Links"),
    }
)
_NEEDED: Final = ("TraceId", "SpanId", "SpanName")
_SECOND: Final = 1_000_000_000


class ClickHouse:
    """`SELECT * FROM otel_traces` in one of ClickHouse's JSON formats."""

    name = "ClickHouse otel_traces"

    def recognises(self, value: Any) -> bool:
        """See Format."""
        return any(map(_is_row, samples(value)))

    def reader(self, losses: Losses) -> Reader:
        """See Format."""
        return _Rows(losses)


def _is_row(value: dict[str, Any]) -> bool:
    names = [word(column, "name") for column in items(value, "meta")] if "meta" in value else list(value)
    return all(name in names for name in _NEEDED) and ("Timestamp" in names or "Duration" in names)


class _Rows:
    def __init__(self, losses: Losses) -> None:
        self._losses = losses
        self._resources = Resources()

    def feed(self, value: Any, to: SpanColumns) -> None:
        """See Reader."""
        for row in rows_of(value, self._losses):
            try:
                put(_span(row, self._losses), to, self._losses, self._resources)
            except UnusableError as error:
                self._losses.lose(error.reason, error.example)

    def finish(self, to: SpanColumns) -> None:
        """See Reader: nothing was kept."""


def rows_of(value: Any, losses: Losses) -> Iterator[dict[str, Any]]:
    """The rows in a value, each with its columns' names."""
    if isinstance(value, dict) and "meta" in value:
        names = [word(column, "name") for column in items(value, "meta")]
        for row in items(value, "data"):
            if isinstance(row, list) and len(row) == len(names):
                yield dict(zip(names, row, strict=True))
            elif isinstance(row, dict):
                yield row
            else:
                losses.lose(NO_SPAN, row)
        return
    for row in value if isinstance(value, list) else [value]:
        if isinstance(row, dict):
            yield row
        else:
            losses.lose(NO_SPAN, row)


def _span(row: Mapping[str, Any], losses: Losses) -> Span:
    trace_id, span_id, parent = (word(row, key) for key in ("TraceId", "SpanId", "ParentSpanId"))
    if not (is_id(trace_id, 32) and is_id(span_id, 16)):
        raise UnusableError(NO_ID, f"{trace_id}/{span_id}")
    others = [key for key in row if key not in _COLUMNS]
    if others:
        losses.lose(NO_COLUMN, others[0], len(others))
    resource = _texts(row.get("ResourceAttributes"), losses)
    service = word(row, "ServiceName") or resource.get(SERVICE_NAME) or UNKNOWN_SERVICE
    start, end = _times(row, losses)
    return Span(
        trace_id=trace_id,
        span_id=span_id,
        parent_id=parent or None,
        name=word(row, "SpanName"),
        kind=SpanKind[_spelled(row, "SpanKind", "SPAN_KIND_", SpanKind.__members__, losses) or "UNSPECIFIED"],
        service=service,
        start_ns=start,
        end_ns=end,
        status=SpanStatus[_spelled(row, "StatusCode", "STATUS_CODE_", SpanStatus.__members__, losses) or "UNSET"],
        status_message=word(row, "StatusMessage"),
        attributes=_texts(row.get("SpanAttributes"), losses),
        resource={**resource, SERVICE_NAME: service},
        scope_name=word(row, "ScopeName"),
        trace_state=word(row, "TraceState"),
        events=tuple(_events(row, losses)),
        links=tuple(_links(row, losses)),
    )


def _times(row: Mapping[str, Any], losses: Losses) -> tuple[int, int]:
    start = _time(row.get("Timestamp"), losses)
    length = scaled(row.get("Duration"), 1)
    if start is None:
        raise UnusableError(NO_TIME, row.get("Timestamp"))
    if length is None:
        losses.repair(ONE_TIME, row.get("Duration"))
    return start, start + (length or 0)


def _time(value: Any, losses: Losses) -> int | None:
    """DateTime64 in any of ClickHouse's `date_time_output_format`s: simple, iso, unix_timestamp."""
    written = rfc3339_ns(value)
    if written is None:
        return scaled(value, _SECOND)
    if not written[1]:
        losses.repair(NO_ZONE, value)
    return written[0]


def _spelled(
    row: Mapping[str, Any], key: str, prefix: str, names: Mapping[str, SpanKind | SpanStatus], losses: Losses
) -> str:
    """An enum's name without its prefix, in capitals; empty for none."""
    told = word(row, key).upper().removeprefix(prefix)
    if told and told not in names:
        losses.lose(NO_KIND, told)
        return ""
    return told


def _texts(value: Any, losses: Losses) -> dict[str, str]:
    """A Map, or a JSON column, whose dotted names ClickHouse has nested."""
    if isinstance(value, list):  # a Map where output_format_json_map_as_array_of_tuples is set
        value = {pair[0]: pair[1] for pair in value if isinstance(pair, list) and len(pair) == 2 and _is_text(pair[0])}
    found: dict[str, str] = {}
    for key, member in flat(value) if isinstance(value, dict) else ():
        try:
            found[key] = text_of(member)
        except UnusableError as error:
            losses.lose(BAD_ATTRIBUTE, error.reason)
    return found


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _nested(row: Mapping[str, Any], name: str, columns: tuple[str, ...], losses: Losses) -> Iterator[dict[str, Any]]:
    """The entries of a Nested column: one list a member, or (with `flatten_nested = 0`) one list of objects."""
    if isinstance(row.get(name), list):
        yield from (entry for entry in row[name] if isinstance(entry, dict))
        return
    lists = {column: items(row, f"{name}.{column}") for column in columns}
    present = {column: values for column, values in lists.items() if values}
    length = max(map(len, present.values()), default=0)
    if any(len(values) != length for values in present.values()):
        losses.lose(UNEVEN, name)
    for n in range(length):
        yield {column: values[n] for column, values in present.items() if n < len(values)}


def _events(row: Mapping[str, Any], losses: Losses) -> Iterator[SpanEvent]:
    for entry in _nested(row, "Events", ("Timestamp", "Name", "Attributes"), losses):
        attributes = _texts(entry.get("Attributes"), losses)
        time = _time(entry.get("Timestamp"), Losses())  # the row's own time has been counted
        yield SpanEvent(time_ns=time or 0, name=word(entry, "Name"), attributes=attributes)


def _links(row: Mapping[str, Any], losses: Losses) -> Iterator[SpanLink]:
    for entry in _nested(row, "Links", ("TraceId", "SpanId", "TraceState", "Attributes"), losses):
        attributes = _texts(entry.get("Attributes"), losses)
        if attributes:
            losses.lose(LINK_ATTRIBUTES, count=len(attributes))
        yield SpanLink(trace_id=word(entry, "TraceId"), span_id=word(entry, "SpanId"))
