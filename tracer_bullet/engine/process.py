"""The driver's side of an engine process: starts it, feeds it, hands on what it tells, and leaves none behind."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import AsyncIterator, Iterable
from dataclasses import asdict
from typing import IO, Any, Final, Self

from tracer_bullet.engine import wire
from tracer_bullet.engine.client import LOST, STOPPED
from tracer_bullet.engine.columns import read_shots
from tracer_bullet.engine.feeder import Feeder
from tracer_bullet.engine.schedule.expectations import statuses_of
from tracer_bullet.engine.settings import EngineSettings
from tracer_bullet.errors import ExitCode, TracerBulletError
from tracer_bullet.model.arrival import Arrival, Endpoint, Origin
from tracer_bullet.model.shots import EngineNote, KeptAnswer, ShotBatch

_START_S: Final = 20.0
_END_S: Final = 2.0
_TAIL: Final = 2000
# How long an engine may leave unread that it is to stop.
_STUCK_S: Final = 0.3
# It tells how it is each half second. So long without a word, or after a stop, and it stands still.
_SILENT_S: Final = 30.0
_SILENT_STOPPED_S: Final = 5.0
_LISTEN_S: Final = 0.5

Result = ShotBatch | list[KeptAnswer] | EngineNote


class EngineError(TracerBulletError):
    """The engine's process failed."""

    exit_code = ExitCode.INCONCLUSIVE


class EngineProcess:
    """One engine in a process of its own, as an asynchronous context manager.

    ```
    async with EngineProcess(settings) as engine:
        engine.define(origin)
        async for result in engine.run(batches, start_ns):
            …
    ```
    `run` may be called several times, one after the other; arrivals of each are numbered afresh.
    """

    def __init__(self, settings: EngineSettings) -> None:
        self._settings = settings
        self._writing = threading.Lock()
        self._feeder: Feeder | None = None
        self._length = 0
        self._silent = ""
        self.pacing = ""

    async def __aenter__(self) -> Self:
        """Start the process. Raises EngineError TB951 when it does not come up."""
        self._commands, commands = socket.socketpair()
        results, theirs = socket.socketpair()
        self._log: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115  (closed in __aexit__)
        with commands, theirs:
            fds = (commands.fileno(), theirs.fileno())
            self._process = subprocess.Popen(  # noqa: ASYNC220, S603  (ourselves; it takes a millisecond)
                [sys.executable, "-m", "tracer_bullet.engine", *map(str, fds)],
                pass_fds=fds,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=self._log,
            )
        self._reader, self._writer = await asyncio.open_connection(sock=results)
        try:
            self._send(wire.pack(wire.SETTINGS, asdict(self._settings)))
            async with asyncio.timeout(_START_S):
                frame = await self._frame()
            if frame is None or frame[0] != wire.READY:
                raise self._died("did not start", frame)
        except (OSError, TimeoutError) as error:
            failure = self._died("did not start", None)
            await self.__aexit__()
            raise failure from error
        except BaseException:
            await self.__aexit__()
            raise
        self.pacing, self._unix_ns = str(frame[1]), int(frame[2])
        return self

    async def __aexit__(self, *_: object) -> None:
        """End the process, and wait for it."""
        self._commands.close()  # its end is the engine's
        await asyncio.to_thread(self._reap)
        self._writer.close()
        with contextlib.suppress(OSError):
            await self._writer.wait_closed()
        if self._feeder is not None:
            self._feeder.stop()
        self._log.close()

    @property
    def pid(self) -> int:
        """The process's id."""
        return self._process.pid

    def define(self, what: Origin | Endpoint) -> None:
        """Tell the engine an origin before an arrival names it, and an endpoint that expects certain statuses or has a
        time-out of its own; other endpoints are only numbers to it. May be called while a run goes on, from the
        source's thread too. Raises ValueError when a status is neither as `201` nor as `2xx`."""
        if isinstance(what, Origin):
            self._send(wire.pack_origin(what))
        elif what.statuses or what.timeout_s:
            statuses_of(what.statuses)
            self._send(wire.pack_endpoint(what))

    async def run(self, source: Iterable[list[Arrival]], start_ns: int) -> AsyncIterator[Result]:
        """Send the source's arrivals, each at `start_ns` (Unix) + `due_ns`, and yield what comes of them.

        The source is an ordinary iterator; a thread pulls it, some seconds ahead. Arrivals that are due at a time of
        their own come in the order of these. When it has a method `stop`, that is called, from any thread and perhaps
        twice, when nothing more is wanted: a source that blocks must then end. Every arrival that was pulled comes back
        exactly once in a ShotBatch. An exception of the source is raised when all of that is accounted for.
        Raises EngineError TB952 when the process dies, or is ended since it stands still, after a last ShotBatch with
        what it had not reported (`lost`).
        """
        feeder = self._feeder = Feeder(
            source, start_ns, self._send,
            ahead_s=self._settings.ahead_s, ahead_bytes=self._settings.ahead_bytes,
        )  # fmt: skip
        frame: list[Any] | None = None
        done = False
        try:
            self._send(wire.pack(wire.START, start_ns))
            feeder.start()
            while not done:
                frame = await self._heard(feeder)
                if frame is None or frame[0] == wire.FAILED:
                    break
                done = frame[0] == wire.DONE
                if (result := self._result(frame, feeder)) is not None:
                    yield result
            if not done:
                feeder.stop()
                await asyncio.to_thread(feeder.join)
                if (lost := feeder.unpaid(LOST)) is not None:
                    yield lost
                raise self._died("died", frame)
            await asyncio.to_thread(feeder.join)
            if (rest := feeder.unpaid(STOPPED)) is not None:
                yield rest
        finally:
            feeder.stop()
            if not done and frame is not None and frame[0] != wire.FAILED:
                await self._drain(feeder)
            await asyncio.to_thread(feeder.join)
            self._feeder = None
        if feeder.error is not None:
            raise feeder.error

    def stop(self) -> None:
        """End the run within a second: nothing more is sent, answers are awaited for half of it. May be called from
        any thread; `run` then yields what is left, and ends. An engine that does not listen any more is killed."""
        if self._feeder is not None:
            self._feeder.stop()
            if not self._tell_stop():
                self._process.kill()

    # Frames

    def _send(self, frame: bytes) -> None:
        with self._writing:
            self._commands.sendall(frame)

    def _tell_stop(self) -> bool:
        """Whether the engine could be told: neither the feeder nor the socket is stuck."""
        if not self._writing.acquire(timeout=_STUCK_S):
            return False
        try:
            self._commands.settimeout(_STUCK_S)
            self._commands.sendall(wire.pack(wire.STOP))
        except TimeoutError:
            return False
        except OSError:
            return True  # it is gone, which its other socket tells
        else:
            self._commands.settimeout(None)
            return True
        finally:
            self._writing.release()

    async def _frame(self) -> list[Any] | None:
        """The next frame; None when the process is gone."""
        try:
            if not self._length:  # kept, lest a cancelled wait lose its place
                self._length = int.from_bytes(await self._reader.readexactly(4), "little")
            payload = await self._reader.readexactly(self._length)
            self._length = 0
            return wire.unpack(payload)
        except (asyncio.IncompleteReadError, OSError):
            return None

    def _result(self, frame: list[Any], feeder: Feeder) -> Result | None:
        kind, *members = frame
        if kind == wire.SHOTS:
            batch = read_shots(members, self._unix_ns)
            feeder.came_back(batch)
            return batch
        if kind == wire.KEPT:
            return wire.read_kept(members)
        return wire.read_note(members) if kind == wire.NOTE else None

    async def _heard(self, feeder: Feeder) -> list[Any] | None:
        """The next frame of a run. An engine that stands still is killed, lest whoever waits for it wait for ever."""
        silent = 0  # in steps, so that a pause of this process itself counts as one
        while True:
            try:
                async with asyncio.timeout(_LISTEN_S):
                    return await self._frame()
            except TimeoutError:
                silent += 1
            allowed_s = _SILENT_STOPPED_S if feeder.is_stopping else _SILENT_S
            if silent * _LISTEN_S >= allowed_s:
                self._silent = f"it said nothing for {allowed_s:g} s, so it was killed; "
                self._process.kill()
                return await self._frame()

    async def _drain(self, feeder: Feeder) -> None:
        """Whoever ran it has left: end the run, so that another may begin."""
        self.stop()
        while (frame := await self._heard(feeder)) is not None and frame[0] not in (wire.DONE, wire.FAILED):
            pass

    # The process

    def _reap(self) -> None:
        try:
            self._process.wait(_END_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _died(self, what: str, frame: list[Any] | None) -> EngineError:
        if frame is not None and frame[0] == wire.FAILED:
            why = str(frame[1]).strip()
        else:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(1)
            self._log.seek(0)
            tail = self._log.read()[-_TAIL:].decode(errors="replace").strip()
            why = f"{self._silent}exit status {self._process.returncode}" + (f"; it said: {tail}" if tail else "")
        return EngineError(
            "TB952" if what == "died" else "TB951",
            f"the engine's process {what}",
            where=f"process {self._process.pid}",
            why=why,
            cure="what it had sent may have been processed; look at the target, then run again",
        )
