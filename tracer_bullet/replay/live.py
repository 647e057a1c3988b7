"""What the plan remembers of sessions under way, in few bytes each."""

from __future__ import annotations

from tracer_bullet.replay.correlation.apply import Values
from tracer_bullet.replay.reading.items import Item
from tracer_bullet.replay.timing.order import Mode, Orders

# The slot of the session that a probe is of: one at a time, in an order of its own.
PROBE: int = -2


class Live:
    """Sessions of the replay, by slots: those of the reading, or (`clones`) slots of its own, since clones lag behind.

    Slot -1 is any session of one request: nothing is remembered of it.
    """

    def __init__(self, mode: Mode, *, clones: bool) -> None:
        self._orders = Orders(mode)
        self._values: dict[int, Values] = {}
        self._clones = clones
        self._slots: dict[int, int] = {}
        self._free: list[int] = []

    def slot(self, number: int, item: Item) -> int:
        """The slot of the session with this number, whose next request this is."""
        if item.slot < 0:
            return -1
        slot = item.slot if not self._clones else self._slots.get(number, -1)
        if slot < 0 or (item.nth == 1 and not self._clones):
            slot = self._new(number, slot)
        return slot

    def after(self, slot: int, start_ns: int) -> int:
        """See Orders.after."""
        return self._orders.after(slot, start_ns) if slot >= 0 else -1

    def planned(self, slot: int, number: int, start_ns: int, ended_ns: int | None, *, held: bool) -> None:
        """See Orders.planned."""
        if slot >= 0:
            self._orders.planned(slot, number, start_ns, ended_ns, held=held)

    def values(self, slot: int) -> Values | None:
        """What the session's answers have minted; None for nothing."""
        return self._values.get(slot)

    def remember(self, slot: int, values: Values) -> None:
        """These are the session's values."""
        if values.bound or values.cookies:
            self._values[slot] = values

    def forget(self, number: int, slot: int) -> None:
        """Nothing more comes of the session."""
        self._values.pop(slot, None)
        if self._clones and slot >= 0:
            self._slots.pop(number, None)
            self._free.append(slot)

    def _new(self, number: int, slot: int) -> int:
        if self._clones:
            slot = self._slots[number] = self._free.pop() if self._free else len(self._slots)
        self._values.pop(slot, None)
        self._orders.reset(slot)
        return slot
