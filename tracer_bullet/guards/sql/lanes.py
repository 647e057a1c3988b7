"""Lanes: the transactions in which a bullet's SQL runs and is rolled back.

Within one request a bullet must read what it wrote (`commit(); refresh(row)` is ordinary
code), yet nothing may be committed. So all its checkouts of a source (an engine, or a
database as a driver reaches it; see lane.py) share one connection, its lane: the
application's transactions become savepoints in the lane's transaction, `commit` releases the
savepoint, and the end of the request rolls everything back. Safety fails closed: what cannot
run in a lane raises.

Two tasks or threads of one request that overlap cannot share a transaction. A runner goes
back to the lane that it used last, where it finds what it wrote, and waits for a lane that
is busy, within bounds; then it gets another one. An event loop is never blocked by that.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import Hashable
from typing import Any
from weakref import WeakKeyDictionary

from tracer_bullet.context.scope import Scope
from tracer_bullet.guards.below import below
from tracer_bullet.guards.policy import WriteRefused
from tracer_bullet.guards.sql.held_lanes import HELD
from tracer_bullet.guards.sql.lane import Lane, Source, Style, end_on_loop, settle
from tracer_bullet.guards.sql.lane_waiting import (
    BORROWED_S,
    BUSY_S,
    OPENING_S,
    Waiter,
    can_wait,
    new_waiter,
    running_loop,
)

_KEY = object()


class ScopeLanes:
    """The lanes of one request, and their end."""

    def __init__(self, scope: Scope, hold_s: float) -> None:
        self._scope = scope
        self._hold_s = hold_s
        self._lanes: list[Lane] = []
        self._opening: list[tuple[Hashable, object]] = []
        self._last: WeakKeyDictionary[Any, dict[Hashable, Lane]] = WeakKeyDictionary()
        self._waiters: list[Waiter] = []
        self._lock = threading.Lock()
        self._registered = scope.on_end(self)

    async def checkout(self, source: Source) -> Lane:
        """A lane for the running task or thread, to be given back by `give_back`; raises WriteRefused."""
        runner = _runner()
        lane = await self._take(source, runner)
        if lane is None:
            lane = await self._open(source, runner)
        return lane

    async def give_back(self, lane: Lane) -> None:
        """End one use of a lane."""
        with self._lock:
            lane.users -= 1
            over = lane.users == 0 and lane.transient
            if over:
                self._lanes.remove(lane)
        self._wake()
        if over:
            await lane.end()

    async def _take(self, source: Source, runner: object) -> Lane | None:
        """A lane that is there, when need be after a wait; None when one is to be opened, which is noted."""
        since, allowed_s = time.monotonic(), 0.0
        while True:
            waiter = None
            with self._lock:
                lane, patience_s = self._find(source.key, runner)
                if lane is not None:
                    self._use(lane, runner)
                    return lane
                if patience_s != allowed_s:  # another reason to wait has a time of its own
                    since, allowed_s = time.monotonic(), patience_s
                left_s = since + allowed_s - time.monotonic()
                if left_s > 0 and can_wait(source.style):
                    waiter = new_waiter(source.style)
                    self._waiters.append(waiter)
                else:
                    self._opening.append((source.key, runner))
                    return None
            try:
                await settle(waiter.wait(left_s))
            finally:
                with self._lock, contextlib.suppress(ValueError):
                    self._waiters.remove(waiter)

    def _find(self, key: Hashable, runner: object) -> tuple[Lane | None, float]:
        """A lane that can be used now, or how many seconds one is worth waiting for."""
        lanes = [lane for lane in self._lanes if lane.source.key == key and not lane.closed]
        mine = self._last.get(runner, {}).get(key)
        held = [lane for lane in lanes if lane.users and lane.owner is runner]  # nested sessions
        if held:
            return (mine if mine in held else held[-1]), 0.0
        if mine is not None and not mine.closed and mine in lanes:
            return (None, BORROWED_S) if mine.users else (mine, 0.0)
        free = next((lane for lane in lanes if not lane.users), None)
        if free is not None:
            return free, 0.0
        if any(opened == key and by is not runner for opened, by in self._opening):
            return None, OPENING_S
        return None, BUSY_S if lanes else 0.0

    def _use(self, lane: Lane, runner: Any) -> None:
        lane.users += 1
        lane.owner = runner
        self._last.setdefault(runner, {})[lane.source.key] = lane

    async def _open(self, source: Source, runner: object) -> Lane:
        lane = None
        try:
            if source.obstacle:
                raise WriteRefused(f"connection to {source.dialect}", source.obstacle)
            lane = HELD.take(source.key, self._scope.trace_id)
            if lane is None:
                with below():
                    lane = Lane(source, await settle(source.open()), self._scope.trace_id)
        finally:
            with self._lock:
                self._opening.remove((source.key, runner))
                if lane is not None:
                    lane.transient = not self._registered or self._scope.ended
                    self._lanes.append(lane)
                    self._use(lane, runner)
            self._wake()
        return lane

    def _wake(self) -> None:
        with self._lock:
            waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            waiter.wake()

    def have_written(self, key: Hashable) -> bool:
        """Whether a lane of this source holds writes that are to be rolled back."""
        with self._lock:
            return any(lane.wrote for lane in self._lanes if lane.source.key == key and not lane.closed)

    def answered(self) -> bool:
        """Hold idle lanes from now on: the bullet's next request may come before this one has ended."""
        if self._hold_s <= 0:
            return True
        with self._lock:
            idle = [lane for lane in self._lanes if lane.users == 0]
            self._lanes = [lane for lane in self._lanes if lane.users]
            busy = bool(self._lanes)
        refused = [lane for lane in idle if not HELD.park(lane, self._hold_s)]
        with self._lock:
            self._lanes.extend(refused)
        return not busy

    def close(self) -> None:
        """End of a request without an event loop."""
        for lane in self._idle():
            if HELD.park(lane, self._hold_s):
                continue
            if lane.source.style is Style.ASYNC:
                lane.cut()  # its loop is not here
            else:
                lane.rollback()

    async def aclose(self) -> None:
        """End of a request on its event loop."""
        for lane in self._idle():
            if not HELD.park(lane, self._hold_s):
                await end_on_loop(lane)

    def _idle(self) -> list[Lane]:
        """Lanes nobody uses; the others end when background work gives them back."""
        with self._lock:
            idle = [lane for lane in self._lanes if lane.users == 0]
            self._lanes = [lane for lane in self._lanes if lane.users]
            for lane in self._lanes:
                lane.transient = True
        return idle


def lanes_of(scope: Scope, hold_s: float) -> ScopeLanes:
    """The lanes of a bullet's request; made at the first call."""
    lanes = scope.state.get(_KEY)
    if lanes is None:
        lanes = scope.state.setdefault(_KEY, ScopeLanes(scope, hold_s))
    return lanes  # type: ignore[no-any-return]


def _runner() -> Any:
    task = None if running_loop() is None else asyncio.current_task()
    return task if task is not None else threading.current_thread()
