"""For clients of your own that speak no HTTP, or HTTP in a library that we do not know: they can carry the flag too."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from tracer_bullet.load.locustfile.net import permitted
from tracer_bullet.load.locustfile.plugin import install
from tracer_bullet.load.locustfile.traces import hit


@contextmanager
def bullet(method: str, name: str, *, url: str = "") -> Iterator[Mapping[str, str]]:
    """One request by a client of your own: gives the header lines (names in lower case) that it must send along.

    `method` and `name` say the endpoint, which is armed as any other: the first one goes alone. Fire Locust's `request`
    event inside of the block. Connections to the target that the block opens are not refused. Raises StoppedError once
    the run is stopped, RefusedHostError (TB1052) for a `url` that is not the target.

        with bullet("WS", "/chat", url="ws://shop/chat") as headers:
            socket = websocket.create_connection("ws://shop/chat", header=dict(headers))
    """
    plugin = install()
    entered = plugin.enter(method, url or name, name)
    token = hit.set(entered)
    try:
        exchange, carriers, _ = plugin.begin_exchange(method, url or name, [])
        try:
            with permitted():
                yield carriers
        except BaseException:
            plugin.end_exchange(exchange, None, error="reset")
            raise
        plugin.end_exchange(exchange, None, status=exchange.status)
    finally:
        hit.reset(token)
        plugin.leave(entered)
