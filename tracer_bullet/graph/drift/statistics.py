"""What two samples say of a change: intervals, effect sizes and p-values. Pure and without chance: no resampling.

Sources stand at each function; docs/drift.md explains them for users.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from statistics import NormalDist
from typing import Final

import numpy as np
import numpy.typing as npt

from tracer_bullet.model import Distribution
from tracer_bullet.model.distribution import GROWTH

Floats = npt.NDArray[np.float64]
_NS_PER_MS: Final = 1e6
# Where a confidence distribution is looked at: normal scores from -6 to 6, so that p-values reach down to 1e-9.
_SCORES: Final = np.linspace(-6.0, 6.0, 241)
_GRID: Final = 4_001


@dataclass(frozen=True, slots=True, kw_only=True)
class QuantileShift:
    """A quantile before and after, the 95 % interval of its difference, and the two-sided p-value of no difference."""

    before_ms: float
    after_ms: float
    low_ms: float
    high_ms: float
    p_value: float


def shift_of(
    quantile: float, before: Distribution, after: Distribution, *, before_calls: float, after_calls: float
) -> QuantileShift:
    """How a quantile moved. `before_calls` and `after_calls` say how many independent calls each sample is worth.

    The rank of a quantile among n calls follows a Beta distribution (fractional order statistics: A. D. Hutson,
    "Calculating nonparametric confidence intervals for quantiles using fractional order statistics", Journal of Applied
    Statistics 26 (1999), 343-353); read through both samples' own quantile functions, and convolved. This is the
    limit of a bootstrap of quantiles with ever more resamples. Needs `enough_for` of both.
    """
    old = _values(before, quantile, before_calls)
    new = _values(after, quantile, after_calls)
    weights = _weights()
    cumulative = np.concatenate(([0.0], np.cumsum(weights)))

    def at_most(shift: float) -> float:
        """The probability that after − before is at most `shift`; ties count half."""
        below = cumulative[np.searchsorted(new, old + shift, side="left")]
        upto = cumulative[np.searchsorted(new, old + shift, side="right")]
        return float(weights @ (below + upto)) / 2

    no_more, no_less = at_most(0.0), 1.0 - at_most(0.0)
    bounds = (float(new[0] - old[-1]), float(new[-1] - old[0]))
    return QuantileShift(
        before_ms=before.quantile_ns(quantile) / _NS_PER_MS,
        after_ms=after.quantile_ns(quantile) / _NS_PER_MS,
        low_ms=_solve(at_most, 0.025, bounds) / _NS_PER_MS,
        high_ms=_solve(at_most, 0.975, bounds) / _NS_PER_MS,
        p_value=min(max(2 * min(no_more, no_less), 1e-12), 1.0),
    )


def cliffs_delta(before: Distribution, after: Distribution) -> float:
    """P(after > before) − P(after < before), from −1 (all faster) to 1 (all slower); calls of one bucket are equal.

    N. Cliff, "Dominance statistics: ordinal analyses to answer ordinal questions", Psychological Bulletin 114 (1993),
    494-509. 0 when a sample is empty.
    """
    if not before.buckets or not after.buckets:
        return 0.0
    old_at, old_n = _columns(before)
    new_at, new_n = _columns(after)
    cumulative = np.concatenate(([0.0], np.cumsum(old_n)))
    less = cumulative[np.searchsorted(old_at, new_at, side="left")]
    more = cumulative[-1] - cumulative[np.searchsorted(old_at, new_at, side="right")]
    return float(np.sum(new_n * (less - more)) / (np.sum(new_n) * cumulative[-1]))


def magnitude(delta: float) -> str:
    """The usual word for a Cliff's delta: J. Romano et al., Florida Association of Institutional Research, 2006."""
    size = abs(delta)
    return next((word for limit, word in _MAGNITUDES if size < limit), "large")


_MAGNITUDES: Final = ((0.147, "negligible"), (0.33, "small"), (0.474, "medium"))


def fisher(bad_before: int, before: int, bad_after: int, after: int) -> float:
    """Fisher's exact test, two-sided: the probability of a table no more likely than this one with its margins."""
    bad = bad_before + bad_after
    first, last = max(0, bad - before), min(bad, after)
    if first == last:
        return 1.0
    k = np.arange(first, last, dtype=np.float64)
    steps = np.log((bad - k) * (after - k)) - np.log((k + 1) * (before - bad + k + 1))
    logs = np.concatenate(([0.0], np.cumsum(steps)))
    odds = np.exp(logs - logs.max())
    seen = odds[bad_after - first]
    return float(min(np.sum(odds[odds <= seen * (1 + 1e-9)]) / np.sum(odds), 1.0))


def none_by_chance(using: int, traces: int, others: int) -> float:
    """The probability that of `traces` + `others` traces, `using` of which use an edge, none is among the `others`.

    One side of Fisher's exact test: C(traces, using) / C(traces + others, using).
    """
    using = min(using, traces)
    return math.exp(_log_choose(traces, using) - _log_choose(traces + others, using))


def benjamini_hochberg(p_values: Sequence[float]) -> list[float]:
    """p-values corrected for their number: at most `alpha` of those at or below `alpha` are false, on average.

    Y. Benjamini and Y. Hochberg, "Controlling the false discovery rate", Journal of the Royal Statistical Society B 57
    (1995), 289-300.
    """
    order = sorted(range(len(p_values)), key=lambda i: p_values[i], reverse=True)
    corrected = [1.0] * len(p_values)
    least = 1.0
    for rank, i in zip(range(len(p_values), 0, -1), order, strict=True):
        least = min(least, p_values[i] * (len(p_values) / rank))
        corrected[i] = least
    return corrected


def _values(distribution: Distribution, quantile: float, calls: float) -> Floats:
    """The quantile's confidence distribution in ns, at the normal scores, ascending."""
    return _quantile_function(distribution, _ranks(quantile, float(calls)))


@lru_cache(maxsize=4_096)
def _ranks(quantile: float, calls: float) -> Floats:
    """Shares below the true quantile, at the normal scores: Beta(q(n−1)+1, (1−q)(n−1)+1)."""
    a, b = quantile * (calls - 1) + 1, (1 - quantile) * (calls - 1) + 1
    mean, spread = a / (a + b), math.sqrt(a * b / (a + b + 1)) / (a + b)
    low, high = max(mean - 9 * spread, 1e-12), min(mean + 9 * spread, 1 - 1e-12)
    grid = np.linspace(low, high, _GRID)
    logs = (a - 1) * np.log(grid) + (b - 1) * np.log1p(-grid)
    density = np.exp(logs - logs.max())
    steps = np.concatenate(([0.0], np.cumsum((density[1:] + density[:-1]) / 2)))
    return np.asarray(np.interp(_levels(), steps / steps[-1], grid))


@cache
def _levels() -> Floats:
    normal = NormalDist()
    return np.asarray([normal.cdf(score) for score in _SCORES])


@cache
def _weights() -> Floats:
    """What each normal score stands for; they add up to 1."""
    normal = NormalDist()
    half = (_SCORES[1] - _SCORES[0]) / 2
    borders = np.asarray([0.0, *(normal.cdf(s + half) for s in _SCORES[:-1]), 1.0])
    return np.asarray(np.diff(borders))


def _quantile_function(distribution: Distribution, shares: Floats) -> Floats:
    """Durations in ns that the shares do not exceed, spread by ratio over their buckets."""
    at, n = _columns(distribution)
    until = np.cumsum(n)
    ranks = np.clip(shares * until[-1], 0.0, until[-1])
    place = np.minimum(np.searchsorted(until, ranks, side="left"), len(at) - 1)
    inside = np.clip((ranks - (until[place] - n[place])) / n[place], 0.0, 1.0)
    return np.asarray(np.clip(GROWTH ** (at[place] + inside), distribution.min_ns, distribution.max_ns))


def _columns(distribution: Distribution) -> tuple[Floats, Floats]:
    columns = np.asarray(distribution.buckets, dtype=np.float64)
    return columns[:, 0], columns[:, 1]


def _solve(at_most: Callable[[float], float], level: float, bounds: tuple[float, float]) -> float:
    """The shift with `at_most(shift)` = `level`, by halving."""
    low, high = bounds
    for _ in range(48):
        middle = (low + high) / 2
        if at_most(middle) < level:
            low = middle
        else:
            high = middle
        if high - low <= 100.0:  # 0.1 µs
            break
    return (low + high) / 2


def _log_choose(n: int, k: int) -> float:
    return math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)
