"""What a running proxy tells."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from tracer_bullet.errors import TracerBulletError


@dataclass(frozen=True, slots=True, kw_only=True)
class ProxyReady:
    """It listens, and what passes from now on is recorded. `pid` is Envoy's."""

    host: str
    port: int
    pid: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ProxyCounts:
    """So far. Nothing is lost silently: once all has ended, finished = kept + left_out + dropped + unreadable + missed.

    `finished`: requests that Envoy has finished since it listened. `kept`: in the archive. `left_out`: not taken by the
    recorder, which says why. `dropped`: there was no room for them while we were too slow. `unreadable`: what Envoy
    told of them could not be read. `missed`: Envoy did not tell of them, since it was not tapped; including those of
    which it has yet to tell. `unfinished`: still under way when the proxy was ended (in the last event alone).
    """

    finished: int = 0
    kept: int = 0
    left_out: int = 0
    dropped: int = 0
    unreadable: int = 0
    missed: int = 0
    unfinished: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ProxyTapLost:
    """Envoy stopped telling us: we had taken nothing for too long. It is tapped anew; what passed then is `missed`."""

    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ProxyEnded:
    """The last event. `stopped`: we were asked to stop. `died`: Envoy is gone, and its traffic with it. `error` says
    what went wrong, also when the recording ended before the proxy did."""

    why: Literal["stopped", "died"]
    counts: ProxyCounts
    error: TracerBulletError | None = None


ProxyEvent = ProxyReady | ProxyCounts | ProxyTapLost | ProxyEnded
