"""Sessions under way in a recording, numbered as they appear, ended by a long pause. Columns: there may be many."""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

_SWEEP: Final = 8192


@dataclass(frozen=True, slots=True, kw_only=True)
class LastRequests:
    """Which exchanges of a reading are the last ones of their session: a bit each, by their place in it."""

    bits: bytes = b""

    def __contains__(self, index: int) -> bool:
        byte = index >> 3
        return byte < len(self.bits) and bool(self.bits[byte] >> (index & 7) & 1)


class SessionTable:
    """The sessions under way. A session that was silent for longer than `gap_ns` is another one when it comes back.

    Numbers count sessions from 0 in the order of their first requests, so two readings of a recording agree.
    """

    def __init__(self, gap_ns: int) -> None:
        self._gap = gap_ns
        self._slots: dict[int, int] = {}  # hash of the session → its place in the columns
        self._free: list[int] = []
        self._next_sweep = _SWEEP
        self._bits = bytearray()
        self.numbers = array("q")
        self.requests = array("q")
        self._starts = array("q")
        self._indexes = array("q")
        self.count = 0

    def next_number(self) -> int:
        """The number of a session of one request, of which nothing is kept."""
        self.count += 1
        return self.count - 1

    def take(self, session: str, start_ns: int, index: int) -> int:
        """The place in the columns of the session whose request this is; counts the request."""
        key = hash(session)  # 64 bits: of a million sessions, two are one with a chance of 1 : 10^7
        slot = self._slots.get(key)
        if slot is None:
            if len(self._slots) >= self._next_sweep:
                self._sweep(start_ns)
            slot = self._slots[key] = self._new_slot()
        elif start_ns - self._starts[slot] > self._gap:
            self._mark(self._indexes[slot])
            self._begin(slot)
        self.requests[slot] += 1
        self._starts[slot] = start_ns
        self._indexes[slot] = index
        return slot

    def forget(self, session: str) -> None:
        """Nothing more comes of it."""
        slot = self._slots.pop(hash(session), None)
        if slot is not None:
            self._free.append(slot)

    def mark_last(self, index: int) -> None:
        """This exchange is the last one of its session."""
        self._mark(index)

    def finish(self) -> LastRequests:
        """End all sessions; which exchanges were the last ones."""
        for slot in self._slots.values():
            self._mark(self._indexes[slot])
        self._slots.clear()
        return LastRequests(bits=bytes(self._bits))

    def ended_before(self, start_ns: int) -> Iterator[int]:
        """The keys of sessions that have been silent for too long."""
        for key, slot in self._slots.items():
            if start_ns - self._starts[slot] > self._gap:
                yield key

    def _new_slot(self) -> int:
        if self._free:
            slot = self._free.pop()
        else:
            slot = len(self.numbers)
            for column in (self.numbers, self.requests, self._starts, self._indexes):
                column.append(0)
        self._begin(slot)
        return slot

    def _begin(self, slot: int) -> None:
        self.numbers[slot] = self.next_number()
        self.requests[slot] = 0

    def _sweep(self, start_ns: int) -> None:
        for key in list(self.ended_before(start_ns)):
            slot = self._slots.pop(key)
            self._mark(self._indexes[slot])
            self._free.append(slot)
        self._next_sweep = max(_SWEEP, 2 * len(self._slots))

    def _mark(self, index: int) -> None:
        byte = index >> 3
        if byte >= len(self._bits):
            self._bits.extend(bytes(byte + 1 - len(self._bits) + 4096))
        self._bits[byte] |= 1 << (index & 7)
