"""Durations as counted buckets of equal ratio: quantiles that add up.

The contract between runs and between engines. A duration d in ns lies in bucket
`floor(ln(max(d, 1)) / ln(1.02))`, so a quantile is within 2 % of the exact one (mostly 1 %),
whatever the shape, and distributions of two sets merge by adding counts (t-digests do neither at p99.9).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

GROWTH: Final = 1.02
_LN_GROWTH: Final = math.log(GROWTH)
_NS_PER_MS: Final = 1e6


def bucket_of(duration_ns: int) -> int:
    """The bucket of a duration; zero and negative ones are in bucket 0, with 1 ns."""
    return math.floor(math.log(max(duration_ns, 1)) / _LN_GROWTH)


@dataclass(frozen=True, slots=True, kw_only=True)
class Latency:
    """Quantiles of durations, in milliseconds, within 2 %; the longest is exact."""

    p50_ms: float
    p90_ms: float
    p95_ms: float
    p99_ms: float
    p999_ms: float
    max_ms: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Distribution:
    """How often which durations were met. `buckets` are (bucket, count), ascending, without zeros."""

    buckets: tuple[tuple[int, int], ...] = ()
    total_ns: int = 0
    min_ns: int = 0
    max_ns: int = 0

    @classmethod
    def of(cls, durations_ns: Iterable[int]) -> Distribution:
        """Of single durations; negative ones count as zero."""
        values = [max(d, 0) for d in durations_ns]
        if not values:
            return cls()
        counted = Counter(map(bucket_of, values))
        return cls(buckets=tuple(sorted(counted.items())), total_ns=sum(values), min_ns=min(values), max_ns=max(values))

    @property
    def count(self) -> int:
        """How many durations."""
        return sum(n for _, n in self.buckets)

    @property
    def mean_ns(self) -> float:
        """The exact mean; 0 when empty."""
        return self.total_ns / self.count if self.buckets else 0.0

    def merge(self, other: Distribution) -> Distribution:
        """Both together: the same as if all durations had been counted at once."""
        if not self.buckets or not other.buckets:
            return self if self.buckets else other
        counted = Counter(dict(self.buckets))
        counted.update(dict(other.buckets))
        return Distribution(
            buckets=tuple(sorted(counted.items())),
            total_ns=self.total_ns + other.total_ns,
            min_ns=min(self.min_ns, other.min_ns),
            max_ns=max(self.max_ns, other.max_ns),
        )

    def quantile_ns(self, q: float) -> float:
        """The duration that a share `q` (0 to 1) does not exceed; 0 when empty.

        Rank q·(n−1), spread evenly (by ratio) over its bucket, never outside what was met.
        """
        rank = q * (self.count - 1)
        before = 0
        for bucket, n in self.buckets:
            if rank < before + n:
                inside = (rank - before + 0.5) / n
                return float(min(max(GROWTH ** (bucket + min(inside, 1.0)), self.min_ns), self.max_ns))
            before += n
        return float(self.max_ns)

    def share_within(self, limit_ns: float) -> float:
        """The share of durations of at most `limit_ns`, spread evenly over the bucket it falls in; 0 when empty."""
        if not self.buckets:
            return 0.0
        if limit_ns >= self.max_ns:
            return 1.0
        if limit_ns < max(self.min_ns, 1):
            return 0.0
        place = math.log(limit_ns) / _LN_GROWTH
        whole = math.floor(place)
        below = sum(n * (1.0 if b < whole else place - whole) for b, n in self.buckets if b <= whole)
        return below / self.count

    def latency(self) -> Latency:
        """The usual quantiles."""
        p50, p90, p95, p99, p999 = (self.quantile_ns(q) / _NS_PER_MS for q in (0.5, 0.9, 0.95, 0.99, 0.999))
        return Latency(p50_ms=p50, p90_ms=p90, p95_ms=p95, p99_ms=p99, p999_ms=p999, max_ms=self.max_ns / _NS_PER_MS)
