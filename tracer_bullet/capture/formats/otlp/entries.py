"""Which server spans are where traffic entered: those whose parent is not in the recording.

The parent of an inner span comes a little earlier or later, since services export by themselves. So a span with a
parent waits until `WAITING` others came behind it, and the ids of the last `SEEN` spans are known: memory is bounded,
and what came out is in the order in which it came in.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from tracer_bullet.capture.formats.otlp.spans import Span
from tracer_bullet.model.exchange import Exchange
from tracer_bullet.model.losses import Losses

WAITING: Final = 20_000
SEEN: Final = 400_000
INNER: Final = "requests from one recorded service to another: they come of themselves"
TWICE: Final = "spans that were exported twice"
UNSURE: Final = "requests whose parent span did not come soon: taken as those that entered from outside"


@dataclass(slots=True)
class _Candidate:
    key: int
    exchange: Exchange | None
    is_open: bool


class Entries:
    """`note` each span first, then `offer` the exchange of a server span; what is decided comes back, in order."""

    def __init__(self, losses: Losses, waiting: int = WAITING, seen: int = SEEN) -> None:
        self._losses = losses
        self._most_waiting, self._most_seen = waiting, seen
        self._queue: deque[_Candidate] = deque()
        self._by_parent: dict[int, list[_Candidate]] = {}
        self._seen: OrderedDict[int, None] = OrderedDict()

    def note(self, span: Span) -> bool:
        """That there is this span; those that wait for it as their parent are inner ones. False if it was there."""
        key = hash((span.trace_id, span.span_id))
        if key in self._seen:
            self._losses.lose(TWICE)
            return False
        self._seen[key] = None
        if len(self._seen) > self._most_seen:
            self._seen.popitem(last=False)
        for candidate in self._by_parent.pop(key, ()):
            candidate.is_open, candidate.exchange = False, None
            self._losses.lose(INNER)
        return True

    def offer(self, span: Span, exchange: Exchange) -> Iterator[Exchange]:
        """Take the exchange of a span; give those that are decided."""
        key = hash((span.trace_id, span.parent_id))
        if span.parent_id and key in self._seen:
            self._losses.lose(INNER)
        else:
            candidate = _Candidate(key, exchange, is_open=bool(span.parent_id))
            self._queue.append(candidate)
            if candidate.is_open:
                self._by_parent.setdefault(key, []).append(candidate)
        while self._queue and (not self._queue[0].is_open or len(self._queue) > self._most_waiting):
            if self._queue[0].is_open:
                self._losses.repair(UNSURE)
            yield from self._pop()

    def rest(self) -> Iterator[Exchange]:
        """At the end: what still waits has no parent in the recording."""
        while self._queue:
            yield from self._pop()

    def _pop(self) -> Iterator[Exchange]:
        candidate = self._queue.popleft()
        if candidate.is_open:
            waiting = self._by_parent.get(candidate.key, [])
            if candidate in waiting:
                waiting.remove(candidate)
            if not waiting:
                self._by_parent.pop(candidate.key, None)
        if candidate.exchange is not None:
            yield candidate.exchange
