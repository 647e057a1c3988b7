"""Lanes that are kept open between the requests of one bullet, for a bounded time."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Hashable
from typing import Any

from tracer_bullet.guards.sql.lane import Lane, Style, end_on_loop
from tracer_bullet.guards.sql.lane_waiting import running_loop


class HeldLanes:
    """At most one lane a source and bullet."""

    def __init__(self) -> None:
        self._lanes: dict[tuple[Hashable, str], tuple[Lane, Any]] = {}
        self._lock = threading.Lock()

    def park(self, lane: Lane, hold_s: float) -> bool:
        """Keep a lane for the bullet's next request; False when holding is off or impossible."""
        if lane.source.style is not Style.SYNC and running_loop() is None:
            return False  # nobody could end it
        key = (lane.source.key, lane.trace_id)
        with self._lock:
            if hold_s <= 0 or not lane.trace_id or lane.closed or key in self._lanes:
                return False
            self._lanes[key] = (lane, self._timer(key, lane, hold_s))
        return True

    def take(self, source_key: Hashable, trace_id: str) -> Lane | None:
        """The lane that an earlier request of this bullet left here."""
        with self._lock:
            lane, timer = self._lanes.pop((source_key, trace_id), (None, None))
        if timer is not None:
            timer.cancel()
        return lane

    def _timer(self, key: tuple[Hashable, str], lane: Lane, hold_s: float) -> Any:
        if lane.source.style is Style.SYNC:
            timer = threading.Timer(hold_s, self._expire, (key, lane))
            timer.daemon = True
            timer.start()
            return timer
        loop = asyncio.get_running_loop()

        def expire() -> None:
            task = loop.create_task(self._expire_on_loop(key, lane))
            _ending.add(task)
            task.add_done_callback(_ending.discard)

        return loop.call_later(hold_s, expire)

    def _expire(self, key: tuple[Hashable, str], lane: Lane) -> None:
        if self._remove(key, lane):
            lane.rollback()

    async def _expire_on_loop(self, key: tuple[Hashable, str], lane: Lane) -> None:
        if self._remove(key, lane):
            await end_on_loop(lane)

    def _remove(self, key: tuple[Hashable, str], lane: Lane) -> bool:
        with self._lock:
            if self._lanes.get(key, (None,))[0] is not lane:
                return False
            del self._lanes[key]
        return True


HELD = HeldLanes()
_ending: set[asyncio.Task[Any]] = set()
