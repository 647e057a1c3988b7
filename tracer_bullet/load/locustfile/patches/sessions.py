"""Locust's two sessions: here a request has its name, and nothing of its time is measured yet."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, Final

from locust.clients import HttpSession
from locust.contrib.fasthttp import FastHttpSession
from locust.exception import RescheduleTaskImmediately, StopUser

from tracer_bullet.errors import StoppedError
from tracer_bullet.load.locustfile.hosts import RefusedHostError, Standing, origin_of
from tracer_bullet.load.locustfile.listeners import HIT
from tracer_bullet.load.locustfile.plugin import Plugin
from tracer_bullet.load.locustfile.traces import Hit, hit, task_run

# A task that waited so long in its midst for an endpoint to be armed is begun anew.
_STALE_NS: Final = 1_000_000_000


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
        run, asked_ns = task_run.get(), plugin.now_ns()
        begun = run is not None and run.is_task and run.trace is not None
        entered = plugin.enter(method, whole, name or session.request_name)
    except RefusedHostError:
        raise
    except StoppedError as error:
        raise StopUser(str(error)) from None
    if begun and entered.sent_ns - asked_ns > _STALE_NS and not plugin.arms(entered):
        # What it wrote before has been rolled back while it waited (TRACER_BULLET_HOLD_S): begin anew.
        plugin.leave(entered)
        raise RescheduleTaskImmediately
    return entered
