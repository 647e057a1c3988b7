"""One pass of senders: their events are counted and audited, and it is asked all the while whether to stop."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Any, Protocol

from tracer_bullet.model.arrival import Endpoint
from tracer_bullet.model.load import (
    SenderChange,
    SenderEvent,
    SenderFailures,
    SenderJob,
    SenderNote,
    SenderResult,
    SenderShots,
    StepKey,
)
from tracer_bullet.model.replay import StopEvent
from tracer_bullet.model.shots import ShotBatch
from tracer_bullet.runs.load.collector import Collector
from tracer_bullet.runs.load.failures import Failures
from tracer_bullet.runs.load.figures import LoadFigures
from tracer_bullet.runs.replay.parts import ShotParts

# How often is looked whether there is a reason to stop; a stop takes effect within a second.
_LOOK_S = 0.1
Reason = Callable[[], StopEvent | None]


class Senders(Protocol):
    """Who sends: one in this process, or a fleet. `lead_ns`: how far ahead a job's start should be."""

    lead_ns: int

    @property
    def results(self) -> tuple[SenderResult, ...]:
        """How each did in the last job, where they know better than the shots tell."""
        ...

    @property
    def table(self) -> Sequence[Mapping[str, Any]]:
        """What Locust's master counted, where there is one (load.locust.master)."""
        ...

    def look(self) -> StopEvent | None:
        """Why the run should end, as far as they know."""
        ...

    def run(self, job: SenderJob) -> AsyncIterator[SenderEvent]:
        """Send a job; may be called again, with another one, when it has ended."""
        ...

    def stop(self) -> None:
        """End within seconds. What was not sent is told as such."""
        ...


OpenSenders = Callable[[], AbstractAsyncContextManager[Senders]]


@dataclass
class Sending:
    """A pass. `heard` and `trial` are told of all shots, `measured` of those that are no warm-up; `changes` are those
    of senders; `stop` says why it ended before its time."""

    senders: Senders
    steps: Sequence[StepKey]
    figures: LoadFigures
    failures: Failures
    collector: Collector
    parts: ShotParts
    measured: Callable[[ShotBatch], object] = lambda _: None
    heard: Callable[[ShotBatch], object] = lambda _: None
    trial: Callable[[int, ShotBatch], object] = lambda *_: None
    reasons: Sequence[Reason] = ()
    stop: StopEvent | None = None
    changes: list[SenderChange] = field(default_factory=list)

    async def run(self, job: SenderJob) -> AsyncIterator[int]:
        """Send; yield how many shots have come back, whenever some have. Raises what the senders raise."""
        watcher = asyncio.create_task(self._watch())
        done = 0
        try:
            async for event in self.senders.run(job):
                done += self._hear(event)
                yield done
        finally:
            watcher.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await watcher
            self.collector.finish()
            self.parts.flush()

    def _hear(self, event: SenderEvent) -> int:
        match event:
            case SenderShots():
                self.parts.add(event.batch)
                self.collector.shots(event.batch)
                self.measured(self.figures.shots(event.sender, event.batch))
                self.heard(event.batch)
                self.trial(event.sender, event.batch)
                return len(event.batch)
            case SenderNote():
                self.figures.note(event, int(time.time()))
                if event.engine.disabled and self.stop is None:
                    detail = "a service answers that bullets are disabled"
                    self.stop = StopEvent(reason="kill-switch", detail=detail, after_s=0.0)
                    self.senders.stop()
            case SenderFailures():
                self.failures.add(event)
            case SenderChange():
                self.changes.append(event)
        return 0

    async def _watch(self) -> None:
        try:
            while self.stop is None:
                self.stop = next(
                    (event for reason in (*self.reasons, self.senders.look) if (event := reason()) is not None), None
                )
                if self.stop is None:
                    await asyncio.sleep(_LOOK_S)
            self.senders.stop()
        except asyncio.CancelledError:  # the pass has ended
            raise
        except BaseException:  # nothing is sent that is not watched
            self.senders.stop()
            raise


def endpoints_of(steps: Sequence[StepKey]) -> list[Endpoint]:
    """As the shots on disk name them."""
    return [Endpoint(number=n, method=step.method, name=step.name) for n, step in enumerate(steps)]
