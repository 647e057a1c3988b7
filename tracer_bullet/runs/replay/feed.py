"""From planned requests to the batches that an engine pulls, and what is remembered of each until it comes back."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from tracer_bullet.model.arrival import Arrival, Origin, Take
from tracer_bullet.model.exchange import Exchange
from tracer_bullet.workspace.sending import LimitsSpec

BATCH = 128
_NS = 1_000_000_000

Planned = Iterator[tuple[Arrival, Exchange]]


@dataclass(frozen=True, slots=True)
class Flying:
    """What is remembered of a request that the engine has; little, since there are many.

    `nth`: the how-many-th of its session, from 1. `target`: as in its request line. `started_ns`, `ended_ns`: of the
    recording. `exchange`: all of the recording, when the answer is to be compared.
    """

    number: int
    session: int
    endpoint: int
    origin: int
    last: bool
    nth: int
    target: bytes
    record: str
    takes: tuple[Take, ...]
    started_ns: int
    ended_ns: int | None
    exchange: Exchange | None


class Feed:
    """Batches of arrivals, one pass long. `define` is told of each origin before an arrival names it.

    Pulled in a thread of its own, while `take` is called on the loop: both touch `flying` by single dict operations
    alone. `over`: the limit that was reached; nothing comes after it.
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
        self.over = ""
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
        batch: list[Arrival] = []
        while not self.ended and len(batch) < BATCH:
            arrival, exchange = next(self._planned, (None, None))
            if arrival is None or exchange is None:
                break
            self.over = self._over(arrival)
            if self.over:
                self.ended = True
                break
            self.planned += 1
            if arrival.origin not in self._told:
                self._told.add(arrival.origin)
                self._define(self._origins[arrival.origin])
            self.flying[arrival.number] = self._flying(arrival, exchange)
            batch.append(arrival)
        return batch

    def _flying(self, arrival: Arrival, exchange: Exchange) -> Flying:
        return Flying(
            number=arrival.number,
            session=arrival.session,
            endpoint=arrival.endpoint,
            origin=arrival.origin,
            last=arrival.last,
            nth=self._count(arrival),
            target=arrival.head.split(b" ", 2)[1],
            record=arrival.record,
            takes=arrival.takes,
            started_ns=exchange.started_ns,
            ended_ns=exchange.ended_ns,
            exchange=exchange if arrival.keep else None,
        )

    def _count(self, arrival: Arrival) -> int:
        nth = self._sessions.pop(arrival.session, 0) + 1
        if not arrival.last:
            self._sessions[arrival.session] = nth
        return nth

    def _over(self, arrival: Arrival) -> str:
        limits = self._limits
        if limits is None:
            return ""
        if limits.requests is not None and self.planned >= limits.requests:
            return "limits.requests"
        if limits.duration_s is not None and arrival.due_ns > limits.duration_s * _NS:
            return "limits.duration_s"
        return ""
