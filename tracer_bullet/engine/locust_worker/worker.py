"""A Locust worker on asyncio: it is told when to replay, and tells what came of it (locust/runners.py, as of 2.47)."""

from __future__ import annotations

import asyncio
import resource
import socket
import sys
import time
import uuid
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final, Self

from tracer_bullet.engine.locust_worker.deltas import Deltas, Endpoints
from tracer_bullet.engine.locust_worker.exact import KEY
from tracer_bullet.engine.locust_worker.messages import Message, spawn_job
from tracer_bullet.engine.locust_worker.wire import BEAT, Link
from tracer_bullet.errors import UnreachableError
from tracer_bullet.model.shots import ShotBatch

# client_ready's data that asks the master not to compare versions.
_ANY_VERSION: Final = -1
_HEARTBEAT_S: Final = 1.0
_REPORT_S: Final = 3.0
_ACK_S: Final = 5.0
Usage = Callable[[], tuple[float, int]]
OnMessage = Callable[[str, Any], Awaitable[None] | None]
CUSTOM: Final = "tb_"


@dataclass(frozen=True, slots=True, kw_only=True)
class Started:
    """The master wants the replay. `index` counts its workers from 0, and stays a worker's own as long as the master
    lives; `host` is what the master's `--host` or page says, empty when nothing; `headless`: it has no page, and ends
    when its last worker has left."""

    index: int
    users: int
    host: str
    headless: bool


class LocustWorker:
    """One worker. Use as `async with`: entering waits for the master's word, leaving says `quit`.

        async with LocustWorker("127.0.0.1", 5557) as worker:
            while (started := await worker.wait_for_start()) is not None:
                ...  # replay shard `started.index`; worker.record(batch, endpoints); end when worker.stopping is set
                await worker.finish()
                if started.headless:
                    break

    `stopping` is set when the replay has to end: the master said stop or quit, wants no users of our class any more, or
    was silent for `silence_s`. `gone` then says whether it is worth waiting for another start: `quit`, `silent` or
    empty. `connect_s` bounds the waiting for the master when entering (TB960). `usage` gives CPU in per cent and memory
    in bytes for the master's page.

    Silence is a gap of `silence_s` between two messages: also one that is found only afterwards, since this process
    stood still. `on_gone` is called with the word of `gone` in the moment in which it is set, once, on the loop.

    `on_message` is called with kind and data of each custom message (kinds that begin with `tb_`), in their order, and
    awaited if it is a coroutine function; meanwhile everything else goes on. What it raises ends the worker, and is
    raised when that is left. Data may hold bytes. A large message is read in one go, and no other is heard while it
    comes: cut what takes the network more than a second.
    """

    def __init__(
        self,
        host: str,
        port: int,
        *,
        user_class: str = "Replay",
        node_id: str | None = None,
        connect_s: float = 300.0,
        silence_s: float = 60.0,
        failing_status: int = 400,
        clock: Callable[[], float] = time.time,
        usage: Usage | None = None,
        on_message: OnMessage | None = None,
        on_gone: Callable[[str], None] | None = None,
    ) -> None:
        self.node_id = node_id or f"{socket.gethostname()}_{uuid.uuid4().hex}"
        self.stopping = asyncio.Event()
        self.gone = ""
        self.index = -1
        self._where = f"{host}:{port}"
        self._link = Link(host, port, self.node_id)
        self._user_class = user_class
        self._connect_s = connect_s
        self._silence_s = silence_s
        self._failing_status = failing_status
        self._clock = clock
        self._usage = usage or _own_usage()
        self._on_message = on_message
        self._on_gone = on_gone
        self._inbox: asyncio.Queue[Message] = asyncio.Queue()
        self._deltas = self._fresh()
        self._reporting = asyncio.Lock()
        self._tasks: list[asyncio.Task[None]] = []
        self._acknowledged = asyncio.Event()
        self._changed = asyncio.Event()
        self._heard_at = 0.0
        self._state = "ready"
        self._users = 0
        self._last_spawn = 0.0
        self._job: Started | None = None  # asked for, and not yet taken
        self._replaying = False
        self._stop_asked = False
        self._over = False  # this test's replay is done: further spawns are only the master's rebalancing

    async def __aenter__(self) -> Self:
        await self._link.open()
        self._start(self._receive())
        self._start(self._deliver())
        try:
            await asyncio.wait_for(self._announce(), self._connect_s)
        except BaseException as error:
            await self._close()
            if not isinstance(error, TimeoutError):
                raise
            raise UnreachableError(
                "TB960",
                "no Locust master answers",
                where=self._where,
                why=f"it did not acknowledge this worker within {self._connect_s:g} s",
                cure="start it first (`locust --master`, `tracer-bullet load x.yaml --master`), and give its bind port",
            ) from None
        self._start(self._beat())
        self._start(self._listen_for_silence())
        self._start(self._report_on_and_on())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if self.gone != "silent":
                await self._report()
                await self._link.send("quit")
        finally:
            await self._close()

    async def wait_for_start(self) -> Started | None:
        """The next start of a test that has users of our class; None when the master is gone."""
        while True:
            if self.gone:
                return None
            if self._job is not None:
                job, self._job = self._job, None
                return job
            self._changed.clear()
            await self._changed.wait()

    def record(self, batch: ShotBatch, endpoints: Endpoints) -> None:
        """Count a batch into the next report. `endpoints` maps an endpoint's number to it, and may grow."""
        self._deltas.record(batch, endpoints)

    async def send(self, kind: str, data: Any = None) -> bool:
        """Send a custom message, whose kind begins with `tb_`; `data` is whatever msgpack can carry, bytes too.

        Waits while the link's queue is full. False when the master is gone, and it was not sent. Raises ValueError for
        another kind.
        """
        if not kind.startswith(CUSTOM):
            raise ValueError(f"the kind of a custom message begins with {CUSTOM}: {kind!r}")
        return await self._link.send_surely(kind, data, lambda: self.gone == "silent")

    async def report_exception(self, message: str, trace: str = "") -> None:
        """Show an error on the master's page of exceptions."""
        await self._link.send("exception", {"msg": message, "traceback": trace})

    async def finish(self) -> None:
        """The replay is over, and all that came back is recorded: send the rest, and be ready again if told to stop.

        A replay that ended by itself leaves the worker with 0 users until the master stops the test.
        """
        self._replaying = False
        self._over = True
        self._users = 0
        await self._report()
        if self._stop_asked and not self.gone:
            await self._be_ready_again()

    async def _receive(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            message = await self._link.receive()
            before, self._heard_at = self._heard_at, loop.time()
            if before and self._heard_at - before > self._silence_s:
                self._leave("silent")
            if message is not None:
                await self._handle(message)

    async def _handle(self, message: Message) -> None:
        match message.kind:
            case "ack":
                index = message.data.get("index") if isinstance(message.data, dict) else None
                self.index = index if isinstance(index, int) else self.index
                self._acknowledged.set()
            case "spawn":
                await self._spawn(message.data)
            case "stop":
                await self._stop()
            case "quit":
                self._leave("quit")
                # The master waits half a second for the last figures.
                await self._report(figures_first=True)
            case "reconnect":
                await self._link.reopen()
            case kind if kind.startswith(CUSTOM):
                self._inbox.put_nowait(message)
            case _:  # heartbeat, spawning_complete, and what concerns Locust's own users only
                pass

    async def _deliver(self) -> None:
        while True:
            message = await self._inbox.get()
            if self._on_message is not None:
                result = self._on_message(message.kind, message.data)
                if result is not None:
                    await result

    async def _spawn(self, data: Any) -> None:
        job = spawn_job(data, self._user_class)
        if job is None or job.timestamp <= self._last_spawn or self._stop_asked or self.gone:
            return
        self._last_spawn = job.timestamp
        await self._link.send("spawning")
        self._users = 0 if self._over else job.users
        if self._users and not self._replaying:
            self._replaying = True
            self.stopping.clear()
            self._deltas = self._fresh()
            options = data.get("parsed_options")
            headless = bool(options.get("headless")) if isinstance(options, dict) else False
            self._job = Started(index=self.index, users=job.users, host=job.host, headless=headless)
            self._changed.set()
        elif not self._users and self._replaying:
            self._end_replay()
        self._state = "running"
        await self._link.send("spawning_complete", self._user_counts())

    async def _stop(self) -> None:
        self._stop_asked = True
        self._state = "stopping"
        self._end_replay()
        if not self._replaying:
            await self._be_ready_again()

    def _end_replay(self) -> None:
        self.stopping.set()
        if self._job is not None:  # nobody has begun with it
            self._job = None
            self._replaying = False

    async def _be_ready_again(self) -> None:
        # After client_stopped the master forgets this worker, until it is ready again.
        self._users = 0
        self._stop_asked = self._over = False
        await self._link.send("client_stopped")
        self._state = "ready"
        self._acknowledged.clear()
        self._start(self._announce())

    def _leave(self, why: str) -> None:
        if not self.gone:
            self.gone = why
            if self._on_gone is not None:
                self._on_gone(why)
        self._end_replay()
        self._changed.set()

    async def _announce(self) -> None:
        """Say that this worker is ready, again and again until the master has heard it."""
        while not self._acknowledged.is_set():
            await self._link.send("client_ready", _ANY_VERSION)
            try:
                await asyncio.wait_for(self._acknowledged.wait(), _ACK_S)
            except TimeoutError:
                continue

    async def _beat(self) -> None:
        while not self.gone:
            cpu, memory = self._usage()
            beat = {"state": self._state, "current_cpu_usage": cpu, "current_memory_usage": memory}
            await self._link.send(BEAT, beat)
            await asyncio.sleep(min(_HEARTBEAT_S, self._silence_s / 4))

    async def _listen_for_silence(self) -> None:
        loop = asyncio.get_running_loop()
        while not self.gone:
            left = self._heard_at + self._silence_s - loop.time()
            if left > 0:
                await asyncio.sleep(left)
            else:
                self._leave("silent")

    async def _report_on_and_on(self) -> None:
        while not self.gone:
            await asyncio.sleep(_REPORT_S)
            await self._report()

    async def _report(self, *, figures_first: bool = False) -> None:
        """Send what was counted since the last report. Packing may take a while, so it is done in a thread."""
        async with self._reporting:
            deltas, self._deltas = self._deltas, self._fresh()
            data = await asyncio.to_thread(deltas.report, self._clock())
            if figures_first:
                await self._link.send("stats", data | self._user_counts())
                data = Deltas(self._clock()).report(self._clock())
            data[KEY] = await asyncio.to_thread(deltas.histograms)
            await self._link.send("stats", data | self._user_counts())

    def _user_counts(self) -> dict[str, Any]:
        return {"user_classes_count": {self._user_class: self._users}, "user_count": self._users}

    def _fresh(self) -> Deltas:
        return Deltas(self._clock(), failing_status=self._failing_status)

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks = [t for t in self._tasks if not t.done() or t.cancelled() or t.exception()]
        self._tasks.append(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and task.exception() is not None:
            self._leave("failed")

    async def _close(self) -> None:
        for task in self._tasks:
            task.cancel()
        results = await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._link.close(heard=self.index >= 0 and self.gone != "silent")
        for result in results:
            if isinstance(result, Exception):
                raise result


def _own_usage() -> Usage:
    """CPU (per cent of a core, since the last call) and peak memory (bytes) of this process."""
    seen = (time.monotonic(), time.process_time())

    def usage() -> tuple[float, int]:
        nonlocal seen
        before, seen = seen, (time.monotonic(), time.process_time())
        cpu = 100 * (seen[1] - before[1]) / max(seen[0] - before[0], 1e-9)
        unit = 1 if sys.platform == "darwin" else 1024
        return round(cpu, 1), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit

    return usage
