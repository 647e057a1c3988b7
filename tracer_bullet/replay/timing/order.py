"""Which earlier request of its session a request waits for. Pure."""

from __future__ import annotations

from typing import Final, Literal

from tracer_bullet.model.exchange import Exchange, Lack

Mode = Literal["causal", "sent", "none"]

_MOST_PENDING: Final = 64
_VAGUE: Final = frozenset({Lack.START, Lack.SUBSECOND, Lack.DURATION})


def ended_of(exchange: Exchange) -> int | None:
    """When its answer had ended, in Unix ns; None when the recording cannot tell it from the start of others."""
    if exchange.ended_ns is None or (exchange.lacks and not _VAGUE.isdisjoint(exchange.lacks)):
        return None
    return exchange.ended_ns


class Order:
    """The requests of one session as they are planned. An arrival can only wait for another one's *end*.

    `causal`: a request waits for the request that had ended latest before it began. Where an end is not known, nothing
    says what came of what: then it waits for the request before it. `sent`: the order of sending, which the schedule
    keeps by itself as long as nothing is held back; behind a request that may be, or whose end is not known, it waits.
    """

    __slots__ = ("_latest", "_latest_end", "_mode", "_pending", "_previous")

    def __init__(self, mode: Mode) -> None:
        self._mode = mode
        self._pending: list[tuple[int, int]] | None = None  # (end, number) of those that had not ended
        self._latest = -1
        self._latest_end = -1
        self._previous = (-1, False)  # number, whether what follows must wait for it

    def after(self, start_ns: int) -> int:
        """The number of the arrival that one of this recorded start waits for; -1 for none."""
        if self._mode == "none":
            return -1
        if self._mode == "sent":
            return self._previous[0] if self._previous[1] else -1
        if self._pending:
            left = []
            for end, number in self._pending:
                if end > start_ns:
                    left.append((end, number))
                elif end >= self._latest_end:
                    self._latest, self._latest_end = number, end
            self._pending = left
        return self._latest

    def planned(self, number: int, start_ns: int, ended_ns: int | None, *, held: bool) -> None:
        """An arrival of the session. `held`: something may keep it beyond its time."""
        if self._mode == "sent":
            self._previous = (number, held or ended_ns is None)
        elif self._mode == "causal":
            if self._pending is None:
                self._pending = []
            elif len(self._pending) >= _MOST_PENDING:
                del self._pending[0]
            self._pending.append((start_ns if ended_ns is None else max(ended_ns, start_ns), number))
