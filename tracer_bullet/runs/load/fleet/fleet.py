"""Senders in other processes and on other hosts, under a real Locust master. docs/distribution.md tells people.

Nothing here waits without an end: members beat, and so does the master's process; whoever falls silent is lost, its
share moves, and what it would have sent is counted from the schedule. Posture: fail closed. A member that is taken for
lost is told so, and never trusted with a share again.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from typing import Any, Final, Self

from tracer_bullet.errors import UnreachableError
from tracer_bullet.load.locust import frames
from tracer_bullet.model.load import SenderEvent, SenderJob, SenderResult
from tracer_bullet.model.replay import StopEvent
from tracer_bullet.runs.load.fleet.crew import Crew
from tracer_bullet.runs.load.fleet.losses import span_ns_of
from tracer_bullet.runs.load.fleet.packing import pack_job
from tracer_bullet.runs.load.fleet.process import MasterProcess
from tracer_bullet.runs.load.fleet.roll import Roll

_NS: Final = 1_000_000_000
# From the job to its first request: workers compile it and start an engine meanwhile.
_LEAD_NS: Final = 5 * _NS
_LOCAL_LEAD_NS: Final = 5 * _NS // 2
_NEAREST_NS: Final = _NS
_TABLE_S: Final = 5.0
_BYE_S: Final = 3.0
_LOCAL_JOIN_S: Final = 60.0
_END_S: Final = 15.0
# What is this late is not sent: a worker that stood still must not send what is another's by now.
_STALE_S: Final = 2.5
_AHEAD_S: Final = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetOptions:
    """`local`: so many workers are started here. `expected`: so many come from elsewhere, within `join_s`.

    `host`, `port` (0: any free one): where the master listens. `web_port`: of Locust's page, None for none.
    `lateness_ms`: past this at p99 a worker is named for being late by itself.
    """

    local: int = 0
    expected: int = 0
    host: str = "127.0.0.1"
    port: int = 0
    web_host: str = "127.0.0.1"
    web_port: int | None = None
    join_s: float = 60.0
    lateness_ms: float = 10.0


class Fleet:
    """Senders like `Alone`, as an asynchronous context manager: inside, all workers have joined.

    `stopped`: why the run is over before its time, by the page's Stop or the master's death. `results`: how each sender
    did, and what of its share is not accounted for. `table`, `errors`: Locust's own statistics of the last job
    (tracer_bullet.load.locust.master). `start_ns`: when the job began, by this host's clock; `lead_ns`: how far ahead a
    job's start should be.
    """

    def __init__(self, options: FleetOptions) -> None:
        self._options = options
        self._stack = AsyncExitStack()
        self._master = MasterProcess(
            host=options.host, port=options.port, web_host=options.web_host, web_port=options.web_port
        )
        self._roll = Roll(self._master, self._emit, time.time_ns, waits=options.expected > 0)
        self._crew: Crew | None = None
        self._out: asyncio.Queue[SenderEvent | None] = asyncio.Queue()
        self._changed = asyncio.Event()
        self._table_came = asyncio.Event()
        self._silent_beats = 0
        self._gone = ""
        self.lead_ns = _LEAD_NS if options.expected else _LOCAL_LEAD_NS
        self.start_ns = 0
        self.stopped = ""
        self.table: list[dict[str, Any]] = []
        self.errors: list[dict[str, Any]] = []

    async def __aenter__(self) -> Self:
        """Start the master and the workers, and wait for all. Raises UnreachableError TB1040, TB1041."""
        options = self._options
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(self._master)
            if options.local:
                here = "127.0.0.1" if options.host in ("*", "0.0.0.0") else options.host  # noqa: S104
                self._crew = Crew(options.local, here, self._master.port)
                stack.push_async_callback(self._crew.close)
            for work in (self._hear(), self._beat()):
                stack.push_async_callback(_cancel, asyncio.create_task(work))
            await self._all_joined()
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        """Tell everybody that it is over, and end the processes."""
        self._roll.bye()
        async with self._stack:
            with contextlib.suppress(TimeoutError):
                await self._until(lambda: not self._roll.here, _BYE_S)
            self._master.send(frames.END)

    @property
    def port(self) -> int:
        """Where workers find the master."""
        return self._master.port

    @property
    def web_port(self) -> int:
        """Of Locust's page; 0: there is none."""
        return self._master.web_port

    @property
    def results(self) -> tuple[SenderResult, ...]:
        """How each sender did in the last job, those that were lost included."""
        return tuple(member.result(self._options.lateness_ms) for member in self._roll.members if member.state != "new")

    def look(self) -> StopEvent | None:
        """Why the run should end: the page's Stop, or the master's death."""
        return StopEvent(reason="locust", detail=self.stopped, after_s=0.0) if self.stopped else None

    async def run(self, job: SenderJob) -> AsyncIterator[SenderEvent]:
        """Send all of a job; may be called again, with another one. Ends, whoever dies or freezes: what was lost is in
        the events and in `results`. A start that is too near is put off: `start_ns` has the one that counts."""
        packed = await asyncio.to_thread(pack_job, replace(job, engine=_careful(job.engine)))
        now = time.time_ns()
        self.start_ns = job.start_ns if job.start_ns >= now + _NEAREST_NS else now + self.lead_ns
        job = replace(job, start_ns=self.start_ns)
        self.table, self.errors, self._out = [], [], asyncio.Queue()
        self._master.send(frames.RUNNING, job.base_url)
        linger_s = float(str(job.engine.get("total_s", 60.0)))
        self._roll.begin(job, packed, span_ns=span_ns_of(job), linger_s=linger_s)
        if self._gone:
            self._roll.end(self._gone)
        over = False
        try:
            while (event := await self._out.get()) is not None:
                yield event
            over = True
        finally:
            if not over:
                await self._break_off()
            await self._ask_table()
            self._master.send(frames.IDLE)

    def stop(self) -> None:
        """End within seconds. What was not sent is told as such; who does not end is lost."""
        self._roll.stop()

    # The master's process

    async def _hear(self) -> None:
        async for kind, *members in self._master.frames():
            self._silent_beats = 0
            self._handle(kind, members)
            self._changed.set()
        self._lose_master("its process ended")

    def _handle(self, kind: str, members: list[Any]) -> None:
        match kind, members:
            case frames.MESSAGE, [client, what, data]:
                self._roll.message(client, what, data)
            case frames.JOINED, [client]:
                self._roll.joined(client)
            case frames.LEFT, [client]:
                self._roll.left(client)
            case frames.MISSING, [client]:
                self._roll.missing(client)
            case frames.STOP, []:
                self.stopped = self.stopped or "the Stop button of Locust's page"
                self.stop()
            case frames.TABLE, [rows, errors]:
                self.table, self.errors = rows, errors
                self._table_came.set()
            case frames.FAILED, [why]:
                self._lose_master(str(why))
            case _:
                pass

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(frames.BEAT_S)
            self._master.send(frames.BEAT)
            self._silent_beats += 1
            if self._silent_beats > frames.SILENT_BEATS and not self._gone:
                self._lose_master(f"it was silent for {frames.SILENT_BEATS * frames.BEAT_S:g} s")
                self._master.kill()
            for name, how in self._crew.ended() if self._crew is not None else ():
                self._roll.died(name, how)
            self._roll.beat()
            self._changed.set()

    def _lose_master(self, why: str) -> None:
        if self._gone:
            return
        self._gone = f"the Locust master is gone: {why}"
        self.stopped = self.stopped or self._gone
        self._roll.end(self._gone)
        self._changed.set()

    def _emit(self, event: SenderEvent | None) -> None:
        self._out.put_nowait(event)

    # Waiting

    async def _until(self, true: Callable[[], bool], timeout_s: float) -> None:
        async with asyncio.timeout(timeout_s):
            while not true():
                self._changed.clear()
                await self._changed.wait()

    async def _all_joined(self) -> None:
        wanted = self._options.local + self._options.expected
        join_s = self._options.join_s if self._options.expected else _LOCAL_JOIN_S
        roll = self._roll
        with contextlib.suppress(TimeoutError):
            await self._until(lambda: len(roll.here) >= wanted or bool(self._gone or roll.refused), join_s)
        if len(roll.here) >= wanted:
            return
        why = self._gone or "; ".join(roll.refused) or f"it waited {join_s:g} s"
        raise UnreachableError(
            "TB1041",
            f"{len(roll.here)} of {wanted} workers joined",
            where=f"{self._options.host}:{self.port}",
            why=why,
            cure="start `tracer-bullet load --worker --master-host … --master-port …` on each, of the same version",
        )

    async def _break_off(self) -> None:
        """Whoever listened has left: nobody may go on sending."""
        self.stop()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_END_S):
                while await self._out.get() is not None:
                    pass

    async def _ask_table(self) -> None:
        if self._gone:
            return
        self._table_came.clear()
        self._master.send(frames.ASK_TABLE)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._table_came.wait(), _TABLE_S)


def _careful(engine: Mapping[str, object]) -> dict[str, object]:
    """Engine settings under which a share can move: little is handed over ahead, and what is late is let go."""
    ahead, stale = (
        float(str(engine.get(name) or most)) for name, most in (("ahead_s", _AHEAD_S), ("stale_s", _STALE_S))
    )
    return {**engine, "ahead_s": min(ahead, _AHEAD_S), "stale_s": min(stale, _STALE_S)}


async def _cancel(task: asyncio.Task[None]) -> None:
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
