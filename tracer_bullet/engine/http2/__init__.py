"""HTTP/2 by the `h2` package: the same shots and schedule as HTTP/1.1, many at once on a connection.

In plaintext by prior knowledge (RFC 9113, section 3.3), over TLS by ALPN.
"""

from tracer_bullet.engine.http2.pool import Http2Client

__all__ = ["Http2Client"]
