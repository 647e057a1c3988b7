"""OTLP's binary protobuf to span columns.

Two things make it fast over protobuf's C parser (upb); benchmarks/traces.py measures both.
One list comprehension a field takes a third of the time of a dict a span. And attributes
are read as raw bytes first (same wire format, by a descriptor of our own), because most
`key = value` pairs recur from span to span: a pair seen before is a dictionary look-up.
With 3 unique pairs in 10 that costs the same as decoding all, with none it halves the time.
"""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Iterable, Sequence
from functools import cache
from operator import le
from typing import Any

from google.protobuf.descriptor_pb2 import FieldDescriptorProto, FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message import DecodeError
from google.protobuf.message_factory import GetMessageClass
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2
from opentelemetry.proto.common.v1 import common_pb2
from opentelemetry.proto.resource.v1 import resource_pb2
from opentelemetry.proto.trace.v1 import trace_pb2

from tracer_bullet.traces import ids
from tracer_bullet.traces.columns import SpanColumns, TextMaps
from tracer_bullet.traces.otlp import (
    LAST_KIND,
    LAST_NS,
    LAST_STATUS,
    SERVICE_NAME,
    UNKNOWN_SERVICE,
    Decoded,
    MalformedError,
    double_text,
    span_fault,
)

_REQUEST = "opentelemetry.proto.collector.trace.v1.ExportTraceServiceRequest"


class ProtobufDecoder:
    """Decodes bodies and remembers attribute pairs between them. For one thread at a time."""

    def __init__(self) -> None:
        self._request = _raw_request_class()
        self._pairs = _Pairs()

    def decode(self, body: bytes) -> Decoded:
        """The spans of an `ExportTraceServiceRequest`. Raises MalformedError when it is none."""
        decoded = Decoded()
        try:
            request = self._request.FromString(body)
            for part in request.resource_spans:
                resource = {a.key: _text(a.value) for a in part.resource.attributes}
                for scope in part.scope_spans:
                    self._decode_scope(scope, resource, decoded)
        except DecodeError as error:
            raise MalformedError(f"not a protobuf ExportTraceServiceRequest: {error}") from None
        return decoded

    def _decode_scope(self, scope: Any, resource: dict[str, str], decoded: Decoded) -> None:
        spans = list(scope.spans)
        core = _core(spans)
        if not _sound(core):
            spans = _sound_ones(spans, decoded)
            core = _core(spans)
        if not spans:
            return
        to = decoded.columns
        count = len(spans)
        to.trace_ids += core[0]
        to.span_ids += core[1]
        to.parent_ids += [p or ids.ZERO_SPAN for p in core[2]]
        to.starts += core[3]
        to.ends += core[4]
        to.names += [s.name for s in spans]
        to.kinds += [k if 0 <= (k := s.kind) <= LAST_KIND else 0 for s in spans]
        to.services += [resource.get(SERVICE_NAME) or UNKNOWN_SERVICE] * count
        status = [s.status for s in spans]
        to.statuses += [c if 0 <= (c := s.code) <= LAST_STATUS else 0 for s in status]
        to.messages += [s.message for s in status]
        to.trace_states += [s.trace_state for s in spans]
        to.scopes += [scope.scope.name] * count
        to.resource_of += [len(to.resources.counts)] * count
        to.resources.add(resource)
        self._add_attributes(to.attributes, [s.attributes for s in spans])
        self._add_events(to, spans)
        _add_links(to, spans)

    def _add_attributes(self, to: TextMaps, entries: Sequence[Iterable[bytes]]) -> None:
        counts, keys, values, pair = to.counts, to.keys, to.values, self._pairs.__getitem__
        for raw in entries:
            texts = dict(map(pair, raw))
            counts.append(len(texts))
            keys += texts
            values += texts.values()

    def _add_events(self, to: SpanColumns, spans: list[Any]) -> None:
        entries = [s.events for s in spans]
        counts = list(map(len, entries))
        to.event_counts += counts
        if not any(counts):
            return
        events = [e for some in entries for e in some]
        to.event_times += [min(e.time_unix_nano, LAST_NS) for e in events]
        to.event_names += [e.name for e in events]
        self._add_attributes(to.event_attributes, [e.attributes for e in events])


class _Pairs(dict[bytes, tuple[str, str]]):
    """Wire bytes of a KeyValue → (key, text), remembered while values of its key recur.

    Few are remembered, so that they stay in the CPU's cache. A key that has shown many values
    shows ever new ones (ids, addresses): remembering those would push out what recurs.
    """

    MOST = 4_000
    LONGEST = 128
    MOST_OF_A_KEY = 400

    def __init__(self) -> None:
        super().__init__()
        self._new: dict[str, int] = {}

    def __missing__(self, raw: bytes) -> tuple[str, str]:
        pair = _plain_pair(raw) or _any_pair(raw)
        key = pair[0]
        new = self._new.get(key, 0)
        if new < self.MOST_OF_A_KEY and len(raw) <= self.LONGEST:
            if len(self) >= self.MOST:
                self.clear()
                self._new.clear()
            self._new[key] = new + 1
            self[raw] = pair
        return pair


def _plain_pair(raw: bytes) -> tuple[str, str] | None:
    """A KeyValue with a short key and a short text or small number, read by hand; None for any other.

    Twice as fast as a message object. The bytes are: 0a, length, key; 12, length, AnyValue; and in
    it 0a, length, text or 18, varint (opentelemetry/proto/common/v1/common.proto).
    """
    try:
        at = raw[1] + 2
        left = len(raw) - at - 2
        if raw[0] != 0x0A or at > 0x81 or raw[at] != 0x12 or raw[at + 1] != left or left > 0x7F:
            return None
        kind = raw[at + 2]
        if kind == 0x0A and raw[at + 3] == left - 2:
            return str(raw[2:at], "utf-8"), str(raw[at + 4 :], "utf-8")
        if kind == 0x18 and left <= 4:
            low, middle, high = (*raw[at + 3 :], 0, 0)[:3]
            ended = (
                (left == 2 and low < 0x80)
                or (left == 3 and low > 0x7F > middle)
                or (left == 4 and low > 0x7F < middle and high < 0x80)
            )
            if ended:
                return str(raw[2:at], "utf-8"), str(low & 0x7F | (middle & 0x7F) << 7 | high << 14)
    except (IndexError, UnicodeDecodeError):
        pass
    return None


def _any_pair(raw: bytes) -> tuple[str, str]:
    attribute = common_pb2.KeyValue.FromString(raw)
    value = attribute.value
    return attribute.key, value.string_value or _text(value)


@cache
def _raw_request_class() -> Any:
    """`ExportTraceServiceRequest` whose spans and events hold their attributes undecoded."""
    pool = DescriptorPool()
    for module in (common_pb2, resource_pb2, trace_pb2, trace_service_pb2):
        file = FileDescriptorProto.FromString(module.DESCRIPTOR.serialized_pb)
        if module is trace_pb2:
            span = next(m for m in file.message_type if m.name == "Span")
            for message in (span, *span.nested_type):
                for field in message.field:
                    if field.name == "attributes":
                        field.type = FieldDescriptorProto.TYPE_BYTES
                        field.ClearField("type_name")
        pool.Add(file)
    return GetMessageClass(pool.FindMessageTypeByName(_REQUEST))


def _core(spans: list[Any]) -> tuple[list[bytes], list[bytes], list[bytes], list[int], list[int]]:
    """Trace ids, span ids, parent ids, starts and ends: what a span is judged by."""
    return (
        [s.trace_id for s in spans],
        [s.span_id for s in spans],
        [s.parent_span_id for s in spans],
        [s.start_time_unix_nano for s in spans],
        [s.end_time_unix_nano for s in spans],
    )


def _sound(core: tuple[list[bytes], list[bytes], list[bytes], list[int], list[int]]) -> bool:
    """Whether `span_fault` would find nothing in any span, told from whole columns."""
    trace_ids, span_ids, parents, starts, ends = core
    return (
        set(map(len, trace_ids)) <= {ids.TRACE_BYTES}
        and set(map(len, span_ids)) <= {ids.SPAN_BYTES}
        and set(map(len, parents)) <= {0, ids.SPAN_BYTES}
        and ids.ZERO_TRACE not in trace_ids
        and ids.ZERO_SPAN not in span_ids
        and all(map(le, starts, ends))
        and min(starts, default=1) > 0
        and max(ends, default=1) <= LAST_NS
    )


def _sound_ones(spans: list[Any], decoded: Decoded) -> list[Any]:
    kept = []
    for span, *core in zip(spans, *_core(spans), strict=True):
        fault = span_fault(*core)
        if fault is None:
            kept.append(span)
        else:
            decoded.rejected[fault] += 1
    return kept


def _add_links(to: SpanColumns, spans: list[Any]) -> None:
    entries = [s.links for s in spans]
    if not any(map(len, entries)):
        to.link_counts += [0] * len(spans)
        return
    for links in entries:
        # A link that points nowhere says nothing; the span itself is sound.
        sound = [x for x in links if span_fault(x.trace_id, x.span_id, b"", 1, 1) is None]
        to.link_counts.append(len(sound))
        to.link_trace_ids += [x.trace_id for x in sound]
        to.link_span_ids += [x.span_id for x in sound]


def _text(value: common_pb2.AnyValue) -> str:
    """Text of an attribute's value, as model/span.py defines it."""
    which = value.WhichOneof("value")
    if which == "string_value":
        return value.string_value
    if which == "int_value":
        return str(value.int_value)
    if which == "bool_value":
        return "true" if value.bool_value else "false"
    if which == "double_value":
        return double_text(value.double_value)
    if which in ("array_value", "kvlist_value"):
        return json.dumps(_json(value), ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    if which == "bytes_value":
        return b64encode(value.bytes_value).decode()
    return ""


def _json(value: common_pb2.AnyValue) -> Any:
    which = value.WhichOneof("value")
    if which == "array_value":
        return [_json(v) for v in value.array_value.values]
    if which == "kvlist_value":
        return {kv.key: _json(kv.value) for kv in value.kvlist_value.values}
    if which in ("string_value", "int_value", "bool_value"):
        return getattr(value, which)
    if which is None:
        return None
    text = _text(value)
    return float(text) if which == "double_value" and text[-1].isdigit() else text
