"""A client interceptor by which gRPC calls of a locustfile carry the flag, as metadata."""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Callable
from typing import Any

import grpc

from tracer_bullet.load.locustfile.headers import CARRIERS
from tracer_bullet.load.locustfile.hosts import Standing, origin_of
from tracer_bullet.load.locustfile.plugin import install
from tracer_bullet.load.locustfile.traces import Hit, hit

# What gRPC hands to interceptors; it takes anything that has these names.
_Details = namedtuple(  # noqa: PYI024  # gRPC's own is one
    "_Details", ("method", "timeout", "metadata", "credentials", "wait_for_ready", "compression")
)


class BulletInterceptor(
    grpc.UnaryUnaryClientInterceptor,  # type: ignore[misc]  # gRPC has no types
    grpc.UnaryStreamClientInterceptor,  # type: ignore[misc]
    grpc.StreamUnaryClientInterceptor,  # type: ignore[misc]
    grpc.StreamStreamClientInterceptor,  # type: ignore[misc]
):
    """`grpc.intercept_channel(channel, BulletInterceptor("shop:50051"))`, for all four kinds of call.

    `address` is the channel's, which must be the target's, as for any request. A stream is one bullet, from its
    beginning. As with Locust always, `grpc.experimental.gevent.init_gevent()` must have been called.
    """

    def __init__(self, address: str) -> None:
        self._address = address

    def intercept_unary_unary(self, continuation: Callable[..., Any], details: Any, request: Any) -> Any:
        """See grpc.UnaryUnaryClientInterceptor."""
        return self._call(continuation, details, request, streamed=False)

    def intercept_unary_stream(self, continuation: Callable[..., Any], details: Any, request: Any) -> Any:
        """See grpc.UnaryStreamClientInterceptor."""
        return self._call(continuation, details, request, streamed=True)

    def intercept_stream_unary(self, continuation: Callable[..., Any], details: Any, requests: Any) -> Any:
        """See grpc.StreamUnaryClientInterceptor."""
        return self._call(continuation, details, requests, streamed=False)

    def intercept_stream_stream(self, continuation: Callable[..., Any], details: Any, requests: Any) -> Any:
        """See grpc.StreamStreamClientInterceptor."""
        return self._call(continuation, details, requests, streamed=True)

    def _call(self, proceed: Callable[..., Any], details: Any, request: Any, *, streamed: bool) -> Any:
        plugin = install()
        method = details.method.decode() if isinstance(details.method, bytes) else details.method
        host, port = origin_of(f"http://{self._address}")
        if plugin.judge(host, port) is Standing.ALLOWED:
            plugin.stranger(f"grpc {host}")
            return proceed(details, request)
        entered: Hit = plugin.enter("POST", method, None)
        token = hit.set(entered)
        given = [(name.lower(), value) for name, value in details.metadata or ()]
        own = [(name, str(value)) for name, value in given if name in CARRIERS]
        try:
            exchange, carriers, _ = plugin.begin_exchange("POST", f"http://{self._address}{method}", own)
        finally:
            hit.reset(token)
        metadata = [*(pair for pair in given if pair[0] not in CARRIERS), *carriers.items()]
        ended = False

        def end(call: Any) -> None:
            nonlocal ended
            if ended:
                return
            ended = True
            # In OpenTelemetry's terms the answer came, whatever gRPC's own status is.
            plugin.end_exchange(exchange, None, status=200)
            plugin.leave(entered)
            del call

        try:
            call = proceed(_changed(details, metadata), request)
            if streamed:
                call.add_callback(lambda: end(call))
            else:
                call.result()  # a greenlet waits here, so that the call has ended when Locust hears of it
        except grpc.RpcError as error:
            end(error)
            plugin.custom(entered)
            raise
        if not streamed:
            end(call)
        plugin.custom(entered)
        return call


def _changed(details: Any, metadata: list[tuple[str, Any]]) -> Any:
    return _Details(
        details.method,
        details.timeout,
        metadata,
        details.credentials,
        getattr(details, "wait_for_ready", None),
        getattr(details, "compression", None),
    )
