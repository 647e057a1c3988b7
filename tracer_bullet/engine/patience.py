"""How long a request may take in all: the engine's own limit, or its endpoint's. Pure."""

from __future__ import annotations

from collections import deque

from tracer_bullet.engine.client import Limits, Shot
from tracer_bullet.engine.settings import EngineSettings


class Patience:
    """`limits` may grow."""

    __slots__ = ("_limits", "_total_ns")

    def __init__(self, settings: EngineSettings, limits: Limits) -> None:
        self._total_ns = int(settings.total_s * 1e9)
        self._limits = limits

    def is_over(self, shot: Shot, now: int) -> bool:
        """Whether the shot has taken longer than it may, from when it was ready."""
        total_ns = self._limits.get(shot.endpoint, self._total_ns) if self._limits else self._total_ns
        return now - shot.ready_ns > total_ns

    def overdue(self, queue: deque[Shot], now: int) -> list[Shot]:
        """Take those out of a queue that have waited for longer than they may."""
        late: list[Shot] = []
        if not self._limits:
            while queue and self.is_over(queue[0], now):
                late.append(queue.popleft())
            return late
        if not queue or now - queue[0].ready_ns <= min(self._total_ns, *self._limits.values()):
            return late  # the others came later
        kept: list[Shot] = []
        for shot in queue:
            (late if self.is_over(shot, now) else kept).append(shot)
        if late:
            queue.clear()
            queue.extend(kept)
        return late
