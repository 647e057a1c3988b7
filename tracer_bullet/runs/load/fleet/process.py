"""The conductor's side of the Locust master's process: starts it, hears it, and leaves none behind."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import IO, Any, Final, Self

from tracer_bullet.errors import UnreachableError
from tracer_bullet.load.locust import frames

_START_S: Final = 60.0
_END_S: Final = 5.0
_TAIL: Final = 2000
_READ: Final = 262_144


class Program:
    """A Python program of ours in a process group of its own, so that a Ctrl-C at the terminal is for us alone. It
    inherits `keep`; what it says is kept for when it dies."""

    def __init__(self, arguments: Sequence[str], keep: Sequence[int]) -> None:
        self._log: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115  (closed in `reap`)
        # What a test's or a user's own Locust is configured with is not for this one.
        environment = {k: v for k, v in os.environ.items() if not k.startswith("LOCUST_")}
        self._process = subprocess.Popen(  # noqa: S603  (ourselves)
            [sys.executable, "-m", *arguments],
            pass_fds=keep,
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=self._log,
            start_new_session=True,
            env=environment,
        )

    @property
    def pid(self) -> int:
        """The process's id, and its group's."""
        return self._process.pid

    @property
    def ended(self) -> bool:
        """Whether it is over."""
        return self._process.poll() is not None

    def kill(self) -> None:
        """At once, with all of its group; a stopped one too."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)

    def last_words(self) -> str:
        """How it ended, and the end of what it said."""
        self._log.seek(0)
        said = self._log.read()[-_TAIL:].decode(errors="replace").strip()
        return f"exit status {self._process.poll()}" + (f"; it said: {said}" if said else "")

    async def reap(self) -> None:
        """Wait until it has ended, not for long; then kill it."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            await asyncio.to_thread(self._process.wait, _END_S)
        self.kill()  # its children, if it has left any
        await asyncio.to_thread(self._process.wait)
        self._log.close()


class MasterProcess:
    """A real Locust master. `host`, `port` (0: any that is free): where workers find it; `web_port` None: no page."""

    def __init__(self, *, host: str, port: int, web_host: str, web_port: int | None) -> None:
        self._options = {"host": host, "port": port, "web_host": web_host, "web_port": web_port}
        self.port = self.web_port = 0
        self.version = ""

    async def __aenter__(self) -> Self:
        """Start it. Raises UnreachableError TB1040 when it does not come up."""
        ours, theirs = socket.socketpair()
        with theirs:
            arguments = ["tracer_bullet.load.locust", str(theirs.fileno()), json.dumps(self._options)]
            self._program = Program(arguments, [theirs.fileno()])
        self._reader, self._writer = await asyncio.open_connection(sock=ours)
        self._frames = frames.Frames()
        self._waiting: list[list[Any]] = []
        try:
            async with asyncio.timeout(_START_S):
                first = await anext(self.frames(), None)
            if first is None or first[0] != frames.BOUND:
                raise self._failed(str(first[1]) if first else "")
        except TimeoutError:
            failure = self._failed(f"it was not ready after {_START_S:g} s")
            await self.__aexit__()
            raise failure from None
        except BaseException:
            await self.__aexit__()
            raise
        _, self.port, self.web_port, self.version = first
        return self

    async def __aexit__(self, *_: object) -> None:
        """End it, and wait for it."""
        self._writer.close()  # the end of this is its end
        with contextlib.suppress(OSError):
            await self._writer.wait_closed()
        await self._program.reap()

    @property
    def pid(self) -> int:
        """The process's id."""
        return self._program.pid

    def send(self, *members: Any) -> None:
        """Say something; nobody hears it any more when it is gone."""
        if not self._writer.is_closing():
            self._writer.write(frames.pack(*members))

    def tell(self, client: str | None, kind: str, data: Mapping[str, Any]) -> None:
        """A custom message to one worker, or to all."""
        self.send(frames.SEND, client, kind, dict(data))

    async def frames(self) -> AsyncIterator[list[Any]]:
        """What it says, until it is gone."""
        while True:
            while self._waiting:
                yield self._waiting.pop(0)
            try:
                data = await self._reader.read(_READ)
            except OSError:
                return
            if not data:
                return
            self._frames.feed(data)
            self._waiting = list(self._frames)

    def kill(self) -> None:
        """It is silent: end it without asking."""
        self._program.kill()

    def _failed(self, why: str) -> UnreachableError:
        host, port = self._options["host"], self._options["port"]
        return UnreachableError(
            "TB1040",
            "the Locust master did not start",
            where=f"{host}:{port}" if port else str(host),
            why=why or self._program.last_words(),
            cure="give a --master-bind-port and a --web-port that are free",
        )
