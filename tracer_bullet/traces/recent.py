"""Spans that are not of the share that is kept, for as long as somebody may still ask for them.

Whether a request failed is known a moment after its spans came, and before its services' exporters have sent all of
them; so they wait, bounded by time and by memory, whichever is less.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Collection
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa


@dataclass(frozen=True, slots=True, kw_only=True)
class Recent:
    """How much may wait: so long, so many bytes of Arrow; and how many traces may be claimed in all."""

    seconds: float = 30.0
    bytes: int = 64 << 20
    claims: int = 10_000


class RecentSpans:
    """Batches of spans in order of arrival, the oldest forgotten first. For one thread at a time."""

    def __init__(self, bounds: Recent, clock: Callable[[], float] = time.monotonic) -> None:
        self.bounds = bounds
        self._clock = clock
        self._batches: deque[tuple[float, pa.RecordBatch]] = deque()
        self._bytes = 0

    @property
    def bytes(self) -> int:
        """What waits now."""
        return self._bytes

    def add(self, batch: pa.RecordBatch) -> None:
        """Have a batch wait."""
        if batch.num_rows:
            self._batches.append((self._clock(), batch))
            self._bytes += batch.nbytes
        self._forget()

    def take(self, traces: Collection[tuple[int, int]]) -> list[pa.RecordBatch]:
        """The spans of these traces (high and low half, signed), which then wait no longer."""
        self._forget()
        if not traces:
            return []
        taken, left = [], deque[tuple[float, pa.RecordBatch]]()
        for came_s, batch in self._batches:
            wanted = rows_of(batch, traces)
            if wanted.any():
                taken.append(batch.filter(pa.array(wanted)))
                self._bytes -= batch.nbytes
                batch = batch.filter(pa.array(~wanted))  # noqa: PLW2901
                self._bytes += batch.nbytes
            if batch.num_rows:
                left.append((came_s, batch))
        self._batches = left
        return taken

    def _forget(self) -> None:
        since_s = self._clock() - self.bounds.seconds
        while self._batches and (self._bytes > self.bounds.bytes or self._batches[0][0] < since_s):
            self._bytes -= self._batches.popleft()[1].nbytes


def rows_of(batch: pa.RecordBatch, traces: Collection[tuple[int, int]]) -> npt.NDArray[np.bool_]:
    """Which rows belong to these traces."""
    low = batch.column("trace_lo").to_numpy()
    near = np.isin(low, np.fromiter((lo for _, lo in traces), np.int64, len(traces)))
    if not near.any():
        return near
    high = batch.column("trace_hi").to_numpy()
    for row in np.flatnonzero(near):
        near[row] = (int(high[row]), int(low[row])) in traces
    return near
