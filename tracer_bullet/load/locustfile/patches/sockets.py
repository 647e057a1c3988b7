"""gevent's sockets, which are Python's own in a process of Locust's: whoever connects past the clients is judged."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

import gevent.socket

from tracer_bullet.load.locustfile.plugin import Plugin


def patch(plugin: Plugin) -> None:
    """`connect` and `connect_ex`."""
    for name in ("connect", "connect_ex"):
        setattr(gevent.socket.socket, name, _judged(plugin, getattr(gevent.socket.socket, name)))


def _judged(plugin: Plugin, original: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(original)
    def connect(self: Any, address: Any, *args: Any, **kwargs: Any) -> Any:
        plugin.net.judge(self, address)
        return original(self, address, *args, **kwargs)

    return connect
