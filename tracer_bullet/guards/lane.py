"""One lane: a connection with one transaction that is never committed."""

from __future__ import annotations

import logging
from typing import Any

from sqlalchemy.engine import Engine
from sqlalchemy.pool import PoolProxiedConnection

from tracer_bullet.guards.policy import WriteRefused

_log = logging.getLogger(__name__)


class Lane:
    """A bullet's connection and transaction. `autocommits`: the engine's connections commit each statement."""

    def __init__(self, engine: Engine, connection: PoolProxiedConnection, trace_id: str) -> None:
        self.engine = engine
        self.trace_id = trace_id
        self.users = 0
        self.owner: object = None
        self.closed = False
        self.transient = False
        self._connection = connection
        self._savepoints: list[str] = []
        self._serial = 0
        self._explicit = False
        found = _detect_autocommit(engine, connection)
        self.autocommits = found is True
        # An explicit BEGIN is right in either mode, so also where the driver cannot say.
        self._needs_begin = found is not False or engine.dialect.name == "sqlite"

    @property
    def connection(self) -> PoolProxiedConnection:
        """The pool's connection below."""
        return self._connection

    def begin(self) -> str:
        """Open a savepoint, and the transaction around it where the driver would not; its name."""
        if not self._explicit and not self._savepoints and self._needs_begin:
            self._execute("BEGIN")
            self._explicit = True
        self._serial += 1
        name = f"tb_{self._serial}"
        self._execute(f"SAVEPOINT {name}")
        self._savepoints.append(name)
        return name

    def release(self, name: str) -> None:
        """Keep what was written since `name`, for the rest of the lane."""
        if name in self._savepoints:
            self._execute(f"RELEASE SAVEPOINT {name}")
            del self._savepoints[self._savepoints.index(name) :]

    def undo(self, name: str) -> None:
        """Undo what was written since `name`."""
        if name in self._savepoints:
            self._execute(f"ROLLBACK TO SAVEPOINT {name}")
            self.release(name)

    def check(self, operation: str) -> None:
        """Raise when the lane's transaction is gone although it must be open: then the write escaped."""
        if _in_transaction(self._connection) is False:
            raise WriteRefused(operation, "it ended the transaction that was to be rolled back")

    def rollback(self) -> None:
        """Undo everything and give the connection back; on any doubt, cut it."""
        if self.closed:
            return
        try:
            if self._explicit:
                self._execute("ROLLBACK")
            else:
                self._connection.rollback()
            self._connection.close()
            self.closed = True
        except Exception:  # noqa: BLE001  # a cut connection is rolled back by its server
            _log.warning("a bullet's transaction could not be rolled back in order; its connection is cut")
        finally:
            self.cut()

    def cut(self) -> None:
        """Drop the connection, which its server then rolls back; nothing when the lane is closed already."""
        if not self.closed:
            self.closed = True
            if self._connection.is_valid:
                self._connection.invalidate()

    def _execute(self, sql: str) -> None:
        cursor = self._connection.cursor()
        try:
            cursor.execute(sql)
        finally:
            cursor.close()


def _detect_autocommit(engine: Engine, connection: PoolProxiedConnection) -> bool | None:
    try:
        return bool(engine.dialect.detect_autocommit_setting(connection.dbapi_connection))  # type: ignore[arg-type]
    except NotImplementedError:
        return None


def _in_transaction(connection: PoolProxiedConnection) -> bool | None:
    """Whether the driver says that a transaction is open; None when it cannot say."""
    driver: Any = connection.driver_connection
    for probe in ("in_transaction", "is_in_transaction"):
        found = getattr(driver, probe, None)
        if found is not None:
            return bool(found() if callable(found) else found)
    status = getattr(getattr(driver, "info", None), "transaction_status", None)
    return None if status is None else int(status) != 0
