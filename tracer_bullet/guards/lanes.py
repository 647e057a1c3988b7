"""Lanes: the transactions in which a bullet's SQL runs and is rolled back.

Within one request a bullet must read what it wrote (`commit(); refresh(row)` is ordinary
code), yet nothing may be committed. So all its checkouts of an engine share one
connection, its lane: the application's transactions become savepoints in the lane's
transaction, `commit` releases the savepoint, and the end of the request rolls everything
back. Lanes come from a pool of their own, so that bullets never starve customers of
connections. Safety fails closed: what cannot run in a lane raises.
"""

from __future__ import annotations

import asyncio
import threading
from typing import Any
from weakref import WeakKeyDictionary

from sqlalchemy.engine import Engine
from sqlalchemy.pool import Pool, SingletonThreadPool, StaticPool
from sqlalchemy.pool.base import ResetStyle
from sqlalchemy.util import greenlet_spawn

from tracer_bullet.context.scope import Scope
from tracer_bullet.guards.lane import Lane
from tracer_bullet.guards.lane_connection import Judge, LaneConnection
from tracer_bullet.guards.policy import WriteRefused

# Where rollback is proved by tests against the real server.
DIALECTS = frozenset({"sqlite", "postgresql"})


class _ScopeLanes:
    """The lanes of one request, and their end."""

    def __init__(self, scope: Scope, hold_s: float, judge: Judge) -> None:
        self._scope = scope
        self._judge = judge
        self._hold_s = hold_s
        self._lanes: list[Lane] = []
        self._lock = threading.Lock()
        self._registered = scope.on_end(self)

    def checkout(self, engine: Engine) -> LaneConnection:
        owner = _runner()
        with self._lock:
            lane = next((x for x in self._lanes if x.engine.pool is engine.pool and _usable(x, owner)), None)
            if lane is not None:
                lane.users += 1
                lane.owner = owner
        if lane is None:
            lane = _HELD.take(engine, self._scope.trace_id) or _open(engine, self._scope.trace_id)
            lane.users, lane.owner = 1, owner
            lane.transient = not self._registered or self._scope.ended
            with self._lock:
                self._lanes.append(lane)
        return LaneConnection(lane, self._scope, self._judge, self._give_back)

    def _give_back(self, lane: Lane) -> None:
        with self._lock:
            lane.users -= 1
            over = lane.users == 0 and lane.transient
            if over:
                self._lanes.remove(lane)
        if over:
            lane.rollback()

    def answered(self) -> bool:
        """Hold idle lanes from now on: the bullet's next request may come before this one has ended."""
        if self._hold_s <= 0:
            return True
        with self._lock:
            idle = [lane for lane in self._lanes if lane.users == 0]
            self._lanes = [lane for lane in self._lanes if lane.users]
            busy = bool(self._lanes)
        refused = [lane for lane in idle if not _HELD.park(lane, self._hold_s)]
        with self._lock:
            self._lanes.extend(refused)
        return not busy

    def close(self) -> None:
        """End of a request without an event loop."""
        for lane in self._idle():
            if not _HELD.park(lane, self._hold_s):
                lane.rollback()

    async def aclose(self) -> None:
        """End of a request on its event loop."""
        for lane in self._idle():
            if _HELD.park(lane, self._hold_s):
                continue
            if lane.engine.dialect.is_async:
                await greenlet_spawn(lane.rollback)
            else:
                await asyncio.to_thread(lane.rollback)

    def _idle(self) -> list[Lane]:
        """Lanes nobody uses; the others end when background work gives them back."""
        with self._lock:
            idle = [lane for lane in self._lanes if lane.users == 0]
            self._lanes = [lane for lane in self._lanes if lane.users]
            for lane in self._lanes:
                lane.transient = True
        return idle


class _HeldLanes:
    """Lanes kept open between the requests of one bullet, for a bounded time."""

    def __init__(self) -> None:
        self._lanes: dict[tuple[Pool, str], tuple[Lane, Any]] = {}
        self._lock = threading.Lock()

    def park(self, lane: Lane, hold_s: float) -> bool:
        """Keep a lane for the bullet's next request; False when holding is off or impossible."""
        if lane.engine.dialect.is_async and _running_loop() is None:
            return False  # nobody could end it
        key = (lane.engine.pool, lane.trace_id)
        with self._lock:
            if hold_s <= 0 or not lane.trace_id or lane.closed or key in self._lanes:
                return False
            self._lanes[key] = (lane, self._timer(key, lane, hold_s))
        return True

    def take(self, engine: Engine, trace_id: str) -> Lane | None:
        """The lane that an earlier request of this bullet left here."""
        with self._lock:
            lane, timer = self._lanes.pop((engine.pool, trace_id), (None, None))
        if timer is not None:
            timer.cancel()
        return lane

    def _timer(self, key: tuple[Pool, str], lane: Lane, hold_s: float) -> Any:
        if lane.engine.dialect.is_async:
            loop = asyncio.get_running_loop()

            def expire() -> None:
                task = loop.create_task(greenlet_spawn(self._expire, key, lane))
                _ending.add(task)
                task.add_done_callback(_ending.discard)

            return loop.call_later(hold_s, expire)
        timer = threading.Timer(hold_s, self._expire, (key, lane))
        timer.daemon = True
        timer.start()
        return timer

    def _expire(self, key: tuple[Pool, str], lane: Lane) -> None:
        with self._lock:
            if self._lanes.get(key, (None,))[0] is not lane:
                return
            del self._lanes[key]
        lane.rollback()


_HELD = _HeldLanes()
_ending: set[asyncio.Task[Any]] = set()
_pools: WeakKeyDictionary[Pool, Pool] = WeakKeyDictionary()
_pools_lock = threading.Lock()
_KEY = object()


def checkout(engine: Engine, scope: Scope, hold_s: float, judge: Judge) -> LaneConnection:
    """A connection of the bullet's lane on `engine`; `judge` is for what is run on it without SQLAlchemy.

    Raises WriteRefused where no lane can be had.
    """
    lanes = scope.state.get(_KEY)
    if lanes is None:
        lanes = scope.state.setdefault(_KEY, _ScopeLanes(scope, hold_s, judge))
    return lanes.checkout(engine)  # type: ignore[no-any-return]


def dispose(engine: Engine) -> None:
    """Close the lane pool of an engine that is being disposed of."""
    with _pools_lock:
        pool = _pools.pop(engine.pool, None)
    if pool is not None:
        pool.dispose()


def obstacle(engine: Engine) -> str:
    """Why `engine` can have no lane; empty when it can."""
    if engine.dialect.name not in DIALECTS:
        return "rollback is not proven on this database; use the policy deny"
    if isinstance(engine.pool, (StaticPool, SingletonThreadPool)):
        return f"{type(engine.pool).__name__} shares one connection between customers and bullets"
    return ""


def _open(engine: Engine, trace_id: str) -> Lane:
    why = obstacle(engine)
    if why:
        raise WriteRefused(f"connection to {engine.dialect.name}", why)
    with _pools_lock:
        pool = _pools.get(engine.pool)
        if pool is None:
            pool = engine.pool.recreate()
            # Even a lane that is lost and garbage-collected must end in a rollback.
            pool._reset_on_return = ResetStyle.reset_rollback
            _pools[engine.pool] = pool
    return Lane(engine, pool.connect(), trace_id)


def _usable(lane: Lane, owner: object) -> bool:
    """A lane that is free, or in use by the very task or thread that asks again (nested sessions)."""
    return not lane.closed and (lane.users == 0 or lane.owner == owner)


def _runner() -> object:
    task = None if _running_loop() is None else asyncio.current_task()
    return task if task is not None else threading.get_ident()


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None
