"""What chance decides in a simulated service: latencies and failures. Pure: randomness is an argument."""

from __future__ import annotations

import math
from dataclasses import dataclass
from random import Random

from tracer_bullet.workspace.topology import Endpoint, Latency


@dataclass(frozen=True, slots=True, kw_only=True)
class Draw:
    """The fate of one request: how long the operation takes of itself, and whether it fails."""

    latency_s: float
    fails: bool


def generator(seed: int, owner: str, operation: str) -> Random:
    """A generator of its own for each operation, so that the n-th request to it always has the same fate."""
    return Random(f"{seed}/{owner}/{operation}")  # noqa: S311  # a simulation, no secret


def draw(endpoint: Endpoint, random: Random) -> Draw:
    """The fate of the next request. Takes as many random numbers for one that fails as for one that does not."""
    latency_s = sample_ms(endpoint.latency_ms, random) / 1e3
    return Draw(latency_s=latency_s, fails=random.random() < endpoint.error_rate)


def sample_ms(latency: Latency, random: Random) -> float:
    """A latency in milliseconds."""
    if latency.uniform is not None:
        return random.uniform(*latency.uniform)
    if latency.lognormal is not None:
        return random.lognormvariate(math.log(latency.lognormal.median), latency.lognormal.sigma)
    return latency.constant or 0.0
