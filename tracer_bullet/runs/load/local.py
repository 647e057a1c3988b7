"""A sender in this process: its share of the plan, an engine of its own, the checks of what is answered."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from dataclasses import fields, replace
from typing import Any, Self

from tracer_bullet.engine import EngineProcess, EngineSettings
from tracer_bullet.engine.process import EngineError
from tracer_bullet.load.checks import Checker
from tracer_bullet.load.planner import Planner
from tracer_bullet.load.share import Share
from tracer_bullet.model.arrival import Arrival
from tracer_bullet.model.load import (
    SenderChange,
    SenderEvent,
    SenderFailures,
    SenderJob,
    SenderNote,
    SenderResult,
    SenderShots,
)
from tracer_bullet.model.replay import StopEvent
from tracer_bullet.model.shots import EngineNote, KeptAnswer, ShotBatch

Pulled = Iterable[list[Arrival]]

_FIELDS = {field.name for field in fields(EngineSettings)}


class LocalSender:
    """Sends what `share` owns of a job's iterations. `sender` is its number in what it tells.

    What the planner could not hand over in time comes back as shots too, so that all that was planned is told of.
    `wrap` may look at what the engine pulls on its way, in the engine's thread.
    """

    def __init__(
        self, job: SenderJob, *, sender: int = 0, share: Share | None = None, wrap: Callable[[Pulled], Pulled] = iter
    ) -> None:
        self._job = job
        self._wrap = wrap
        self._sender = sender
        self.share = share or Share(job.shards, range(job.shards))
        self.planner = Planner(job, self.share)
        self._checker = Checker(self.planner.scripts, self.planner.row_of)
        self._engine: EngineProcess | None = None
        self._stopped = False
        self._seen = (time.monotonic(), time.process_time())

    async def run(self) -> AsyncIterator[SenderEvent]:
        """Send until the plan is over or `stop` is called. Raises EngineError (TB95x) when its engine dies."""
        async with EngineProcess(engine_settings(self._job)) as engine:
            for origin in self.planner.origins:
                engine.define(origin)
            for endpoint in self.planner.endpoints:
                engine.define(endpoint)
            self._engine = engine
            try:
                if self._stopped:
                    self.planner.stop()
                async for result in engine.run(self._wrap(self.planner), self._job.start_ns):
                    for event in self._events(result):
                        yield event
                for event in self._missed():
                    yield event
                yield SenderChange(sender=self._sender, what="finished")
            finally:
                self._engine = None
                self.planner.stop()  # its thread may wait for users that never come back

    @property
    def engine_pid(self) -> int:
        """Of the engine's process while it runs; 0: there is none."""
        return self._engine.pid if self._engine is not None else 0

    def stop(self) -> None:
        """End within a second; what was not sent is told as such."""
        self._stopped = True
        self.planner.stop()
        if self._engine is not None:
            self._engine.stop()

    def _events(self, result: ShotBatch | list[KeptAnswer] | EngineNote) -> Iterable[SenderEvent]:
        if isinstance(result, ShotBatch):
            yield from self._shots(result)
        elif isinstance(result, EngineNote):
            yield from self._missed()
            yield self._note(result)
        else:
            for kept in result:
                self._checker.answer(kept)

    def _shots(self, batch: ShotBatch) -> Iterable[SenderEvent]:
        batch, failures = self._checker.shots(batch)
        self.planner.came_back(batch)
        yield SenderShots(sender=self._sender, batch=batch)
        if failures:
            yield SenderFailures(sender=self._sender, failures=tuple(failures))

    def _missed(self) -> Iterable[SenderEvent]:
        missed = self.planner.missed()
        if missed is not None:
            yield SenderShots(sender=self._sender, batch=missed)

    def _note(self, note: EngineNote) -> SenderNote:
        before, self._seen = self._seen, (time.monotonic(), time.process_time())
        wall_s = max(self._seen[0] - before[0], 1e-9)
        return SenderNote(
            sender=self._sender,
            engine=note,
            planned=self.planner.planned,
            iterations=self.planner.iterations,
            users=self.planner.users,
            cpu=(self._seen[1] - before[1]) / wall_s,
        )


class Alone:
    """The one sender of a run without a fleet; has the interface of `Fleet`."""

    lead_ns = 700_000_000
    results: tuple[SenderResult, ...] = ()
    table: tuple[Mapping[str, Any], ...] = ()

    def __init__(self) -> None:
        self._sender: LocalSender | None = None
        self._stopped = False

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.stop()

    async def run(self, job: SenderJob) -> AsyncIterator[SenderEvent]:
        """Send all of a job; may be called again, with another one. An engine that dies is a sender that was lost: what
        it had is told as such, and the run is judged."""
        sender = self._sender = LocalSender(replace(job, shards=1))
        if self._stopped:
            sender.stop()
        try:
            async for event in sender.run():
                yield event
        except EngineError as error:
            yield SenderChange(sender=0, what="lost", detail=str(error))

    def look(self) -> StopEvent | None:
        """Nothing of its own is a reason to stop."""
        return None

    def stop(self) -> None:
        """End within a second."""
        self._stopped = True
        if self._sender is not None:
            self._sender.stop()


def engine_settings(job: SenderJob) -> EngineSettings:
    """A job's engine settings, also after they were JSON, which has no tuples."""
    given: dict[str, Any] = {name: value for name, value in job.engine.items() if name in _FIELDS}
    given["flag_lines"] = tuple(given.get("flag_lines", ()))
    return EngineSettings(**given)
