"""Listening sockets, bound before anything is started, so that nobody can take a port in between."""

from __future__ import annotations

import errno
import socket
from collections.abc import Mapping
from typing import Literal

from tracer_bullet.errors import UnreachableError
from tracer_bullet.workspace.topology import Topology

Ports = Literal["free"] | int | None


def listen(host: str, port: int, name: str) -> socket.socket:
    """A TCP socket bound to `host:port`; port 0 takes a free one. `name` is whose it is.

    Raises UnreachableError (TB701) when the port is taken or not allowed.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # The protocol is named because asyncio turns delays off (TCP_NODELAY) only where it is.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        # Here and not later: two sockets can be bound to a port with SO_REUSEADDR, but only one can listen.
        listener.listen(512)
    except OSError as error:
        listener.close()
        taken = error.errno == errno.EADDRINUSE
        raise UnreachableError(
            "TB701",
            f"{name} cannot listen",
            where=f"{host}:{port}",
            why="another program listens there" if taken else str(error),
            cure="stop that program, or choose free ports" if taken else "choose another address or port",
        ) from None
    return listener


def listen_all(topology: Topology, elsewhere: Mapping[str, str], ports: Ports, host: str) -> dict[str, socket.socket]:
    """A socket for every part but those `elsewhere`, all or none.

    `ports`: None as the topology says (free where it says nothing), "free", or the first of a row.
    """
    found: dict[str, socket.socket] = {}
    try:
        for i, (name, part) in enumerate(topology.parts.items()):
            if name not in elsewhere:
                port = (part.port or 0) if ports is None else 0 if ports == "free" else ports + i
                found[name] = listen(host, port, name)
    except BaseException:
        for listener in found.values():
            listener.close()
        raise
    return found


def address(listener: socket.socket) -> str:
    """The base URL of what listens there."""
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
