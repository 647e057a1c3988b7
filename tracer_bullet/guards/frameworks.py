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
from tracer_bullet.guards.rpc import grpc_server

_patches: dict[str, Patch] = {}
_INTERCEPTORS_AT = 2  # among the positional arguments of both `server` functions of gRPC
_state = {"installed": False}


def install() -> None:
    """Guard Starlette (and FastAPI), Flask and Django applications, now or when they are imported."""
    _state["installed"] = True
    wrapt.register_post_import_hook(_patch_starlette, "starlette.applications")
    wrapt.register_post_import_hook(_patch_flask, "flask.app")
    wrapt.register_post_import_hook(_patch_django_wsgi, "django.core.handlers.wsgi")
    wrapt.register_post_import_hook(_patch_django_asgi, "django.core.handlers.asgi")
    wrapt.register_post_import_hook(_patch_grpc, "grpc")


def uninstall() -> None:
    """Give back the originals."""
    _state["installed"] = False
    while _patches:
        unwrap(_patches.popitem()[1])


def _patch_starlette(module: Any) -> None:
    _patch("starlette", module.Starlette, _asgi_call)


def _patch_flask(module: Any) -> None:
    _patch("flask", module.Flask, _wsgi_call)


def _patch_django_wsgi(module: Any) -> None:
    _patch("django wsgi", module.WSGIHandler, _wsgi_call)


def _patch_django_asgi(module: Any) -> None:
    _patch("django asgi", module.ASGIHandler, _asgi_call)


def _patch(name: str, application: Any, wrapper: Callable[..., Any]) -> None:
    """Once, and not for a hook that outlived `uninstall`: import hooks cannot be taken back."""
    if _state["installed"] and name not in _patches:
        _patches[name] = wrap(application, "__call__", wrapper)


def _patch_grpc(module: Any) -> None:
    """`grpc.server(…)` and `grpc.aio.server(…)` get our interceptor before all that the service names."""
    for name, owner, make in (
        ("grpc", module, grpc_server.server_interceptor),
        ("grpc.aio", module.aio, grpc_server.aio_server_interceptor),
    ):
        if _state["installed"] and name not in _patches:
            _patches[name] = wrap(owner, "server", _with_interceptor(make))


def _with_interceptor(make: Callable[[], Any]) -> Callable[..., Any]:
    def server(wrapped: Callable[..., Any], _module: Any, args: Any, kwargs: Any) -> Any:
        if not _state["installed"]:  # OpenTelemetry's wrapper may hold ours for good
            return wrapped(*args, **kwargs)
        if len(args) > _INTERCEPTORS_AT:
            given = args[_INTERCEPTORS_AT] or ()
            args = (*args[:_INTERCEPTORS_AT], [make(), *given], *args[_INTERCEPTORS_AT + 1 :])
        else:
            kwargs = {**kwargs, "interceptors": [make(), *(kwargs.get("interceptors") or ())]}
        return wrapped(*args, **kwargs)

    return server


def _asgi_call(wrapped: Callable[..., Any], _app: Any, args: Any, kwargs: Any) -> Awaitable[None]:
    # No `async def`: uvicorn calls `app()` to see whether it is a factory, and wants a TypeError at once.
    return asgi.serve(wrapped, None, *args, **kwargs)


def _wsgi_call(wrapped: Callable[..., Any], _app: Any, args: Any, kwargs: Any) -> Any:
    return wsgi.serve(wrapped, None, *args, **kwargs)
