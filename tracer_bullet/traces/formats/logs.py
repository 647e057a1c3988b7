"""Structured JSON logs whose lines carry a trace's id: spans where a line tells a time span, events elsewhere.

There is no standard for such lines; which members are read is in logs_fields.py and docs/import-formats.md. Lines
are kept by trace until the end of the input, since an event's span is most often written after it.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, Final

from tracer_bullet.model import Span, SpanEvent, SpanKind, SpanStatus
from tracer_bullet.model.losses import Losses
from tracer_bullet.traces.formats import logs_fields as fields
from tracer_bullet.traces.formats.base import Reader
from tracer_bullet.traces.formats.convert import BAD_ATTRIBUTE, NO_SPAN, NO_TIME, ONE_TIME, PADDED
from tracer_bullet.traces.formats.lenient import ByTrace, Records, UnusableError, flat, is_id, samples, text_of, word
from tracer_bullet.traces.otlp import SERVICE_NAME, UNKNOWN_SERVICE

NO_TRACE: Final = "lines without a trace id"
NO_SPAN_ID: Final = "lines with a trace id that name no span"
NO_SUCH_SPAN: Final = "lines of spans that are not in the logs"
COPIES: Final = "copies of a span's line: kept once"
PART_OF_SPAN: Final = "lines with a duration in a span that another line tells: taken as its events"
WRITTEN_AT_END: Final = "starts computed: time of writing minus duration"
STILL_OPEN: Final = "ends taken from the time of writing"
NO_ZONE: Final = "times without a zone: read as UTC"
NO_UNIT: Final = "durations without a unit: read as milliseconds"
HASHED: Final = "ids that are not hexadecimal: hashed"
FROM_LOGGER: Final = "spans that name no service: given their logger's name"
FROM_LEVEL: Final = "statuses taken from the level or an error member"

_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_XRAY = re.compile(r"1-([0-9a-f]{8})-([0-9a-f]{24})")
_DATADOG: Final = "dd."


class JsonLogs:
    """Log lines with a trace id, and of spans an id of their own with a start and an end or a duration."""

    name = "JSON logs"

    def recognises(self, value: Any) -> bool:
        """See Format. Asked last, as other formats' spans look like such lines too."""
        return any(map(_is_line, samples(value)))

    def reader(self, losses: Losses) -> Reader:
        """See Format."""
        return ByTrace(losses, _records, _spans)


def _is_line(value: dict[str, Any]) -> bool:
    line = dict(flat(value))
    return bool(fields.pick(line, fields.TRACE_IDS)) and any(
        fields.pick(line, names) for names in (fields.SPAN_IDS, fields.PARENT_IDS)
    )


def _records(value: Any, losses: Losses) -> Records:
    for line in value if isinstance(value, list) else [value]:
        if not isinstance(line, dict):
            losses.lose(NO_SPAN, line)
            continue
        found = dict(flat(line))
        name = fields.pick(found, fields.TRACE_IDS)
        trace_id = _id(found, name, 32, losses)
        if trace_id:
            yield trace_id.encode(), {"trace": trace_id, "line": found}
        else:
            losses.lose(NO_TRACE, next(iter(found.values()), ""))


def _spans(records: list[Any], losses: Losses) -> Iterator[Span]:
    spans: list[Span] = []
    events: dict[str, list[SpanEvent]] = {}
    for record in records:
        try:
            found = _read(record["trace"], record["line"], losses)
        except UnusableError as error:
            losses.lose(error.reason, error.example)
            continue
        if isinstance(found, Span):
            spans.append(found)
        else:
            events.setdefault(found[0], []).append(found[1])
    whole = _longest(spans)
    for span_id in sorted(events.keys() - whole.keys()):
        losses.lose(NO_SUCH_SPAN, span_id, len(events[span_id]))
    for span in spans:
        if span is whole[span.span_id]:
            continue
        if span == whole[span.span_id]:  # with its events each copy would be as large as all of them
            losses.repair(COPIES, span.name)
        else:
            losses.repair(PART_OF_SPAN, span.name)
            events.setdefault(span.span_id, []).append(_as_event(span))
    for span in whole.values():
        # Records come in a stable order, so that equal times stay in it.
        own = sorted(events.get(span.span_id, []), key=lambda e: (e.time_ns, e.name))
        yield replace(span, events=tuple(own)) if own else span


def _longest(spans: list[Span]) -> dict[str, Span]:
    """The span of each id: of several lines that tell a time the one with a parent, then the longest."""
    whole: dict[str, Span] = {}
    for span in spans:
        known = whole.get(span.span_id)
        if known is None or _rank(span) > _rank(known):
            whole[span.span_id] = span
    return whole


def _rank(span: Span) -> tuple[bool, int, int, str]:
    return span.parent_id is not None, span.end_ns - span.start_ns, -span.start_ns, repr(span)


def _as_event(span: Span) -> SpanEvent:
    """A line that measured something inside its span."""
    duration = {"duration_ns": str(span.end_ns - span.start_ns)}
    return SpanEvent(time_ns=span.end_ns, name=span.name, attributes={**span.attributes, **duration})


def _read(trace_id: str, line: Mapping[str, Any], losses: Losses) -> Span | tuple[str, SpanEvent]:
    """The span of a line, or the event of the span that it names."""
    names = {kind: fields.pick(line, getattr(fields, kind)) for kind in ("SPAN_IDS", "PARENT_IDS")}
    own, parent = (_id(line, name, 16, losses) for name in names.values())
    used = {fields.pick(line, fields.TRACE_IDS), *names.values()}
    start, end = (fields.time_of(line, units) for units in (fields.START_UNITS, fields.END_UNITS))
    moment, duration = fields.time_of(line, fields.MOMENT_UNITS), fields.duration_of(line)
    if own and (duration or end or start):
        return _span(trace_id, (own, parent), line, (start, end, moment, duration), used, losses)
    if not (own or parent):
        raise UnusableError(NO_SPAN_ID, word(line, fields.pick(line, fields.MESSAGES)))
    if moment is None:
        raise UnusableError(NO_TIME, word(line, fields.pick(line, fields.MESSAGES)))
    _zone(moment, losses)
    message = fields.pick(line, fields.MESSAGES)
    used |= {moment[0], message}
    event = SpanEvent(time_ns=moment[1], name=word(line, message), attributes=_attributes(line, used, losses))
    return own or parent, event


_Time = tuple[str, int, bool] | None


def _span(
    trace_id: str,
    ids: tuple[str, str],
    line: Mapping[str, Any],
    times: tuple[_Time, _Time, _Time, _Time],
    used: set[str],
    losses: Losses,
) -> Span:
    start_ns, end_ns = _times(times, line, losses)
    # Python's logging has the logger under `name`, and `levelname` beside it.
    python = "levelname" in line
    name = fields.pick(line, (*fields.NAMES[:-4], *fields.MESSAGES) if python else fields.NAMES)
    scope = fields.pick(line, (*fields.SCOPES, "name") if python else fields.SCOPES)
    service, kind = fields.pick(line, fields.SERVICES), fields.pick(line, fields.KINDS)
    # The level stays an attribute: it says more than the status that is made of it.
    used = used | {t[0] for t in times if t is not None} | {name, service, scope, kind}
    status, message = _status(line, losses)
    told = word(line, service) or word(line, scope) or UNKNOWN_SERVICE
    if scope and not service:
        losses.repair(FROM_LOGGER, told)
    return Span(
        trace_id=trace_id,
        span_id=ids[0],
        parent_id=ids[1] or None,
        name=word(line, name),
        kind=SpanKind.__members__.get(word(line, kind).upper().removeprefix("SPAN_KIND_"), SpanKind.UNSPECIFIED),
        service=told,
        start_ns=start_ns,
        end_ns=end_ns,
        status=status,
        status_message=message,
        attributes=_attributes(line, used, losses),
        resource={SERVICE_NAME: told},
        scope_name=word(line, scope),
    )


def _times(times: tuple[_Time, _Time, _Time, _Time], line: Mapping[str, Any], losses: Losses) -> tuple[int, int]:
    """Start and end: of start, end, and duration any two are enough; the time of writing stands for the end."""
    start, end, moment, duration = times
    for time in (start, end, moment):
        _zone(time, losses)
    if duration is not None and duration[2] and (start is None or end is None):
        losses.repair(NO_UNIT, f"{duration[0]}={line[duration[0]]}")
    if start is not None and end is not None:
        return start[1], end[1]
    if start is not None and duration is not None:
        return start[1], start[1] + duration[1]
    if end is not None and duration is not None:
        return end[1] - duration[1], end[1]
    if moment is not None and duration is not None:
        losses.repair(WRITTEN_AT_END, f"{moment[0]} {duration[0]}")
        return moment[1] - duration[1], moment[1]
    if start is not None and moment is not None:
        losses.repair(STILL_OPEN, f"{start[0]} {moment[0]}")
        return start[1], moment[1]
    only = start or end
    if only is None:
        raise UnusableError(NO_TIME, line.get(fields.pick(line, fields.NAMES)))
    losses.repair(ONE_TIME, only[0])
    return only[1], only[1]


def _zone(time: _Time, losses: Losses) -> None:
    if time is not None and not time[2]:
        losses.repair(NO_ZONE, time[0])


def _status(line: Mapping[str, Any], losses: Losses) -> tuple[SpanStatus, str]:
    """ERROR by a level of error or worse, or by a member that tells one."""
    level = word(line, fields.pick(line, fields.LEVELS)).lower()
    name = fields.pick(line, fields.ERRORS)
    told = word(line, name)
    if level not in fields.BAD_LEVELS and told.lower() in ("", "false", "0"):
        return SpanStatus.UNSET, ""
    losses.repair(FROM_LEVEL, f"{name}={told}" if told else level)
    return SpanStatus.ERROR, "" if told.lower() in ("", "true", "false", "0", "1") else told


def _attributes(line: Mapping[str, Any], used: set[str], losses: Losses) -> dict[str, str]:
    found: dict[str, str] = {}
    for key, value in line.items():
        if key not in used and value is not None:
            try:
                found[key] = text_of(value)
            except UnusableError as error:
                losses.lose(BAD_ATTRIBUTE, error.reason)
    return found


def _id(line: Mapping[str, Any], name: str, digits: int, losses: Losses) -> str:
    """An id in hex; empty where there is none. What is no hex number is hashed, so that the tree stays whole."""
    value = line.get(name)
    text = word(line, name).strip().lower().removeprefix("0x").removeprefix("urn:uuid:")
    text = text.rsplit("/", 1)[-1] if name == "logging.googleapis.com/trace" else text
    if not text.strip("0-"):
        return ""
    # Datadog writes decimal numbers, and 128-bit trace ids in hex; JSON numbers are decimal by nature.
    decimal = isinstance(value, int) or name.startswith(_DATADOG)
    if decimal and text.isascii() and text.isdecimal() and len(text) <= 20 and int(text) < 1 << 4 * digits:
        return f"{int(text):0{digits}x}"
    xray = _XRAY.fullmatch(text)
    text = xray[1] + xray[2] if xray else text.replace("-", "") if _UUID.fullmatch(text) else text
    if is_id(text, digits):
        if len(text) < digits:
            losses.repair(PADDED, text)
        return text.rjust(digits, "0")
    losses.repair(HASHED, text)
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:digits]
