"""Sides of a comparison made up from durations, as fast as thousands of simulations need."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from tracer_bullet.graph.drift import Side
from tracer_bullet.graph.drift.side import Calls, Uses
from tracer_bullet.model import Distribution
from tracer_bullet.model.distribution import GROWTH

Floats = npt.NDArray[np.float64]
MS = 1_000_000


def distribution(durations_ms: Floats) -> Distribution:
    """`Distribution.of`, by numpy."""
    values = np.maximum(np.round(durations_ms * MS), 1).astype(np.int64)
    buckets, counts = np.unique(np.floor(np.log(values) / np.log(GROWTH)).astype(int), return_counts=True)
    return Distribution(
        buckets=tuple(zip(buckets.tolist(), counts.tolist(), strict=True)),
        total_ns=int(values.sum()),
        min_ns=int(values.min()),
        max_ns=int(values.max()),
    )


def calls(durations_ms: Floats, *, errors: int = 0, traces: int = 0) -> Calls:
    return Calls(
        calls=len(durations_ms), errors=errors, traces=traces or len(durations_ms), durations=distribution(durations_ms)
    )


def side(name: str, operations: Mapping[str, Calls], *, traces: int = 1_000) -> Side:
    return Side(name=name, traces=traces, operations={("shop", op): found for op, found in operations.items()})


def edges(name: str, used: Mapping[tuple[str, str], tuple[int, int]], *, traces: int, **called: int) -> Side:
    """A side of edges alone: (calls, traces) each."""
    return Side(
        name=name,
        traces=traces,
        edges={ends: Uses(calls=n, traces=t) for ends, (n, t) in used.items()},
        called=called,
    )
