"""The client of one HTTP/2 origin: connections, shots that wait for a stream, time-outs."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Final

from h2.exceptions import H2Error

from tracer_bullet.engine import client as codes
from tracer_bullet.engine.client import NO_LIMITS, Done, Limits, Shot, now_ns
from tracer_bullet.engine.http1.dial import Addresses, tls_context, why
from tracer_bullet.engine.http2.connection import FIRST_STREAMS, Connection
from tracer_bullet.engine.http2.dialect import Dialect, PlainHttp
from tracer_bullet.engine.patience import Patience
from tracer_bullet.engine.settings import EngineSettings
from tracer_bullet.model.arrival import Origin

_BUFFER: Final = 262_144
# Refused in the first burst, when the peer's limit is not known yet, then met by a GOAWAY: no fault of the request.
_MOST_AGAIN: Final = 3


class _NoHttp2Error(Exception):
    """The server has not chosen HTTP/2."""


class Http2Client:
    """Implements `client.Client`.

    A connection is used up to the peer's limit of streams before another one is opened. A request is written again, a
    few times at most, when it is certain that nothing was done with it: the peer refused its stream, or went away
    before it, or the system took none of its bytes.
    """

    def __init__(
        self,
        origin: Origin,
        settings: EngineSettings,
        done: Done,
        limits: Limits = NO_LIMITS,
        dialect: Dialect | None = None,
    ) -> None:
        self.settings = settings
        self.patience = Patience(settings, limits)
        self.dialect: Dialect = dialect or PlainHttp()
        self.scheme = origin.scheme.encode()
        self.authority = _authority(origin)
        self.buffer = memoryview(bytearray(_BUFFER))
        self.streams = FIRST_STREAMS
        self.resent = 0
        self._origin = origin
        self._done = done
        self._tls = tls_context(settings, ("h2",)) if origin.scheme == "https" else None
        self._addresses = Addresses(origin)
        self._all: list[Connection] = []
        self._queue: deque[Shot] = deque()
        self._dials: set[asyncio.Task[None]] = set()
        self._again: dict[int, int] = {}  # a shot's number → how often it was written again
        self._dropped = False

    # client.Client

    def send(self, shot: Shot) -> None:
        """As in Client."""
        connection = None if self._queue else self._free()
        if connection is None:
            self._queue.append(shot)
            self._grow()
        else:
            self._start(connection, shot)

    def sweep(self, now: int) -> None:
        """As in Client."""
        for connection in list(self._all):
            connection.sweep(now)
        for shot in self.patience.overdue(self._queue, now):
            self._fail(shot, codes.TOTAL_TIMEOUT)
        self.room()

    def halt(self) -> list[Shot]:
        """As in Client."""
        self._dropped = True
        shots = list(self._queue)
        self._queue.clear()
        for task in self._dials:
            task.cancel()
        return shots

    def drop(self) -> list[Shot]:
        """As in Client."""
        shots = self.halt()
        for connection in list(self._all):
            shots += connection.take_back()
        return shots

    async def close(self) -> None:
        """As in Client."""
        self.drop()
        for _ in range(100):
            if not self._all and not self._dials:
                return
            await asyncio.sleep(0.002)

    @property
    def waiting(self) -> int:
        """As in Client."""
        return len(self._queue)

    @property
    def connections(self) -> int:
        """As in Client."""
        return len(self._all) + len(self._dials)

    # connection.Owner

    def ended(self, shot: Shot) -> None:
        """As in Owner."""
        self._again.pop(shot.number, None)
        self._done(shot)

    def unprocessed(self, shot: Shot) -> None:
        """As in Owner."""
        often = self._again.get(shot.number, 0)
        if self._dropped or often == _MOST_AGAIN:
            self._fail(shot, codes.RESET)
            return
        self.resent += 1
        self._again[shot.number] = often + 1
        shot.status = shot.answer_bytes = shot.first_ns = 0
        self._queue.appendleft(shot)
        self._grow()

    def room(self) -> None:
        """As in Owner."""
        while self._queue and (connection := self._free()) is not None:
            self._start(connection, self._queue.popleft())
        if self._queue:
            self._grow()

    def gone(self, connection: Connection) -> None:
        """As in Owner."""
        if connection in self._all:
            self._all.remove(connection)
        if self._queue:
            self._grow()

    # Growing.

    def _free(self) -> Connection | None:
        """The oldest connection that has room: the others may come to rest, and be closed."""
        return next((connection for connection in self._all if connection.has_room), None)

    def _start(self, connection: Connection, shot: Shot) -> None:
        try:
            connection.start(shot)
        except ValueError:
            # Never from within `send`.
            asyncio.get_running_loop().call_soon(self._fail, shot, codes.PROTOCOL)
        except H2Error:  # h2 counts otherwise than we do: another connection must take it
            connection.draining = True
            self._queue.appendleft(shot)
            self._grow()

    def _grow(self) -> None:
        """One connection at a time, since each takes many requests."""
        if not self._dials and not self._dropped and self.connections < self.settings.connections:
            task = asyncio.get_running_loop().create_task(self._open())
            self._dials.add(task)
            task.add_done_callback(self._dials.discard)

    async def _open(self) -> None:
        began = now_ns()
        try:
            async with asyncio.timeout(self.settings.connect_s):
                connection = await self._connect()
        except _NoHttp2Error:
            self._not_opened(codes.PROTOCOL, began)
            return
        except (OSError, TimeoutError) as error:
            self._not_opened(why(error), began)
            return
        self._dials.clear()
        if self._dropped or connection.transport.is_closing():
            connection.transport.abort()
            return
        self._all.append(connection)
        self.room()

    async def _connect(self) -> Connection:
        loop = asyncio.get_running_loop()
        last: OSError | None = None
        for _ in range(self._addresses.count):
            address = await self._addresses.next()
            try:
                transport, connection = await loop.create_connection(
                    lambda: Connection(self),
                    address,
                    self._origin.port,
                    ssl=self._tls,
                    server_hostname=self._origin.host if self._tls else None,
                )
            except OSError as error:  # ssl.SSLError is one
                last = error
                continue
            tls = transport.get_extra_info("ssl_object")
            if tls is not None and tls.selected_alpn_protocol() != "h2":
                transport.abort()
                raise _NoHttp2Error
            return connection
        raise last or OSError("no address")

    def _not_opened(self, error: int, began: int) -> None:
        """An attempt failed: so do those that waited for it, unless a connection is there to wait for."""
        self._dials.clear()
        if self._all:
            return
        while self._queue and self._queue[0].ready_ns <= began:
            self._fail(self._queue.popleft(), error)
        if self._queue:
            asyncio.get_running_loop().call_soon(self._grow)

    def _fail(self, shot: Shot, error: int) -> None:
        self._again.pop(shot.number, None)
        shot.error = error
        shot.ended_ns = now_ns()
        self._done(shot)


def _authority(origin: Origin) -> bytes:
    host = f"[{origin.host}]" if ":" in origin.host else origin.host
    usual = {"http": 80, "https": 443}.get(origin.scheme)
    return (host if origin.port == usual else f"{host}:{origin.port}").encode()
