"""What a bullet holds in place of a database connection and its cursors.

SQLAlchemy and raw DB-API code (PEP 249) work on these as on the real ones, but stay in the
lane: the application's commit releases a savepoint, statements of raw cursors are judged
like SQLAlchemy's, and whatever else a driver can do is refused, since it cannot be known
to roll back.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Self

from sqlalchemy.pool import PoolProxiedConnection
from wrapt import ObjectProxy

from tracer_bullet.context.scope import Scope
from tracer_bullet.guards.lane import Lane
from tracer_bullet.guards.policy import WriteRefused

Judge = Callable[["LaneConnection", str, int, Callable[[], Any]], Any]
"""Judges a raw statement and runs it: connection, SQL, number of parameter sets, how to run it."""

_NOT_UNDONE = "the guard does not know how to roll it back"
# What cursors can do that sends no statement.
_CURSOR_METHODS = frozenset(
    {"close", "fetchone", "fetchmany", "fetchall", "scroll", "nextset", "setinputsizes", "setoutputsize", "mogrify"}
)


class LaneConnection(ObjectProxy[PoolProxiedConnection]):
    """Stands for a pooled connection."""

    _self_lane: Lane
    _self_scope: Scope
    _self_judge: Judge
    _self_give_back: Callable[[Lane], None] | None
    _self_savepoint: str | None
    _self_autocommit: bool
    _self_began: bool

    def __init__(self, lane: Lane, scope: Scope, judge: Judge, give_back: Callable[[Lane], None]) -> None:
        super().__init__(lane.connection)
        self._self_lane = lane
        self._self_scope = scope
        self._self_judge = judge
        self._self_give_back = give_back
        self._self_savepoint = None
        self._self_autocommit = lane.autocommits
        self._self_began = False

    @property
    def lane(self) -> Lane:
        """The lane that it is on."""
        return self._self_lane

    @property
    def autocommits(self) -> bool:
        """Whether each statement counts as committed at once."""
        return self._self_autocommit and not self._self_began

    def set_isolation(self, level: str) -> None:
        """Note the isolation level that the application asks for; the lane's transaction keeps its own."""
        self._self_autocommit = level.upper().replace("_", " ") == "AUTOCOMMIT"

    def begin(self, *, explicit: bool = False) -> Lane:
        """Make sure that a savepoint is open; `explicit`: until the application commits."""
        self._check_alive()
        self._self_began = self._self_began or explicit
        if self._self_savepoint is None:
            self._self_savepoint = self._self_lane.begin()
        return self._self_lane

    def commit(self) -> None:
        """What the application takes for a commit: keep, within the lane."""
        self._check_alive()
        name, self._self_savepoint = self._self_savepoint, None
        self._self_began = False
        if name is None:
            return
        try:
            self._self_lane.release(name)
        except Exception:  # noqa: BLE001  # PostgreSQL's answer to COMMIT in a failed transaction is ROLLBACK
            self._self_lane.undo(name)

    def rollback(self) -> None:
        """Undo the application's transaction, keep what it 'committed' before."""
        name, self._self_savepoint = self._self_savepoint, None
        self._self_began = False
        if name is not None and not self._self_lane.closed:
            self._self_lane.undo(name)

    def cursor(self, *args: Any, **kwargs: Any) -> LaneCursor:
        """A cursor on the lane; refused when the bullet is over, so that no customer's write lands here."""
        self._check_alive()
        return LaneCursor(self.__wrapped__.cursor(*args, **kwargs), self)

    def judge(self, sql: str, count: int, run: Callable[[], Any]) -> Any:
        """Judge a raw cursor's statement and run it."""
        return self._self_judge(self, sql, count, run)

    def close(self) -> None:
        """Give the lane back; as with a pool, what was not committed is undone."""
        if self._self_give_back is None:
            return
        try:
            self.rollback()
        except Exception:  # noqa: BLE001  # as a pool does with a connection that cannot be reset
            self._self_lane.cut()
        except BaseException:  # cancelled in between: nobody knows how far it came
            self._self_lane.cut()
            raise
        finally:
            self._finish()

    def invalidate(self, *_: object, **__: object) -> None:
        """The connection is broken, or its use was broken off: the lane ends here."""
        self._self_lane.cut()
        self._finish()

    def detach(self) -> None:
        """Refused: a detached connection would leave the lane."""
        raise WriteRefused("detach", "a bullet's connection cannot leave its lane")

    @property
    def dbapi_connection(self) -> LaneConnection:
        """This connection: the one below could commit."""
        return self

    @property
    def driver_connection(self) -> Any:
        """Refused: the driver's own connection could commit."""
        raise WriteRefused("driver_connection", "raw driver access cannot be rolled back")

    def __getattr__(self, name: str) -> Any:
        found = getattr(self.__wrapped__, name)
        if callable(found) and not hasattr(type(self.__wrapped__), name):
            raise WriteRefused(f"{name}() of a raw connection", _NOT_UNDONE)
        return found

    def __setattr__(self, name: str, value: Any) -> None:
        if not name.startswith("_self_") and not hasattr(type(self.__wrapped__), name):
            raise WriteRefused(f"setting {name} of a raw connection", _NOT_UNDONE)
        super().__setattr__(name, value)

    def _close_special(self, transaction_reset: bool = False) -> None:  # noqa: ARG002  # SQLAlchemy's own name
        self.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _finish(self) -> None:
        give_back, self._self_give_back = self._self_give_back, None
        if give_back is not None:
            give_back(self._self_lane)

    def _check_alive(self) -> None:
        if self._self_lane.closed or not self._self_scope.live:
            raise WriteRefused("use of a bullet's connection", "its bullet is over; check out a new connection")


class LaneCursor(ObjectProxy[Any]):
    """Stands for a cursor. SQLAlchemy's executions, which are judged by then, go to the one below."""

    _self_connection: LaneConnection

    def __init__(self, cursor: Any, connection: LaneConnection) -> None:
        super().__init__(cursor)
        self._self_connection = connection

    @property
    def connection(self) -> LaneConnection:
        """The lane's connection (PEP 249, optional extension)."""
        return self._self_connection

    def execute(self, query: Any, *args: Any, **kwargs: Any) -> LaneCursor:
        """Judge and run one statement."""
        self._judge(query, 1, lambda: self.__wrapped__.execute(query, *args, **kwargs))
        return self

    def executemany(self, query: Any, parameters: Any, *args: Any, **kwargs: Any) -> LaneCursor:
        """Judge and run one statement with many parameter sets."""
        rows = list(parameters)
        self._judge(query, len(rows), lambda: self.__wrapped__.executemany(query, rows, *args, **kwargs))
        return self

    def copy(self, query: Any, *args: Any, **kwargs: Any) -> Any:
        """Judge psycopg's COPY, whose rows come after; a context manager."""
        return self._judge(query, 1, lambda: self.__wrapped__.copy(query, *args, **kwargs))

    def __getattr__(self, name: str) -> Any:
        found = getattr(self.__wrapped__, name)
        if callable(found) and not name.startswith("_") and name not in _CURSOR_METHODS:
            raise WriteRefused(f"{name}() of a raw cursor", _NOT_UNDONE)
        return found

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _judge(self, query: Any, count: int, run: Callable[[], Any]) -> Any:
        return self._self_connection.judge(_text(query, self.__wrapped__), count, run)


def _text(query: Any, cursor: Any) -> str:
    """The SQL of a query as drivers take it: text, bytes, or psycopg's composed SQL."""
    if isinstance(query, bytes):
        return query.decode("utf-8", errors="replace")
    if hasattr(query, "as_string"):
        return str(query.as_string(cursor))
    return str(query)
