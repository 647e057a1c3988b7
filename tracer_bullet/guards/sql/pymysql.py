"""Guard for PyMySQL used directly; under SQLAlchemy and Django their guards judge.

In a bullet its cursors run on the bullet's lane (mysql_driver.py). Customers' calls cost one look
at a context variable.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tracer_bullet.context.scope import live_scope
from tracer_bullet.guards.below import below
from tracer_bullet.guards.config import Sink
from tracer_bullet.guards.patching import Patch, unwrap, wrap
from tracer_bullet.guards.registry import Guard

_patches: list[Patch] = []


def _patch() -> None:
    import pymysql.connections  # noqa: PLC0415  # only where the service uses it
    import pymysql.cursors  # noqa: PLC0415

    from tracer_bullet.guards.sql.mysql_driver import Driver, patches  # noqa: PLC0415

    streaming = pymysql.cursors.SSCursor
    driver = Driver(
        "pymysql", _again, _place, _about, lambda cursor: isinstance(cursor, streaming), _answered, _unanswered
    )
    connection = pymysql.connections.Connection
    _patches.extend(patches(driver, pymysql.cursors.Cursor, connection))
    _patches.append(wrap(connection, "connect", _connect))


def _unpatch() -> None:
    while _patches:
        unwrap(_patches.pop())


def _connect(wrapped: Callable[..., Any], _connection: Any, args: Any, kwargs: Any) -> Any:
    """Also what a `ping` that connects again says to set the session up."""
    if live_scope() is None:
        return wrapped(*args, **kwargs)
    with below():
        return wrapped(*args, **kwargs)


GUARD = Guard(name="pymysql", module="pymysql", versions=">=1.1,<1.3", sink=Sink.SQL, patch=_patch, unpatch=_unpatch)


def _again(connection: Any, database: str) -> Any:
    """Connected anew with all that the application's connection was made with; it keeps that itself."""
    new = object.__new__(type(connection))
    vars(new).update({k: v for k, v in vars(connection).items() if k != "_tracer_bullet_below"})
    new._sock = new._rfile = new._result = None
    new._closed = False
    new.db = database or None
    new._tracer_bullet_below = True
    new.connect()
    return new


def _place(connection: Any) -> tuple[Any, ...]:
    return connection.host, connection.port, connection.unix_socket, connection.user, connection.charset


def _about(connection: Any) -> dict[str, str | int]:
    return {"server.address": str(connection.host), "server.port": int(connection.port)}


def _answered(connection: Any, lane: Any) -> None:
    """For `insert_id` and `nextset`, which look at the connection."""
    connection._result = lane._result
    connection._affected_rows = lane._affected_rows


def _unanswered(cursor: Any, query: Any) -> None:
    cursor._clear_result()
    cursor._executed = query
