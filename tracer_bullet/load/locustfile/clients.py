"""For clients of your own that speak no HTTP, or HTTP in a library that we do not know: they can carry the flag too."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

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


class BulletInterceptor:
    """A client interceptor for gRPC: `grpc.intercept_channel(channel, BulletInterceptor())`. For all four kinds of call.

    The flag travels as metadata. Calls through gRPC's C core need `grpc.experimental.gevent.init_gevent()`, as with
    Locust always. Has the methods of gRPC's four interceptor classes, which need no base class.
    """

    def intercept_unary_unary(self, proceed: Callable[..., Any], details: Any, request: Any) -> Any:
        """See grpc.UnaryUnaryClientInterceptor."""
        return _called(proceed, details, request)

    def intercept_unary_stream(self, proceed: Callable[..., Any], details: Any, request: Any) -> Any:
        """See grpc.UnaryStreamClientInterceptor."""
        return _called(proceed, details, request)

    def intercept_stream_unary(self, proceed: Callable[..., Any], details: Any, requests: Any) -> Any:
        """See grpc.StreamUnaryClientInterceptor."""
        return _called(proceed, details, requests)

    def intercept_stream_stream(self, proceed: Callable[..., Any], details: Any, requests: Any) -> Any:
        """See grpc.StreamStreamClientInterceptor."""
        return _called(proceed, details, requests)
