"""How far a host's clock is from ours, from a few round trips. Pure.

As NTP does (RFC 5905, section 8) with its clock filter: of several round trips the shortest one says most, and it
cannot be wrong by more than half of itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RoundTrip:
    """Asked at `asked_ns` and answered at `heard_ns` by our clock, at `there_ns` by the other's."""

    asked_ns: int
    there_ns: int
    heard_ns: int


@dataclass(frozen=True, slots=True)
class Offset:
    """The other clock shows `ns` more than ours, give or take `within_ns`."""

    ns: int = 0
    within_ns: int = 0


def offset_of(trips: Sequence[RoundTrip]) -> Offset:
    """The best that these tell; there is one at least."""
    best = min(trips, key=lambda t: t.heard_ns - t.asked_ns)
    middle = (best.asked_ns + best.heard_ns) // 2
    return Offset(best.there_ns - middle, max(0, (best.heard_ns - best.asked_ns + 1) // 2))
