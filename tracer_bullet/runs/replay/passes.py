"""One pass of planned requests through an engine process, and all who listen to what comes back."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from tracer_bullet.engine import EngineProcess, EngineSettings
from tracer_bullet.model.replay import StopEvent
from tracer_bullet.model.shots import EngineNote, KeptAnswer, ShotBatch
from tracer_bullet.runs.replay.feed import Feed, Flying

# How often is looked whether there is a reason to stop; a stop takes effect within a second.
_LOOK_S = 0.1


class Listener(Protocol):
    """Is told of what came back. `flights`: of each row of the batch, what it was."""

    def shots(self, batch: ShotBatch, flights: Sequence[Flying]) -> None:
        """Shots that have ended."""
        ...

    def answer(self, flying: Flying, kept: KeptAnswer) -> None:
        """An answer that was asked for; it comes before its shot."""
        ...


@dataclass
class Pass:
    """Sends what `feed` gives, from `start_ns` on. `reasons` are asked, ten times a second, why to stop.

    `notes` is the last that the engine told of itself.
    """

    settings: EngineSettings
    listeners: Sequence[Listener]
    reasons: Sequence[Callable[[], StopEvent | None]] = ()
    notes: EngineNote | None = None
    stop: StopEvent | None = None
    done: int = 0

    async def fly(self, open_feed: Callable[[EngineProcess], Feed], start_ns: int) -> AsyncIterator[int]:
        """Send; yield how many shots have come back, whenever some have.

        Raises UnreachableError (TB95x) when the engine process dies.
        """
        async with EngineProcess(self.settings) as engine:
            feed = open_feed(engine)
            watcher = asyncio.create_task(self._watch(engine, feed))
            try:
                async for result in engine.run(iter(feed), start_ns):
                    self._hear(feed, result)
                    yield self.done
            finally:
                feed.stop()
                watcher.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await watcher

    def _hear(self, feed: Feed, result: ShotBatch | Sequence[KeptAnswer] | EngineNote) -> None:
        if isinstance(result, ShotBatch):
            flights = [flying for number in result.number if (flying := feed.take(number)) is not None]
            self.done += len(result)
            for listener in self.listeners:
                listener.shots(result, flights)
        elif isinstance(result, EngineNote):
            self.notes = result
        else:
            for kept in result:
                flying = feed.flying.get(kept.number)  # answers come before their shots
                if flying is not None:
                    for listener in self.listeners:
                        listener.answer(flying, kept)

    async def _watch(self, engine: EngineProcess, feed: Feed) -> None:
        began_s = time.monotonic()
        try:
            while self.stop is None:
                self.stop = next((event for reason in self.reasons if (event := reason()) is not None), None)
                if self.notes is not None and self.notes.disabled:
                    detail = "a service answers that bullets are disabled"
                    self.stop = StopEvent(reason="kill-switch", detail=detail, after_s=time.monotonic() - began_s)
                if self.stop is None:
                    await asyncio.sleep(_LOOK_S)
        finally:  # nothing is sent that is not watched, whatever ended the watch
            feed.stop()
            engine.stop()


def kill_switch(path: Path, began_s: Callable[[], float]) -> Callable[[], StopEvent | None]:
    """Stops once the file is there."""

    def look() -> StopEvent | None:
        if not path.exists():
            return None
        after_s = time.monotonic() - began_s()
        return StopEvent(reason="kill-switch", detail=f"{path} is there; remove it to go on", after_s=after_s)

    return look
