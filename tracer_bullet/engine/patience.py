"""How long a request may take in all: the engine's own limit, or its endpoint's. Pure."""

from __future__ import annotations

from collections import deque

from tracer_bullet.engine.client import Limits, Shot
from tracer_bullet.engine.settings import EngineSettings


def longest_ns(shot: Shot, settings: EngineSettings, limits: Limits) -> int:
    """How long after `ready_ns` the shot must be over."""
    total_ns = int(settings.total_s * 1e9)
    return limits.get(shot.endpoint, total_ns) if limits else total_ns


def overdue(queue: deque[Shot], now: int, total_ns: int, limits: Limits) -> list[Shot]:
    """Take those out of a queue that have waited for longer than they may."""
    late: list[Shot] = []
    if not queue:
        return late
    if not limits:
        while queue and now - queue[0].ready_ns > total_ns:
            late.append(queue.popleft())
        return late
    shortest = min(total_ns, *limits.values())
    if now - queue[0].ready_ns <= shortest:  # the others came later
        return late
    kept: list[Shot] = []
    for shot in queue:
        (late if now - shot.ready_ns > limits.get(shot.endpoint, total_ns) else kept).append(shot)
    if late:
        queue.clear()
        queue.extend(kept)
    return late
