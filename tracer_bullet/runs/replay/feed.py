"""From planned requests to the batches that an engine pulls, and what is remembered of each until it comes back."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from tracer_bullet.model.arrival import Arrival, Origin
from tracer_bullet.model.exchange import Exchange
from tracer_bullet.workspace.replay import LimitsSpec

BATCH = 128
_NS = 1_000_000_000

Planned = Iterator[tuple[Arrival, Exchange]]


@dataclass(frozen=True, slots=True)
class Flying:
    """A request that the engine has: what it is, the recording of it, and the how-many-th of its session (from 1)."""

    arrival: Arrival
    exchange: Exchange
    nth: int


class Feed:
    """Batches of arrivals, one pass long. `define` is told of each origin before an arrival names it.

    Pulled in a thread of its own, while `take` is called on the loop: both touch `flying` by single dict operations
    alone. `cut`: how many planned requests were left out because a limit was reached, by which.
    """

    def __init__(
        self,
        planned: Planned,
        *,
        origins: Sequence[Origin],
        define: Callable[[Origin], None],
        limits: LimitsSpec | None = None,
    ) -> None:
        self._planned = planned
        self._origins = origins
        self._define = define
        self._limits = limits
        self._sessions: dict[int, int] = {}
        self._told: set[int] = set()
        self.flying: dict[int, Flying] = {}
        self.planned = 0
        self.cut: dict[str, int] = {}
        self.ended = False

    def __iter__(self) -> Iterator[list[Arrival]]:
        while batch := self._next():
            yield batch

    def take(self, number: int) -> Flying | None:
        """What came back; None for a number that was taken before."""
        return self.flying.pop(number, None)

    def stop(self) -> None:
        """Give nothing more."""
        self.ended = True

    def _next(self) -> list[Arrival]:
        batch = []
        for arrival, exchange in islice(self._planned, BATCH):
            if self.ended:
                return []
            self.planned += 1
            if reason := self._over(arrival):
                self.cut[reason] = self.cut.get(reason, 0) + 1
                continue
            if arrival.origin not in self._told:
                self._told.add(arrival.origin)
                self._define(self._origins[arrival.origin])
            self.flying[arrival.number] = Flying(arrival, exchange, self._count(arrival))
            batch.append(arrival)
        return batch

    def _count(self, arrival: Arrival) -> int:
        nth = self._sessions.pop(arrival.session, 0) + 1
        if not arrival.last:
            self._sessions[arrival.session] = nth
        return nth

    def _over(self, arrival: Arrival) -> str:
        limits = self._limits
        if limits is None:
            return ""
        if limits.requests is not None and self.planned > limits.requests:
            return "limits.requests"
        if limits.duration_s is not None and arrival.due_ns > limits.duration_s * _NS:
            return "limits.duration_s"
        return ""
