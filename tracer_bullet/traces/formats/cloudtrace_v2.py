"""The parts of a Cloud Trace v2 span: attribute maps, time events, links, status (google/devtools/cloudtrace/v2).

What the sender has cut or dropped is in counts that it wrote: they go into the loss report.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from tracer_bullet.model import SpanEvent, SpanLink, SpanStatus
from tracer_bullet.model.losses import Losses
from tracer_bullet.traces.formats.convert import LINK_ATTRIBUTES
from tracer_bullet.traces.formats.lenient import items, part, rfc3339_ns, scaled, text_of, word

CUT: Final = "bytes that the sender cut off texts"
DROPPED: Final = "attributes, events and links that the sender dropped"
EVENT_TIME: Final = "events without a time"
_VALUES: Final = ("stringValue", "intValue", "boolValue")
_SIZES: Final = {
    "uncompressedSizeBytes": "rpc.message.uncompressed_size",
    "compressedSizeBytes": "rpc.message.compressed_size",
    "id": "rpc.message.id",
}
# MessageEvent.Type, which JSON has by name or by number.
_TYPES: Final = {"1": "SENT", "2": "RECEIVED"}
_NO_TYPE: Final = ("0", "TYPE_UNSPECIFIED")


def truncated(value: Any, losses: Losses) -> str:
    """The text of a TruncatableString."""
    _count(value, "truncatedByteCount", CUT, losses)
    return word(value, "value") if isinstance(value, dict) else text_of(value)


def texts_of(span: Mapping[str, Any], key: str, losses: Losses) -> dict[str, str]:
    """The values of an Attributes message as text."""
    attributes = part(span, key)
    _count(attributes, "droppedAttributesCount", DROPPED, losses)
    found: dict[str, str] = {}
    for name, value in part(attributes, "attributeMap").items():
        kind = next((k for k in _VALUES if isinstance(value, dict) and value.get(k) is not None), None)
        if kind is None:
            found[name] = ""
        else:
            found[name] = truncated(value[kind], losses) if kind == "stringValue" else text_of(value[kind])
    return found


def events(span: Mapping[str, Any], losses: Losses) -> Iterator[SpanEvent]:
    """Annotations by their description, and messages as OpenTelemetry's RPC conventions name them."""
    all_events = part(span, "timeEvents")
    for count in ("droppedAnnotationsCount", "droppedMessageEventsCount"):
        _count(all_events, count, DROPPED, losses)
    for event in items(all_events, "timeEvent"):
        time = rfc3339_ns(event.get("time")) if isinstance(event, dict) else None
        if time is None:
            losses.lose(EVENT_TIME, event)
            continue
        annotation, message = part(event, "annotation"), part(event, "messageEvent")
        attributes = texts_of(annotation, "attributes", losses)
        attributes |= {name: text for k, name in _SIZES.items() if (text := word(message, k))}
        kind = word(message, "type")
        if kind and kind not in _NO_TYPE:
            attributes["rpc.message.type"] = _TYPES.get(kind, kind)
        name = truncated(annotation.get("description"), losses) or ("rpc.message" if message else "")
        yield SpanEvent(time_ns=time[0], name=name, attributes=attributes)


def links(span: Mapping[str, Any], losses: Losses) -> Iterator[SpanLink]:
    """The links; their attributes and types are not kept."""
    all_links = part(span, "links")
    _count(all_links, "droppedLinksCount", DROPPED, losses)
    for link in items(all_links, "link"):
        attributes = part(part(link, "attributes"), "attributeMap")
        if attributes:
            losses.lose(LINK_ATTRIBUTES, count=len(attributes))
        yield SpanLink(trace_id=word(link, "traceId").lower(), span_id=word(link, "spanId").lower())


def status(span: Mapping[str, Any]) -> tuple[SpanStatus, str]:
    """A google.rpc.Status: none is unset, code 0 (which JSON leaves out) is ok, others are errors."""
    found = span.get("status")
    if not isinstance(found, dict):
        return SpanStatus.UNSET, ""
    code = scaled(found.get("code", 0), 1)
    return SpanStatus.OK if code == 0 else SpanStatus.ERROR, word(found, "message")


def _count(value: Any, key: str, reason: str, losses: Losses) -> None:
    count = scaled(value.get(key), 1) if isinstance(value, dict) else None
    if count is not None and count > 0:
        losses.lose(reason, count=count)
