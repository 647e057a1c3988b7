"""How many independent requests those of a run are worth. Pure.

Requests that are near in time are alike: they wait in the same queues. So n of them tell less than n independent ones,
and intervals that take them for independent raise false alarms. Batch means measure it: the run is cut into batches of
time, and what their shares vary more than independent requests would is the variance factor (the "design effect" of
L. Kish, "Survey Sampling", 1965). 16 to 31 batches: with more of them, they become too short to be independent; with
fewer, the factor is not known well, and beyond 30 there is little to gain (B. Schmeiser, "Batch size effects in the
analysis of simulation output", Operations Research 30 (1982), 556-568). Where neighbouring batches are still alike, as
in runs that are short for their queues, the first term of that is added: 1 + 2·r, with r their correlation. What is
left to chance in the factor is Student's t.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from tracer_bullet.load.baseline.saved import SavedBlocks
from tracer_bullet.load.confidence import Ints

FEWEST: Final = 10
_MOST: Final = 31


@dataclass(frozen=True, slots=True, kw_only=True)
class Worth:
    """`n` requests are worth `independent` ones. `freedom`: degrees of freedom of that, batches less one."""

    n: int
    independent: float
    freedom: int

    @property
    def factor(self) -> float:
        """By how much the variance is larger than that of independent requests."""
        return self.n / self.independent if self.independent else 1.0


def worth_at(blocks: SavedBlocks, percentile: float) -> Worth | None:
    """Of the requests around a percentile; None with fewer than `FEWEST` blocks that have requests."""
    within = blocks.within.get(percentile)
    return None if within is None else worth(within, blocks.measured)


def worth_of_failures(blocks: SavedBlocks) -> Worth | None:
    """Of the share of requests that failed."""
    return worth(blocks.failed, blocks.sent)


def worth(hits: Ints, of: Ints) -> Worth | None:
    """Of the share `hits` of `of`, both by block. Never more than there are: some order in the arrivals could make the
    batches vary less than chance does, but so can chance."""
    hits, of = _batches(hits), _batches(of)
    used = int(np.count_nonzero(of))
    if used < FEWEST:
        return None
    n = int(of.sum())
    share = float(hits.sum()) / n
    independent = n * share * (1 - share)
    if independent <= 0:
        return Worth(n=n, independent=float(n), freedom=used - 1)
    residuals = hits - share * of
    # The variance of a ratio of sums, since batches differ in size.
    squares = float(residuals @ residuals)
    alike = max(float(residuals[1:] @ residuals[:-1]) / squares, 0.0) if squares else 0.0
    variance = used / (used - 1) * squares * (1 + 2 * alike)
    return Worth(n=n, independent=n / max(variance / independent, 1.0), freedom=used - 1)


def _batches(blocks: Ints) -> Ints:
    """Blocks put together, as many to each, until there are at most 31."""
    together = -(-blocks.size // _MOST) if blocks.size else 1
    return np.add.reduceat(blocks, np.arange(0, blocks.size, together)) if blocks.size else blocks
