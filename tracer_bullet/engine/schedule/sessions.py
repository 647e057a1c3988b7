"""What is remembered of a session while its requests come: its trace, and what its answers minted and set."""

from __future__ import annotations

from dataclasses import dataclass, field

from tracer_bullet.engine.client import Shot
from tracer_bullet.engine.schedule.cookies import Jar
from tracer_bullet.engine.schedule.takes import Whole, take
from tracer_bullet.model.arrival import Slot, Take


class Session:
    """One captured session, or one iteration of a scenario.

    `values`: what slots are filled with. `wholes`: JSON null, objects and arrays, which only slots of the encoding
    `value` take, and before `values`. `minters`: for each variable, the shots to come that may mint it. `minted_ns`:
    when the answers to which `values` were taken had ended. `jars`: cookies, by origin.
    """

    __slots__ = ("jars", "minted_ns", "minters", "trace", "values", "wholes")

    def __init__(self, trace: bytes) -> None:
        self.trace = trace
        self.values: dict[str, bytes] = {}
        self.wholes: dict[str, bytes] = {}
        self.minted_ns: dict[str, int] = {}
        self.minters: dict[str, list[Shot]] = {}
        self.jars: dict[int, Jar] = {}

    def mint(self, shot: Shot, takes: tuple[Take, ...]) -> bool:
        """Remember what the answer of a shot that is over minted; whether that was all of it."""
        minted = take(shot.answer, takes) if shot.answer is not None and not shot.cut else {}
        for variable, value in minted.items():
            if isinstance(value, Whole):
                self.wholes[variable] = value
            else:
                self.values[variable] = value
                self.wholes.pop(variable, None)
            self.minted_ns[variable] = shot.ended_ns
        for wanted in takes:
            minters = self.minters.get(wanted.variable, [])
            if shot in minters:
                minters.remove(shot)
            if not minters:
                self.minters.pop(wanted.variable, None)
        return all(wanted.variable in minted for wanted in takes)

    def keep_cookies(self, shot: Shot, unix_ns: int, *, https: bool) -> None:
        """Put what the shot's answer sets into the jar of its origin. `unix_ns`: of the clock's zero."""
        lines = shot.answer.values("set-cookie") if shot.answer is not None else ()
        if not lines:
            return
        jar = self.jars.get(shot.origin)
        if jar is None:
            jar = self.jars[shot.origin] = Jar(https=https)
        for line in lines:
            jar.store(line, shot.head, (shot.ended_ns + unix_ns) / 1e9)

    def has(self, slot: Slot) -> bool:
        """Whether there is a value for the slot."""
        return slot.variable in self.values or (slot.encoding == "value" and slot.variable in self.wholes)


@dataclass(slots=True)
class Plot:
    """What a shot needs, and what it gives, beside being sent: `Shot.plot`. Most shots of a replay have none.

    `after`: the shot whose end it awaits. `pause_ns` from 0 on: due so long after that end. `needs`: not sent unless
    `after` ended well. `failed`: it did not, which was known when this one came. `then`: shots that wait for this one's
    end. `keep`: the answer is wanted. `cookies`: as in Arrival.
    """

    session: Session
    after: Shot | None = None
    slots: tuple[Slot, ...] = ()
    takes: tuple[Take, ...] = ()
    keep: bool = False
    pause_ns: int = -1
    needs: bool = False
    cookies: bool = False
    failed: bool = False
    then: list[Shot] = field(default_factory=list)
