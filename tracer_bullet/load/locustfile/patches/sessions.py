"""Locust's two sessions: here a request has its name, and nothing of its time is measured yet."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from locust.clients import HttpSession
from locust.contrib.fasthttp import FastHttpSession
from locust.exception import StopUser

from tracer_bullet.errors import StoppedError
from tracer_bullet.load.locustfile.hosts import RefusedHostError, Standing, origin_of
from tracer_bullet.load.locustfile.listeners import HIT
from tracer_bullet.load.locustfile.plugin import Plugin
from tracer_bullet.load.locustfile.traces import Hit, hit


def patch(plugin: Plugin) -> None:
    """Both have `request(method, url, name=None, …)`, by which all others go."""
    for session in (HttpSession, FastHttpSession):
        session.request = _through(plugin, session.request)  # type: ignore[method-assign]


def _through(plugin: Plugin, original: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(original)
    def request(self: Any, method: str, url: str, name: str | None = None, *args: Any, **kwargs: Any) -> Any:
        entered = _enter(plugin, self, method, url, name)
        token = hit.set(entered)
        try:
            result = original(self, method, url, name, *args, **kwargs)
        finally:
            hit.reset(token)
            if entered.trace is not None:
                plugin.leave(entered)
        if not entered.reported:  # with catch_response its event comes at the end of the block
            meta = getattr(result, "request_meta", {})
            vars(meta.get("response", result))[HIT] = entered
        return result

    return request


def _enter(plugin: Plugin, session: Any, method: Any, url: Any, name: str | None) -> Hit:
    method = method.decode("latin-1") if isinstance(method, bytes) else str(method)
    text = url.decode("latin-1") if isinstance(url, bytes) else str(url)
    whole = session._build_url(text)
    host, port = origin_of(whole)
    try:
        # What is no URL at all is the session's to complain of; it sends nothing.
        if host and plugin.judge(host, port) is Standing.ALLOWED:
            return Hit(endpoint=f"{method} {host}", trace=None, sent_ns=plugin.now_ns())
        return plugin.enter(method, whole, name or session.request_name)
    except RefusedHostError:
        raise
    except StoppedError as error:
        raise StopUser(str(error)) from None
