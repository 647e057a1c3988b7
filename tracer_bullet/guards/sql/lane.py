"""One lane: a connection with one transaction that is never committed.

A lane's methods are coroutines that know nothing of how their driver waits: a driver that
blocks runs them by `drive`, an event loop's by `await`, psycopg's inside its generators.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Hashable
from dataclasses import dataclass
from enum import Enum
from inspect import isawaitable
from typing import Any, Protocol, TypeVar

from tracer_bullet.guards.policy import WriteRefused

_log = logging.getLogger(__name__)
T_ = TypeVar("T_")


class Style(Enum):
    """How a source's connections wait for their server.

    `SYNC`: they block their thread. `GREENLET`: they look as if they did, inside SQLAlchemy's
    greenlets. `ASYNC`: their methods are awaited on the event loop that opened them.
    """

    SYNC = "sync"
    GREENLET = "greenlet"
    ASYNC = "async"


class Channel(Protocol):
    """A driver's connection as its lane uses it. `execute` and `close` may give awaitables.

    `needs_begin`: whether the lane must say BEGIN, since the driver would not before a
    statement. `autocommits`: whether the application set this connection's source up to commit
    each statement (SQLAlchemy's AUTOCOMMIT engines; False for raw drivers).
    """

    needs_begin: bool
    autocommits: bool

    def execute(self, sql: str) -> Any:
        """Run a statement of the lane's own: BEGIN, SAVEPOINT and the like, without a guard's judgement."""

    def in_transaction(self) -> bool | None:
        """Whether the driver says that a transaction is open; None when it cannot say."""

    def rollback(self) -> Any:
        """Undo the transaction where the lane did not begin it itself."""

    def close(self) -> Any:
        """Give back or close the connection, whose transaction is rolled back by now."""

    def cut(self) -> None:
        """Drop the connection at once, without waiting for its server; may be called from any thread."""

    def usable(self) -> bool:
        """Whether the connection is still up, as far as the driver knows."""

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        """Run a coroutine that uses this channel, from outside of the driver: `drive`, or an awaitable."""


@dataclass(frozen=True, slots=True)
class Source:
    """A place that lanes connect to: one engine, or one database as one driver is told to reach it.

    `key`: checkouts of sources with equal keys share lanes within a bullet's request; for drivers
    without a pool it should be what was connected to, whole (driver, address, database, user), and
    for `ASYNC` the event loop too. `dialect`: SQLAlchemy's name. `open`: makes a Channel of a new,
    real connection under `below()`; with `ASYNC` it gives an awaitable of one. `obstacle`: why no
    lane can be had; empty when it can.
    """

    key: Hashable
    dialect: str
    open: Callable[[], Any]
    style: Style = Style.SYNC
    obstacle: str = ""


class Lane:
    """A bullet's connection and its transaction. `users`: how many hold it; `owner`: the task or thread that does."""

    def __init__(self, source: Source, channel: Channel, trace_id: str) -> None:
        self.source = source
        self.channel = channel
        self.trace_id = trace_id
        self.users = 0
        self.active = 0  # statements under way
        self.owner: object = None
        self.wrote = False
        self.closed = False
        self.transient = False
        self._savepoints: list[str] = []
        self._serial = 0
        self._explicit = False

    async def begin(self) -> str:
        """Open a savepoint, and the transaction around it where the driver would not; its name."""
        if not self._explicit and not self._savepoints and self.channel.needs_begin:
            await settle(self.channel.execute("BEGIN"))
            self._explicit = True
        elif self.lost():
            # SQLite's INSERT OR ROLLBACK, a deadlock in MySQL: what came now would be committed.
            self.cut()
            raise WriteRefused("use of a bullet's connection", "the database has ended its transaction")
        self._serial += 1
        name = f"tb_{self._serial}"
        await settle(self.channel.execute(f"SAVEPOINT {name}"))
        self._savepoints.append(name)
        return name

    async def release(self, name: str) -> None:
        """Keep what was written since `name`, for the rest of the lane."""
        if name in self._savepoints:
            await settle(self.channel.execute(f"RELEASE SAVEPOINT {name}"))
            del self._savepoints[self._savepoints.index(name) :]

    async def undo(self, name: str) -> None:
        """Undo what was written since `name`."""
        if self.lost():
            self.cut()  # all is undone, and what came now would be committed
        elif name in self._savepoints:
            await settle(self.channel.execute(f"ROLLBACK TO SAVEPOINT {name}"))
            await self.release(name)

    def lost(self) -> bool:
        """Whether the transaction is gone although it must be open."""
        return (self._explicit or bool(self._savepoints)) and self.channel.in_transaction() is False

    def check(self, operation: str) -> None:
        """Raise when the lane's transaction is gone although it must be open: then the write escaped."""
        if self.channel.in_transaction() is False:
            raise WriteRefused(operation, "it ended the transaction that was to be rolled back")

    async def end(self) -> None:
        """Undo everything and give the connection back; on any doubt, cut it."""
        if self.closed:
            return
        try:
            if self._explicit:
                await settle(self.channel.execute("ROLLBACK"))
            else:
                await settle(self.channel.rollback())
            await settle(self.channel.close())
            self.closed = True
        except Exception:  # noqa: BLE001  # a cut connection is rolled back by its server
            _log.warning("a bullet's transaction could not be rolled back in order; its connection is cut")
        finally:
            self.cut()

    def rollback(self) -> None:
        """`end` for drivers that block."""
        if self.channel.usable():
            self.channel.run(self.end())
        self.cut()

    def cut(self) -> None:
        """Drop the connection, which its server then rolls back; nothing when the lane is closed already."""
        if not self.closed:
            self.closed = True
            self.channel.cut()


def drive(work: Coroutine[Any, Any, T_]) -> T_:
    """Run a coroutine of which every step is done at once, because its driver blocks."""
    try:
        work.send(None)
    except StopIteration as done:
        return done.value  # type: ignore[no-any-return]
    work.close()
    raise RuntimeError("a driver that blocks gave an awaitable")


async def settle(found: Any) -> Any:
    """What a driver's call gave, awaited where it must be."""
    return await found if isawaitable(found) else found


async def end_on_loop(lane: Lane) -> None:
    """Roll a lane back without blocking the running event loop."""
    if lane.source.style is Style.ASYNC:
        if lane.channel.usable():
            await lane.channel.run(lane.end())
        lane.cut()
    elif lane.source.style is Style.GREENLET:
        from sqlalchemy.util import greenlet_spawn  # noqa: PLC0415  # only its lanes are of this style

        await greenlet_spawn(lane.rollback)
    else:
        await asyncio.to_thread(lane.rollback)
