"""What a survey says of a recording."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from tracer_bullet.model.replay import Correlation
from tracer_bullet.replay.correlation.patterns import Patterns
from tracer_bullet.replay.cover import Prefix
from tracer_bullet.replay.reading.endpoints import Endpoints
from tracer_bullet.replay.reading.sessions import LastRequests
from tracer_bullet.replay.timing.curve import Curve
from tracer_bullet.replay.timing.stamps import StampCounts


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointCount:
    """An endpoint of the recording: how many of its exchanges are to be sent, and how many are refused."""

    number: int
    method: str
    name: str
    requests: int
    refused: int = 0

    @property
    def text(self) -> str:
        """As reports write it: `GET /orders/{}`."""
        return f"{self.method} {self.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Survey:
    """What was found. Times are Unix nanoseconds of the recording; `span_ns` is from the first start to the last of
    what is to be sent, with pauses cut (`pauses` of them, `pauses_ns` in all).

    read = to_send + the sums of `skipped` and `refused`. `cover` are the beginnings of sessions that reach every
    endpoint. `correlations` are for people, `patterns` the same for the planner. `review`: what a person should look
    at before this is sent, a sentence each.
    """

    read: int
    to_send: int
    sessions: int
    skipped: Mapping[str, int]
    refused: Mapping[str, int]
    endpoints: tuple[EndpointCount, ...]
    hosts: Mapping[str, int]
    first_ns: int = 0
    last_ns: int = 0
    span_ns: int = 0
    pauses: int = 0
    pauses_ns: int = 0
    curve: Curve = field(default_factory=Curve)
    busiest_per_s: float = 0.0
    stamps: StampCounts = field(default_factory=StampCounts)
    cover: tuple[Prefix, ...] = ()
    correlations: tuple[Correlation, ...] = ()
    patterns: Patterns = field(default_factory=Patterns)
    lasts: LastRequests = field(default_factory=LastRequests)
    table: Endpoints = field(default_factory=Endpoints)
    numbers: Mapping[int, int] = field(default_factory=dict)
    review: tuple[str, ...] = ()

    @property
    def arming_requests(self) -> int:
        """How many requests it takes to reach every endpoint once."""
        return sum(prefix.requests for prefix in self.cover)
