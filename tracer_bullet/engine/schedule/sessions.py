"""What is remembered of a session while its requests come: its trace, and what its answers minted and set."""

from __future__ import annotations

from dataclasses import dataclass, field

from tracer_bullet.engine.client import Shot
from tracer_bullet.engine.schedule.cookies import Jar
from tracer_bullet.engine.schedule.takes import Whole
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

    def mint(self, minted: dict[str, bytes], ended_ns: int) -> None:
        """Remember what an answer that ended then minted."""
        for variable, value in minted.items():
            if isinstance(value, Whole):
                self.wholes[variable] = value
            else:
                self.values[variable] = value
                self.wholes.pop(variable, None)
            self.minted_ns[variable] = ended_ns

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
