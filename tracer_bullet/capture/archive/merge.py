"""Reading frames in the order of time, in bounded memory. Does I/O.

Lines of a frame are ordered already (docs/archive.md), so this is a merge of frames: one is opened when its first start
is reached. Frames that stay open for long (a request that took an hour makes one) may be closed and opened again.
"""

from __future__ import annotations

import heapq
from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from tracer_bullet.capture.archive.records import started

# Decompressed; the lines of a frame need about 1.2 times their bytes.
OPEN_BYTES: Final = 24 << 20

Load = Callable[[int], list[bytes]]


class OpenFrames:
    """The lines of frames by number, the least recently used forgotten when there are more than `limit` bytes."""

    def __init__(self, load: Load, limit: int = OPEN_BYTES) -> None:
        self._load = load
        self._limit = limit
        self._open: OrderedDict[int, tuple[list[bytes], int]] = OrderedDict()
        self._bytes = 0
        self.loads = 0

    def lines(self, number: int) -> list[bytes]:
        """The lines of a frame, read again if need be; empty for one that is damaged."""
        found = self._open.get(number)
        if found is not None:
            self._open.move_to_end(number)
            return found[0]
        self.loads += 1
        lines = self._load(number)
        size = sum(map(len, lines))
        self._open[number] = lines, size
        self._bytes += size
        while self._bytes > self._limit and len(self._open) > 1:
            _, (_, size) = self._open.popitem(last=False)
            self._bytes -= size
        return lines

    def drop(self, number: int) -> None:
        """Forget a frame that was read to its end."""
        _, size = self._open.pop(number, ([], 0))
        self._bytes -= size


def in_order(
    numbers: Sequence[int], min_ns: Sequence[int], open_frames: OpenFrames, since_ns: int | None, until_ns: int | None
) -> Iterator[tuple[int, int, bytes]]:
    """Lines by `started_ns`, those of the same start by frame and place: (frame, place, line).

    `numbers` are the frames to read, `min_ns` their first starts by number. `since_ns` inclusive, `until_ns` exclusive.
    """
    waiting = sorted(numbers, key=lambda number: (min_ns[number], number))
    waiting.reverse()
    heap: list[tuple[int, int, int]] = []  # next start, frame, place
    while waiting or heap:
        while waiting and (not heap or min_ns[waiting[-1]] <= heap[0][0]):
            _push(heap, waiting.pop(), open_frames, since_ns)
        if not heap:
            continue
        _, number, first = heapq.heappop(heap)
        # Up to here no other frame comes in between.
        bound = min_ns[waiting[-1]] if waiting else None
        other = heap[0][:2] if heap else None
        lines = open_frames.lines(number)
        for place in range(first, len(lines)):
            line = lines[place]
            start = started(line)
            if until_ns is not None and start >= until_ns:
                open_frames.drop(number)
                break
            if (bound is not None and start >= bound) or (other is not None and (start, number) > other):
                heapq.heappush(heap, (start, number, place))
                break
            yield number, place, line
        else:
            open_frames.drop(number)


def _push(heap: list[tuple[int, int, int]], number: int, open_frames: OpenFrames, since_ns: int | None) -> None:
    lines = open_frames.lines(number)
    place = 0 if since_ns is None else bisect_left(lines, since_ns, key=started)
    if place < len(lines):
        heapq.heappush(heap, (started(lines[place]), number, place))
    else:
        open_frames.drop(number)
