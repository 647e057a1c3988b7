"""asyncpg's connections in a bullet: its lanes, and the session of each connection of the application's."""

from __future__ import annotations

import asyncio
from typing import Any
from weakref import WeakKeyDictionary, WeakSet

from asyncpg import connect_utils

from tracer_bullet.context.scope import Scope
from tracer_bullet.guards.below import below
from tracer_bullet.guards.sql.lane import Source, Style
from tracer_bullet.guards.sql.raw_lanes import RawSession
from tracer_bullet.guards.sql.raw_sessions import sessions_of

DIALECT = "postgresql"
_FOREIGN = "its connection is in a transaction that was begun outside the bullet"

_CANCEL_S = 5.0
_ending: set[asyncio.Task[None]] = set()

Codec = tuple[str, tuple[Any, ...], tuple[tuple[str, Any], ...]]
owned: WeakSet[Any] = WeakSet()
"""Connections that were opened below another guard, which sees all that is run on them."""
codecs: WeakKeyDictionary[Any, list[Codec]] = WeakKeyDictionary()
"""What the application did to the types of its connections, in order: lanes must speak the same."""


class AsyncpgChannel:
    """A lane's connection: a real one, opened as the application's was."""

    needs_begin = True
    autocommits = False

    def __init__(self, connection: Any, loop: asyncio.AbstractEventLoop) -> None:
        self.connection = connection
        self._loop = loop

    async def execute(self, sql: str) -> None:
        """Run a statement of the lane's own."""
        await self.connection._protocol.query(sql, None)

    def in_transaction(self) -> bool:
        """What the server said last."""
        return bool(self.connection.is_in_transaction())

    async def rollback(self) -> None:
        """Undo the transaction."""
        await self.execute("ROLLBACK")

    async def close(self) -> None:
        """Close the connection."""
        with below():
            await self.connection.close()

    def cut(self) -> None:
        """Drop the connection; the server rolls back. From any thread."""
        try:
            if asyncio.get_running_loop() is self._loop:
                self._terminate()
                return
        except RuntimeError:
            pass
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._terminate)

    def usable(self) -> bool:
        """Whether it is up."""
        return not self.connection.is_closed()

    def run(self, work: Any) -> Any:
        """The session's work, to be awaited."""
        return work

    def _terminate(self) -> None:
        pending = list(self.connection._cancellations)
        if not pending:
            self.connection.terminate()
            return
        # asyncpg is asking the server to stop; a terminated connection would take the request back, and the
        # server would hold the statement's locks until it has something to say.
        task = self._loop.create_task(self._terminate_after(pending))
        _ending.add(task)
        task.add_done_callback(_ending.discard)

    async def _terminate_after(self, pending: list[Any]) -> None:
        try:
            await asyncio.wait(pending, timeout=_CANCEL_S)
        finally:
            self.connection.terminate()


def source_of(connection: Any) -> Source:
    """The database of a connection, as that is told to reach it."""
    loop, known = asyncio.get_running_loop(), tuple(codecs.get(connection, ()))
    params = connection._params
    settings = frozenset((params.server_settings or {}).items())
    kind, record = type(connection), connection._protocol.get_record_class()
    # Codecs are compared by what they are, since their functions may not be hashable.
    key = ("asyncpg", connection._addr, params.user, params.database, settings, kind, record, repr(known), id(loop))

    async def connect() -> AsyncpgChannel:
        found = await connect_utils._connect_addr(
            addr=connection._addr, loop=loop, params=params, config=connection._config,
            connection_class=kind, record_class=record,
        )  # fmt: skip
        for name, args, kwargs in known:
            await getattr(found, name)(*args, **dict(kwargs))
        return AsyncpgChannel(found, loop)

    return Source(key, DIALECT, connect, Style.ASYNC)


def about(connection: Any) -> dict[str, str | int]:
    """OpenTelemetry's attributes of the database."""
    address = connection._addr
    host, port = address if isinstance(address, tuple) else (address, None)
    found = {"db.system.name": "postgresql", "db.namespace": connection._params.database, "server.address": host}
    return {k: v for k, v in (*found.items(), ("server.port", port)) if v is not None}


def session_of(connection: Any, scope: Scope) -> RawSession:
    """A connection's session in this bullet."""
    sessions = sessions_of(scope)

    def make() -> RawSession:
        no_writes = _FOREIGN if connection._protocol.is_in_transaction() else ""
        return sessions.add(RawSession(scope, source_of(connection), about(connection), lambda: True, no_writes))

    return sessions.of(connection, make)
