"""The one reading of a recording that survey and plan share, so that both count, number and time alike."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from tracer_bullet.model.exchange import Exchange
from tracer_bullet.replay.reading.endpoints import Endpoints
from tracer_bullet.replay.reading.refusals import refusal
from tracer_bullet.replay.reading.select import LATER, Selector
from tracer_bullet.replay.reading.servers import Servers
from tracer_bullet.replay.reading.sessions import LastRequests, SessionTable
from tracer_bullet.replay.timing.curve import Timeline
from tracer_bullet.replay.timing.stamps import SECOND_NS, StampCounts, stamped
from tracer_bullet.workspace.replay import Replay


class Item(NamedTuple):
    """An exchange that is to be sent. `ordinal` is its place among all that were read, `position` among those to be
    sent; `at_ns` counts from the first one's start, pauses cut; `session` numbers sessions from 0, and this is its
    `nth` request, from 1; `slot` is its place in the columns of the session table, -1 when nobody knows whose it is.
    `endpoint` is as handed out: `Endpoints.current` may have folded it since."""

    ordinal: int
    position: int
    exchange: Exchange
    start_ns: int
    at_ns: int
    session: int
    nth: int
    slot: int
    endpoint: int
    last: bool


@dataclass(slots=True)
class Tally:
    """What became of the exchanges read: read = skipped + refused + to be sent."""

    read: int = 0
    to_send: int = 0
    skipped: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)


def is_rpc(exchange: Exchange) -> bool:
    """Whether it is a gRPC call, whose path is a method's name."""
    if exchange.request.method != "POST":
        return False
    return any(
        len(name) == 12 and name.lower() == "content-type" and value.startswith("application/grpc")
        for name, value in exchange.request.headers
    )


class Reading:
    """One pass over a recording, ordered by start. `most`: how many exchanges there are for it (None: no limit)."""

    def __init__(
        self,
        spec: Replay,
        endpoints: Endpoints,
        *,
        tally: Tally,
        lasts: LastRequests | None = None,
        most: int | None = None,
        on_refused: Callable[[Exchange, str], None] | None = None,
    ) -> None:
        self._selector = Selector(spec.select)
        self._servers = Servers(spec.rewrite.hosts)
        self._endpoints = endpoints
        self._tally = tally
        self._lasts = lasts
        self._most = most
        self._on_refused = on_refused
        self.timeline = Timeline(spec.timing.max_gap_s)
        self.stamps = StampCounts()
        self.sessions = SessionTable(round(spec.timing.session_gap_s * SECOND_NS))
        self.first_ns: int | None = None
        self.last_ns = 0

    def items(self, exchanges: Iterable[Exchange]) -> Iterator[Item]:
        """What is to be sent, in order."""
        position = 0
        for index, (start, exchange) in enumerate(stamped(exchanges, self.stamps)):
            if not self._wanted(index, exchange):
                continue
            if self.first_ns is None:
                self.first_ns = start
            self.last_ns = start
            yield self._item(index, position, exchange, start, self.endpoint(exchange))
            position += 1

    def endpoint(self, exchange: Exchange) -> int:
        """The number of the endpoint of an exchange: what arms one server says nothing of another."""
        request = exchange.request
        server = self._servers.of(request.authority)
        return self._endpoints.number(request.method, request.target, rpc=is_rpc(exchange), server=server)

    def _wanted(self, index: int, exchange: Exchange) -> bool:
        tally = self._tally
        tally.read += 1
        if self._most is not None and index >= self._most:
            tally.skipped[LATER] += 1
            return False
        reason = self._selector.skips(exchange)
        if reason:
            tally.skipped[reason] += 1
            return False
        reason = refusal(exchange)
        if reason:
            tally.refused[reason] += 1
            if self._on_refused is not None:
                self._on_refused(exchange, reason)
            return False
        tally.to_send += 1
        return True

    def _item(self, index: int, position: int, exchange: Exchange, start: int, endpoint: int) -> Item:
        at = self.timeline.at(start)
        table = self.sessions
        if not exchange.session:
            number = table.next_number()
            return Item(index, position, exchange, start, at, number, 1, -1, endpoint, last=True)
        slot = table.take(exchange.session, start, index)
        last = self._lasts is not None and index in self._lasts
        item = Item(
            index, position, exchange, start, at, table.numbers[slot], table.requests[slot], slot, endpoint, last
        )
        if last:
            table.forget(exchange.session)
        return item
