"""Guard for mysqlclient (MySQLdb) used directly; under SQLAlchemy and Django their guards judge.

In a bullet its cursors run on the bullet's lane (mysql_driver.py). A connection does not keep what
it was made with, so the guard notes that when it is made: connections from before arming are
refused to bullets. Customers' calls cost one look at a context variable.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tracer_bullet.guards.config import Sink
from tracer_bullet.guards.patching import Patch, unwrap, wrap
from tracer_bullet.guards.policy import WriteRefused
from tracer_bullet.guards.registry import Guard

_MADE_WITH = "_tracer_bullet_made_with"
_POSITIONAL = ("host", "user", "password", "database", "port", "unix_socket")
_PLACE = ("host", "port", "unix_socket", "user", "charset", "read_default_file", "read_default_group")
_patches: list[Patch] = []


def _patch() -> None:
    import MySQLdb.connections  # noqa: PLC0415  # only where the service uses it
    import MySQLdb.cursors  # noqa: PLC0415

    from tracer_bullet.guards.sql.mysql_driver import Driver, patches  # noqa: PLC0415

    streaming = MySQLdb.cursors.CursorUseResultMixIn
    driver = Driver(
        "mysqlclient", _again, _place, _about, lambda cursor: isinstance(cursor, streaming), _answered, _unanswered
    )
    connection = MySQLdb.connections.Connection
    _patches.extend(patches(driver, MySQLdb.cursors.BaseCursor, connection))
    _patches.append(wrap(connection, "__init__", _note))


def _unpatch() -> None:
    while _patches:
        unwrap(_patches.pop())


GUARD = Guard(
    name="mysqlclient",
    module="MySQLdb",
    versions=">=2.2,<2.4",
    sink=Sink.SQL,
    patch=_patch,
    unpatch=_unpatch,
    distribution="mysqlclient",
)


def _note(wrapped: Callable[..., Any], connection: Any, args: Any, kwargs: Any) -> None:
    wrapped(*args, **kwargs)
    setattr(connection, _MADE_WITH, {**dict(zip(_POSITIONAL, args, strict=False)), **kwargs})


def _again(connection: Any, database: str) -> Any:
    """Connected anew with what the application's connection was made with."""
    made_with = getattr(connection, _MADE_WITH, None)
    if made_with is None:
        raise WriteRefused("use of a connection", "it was opened before the service was armed")
    named = {k: v for k, v in made_with.items() if k not in ("db", "database")}
    return type(connection)(**named, **({"database": database} if database else {}))


def _place(connection: Any) -> tuple[Any, ...]:
    made_with = getattr(connection, _MADE_WITH, None)
    if made_with is None:
        return (id(connection),)
    return tuple(str(made_with.get(name)) for name in _PLACE)


def _about(connection: Any) -> dict[str, str | int]:
    host = getattr(connection, "host", None)
    return {"server.address": str(host or "localhost"), "server.port": int(connection.port or 3306)}


def _answered(connection: Any, lane: Any) -> None:
    """Its cursors have all that there is to know."""


def _unanswered(cursor: Any, query: Any) -> None:
    cursor._discard()
    cursor._executed = query
    cursor.rowcount = 0
