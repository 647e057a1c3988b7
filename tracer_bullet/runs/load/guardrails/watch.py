"""The watch over the target's health while load is on. Never keeps anybody waiting.

Fails closed: a guardrail that fails, or is no longer looked at, counts as broken.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Sequence
from typing import Final

from tracer_bullet.errors import StoppedError
from tracer_bullet.model.load import GuardrailReading
from tracer_bullet.model.replay import StopEvent
from tracer_bullet.runs.load.guardrails.guardrail import Guardrail
from tracer_bullet.runs.load.guardrails.patience import Course, Look, Patience, Sight

# Before the load a target is looked at more often, so that nobody waits.
_BASELINE_EVERY_S: Final = 1.0
# A look may be this much late, on a busy machine, before nobody counts as watching.
_GRACE_S: Final = 10.0
_CLOSE_S: Final = 5.0


class Guardrails:
    """Guardrails that are watched. `began_s` is what a stop's `after_s` counts from, on the clock of `time.monotonic`:
    whoever starts the schedule sets it."""

    def __init__(self, rails: Sequence[Guardrail]) -> None:
        self._rails = tuple(rails)
        self.began_s = time.monotonic()
        self._courses: list[Course] = []
        self._looked_s: list[float] = []
        self._task: asyncio.Task[None] | None = None

    def look(self) -> StopEvent | None:
        """Why sending must stop now, None when it need not. Never blocks, never raises."""
        now_s = time.monotonic()
        for rail, course, looked_s in zip(self._rails, self._courses, self._looked_s, strict=True):
            if course.broken:
                return self._stop(f"{rail.name}: {course.broken} (allowed: {rail.limit})", now_s)
            silent_s = now_s - looked_s
            if silent_s > 3 * rail.every_s + rail.timeout_s + _GRACE_S:
                return self._stop(f"{rail.name}: nobody has looked for {silent_s:.0f} s", now_s)
        if self._rails and (self._task is None or self._task.done()):
            return self._stop("the guardrails are no longer watched", now_s)
        return None

    def readings(self) -> tuple[GuardrailReading, ...]:
        """What was seen so far."""
        return tuple(c.reading(r.name, r.limit) for r, c in zip(self._rails, self._courses, strict=True))

    async def baseline(self) -> None:
        """See the target well once by every guardrail. Raises StoppedError TB1063: it is not, or nobody can tell."""
        tasks = [asyncio.create_task(self._first(rail)) for rail in self._rails]
        try:
            for ended in asyncio.as_completed(tasks):
                if (await ended).broken:  # the others may take long to find nothing better
                    break
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        seen = [(rail, task.result()) for rail, task in zip(self._rails, tasks, strict=True) if not task.cancelled()]
        told = [f"{rail.name}: {course.broken} (allowed: {rail.limit})" for rail, course in seen if course.broken]
        if told:
            raise StoppedError(
                "TB1063",
                "the target is not known to be well, so it gets no load",
                why="; ".join(told),
                cure="see to the target, or correct load.guardrails in the scenario",
            )
        now_s = time.monotonic()
        self._courses = [Course(patience=rail.patience, well_s=now_s) for rail in self._rails]
        for course, (_, first) in zip(self._courses, seen, strict=True):
            course.looks, course.last, course.worst = first.looks, first.last, first.worst
        self._looked_s = [now_s] * len(self._rails)

    @contextlib.asynccontextmanager
    async def watching(self) -> AsyncIterator[None]:
        """Look until the block ends; after `baseline`."""
        self._task = asyncio.create_task(self._watch())
        try:
            yield
        finally:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError, TimeoutError):
                await asyncio.wait_for(self._task, _CLOSE_S)

    async def _first(self, rail: Guardrail) -> Course:
        """Looks until the target is seen well, or patience is at its end. What is bad now need not get worse."""
        patience = Patience(failures=rail.patience.failures, unknown_for_s=rail.patience.unknown_for_s)
        course = Course(patience=patience, well_s=time.monotonic())
        while True:
            look = await self._ask(rail)
            if course.see(look, time.monotonic()) or look.sight is Sight.WELL:
                return course
            await asyncio.sleep(min(rail.every_s, _BASELINE_EVERY_S))

    async def _watch(self) -> None:
        await asyncio.gather(*(self._follow(place) for place in range(len(self._rails))))
        await asyncio.Event().wait()

    async def _follow(self, place: int) -> None:
        rail, course = self._rails[place], self._courses[place]
        due_s = time.monotonic()
        while not course.broken:
            due_s = max(due_s + rail.every_s, time.monotonic())
            await asyncio.sleep(due_s - time.monotonic())
            look = await self._ask(rail)
            self._looked_s[place] = time.monotonic()
            course.see(look, self._looked_s[place])

    @staticmethod
    async def _ask(rail: Guardrail) -> Look:
        try:
            async with asyncio.timeout(rail.timeout_s + _GRACE_S):
                return await rail.look()
        except Exception as error:  # noqa: BLE001  (whatever it is, nobody knows how the target is)
            return Look(sight=Sight.FAILED, text=f"the guardrail failed: {error!r}")

    def _stop(self, detail: str, now_s: float) -> StopEvent:
        return StopEvent(reason="guardrail", detail=detail, after_s=max(0.0, now_s - self.began_s))
