"""Guard for psycopg's connection pools, sync and async.

What a pool does for itself (connect, configure, check, reset) is nobody's request: a bullet
that happens to cause it must not have it done on its lane, from which the next customer would
have nothing. A connection that a bullet gives back leaves no open transaction in the lane.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tracer_bullet.context.scope import entered, live_scope
from tracer_bullet.guards.config import Sink
from tracer_bullet.guards.patching import Patch, unwrap, wrap
from tracer_bullet.guards.registry import Guard
from tracer_bullet.guards.sql.psycopg import stand_in

_patches: list[Patch] = []
_OWN = ("_connect", "_check_connection", "_reset_connection")


def _patch() -> None:
    import psycopg_pool  # noqa: PLC0415  # only where the service uses it

    for name in _OWN:
        _patches.append(wrap(psycopg_pool.ConnectionPool, name, _own))
        _patches.append(wrap(psycopg_pool.AsyncConnectionPool, name, _own_async))
    _patches.append(wrap(psycopg_pool.ConnectionPool, "putconn", _put))
    _patches.append(wrap(psycopg_pool.AsyncConnectionPool, "putconn", _put_async))


def _unpatch() -> None:
    while _patches:
        unwrap(_patches.pop())


GUARD = Guard(
    name="psycopg_pool",
    module="psycopg_pool",
    versions=">=3.2,<3.4",
    sink=Sink.SQL,
    patch=_patch,
    unpatch=_unpatch,
    distribution="psycopg-pool",
)


def _own(wrapped: Callable[..., Any], _pool: Any, args: Any, kwargs: Any) -> Any:
    if live_scope() is None:
        return wrapped(*args, **kwargs)
    with entered(None):
        return wrapped(*args, **kwargs)


async def _own_async(wrapped: Callable[..., Any], _pool: Any, args: Any, kwargs: Any) -> Any:
    if live_scope() is None:
        return await wrapped(*args, **kwargs)
    with entered(None):
        return await wrapped(*args, **kwargs)


def _put(wrapped: Callable[..., Any], _pool: Any, args: Any, kwargs: Any) -> Any:
    scope = live_scope()
    instead = None if scope is None else stand_in(args[0] if args else kwargs["conn"], scope)
    if instead is not None:
        instead.end()
    return wrapped(*args, **kwargs)


async def _put_async(wrapped: Callable[..., Any], _pool: Any, args: Any, kwargs: Any) -> Any:
    scope = live_scope()
    instead = None if scope is None else stand_in(args[0] if args else kwargs["conn"], scope)
    if instead is not None:
        await instead.end()
    return await wrapped(*args, **kwargs)
