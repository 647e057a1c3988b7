"""A net below all clients: TCP connections that no flagged request asked for are refused, but to allowed hosts.

It sees gevent's sockets, which are Python's own once Locust has patched them. Libraries with sockets in C (libpq, gRPC)
go past it; what they send shows as unflagged once they fire Locust's request event.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Final

from tracer_bullet.load.locustfile.hosts import Hosts, Standing, refuse

_permit: ContextVar[bool] = ContextVar("tracer_bullet_permit", default=False)
_INET: Final = (socket.AF_INET, socket.AF_INET6)


@contextmanager
def permitted() -> Iterator[None]:
    """Let connections of this greenlet pass: who calls has judged the host."""
    token = _permit.set(True)
    try:
        yield
    finally:
        _permit.reset(token)


class Net:
    """Judges connections. `told` hears of each host that is refused."""

    def __init__(self, told: Callable[[str], None]) -> None:
        self._told = told
        self._hosts = Hosts((), ())
        self._addresses: set[tuple[str, int | None]] = set()

    def allow(self, hosts: Hosts) -> None:
        """Take these for allowed; their names are looked up now, since a connection knows only addresses."""
        self._hosts = hosts
        for name, port in hosts.allowed():
            self._addresses.add((name, port))
            try:
                found = socket.getaddrinfo(name, port, type=socket.SOCK_STREAM)
            except OSError:
                continue  # it may be a name that only a proxy knows
            self._addresses.update((str(info[4][0]), port) for info in found)

    def judge(self, sock: Any, address: Any) -> None:
        """Raise RefusedHostError (TB1052) for a connection that must not be."""
        if _permit.get() or sock.family not in _INET or not sock.type & socket.SOCK_STREAM:
            return
        host, port = str(address[0]), int(address[1])
        if {(host, port), (host, None)} & self._addresses or self._hosts.standing(host, port) is Standing.ALLOWED:
            return
        self._told(f"{host}:{port}")
        raise refuse(host, port)
