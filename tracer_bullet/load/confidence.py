"""How well percentiles are known: intervals by order statistics, and when to stop measuring. Pure.

Between which order statistics of n independent values the true percentile lies follows from the binomial distribution
alone, whatever the latencies look like: H. A. David and H. N. Nagaraja, "Order Statistics", 3rd ed. (2003), section
7.1; W. J. Conover, "Practical Nonparametric Statistics", 3rd ed. (1999), section 3.2. Requests of one run are not
independent: `worth` says how many independent ones they are worth (`load.baseline.variance`).
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from statistics import NormalDist
from typing import Final

import numpy as np
from numpy.typing import NDArray

from tracer_bullet.model.shares import CONFIDENCE, enough_for, normal_quantile

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

# Beyond it the normal approximation is as good as the sum, to less than one part in 10⁴ of the interval's width.
_EXACT_UP_TO: Final = 10_000_000


@dataclass(frozen=True, slots=True, eq=False)
class Counts:
    """How often which latency was met. `values_ms` ascend, without repetition; `counts` are above 0; both as long.

    Percentiles are HdrHistogram's, so that they are those of the report when the values are the slots' highest.
    """

    values_ms: Floats
    counts: Ints

    @classmethod
    def of(cls, counts: Ints, values_ms: Floats) -> Counts:
        """From a count for each slot and the slots' values, empty slots included."""
        filled = np.flatnonzero(counts)
        return cls(np.asarray(values_ms, np.float64)[filled], np.asarray(counts, np.int64)[filled])

    @classmethod
    def of_values(cls, values_ms: Iterable[float] | Floats) -> Counts:
        """From single latencies, each counted as it is."""
        values = values_ms if isinstance(values_ms, np.ndarray) else np.asarray(list(values_ms), np.float64)
        found, counts = np.unique(values, return_counts=True)
        return cls(found, counts.astype(np.int64))

    @property
    def total(self) -> int:
        """How many latencies."""
        return int(self.counts.sum())

    def percentile(self, percentile: float) -> float:
        """The latency that this percentage does not exceed, in ms; 0 when empty."""
        return self._ranked(max(int(percentile * self.total / 100 + 0.5), 1)) if self.counts.size else 0.0

    def at_share(self, share: float) -> float:
        """The latency of the rank ⌈share · total⌉, in ms. Must not be empty."""
        total = self.total
        return self._ranked(min(max(math.ceil(share * total - 1e-9), 1), total))

    def mean(self) -> float:
        """In ms; 0 when empty."""
        return float(np.dot(self.counts, self.values_ms)) / self.total if self.counts.size else 0.0

    def _ranked(self, rank: int) -> float:
        return float(self.values_ms[np.searchsorted(np.cumsum(self.counts), rank)])


NOTHING: Final = Counts(np.zeros(0, np.float64), np.zeros(0, np.int64))


def interval(
    counts: Counts, percentile: float, *, confidence: float = CONFIDENCE, worth: float | None = None
) -> tuple[float, float]:
    """Between which latencies (ms) the true percentile (0 to 100, both excluded) lies.

    `worth`: how many independent latencies these are worth; default: all. A side that so few cannot bound is 0 or
    infinite: 200 requests say nothing of how high p99.9 may be.
    """
    n = counts.total if worth is None else min(worth, counts.total)
    low, high = bounds(percentile / 100, n, confidence=confidence)
    return (
        counts.at_share(low) if low > 0 else 0.0,
        counts.at_share(high) if high <= 1 else math.inf,
    )


def bounds(quantile: float, n: float, *, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """The shares of n sorted values where the interval of a quantile (0 to 1) ends.

    The low one is 0, the high one infinite, where n values do not bound it. Exact: the l-th and the u-th value, with l
    the largest and u the smallest with P(Bin(n, q) < l) ≤ α/2 and P(Bin(n, q) ≥ u) ≤ α/2; for more than 10⁷ values by
    the normal approximation. A broken n is rounded down.
    """
    whole = math.floor(n)
    if whole < 1:
        return 0.0, math.inf
    if whole > _EXACT_UP_TO:
        half = normal_quantile(confidence) * math.sqrt(quantile * (1 - quantile) / whole)
        return max(quantile - half, 0.0), quantile + half
    low, high = _ranks(quantile, whole, (1 - confidence) / 2)
    return low / whole, (high / whole if high <= whole else math.inf)


@lru_cache(maxsize=1_024)
def _ranks(quantile: float, n: int, tail: float) -> tuple[int, int]:
    """l (0: none) and u (n + 1: none) of `bounds`."""
    first, probabilities = _binomial(quantile, n)
    below = np.cumsum(probabilities)  # P(X ≤ first + i)
    # P(X < l) = below[l − 1 − first]
    low = first + int(np.searchsorted(below, tail, side="right"))
    above = np.cumsum(probabilities[::-1])  # P(X ≥ last − i)
    high = first + probabilities.size - int(np.searchsorted(above, tail, side="right"))
    return max(low, 0), min(high, n + 1)


def _binomial(quantile: float, n: int) -> tuple[int, Floats]:
    """The probabilities of a binomial count from the first number that is possible at all in practice, on."""
    spread = 12 * math.sqrt(n * quantile * (1 - quantile)) + 12
    first = max(math.floor(n * quantile - spread), 0)
    last = min(math.ceil(n * quantile + spread), n)
    k = np.arange(first, last, dtype=np.float64)
    odds = math.log(quantile) - math.log1p(-quantile)
    logs = np.concatenate(([0.0], np.cumsum(np.log(n - k) - np.log(k + 1) + odds)))
    weights = np.exp(logs - logs.max())
    return first, np.asarray(weights / weights.sum())


def student(confidence: float, freedom: float) -> float:
    """Student's t of a two-sided interval, with so many degrees of freedom (at least 3, within 1 %; from 8 on 0.1 %).

    M. Abramowitz and I. A. Stegun, "Handbook of Mathematical Functions" (1964), 26.7.5.
    """
    z = normal_quantile(confidence)
    terms = (
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
        (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / 92160,
    )
    return z + sum(term / freedom**power for power, term in enumerate(terms, start=1))


def widened(confidence: float, freedom: float) -> float:
    """The confidence whose normal quantile is Student's t: for intervals whose variance was estimated."""
    return 2 * NormalDist().cdf(student(confidence, freedom)) - 1


class Known:
    """The stop rule "the percentile is known within x %".

    Who looks again and again stops early by chance. So the 95 % interval must be within ±`within` of the percentile on
    `LOOKS` looks one after the other, `APART_S` apart, with enough values on both sides of the percentile. Stopping
    when a fixed width is reached is sound if it takes many values: Y. S. Chow and H. Robbins, "On the asymptotic theory
    of fixed-width sequential confidence intervals for the mean", Annals of Mathematical Statistics 36 (1965), 457-462;
    for values that are not independent, P. W. Glynn and W. Whitt, "The asymptotic validity of sequential stopping rules
    for stochastic simulations", Annals of Applied Probability 2 (1992), 180-198.
    """

    LOOKS: Final = 3
    APART_S: Final = 5.0
    BEYOND: Final = 50
    """As many values must lie on either side of the percentile, as independent ones."""

    def __init__(self, percentile: float, within: float) -> None:
        self.percentile = percentile
        self.within = within
        self._good = 0
        self._looked_s = -math.inf
        self.half: float = math.inf

    def due(self, now_s: float) -> bool:
        """Whether a look would be one: so that figures need not be put together for nothing."""
        return self._good >= self.LOOKS or now_s - self._looked_s >= self.APART_S

    def look(self, now_s: float, counts: Counts, *, worth: float | None = None) -> bool:
        """Whether it is known. May be asked more often than it looks. `worth`: as in `interval`; if it cannot be
        told yet (None), no look is good."""
        if self._good >= self.LOOKS:
            return True
        if not self.due(now_s):
            return False
        self._looked_s = now_s
        self.half = math.inf if worth is None else self._half(counts, worth)
        self._good = self._good + 1 if self.half <= self.within else 0
        return self._good >= self.LOOKS

    def _half(self, counts: Counts, worth: float) -> float:
        """Half the interval's width over the percentile; infinite with too few values."""
        quantile = self.percentile / 100
        n = min(worth, counts.total)
        if not enough_for(quantile, n) or n * min(quantile, 1 - quantile) < self.BEYOND:
            return math.inf
        low, high = interval(counts, self.percentile, worth=n)
        value = counts.percentile(self.percentile)
        # The wider side, so that a long tail is not halved away.
        return max(high - value, value - low) / value if value > 0 else math.inf
