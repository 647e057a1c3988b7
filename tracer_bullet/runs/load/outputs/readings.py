"""What metrics are made of: a copy of the counts of a run under way, that other threads may read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from tracer_bullet.engine.histogram import Histogram
from tracer_bullet.engine.histogram.buckets import MEDIAN
from tracer_bullet.model.load import StepKey
from tracer_bullet.runs.load.live import LiveRun

# OpenTelemetry's advice for http.client.request.duration, with two finer ones. Upper bounds, in seconds.
BOUNDS_S: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)
# Of each bucket, the first slot that is above its bound: a slot is 0.1 % wide, and goes by its middle.
_ENDS: Final = np.searchsorted(MEDIAN, np.array(BOUNDS_S) * 1e6)


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """Times as a histogram: `buckets` has one count a bound of BOUNDS_S, and one for what is above all of them."""

    buckets: tuple[int, ...]
    count: int
    sum_s: float
    p50_ms: float
    p99_ms: float


@dataclass(frozen=True, slots=True, kw_only=True)
class StepReading:
    """A step. `outcomes`: of what was sent, by error; "" is a whole answer that was expected."""

    step: StepKey
    outcomes: Mapping[str, int]
    latency: Counts


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """All that is counted of a run, at one moment. `iterations`: by scenario, whole and broken ones."""

    steps: tuple[StepReading, ...]
    lateness: Mapping[int, Counts]
    iterations: Mapping[str, tuple[int, int]]
    not_sent: Mapping[str, int]
    warm_up: int
    request_bytes: int
    answer_bytes: int


def read(run: LiveRun) -> Reading:
    """A copy of what is counted now; to be called where the run counts. Some milliseconds for each step."""
    figures = run.figures
    return Reading(
        steps=tuple(
            StepReading(step=step, outcomes=figures.all.outcomes(n), latency=counts_of(figures.all.latency(n)))
            for n, step in enumerate(run.steps)
        ),
        lateness={n: counts_of(p.lateness_of_all) for n, p in sorted(figures.senders.items())},
        iterations={r.endpoint: (r.sent - r.failed, r.failed) for r in figures.iteration_results()},
        not_sent=dict(figures.all.not_sent()),
        warm_up=figures.warm_up,
        request_bytes=figures.request_bytes,
        answer_bytes=figures.answer_bytes,
    )


def counts_of(histogram: Histogram) -> Counts:
    """A histogram in the buckets of BOUNDS_S."""
    running = np.concatenate(([0], np.cumsum(histogram.counts)))
    total = int(running[-1])
    p50, p99 = (us / 1000 for us in histogram.values_us((50.0, 99.0)))
    return Counts(
        buckets=tuple(np.diff(running[_ENDS], prepend=0, append=total).tolist()),
        count=total,
        sum_s=float(np.dot(histogram.counts, MEDIAN)) / 1e6,
        p50_ms=p50,
        p99_ms=p99,
    )
