"""Which earlier request of its session a request waits for. Pure."""

from __future__ import annotations

from array import array
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


class Orders:
    """The requests of sessions as they are planned, by slots that a caller gives out. An arrival can only wait for
    another one's *end*. Columns: there may be hundreds of thousands of sessions under way.

    `causal`: a request waits for the request that had ended latest before it began. Where an end is not known, nothing
    says what came of what: then it waits for the request before it. `sent`: the order of sending, which the schedule
    keeps by itself as long as nothing is held back; behind a request that may be, or whose end is not known, it waits.
    """

    def __init__(self, mode: Mode) -> None:
        self._mode = mode
        # Of those that had ended, the number and end of the latest; `sent`: of the one before, if it is waited for.
        self._latest = array("q")
        self._latest_end = array("q")
        # Of those that had not ended: one here, others in `_more`.
        self._open = array("q")
        self._open_end = array("q")
        self._more: dict[int, list[tuple[int, int]]] = {}

    def reset(self, slot: int) -> None:
        """A new session has this slot."""
        while len(self._latest) <= slot:
            for column in (self._latest, self._latest_end, self._open, self._open_end):
                column.append(-1)
        self._latest[slot] = self._latest_end[slot] = self._open[slot] = -1
        self._more.pop(slot, None)

    def after(self, slot: int, start_ns: int) -> int:
        """The number of the arrival that one of this recorded start waits for; -1 for none."""
        if self._mode == "causal" and self._open[slot] >= 0:
            if self._open_end[slot] <= start_ns:
                self._end(slot, self._open_end[slot], self._open[slot])
                self._open[slot] = -1
            if slot in self._more:
                self._look(slot, start_ns)
        return self._latest[slot]

    def planned(self, slot: int, number: int, start_ns: int, ended_ns: int | None, *, held: bool) -> None:
        """An arrival of the session. `held`: something may keep it beyond its time."""
        if self._mode == "sent":
            self._latest[slot] = number if held or ended_ns is None else -1
        elif self._mode == "causal":
            end = start_ns if ended_ns is None else max(ended_ns, start_ns)
            if self._open[slot] < 0:
                self._open[slot], self._open_end[slot] = number, end
            else:
                more = self._more.setdefault(slot, [])
                more.append((end, number))
                del more[:-_MOST_PENDING]

    def _look(self, slot: int, start_ns: int) -> None:
        left = []
        for end, number in self._more.pop(slot):
            if end > start_ns:
                left.append((end, number))
            else:
                self._end(slot, end, number)
        if left and self._open[slot] < 0:
            self._open_end[slot], self._open[slot] = left.pop(0)
        if left:
            self._more[slot] = left

    def _end(self, slot: int, end: int, number: int) -> None:
        """Of two that ended at one time, the one that was sent later counts."""
        if (end, number) > (self._latest_end[slot], self._latest[slot]):
            self._latest[slot], self._latest_end[slot] = number, end
