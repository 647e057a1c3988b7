"""Guard for Django's database layer: the ORM, raw queries and cursors.

One hook: `django.db.connections[alias]`. A bullet gets database wrappers of its own there, one a
thread (as Django has it), made by the service's backends but on a lane (see django_lane.py);
customers' persistent connections are not touched. On STANDARD requests the hook costs one look
at a context variable.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from functools import lru_cache
from typing import Any
from weakref import WeakKeyDictionary

import wrapt

from tracer_bullet.context.scope import Scope, live_scope
from tracer_bullet.guards.config import Sink
from tracer_bullet.guards.patching import Patch, unwrap, wrap
from tracer_bullet.guards.registry import Guard

_KEY = object()
_patches: list[Patch] = []
_state = {"armed": False}


def _patch() -> None:
    _state["armed"] = True
    # Its settings may not be ready when Django itself is imported.
    wrapt.register_post_import_hook(_patch_handler, "django.db.utils")


def _patch_handler(module: Any) -> None:
    """Once, and not for a hook that outlived the guard: import hooks cannot be taken back."""
    if _state["armed"] and not _patches:
        for name, wrapper in _HOOKS.items():
            _patches.append(wrap(module.ConnectionHandler, name, wrapper))


def _unpatch() -> None:
    _state["armed"] = False
    while _patches:
        unwrap(_patches.pop())


GUARD = Guard(name="django", module="django", versions=">=4.2,<5.3", sink=Sink.SQL, patch=_patch, unpatch=_unpatch)


class _Wrappers:
    """The database wrappers of one request, by thread, and their end."""

    def __init__(self, scope: Scope) -> None:
        self._threads: WeakKeyDictionary[threading.Thread, dict[tuple[int, str], Any]] = WeakKeyDictionary()
        self._all: list[Any] = []
        scope.on_end(self)

    def mine(self) -> dict[tuple[int, str], Any]:
        """Those of the running thread."""
        return self._threads.setdefault(threading.current_thread(), {})

    def get(self, handler: Any, alias: str) -> Any:
        mine = self.mine()
        found = mine.get((id(handler), alias))
        if found is None:
            found = mine[id(handler), alias] = self._make(handler.create_connection(alias))
            self._all.append(found)
        return found

    def _make(self, original: Any) -> Any:
        if original.vendor == "unknown":  # no database is configured
            return original
        return _class_for(original.__class__)(original.settings_dict, original.alias)

    def answered(self) -> bool:
        """Nothing is in the way of the bullet's next request: the lanes know."""
        return True

    def close(self) -> None:
        """End of the request."""
        for wrapper in self._all:
            if hasattr(wrapper, "tb_end"):
                wrapper.tb_end()

    async def aclose(self) -> None:
        """The same on an event loop, which it must not block."""
        if self._all:
            await asyncio.to_thread(self.close)


def _of(scope: Scope) -> _Wrappers:
    found = scope.state.get(_KEY)
    if found is None:
        found = scope.state.setdefault(_KEY, _Wrappers(scope))
    return found  # type: ignore[no-any-return]


@lru_cache(maxsize=32)
def _class_for(backend: type) -> type:
    """A backend's wrapper class with the lane mixin before it; of the same name, which some code looks at."""
    from tracer_bullet.guards.sql.django_lane import LaneWrapper  # noqa: PLC0415

    return type(backend.__name__, (LaneWrapper, backend), {"__module__": backend.__module__})


def _getitem(wrapped: Callable[..., Any], handler: Any, args: Any, kwargs: Any) -> Any:
    scope = live_scope()
    if scope is None:
        return wrapped(*args, **kwargs)
    (alias,) = args
    if alias not in handler.settings:
        return wrapped(*args, **kwargs)  # which says so
    return _of(scope).get(handler, alias)


def _setitem(wrapped: Callable[..., Any], handler: Any, args: Any, kwargs: Any) -> Any:
    scope = live_scope()
    if scope is None:
        return wrapped(*args, **kwargs)
    alias, wrapper = args
    _of(scope).mine()[id(handler), alias] = wrapper
    return None


def _delitem(wrapped: Callable[..., Any], handler: Any, args: Any, kwargs: Any) -> Any:
    scope = live_scope()
    if scope is None:
        return wrapped(*args, **kwargs)
    _of(scope).mine().pop((id(handler), args[0]), None)
    return None


def _all(wrapped: Callable[..., Any], handler: Any, args: Any, kwargs: Any) -> Any:
    """Also what `close_old_connections` goes by at the end of a request."""
    scope = live_scope()
    if scope is None:
        return wrapped(*args, **kwargs)
    initialized_only = bool(args[0] if args else kwargs.get("initialized_only"))
    mine = _of(scope).mine()
    return [handler[alias] for alias in handler if not initialized_only or (id(handler), alias) in mine]


_HOOKS: dict[str, Callable[..., Any]] = {
    "__getitem__": _getitem,
    "__setitem__": _setitem,
    "__delitem__": _delitem,
    "all": _all,
}
