"""One HdrHistogram, counted in bulk, and its V2 encoding by the `hdrhistogram` package."""

from __future__ import annotations

import base64
import binascii
import zlib
from collections.abc import Iterable

import numpy as np
from hdrh.codec import HdrCookieException, HdrLengthException
from hdrh.histogram import HdrHistogram

from tracer_bullet.engine.histogram.buckets import (
    DIGITS,
    HIGHEST,
    HIGHEST_US,
    LOWEST,
    LOWEST_US,
    MEDIAN,
    SLOTS,
    Ints,
    slots_of_ns,
)
from tracer_bullet.model.replay import Quantiles

# What a decoder may make of a few kilobytes: the whole array, 9 bytes a counter, and the header.
_MOST_BYTES = SLOTS * 9 + 64
# What the library says of what it cannot read.
_UNREADABLE = (
    binascii.Error,
    zlib.error,
    HdrCookieException,
    HdrLengthException,
    IndexError,
    OverflowError,
    TypeError,
)


class Histogram:
    """Counts of times, from 1 µs to 1 h with 3 significant digits. `counts` has one int64 a slot.

    Its quantiles follow from the counts alone, so that a merged or decoded one says the same as one that saw all.
    """

    __slots__ = ("counts",)

    def __init__(self, counts: Ints | None = None) -> None:
        self.counts: Ints = np.zeros(SLOTS, np.int64) if counts is None else counts

    def record_ns(self, values_ns: Ints) -> None:
        """Count times in nanoseconds; below 0 counts as 0, above an hour as an hour."""
        self.counts += np.bincount(slots_of_ns(values_ns), minlength=SLOTS)

    def merge(self, other: Histogram) -> None:
        """Add the other's counts."""
        self.counts += other.counts

    @property
    def count(self) -> int:
        """How many times were counted."""
        return int(self.counts.sum())

    def values_us(self, percentiles: Iterable[float]) -> list[float]:
        """The values in µs at these percentiles (0 to 100), by HdrHistogram's rule: the highest value of the slot."""
        running = np.cumsum(self.counts)
        total = int(running[-1])
        if not total:
            return [0.0 for _ in percentiles]
        targets = [max(int(p * total / 100 + 0.5), 1) for p in percentiles]
        return [float(value) for value in HIGHEST[np.searchsorted(running, targets)]]

    def quantiles(self) -> Quantiles:
        """The figures of a report; the mean takes each slot at its middle, as HdrHistogram does."""
        total = self.count
        if not total:
            return Quantiles()
        p50, p90, p95, p99, p999, top = (v / 1000 for v in self.values_us((50.0, 90.0, 95.0, 99.0, 99.9, 100.0)))
        mean = float(np.dot(self.counts, MEDIAN)) / total / 1000
        return Quantiles(
            count=total, mean_ms=mean, p50_ms=p50, p90_ms=p90, p95_ms=p95, p99_ms=p99, p999_ms=p999, max_ms=top
        )

    def encode(self) -> str:
        """HdrHistogram V2, compressed, in base64: what every HdrHistogram library reads. Its unit is 1 µs."""
        hdr = HdrHistogram(LOWEST_US, HIGHEST_US, DIGITS)
        np.frombuffer(hdr.counts, np.int64)[:] = self.counts
        filled = np.flatnonzero(self.counts)
        if filled.size:
            hdr.total_count = self.count
            hdr.min_value = int(LOWEST[filled[0]])
            hdr.max_value = int(LOWEST[filled[-1]])
        return str(hdr.encode().decode("ascii"))

    @classmethod
    def decode(cls, text: str) -> Histogram:
        """The opposite of `encode`. Raises ValueError for anything else, other ranges and precisions included."""
        try:
            _bounded(text)
            hdr = HdrHistogram.decode(text)
        except _UNREADABLE as error:
            raise ValueError(f"no HdrHistogram in V2 encoding: {error!r}") from None
        if (hdr.lowest_trackable_value, hdr.highest_trackable_value, hdr.significant_figures) != (
            LOWEST_US,
            HIGHEST_US,
            DIGITS,
        ):
            raise ValueError("an HdrHistogram of another range or precision than 1 µs … 1 h with 3 digits")
        counts = np.frombuffer(hdr.counts, np.int64).copy()
        if (counts < 0).any():
            raise ValueError("an HdrHistogram with negative counts")
        return cls(counts)


def _bounded(text: str) -> None:
    """Refuse, before the library sees it, what would unpack to more than a histogram can be."""
    raw = base64.b64decode(text, validate=True)
    unpacker = zlib.decompressobj()
    unpacked = unpacker.decompress(raw[8:], _MOST_BYTES)
    if unpacker.unconsumed_tail or not unpacker.eof:
        raise ValueError("no HdrHistogram in V2 encoding: its compressed part is too long or cut")
    # cookie, length, offset, digits, lowest, highest, ratio: 40 bytes. The library does not bound the digits' arrays.
    if len(unpacked) < 40 or int.from_bytes(unpacked[12:16], "big") != DIGITS:
        raise ValueError("no HdrHistogram in V2 encoding with 3 digits")
    if int.from_bytes(unpacked[24:32], "big") != HIGHEST_US or int.from_bytes(unpacked[16:24], "big") != LOWEST_US:
        raise ValueError("an HdrHistogram of another range than 1 µs … 1 h")
