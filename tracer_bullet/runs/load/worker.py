"""A worker of a fleet: joins a Locust master, is given jobs by message, sends its share, tells of every shot.

It needs no workspace and no keys: a job brings all. Posture: fail closed. A worker that does not hear the master for
3 s, or finds that it stood still itself, gives up its share for good, since others have it by then.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator, Iterable, Iterator
from dataclasses import replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from tracer_bullet import __version__
from tracer_bullet.engine.locust_worker import LocustWorker
from tracer_bullet.errors import ExitCode, TracerBulletError
from tracer_bullet.load.locust import frames
from tracer_bullet.load.share import Share
from tracer_bullet.model.arrival import Arrival, Endpoint
from tracer_bullet.model.load import SenderEvent, SenderNote, SenderShots
from tracer_bullet.runs.load.fleet.packing import pack_events, read_job
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
_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)
_NO_STATUS_FAILS: Final = 1000  # an answer that is not as expected has an error already


class Lease(Share):
    """A share that holds only while its process is alive: `until` (monotonic seconds) is put off by every tick of the
    event loop. So a process that was frozen, and whose share others have by now, plans nothing when it wakes."""

    def __init__(self, shards: int, residues: Iterable[int], *, from_ns: int = 0, term_s: float = _STILL_S) -> None:
        super().__init__(shards, ())
        self.own(residues, from_ns)
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

    PASSED when the fleet has ended in order, INCONCLUSIVE when this worker lost it, or was taken for lost, INTERRUPTED
    when it was told to end before a master answered. Raises
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
        on_gone=worker.lose_master,
    )
    worker.link = link
    async with _watched(worker, lifeline), contextlib.AsyncExitStack() as stack:
        if not await _joined(stack, link, worker):
            sys.stderr.write(f"{worker.over}\n")
            return ExitCode.INTERRUPTED
        return await worker.serve()


async def _joined(stack: contextlib.AsyncExitStack, link: LocustWorker, worker: _Worker) -> bool:
    """Join the master. False when this worker was told to end before one answered."""
    joining = asyncio.create_task(stack.enter_async_context(link))
    told = asyncio.create_task(worker.told_to_end.wait())
    try:
        await asyncio.wait((joining, told), return_when=asyncio.FIRST_COMPLETED)
        if not joining.done():
            return False
        await joining
        return True
    finally:
        for task in (joining, told):
            task.cancel()
        await asyncio.gather(joining, told, return_exceptions=True)


class _Worker:
    """What is heard, and the job under way. `over`: why there will be no other job."""

    def __init__(self, name: str) -> None:
        self.link: LocustWorker
        self._name = name
        self._tasks: asyncio.Queue[_Task | None] = asyncio.Queue()
        self._task: _Task | None = None
        self._pieces: list[bytes] = []
        self.over = ""
        self.told_to_end = asyncio.Event()
        self._in_order = False

    async def hear(self, kind: str, data: Any) -> None:
        """A custom message of the fleet's."""
        match kind, data:
            case frames.PING, {"at_ns": int(at_ns)}:
                pong = {"at_ns": at_ns, "here_ns": time.time_ns(), "name": self._name, "version": __version__}
                await self.link.send(frames.PONG, pong | {"pid": os.getpid()})
            case frames.PIECE, {"piece": bytes(piece)}:
                self._pieces.append(piece)
            case frames.JOB, {"epoch": int()}:
                packed, self._pieces = b"".join(self._pieces), []
                self._task = _Task(self.link, data, packed)  # at once: what is said next may be about it
                self._tasks.put_nowait(self._task)
            case frames.SHARE, {"epoch": int(epoch), "residues": list(residues), "from_ns": int(from_ns)}:
                if self._task is not None and self._task.epoch == epoch:
                    since_ns = self._task.share.own(residues, from_ns)
                    await self.link.send(frames.TOOK, {"epoch": epoch, "from_ns": from_ns, "since_ns": since_ns})
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
        self.told_to_end.set()
        if self._task is not None:
            self._task.give_up(self.over)
        self._tasks.put_nowait(None)

    def tick(self) -> None:
        """A quarter of a second is over, or more."""
        if self._task is not None and not self._task.tick():
            self.give_up("it stood still for a while, and its share went to others")

    def lose_master(self, how: str) -> None:
        """The link is over: `silent`, `quit` or `failed`."""
        self.give_up(f"the master was silent for {SILENCE_S:g} s" if how == "silent" else f"the master is gone: {how}")

    async def serve(self) -> ExitCode:
        """Jobs, one after the other."""
        while (task := await self._tasks.get()) is not None:
            await task.run()
        if self._in_order:
            return ExitCode.PASSED
        sys.stderr.write(f"{self.over}\n")
        return ExitCode.INCONCLUSIVE


class _Task:
    """A job of this worker's."""

    def __init__(self, link: LocustWorker, order: dict[str, Any], packed: bytes) -> None:
        self._link = link
        self._order = order
        self._packed = packed
        self.epoch = int(order["epoch"])
        self.share = Lease(int(order["shards"]), order["residues"], from_ns=int(order["from_ns"]))
        self._sender: LocalSender | None = None
        self._waiting: list[SenderEvent] = []
        self._waiting_rows = self._rows = self._users = 0
        self._told_s = 0.0
        self._beats = self._still = 0
        self._stopped = False
        self._why = ""

    async def run(self) -> None:
        """Prepare, say so, send, and say that it is done, or why not."""
        try:
            await asyncio.to_thread(self._prepare)
            await self._link.send(frames.READY, {"epoch": self.epoch})
            await self._send()
        except (TracerBulletError, ValueError) as error:
            self._why = self._why or str(error)
        except Exception as error:  # whatever it is, the fleet must hear of it
            self._why = self._why or repr(error)
            raise
        finally:
            await self._tell()
            await self._link.finish()  # Locust's figures go before
            await self._link.send(frames.ENDED, {"epoch": self.epoch, "rows": self._rows, "why": self._why})

    def stop(self) -> None:
        """End within a second."""
        self._stopped = True
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

    def _prepare(self) -> None:
        order = self._order
        job = replace(read_job(self._packed), start_ns=int(order["start_ns"]), shards=int(order["shards"]))
        number = int(order["sender"])
        self._sender = LocalSender(job, sender=number, share=self.share, wrap=self._while_alive)
        steps = self._sender.planner.steps
        self._shown = [Endpoint(number=n, method=step.method, name=step.name) for n, step in enumerate(steps)]
        if self._stopped:
            self._sender.stop()

    def _while_alive(self, lists: Iterable[list[Arrival]]) -> Iterator[list[Arrival]]:
        """What the planner gives, and nothing more once the lease has ended. Runs in the feeder's thread."""
        for some in lists:
            if not self.share.holds:
                return
            yield some

    async def _send(self) -> None:
        assert self._sender is not None  # noqa: S101  (`_prepare` made it)
        telling = asyncio.create_task(self._tell_on_and_on())
        try:
            async for event in self._sender.run():
                self._still = 0
                if isinstance(event, SenderShots):
                    self._waiting_rows += len(event.batch)
                    self._link.record(event.batch, self._shown)
                elif isinstance(event, SenderNote):
                    self._users = event.users
                self._waiting.append(event)
                if self._waiting_rows >= _TELL_ROWS:
                    await self._tell()
        finally:
            telling.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await telling

    async def _tell_on_and_on(self) -> None:
        while True:
            await asyncio.sleep(_TELL_S)
            if self._waiting or self._beats >= _BEAT_TICKS:
                await self._tell()

    async def _tell(self) -> None:
        """Tell what has come; with nothing, that this worker lives."""
        events, self._waiting = self._waiting, []
        rows, self._waiting_rows = self._waiting_rows, 0
        self._beats = 0
        told = {"epoch": self.epoch, "users": self._users, "events": pack_events(events)}
        self._rows += rows  # also when it cannot be sent: the fleet notices by the count
        await self._link.send(frames.EVENTS, told)


@contextlib.asynccontextmanager
async def _watched(worker: _Worker, lifeline: int | None) -> AsyncIterator[None]:
    """Tick, and look at the lifeline, as long as the worker lives."""
    loop = asyncio.get_running_loop()

    async def tick() -> None:
        while True:
            await asyncio.sleep(_TICK_S)
            worker.tick()

    def cut() -> None:
        loop.remove_reader(lifeline)  # type: ignore[arg-type]
        worker.give_up("who started this worker is gone")

    if lifeline is not None:
        loop.add_reader(lifeline, cut)
    for number in _SIGNALS:
        loop.add_signal_handler(number, worker.give_up, "this worker was told to end")
    ticking = asyncio.create_task(tick())
    try:
        yield
    finally:
        ticking.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await ticking
        for number in _SIGNALS:
            loop.remove_signal_handler(number)
        if lifeline is not None:
            loop.remove_reader(lifeline)


def main(arguments: list[str]) -> int:
    """`python -m tracer_bullet.runs.load.worker HOST PORT`: a worker that its fleet started."""
    parser = argparse.ArgumentParser(description="A worker of a fleet on this machine.")
    parser.add_argument("host")
    parser.add_argument("port", type=int)
    parser.add_argument("--lifeline", type=int)
    parser.add_argument("--name", default="")
    given = parser.parse_args(arguments)
    try:
        return asyncio.run(work(given.host, given.port, name=given.name, connect_s=60.0, lifeline=given.lifeline))
    except TracerBulletError as error:
        sys.stderr.write(f"{error}\n")  # its fleet reads this when it dies
        return error.exit_code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
