"""What counts say of the share behind them, and how many are enough. Pure: the one place of these intervals.

Wilson's score interval: E. B. Wilson, "Probable inference, the law of succession, and statistical inference",
Journal of the American Statistical Association 22 (1927), 209-212; formula as in R. G. Newcombe, "Two-sided confidence
intervals for the single proportion", Statistics in Medicine 17 (1998), 857-872, method 3.
"""

from __future__ import annotations

import math
from functools import cache
from statistics import NormalDist
from typing import Final

CONFIDENCE: Final = 0.95


@cache
def normal_quantile(confidence: float) -> float:
    """z of a two-sided interval: 1.96 for 0.95."""
    return NormalDist().inv_cdf(0.5 + confidence / 2)


def wilson(good: float, calls: float, *, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """The interval (low, high) of the true share, from 0 to 1; (0, 1) without calls."""
    if calls <= 0:
        return 0.0, 1.0
    z, share = normal_quantile(confidence), good / calls
    spread = z * math.sqrt(z * z + 4 * calls * share * (1 - share)) / (2 * (calls + z * z))
    centre = (2 * calls * share + z * z) / (2 * (calls + z * z))
    low = 0.0 if good <= 0 else max(centre - spread, 0.0)
    return low, 1.0 if good >= calls else min(centre + spread, 1.0)


def binomial_tail(bad: int, calls: int, share: float) -> float:
    """The probability of at least `bad` of `calls`, when each is bad with probability `share` (0 < share < 1); exact.

    Wilson's interval is too sure of itself in the far tail, which a correction for many windows asks for.
    """
    if bad <= 0 or bad > calls:
        return float(bad <= 0)
    if bad <= calls * share:  # sum the other, shorter side
        return max(1.0 - binomial_tail(calls - bad + 1, calls, 1.0 - share), 0.0)
    term = math.exp(
        math.lgamma(calls + 1) - math.lgamma(bad + 1) - math.lgamma(calls - bad + 1)
        + bad * math.log(share) + (calls - bad) * math.log1p(-share)
    )  # fmt: skip
    total, odds = 0.0, share / (1.0 - share)
    for k in range(bad, calls + 1):
        total += term
        if term < 1e-17 * total:
            break
        term *= (calls - k) / (k + 1) * odds
    return min(total, 1.0)


def calls_needed(target: float, *, confidence: float = CONFIDENCE) -> int:
    """How many calls without a bad one show that `target` is met: n / (n + z²) ≥ target."""
    return math.ceil(normal_quantile(confidence) ** 2 * target / (1 - target))


def newcombe(
    bad_before: float, before: float, bad_after: float, after: float, *, confidence: float = CONFIDENCE
) -> tuple[float, float]:
    """The interval of the difference of two shares (after − before).

    R. G. Newcombe, "Interval estimation for the difference between independent proportions", Statistics in Medicine
    17 (1998), 873-890, method 10. (−1, 1) when a sample is empty.
    """
    if before <= 0 or after <= 0:
        return -1.0, 1.0
    old, new = bad_before / before, bad_after / after
    old_low, old_high = wilson(bad_before, before, confidence=confidence)
    new_low, new_high = wilson(bad_after, after, confidence=confidence)
    difference = new - old
    return (
        difference - math.hypot(new - new_low, old_high - old),
        difference + math.hypot(new_high - new, old - old_low),
    )


def enough_for(quantile: float, calls: float, *, confidence: float = 0.95) -> bool:
    """Whether the order statistics of `calls` independent calls bound the quantile on both sides.

    They do when it is unlikely that all of them lie on one side of it: qⁿ and (1−q)ⁿ at most (1−confidence)/2. H. A.
    David and H. N. Nagaraja, "Order Statistics", 3rd ed. (2003), section 7.1. That is 6 calls for p50, 72 for p95 and
    368 for p99.
    """
    outside = (1 - confidence) / 2
    return calls >= 1 and max(quantile, 1 - quantile) ** calls <= outside
