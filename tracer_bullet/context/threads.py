"""Carry the request scope into threads and executors.

Context variables cross `create_task` and `asyncio.to_thread`, but neither
`Executor.submit` nor `Thread.start`. The bridge carries the scope alone: an item that a
bullet submits runs as the bullet's, and the pool's worker thread, which later serves
customers, never keeps it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import thread as _pool_module
from typing import Any

from wrapt import FunctionWrapper

from tracer_bullet.context.scope import Scope, entered, live_scope

_POOL_WORKER = getattr(_pool_module, "_worker", None)
_POOL_MODULE = "multiprocessing.pool"  # whose threads serve everybody, too


def install() -> None:
    """Patch `ThreadPoolExecutor.submit` and `Thread.start`; a second call does nothing."""
    if not isinstance(ThreadPoolExecutor.__dict__["submit"], _Bridge):
        ThreadPoolExecutor.submit = _Bridge(ThreadPoolExecutor.__dict__["submit"], _submit)  # type: ignore[method-assign]
    if not isinstance(threading.Thread.__dict__["start"], _Bridge):
        threading.Thread.start = _Bridge(threading.Thread.__dict__["start"], _start)  # type: ignore[method-assign]


def uninstall() -> None:
    """Give back the originals, unless somebody wrapped them after us."""
    submit, start = ThreadPoolExecutor.__dict__["submit"], threading.Thread.__dict__["start"]
    if isinstance(submit, _Bridge):
        ThreadPoolExecutor.submit = submit.__wrapped__  # type: ignore[method-assign]
    if isinstance(start, _Bridge):
        threading.Thread.start = start.__wrapped__  # type: ignore[method-assign]


def bind(scope: Scope | None, function: Callable[..., Any]) -> Callable[..., Any]:
    """`function`, run under `scope` wherever it is called."""

    def bound(*args: Any, **kwargs: Any) -> Any:
        with entered(scope):
            return function(*args, **kwargs)

    return bound


class _Bridge(FunctionWrapper):  # type: ignore[type-arg]  # wrapt 1 takes none
    """Marks our wrappers, so that installing twice and uninstalling are safe."""


def _submit(wrapped: Callable[..., Any], _pool: object, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    scope = live_scope()
    if scope is None or not args:
        return wrapped(*args, **kwargs)
    # Also the worker thread that this very call may start must not inherit the scope.
    with entered(None):
        return wrapped(bind(scope, args[0]), *args[1:], **kwargs)


def _serves_all(target: object) -> bool:
    """Whether a thread is a pool's, and so must not keep the scope of the request that happened to start it."""
    return target is not None and (target is _POOL_WORKER or getattr(target, "__module__", "") == _POOL_MODULE)


def _start(wrapped: Callable[..., Any], thread: threading.Thread, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    scope = live_scope()
    if scope is not None and not _serves_all(getattr(thread, "_target", None)):
        thread.run = bind(scope, thread.run)  # type: ignore[method-assign]
    return wrapped(*args, **kwargs)
