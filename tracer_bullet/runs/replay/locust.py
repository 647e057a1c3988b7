"""A replay as a worker of an unmodified Locust master: it says when, shows the figures, and spreads the shards."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass

from tracer_bullet.engine.locust_worker import LocustWorker
from tracer_bullet.errors import UnreachableError, UsageError
from tracer_bullet.model import RunEvent
from tracer_bullet.model.arrival import Endpoint
from tracer_bullet.model.replay import StopEvent
from tracer_bullet.model.shots import KeptAnswer, ShotBatch
from tracer_bullet.runs.replay.feed import Flying
from tracer_bullet.runs.replay.job import ReplayJob, Shard
from tracer_bullet.runs.replay.recipe import Outside, replay
from tracer_bullet.runs.sources import open_source
from tracer_bullet.traces import Receiver, TraceSource


@dataclass(frozen=True, slots=True, kw_only=True)
class Master:
    """Where Locust's master is, and into how many parts the sessions are divided."""

    host: str
    port: int
    shards: int


async def replay_for(
    master: Master, prepare: Callable[[Shard], ReplayJob], reasons: Sequence[Callable[[], StopEvent | None]] = ()
) -> AsyncIterator[RunEvent]:
    """Replay a shard each time the master starts a test; end with the master, or with a headless one's test.

    Each test is a run of its own, with a run folder. `reasons`: further ones to stop. Raises UnreachableError TB960,
    TB401, UsageError TB989.
    """
    # Before the master counts on this worker: two on one machine cannot listen on one port.
    source = await open_source(prepare(Shard()).traces)
    try:
        async for event in _replay_for(master, prepare, source, reasons):
            yield event
    finally:
        await source.close()


async def _replay_for(
    master: Master,
    prepare: Callable[[Shard], ReplayJob],
    source: TraceSource,
    reasons: Sequence[Callable[[], StopEvent | None]],
) -> AsyncIterator[RunEvent]:
    ran = False
    async with LocustWorker(master.host, master.port) as worker:
        while (started := await worker.wait_for_start()) is not None:
            if started.index >= master.shards:
                raise UsageError(
                    "TB989",
                    f"this is worker {started.index + 1}, and there are {master.shards} shards",
                    cure="give --shards, on every worker, the number of workers",
                )
            job = prepare(Shard(index=started.index, count=master.shards))
            outside = Outside(
                listeners=lambda endpoints: (_Told(worker, endpoints),), reasons=(_stopping(worker), *reasons)
            )
            if isinstance(source, Receiver):
                source.keep_share(1.0)  # an earlier test may have held a share
            async for event in replay(job, source, outside=outside):
                yield event
            ran = True
            await worker.finish()
            if started.headless:
                break
    if not ran:
        raise UnreachableError(
            "TB990",
            "the Locust master ended before it started a test",
            where=f"{master.host}:{master.port}",
            cure="start the test on its page, with users of the class Replay, or headless with -u and -r",
        )


@dataclass
class _Told:
    """Tells the master of every shot."""

    worker: LocustWorker
    endpoints: Sequence[Endpoint]

    def shots(self, batch: ShotBatch, flights: Sequence[Flying]) -> None:  # noqa: ARG002
        """See Listener."""
        self.worker.record(batch, self.endpoints)

    def answer(self, flying: Flying, kept: KeptAnswer) -> None:
        """See Listener."""


def _stopping(worker: LocustWorker) -> Callable[[], StopEvent | None]:
    def look() -> StopEvent | None:
        if not worker.stopping.is_set():
            return None
        return StopEvent(reason="locust", detail="the Locust master stopped the test", after_s=0.0)

    return look
