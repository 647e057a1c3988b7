"""Guard for HTTP calls and websockets opened with aiohttp's client.

It sits in the connector's `connect`, which runs once an attempt and once a redirect that
the session follows, inside of the spans that OpenTelemetry makes by trace hooks.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tracer_bullet.context.scope import Scope, live_scope
from tracer_bullet.guards.config import Sink
from tracer_bullet.guards.egress import Call, guarded, method_of, redirected
from tracer_bullet.guards.patching import Patch, unwrap, wrap
from tracer_bullet.guards.registry import Guard

_patches: list[Patch] = []


def _patch() -> None:
    from aiohttp import BaseConnector  # noqa: PLC0415  # only where the service uses it

    _patches.append(wrap(BaseConnector, "connect", _connect))


def _unpatch() -> None:
    while _patches:
        unwrap(_patches.pop())


GUARD = Guard(name="aiohttp", module="aiohttp", versions=">=3.9,<4", sink=Sink.EGRESS, patch=_patch, unpatch=_unpatch)


def _connect(wrapped: Callable[..., Any], _connector: Any, args: Any, kwargs: Any) -> Any:
    scope = live_scope()
    if scope is None:
        return wrapped(*args, **kwargs)  # a coroutine, as _judge's is
    return _judge(scope, wrapped, args[0] if args else kwargs["req"], args, kwargs)


async def _judge(scope: Scope, wrapped: Callable[..., Any], request: Any, args: Any, kwargs: Any) -> Any:
    url = request.url
    headers = list(request.headers.items())
    call = Call(method_of(request.method, headers), url.scheme, url.host or "", url.explicit_port, url.raw_path)
    with guarded(scope, call) as verdict:
        if verdict.action.stub is not None:
            from tracer_bullet.guards.aiohttp_stub import canned_connection  # noqa: PLC0415  # needs asyncio

            return canned_connection(request, verdict.action.stub)
        if verdict.action.redirect_to:
            _send_to(request, redirected(call, url.raw_query_string, verdict.action.redirect_to))
        headers = verdict.rewrite(headers)
        request.headers.clear()
        request.headers.extend(headers)
        return await wrapped(*args, **kwargs)


def _send_to(request: Any, url: str) -> None:
    """Point a request at the sandbox; the answer goes on to name the URL that was asked for."""
    from yarl import URL  # noqa: PLC0415

    request.url = URL(url, encoded=True)
    request.server_hostname = None
