"""How long a user thinks. Pure."""

from __future__ import annotations

from typing import Final

from tracer_bullet.load.choice.chance import chance

_NS: Final = 1_000_000_000


class Pause:
    """Evenly spread between two numbers of seconds, by an iteration's number; told in ns."""

    def __init__(self, bounds_s: tuple[float, float]) -> None:
        self._least, self.most_ns = (round(bound * _NS) for bound in bounds_s)
        self._reach = max(0, self.most_ns - self._least)
        self.is_fixed = not self._reach

    def draw(self, seed: int, stream: int, number: int) -> int:
        """The pause of iteration `number`; one scenario's pauses have a stream each."""
        return self._least if self.is_fixed else self._least + int(chance(seed, stream, number) * self._reach)
