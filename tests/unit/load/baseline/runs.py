"""Simulated runs: requests that are alike when they are near in time, with known percentiles."""

from __future__ import annotations

import numpy as np

from tracer_bullet.load.baseline import Blocks, SavedRun, save
from tracer_bullet.load.confidence import Counts, Floats


def queue(rng: np.random.Generator, n: int, *, load: float, service_ms: float = 5.0) -> tuple[Floats, Floats]:
    """(when due in s, latency in ms) of a queue with one server and exponential times (M/M/1): D. Lindley's recursion.

    In the long run latencies are exponential with mean service_ms / (1 − load).
    """
    between = rng.exponential(service_ms / load, n)
    service = rng.exponential(service_ms, n)
    # Some time before, so that the queue is as in the long run: waiting starts from its own distribution.
    first = rng.exponential(service_ms / (1 - load)) if load < 1 and rng.random() < load else 0.0
    steps = np.concatenate(([first], service[:-1] - between[1:]))
    path = np.cumsum(steps)
    waiting = path - np.minimum(np.minimum.accumulate(path), 0.0)
    return np.cumsum(between) / 1e3, waiting + service


def waves(rng: np.random.Generator, n: int, *, alike: float, rate: float, scale: float = 1.0) -> tuple[Floats, Floats]:
    """Lognormal latencies around 20 ms; their logarithms are an autoregressive series, each `alike` the last."""
    noise = rng.normal(size=n) * np.sqrt(1 - alike**2)
    series = np.empty(n)
    state = rng.normal()
    for i, shock in enumerate(noise.tolist()):
        state = alike * state + shock
        series[i] = state
    return np.arange(n) / rate, scale * 20.0 * np.exp(0.4 * series)


def run(due_s: Floats, latency_ms: Floats, failed: np.ndarray | None = None, *, name: str = "run") -> SavedRun:
    """A run with one step, as `save` makes it. Latencies are kept to the microsecond."""
    n = due_s.size
    blocks = Blocks(1)
    us = np.maximum(np.rint(latency_ms * 1e3), 1).astype(np.int64)
    bad = np.zeros(n, np.bool_) if failed is None else failed
    blocks.record(np.zeros(n, np.int64), due_s, us * 1000, measured=np.ones(n, np.bool_), failed=bad)
    counts = Counts.of_values(us / 1e3)
    return save(name, float(due_s[-1]), ["shop / pay"], [counts], blocks, everything=counts)
