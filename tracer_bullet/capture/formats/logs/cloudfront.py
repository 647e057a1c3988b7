"""CloudFront's standard logs: W3C text whose `#Fields` line names the columns, and the JSON of the second version.

Source: AWS' "Standard logging reference". Date and time are when the answer was finished, in whole seconds of UTC;
headers are percent-encoded, by older versions twice. The path is taken as it is logged.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import BinaryIO, Final, cast

from tracer_bullet.capture.formats.base import ReadOptions
from tracer_bullet.capture.formats.logs import errors
from tracer_bullet.capture.formats.logs.lines import columns as c
from tracer_bullet.capture.formats.logs.lines.columns import Column, Role
from tracer_bullet.capture.formats.logs.lines.exchange import Maker
from tracer_bullet.capture.formats.logs.lines.json_pattern import document
from tracer_bullet.capture.formats.logs.lines.reading import Lines
from tracer_bullet.capture.formats.logs.values.clock import Stamp, epoch_stamp
from tracer_bullet.capture.formats.logs.values.escapes import percent, plain
from tracer_bullet.capture.formats.logs.values.strftime import stamp_of
from tracer_bullet.model.exchange import Exchange
from tracer_bullet.model.losses import Losses

_FIELDS: Final = "#Fields:"
_STEM, _QUERY, _PROTOCOL = "cs-uri-stem", "cs-uri-query", "cs-protocol"


def _part(pattern: str) -> Stamp:
    return replace(cast("Stamp", stamp_of(pattern)), zoned=True)


_COLUMNS: Final[dict[str, Column]] = {
    "date": c.moment(Role.END, _part("%Y-%m-%d")),
    "time": c.moment(Role.END, _part("%H:%M:%S")),
    "timestamp(ms)": c.moment(Role.END, epoch_stamp(1_000_000)),
    "time-taken": c.duration(c.SECOND_NS),
    "time-to-first-byte": c.duration(c.SECOND_NS, Role.FIRST_BYTE),
    "cs-method": Column(role=Role.METHOD),
    _STEM: Column(role=Role.TARGET),
    _PROTOCOL: Column(role=Role.SCHEME),
    "cs-protocol-version": Column(role=Role.PROTOCOL),
    "x-host-header": c.header("host"),
    "cs(Host)": Column(role=Role.HOST),
    "cs(User-Agent)": c.header("user-agent"),
    "cs(Referer)": c.header("referer"),
    "cs(Cookie)": c.header("cookie"),
    "x-forwarded-for": c.header("x-forwarded-for"),
    "c-ip": Column(role=Role.CLIENT),
    "sc-status": c.status(),
    "sc-content-type": c.answer_header("content-type"),
    "sc-content-len": c.answer_header("content-length"),
}
_ENCODED: Final = frozenset({Role.HEADER, Role.ANSWER_HEADER})


class CloudFront:
    """Standard logs, both versions."""

    name = "CloudFront standard log"

    def recognises(self, head: bytes) -> bool:
        """See Format."""
        first = head.removeprefix(b"\xef\xbb\xbf")
        if first.startswith((b"#Version:", b"#Fields:")):
            return b"cs-uri-stem" in head and b"x-edge-location" in head
        found = document(first.split(b"\n", 1)[0].strip().decode("latin-1"))
        return isinstance(found, dict) and {_STEM, "x-edge-location"} <= found.keys()

    def read(self, stream: BinaryIO, losses: Losses, options: ReadOptions) -> Iterator[Exchange]:
        """See Format."""
        if options.log_format:
            raise errors.format_unclear(options.log_format, "CloudFront's logs name their own columns")
        if options.log_time == "start":
            raise errors.contradiction("CloudFront's log", "end")
        return _read(stream, losses, options)


def _read(stream: BinaryIO, losses: Losses, options: ReadOptions) -> Iterator[Exchange]:
    lines = Lines(stream, losses)
    table: _Table | None = None
    for line in lines:
        if line.startswith("#"):
            if line.startswith(_FIELDS):
                table = _Table(line.removeprefix(_FIELDS).split(), losses, options)
            continue
        texts = line.split("\t")
        if line.startswith("{"):
            found = document(line)
            if isinstance(found, dict) and (table is None or table.names != list(found)):
                table = _Table([str(key) for key in found], losses, options)
            texts = ["-" if value is None else str(value) for value in found.values()] if found else []
        if table is None or len(texts) != len(table.names):
            losses.lose(c.TORN if lines.torn else c.NO_FORM, line)
            continue
        exchange = table.make(texts)
        if exchange is not None:
            yield exchange


class _Table:
    """The columns that a `#Fields` line, or an object's keys, name."""

    def __init__(self, names: list[str], losses: Losses, options: ReadOptions) -> None:
        self.names = names
        self._picked = [(place, _COLUMNS[name]) for place, name in enumerate(names) if name in _COLUMNS]
        self._query = names.index(_QUERY) if _QUERY in names else None
        self._protocol = names.index(_PROTOCOL) if _PROTOCOL in names else None
        columns = [*(column for _, column in self._picked), Column(role=Role.UPGRADE)]
        self._maker = Maker(columns, source="cloudfront", options=options, losses=losses, unescape=plain)

    def make(self, texts: Sequence[str]) -> Exchange | None:
        """Of one line."""
        values = [self._value(texts, place, column) for place, column in self._picked]
        return self._maker.make([*values, None if self._protocol is None else texts[self._protocol]])

    def _value(self, texts: Sequence[str], place: int, column: Column) -> str | None:
        text = texts[place]
        if text == "-":
            return None
        if column.role is Role.TARGET and self._query is not None and (query := texts[self._query]) not in ("-", ""):
            return f"{text}?{query}"
        return percent(text) if column.role in _ENCODED else text
