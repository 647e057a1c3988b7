"""The client of one HTTP/1.1 origin: free connections, last used first; shots that wait for one; time-outs."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Final

from tracer_bullet.engine import client as codes
from tracer_bullet.engine.client import NO_LIMITS, Done, Limits, Shot, now_ns
from tracer_bullet.engine.http1.connection import Connection
from tracer_bullet.engine.http1.dial import Addresses, tls_context, why
from tracer_bullet.engine.patience import Patience
from tracer_bullet.engine.settings import EngineSettings
from tracer_bullet.model.arrival import Origin
from tracer_bullet.model.exchange import SAFE_METHODS

_BUFFER: Final = 262_144
_SAFE: Final = frozenset(method.encode() for method in SAFE_METHODS)


class Http1Client:
    """Implements `client.Client`.

    A request goes out again, once and on a fresh connection, when the peer had closed an idle connection beneath it:
    a write only when the system took none of its bytes, a safe method also when no byte of an answer came.
    """

    def __init__(self, origin: Origin, settings: EngineSettings, done: Done, limits: Limits = NO_LIMITS) -> None:
        self.settings = settings
        self.patience = Patience(settings, limits)
        self.buffer = memoryview(bytearray(_BUFFER))
        self.resent = 0
        self._origin = origin
        self._done = done
        self._tls = tls_context(settings) if origin.scheme == "https" else None
        self._addresses = Addresses(origin)
        self._idle: list[Connection] = []
        self._all: set[Connection] = set()
        self._queue: deque[Shot] = deque()
        self._dials: dict[asyncio.Task[None], Shot | None] = {}
        self._again: set[int] = set()
        self._dropped = False

    # client.Client

    def send(self, shot: Shot) -> None:
        """As in Client."""
        if self._idle:
            self._idle.pop().start(shot)
            if not self._idle:
                self._grow(self.settings.spare)
        else:
            self._queue.append(shot)
            self._grow(self.settings.spare)

    def sweep(self, now: int) -> None:
        """As in Client."""
        for connection in list(self._all):
            if connection.shot is not None and (error := connection.late(now)):
                connection.give_up(error)
        for shot in self.patience.overdue(self._queue, now):
            self._fail(shot, codes.TOTAL_TIMEOUT)

    def halt(self) -> list[Shot]:
        """As in Client."""
        self._dropped = True
        shots = list(self._queue)
        self._queue.clear()
        for task, shot in list(self._dials.items()):
            task.cancel()
            if shot is not None:
                shots.append(shot)
                self._dials[task] = None
        return shots

    def drop(self) -> list[Shot]:
        """As in Client."""
        shots = self.halt()
        for connection in list(self._all):
            shot = connection.take_back()
            if shot is not None:
                shots.append(shot)
        self._idle.clear()
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

    def ended(self, connection: Connection, shot: Shot, *, reusable: bool) -> None:
        """As in Owner."""
        if not reusable:
            connection.transport.abort()  # `gone` follows
        elif self._queue:
            connection.rested = True  # the peer may have closed it with this answer
            connection.start(self._queue.popleft())
        else:
            connection.rested = True
            self._idle.append(connection)
        if self._again:
            self._again.discard(shot.number)
        self._done(shot)

    def gone(self, connection: Connection) -> None:
        """As in Owner."""
        self._all.discard(connection)
        if connection.shot is None and connection in self._idle:
            self._idle.remove(connection)
        if self._queue:
            self._grow(0)

    def broke(self, connection: Connection, shot: Shot) -> None:
        """As in Owner."""
        clean = not shot.answer_bytes and connection.rested and shot.number not in self._again
        if clean and not self._dropped and (connection.unwritten or shot.method in _SAFE):
            self.resent += 1
            self._again.add(shot.number)
            if connection.unwritten:
                shot.sent_ns = shot.request_bytes = 0
            self._dial(shot)
            return
        self._fail(shot, codes.RESET)

    # Growing.

    def _grow(self, spare: int) -> None:
        """Open as many connections as shots wait for, and some ahead of need."""
        if len(self._all) + len(self._dials) >= self.settings.connections:
            return
        wanted = len(self._queue) + spare
        while len(self._dials) < wanted and self.connections < self.settings.connections:
            self._dial(None)

    def _dial(self, shot: Shot | None) -> None:
        task = asyncio.get_running_loop().create_task(self._open(shot))
        self._dials[task] = shot
        task.add_done_callback(self._dial_ended)

    def _dial_ended(self, task: asyncio.Task[None]) -> None:
        self._dials.pop(task, None)  # one that was cancelled before it began

    async def _open(self, shot: Shot | None) -> None:
        began, failed = now_ns(), 0
        try:
            async with asyncio.timeout(self.settings.connect_s):
                connection = await self._connect()
        except (OSError, ValueError) as error:  # ValueError: a name that is none
            failed = why(error)
        finally:
            self._dials.pop(asyncio.current_task(), None)  # type: ignore[arg-type]
        if failed:
            self._not_opened(shot, failed, began)
            return
        if self._dropped or connection.transport.is_closing():
            connection.transport.abort()
            if shot is not None and not self._dropped:
                self._fail(shot, codes.CONNECT)
            return
        self._all.add(connection)
        if shot is not None:
            connection.start(shot)
        elif self._queue:
            connection.start(self._queue.popleft())
        else:
            connection.rested = True
            self._idle.insert(0, connection)

    async def _connect(self) -> Connection:
        loop = asyncio.get_running_loop()
        last: OSError | None = None
        for _ in range(self._addresses.count):
            address = await self._addresses.next()
            try:
                _, connection = await loop.create_connection(
                    lambda: Connection(self),
                    address,
                    self._origin.port,
                    ssl=self._tls,
                    server_hostname=self._origin.host if self._tls else None,
                )
            except OSError as error:  # ssl.SSLError is one
                last = error
            else:
                return connection
        raise last or OSError("no address")

    def _not_opened(self, shot: Shot | None, error: int, began: int) -> None:
        """An attempt failed: so do the shot that it was for, and those that could only have waited for it."""
        if shot is not None:
            self._fail(shot, error)
            return
        if self._all:
            return
        while self._queue and self._queue[0].ready_ns <= began:
            self._fail(self._queue.popleft(), error)
        if self._queue and not self._dropped:
            self._grow(0)

    def _fail(self, shot: Shot, error: int) -> None:
        self._again.discard(shot.number)
        shot.error = error
        shot.ended_ns = now_ns()
        self._done(shot)
