"""When looks at the target add up to a reason to stop. Pure: time is an argument, in seconds of any clock.

Fails closed: what is unknown is not well, and only a look that finds the target well ends a row of bad ones.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from enum import Enum

from tracer_bullet.model.load import GuardrailReading


class Sight(Enum):
    """What a look found: the target is well, is not, or nobody can tell. FAILED: the guardrail itself did, and nothing
    is borne of that."""

    WELL = "well"
    BAD = "bad"
    UNKNOWN = "unknown"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """One look. `text` is for people; of two looks the one with more `badness` is worse."""

    sight: Sight
    text: str
    badness: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How much is borne: fewer than `failures` bad looks in a row, bad for less than `for_s`, unknown for less than
    `unknown_for_s` since it was last seen well."""

    failures: int = 1
    for_s: float = 0.0
    unknown_for_s: float = math.inf


@dataclass(slots=True)
class Course:
    """How a guardrail has gone since `well_s`, when it was last known to be well."""

    patience: Patience
    well_s: float
    looks: int = 0
    broken: str = ""
    last: Look | None = None
    worst: Look | None = None
    _bad: int = 0
    _bad_since_s: float = field(default=math.inf)

    def see(self, look: Look, now_s: float) -> str:
        """Count a look; why sending must stop, empty when it need not. Once broken, broken."""
        self.looks += 1
        self.last = look
        if look.sight in (Sight.WELL, Sight.BAD) and (self.worst is None or look.badness > self.worst.badness):
            self.worst = look
        if look.sight is Sight.WELL:
            self.well_s, self._bad, self._bad_since_s = now_s, 0, math.inf
            return self.broken
        if look.sight is Sight.BAD:
            self._bad += 1
            self._bad_since_s = min(self._bad_since_s, now_s)
        self.broken = self.broken or self._why(look, now_s)
        return self.broken

    def _why(self, look: Look, now_s: float) -> str:
        patience = self.patience
        if look.sight is Sight.FAILED:
            return look.text
        if self._bad >= patience.failures and now_s - self._bad_since_s >= patience.for_s:
            return f"{look.text}{self._how_long(now_s)}"
        if look.sight is Sight.UNKNOWN and now_s - self.well_s >= patience.unknown_for_s:
            return f"unknown for {now_s - self.well_s:.0f} s: {look.text}"
        return ""

    def _how_long(self, now_s: float) -> str:
        if self.patience.failures > 1:
            return f", {self._bad} times in a row"
        return f", for {now_s - self._bad_since_s:.0f} s" if self.patience.for_s else ""

    def reading(self, name: str, limit: str) -> GuardrailReading:
        """As reports have it."""
        return GuardrailReading(
            name=name,
            last=self.last.text if self.last else "",
            worst=self.worst.text if self.worst else "",
            limit=limit,
            looks=self.looks,
            broken=bool(self.broken),
        )
