"""Jaeger's JSON: the UI's export, the query API's answers, a bare array of traces, a single trace.

Source: `model/json/model.go` of Jaeger, and for what tags mean the collector's translator from Jaeger to OTLP. Times
are microseconds, ids hex without leading zeros.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from tracer_bullet.model.losses import Losses
from tracer_bullet.traces import ids
from tracer_bullet.traces.columns import SpanColumns
from tracer_bullet.traces.formats import convert as c
from tracer_bullet.traces.otlp import LAST_NS, SERVICE_NAME, UNKNOWN_SERVICE

NO_PROCESS: Final = "spans whose process is missing: service unknown"
WARNINGS: Final = "warnings that Jaeger wrote on spans"
ANSWER_ERRORS: Final = "errors in Jaeger's answer: it may not be whole"
OTHER_TRACE: Final = "spans under another trace's id: their own is taken"
FOLLOWS: Final = "spans that only follow from another: taken as its children, with a link to it"

_KINDS: Final = {"internal": 1, "server": 2, "client": 3, "producer": 4, "consumer": 5}
_STATUSES: Final = {"OK": 1, "ERROR": 2}
# Tags that the table has columns for, and versions of scopes, which it does not keep.
_OWN_COLUMN: Final = (
    "span.kind",
    "otel.status_code",
    "otel.status_description",
    "otel.scope.name",
    "otel.scope.version",
    "otel.library.name",
    "otel.library.version",
    "w3c.tracestate",
)
_BAD_TAG: Final = "tags without a key"
_NS_PER_US: Final = 1_000
_ONLY_TEXT: Final = {str}

_Process = tuple[str, int]
_Texts = dict[str, str]


class Jaeger:
    """Jaeger's own JSON; `formats/otlp.py` has what its `/api/v3` answers."""

    name = "Jaeger"

    def recognises(self, value: Any) -> bool:
        """See Format."""
        if isinstance(value, dict) and "data" in value:
            data = value["data"]
            if isinstance(data, dict):
                return _is_trace(data)
            is_answer = not data and "total" in value and "errors" in value
            return is_answer or (isinstance(data, list) and any(map(_is_trace, data[:3])))
        return any(map(_is_trace, value[:3])) if isinstance(value, list) else _is_trace(value)

    def reader(self, losses: Losses) -> _Reader:
        """See Format."""
        return _Reader(losses)


def _is_trace(value: object) -> bool:
    """A trace, or a span on its own."""
    if not isinstance(value, dict) or "traceID" not in value:
        return False
    return isinstance(value.get("spans"), list) or ("spanID" in value and "operationName" in value)


class _Reader:
    def __init__(self, losses: Losses) -> None:
        self._losses = losses
        self._resources = c.Resources()

    def feed(self, value: Any, to: SpanColumns) -> None:
        """See Reader."""
        if isinstance(value, dict) and "data" in value:
            if value.get("errors"):
                self._losses.lose(ANSWER_ERRORS, c.shown(value["errors"]))
            value = value["data"] if value["data"] is not None else []
        for trace in c.dicts(value if isinstance(value, list) else [value], self._losses, c.NO_MEANING):
            if "spans" in trace:
                self._add_trace(trace, to)
            elif _is_trace(trace):
                self._add_trace({"spans": [trace]}, to)
            else:
                self._losses.lose(c.NO_MEANING, c.shown(trace))

    def finish(self, to: SpanColumns) -> None:
        """See Reader."""

    def _add_trace(self, trace: Mapping[str, Any], to: SpanColumns) -> None:
        losses = self._losses
        common = trace.get("traceID")
        if trace.get("warnings"):
            losses.lose(WARNINGS, c.shown(trace["warnings"]))
        processes: dict[str, _Process] = {}
        given = c.as_dict(trace.get("processes"))
        for span in c.dicts(trace.get("spans"), losses, c.NO_SPAN):
            key = span.get("processID")
            process = processes.get(key) if type(key) is str else None
            if process is None:
                process = self._process(span.get("process") or (given.get(key) if type(key) is str else None), to)
                if type(key) is str and "process" not in span:
                    processes[key] = process
            if not process[0]:
                losses.repair(NO_PROCESS, key)
            self._add_span(span, common, process, to)

    def _process(self, process: object, to: SpanColumns) -> _Process:
        """The name (empty for none) and the resource's index of a process."""
        if type(process) is not dict:
            return "", self._resources.index({}, to)
        tags = self._tags(process.get("tags"))
        service = c.as_text(process.get("serviceName")) or tags.get(SERVICE_NAME, "")
        if service:
            tags[SERVICE_NAME] = service
        return service, self._resources.index(tags, to)

    def _add_span(self, span: dict[str, Any], common: object, process: _Process, to: SpanColumns) -> None:
        losses, get = self._losses, span.get
        own = get("traceID", common)
        trace_id, span_id = c.trace_id(own, losses), c.span_id(get("spanID"), losses)
        if not (trace_id and span_id):
            losses.lose(c.NO_ID, c.shown(span))
            return
        if common is not None and own != common and c.trace_id(common, losses) != trace_id:
            losses.repair(OTHER_TRACE, own)
        start, duration = c.whole(get("startTime")), c.whole(get("duration"))
        end = None if start is None or duration is None else (start + duration) * _NS_PER_US
        span_times = c.times(None if start is None else start * _NS_PER_US, end, losses)
        if span_times is None:
            losses.lose(c.NO_TIME, c.shown(span))
            return
        if get("warnings"):
            losses.lose(WARNINGS, c.shown(get("warnings")))
        parent, links = self._references(span, trace_id)
        tags = self._tags(get("tags"))
        code, message = _status(tags)
        own_columns = {key: tags.pop(key) for key in _OWN_COLUMN if key in tags}
        logs = get("logs")
        c.append(
            to,
            (trace_id, span_id, parent),
            span_times,
            name=c.as_text(get("operationName")),
            kind=_KINDS.get(own_columns.get("span.kind", "").lower(), 0),
            service=process[0] or UNKNOWN_SERVICE,
            status=code,
            message=message,
            attributes=tags,
            resource=process[1],
            scope=own_columns.get("otel.scope.name") or own_columns.get("otel.library.name", ""),
            trace_state=own_columns.get("w3c.tracestate", ""),
            events=self._events(logs) if logs else (),
            links=links,
        )

    def _references(self, span: Mapping[str, Any], trace_id: bytes) -> tuple[bytes, list[c.Link]]:
        """The parent, and the links: a parent is of the same trace, CHILD_OF before FOLLOWS_FROM, as in Jaeger."""
        losses = self._losses
        given = span.get("references")
        if not given:
            legacy = span.get("parentSpanID")
            return (c.parent_id(legacy, losses) if legacy else ids.ZERO_SPAN), []
        found: list[tuple[str, bytes, bytes]] = []
        for reference in c.dicts(given, losses, c.BAD_LINK):
            to_trace = c.trace_id(reference.get("traceID"), losses)
            to_span = c.span_id(reference.get("spanID"), losses)
            if to_trace and to_span:
                found.append((c.as_text(reference.get("refType")), to_trace, to_span))
            elif not _is_zero(reference.get("spanID")):
                losses.lose(c.BAD_LINK, c.shown(reference))
        here = [r for r in found if r[1] == trace_id]
        child_of = [r for r in here if r[0] != "FOLLOWS_FROM"]
        candidates = child_of or here
        if not candidates:
            return ids.ZERO_SPAN, [r[1:] for r in found]
        parent = candidates[0]
        if not child_of:
            # The link stays besides: it says that nobody waits for this span.
            losses.repair(FOLLOWS, c.as_text(span.get("operationName")))
        return parent[2], [r[1:] for r in found if r is not parent or not child_of]

    def _tags(self, values: object) -> _Texts:
        if not values:
            return {}
        try:
            # Half of the time of decoding goes here: what is as it should be is read and checked in bulk.
            found: _Texts = {tag["key"]: tag["value"] for tag in values}  # type: ignore[attr-defined]
        except (TypeError, KeyError):
            return self._odd_tags(values)
        if set(map(type, found)) != _ONLY_TEXT:
            return self._odd_tags(values)
        if set(map(type, found.values())) != _ONLY_TEXT:
            for tag in values:  # type: ignore[attr-defined]
                value = tag["value"]
                if type(value) is not str:
                    found[tag["key"]] = _typed(value, tag.get("type"), self._losses)
        return found

    def _odd_tags(self, values: object) -> _Texts:
        found: _Texts = {}
        for tag in c.dicts(values, self._losses, _BAD_TAG):
            key, value = tag.get("key"), tag.get("value")
            if type(key) is not str:
                self._losses.lose(_BAD_TAG, c.shown(tag))
            else:
                found[key] = value if type(value) is str else _typed(value, tag.get("type"), self._losses)
        return found

    def _events(self, logs: object) -> Iterable[c.Event]:
        for log in c.dicts(logs, self._losses, "logs that are no objects"):
            fields = self._tags(log.get("fields"))
            name = fields.pop("event", "") or fields.pop("message", "")
            timestamp = c.whole(log.get("timestamp"))
            yield c.moment(None if timestamp is None else timestamp * _NS_PER_US), name, fields


def _typed(value: object, kind: object, losses: Losses) -> str:
    """A tag's value as text; JSON writes a float64 without fraction as an integer, which is told by its type."""
    if kind == "float64" and type(value) is int and abs(value) < LAST_NS:
        value = float(value)
    return c.text_of(value, losses)


def _status(tags: _Texts) -> tuple[int, str]:
    """Status code and message. `error` may be a boolean, its text, or the error itself."""
    code = _STATUSES.get(tags.get("otel.status_code", ""), 0)
    error = tags.get("error")
    if error is not None:
        lower = error.lower()
        if lower in ("true", "false", ""):
            del tags["error"]
        if lower not in ("false", ""):
            code = 2
    return code, tags.get("otel.status_description", "")


def _is_zero(value: object) -> bool:
    return isinstance(value, str) and not value.strip("0")
