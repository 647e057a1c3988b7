"""What came back, second by second: for guardrails while a run lasts, and for the page afterwards."""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from tracer_bullet.engine.histogram.buckets import SLOTS, Ints
from tracer_bullet.engine.histogram.hdr import Histogram
from tracer_bullet.engine.histogram.table import BucketTable
from tracer_bullet.model.replay import Quantiles

_ROW: Final = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Second:
    """One second of a run, by when shots ended. `second` is Unix time; `bad` had no whole answer, or a 5xx.

    The percentiles are of the latency from the intended time.
    """

    second: int
    requests: int
    bad: int
    p50_ms: float
    p99_ms: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """The last seconds together. `latency` counts from the intended time."""

    requests: int
    bad: int
    latency: Quantiles

    @property
    def bad_share(self) -> float:
        """0 to 1; 0 when nothing came."""
        return self.bad / self.requests if self.requests else 0.0


class SecondSeries:
    """Counts and percentiles of each second: 40 bytes a second for ever, histograms for a while.

    A second's percentiles are fixed when it is `detail_s` old; what still ends in it is only counted then, which an
    engine that reports twice a second never needs. With `forgets` nothing is kept of such a second: for who asks for
    the `window` alone.
    """

    def __init__(self, detail_s: int = 600, *, forgets: bool = False) -> None:
        self._detail_s = detail_s
        self._forgets = forgets
        self._latency = BucketTable(SLOTS)
        # second → [requests, bad, p50_us, p99_us]; the last two only once they are fixed.
        self._seconds: dict[int, list[float]] = {}
        # Those that are fixed, one after the other: second, requests, bad, p50_us, p99_us.
        self._fixed = array("d")
        self._fixed_before = 0

    def record(self, seconds: Ints, slots: Ints, bad: Ints) -> None:
        """Count shots: the second each ended in, its latency's slot, and 1 when it is bad."""
        if not seconds.size:
            return
        found, places = np.unique(seconds, return_inverse=True)
        requests = np.bincount(places)
        bads = np.bincount(places, weights=bad)
        for second, n, b in zip(found.tolist(), requests.tolist(), bads.tolist(), strict=True):
            entry = self._seconds.setdefault(second, [0, 0, 0.0, 0.0])
            entry[0] += n
            entry[1] += int(b)
        current = seconds >= self._fixed_before
        self._latency.add(seconds[current], slots[current])
        # In steps, since each walks over the table.
        newest = int(found[-1])
        if newest - 2 * self._detail_s >= self._fixed_before:
            self._fix(newest - self._detail_s)

    def merge(self, other: SecondSeries) -> None:
        """Add another's counts. Percentiles of seconds that either has fixed are the worse of both."""
        for second, theirs in [*other._rows(), *other._seconds.items()]:
            _add(self._seconds.setdefault(second, [0, 0, 0.0, 0.0]), theirs)
        self._latency.merge(other._latency)

    def window(self, length_s: float) -> Window:
        """The newest `length_s` seconds, the begun one included; at most `detail_s` of them."""
        if not self._seconds:
            return Window(requests=0, bad=0, latency=Quantiles())
        newest = max(self._seconds)
        first = newest + 1 - max(int(length_s), 1)
        chosen = [self._seconds[s] for s in range(first, newest + 1) if s in self._seconds]
        latency = Histogram(self._latency.span(first, newest + 1)).quantiles()
        return Window(requests=int(sum(e[0] for e in chosen)), bad=int(sum(e[1] for e in chosen)), latency=latency)

    def seconds(self) -> list[Second]:
        """All seconds in which something ended, in order."""
        found = dict(self._rows())
        for second, entry in self._seconds.items():
            _add(found.setdefault(second, [0, 0, 0.0, 0.0]), self._with_percentiles(second, entry))
        return [
            Second(second=s, requests=int(n), bad=int(b), p50_ms=p50 / 1000, p99_ms=p99 / 1000)
            for s, (n, b, p50, p99) in sorted(found.items())
        ]

    def _rows(self) -> Iterator[tuple[int, list[float]]]:
        """The fixed seconds; one may be there twice, when something ended in it late."""
        rows = self._fixed
        together: dict[int, list[float]] = {}
        for at in range(0, len(rows), _ROW):
            _add(together.setdefault(int(rows[at]), [0, 0, 0.0, 0.0]), rows[at + 1 : at + _ROW])
        yield from together.items()

    def _with_percentiles(self, second: int, entry: list[float]) -> list[float]:
        counts = self._latency.row(second)
        if not counts.any():
            return entry
        return [*entry[:2], *Histogram(counts).values_us((50.0, 99.0))]

    def _fix(self, before: int) -> None:
        for second in sorted(second for second in self._seconds if second < before):
            entry = self._seconds.pop(second)
            if not self._forgets:
                self._fixed.extend((second, *self._with_percentiles(second, entry)))
        self._latency.forget(before)
        self._fixed_before = before


def _add(entry: list[float], more: Sequence[float]) -> None:
    requests, bad, p50, p99 = more
    entry[0] += requests
    entry[1] += bad
    entry[2] = max(entry[2], p50)
    entry[3] = max(entry[3], p99)
