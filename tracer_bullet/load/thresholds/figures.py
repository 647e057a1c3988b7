"""What is measured of a scope: the plain numbers that thresholds are judged by."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tracer_bullet.load.confidence import NOTHING, Counts
from tracer_bullet.model.distribution import GROWTH, Distribution

_NS_PER_MS = 1e6


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Figures:
    """Requests of a scope in `seconds`, without the warm-up; of a service its server spans.

    `failed` of `sent` had no whole answer, or an unexpected one. `iterations` were whole. `share`: of what happened,
    how much was looked at (of a service: the traces that were sampled); the counts are those that were looked at.
    """

    latency: Counts = NOTHING
    sent: int = 0
    failed: int = 0
    seconds: float = 0.0
    iterations: int = 0
    share: float = 1.0


def figures_of_spans(durations: Distribution, *, errors: int, seconds: float, share: float = 1.0) -> Figures:
    """Of a service, from the durations of its server spans as the analysis counts them (buckets of 2 %)."""
    if not durations.buckets:
        return Figures(seconds=seconds, share=share)
    buckets = np.asarray(durations.buckets, np.float64)
    # The bucket's middle; the ends are known.
    values = np.clip(GROWTH ** (buckets[:, 0] + 0.5), durations.min_ns, durations.max_ns) / _NS_PER_MS
    counts = Counts.of(buckets[:, 1].astype(np.int64), values)
    return Figures(latency=counts, sent=counts.total, failed=errors, seconds=seconds, share=share)
