"""For how long of a section something else was under way."""

from __future__ import annotations

import numpy as np

from tracer_bullet.graph.paths.trees import Ints, batches

Intervals = tuple[Ints, Ints, Ints]


def covered_time(roots: tuple[Ints, Ints], others: Intervals, sections: Intervals) -> Ints:
    """How many ns of each section lie in the union of `others` of its trace.

    `roots`: start and end of each trace. `others` and `sections`: (trace, start, end), inside their roots,
    `start` ≤ `end` for sections; others that end before they start count as empty.
    """
    begin, finish = roots
    found = np.zeros(len(sections[0]), dtype=np.int64)
    if not len(others[0]):
        return found
    for low, high, offset in batches(finish - begin):
        place = offset - begin[low:high]
        chosen = np.flatnonzero((sections[0] >= low) & (sections[0] < high))
        union = _Union(*_placed(others, low, high, place))
        shift = place[sections[0][chosen] - low]
        found[chosen] = union.until(sections[2][chosen] + shift) - union.until(sections[1][chosen] + shift)
    return found


def _placed(intervals: Intervals, low: int, high: int, place: Ints) -> tuple[Ints, Ints]:
    trace, start, end = intervals
    chosen = np.flatnonzero((trace >= low) & (trace < high) & (end > start))
    shift = place[trace[chosen] - low]
    return start[chosen] + shift, end[chosen] + shift


class _Union:
    """Intervals on one axis, merged."""

    def __init__(self, start: Ints, end: Ints) -> None:
        order = np.argsort(start)
        start, reach = start[order], np.maximum.accumulate(end[order])
        first = np.ones(len(start), dtype=np.bool_)
        first[1:] = start[1:] > reach[:-1]
        self._start = start[first]
        self._length = reach[np.append(first[1:], True)[: len(reach)]] - self._start
        self._before = np.cumsum(self._length) - self._length

    def until(self, place: Ints) -> Ints:
        """How much of the union lies before each place."""
        if not len(self._start):
            return np.zeros(len(place), dtype=np.int64)
        last = np.searchsorted(self._start, place, side="right") - 1
        inside = np.minimum(place - self._start[last], self._length[last])
        return np.where(last < 0, 0, self._before[last] + inside)
