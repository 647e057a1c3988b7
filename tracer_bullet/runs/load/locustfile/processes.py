"""Whose Locust it is: one that is started here, or one that somebody has started as `locust`."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from collections.abc import Callable, Sequence
from typing import Final, Protocol

from tracer_bullet.load.locustfile.protocol import LINK, LINK_SECRET

_KILL_S: Final = 5.0


class LocustProcess(Protocol):
    """Locust's main process."""

    async def start(self, address: str, secret: str) -> None:
        """Let it begin, and report to this address."""
        ...

    async def wait(self) -> int:
        """Until it has ended; its exit code, negative for a signal."""
        ...

    async def end(self) -> None:
        """See that it is gone."""
        ...


class Child:
    """Locust as a child, in this process's group: its keys, and Ctrl-C, work as ever."""

    def __init__(self, arguments: Sequence[str], *, quiet: bool) -> None:
        """`quiet`: what it prints is no result, which alone goes to stdout."""
        self._arguments = arguments
        self._quiet = quiet
        self._process: asyncio.subprocess.Process | None = None

    async def start(self, address: str, secret: str) -> None:
        """See LocustProcess."""
        environ = {**os.environ, LINK: address, LINK_SECRET: secret}
        command = [sys.executable, "-m", "tracer_bullet.load.locustfile", *self._arguments]
        stdout = sys.stderr.fileno() if self._quiet else None
        self._process = await asyncio.create_subprocess_exec(*command, env=environ, stdout=stdout)

    async def wait(self) -> int:
        """See LocustProcess."""
        assert self._process is not None  # noqa: S101
        return await self._process.wait()

    async def end(self) -> None:
        """See LocustProcess."""
        process = self._process
        if process is None:
            return
        for end in (process.terminate, process.kill):
            if process.returncode is not None:
                return
            with contextlib.suppress(ProcessLookupError):
                end()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(process.wait(), _KILL_S)


class Parent:
    """A plain `locust`, which has started this process. `say` hands it the address and the secret."""

    def __init__(self, say: Callable[[str, str], None]) -> None:
        self._say = say
        self.left: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    async def start(self, address: str, secret: str) -> None:
        """See LocustProcess."""
        self._say(address, secret)

    async def wait(self) -> int:
        """See LocustProcess; what ended without a word was killed."""
        return await asyncio.shield(self.left)

    async def end(self) -> None:
        """It is not ours to end: it is told to, and refuses all requests once the link is gone."""

    def leave(self, code: int) -> None:
        """Its main process has said goodbye, or is gone."""
        if not self.left.done():
            self.left.set_result(code)
