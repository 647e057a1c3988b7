"""AWS X-Ray: answers of BatchGetTraces, PutTraceSegments' bodies, raw documents, and what SDKs send to the daemon.

Source: "AWS X-Ray segment documents" and the API reference. Documents are kept by trace until the end of the input,
since a subsegment may come apart from its segment and an unfinished document is overwritten by a later one.
Times are seconds as decimal fractions: exact in documents that are strings; elsewhere a parser has made doubles of
them, whose shortest form is what the sender wrote as long as it had no more than 15 digits (microseconds have 16,
and come back exactly too until the year 2106).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

from tracer_bullet.model import Span, SpanEvent, SpanKind, SpanLink, SpanStatus
from tracer_bullet.model.losses import Losses
from tracer_bullet.traces.formats.base import Reader
from tracer_bullet.traces.formats.convert import LINK_ATTRIBUTES, NO_ID, NO_SPAN, NO_TIME
from tracer_bullet.traces.formats.lenient import (
    ByTrace,
    Records,
    UnusableError,
    is_id,
    items,
    pack,
    part,
    samples,
    scaled,
    word,
)
from tracer_bullet.traces.formats.xray_fields import attributes_of, events_of, resource_of
from tracer_bullet.traces.otlp import SERVICE_NAME, UNKNOWN_SERVICE

LIMIT_EXCEEDED: Final = "traces over X-Ray's size limit: documents are missing"
UNPROCESSED: Final = "traces that X-Ray did not answer for"
UNFINISHED: Final = "documents in progress, whose end never came: given the end of what is below them"
OVERWRITTEN: Final = "documents in progress, overwritten by the finished ones"
INFERRED: Final = "inferred segments, merged into the subsegments that they stand for"
INFERRED_ALONE: Final = "inferred segments without their subsegment: kept, marked"
NO_SEGMENT: Final = "subsegments whose segment is not there: service unknown"
PRECURSORS: Final = "precursor ids"

_TRACE_ID = re.compile("1-([0-9a-fA-F]{8})-([0-9a-fA-F]{24})")
_SECOND: Final = 1_000_000_000


class XRay:
    """X-Ray's documents, however wrapped."""

    name = "AWS X-Ray"

    def recognises(self, value: Any) -> bool:
        """See Format."""
        return any(map(_is_ours, samples(value)))

    def reader(self, losses: Losses) -> Reader:
        """See Format."""
        return ByTrace(losses, _records, _spans, loads=_unpack)


def _is_ours(value: dict[str, Any]) -> bool:
    if _is_header(value) or any(isinstance(value.get(k), list) for k in ("Traces", "TraceSegmentDocuments")):
        return True
    if ("Id" in value and isinstance(value.get("Segments"), list)) or isinstance(value.get("Document"), str):
        return True
    return _is_document(value) and bool(_TRACE_ID.fullmatch(word(value, "trace_id")))


def _is_header(value: Mapping[str, Any]) -> bool:
    return value.keys() == {"format", "version"} and value["format"] == "json"


def _is_document(value: Mapping[str, Any]) -> bool:
    return "id" in value and "start_time" in value and "trace_id" in value


def _records(value: Any, losses: Losses) -> Records:
    stack: list[tuple[Any, str]] = [(value, "")]
    while stack:
        found, trace_id = stack.pop()
        if isinstance(found, list):
            stack += ((v, trace_id) for v in reversed(found))
        elif isinstance(found, str):
            yield from _document(found.encode("utf-8", "replace"), trace_id, losses)
        elif not isinstance(found, dict):
            losses.lose(NO_SPAN, found)
        elif "id" in found and "start_time" in found:
            yield from _document(pack(found).lstrip(b"\0"), trace_id, losses)
        elif not _is_header(found):
            inside = _inside(found, trace_id, losses)
            if inside is None:
                losses.lose(NO_SPAN, found)
            else:
                stack.append(inside)


def _inside(wrapper: Mapping[str, Any], trace_id: str, losses: Losses) -> tuple[Any, str] | None:
    """What a part of an API's answer or request holds, and of which trace."""
    if "Document" in wrapper:
        return wrapper["Document"], trace_id
    if "Segments" in wrapper:
        own = word(wrapper, "Id")
        if wrapper.get("LimitExceeded") is True:
            losses.lose(LIMIT_EXCEEDED, own)
        return items(wrapper, "Segments"), own
    if "Traces" in wrapper:
        for missing in items(wrapper, "UnprocessedTraceIds"):
            losses.lose(UNPROCESSED, missing)
        return items(wrapper, "Traces"), ""
    if "TraceSegmentDocuments" in wrapper:
        return items(wrapper, "TraceSegmentDocuments"), ""
    return None


def _document(packed: bytes, trace_id: str, losses: Losses) -> Records:
    """A document as bytes, with its trace's id first when only its wrapper knows that."""
    try:
        document = _loads(packed)
    except (ValueError, RecursionError) as error:
        losses.lose("documents that are no JSON", error)
        return
    if not isinstance(document, dict):
        losses.lose(NO_SPAN, document)
        return
    own = _hex(word(document, "trace_id") or trace_id)
    if not own or not is_id(document.get("id"), 16):
        losses.lose(NO_ID, document.get("trace_id") or trace_id)
        return
    yield own.encode(), own.encode() + packed


def _hex(trace_id: str) -> str:
    """32 digits of an X-Ray trace id, or of one that is W3C's already; empty for others."""
    found = _TRACE_ID.fullmatch(trace_id)
    plain = found[1] + found[2] if found else trace_id
    return plain.lower() if is_id(plain, 32) and len(plain) == 32 else ""


def _loads(packed: bytes) -> Any:
    """JSON with fractions as Decimal: a double would round times."""
    return json.loads(packed, parse_float=Decimal)


def _unpack(record: bytes) -> tuple[str, dict[str, Any]]:
    """What `_document` kept: (trace id, document)."""
    return record[:32].decode(), _loads(record[32:])


@dataclass(slots=True)
class _Node:
    """One segment or subsegment, on its way to a span."""

    document: dict[str, Any]
    id: str
    parent: str | None
    top: bool
    start: int | None
    end: int | None
    service: str = ""
    resource: Mapping[str, str] | None = None

    @property
    def done(self) -> bool:
        return self.end is not None and self.document.get("in_progress") is not True

    @property
    def rank(self) -> tuple[int, int, str]:
        return self.end or 0, self.start or 0, json.dumps(self.document, sort_keys=True, default=str)


def _spans(records: list[Any], losses: Losses) -> Iterator[Span]:
    trace_id: str = records[0][0]
    nodes = [node for _, document in records for node in _nodes(document, losses)]
    nodes = _infer(_finished(nodes, losses), losses)
    _place(nodes, losses)
    for node in nodes:
        try:
            span = _span(trace_id, node, losses)
        except UnusableError as error:
            losses.lose(error.reason, error.example)
        else:
            if span is not None:
                yield span


def _nodes(document: dict[str, Any], losses: Losses) -> Iterator[_Node]:
    """The document and all its subsegments, each with its parent, no recursion."""
    stack: list[tuple[Any, str | None]] = [(document, None)]
    while stack:
        found, parent = stack.pop()
        own = word(found, "id").lower()
        if not isinstance(found, dict) or not is_id(own, 16):
            losses.lose(NO_ID if isinstance(found, dict) else NO_SPAN, own)
            continue
        below = items(found, "subsegments")
        if items(found, "precursor_ids"):
            losses.lose(PRECURSORS, own, len(found["precursor_ids"]))
        above = word(found, "parent_id").lower()
        yield _Node(
            document={k: v for k, v in found.items() if k != "subsegments"},
            id=own.rjust(16, "0"),
            parent=parent or (above.rjust(16, "0") if above else None),
            top=parent is None and word(found, "type") != "subsegment",
            start=scaled(found.get("start_time"), _SECOND),
            end=scaled(found.get("end_time"), _SECOND),
        )
        stack += ((b, own.rjust(16, "0")) for b in reversed(below))


def _finished(nodes: list[_Node], losses: Losses) -> list[_Node]:
    """Without the unfinished copies of what is finished, and one copy at most of what is not."""
    groups: dict[str, list[_Node]] = {}
    for node in nodes:
        groups.setdefault(node.id, []).append(node)
    kept = []
    for group in groups.values():
        done = [node for node in group if node.done]
        if not done:
            done = [max(group, key=lambda n: n.rank)]
        if len(done) < len(group):
            losses.repair(OVERWRITTEN, group[0].id, len(group) - len(done))
        kept += done
    return kept


def _infer(nodes: list[_Node], losses: Losses) -> list[_Node]:
    """Inferred segments say what a call went to: that becomes its subsegment's, and they are no spans."""
    by_id: dict[str, list[_Node]] = {}
    for node in nodes:
        by_id.setdefault(node.id, []).append(node)
    moved: dict[str, str] = {}
    inferred = [node for node in nodes if node.document.get("inferred") is True]
    for node in sorted(inferred, key=lambda n: n.rank):
        callers = by_id.get(node.parent or "", [])
        if not callers or any(c.document.get("inferred") is True for c in callers):
            losses.repair(INFERRED_ALONE, node.id)
            continue
        losses.repair(INFERRED, node.id)
        moved[node.id] = callers[0].id
        for caller in callers:
            caller.document.setdefault("peer.service", word(node.document, "name"))
            caller.document.setdefault("peer.origin", word(node.document, "origin"))
            caller.document["aws"] = {**part(node.document, "aws"), **part(caller.document, "aws")}
    for node in nodes:
        node.parent = moved.get(node.parent or "", node.parent)
    return [node for node in nodes if node.id not in moved]


def _place(nodes: list[_Node], losses: Losses) -> None:
    """Give every node its segment's service and resource, and unfinished ones the end of what is below them."""
    by_id = {node.id: node for node in nodes}
    for node in nodes:
        path: list[_Node] = []
        at: _Node | None = node
        seen: set[str] = set()
        while at is not None and not (at.service or at.top or at.id in seen):
            seen.add(at.id)
            path.append(at)
            at = by_id.get(at.parent or "")
        if at is not None and at.top and not at.service:
            at.service, at.resource = word(at.document, "name") or UNKNOWN_SERVICE, resource_of(at.document)
        if at is None or not at.service:
            losses.repair(NO_SEGMENT, path[-1].id)
        for below in path:
            below.service = (at.service if at is not None else "") or UNKNOWN_SERVICE
            below.resource = at.resource if at is not None else None
    _end(nodes, by_id, losses)


def _end(nodes: list[_Node], by_id: Mapping[str, _Node], losses: Losses) -> None:
    """Ends for unfinished nodes: the latest below them. The latest first, so that each is reached once."""
    ends: dict[str, int] = {}
    for node in sorted((n for n in nodes if n.end is not None), key=lambda n: -(n.end or 0)):
        at = by_id.get(node.parent or "")
        while at is not None and at.end is None and at.id not in ends:
            ends[at.id] = node.end or 0
            at = by_id.get(at.parent or "")
    for node in nodes:
        if node.end is None and node.start is not None:
            losses.repair(UNFINISHED, node.id)
            node.document["in_progress"] = True
            node.end = max(node.start, ends.get(node.id, 0))


def _span(trace_id: str, node: _Node, losses: Losses) -> Span | None:
    document = node.document
    if node.start is None or node.end is None:
        losses.lose(NO_TIME, node.id)
        return None
    peer, origin = document.pop("peer.service", ""), document.pop("peer.origin", "")
    marks = {
        "peer.service": peer,
        "aws.xray.peer.origin": origin,
        "aws.xray.in_progress": "true" if document.get("in_progress") is True else "",
        "aws.xray.inferred": "true" if document.get("inferred") is True else "",
    }
    events = tuple(events_of(document, node.end))
    failed = any(document.get(flag) is True for flag in ("error", "fault", "throttle"))
    called = document.get("namespace") in ("aws", "remote")
    return Span(
        trace_id=trace_id,
        span_id=node.id,
        parent_id=node.parent,
        name=word(document, "name"),
        kind=SpanKind.SERVER if node.top else SpanKind.CLIENT if called else SpanKind.INTERNAL,
        service=node.service,
        start_ns=node.start,
        end_ns=node.end,
        status=SpanStatus.ERROR if failed else SpanStatus.UNSET,
        status_message=_message(events),
        attributes={**{k: v for k, v in marks.items() if v}, **attributes_of(document)},
        resource={**(node.resource or {}), SERVICE_NAME: node.service},
        events=events,
        links=tuple(_links(document, losses)),
    )


def _message(events: tuple[SpanEvent, ...]) -> str:
    return next((m for e in events if (m := e.attributes.get("exception.message"))), "")


def _links(document: Mapping[str, Any], losses: Losses) -> Iterator[SpanLink]:
    for link in items(document, "links"):
        if part(link, "attributes"):
            losses.lose(LINK_ATTRIBUTES, count=len(link["attributes"]))
        yield SpanLink(trace_id=_hex(word(link, "trace_id")), span_id=word(link, "id").lower())
