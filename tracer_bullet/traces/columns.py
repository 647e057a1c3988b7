"""Spans as growing columns: what decoders fill and what becomes Arrow.

Decoders append whole lists, because a Python object a span costs more than the rest of
the decoding together. Maps and lists are kept flat with a count per span.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from itertools import accumulate
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from tracer_bullet.model import Span
from tracer_bullet.traces import ids
from tracer_bullet.traces.schema import EVENT, LINK, SPAN_SCHEMA, TEXT_MAP


@dataclass(slots=True)
class TextMaps:
    """Maps of text to text, flat: `counts[i]` pairs belong to entry i."""

    counts: list[int] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)
    values: list[str] = field(default_factory=list)

    def add(self, pairs: Mapping[str, str]) -> None:
        """Append one map."""
        self.counts.append(len(pairs))
        self.keys.extend(pairs)
        self.values.extend(pairs.values())

    def to_arrow(self) -> pa.MapArray:
        """One Arrow map an entry."""
        return pa.MapArray.from_arrays(
            _offsets(self.counts), pa.array(self.keys, pa.string()), pa.array(self.values, pa.string()), type=TEXT_MAP
        )


@dataclass(slots=True)
class SpanColumns:
    """One list a column; ids are big-endian bytes and a root's `parent_ids` entry is all zero.

    `resources` holds each distinct resource once, `resource_of` the index of each span's own.
    """

    trace_ids: list[bytes] = field(default_factory=list)
    span_ids: list[bytes] = field(default_factory=list)
    parent_ids: list[bytes] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    kinds: list[int] = field(default_factory=list)
    services: list[str] = field(default_factory=list)
    starts: list[int] = field(default_factory=list)
    ends: list[int] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)
    messages: list[str] = field(default_factory=list)
    attributes: TextMaps = field(default_factory=TextMaps)
    resources: TextMaps = field(default_factory=TextMaps)
    resource_of: list[int] = field(default_factory=list)
    scopes: list[str] = field(default_factory=list)
    trace_states: list[str] = field(default_factory=list)
    event_counts: list[int] = field(default_factory=list)
    event_times: list[int] = field(default_factory=list)
    event_names: list[str] = field(default_factory=list)
    event_attributes: TextMaps = field(default_factory=TextMaps)
    link_counts: list[int] = field(default_factory=list)
    link_trace_ids: list[bytes] = field(default_factory=list)
    link_span_ids: list[bytes] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.span_ids)

    def extend(self, other: SpanColumns) -> None:
        """Append all spans of `other`."""
        base = len(self.resources.counts)
        _extend(self, other)
        if base:
            tail = len(self.resource_of) - len(other.resource_of)
            self.resource_of[tail:] = [base + n for n in other.resource_of]

    def add_span(self, span: Span) -> None:
        """Append one span. Raises ValueError when an id is not hex of the right width.

        Lone surrogates, which Arrow's UTF-8 cannot hold, become `?`.
        """
        self.trace_ids.append(ids.trace_bytes(span.trace_id))
        self.span_ids.append(ids.span_bytes(span.span_id))
        self.parent_ids.append(ids.ZERO_SPAN if span.parent_id is None else ids.span_bytes(span.parent_id))
        self.names.append(utf8(span.name))
        self.kinds.append(int(span.kind))
        self.services.append(utf8(span.service))
        self.starts.append(span.start_ns)
        self.ends.append(span.end_ns)
        self.statuses.append(int(span.status))
        self.messages.append(utf8(span.status_message))
        self.attributes.add(_utf8_map(span.attributes))
        self.resource_of.append(len(self.resources.counts))
        self.resources.add(_utf8_map(span.resource))
        self.scopes.append(utf8(span.scope_name))
        self.trace_states.append(utf8(span.trace_state))
        self.event_counts.append(len(span.events))
        for event in span.events:
            self.event_times.append(event.time_ns)
            self.event_names.append(utf8(event.name))
            self.event_attributes.add(_utf8_map(event.attributes))
        self.link_counts.append(len(span.links))
        for link in span.links:
            self.link_trace_ids.append(ids.trace_bytes(link.trace_id))
            self.link_span_ids.append(ids.span_bytes(link.span_id))

    def to_arrow(self) -> pa.RecordBatch:
        """The spans as one batch of the span table's schema."""
        trace = ids.integers(self.trace_ids)
        parents = _int64(ids.integers(self.parent_ids))
        columns = [
            _int64(trace[0::2]),
            _int64(trace[1::2]),
            _int64(ids.integers(self.span_ids)),
            pc.if_else(pc.equal(parents, 0), pa.scalar(None, pa.int64()), parents),
            pa.array(self.names, pa.string()),
            pa.array(self.kinds, pa.int8()),
            pa.array(self.services, pa.string()),
            pa.array(self.starts, pa.int64()),
            pa.array(self.ends, pa.int64()),
            pa.array(self.statuses, pa.int8()),
            pa.array(self.messages, pa.string()),
            self.attributes.to_arrow(),
            self.resources.to_arrow().take(pa.array(self.resource_of, pa.int32())),
            pa.array(self.scopes, pa.string()),
            pa.array(self.trace_states, pa.string()),
            self._events(),
            self._links(),
        ]
        return pa.record_batch(columns, schema=SPAN_SCHEMA)

    def _events(self) -> pa.ListArray:
        entries = pa.StructArray.from_arrays(
            [
                pa.array(self.event_times, pa.int64()),
                pa.array(self.event_names, pa.string()),
                self.event_attributes.to_arrow(),
            ],
            fields=list(EVENT),
        )
        return pa.ListArray.from_arrays(_offsets(self.event_counts), entries, type=pa.list_(EVENT))

    def _links(self) -> pa.ListArray:
        trace = ids.integers(self.link_trace_ids)
        entries = pa.StructArray.from_arrays(
            [_int64(trace[0::2]), _int64(trace[1::2]), _int64(ids.integers(self.link_span_ids))], fields=list(LINK)
        )
        return pa.ListArray.from_arrays(_offsets(self.link_counts), entries, type=pa.list_(LINK))


def utf8(text: str) -> str:
    """The text with `?` for lone surrogates, which JSON can spell and UTF-8 cannot."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")


def _utf8_map(pairs: Mapping[str, str]) -> dict[str, str]:
    return {utf8(key): utf8(value) for key, value in pairs.items()}


def _extend(target: Any, source: Any) -> None:
    for f in fields(target):
        value = getattr(target, f.name)
        if isinstance(value, list):
            value.extend(getattr(source, f.name))
        else:
            _extend(value, getattr(source, f.name))


def _offsets(counts: Iterable[int]) -> pa.Array:
    return pa.array(accumulate(counts, initial=0), pa.int32())


def _int64(numbers: Any) -> pa.Array:
    return pa.Array.from_buffers(pa.int64(), len(numbers), [None, pa.py_buffer(numbers)])
