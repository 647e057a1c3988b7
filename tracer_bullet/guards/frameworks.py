"""Inbound guards without a line of code: for applications started under `opentelemetry-instrument`.

Wraps `__call__` of the framework's application class, so that whatever the service builds
is guarded from outside its own middleware.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import wrapt

from tracer_bullet.guards import asgi, wsgi
from tracer_bullet.guards.patching import Patch, unwrap, wrap

_patches: dict[str, Patch] = {}
_state = {"installed": False}


def install() -> None:
    """Guard Starlette (and FastAPI) and Flask applications, now or when they are imported."""
    _state["installed"] = True
    wrapt.register_post_import_hook(_patch_starlette, "starlette.applications")
    wrapt.register_post_import_hook(_patch_flask, "flask.app")


def uninstall() -> None:
    """Give back the originals."""
    _state["installed"] = False
    while _patches:
        unwrap(_patches.popitem()[1])


def _patch_starlette(module: Any) -> None:
    _patch("starlette", module.Starlette, _starlette_call)


def _patch_flask(module: Any) -> None:
    _patch("flask", module.Flask, _flask_call)


def _patch(name: str, application: Any, wrapper: Callable[..., Any]) -> None:
    """Once, and not for a hook that outlived `uninstall`: import hooks cannot be taken back."""
    if _state["installed"] and name not in _patches:
        _patches[name] = wrap(application, "__call__", wrapper)


def _starlette_call(wrapped: Callable[..., Any], _app: Any, args: Any, kwargs: Any) -> Awaitable[None]:
    # No `async def`: uvicorn calls `app()` to see whether it is a factory, and wants a TypeError at once.
    return asgi.serve(wrapped, None, *args, **kwargs)


def _flask_call(wrapped: Callable[..., Any], _app: Any, args: Any, kwargs: Any) -> Any:
    return wsgi.serve(wrapped, None, *args, **kwargs)
