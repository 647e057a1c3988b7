"""The connection beside a lane, on which what is let through or shadowed is written for real.

It has a transaction of its own, which ends as the application ends its own: commit commits
it, rollback undoes it, savepoints are set on both. One for each connection of a bullet's that
needs it, from a pool of its own, so that waiting for one never waits for a lane.
"""

from __future__ import annotations

import threading
from typing import Any
from weakref import WeakKeyDictionary

from sqlalchemy.engine import Engine
from sqlalchemy.pool import Pool, SingletonThreadPool, StaticPool
from sqlalchemy.pool.base import ResetStyle

from tracer_bullet.guards.below import below
from tracer_bullet.guards.policy import WriteRefused
from tracer_bullet.guards.sql.sqlalchemy_lanes import PoolChannel

_pools: WeakKeyDictionary[Pool, Pool] = WeakKeyDictionary()
_pools_lock = threading.Lock()


class Side:
    """One connection beside a lane. `is_open`: a transaction is under way; `tables`: what was written here."""

    def __init__(self, engine: Engine, operation: str) -> None:
        if isinstance(engine.pool, (StaticPool, SingletonThreadPool)):
            raise WriteRefused(
                operation, f"{type(engine.pool).__name__} has no connection for it besides the bullet's own"
            )
        with below():
            self._channel = PoolChannel(engine, _pool(engine).connect())
        self.is_open = False
        self.tables: set[str] = set()

    def cursor(self, savepoints: list[str]) -> Any:
        """The driver's cursor; the first one of a transaction begins it, and sets the application's savepoints."""
        if not self.is_open:
            self.is_open = True
            if self._channel.needs_begin and not self._channel.autocommits:
                self._channel.execute("BEGIN")
            for name in savepoints:
                self._channel.execute(f"SAVEPOINT {name}")
        return self._channel.connection.cursor()

    def execute(self, sql: str) -> None:
        """Follow the application's savepoints, where a transaction is under way."""
        if self.is_open:
            self._channel.execute(sql)

    def commit(self) -> None:
        """Commit for real."""
        self._end("COMMIT", self._channel.connection.commit)

    def rollback(self) -> None:
        """Undo what was not committed."""
        self._end("ROLLBACK", self._channel.connection.rollback)

    def close(self) -> None:
        """Give the connection back; what was not committed is undone."""
        try:
            self.rollback()
        except BaseException:
            self._channel.cut()
            raise
        self._channel.close()

    def cut(self) -> None:
        """Drop the connection, which its server then rolls back."""
        self.is_open = False
        self._channel.cut()

    def _end(self, sql: str, end: Any) -> None:
        if not self.is_open:
            return
        self.is_open = False
        with below():
            if self._channel.needs_begin and not self._channel.autocommits:
                self._channel.execute(sql)
            else:
                end()


def dispose(engine: Engine) -> None:
    """Close the pool of an engine that is being disposed of."""
    with _pools_lock:
        pool = _pools.pop(engine.pool, None)
    if pool is not None:
        pool.dispose()


def _pool(engine: Engine) -> Pool:
    with _pools_lock:
        pool = _pools.get(engine.pool)
        if pool is None:
            pool = _pools[engine.pool] = engine.pool.recreate()
            pool._reset_on_return = ResetStyle.reset_rollback
    return pool
