"""Many histograms as one sparse table: rows × slots, counted in bulk.

A histogram of 3 digits has 23,552 slots, 184 KiB; a recording has thousands of endpoints, of which each fills a few
hundred. So pairs of row and slot are kept as sorted numbers with their counts, and new ones wait unsorted until they
are worth merging (as in a log-structured merge tree): some 20 ns a value, 16 bytes a filled slot.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from tracer_bullet.engine.histogram.buckets import Ints

_FEWEST_PENDING: Final = 32_768
_MOST_PENDING: Final = 131_072
_MOST_PARTS: Final = 256
_NONE: Final = np.zeros(0, np.int64)


class BucketTable:
    """Counts by row (any number from 0 on) and slot (below `width`)."""

    __slots__ = ("_counts", "_keys", "_parts", "_pending", "width")

    def __init__(self, width: int) -> None:
        self.width = width
        self._keys = _NONE
        self._counts = _NONE
        self._parts: list[Ints] = []
        self._pending = 0

    def add(self, rows: Ints | int, slots: Ints) -> None:
        """Count 1 at each pair; `rows` is one row for all, or one a slot."""
        if not slots.size:
            return
        self._parts.append(rows * self.width + slots)
        self._pending += slots.size
        enough = min(max(_FEWEST_PENDING, self._keys.size), _MOST_PENDING)
        if self._pending >= enough or len(self._parts) >= _MOST_PARTS:
            self._settle()

    def merge(self, other: BucketTable) -> None:
        """Add all counts of a table of the same width."""
        self._settle()
        other._settle()
        self._put(other._keys, other._counts)

    def rows(self) -> Ints:
        """The rows that have counts, ascending."""
        self._settle()
        return np.unique(self._keys // self.width)

    def row(self, row: int) -> Ints:
        """The counts of a row, one a slot."""
        return self.span(row, row + 1)

    def entries(self, row: int) -> dict[int, int]:
        """The counts of a row by slot, without the empty slots: for widths that no array could have."""
        self._settle()
        low, high = np.searchsorted(self._keys, (row * self.width, (row + 1) * self.width))
        slots = self._keys[low:high] - row * self.width
        return dict(zip(slots.tolist(), self._counts[low:high].tolist(), strict=True))

    def span(self, first: int, after: int) -> Ints:
        """The counts of the rows from `first` to before `after`, summed, one a slot."""
        self._settle()
        low, high = np.searchsorted(self._keys, (first * self.width, after * self.width))
        return self._dense(low, high)

    def total(self) -> Ints:
        """The counts of all rows, summed, one a slot."""
        self._settle()
        return self._dense(0, self._keys.size)

    def forget(self, before: int) -> None:
        """Drop the rows below `before`."""
        self._settle()
        low = int(np.searchsorted(self._keys, before * self.width))
        self._keys, self._counts = self._keys[low:].copy(), self._counts[low:].copy()

    def halve(self) -> None:
        """Make one row of each two: row n becomes n // 2."""
        self._settle()
        if not self._keys.size:
            return
        keys = self._keys // self.width // 2 * self.width + self._keys % self.width
        # Stable sorting finds the two sorted runs of each new row, and merges them in one pass.
        order = np.argsort(keys, kind="stable")
        keys = keys[order]
        starts = np.flatnonzero(np.concatenate(([True], keys[1:] != keys[:-1])))
        self._counts = np.add.reduceat(self._counts[order], starts)
        self._keys = keys[starts]

    def _dense(self, low: int, high: int) -> Ints:
        out = np.zeros(self.width, np.int64)
        np.add.at(out, self._keys[low:high] % self.width, self._counts[low:high])
        return out

    def _settle(self) -> None:
        if not self._parts:
            return
        keys, counts = np.unique(np.concatenate(self._parts), return_counts=True)
        self._parts.clear()
        self._pending = 0
        self._put(keys, counts.astype(np.int64))

    def _put(self, keys: Ints, counts: Ints) -> None:
        """Add the counts of keys that ascend. In place where they are known: a table of a million would be copied
        several times by sorting it anew."""
        if not keys.size:
            return
        places = np.searchsorted(self._keys, keys)
        known = places < self._keys.size
        known[known] = self._keys[places[known]] == keys[known]
        self._counts[places[known]] += counts[known]
        if not known.all():
            places, keys, counts = places[~known], keys[~known], counts[~known]
            self._keys = np.insert(self._keys, places, keys)
            self._counts = np.insert(self._counts, places, counts)
