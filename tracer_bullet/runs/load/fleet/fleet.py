"""Senders in other processes and on other hosts, under a real Locust master. docs/distribution.md tells people.

Nothing here waits without an end: members beat, and so does the master's process; whoever falls silent is lost, its
share moves, and what it would have sent is counted from the schedule. Posture: fail closed. A member that is taken for
lost is told so, and never trusted with a share again.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from typing import Any, Final, Self

from tracer_bullet import __version__
from tracer_bullet.errors import ExitCode, TracerBulletError, UnreachableError
from tracer_bullet.load.locust import frames
from tracer_bullet.model.load import SenderChange, SenderEvent, SenderJob, SenderNote, SenderResult, SenderShots
from tracer_bullet.model.replay import StopEvent
from tracer_bullet.runs.load.fleet.clocks import RoundTrip
from tracer_bullet.runs.load.fleet.crew import Crew, crew
from tracer_bullet.runs.load.fleet.duties import Duties, shards_for
from tracer_bullet.runs.load.fleet.losses import unaccounted
from tracer_bullet.runs.load.fleet.member import Member
from tracer_bullet.runs.load.fleet.packing import moved, pack_job, read_events
from tracer_bullet.runs.load.fleet.process import MasterProcess

_NS: Final = 1_000_000_000
# Between a loss being noticed (4 to 6 s after the last sign of life) and the first iteration of whoever takes over. The
# lost one has stopped by then: by itself 3 s after it heard the master last, or with what its engine holds.
_MARGIN_NS: Final = 2 * _NS
# A start that is nearer leaves no time to get ready for it.
_NEAREST_NS: Final = 2 * _NS
_SILENT: Final = 12  # beats: 6 s
_STOPPING: Final = 20  # beats: 10 s
_REJOIN: Final = 30  # beats: 15 s without anybody who sends
_LINGER: Final = 60  # beats: 30 s after the schedule's end without a shot
_TABLE_S: Final = 5.0
_BYE_S: Final = 3.0
# Half a round trip beyond which a host's clock is not known well enough.
_CLOCK_NS: Final = 250_000_000


class FleetError(TracerBulletError):
    """The fleet cannot do the job."""

    exit_code = ExitCode.INCONCLUSIVE


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
    (tracer_bullet.load.locust.master). `start_ns`: when the job began, by this host's clock.
    """

    lead_ns = 5 * _NS
    """How far ahead a job's start should be."""

    def __init__(self, options: FleetOptions) -> None:
        self._options = options
        self._stack = AsyncExitStack()
        self._master: MasterProcess
        self._crew: Crew | None = None
        self._members: dict[str, Member] = {}
        self._joined = asyncio.Event()
        self._table_came = asyncio.Event()
        self._duties = Duties(0)
        self._job: SenderJob | None = None
        self._epoch = 0
        self._out: asyncio.Queue[SenderEvent | None] = asyncio.Queue()
        self._packed = b""
        self._silent_master = self._alone = self._waning = self._stopping = 0
        self._stop_asked = False
        self._span_ns = 0
        self._past: list[Member] = []
        self.start_ns = 0
        self.stopped = ""
        self.table: list[dict[str, Any]] = []
        self.errors: list[dict[str, Any]] = []

    async def __aenter__(self) -> Self:
        """Start the master and the workers, and wait for all. Raises UnreachableError TB1040, TB1041."""
        options = self._options
        try:
            self._master = await self._stack.enter_async_context(
                MasterProcess(
                    host=options.host, port=options.port, web_host=options.web_host, web_port=options.web_port
                )
            )
            if options.local:
                here = "127.0.0.1" if options.host in ("*", "0.0.0.0", "::", "") else options.host  # noqa: S104
                self._crew = await self._stack.enter_async_context(crew(options.local, here, self._master.port))
            for work in (self._hear(), self._beat()):
                self._stack.push_async_callback(_cancel, asyncio.create_task(work))
            await self._all_joined()
        except BaseException:
            await self._stack.aclose()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        """Tell everybody that it is over, and end the processes."""
        self._tell(None, frames.BYE, {})
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_BYE_S):
                while not self.stopped and any(m.state not in ("lost", "left") for m in self._members.values()):
                    await asyncio.sleep(0.02)
        self._master.send(frames.END)
        await self._stack.aclose()

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
        members = sorted({id(m): m for m in (*self._past, *self._members.values())}.values(), key=lambda m: m.number)
        return tuple(m.result(self._options.lateness_ms) for m in members if m.ready or m.lost)

    def look(self) -> StopEvent | None:
        """Why the run should end: the page's Stop, or the master's death."""
        return StopEvent(reason="locust", detail=self.stopped, after_s=0.0) if self.stopped else None
