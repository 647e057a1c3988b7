"""The server of a live page: HTTP/1.1 (RFC 9112) for GET alone, and Server-Sent Events (WHATWG HTML, section 9.2).

It runs in a thread of its own and is only ever given finished bytes, so that whoever reads them cannot slow the run. A
reader that does not keep up misses values, and is dropped when it takes nothing for some seconds.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import socket
import threading
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from tracer_bullet.errors import UsageError

_MOST_CONNECTIONS: Final = 64
_HEAD_BYTES: Final = 16 << 10
_PATIENCE_S: Final = 5.0
_GOODBYE_S: Final = 1.0
# Two minutes, at two values a second.
_KEPT: Final = 240
_NAMES = frozenset({"localhost", "127.0.0.1", "[::1]"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a path has. `security` is a Content Security Policy."""

    content_type: str
    body: bytes
    status: str = "200 OK"
    security: str = "default-src 'none'"


Route = Callable[[], Awaitable[Answer]]


class LiveServer:
    """Serves `routes`, and at `/events` what `publish` is given: the last two minutes first. `listener` is closed with
    it."""

    def __init__(self, listener: socket.socket, routes: dict[str, Route]) -> None:
        self._listener = listener
        self._routes = routes
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="tracer-bullet live page", daemon=True)
        self._events: deque[bytes] = deque(maxlen=_KEPT)
        self._table = b""
        self._published = 0
        self._ended = False
        self._changed = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._watchers = 0
        address = ipaddress.ip_address(listener.getsockname()[0])
        # A page of another origin whose name was bent to this address must not read what is only for this machine.
        self._names = _NAMES if address.is_loopback else None

    @property
    def watched(self) -> bool:
        """Somebody looks at the events."""
        return self._watchers > 0

    def start(self) -> None:
        """Answer from now on."""
        self._thread.start()

    def publish(self, event: bytes, table: bytes = b"") -> None:
        """Tell those who look. `event` and `table`: JSON without line ends; of tables only the newest is kept. From any
        thread; it never waits."""
        self._soon(lambda: self._publish(event, table))

    def stop(self) -> None:
        """Tell those who look that it has ended, let go of them, and close the port."""
        self._soon(self._end)
        self._thread.join()

    def _soon(self, what: Callable[[], None]) -> None:
        with contextlib.suppress(RuntimeError):  # it has ended
            self._loop.call_soon_threadsafe(what)

    def _publish(self, event: bytes, table: bytes) -> None:
        self._events.append(event)
        self._table = table or self._table
        self._published += 1
        self._wake()

    def _end(self) -> None:
        self._ended = True
        self._wake()

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._serve())

    async def _serve(self) -> None:
        server = await asyncio.start_server(self._accept, sock=self._listener, limit=_HEAD_BYTES)
        while not self._ended:
            await self._changed.wait()
        server.close()
        if self._tasks:
            _, late = await asyncio.wait(self._tasks, timeout=_GOODBYE_S)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101
        self._tasks.add(task)
        try:
            if len(self._tasks) <= _MOST_CONNECTIONS and not self._ended:
                await self._answer(reader, writer)
        except (OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass
        except asyncio.CancelledError:  # the run has ended, and this reader takes nothing
            if not self._ended:
                raise
        finally:
            self._tasks.discard(task)
            await _close(writer)

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), _PATIENCE_S)
        first, *rest = head.decode("latin-1").split("\r\n")
        method, _, target = first.partition(" ")
        path = target.partition(" ")[0].partition("?")[0]
        hosts = [line.partition(":")[2].strip() for line in rest if line.lower().startswith("host:")]
        if self._names is not None and (len(hosts) != 1 or _name_of(hosts[0]) not in self._names):
            await _send(writer, _error("403 Forbidden", "this page is for this machine only"))
        elif method != "GET":
            await _send(writer, _error("405 Method Not Allowed", "only GET"))
        elif path == "/events":
            await self._stream(reader, writer)
        elif path in self._routes:
            await _send(writer, await self._routes[path]())
        else:
            await _send(writer, _error("404 Not Found", "there is /, /events, /live.json and /metrics"))

    async def _stream(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(_head("200 OK", "text/event-stream; charset=utf-8", "default-src 'none'"))
        seen, table = self._published - len(self._events), b""
        gone = asyncio.ensure_future(reader.read(1))  # who watches has nothing more to say: it is the connection's end
        self._watchers += 1
        try:
            while not gone.done():
                changed, new = self._changed, min(self._published - seen, len(self._events))
                seen = self._published
                kept = [self._events[n] for n in range(len(self._events) - new, len(self._events))]
                writer.write(b"".join(b"data: %b\n\n" % event for event in kept))
                if table is not self._table:
                    table = self._table
                    writer.write(b"event: steps\ndata: %b\n\n" % table)
                if self._ended:
                    writer.write(b"event: end\ndata: {}\n\n")
                await asyncio.wait_for(writer.drain(), _PATIENCE_S)
                if self._ended:
                    return
                waiting = asyncio.ensure_future(changed.wait())
                await asyncio.wait({gone, waiting}, return_when=asyncio.FIRST_COMPLETED)
                waiting.cancel()
        finally:
            self._watchers -= 1
            gone.cancel()
            with contextlib.suppress(asyncio.CancelledError, OSError):
                await gone


def listen(host: str, port: int) -> socket.socket:
    """A listening socket. Raises UsageError TB1070 when the address cannot be had."""
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return socket.create_server((host, port), family=family, backlog=_MOST_CONNECTIONS)
    except (OSError, OverflowError) as error:
        raise UsageError(
            "TB1070",
            "the live page cannot be served",
            where=f"{host}:{port}",
            why=str(error),
            cure="another --live-port (0 takes a free one), or an address of this machine as --live-host",
        ) from error


def _name_of(host: str) -> str:
    """The name in a Host header, without its port."""
    return host[: host.find("]") + 1] if host.startswith("[") else host.partition(":")[0].lower()


def _error(status: str, why: str) -> Answer:
    return Answer(content_type="text/plain; charset=utf-8", body=f"{why}\n".encode(), status=status)


def _head(status: str, content_type: str, security: str, length: int | None = None) -> bytes:
    lines = [
        f"HTTP/1.1 {status}",
        f"Content-Type: {content_type}",
        *([] if length is None else [f"Content-Length: {length}"]),
        "Connection: close",
        "Cache-Control: no-store",
        f"Content-Security-Policy: {security}",
        "X-Content-Type-Options: nosniff",
        "Referrer-Policy: no-referrer",
        "Cross-Origin-Resource-Policy: same-origin",
    ]
    return "\r\n".join([*lines, "", ""]).encode()


async def _send(writer: asyncio.StreamWriter, answer: Answer) -> None:
    writer.write(_head(answer.status, answer.content_type, answer.security, len(answer.body)) + answer.body)
    await asyncio.wait_for(writer.drain(), _PATIENCE_S)


async def _close(writer: asyncio.StreamWriter) -> None:
    """Close, but do not wait for whoever takes nothing."""
    try:
        writer.close()
        await asyncio.wait_for(writer.wait_closed(), _GOODBYE_S)
    except (OSError, TimeoutError, asyncio.CancelledError):
        writer.transport.abort()
