"""gRPC as the engine sees it: recorded calls are HTTP/2 requests with framed messages, and are sent as such.

So there is no client of its own: messages stay the bytes they were, unary or streamed, and need no schema. What gRPC
adds to HTTP/2 (https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md) is here: a request says `te: trailers`
and no content-length, and what became of the call stands in the trailers. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from hpack import HeaderTuple

from tracer_bullet.engine import client as codes
from tracer_bullet.engine.client import NO_LIMITS, Done, Limits
from tracer_bullet.engine.http2.dialect import request_fields
from tracer_bullet.engine.http2.pool import Http2Client
from tracer_bullet.engine.settings import EngineSettings
from tracer_bullet.model.arrival import Origin
from tracer_bullet.model.exchange import Headers

# google/rpc/code.proto: "HTTP Mapping". So 5xx are what a guardrail counts, and 429 and 503 ask for a pause, as ever.
HTTP_STATUS: Final[Mapping[int, int]] = {
    0: 200,  # OK
    1: 499,  # CANCELLED
    2: 500,  # UNKNOWN
    3: 400,  # INVALID_ARGUMENT
    4: 504,  # DEADLINE_EXCEEDED
    5: 404,  # NOT_FOUND
    6: 409,  # ALREADY_EXISTS
    7: 403,  # PERMISSION_DENIED
    8: 429,  # RESOURCE_EXHAUSTED
    9: 400,  # FAILED_PRECONDITION
    10: 409,  # ABORTED
    11: 400,  # OUT_OF_RANGE
    12: 501,  # UNIMPLEMENTED
    13: 500,  # INTERNAL
    14: 503,  # UNAVAILABLE
    15: 500,  # DATA_LOSS
    16: 401,  # UNAUTHENTICATED
}


class Grpc:
    """Implements `http2.dialect.Dialect`."""

    def fields(self, head: bytes, carriers: bytes, scheme: bytes, authority: bytes) -> list[HeaderTuple]:
        """As in Dialect."""
        fields = [
            f for f in request_fields(head, carriers, scheme, authority) if f[0] not in (b"content-length", b"te")
        ]
        # Servers take its lack for a proxy that drops trailers.
        fields.append(HeaderTuple(b"te", b"trailers"))
        return fields

    def outcome(self, status: int, headers: Headers, trailers: Headers) -> tuple[int, int]:
        """The call's status as an HTTP status; an answer of something else than gRPC keeps its own."""
        if status != 200:
            return status, 0
        # Without any message, both stand in the one header section ("Trailers-Only").
        told = _value(trailers, "grpc-status") or _value(headers, "grpc-status")
        if not told.isdigit():
            return status, codes.PROTOCOL
        return HTTP_STATUS.get(int(told), 500), 0


class GrpcClient(Http2Client):
    """Implements `client.Client`: an HTTP/2 client that speaks gRPC's dialect."""

    def __init__(self, origin: Origin, settings: EngineSettings, done: Done, limits: Limits = NO_LIMITS) -> None:
        super().__init__(origin, settings, done, limits, Grpc())


def _value(headers: Headers, name: str) -> str:
    return next((value.strip() for key, value in headers if key.lower() == name), "")
