"""Zipkin v2 and v1 as JSON: spans, arrays of spans, arrays of traces, lines (zipkin2-api.yaml, zipkin-api.yaml).

Everything is kept by trace until the end of the input, since a span may come in pieces, two sides may share an id
(B3), and both lengths of a trace id may occur in one trace.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from tracer_bullet.model import Span
from tracer_bullet.model.losses import Losses
from tracer_bullet.traces.formats.base import Reader
from tracer_bullet.traces.formats.convert import BAD_PARENT, NO_ID, NO_SPAN, PADDED
from tracer_bullet.traces.formats.lenient import ByTrace, Records, is_id, items, samples, scaled, text_of
from tracer_bullet.traces.formats.zipkin_v1 import from_v1, is_v1
from tracer_bullet.traces.otlp import LAST_NS
from tracer_bullet.traces.zipkin_spans import merge, read, spans_of

_KINDS: Final = ("CLIENT", "SERVER", "PRODUCER", "CONSUMER")
_LAST_US: Final = LAST_NS // 1_000
_SIGNS: Final = (
    "localEndpoint", "remoteEndpoint", "annotations", "binaryAnnotations", "duration", "timestamp", "tags", "shared",
    "debug", "name", "parentId", "kind",
)  # fmt: skip


class Zipkin:
    """Zipkin's spans, v1 and v2, also mixed."""

    name = "Zipkin"

    def recognises(self, value: Any) -> bool:
        """See Format."""
        return any(map(_is_span, samples(value)))

    def reader(self, losses: Losses) -> Reader:
        """See Format."""
        return ByTrace(losses, _records, _spans)


def _is_span(value: dict[str, Any]) -> bool:
    return (
        isinstance(value.get("traceId"), str)
        and isinstance(value.get("id"), str)
        and "spans" not in value
        and "spanId" not in value
        and any(sign in value for sign in _SIGNS)
    )


def _records(value: Any, losses: Losses) -> Records:
    stack = [value]
    while stack:
        found = stack.pop()
        if isinstance(found, list):
            stack += reversed(found)
        elif isinstance(found, dict):
            for span in from_v1(found, losses) if is_v1(found) else [found]:
                tidy = _tidy(span, losses)
                if tidy is not None:
                    # Both lengths of one id have the lower half in common; Zipkin groups by it too.
                    yield tidy["traceId"][-16:].rjust(16, "0").encode(), tidy
        else:
            losses.lose(NO_SPAN, found)


def _spans(records: list[Any], losses: Losses) -> Iterator[Span]:
    traces: dict[str, list[Any]] = {}
    for record in records:
        traces.setdefault(record["traceId"], []).append(record)
    whole = sorted(t for t in traces if t[:16].strip("0"))
    short = next((t for t in traces if not t[:16].strip("0")), None)
    if short is not None and len(whole) == 1:
        losses.repair("64-bit trace ids joined to the 128-bit id with the same lower half", short, len(traces[short]))
        traces[whole[0]] += traces.pop(short)
    for trace_id in sorted(traces):
        pieces = [read(record) for record in traces[trace_id]]
        halves = merge(pieces)
        counts = {
            "pieces of one span merged": len(pieces) - len(halves),
            "servers under their client's span id, given an id of their own": sum(h.shared for h in halves),
            "spans without a start: given the earliest of their trace": sum(not h.start_us for h in halves),
        }
        for reason, count in counts.items():
            if count:
                losses.repair(reason, trace_id, count)
        yield from spans_of(trace_id, halves)


def _tidy(span: Mapping[str, Any], losses: Losses) -> dict[str, Any] | None:
    """A span that `zipkin_spans.read` takes; None when it has no ids."""
    trace_id, span_id, parent = (span.get(key) for key in ("traceId", "id", "parentId"))
    if not (is_id(trace_id, 32) and is_id(span_id, 16)):
        losses.lose(NO_ID, f"{trace_id}/{span_id}")
        return None
    if isinstance(parent, str) and parent.strip("0") and not is_id(parent, 16):
        losses.repair(BAD_PARENT, parent)
        parent = None
    if len(str(trace_id)) not in (16, 32) or len(str(span_id)) != 16:
        losses.repair(PADDED, f"{trace_id}/{span_id}")
    tidy = {
        "traceId": str(trace_id).lower().rjust(32, "0"),
        "id": span_id,
        "parentId": parent if isinstance(parent, str) else None,
        "name": _text(span.get("name")),
        "kind": _kind(span.get("kind"), losses),
        "timestamp": _whole(span.get("timestamp"), "starts", losses),
        "duration": _whole(span.get("duration"), "durations", losses),
        "shared": span.get("shared") in (True, "true"),
        "localEndpoint": _endpoint(span.get("localEndpoint"), losses),
        "remoteEndpoint": _endpoint(span.get("remoteEndpoint"), losses),
        "tags": _tags(span, losses),
        "annotations": list(_annotations(span, losses)),
    }
    return {key: value for key, value in tidy.items() if value}


def _kind(value: Any, losses: Losses) -> str | None:
    kind = value.upper() if isinstance(value, str) else None
    if value and kind not in _KINDS:
        losses.lose("kinds that Zipkin does not have", value)
        return None
    return kind or None


def _whole(value: Any, what: str, losses: Losses) -> int | None:
    if value is None:
        return None
    number = scaled(value, 1)
    if number is None or not 0 <= number <= _LAST_US:
        losses.lose(f"{what} that are no whole number of microseconds", value)
        return None
    if not isinstance(value, int):
        losses.repair(f"{what} that were text or fractions", value)
    return number


def _endpoint(value: Any, losses: Losses) -> dict[str, Any]:
    if not isinstance(value, dict):
        if value is not None:
            losses.lose("endpoints that are no objects", value)
        return {}
    port = scaled(value.get("port"), 1)
    found = {key: value.get(key) for key in ("serviceName", "ipv4", "ipv6")}
    tidy: dict[str, Any] = {key: text for key, text in found.items() if isinstance(text, str) and text}
    return {**tidy, "port": port} if port is not None and 0 < port < 1 << 16 else tidy


def _tags(span: Mapping[str, Any], losses: Losses) -> dict[str, str]:
    value = span.get("tags")
    if value is not None and not isinstance(value, dict):
        losses.lose("tags that are no object", value)
    tags = value if isinstance(value, dict) else {}
    other = sum(not isinstance(v, str) for v in tags.values())
    if other:
        losses.repair("tags that were no text", next(k for k, v in tags.items() if not isinstance(v, str)), other)
    debug = {"zipkin.debug": "true"} if span.get("debug") is True else {}
    return {**debug, **{key: _text(v) for key, v in tags.items()}}


def _annotations(span: Mapping[str, Any], losses: Losses) -> Iterator[dict[str, Any]]:
    for annotation in items(span, "annotations"):
        time = scaled(annotation.get("timestamp"), 1) if isinstance(annotation, dict) else None
        if time is None or not 0 <= time <= _LAST_US:
            losses.lose("annotations that are none", annotation)
        else:
            yield {"timestamp": time, "value": _text(annotation.get("value"))}


def _text(value: Any) -> str:
    try:
        return text_of(value)
    except ValueError:
        return ""
