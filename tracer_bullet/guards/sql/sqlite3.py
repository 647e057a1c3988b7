"""Guard for the standard library's sqlite3.

Its types are C's, so `connect` gives connections of a guarded subclass (sqlite3_classes.py). In
a bullet their cursors work on the bullet's lane (sqlite3_lanes.py), and the application's
connection stays idle. A connection that was opened before the service was armed, or by calling
the class `sqlite3.Connection`, is not guarded.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, Final

from tracer_bullet.context.scope import live_scope
from tracer_bullet.guards.below import is_below
from tracer_bullet.guards.config import Sink
from tracer_bullet.guards.policy import WriteRefused
from tracer_bullet.guards.registry import Guard

PARAMETERS: Final = (
    "database",
    "timeout",
    "detect_types",
    "isolation_level",
    "check_same_thread",
    "factory",
    "cached_statements",
    "uri",
)
"""The positional parameters of `sqlite3.connect`."""
_undo: list[Callable[[], None]] = []


def _patch() -> None:
    import sqlite3  # noqa: PLC0415  # only where the service uses it

    _undo.extend([_replace(sqlite3), _replace(sqlite3.dbapi2)])


def _unpatch() -> None:
    while _undo:
        _undo.pop()()


def _replace(module: Any) -> Callable[[], None]:
    """Guard a module's `connect`, inside of all wrappers; gives what undoes it.

    A plain function: OpenTelemetry's `uninstrument` takes off the outermost wrapper that it
    finds, and would take ours.
    """
    outer, original = _innermost(module.connect)

    def connect(*args: Any, **kwargs: Any) -> Any:
        return _connect(original, args, kwargs)

    connect.__doc__ = original.__doc__
    _put(module, outer, connect)

    def undo() -> None:
        outer, found = _innermost(module.connect)
        if found is connect:
            _put(module, outer, original)

    return undo


def _innermost(function: Any) -> tuple[Any, Any]:
    """A function inside of its wrappers, and the wrapper next to it, if there is one."""
    outer = None
    while hasattr(function, "__wrapped__"):
        outer, function = function, function.__wrapped__
    return outer, function


def _put(module: Any, outer: Any, function: Any) -> None:
    if outer is None:
        module.connect = function
    else:
        outer.__wrapped__ = function


GUARD = Guard(name="sqlite3", module="sqlite3", versions="", sink=Sink.SQL, patch=_patch, unpatch=_unpatch)


def _connect(wrapped: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    if is_below():
        return wrapped(*args, **kwargs)
    named = {**dict(zip(PARAMETERS, args, strict=False)), **kwargs}
    factory: Any = named.pop("factory", None)
    if factory is not None and not inspect.isclass(factory):
        if live_scope() is not None:
            raise WriteRefused("connect", "its factory is not a class, and what it makes cannot be guarded")
        return wrapped(*args, **kwargs)
    from tracer_bullet.guards.sql.sqlite3_classes import guarded_connection  # noqa: PLC0415  # imports sqlite3

    return wrapped(**named, factory=guarded_connection(factory))
