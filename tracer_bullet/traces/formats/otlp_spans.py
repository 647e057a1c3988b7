"""Spans of OTLP JSON to columns, leniently: what can be understood is, and a bad span is lost alone.

The receiver refuses a malformed body (`traces/otlp_json.py`), because its sender can be told; a file cannot. This
reads what the specification says (OTLP 1.x, "JSON Protobuf Encoding"), and besides it enum names, ids in base64, and
the `instrumentationLibrarySpans` of before 2022.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from tracer_bullet.model.losses import Losses
from tracer_bullet.traces import ids
from tracer_bullet.traces.columns import SpanColumns
from tracer_bullet.traces.formats import convert as c
from tracer_bullet.traces.otlp import LAST_KIND, LAST_NS, LAST_STATUS, SERVICE_NAME, UNKNOWN_SERVICE

KINDS: Final = {
    f"SPAN_KIND_{name}": number
    for number, name in enumerate(("UNSPECIFIED", "INTERNAL", "SERVER", "CLIENT", "PRODUCER", "CONSUMER"))
}
STATUSES: Final = {"STATUS_CODE_UNSET": 0, "STATUS_CODE_OK": 1, "STATUS_CODE_ERROR": 2}
NAMED: Final = "kinds and status codes by name instead of number"
UNKNOWN_ENUM: Final = "kinds and status codes that are unknown: taken as unspecified"
BAD_RESOURCE: Final = "resources and scopes that are no objects, with their spans"
DROPPED: Final = "{} that the sender had dropped"

_SCOPES: Final = (("scopeSpans", "scope"), ("instrumentationLibrarySpans", "instrumentationLibrary"))
_DROPPED: Final = tuple(
    (f"dropped{name.title()}Count", DROPPED.format(name)) for name in ("attributes", "events", "links")
)
UNTYPED: Final = "attribute values without a type"
_ONLY_TEXT: Final = {str}
_DEPTH: Final = 100
_OTHER_SIGNALS: Final = {
    "resourceMetrics": "documents of other signals: metrics",
    "resourceLogs": "documents of other signals: logs",
    "resourceProfiles": "documents of other signals: profiles",
}


def has_signals(value: object) -> bool:
    """Whether a value is a document of OTLP, of whatever signal."""
    if not isinstance(value, dict):
        return False
    return isinstance(value.get("resourceSpans"), list) or any(isinstance(value.get(k), list) for k in _OTHER_SIGNALS)


class SpansReader:
    """Adds the spans of `resourceSpans` arrays."""

    def __init__(self, losses: Losses) -> None:
        self._losses = losses
        self._resources = c.Resources()

    def add_document(self, value: Mapping[str, Any], to: SpanColumns) -> None:
        """Add the spans of a document, and count those of other signals."""
        known = False
        for key, reason in _OTHER_SIGNALS.items():
            if key in value:
                self._losses.lose(reason)
                known = True
        if "resourceSpans" in value:
            self.add(value["resourceSpans"], to)
        elif not known:
            self._losses.lose(c.NO_MEANING, c.shown(value))

    def add(self, parts: object, to: SpanColumns) -> None:
        """Add the spans of an array of `ResourceSpans`."""
        losses = self._losses
        for part in c.dicts(parts, losses, BAD_RESOURCE):
            resource = attributes(c.as_dict(part.get("resource")).get("attributes"), losses)
            service = resource.get(SERVICE_NAME) or UNKNOWN_SERVICE
            for spans_key, scope_key in _SCOPES:
                if spans_key not in part:
                    continue
                for scope in c.dicts(part[spans_key], losses, BAD_RESOURCE):
                    name = c.as_text(c.as_dict(scope.get(scope_key)).get("name"))
                    spans = c.dicts(scope.get("spans"), losses, c.NO_SPAN)
                    if spans:
                        self._add_spans(spans, (service, name, self._resources.index(resource, to)), to)

    def _add_spans(self, spans: list[dict[str, Any]], common: tuple[str, str, int], to: SpanColumns) -> None:
        losses = self._losses
        service, scope, resource = common
        for span in spans:
            get = span.get
            trace_id, span_id = c.trace_id(get("traceId"), losses), c.span_id(get("spanId"), losses)
            if not (trace_id and span_id):
                losses.lose(c.NO_ID, c.shown(span))
                continue
            parent = get("parentSpanId")
            span_times = c.times(c.whole(get("startTimeUnixNano")), c.whole(get("endTimeUnixNano")), losses)
            if span_times is None:
                losses.lose(c.NO_TIME, c.shown(span))
                continue
            status = get("status")
            code, message = 0, ""
            if status and type(status) is dict:
                code = _enum(status.get("code"), STATUSES, LAST_STATUS, losses)
                message = c.as_text(status.get("message"))
            events, links = get("events"), get("links")
            for key, reason in _DROPPED:
                if key in span and (count := c.whole(span[key]) or 0) > 0:
                    losses.lose(reason, count=min(count, LAST_NS))
            c.append(
                to,
                (trace_id, span_id, c.parent_id(parent, losses) if parent else ids.ZERO_SPAN),
                span_times,
                name=c.as_text(get("name")),
                kind=_enum(get("kind"), KINDS, LAST_KIND, losses),
                service=service,
                status=code,
                message=message,
                attributes=attributes(get("attributes"), losses),
                resource=resource,
                scope=scope,
                trace_state=c.as_text(get("traceState")),
                events=list(_events(events, losses)) if events else (),
                links=list(_links(links, losses)) if links else (),
            )


def attributes(value: object, losses: Losses) -> dict[str, str]:
    """An array of `KeyValue` as text; the last one of a key counts."""
    found: dict[str, str] = {}
    if not value:
        return found
    try:
        # Most of the time of decoding goes here: what is as it should be is checked in bulk.
        for pair in value:  # type: ignore[attr-defined]
            typed = pair["value"]
            found[pair["key"]] = typed["stringValue"] if "stringValue" in typed else _text(typed, losses)
    except (TypeError, KeyError):
        return _odd_attributes(value, losses)
    if set(map(type, found)) != _ONLY_TEXT or set(map(type, found.values())) != _ONLY_TEXT:
        return _odd_attributes(value, losses)
    return found


def _odd_attributes(value: object, losses: Losses) -> dict[str, str]:
    found: dict[str, str] = {}
    for pair in c.dicts(value, losses, c.BAD_ATTRIBUTE):
        key, typed = pair.get("key"), pair.get("value")
        if type(key) is not str:
            losses.lose(c.BAD_ATTRIBUTE, c.shown(pair))
        elif type(typed) is dict:
            text = typed.get("stringValue")
            found[key] = text if type(text) is str else _text(typed, losses)
        else:
            found[key] = c.text_of(typed, losses)
            if typed is not None:
                losses.repair(UNTYPED, c.shown(pair))
    return found


def _events(values: object, losses: Losses) -> Iterator[c.Event]:
    for event in c.dicts(values, losses, "events that are no objects"):
        time_ns = c.moment(c.whole(event.get("timeUnixNano")))
        yield time_ns, c.as_text(event.get("name")), attributes(event.get("attributes"), losses)


def _links(values: object, losses: Losses) -> Iterator[c.Link]:
    for link in c.dicts(values, losses, c.BAD_LINK):
        trace_id, span_id = c.trace_id(link.get("traceId"), losses), c.span_id(link.get("spanId"), losses)
        if not (trace_id and span_id):
            losses.lose(c.BAD_LINK, c.shown(link))
            continue
        if link.get("attributes"):
            losses.lose(c.LINK_ATTRIBUTES)
        yield trace_id, span_id


def _enum(value: object, names: Mapping[str, int], last: int, losses: Losses) -> int:
    if type(value) is int and 0 <= value <= last:
        return value
    if value is None:
        return 0
    if type(value) is str and value in names:
        losses.repair(NAMED, value)
        return names[value]
    number = c.whole(value)
    if number is not None and 0 <= number <= last:
        return number
    losses.repair(UNKNOWN_ENUM, value)
    return 0


def _text(value: Mapping[str, Any], losses: Losses) -> str:
    """Text of an AnyValue, as model/span.py defines it."""
    if not value:
        return ""
    try:
        plain = _plain(value, 0)
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError):
        losses.lose(c.BAD_ATTRIBUTE, c.shown(value))
        return ""
    return c.text_of(plain, losses)


def _plain(value: Any, depth: int) -> Any:
    """The JSON value of an AnyValue; NaN and the infinities are text. Raises when it is none."""
    if depth > _DEPTH:
        raise ValueError("nested too deep")
    for key, found in value.items():
        if found is not None and key in _READERS:
            return _READERS[key](found, depth)
    return None


def _integer(found: Any, _: int) -> int:
    number = c.whole(found)
    if number is None:
        raise ValueError("no integer")
    return number


def _double(found: Any, _: int) -> float | str:
    text = c.text_of(float(found), Losses())
    return float(found) if text[-1].isdigit() else text


def _array(found: Any, depth: int) -> list[Any]:
    return [_plain(v, depth + 1) for v in found.get("values") or ()]


def _pairs(found: Any, depth: int) -> dict[str, Any]:
    return {str(p.get("key", "")): _plain(p.get("value") or {}, depth + 1) for p in found.get("values") or ()}


def _as_is(kind: type) -> Callable[[Any, int], Any]:
    def read(found: Any, _: int) -> Any:
        if not isinstance(found, kind):
            raise TypeError(f"no {kind.__name__}")
        return found

    return read


def _bytes(found: Any, _: int) -> str:
    """Base64 as it is; a list of numbers, as some JavaScript senders write it, in base64."""
    return b64encode(bytes(found)).decode() if isinstance(found, list) else str(found)


_READERS: Final[dict[str, Callable[[Any, int], Any]]] = {
    "stringValue": _as_is(str),
    "intValue": _integer,
    "boolValue": _as_is(bool),
    "doubleValue": _double,
    "arrayValue": _array,
    "kvlistValue": _pairs,
    "bytesValue": _bytes,
}
