"""Which client speaks which protocol."""

from __future__ import annotations

from tracer_bullet.engine.client import NO_LIMITS, Client, Done, Limits
from tracer_bullet.engine.http1 import Http1Client
from tracer_bullet.engine.settings import EngineSettings
from tracer_bullet.model.arrival import Origin, Protocol


def make_client(origin: Origin, settings: EngineSettings, done: Done, limits: Limits = NO_LIMITS) -> Client:
    """A client for the origin, by its protocol. Imports the less usual ones only when they are asked for."""
    if origin.protocol is Protocol.HTTP2:
        from tracer_bullet.engine.http2 import Http2Client  # noqa: PLC0415

        return Http2Client(origin, settings, done, limits)
    if origin.protocol is Protocol.GRPC:
        from tracer_bullet.engine.grpc import GrpcClient  # noqa: PLC0415

        return GrpcClient(origin, settings, done, limits)
    return Http1Client(origin, settings, done, limits)
