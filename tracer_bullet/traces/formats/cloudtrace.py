"""Google Cloud Trace, v1 (`{projectId, traceId, spans}`) and v2 (`projects/P/traces/T/spans/S`).

Sources: google/devtools/cloudtrace/v1/trace.proto, v2/trace.proto and their JSON mapping. Spans are kept by trace
until the end of the input, since one that names no service has its parent's.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from tracer_bullet.model import Span, SpanKind, SpanStatus
from tracer_bullet.model.losses import Losses
from tracer_bullet.traces.formats.base import Reader
from tracer_bullet.traces.formats.cloudtrace_labels import parted, service_of
from tracer_bullet.traces.formats.cloudtrace_v2 import events, links, status, texts_of, truncated
from tracer_bullet.traces.formats.convert import BAD_PARENT, NO_ID, NO_SPAN, NO_TIME, ONE_TIME
from tracer_bullet.traces.formats.lenient import (
    ByTrace,
    Records,
    UnusableError,
    is_id,
    rfc3339_ns,
    samples,
    texts,
    word,
)
from tracer_bullet.traces.otlp import SERVICE_NAME, UNKNOWN_SERVICE

INHERITED: Final = "spans that name no service: given their parent's"
FROM_HTTP: Final = "statuses taken from the HTTP status code"

_NAME = re.compile(r"projects/[^/]+/traces/([0-9a-fA-F]{32})/spans/([0-9a-fA-F]{1,16})")
_KINDS_V1: Final = {
    "RPC_SERVER": SpanKind.SERVER,
    "1": SpanKind.SERVER,
    "RPC_CLIENT": SpanKind.CLIENT,
    "2": SpanKind.CLIENT,
}
_ERROR_LABELS: Final = ("exception.message", "exception.type")


class CloudTraceV1:
    """Traces as `traces.list`, `traces.get` and `PatchTraces` write them."""

    name = "Google Cloud Trace v1"

    def recognises(self, value: Any) -> bool:
        """See Format."""
        return any(map(_is_v1, _samples(value, "traces", "traceId")))

    def reader(self, losses: Losses) -> Reader:
        """See Format."""
        return ByTrace(losses, _records_v1, _with(_span_v1))


class CloudTraceV2:
    """Spans as `BatchWriteSpans` writes them, alone or in a list."""

    name = "Google Cloud Trace v2"

    def recognises(self, value: Any) -> bool:
        """See Format."""
        return any(
            _NAME.fullmatch(word(span, "name")) and "displayName" in span
            for span in _samples(value, "spans", "displayName")
        )

    def reader(self, losses: Losses) -> Reader:
        """See Format."""
        return ByTrace(losses, _records_v2, _with(_span_v2))


@dataclass(slots=True)
class _Found:
    """A span and what is still to be decided about it."""

    span: Span
    same_process: bool
    resource: dict[str, str]


def _samples(value: Any, wrapper: str, own: str) -> list[dict[str, Any]]:
    """The first traces or spans in a value, its wrapper taken off."""
    wrapped = isinstance(value, dict) and isinstance(value.get(wrapper), list) and own not in value
    return samples(value[wrapper] if wrapped else value)


def _is_v1(trace: dict[str, Any]) -> bool:
    if not isinstance(trace.get("spans"), list) or not isinstance(trace.get("traceId"), str):
        return False
    return "projectId" in trace or any("spanId" in s and "startTime" in s for s in samples(trace["spans"]))


def _records_v1(value: Any, losses: Losses) -> Records:
    for trace in _all(value, "traces", "traceId"):
        trace_id = word(trace, "traceId")
        if not isinstance(trace, dict) or not isinstance(trace.get("spans"), list):
            losses.lose(NO_SPAN, trace)
        elif not is_id(trace_id, 32):
            losses.lose(NO_ID, trace_id, max(1, len(trace["spans"])))
        else:
            trace_id = trace_id.lower().rjust(32, "0")
            for span in trace["spans"]:
                yield trace_id.encode(), {"trace": trace_id, "project": word(trace, "projectId"), "span": span}


def _records_v2(value: Any, losses: Losses) -> Records:
    for span in _all(value, "spans", "displayName"):
        found = _NAME.fullmatch(word(span, "name"))
        if not isinstance(span, dict):
            losses.lose(NO_SPAN, span)
        elif found is None or not is_id(found[1], 32):
            losses.lose(NO_ID, word(span, "name"))
        else:
            trace_id = found[1].lower()
            yield trace_id.encode(), {"trace": trace_id, "project": word(span, "name").split("/")[1], "span": span}


def _all(value: Any, wrapper: str, own: str) -> Iterator[Any]:
    """The traces or spans in a value, its wrappers taken off."""
    stack = [value]
    while stack:
        found = stack.pop()
        if isinstance(found, list):
            stack += reversed(found)
        elif isinstance(found, dict) and isinstance(found.get(wrapper), list) and own not in found:
            stack += reversed(found[wrapper])
        else:
            yield found


def _with(read: Callable[[Mapping[str, Any], Losses], _Found]) -> Callable[[list[Any], Losses], Iterable[Span]]:
    """All spans of a trace, with `read` for one record."""

    def spans(records: list[Any], losses: Losses) -> Iterator[Span]:
        found: list[_Found] = []
        for record in records:
            try:
                found.append(read(record, losses))
            except UnusableError as error:
                losses.lose(error.reason, error.example)
        return _served(found, losses)

    return spans


def _served(found: list[_Found], losses: Losses) -> Iterator[Span]:
    """Give every span a service: its own, or its parent's where both are in one process or may be."""
    by_id = {f.span.span_id: f for f in found}
    known: dict[str, str] = {}
    for one in found:
        path: list[_Found] = []
        at: _Found | None = one
        seen: set[str] = set()
        while at is not None and at.span.span_id not in known and at.span.span_id not in seen:
            seen.add(at.span.span_id)
            path.append(at)
            if at.span.service or not at.same_process:
                break
            at = by_id.get(at.span.parent_id or "")
        service = path[-1].span.service if path else ""
        if at is not None and at.span.span_id in known:
            service = known[at.span.span_id]
        for below in path:
            known[below.span.span_id] = service
    for one in found:
        service = one.span.service or known[one.span.span_id]
        if service and not one.span.service:
            losses.repair(INHERITED, one.span.span_id)
        service = service or UNKNOWN_SERVICE
        yield replace(one.span, service=service, resource={**one.resource, SERVICE_NAME: service})


def _span_v1(record: Mapping[str, Any], losses: Losses) -> _Found:
    span = record["span"]
    if not isinstance(span, dict):
        raise UnusableError(NO_SPAN, span)
    labels = texts(span.get("labels"))
    attributes, resource = parted(labels)
    kind = _KINDS_V1.get(word(span, "kind"), SpanKind.UNSPECIFIED)
    parent = word(span, "parentSpanId")
    start, end = _times(span, losses)
    return _found(
        Span(
            trace_id=record["trace"],
            span_id=_decimal_id(word(span, "spanId")) or _no_id(span),
            parent_id=_parent(_decimal_id(parent), parent, losses),
            name=word(span, "name"),
            kind=kind,
            service=service_of(labels),
            start_ns=start,
            end_ns=end,
            attributes=attributes,
        ),
        resource,
        losses,
        # A server may be anybody: its caller's service is no guess to make.
        same_process=kind is not SpanKind.SERVER,
    )


def _span_v2(record: Mapping[str, Any], losses: Losses) -> _Found:
    span = record["span"]
    found = _NAME.fullmatch(span["name"])
    own = word(span, "spanId") or (found[2] if found else "")
    if not is_id(own, 16):
        raise UnusableError(NO_ID, span["name"])
    parent = word(span, "parentSpanId")
    labels = texts_of(span, "attributes", losses)
    attributes, resource = parted(labels)
    start, end = _times(span, losses)
    code, message = status(span)
    kind = _kind_v2(span.get("spanKind"))
    more = {
        "gcp.stack_trace_hash_id": word(span.get("stackTrace"), "stackTraceHashId"),
        "gcp.child_span_count": word(span, "childSpanCount"),
    }
    same = span.get("sameProcessAsParentSpan")
    return _found(
        Span(
            trace_id=record["trace"],
            span_id=own.lower().rjust(16, "0"),
            parent_id=_parent(parent.lower().rjust(16, "0") if is_id(parent, 16) else "", parent, losses),
            name=truncated(span.get("displayName"), losses),
            kind=kind,
            service=service_of(labels),
            start_ns=start,
            end_ns=end,
            status=code,
            status_message=message,
            attributes={**{k: v for k, v in more.items() if v}, **attributes},
            events=tuple(events(span, losses)),
            links=tuple(links(span, losses)),
        ),
        resource,
        losses,
        same_process=kind is not SpanKind.SERVER if same is None else same is True,
    )


def _found(span: Span, resource: dict[str, str], losses: Losses, *, same_process: bool) -> _Found:
    """With a status from the labels, where the span has none of its own: v1 has no other."""
    if span.status is SpanStatus.UNSET:
        told = next((span.attributes[key] for key in _ERROR_LABELS if span.attributes.get(key)), "")
        code = span.attributes.get("http.response.status_code", "")
        least = 400 if span.kind is SpanKind.CLIENT else 500
        if told:
            span = replace(span, status=SpanStatus.ERROR, status_message=told)
        elif len(code) == 3 and code.isascii() and code.isdecimal() and int(code) >= least:
            losses.repair(FROM_HTTP, code)
            span = replace(span, status=SpanStatus.ERROR)
    return _Found(span, same_process, resource)


def _times(span: Mapping[str, Any], losses: Losses) -> tuple[int, int]:
    start, end = rfc3339_ns(span.get("startTime")), rfc3339_ns(span.get("endTime"))
    known = start or end
    if known is None:
        raise UnusableError(NO_TIME, word(span, "name"))
    if start is None or end is None:
        losses.repair(ONE_TIME, word(span, "name"))
    return (start or known)[0], (end or known)[0]


def _decimal_id(text: str) -> str:
    """16 hex digits of a decimal uint64; empty for none, and for 0, which is no id."""
    if not (text.isascii() and text.isdecimal() and len(text) <= 20) or not 0 < int(text) < 1 << 64:
        return ""
    return f"{int(text):016x}"


def _no_id(span: Mapping[str, Any]) -> str:
    raise UnusableError(NO_ID, word(span, "spanId"))


def _parent(found: str, told: str, losses: Losses) -> str | None:
    """The parent's id, or None for a root and, counted, for what is no id."""
    if not found and told.strip("0"):
        losses.repair(BAD_PARENT, told)
    return found or None


def _kind_v2(value: Any) -> SpanKind:
    """The kind; v2's numbers are OTLP's (0 unspecified to 5 consumer)."""
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= max(SpanKind):
        return SpanKind(value)
    return SpanKind.__members__.get(str(value).upper().removeprefix("SPAN_KIND_"), SpanKind.UNSPECIFIED)
