"""The captured load over time, in bounded memory: requests per second, the busiest window, pauses cut."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from tracer_bullet.replay.timing.stamps import SECOND_NS

_MOST_BUCKETS: Final = 65_536


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """Requests in each stretch of `width_s` seconds of the recording, from its beginning, pauses already cut."""

    width_s: int = 1
    counts: tuple[int, ...] = ()

    def busiest(self, window_s: float) -> float:
        """The most requests in any window of this length, per second; a bucket that is cut through counts in part."""
        if not self.counts:
            return 0.0
        width = max(window_s / self.width_s, 1e-9)
        sums = [0]
        for count in self.counts:
            sums.append(sums[-1] + count)
        last = len(self.counts)
        # The most is found where the window begins, or ends, at the border of a bucket: between, the sum is linear.
        starts = [float(i) for i in range(last)] + [i - width for i in range(1, last + 1)]
        return max(_until(sums, s + width) - _until(sums, s) for s in starts) / window_s


def _until(sums: list[int], at: float) -> float:
    if at <= 0:
        return 0.0
    whole = int(at)
    if whole >= len(sums) - 1:
        return float(sums[-1])
    return sums[whole] + (at - whole) * (sums[whole + 1] - sums[whole])


class CurveBuilder:
    """Counts requests in buckets of a second, and doubles their width when there would be too many."""

    def __init__(self) -> None:
        self._width = 1
        self._counts: list[int] = []

    def add(self, at_ns: int) -> None:
        """A request so long after the beginning."""
        bucket = at_ns // (SECOND_NS * self._width)
        while bucket >= _MOST_BUCKETS:
            pairs = zip(self._counts[::2], [*self._counts[1::2], 0], strict=False)
            self._counts = [a + b for a, b in pairs]
            self._width *= 2
            bucket //= 2
        counts = self._counts
        if bucket >= len(counts):
            counts.extend([0] * (bucket + 1 - len(counts)))
        counts[bucket] += 1

    def curve(self) -> Curve:
        """What was counted."""
        return Curve(width_s=self._width, counts=tuple(self._counts))


class Timeline:
    """Recorded starts → nanoseconds after the first one, with pauses longer than `max_gap_s` cut to it.

    `cut` and `cut_ns` say how many pauses were cut, and how much of them.
    """

    def __init__(self, max_gap_s: float | None) -> None:
        self._most = None if max_gap_s is None else round(max_gap_s * SECOND_NS)
        self._previous: int | None = None
        self.at_ns = 0
        self.cut = 0
        self.cut_ns = 0

    def at(self, start_ns: int) -> int:
        """The place of the next start, which must not be before the one before it."""
        if self._previous is None:
            self._previous = start_ns
            return 0
        gap = start_ns - self._previous
        if self._most is not None and gap > self._most:
            self.cut += 1
            self.cut_ns += gap - self._most
            gap = self._most
        self._previous = start_ns
        self.at_ns += gap
        return self.at_ns
