"""The way to the conductor: a socket on this machine, or Locust's own messages through the master."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, Protocol

import gevent
import gevent.socket
from gevent.queue import Queue

from tracer_bullet.errors import UnreachableError
from tracer_bullet.load.locustfile.net import permitted
from tracer_bullet.load.locustfile.protocol import DOWN, UP, decode, encode

_CONNECT_S = 10.0
# How often a worker says hello to a master that may not listen yet, and for how long.
_HELLO_EVERY_S = 1.0
_LONGEST_LINE = 64 * 1024 * 1024
_FLUSH_S = 5.0

Hear = Callable[[dict[str, Any]], None]


class Link(Protocol):
    """A line to the conductor. What is told before it is open waits."""

    def tell(self, message: dict[str, Any]) -> None:
        """Hand a message over; never blocks. Raises nothing: a broken link is heard as `stop`."""
        ...

    def close(self) -> None:
        """Hand over what is left, and end."""
        ...


class SocketLink:
    """A TCP connection on loopback. `hear` is called in a greenlet of its own; with `stop` when the line breaks."""

    def __init__(self, host: str, port: int, hello: dict[str, Any], hear: Hear) -> None:
        """Raises UnreachableError TB1055 when nobody listens."""
        try:
            with permitted():
                self._socket = gevent.socket.create_connection((host, port), timeout=_CONNECT_S)
        except OSError as error:
            raise UnreachableError(
                "TB1055",
                "the conductor of this run does not listen",
                where=f"{host}:{port}",
                why=str(error),
                cure="start it with `tracer-bullet load -f`, or unset TRACER_BULLET_LINK",
            ) from None
        self._socket.settimeout(None)
        self._hear = hear
        self._out: Queue = Queue()
        self._closing = False
        self.tell(hello)
        self._writer = gevent.spawn(self._write)
        self._reader = gevent.spawn(self._read)

    def tell(self, message: dict[str, Any]) -> None:
        """See Link."""
        self._out.put(encode(message))

    def close(self) -> None:
        """See Link."""
        self._closing = True
        self._out.put(None)
        self._writer.join(timeout=_FLUSH_S)
        self._reader.kill()
        self._socket.close()

    def _write(self) -> None:
        while (line := self._out.get()) is not None:
            try:
                self._socket.sendall(line)
            except OSError:
                return  # the reader says so

    def _read(self) -> None:
        buffer = b""
        while True:
            try:
                block = self._socket.recv(65536)
            except OSError:
                block = b""
            if not block or len(buffer) > _LONGEST_LINE:
                break
            *lines, buffer = (buffer + block).split(b"\n")
            for line in lines:
                self._hear(decode(line))
        if not self._closing:
            self._hear({"t": "stop", "code": 3, "why": "the conductor is gone"})


class RelayLink:
    """Through the master, for a worker that the conductor did not start. Its hello is repeated until it is answered."""

    def __init__(self, runner: Any, hello: dict[str, Any], hear: Hear) -> None:
        self._runner = runner
        self._answered = False
        self._hear = hear
        runner.register_message(DOWN, self._down)
        self._greeter = gevent.spawn(self._greet, hello)

    def tell(self, message: dict[str, Any]) -> None:
        """See Link."""
        self._runner.send_message(UP, encode(message).decode("ascii"))

    def close(self) -> None:
        """See Link."""
        self._greeter.kill()

    def _greet(self, hello: dict[str, Any]) -> None:
        while not self._answered:
            self.tell(hello)
            gevent.sleep(_HELLO_EVERY_S)

    def _down(self, environment: Any, msg: Any, **_: Any) -> None:  # noqa: ARG002  # Locust names them
        message = decode(msg.data)
        if message["t"] == "welcome":
            if self._answered:
                return
            self._answered = True
        self._hear(message)


class Relay:
    """At the master: a link to the conductor for each worker that has none of its own."""

    def __init__(self, runner: Any, open_link: Callable[[dict[str, Any], Hear], Link]) -> None:
        self._runner = runner
        self._open = open_link
        self._links: dict[str, Link] = {}
        self.ready = False  # the conductor listens; until then hellos are passed over, and come again
        runner.register_message(UP, self._up)

    def close(self) -> None:
        """End all of them."""
        while self._links:
            self._links.popitem()[1].close()

    def _up(self, environment: Any, msg: Any, **_: Any) -> None:  # noqa: ARG002  # Locust names them
        message, worker = decode(msg.data), msg.node_id
        link = self._links.get(worker)
        if message["t"] == "hello":
            if link is None and self.ready:  # the secret is this machine's: Locust's own port says who may be a worker
                hello = {**message, "who": "worker", "name": worker, "pid": os.getpid()}
                self._links[worker] = self._open(hello, lambda m: self._down(worker, m))
        elif link is not None:
            link.tell(message)

    def _down(self, worker: str, message: dict[str, Any]) -> None:
        self._runner.send_message(DOWN, encode(message).decode("ascii"), worker)
