"""Opening connections: names looked up now and then, TLS checked, and why it failed."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import ssl
import time
from functools import lru_cache
from typing import Final

from tracer_bullet.engine import client as codes
from tracer_bullet.engine.settings import EngineSettings
from tracer_bullet.model.arrival import Origin

_FRESH_S: Final = 30.0


@lru_cache(maxsize=8)
def tls_context(settings: EngineSettings, protocols: tuple[str, ...] = ("http/1.1",)) -> ssl.SSLContext:
    """A client's context: verifying unless told not to, TLS 1.2 at least, ALPN as given.

    One for all origins, since reading the system's authorities takes some 30 ms, for which nothing would be sent.
    """
    context = ssl.create_default_context(cafile=settings.ca_file or None)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(list(protocols))
    if not settings.verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def why(error: BaseException) -> int:
    """The shot error for a failed attempt to connect."""
    if isinstance(error, TimeoutError):
        return codes.CONNECT_TIMEOUT
    return codes.TLS if isinstance(error, ssl.SSLError) else codes.CONNECT


class Addresses:
    """The addresses of a name: looked up at most each half minute, used in turn. An IP address is itself."""

    def __init__(self, origin: Origin) -> None:
        self._host = origin.host
        self._port = origin.port
        self._turn = 0
        self._until = 0.0
        self._found: list[str] = []
        try:
            ipaddress.ip_address(origin.host)
        except ValueError:
            return
        self._found = [origin.host]
        self._until = float("inf")

    async def next(self) -> str:
        """An address to connect to. Raises OSError when the name is unknown."""
        now = time.monotonic()
        if now >= self._until:
            loop = asyncio.get_running_loop()
            rows = await loop.getaddrinfo(self._host, self._port, type=socket.SOCK_STREAM)
            self._found = list(dict.fromkeys(str(row[4][0]) for row in rows))
            self._until = now + _FRESH_S
        self._turn += 1
        return self._found[self._turn % len(self._found)]

    @property
    def count(self) -> int:
        """How many there are, at least 1."""
        return max(1, len(self._found))
