"""Requests that wait for their answers, given out in the order in which they came, in bounded memory."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

_Q = TypeVar("_Q")
_A = TypeVar("_A")

WAITING: Final = 10_000
WAITING_BYTES: Final = 64 << 20
_EARLY: Final = 1_000
_EARLY_BYTES: Final = 16 << 20


@dataclass(slots=True)
class _Slot(Generic[_Q, _A]):
    key: str
    request: _Q
    size: int
    answer: _A | None = None
    done: bool = False


class Waiting(Generic[_Q, _A]):
    """Pairs by key. A key that comes again ends the wait of the one before it: keys may be used again.

    Answers that come before their requests are kept for a while. `unasked` counts answers that found no request.
    """

    def __init__(self, most: int = WAITING, most_bytes: int = WAITING_BYTES) -> None:
        self._most, self._most_bytes = most, most_bytes
        self._queue: deque[_Slot[_Q, _A]] = deque()
        self._open: dict[str, _Slot[_Q, _A]] = {}
        self._bytes = 0
        self._early: OrderedDict[str, tuple[_A, int]] = OrderedDict()
        self._early_bytes = 0
        self.unasked = 0

    def ask(self, key: str, request: _Q, size: int) -> Iterator[tuple[_Q, _A | None]]:
        """A request of about `size` bytes; what may go out now."""
        if (before := self._open.pop(key, None)) is not None:
            before.done = True
        slot: _Slot[_Q, _A] = _Slot(key, request, size)
        self._queue.append(slot)
        self._bytes += size
        if (early := self._early.pop(key, None)) is not None:
            self._early_bytes -= early[1]
            self._fill(slot, *early)
        else:
            self._open[key] = slot
        return self._ready()

    def open(self, key: str) -> _Q | None:
        """The request that waits under this key."""
        slot = self._open.get(key)
        return slot.request if slot is not None else None

    def answer(self, key: str, answer: _A, size: int) -> Iterator[tuple[_Q, _A | None]]:
        """An answer; what may go out now."""
        slot = self._open.pop(key, None)
        if slot is not None:
            self._fill(slot, answer, size)
            return self._ready()
        if (replaced := self._early.pop(key, None)) is not None:
            self._early_bytes -= replaced[1]
            self.unasked += 1
        self._early[key] = (answer, size)
        self._early_bytes += size
        while len(self._early) > _EARLY or self._early_bytes > _EARLY_BYTES:
            self._early_bytes -= self._early.popitem(last=False)[1][1]
            self.unasked += 1
        return iter(())

    def rest(self) -> Iterator[tuple[_Q, _A | None]]:
        """All that still wait, at the end."""
        self.unasked += len(self._early)
        self._early.clear()
        while self._queue:
            yield self._pop()

    def _fill(self, slot: _Slot[_Q, _A], answer: _A, size: int) -> None:
        slot.answer, slot.done = answer, True
        slot.size += size
        self._bytes += size

    def _ready(self) -> Iterator[tuple[_Q, _A | None]]:
        while self._queue and (self._queue[0].done or len(self._queue) > self._most or self._bytes > self._most_bytes):
            yield self._pop()

    def _pop(self) -> tuple[_Q, _A | None]:
        slot = self._queue.popleft()
        self._bytes -= slot.size
        if self._open.get(slot.key) is slot:
            del self._open[slot.key]
        return slot.request, slot.answer
