"""Fires shots at a client of the engine, whatever its protocol, and sees to it that each comes back exactly once."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any, Self, TypeVar

import uvloop

from tracer_bullet.engine.client import ALL, NO_LIMITS, NOTHING, Client, ClientFactory, Shot, now_ns
from tracer_bullet.engine.settings import EngineSettings
from tracer_bullet.model.arrival import Origin

T = TypeVar("T")

QUICK = EngineSettings(connect_s=5.0, send_s=5.0, answer_s=5.0, total_s=10.0)


def shot(
    number: int,
    target: str = "/",
    *,
    method: str = "GET",
    body: bytes = b"",
    headers: Sequence[str] = (),
    carriers: Sequence[str] = ("traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",),
    wants: bool = True,
    host: str = "shop.test",
) -> Shot:
    """A request that is due now."""
    length = [f"content-length: {len(body)}"] if body or method in ("POST", "PUT") else []
    lines = [f"{method} {target} HTTP/1.1", f"Host: {host}", *headers, *length]
    made = Shot(number, now_ns(), 0, 0, 0, "".join(f"{line}\r\n" for line in lines).encode("latin-1"), body)
    made.carriers = "".join(f"{line}\r\n" for line in carriers).encode("latin-1")
    made.wants = ALL if wants else NOTHING
    return made


class Volley:
    """A client on the running loop, swept as the engine does. `back` has what came back, in that order."""

    def __init__(
        self,
        factory: ClientFactory,
        origin: Origin,
        settings: EngineSettings = QUICK,
        limits: Mapping[int, int] = NO_LIMITS,
    ) -> None:
        self.back: list[Shot] = []
        self._changed = asyncio.Event()
        self._sending = False
        self.on_done: Callable[[Shot], None] | None = None
        self.client: Client = factory(origin, settings, self._done, limits)
        self._sweeper = asyncio.create_task(self._sweep())

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self._sweeper.cancel()
        left = self.client.drop()
        await self.client.close()
        assert self.client.connections == 0
        numbers = Counter(s.number for s in [*self.back, *left])
        assert max(numbers.values(), default=1) == 1, f"more than once: {numbers}"

    def send(self, *shots: Shot) -> None:
        for one in shots:
            self._sending = True
            self.client.send(one)
            self._sending = False

    async def until(self, count: int, timeout_s: float = 20.0) -> list[Shot]:
        """Wait until so many have come back."""
        async with asyncio.timeout(timeout_s):
            while len(self.back) < count:
                self._changed.clear()
                await self._changed.wait()
        return self.back

    async def fire(self, *shots: Shot) -> list[Shot]:
        """Send these, and wait for all; in the order of their numbers."""
        before = len(self.back)
        self.send(*shots)
        await self.until(before + len(shots))
        return sorted(self.back[before:], key=lambda s: s.number)

    def _done(self, done: Shot) -> None:
        assert not self._sending, "done was called from within send"
        assert done.ended_ns >= done.first_ns >= 0
        self.back.append(done)
        self._changed.set()
        if self.on_done is not None:
            self.on_done(done)

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(0.02)
            self.client.sweep(now_ns())


def on_uvloop(work: Coroutine[Any, Any, T]) -> T:
    """On the loop that the engine has."""
    return uvloop.run(work)


def fire(factory: ClientFactory, origin: Origin, *shots: Shot, settings: EngineSettings = QUICK) -> list[Shot]:
    """Send these on a loop of their own, and wait for all."""

    async def work() -> list[Shot]:
        async with Volley(factory, origin, settings) as volley:
            return await volley.fire(*shots)

    return on_uvloop(work())
