"""A worker of a fleet: joins a Locust master, is given jobs by message, sends its share, tells of every shot.

It needs no workspace and no keys: a job brings all. Posture: fail closed. Who does not hear the master for 3 s, or finds
that it stood still itself, gives up its share for good, since others have it by then; `python -m` is how a fleet starts
those of its own machine.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import time
from collections.abc import Iterable
from dataclasses import replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from tracer_bullet import __version__
from tracer_bullet.engine.locust_worker import LocustWorker
from tracer_bullet.errors import ExitCode, TracerBulletError
from tracer_bullet.load.locust import frames
from tracer_bullet.load.share import Share
from tracer_bullet.model.load import SenderEvent
from tracer_bullet.runs.load.fleet.packing import read_job
from tracer_bullet.runs.load.local import LocalSender

SILENCE_S: Final = 3.0
# A tick that comes so late means that this process stood still.
_STILL_S: Final = 2.5
_TICK_S: Final = 0.25
_TELL_S: Final = 0.1
_TELL_ROWS: Final = 4096
_BEAT_TICKS: Final = 2
# An engine that tells nothing for so long, though it should every half second, does not live.
_ENGINE_TICKS: Final = 24
_NO_STATUS_FAILS: Final = 1000  # an answer that is not as expected has an error already


class Lease(Share):
    """A share that holds only while its process is alive: `until` (monotonic seconds) is put off by every tick of the
    event loop. So a process that was frozen, and whose share others have by now, plans nothing when it wakes."""

    def __init__(self, shards: int, residues: Iterable[int], *, term_s: float = _STILL_S) -> None:
        super().__init__(shards, residues)
        self._term_s = term_s
        self._until = time.monotonic() + term_s
        self.revoked = False

    def renew(self) -> bool:
        """Put the end off. False when it was too late for that: then it has ended for good."""
        now = time.monotonic()
        self.revoked = self.revoked or now > self._until
        self._until = now + self._term_s
        return not self.revoked

    @property
    def holds(self) -> bool:
        """Whether anything may be planned."""
        return not self.revoked and time.monotonic() <= self._until

    def claim(self, first: int, due_ns: NDArray[np.int64]) -> NDArray[np.int64]:
        """As in Share; nothing once the lease has ended."""
        found = super().claim(first, due_ns)
        return found if self.holds else found[:0]

    def owned_spans(self, residue: int) -> list[tuple[int, int]]:
        """As in Share; nothing once the lease has ended."""
        return super().owned_spans(residue) if self.holds else []


async def work(
    host: str, port: int, *, name: str = "", connect_s: float = 300.0, lifeline: int | None = None
) -> ExitCode:
    """Work for the master there until it says that it is over. `lifeline`: a pipe whose other end's closing means the
    same, at once. `connect_s`: how long to wait for a master.

    PASSED when the fleet has ended in order, INCONCLUSIVE when this worker lost it, or was taken for lost. Raises
    UnreachableError TB960 when there is no master.
    """
    worker = _Worker(name or f"{socket.gethostname()} {os.getpid()}")
    link = LocustWorker(
        host,
        port,
        user_class="TracerBullet",
        connect_s=connect_s,
        silence_s=SILENCE_S,
        failing_status=_NO_STATUS_FAILS,
        on_message=worker.hear,
    )
    worker.link = link
    async with _watched(worker, lifeline), link:
        return await worker.serve()


class _Worker:
    """What is heard, and the job under way. `over`: why there will be no other job."""

    def __init__(self, name: str) -> None:
        self.link: LocustWorker
        self._name = name
        self._orders: asyncio.Queue[dict[str, Any] | None] = asyncio.Queue()
        self._task: _Task | None = None
        self.over = ""
        self._in_order = False

    async def hear(self, kind: str, data: Any) -> None:
        """A custom message of the fleet's."""
        match kind, data:
            case frames.PING, {"at_ns": int(at_ns)}:
                pong = {"at_ns": at_ns, "here_ns": time.time_ns(), "name": self._name, "version": __version__}
                await self.link.send(frames.PONG, pong | {"pid": os.getpid()})
            case frames.JOB, dict():
                self._orders.put_nowait(data)
            case frames.SHARE, {"epoch": int(epoch), "residues": list(residues), "from_ns": int(from_ns)}:
                if self._task is not None and self._task.epoch == epoch:
                    self._task.share.own(residues, from_ns)
            case frames.HALT, {"epoch": int(epoch)}:
                if self._task is not None and self._task.epoch == epoch:
                    self._task.stop()
            case frames.DROP, {"why": str(why)}:
                self.give_up(f"the fleet took this worker for lost: {why}")
            case frames.BYE, _:
                self._in_order = True
                self.give_up("the fleet is over")

    def give_up(self, why: str) -> None:
        """No share is this worker's any more."""
        self.over = self.over or why
        if self._task is not None:
            self._task.give_up(self.over)
        self._orders.put_nowait(None)

    def tick(self) -> None:
        """A quarter of a second is over, or more."""
        if self._task is not None and not self._task.tick():
            self.give_up("it stood still for a while, and its share went to others")
        if self.link.gone and not self.over:
            silent = f"the master was silent for {SILENCE_S:g} s" if self.link.gone == "silent" else "the master left"
            self.give_up(silent)

    async def serve(self) -> ExitCode:
        """Jobs, one after the other."""
        while not self.over and (order := await self._orders.get()) is not None:
            self._task = _Task(self.link, order)
            try:
                await self._task.run()
            finally:
                self._task = None
        return ExitCode.PASSED if self._in_order else ExitCode.INCONCLUSIVE


class _Task:
    """A job of this worker's."""

    def __init__(self, link: LocustWorker, order: dict[str, Any]) -> None:
        self._link = link
        self._order = order
        self.epoch = int(order["epoch"])
        job = self._job = replace(read_job(order["job"]), start_ns=int(order["start_ns"]))
        self.share = Lease(job.shards, ())
        self.share.own(order["residues"], int(order["from_ns"]))
        self._sender: LocalSender | None = None
        self._waiting: list[SenderEvent] = []
        self._waiting_rows = self._rows = self._users = 0
        self._told_s = 0.0
        self._beats = self._still = 0
        self._why = ""

    async def run(self) -> None:
        """Prepare, say so, send, and say that it is done."""
        try:
            await asyncio.to_thread(self._prepare)
            await self._link.send(frames.READY, {"epoch": self.epoch})
            await self._send()
        except TracerBulletError as error:
            self._why = self._why or str(error)
        await self._tell()
        await self._link.finish()  # Locust's figures go before
        ended = {"epoch": self.epoch, "rows": self._rows, "why": self._why}
        await self._link.send(frames.ENDED, ended)

    def stop(self) -> None:
        """End within a second."""
        if self._sender is not None:
            self._sender.stop()

    def give_up(self, why: str) -> None:
        """End, since the share is no longer this worker's."""
        self._why = self._why or why
        self.share.revoked = True
        self.stop()

    def tick(self) -> bool:
        """A quarter of a second is over. False when this process stood still, and its share is not its own any more."""
        if self._sender is not None:
            self._beats += 1
            self._still += 1
            if self._still == _ENGINE_TICKS and self._sender.engine_pid:
                self._why = self._why or f"its engine told nothing for {_ENGINE_TICKS * _TICK_S:g} s"
                with contextlib.suppress(ProcessLookupError):
                    os.kill(self._sender.engine_pid, signal.SIGKILL)
        return self.share.renew()
