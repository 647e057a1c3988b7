"""What is remembered of a session while its requests come: its trace, and the values that its answers minted."""

from __future__ import annotations

from dataclasses import dataclass, field

from tracer_bullet.engine.client import Shot
from tracer_bullet.model.arrival import Slot, Take


class Session:
    """One captured session. `minters`: for each variable, the shots to come that may mint it. `minted_ns`: when the
    answers to which `values` were taken had ended."""

    __slots__ = ("minted_ns", "minters", "trace", "values")

    def __init__(self, trace: bytes) -> None:
        self.trace = trace
        self.values: dict[str, bytes] = {}
        self.minted_ns: dict[str, int] = {}
        self.minters: dict[str, list[Shot]] = {}


@dataclass(slots=True)
class Plot:
    """What a shot needs, and what it gives, beside being sent: `Shot.plot`. Most shots have none.

    `after`: the shot whose end it awaits. `then`: shots that wait for this one's end. `keep`: the answer is wanted.
    """

    session: Session | None = None
    after: Shot | None = None
    slots: tuple[Slot, ...] = ()
    takes: tuple[Take, ...] = ()
    keep: bool = False
    then: list[Shot] = field(default_factory=list)
