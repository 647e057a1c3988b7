"""A capturing proxy in the background of a test."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from tests.servers.envoy import EnvoyUnavailableError, envoy_binary
from tracer_bullet.capture.proxy import ProxyEnded, ProxyEvent, ProxyReady, ProxySpec, parse_target, run_proxy
from tracer_bullet.model.exchange import Exchange

WAIT_S = 60.0  # of nothing that goes well


@dataclass
class Running:
    """`kept` grows as exchanges are recorded; `events` has all that was told."""

    take: Callable[[Exchange], bool] | None = None
    kept: list[Exchange] = field(default_factory=list)
    events: list[ProxyEvent] = field(default_factory=list)
    stop: asyncio.Event = field(default_factory=asyncio.Event)
    task: asyncio.Task[None] | None = None
    changed: asyncio.Condition = field(default_factory=asyncio.Condition)

    @property
    def ready(self) -> ProxyReady:
        found = self.events[0]
        assert isinstance(found, ProxyReady)
        return found

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.ready.port}"

    async def until(self, is_so: Callable[[], bool]) -> None:
        """Until it is so; events come at least each tenth of a second."""
        async with asyncio.timeout(WAIT_S), self.changed:
            await self.changed.wait_for(is_so)

    async def end(self) -> ProxyEnded:
        """Ask it to stop; its last event."""
        self.stop.set()
        return await self.ended()

    async def ended(self) -> ProxyEnded:
        assert self.task is not None
        async with asyncio.timeout(WAIT_S):
            await self.task
        found = self.events[-1]
        assert isinstance(found, ProxyEnded)
        return found

    async def follow(self, spec: ProxySpec) -> None:
        def keep(exchange: Exchange) -> bool:
            if self.take is not None and not self.take(exchange):
                return False
            self.kept.append(exchange)
            return True

        async for event in run_proxy(spec, keep, stop=self.stop, report_s=0.1):
            async with self.changed:
                self.events.append(event)
                self.changed.notify_all()


@contextlib.asynccontextmanager
async def proxying(
    url: str, *, take: Callable[[Exchange], bool] | None = None, port: int = 0, **settings: Any
) -> AsyncIterator[Running]:
    """A proxy before `url` that is ready. Ends it, if the test has not."""
    try:
        envoy_binary()
    except EnvoyUnavailableError as error:
        pytest.skip(f"envoy: {error}")
    spec = ProxySpec(host="127.0.0.1", port=port, target=parse_target(url), **settings)
    running = Running(take=take)
    running.task = asyncio.create_task(running.follow(spec))
    try:
        ready = asyncio.create_task(running.until(lambda: bool(running.events)))
        await asyncio.wait([ready, running.task], return_when=asyncio.FIRST_COMPLETED)
        if not running.events:
            ready.cancel()
            await asyncio.gather(ready, return_exceptions=True)
            await running.task
        await ready
        yield running
    finally:
        running.task.cancel()
        await asyncio.gather(running.task, return_exceptions=True)
