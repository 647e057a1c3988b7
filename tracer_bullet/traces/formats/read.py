"""Reading one input whatever its format: bytes in, batches of spans out, and what was lost told."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import chain, islice
from typing import Any, Final

from tracer_bullet.errors import UsageError
from tracer_bullet.model.losses import Losses
from tracer_bullet.traces.columns import SpanColumns
from tracer_bullet.traces.formats.base import Format
from tracer_bullet.traces.formats.json_values import Limits, json_values
from tracer_bullet.traces.formats.protobuf import binary_values
from tracer_bullet.traces.formats.recognise import describe, recognise
from tracer_bullet.traces.formats.registry import FORMATS
from tracer_bullet.traces.formats.stream import Readable, chunks, peek

# As Python objects a span takes some kilobytes, so few are held as such.
BATCH_SPANS: Final = 8_192
BEFORE: Final = "values before the first one of a known format"

_HEAD: Final = 4096
# How far the first value of a known format may be from the start, as lines of other programs come before it.
_LOOK: Final = 1_000
_BRACKETS: Final = b"{["


class Reading:
    """One input being read. `format` is known after the first batch, or when `batches` ended; "" when none was.

    `losses` grows while `batches` goes on; `looks_like` says what unrecognised content is.
    """

    def __init__(
        self,
        stream: Readable,
        *,
        where: str = "",
        forced: str | None = None,
        limits: Limits | None = None,
        formats: Mapping[str, Format] = FORMATS,
    ) -> None:
        """`where` names the input in messages; `forced` is a key of `formats`. Raises UsageError TB413."""
        if forced is not None and forced not in formats:
            raise unknown_format(forced, formats)
        self.format = ""
        self.looks_like = ""
        self.losses = Losses()
        self._stream = stream
        self._where = where
        self._forced = forced
        self._limits = limits
        self._formats = formats
        self._columns = SpanColumns()

    def rest(self) -> SpanColumns:
        """Spans that were decoded and not given out, when `batches` was broken off; only whole ones."""
        rest, self._columns = self._columns, SpanColumns()
        return rest if is_whole(rest) else SpanColumns()

    def batches(self, most: int = BATCH_SPANS) -> Iterator[SpanColumns]:
        """The spans, some `most` at a time (a single value may hold more); none when the format is not known.

        Raises nothing for what the content is.
        """
        head, content = peek(chunks(self._stream, self.losses), _HEAD)
        values = self._values(head, content)
        key, value = (self._forced, None) if self._forced else self._recognise(values, head)
        if key is None:
            return
        self.format = self._formats[key].name
        yield from self._read(self._formats[key], values if value is None else chain([value], values), most)

    def _values(self, head: bytes, content: Iterator[bytes]) -> Iterator[Any]:
        """Messages of a binary input, else JSON values."""
        text = head.lstrip(b" \t\r\n\x1e")
        if text and text[:1] not in (b"{", b"[") and _is_binary(head):
            return binary_values(content, self.losses)
        return json_values(content, self.losses, self._limits)

    def _recognise(self, values: Iterator[Any], head: bytes) -> tuple[str | None, Any]:
        """The key of the format and the first value in it; those of other programs before it are counted."""
        first = None
        for before, value in enumerate(islice(values, _LOOK)):
            first = value if first is None else first
            key = recognise(value, self._formats)
            if key is not None:
                if before:
                    self.losses.lose(BEFORE, count=before)
                return key, value
        self.looks_like = describe(head, first)
        return None, None

    def _read(self, known: Format, values: Iterator[Any], most: int) -> Iterator[SpanColumns]:
        reader = known.reader(self.losses)
        for value in values:
            reader.feed(value, self._columns)
            if len(self._columns) >= most:
                yield self._taken()
        drain = getattr(reader, "drain", None)
        if drain is not None:  # readers that keep spans until the end may give them in parts
            yield from drain(self._taken())
            return
        reader.finish(self._columns)
        if len(self._columns):
            yield self._taken()

    def _taken(self) -> SpanColumns:
        taken, self._columns = self._columns, SpanColumns()
        return taken


def is_whole(columns: SpanColumns) -> bool:
    """Whether no column lacks an entry, as when adding a span was interrupted."""
    rows = len(columns)
    plain = (
        *(columns.trace_ids, columns.parent_ids, columns.names, columns.kinds, columns.services, columns.starts),
        *(columns.ends, columns.statuses, columns.messages, columns.attributes.counts, columns.resource_of),
        *(columns.scopes, columns.trace_states, columns.event_counts, columns.link_counts),
    )
    events, links = sum(columns.event_counts), sum(columns.link_counts)
    maps = (columns.attributes, columns.resources, columns.event_attributes)
    return (
        all(len(column) == rows for column in plain)
        and all(sum(m.counts) == len(m.keys) == len(m.values) for m in maps)
        and len(columns.event_times) == len(columns.event_names) == len(columns.event_attributes.counts) == events
        and len(columns.link_trace_ids) == len(columns.link_span_ids) == links
        and all(place < len(columns.resources.counts) for place in columns.resource_of)
    )


def unknown_format(key: str, formats: Mapping[str, Format]) -> UsageError:
    """The error for a `--format` that there is not."""
    return UsageError("TB413", f"no format {key!r}", cure=f"one of {', '.join(formats)}")


def _is_binary(head: bytes) -> bool:
    """JSON text has no control characters but blanks; protobuf has them in its tags."""
    return (
        any(byte < 9 or 13 < byte < 32 for byte in head.replace(b"\x1e", b"").replace(b"\x1b", b""))
        or head[:1] == b"\n"
    )
