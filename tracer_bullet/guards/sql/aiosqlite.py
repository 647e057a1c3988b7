"""Guard for aiosqlite, which runs sqlite3 in a thread of each connection's own.

The thread knows no request; so each function that it is sent carries the scope of the one who
sent it, and sqlite3's guard (sqlite3.py) does the rest.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tracer_bullet.context.scope import Scope, entered, live_scope
from tracer_bullet.guards.below import below, is_below
from tracer_bullet.guards.config import Sink
from tracer_bullet.guards.patching import Patch, unwrap, wrap
from tracer_bullet.guards.registry import Guard

_patches: list[Patch] = []


def _patch() -> None:
    import aiosqlite  # noqa: PLC0415  # only where the service uses it

    _patches.append(wrap(aiosqlite.Connection, "__await__", _start))
    _patches.append(wrap(aiosqlite.Connection, "_connect", _connect))
    _patches.append(wrap(aiosqlite.Connection, "_execute", _execute))


def _unpatch() -> None:
    while _patches:
        unwrap(_patches.pop())


GUARD = Guard(
    name="aiosqlite", module="aiosqlite", versions=">=0.20,<0.23", sink=Sink.SQL, patch=_patch, unpatch=_unpatch
)


def _start(wrapped: Callable[..., Any], _connection: Any, args: Any, kwargs: Any) -> Any:
    """Start the thread, which may serve customers for long, outside of the bullet."""
    if live_scope() is None:
        return wrapped(*args, **kwargs)
    with entered(None):
        return wrapped(*args, **kwargs)


def _connect(wrapped: Callable[..., Any], connection: Any, args: Any, kwargs: Any) -> Any:
    scope = live_scope()
    if scope is not None or is_below():
        connection._connector = _bound(connection._connector, scope)
    return wrapped(*args, **kwargs)


def _execute(wrapped: Callable[..., Any], _connection: Any, args: Any, kwargs: Any) -> Any:
    scope = live_scope()
    if scope is None:
        return wrapped(*args, **kwargs)
    function, *rest = args
    return wrapped(_bound(function, scope), *rest, **kwargs)


def _bound(function: Callable[..., Any], scope: Scope | None) -> Callable[..., Any]:
    """A function to be run in the thread as if it were run here."""
    mark = is_below()

    def bound(*args: Any, **kwargs: Any) -> Any:
        with entered(scope):
            if not mark:
                return function(*args, **kwargs)
            with below():
                return function(*args, **kwargs)

    return bound
