"""Where the data frames of an archive are and what they hold: columns, since a day's capture has 86,400 of them."""

from __future__ import annotations

import heapq
from array import array
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any, Final

import orjson

from tracer_bullet.capture.archive.layout import frames
from tracer_bullet.capture.archive.layout.frames import FrameDamagedError, FrameHead

_COLUMNS: Final = ("offset", "length", "raw", "count", "min_ns", "max_ns")
_HOSTS: Final = 1000
_FRAME_HOSTS: Final = 64
_HOST_LENGTH: Final = 255
OTHER_HOSTS: Final = "*"


class FrameTable:
    """Columns of equal length, one row a data frame, in the order of the file; offsets and lengths in bytes, `raw` is
    the length once decompressed. `hosts` counts exchanges by authority; `*` are those past the first 1,000.
    `sessions` is None where nobody counted. `written` counts all exchanges that were ever written, those in damaged
    frames too. `gaps` are damaged places: offset, length, exchanges lost. `writers` are the documents of the header
    frames: one for each time that the archive was opened to write.
    """

    def __init__(self) -> None:
        self.offset = array("q")
        self.length = array("q")
        self.raw = array("q")
        self.count = array("q")
        self.min_ns = array("q")
        self.max_ns = array("q")
        self.hosts: Counter[str] = Counter()
        self.sessions: int | None = None
        self.written = 0
        self.gaps: list[tuple[int, int, int]] = []
        self.writers: list[dict[str, Any]] = []

    def __len__(self) -> int:
        return len(self.offset)

    def add(self, offset: int, head: FrameHead) -> None:
        """Take up a data frame."""
        for column, value in zip(
            _COLUMNS, (offset, head.length, head.raw_bytes, head.count, head.min_ns, head.max_ns), strict=True
        ):
            getattr(self, column).append(value)
        self.written = max(self.written, head.before) + head.count
        count_hosts(self.hosts, read_summary(head.summary).get("hosts", {}), _HOSTS)

    def drop_last(self) -> None:
        """Forget the last frame, whose hosts stay counted."""
        self.written -= self.count[-1]
        for name in _COLUMNS:
            getattr(self, name).pop()

    def dump(self, offset: int) -> bytes:
        """The index frame that stands at `offset`, with its trailer."""
        document: dict[str, Any] = {
            "offset": offset,
            "frames": {name: getattr(self, name).tolist() for name in _COLUMNS},
        }
        document |= {"hosts": self.hosts, "sessions": self.sessions, "written": self.written, "gaps": self.gaps}
        document["writers"] = self.writers
        raw = orjson.dumps(document)
        compressed = frames.compress(raw, 3)
        # The trailer is part of the payload, and tells the length of the frame that it ends.
        length = frames.FIXED_BYTES + len(compressed) + frames.TRAILER.size
        payload = compressed + frames.TRAILER.pack(length, frames.TRAILER_TAG)
        return frames.pack(frames.INDEX, payload, raw_bytes=len(raw), count=len(self), before=self.written)


def load(data: bytes, offset: int) -> FrameTable:
    """The table of an index frame that was read from `offset`. Raises FrameDamagedError."""
    head, raw = frames.unpack(data)
    if head.kind != frames.INDEX:
        raise FrameDamagedError("it is no index")
    document = orjson.loads(raw)
    if document["offset"] != offset:
        raise FrameDamagedError("it is the index of another file")
    table = FrameTable()
    for name in _COLUMNS:
        getattr(table, name).extend(document["frames"][name])
    table.hosts.update(document["hosts"])
    table.sessions = document["sessions"]
    table.written = document["written"]
    table.gaps = [(at, length, lost) for at, length, lost in document["gaps"]]
    table.writers = document["writers"]
    return table


def read_summary(summary: bytes) -> dict[str, Any]:
    """A header's summary; empty when there is none."""
    return orjson.loads(summary) if summary else {}


def write_summary(hosts: Iterable[str]) -> bytes:
    """The summary of a data frame's exchanges, given the authority of each."""
    counts: Counter[str] = Counter()
    count_hosts(counts, Counter(host[:_HOST_LENGTH] for host in hosts), _FRAME_HOSTS)
    try:
        return orjson.dumps({"hosts": counts})
    except (orjson.JSONEncodeError, TypeError):  # half a surrogate pair in a name
        return orjson.dumps({"hosts": {OTHER_HOSTS: counts.total()}})


def count_hosts(to: Counter[str], counts: Mapping[str, int], limit: int) -> None:
    """Add counts by host, so that `to` never has more than `limit` names."""
    for host, count in counts.items():
        to[host if host in to or len(to) < limit else OTHER_HOSTS] += count


def overlap(table: FrameTable) -> int:
    """How many decompressed bytes must be open at once, at most, to read the archive in order of time."""
    ends: list[tuple[int, int]] = []
    now = peak = 0
    for number in sorted(range(len(table)), key=table.min_ns.__getitem__):
        while ends and ends[0][0] < table.min_ns[number]:
            now -= heapq.heappop(ends)[1]
        now += table.raw[number]
        peak = max(peak, now)
        heapq.heappush(ends, (table.max_ns[number], table.raw[number]))
    return peak
