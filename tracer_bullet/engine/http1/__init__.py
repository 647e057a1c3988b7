"""The HTTP/1.1 client: a pool of keep-alive connections to one origin, parsed by llhttp, on uvloop's transports."""

from tracer_bullet.engine.http1.pool import Http1Client

__all__ = ["Http1Client"]
