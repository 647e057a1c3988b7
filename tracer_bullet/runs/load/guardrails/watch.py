"""The watch over the target's health while load is on. Asks over the network; never keeps anybody waiting.

Fails closed: a guardrail that fails, or is no longer looked at, counts as broken.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

import httpx

from tracer_bullet.errors import StoppedError, TracerBulletError, UsageError
from tracer_bullet.model import Objective
from tracer_bullet.model.load import GuardrailReading
from tracer_bullet.model.replay import StopEvent
from tracer_bullet.runs.load.guardrails.customers import (
    budget_guardrail,
    budget_meter,
    find_objective,
    standard_guardrail,
    standard_meter,
)
from tracer_bullet.runs.load.guardrails.guardrail import Guardrail
from tracer_bullet.runs.load.guardrails.health import health_guardrail
from tracer_bullet.runs.load.guardrails.patience import Course, Look, Patience, Sight
from tracer_bullet.runs.load.guardrails.prometheus import prometheus_guardrail
from tracer_bullet.traces import Receiver, TraceSource
from tracer_bullet.traces.standard import StandardMeter
from tracer_bullet.workspace.safety import LoadGuardrailsSpec
from tracer_bullet.workspace.sending import TlsSpec

# Before the load a target is looked at more often, so that nobody waits.
_BASELINE_EVERY_S: Final = 1.0
# A look may be this much late, on a busy machine, before nobody counts as watching.
_GRACE_S: Final = 10.0
_CLOSE_S: Final = 5.0


class Guardrails:
    """Guardrails that are watched. `began_s`: when the schedule began, on the clock of `time.monotonic`."""

    def __init__(self, rails: Sequence[Guardrail], began_s: Callable[[], float]) -> None:
        self._rails = tuple(rails)
        self._began_s = began_s
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
        while not course.see(look := await self._ask(rail), time.monotonic()) and look.sight is not Sight.WELL:
            await asyncio.sleep(min(rail.every_s, _BASELINE_EVERY_S))
        return course

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
        return StopEvent(reason="guardrail", detail=detail, after_s=max(0.0, now_s - self._began_s()))


@contextlib.asynccontextmanager
async def open_guardrails(
    spec: LoadGuardrailsSpec,
    *,
    target_url: str,
    source: TraceSource | None,
    objectives: Sequence[Objective] = (),
    tls: TlsSpec | None = None,
    folder: Path = Path(),
    environ: Mapping[str, str],
    began_s: Callable[[], float],
) -> AsyncIterator[Guardrails]:
    """See that the target is well, then watch it until the block ends.

    `folder` is what `tls.ca_file` is relative to; `began_s` when the schedule began (`time.monotonic`). Raises
    UsageError (TB1060, TB1061, TB1062) for what cannot be watched, StoppedError (TB1063, exit code 4) when the target
    is not well before any load.
    """
    async with contextlib.AsyncExitStack() as stack:
        rails: list[Guardrail] = []
        if spec.health:
            # As a load balancer: straight to the target, and each time on a new connection.
            trust, limits = _trust(tls or TlsSpec(), folder), httpx.Limits(max_keepalive_connections=0)
            client = httpx.AsyncClient(verify=trust, trust_env=False, limits=limits)
            await stack.enter_async_context(client)
            rails += [health_guardrail(health, target_url, client, environ) for health in spec.health]
        if spec.prometheus:
            client = await stack.enter_async_context(httpx.AsyncClient())
            rails += [prometheus_guardrail(query, client, environ) for query in spec.prometheus]
        rails += _customers(spec, source, objectives, stack)
        guardrails = Guardrails(rails, began_s)
        await guardrails.baseline()
        async with guardrails.watching():
            yield guardrails


def _customers(
    spec: LoadGuardrailsSpec,
    source: TraceSource | None,
    objectives: Sequence[Objective],
    stack: contextlib.ExitStack | contextlib.AsyncExitStack,
) -> list[Guardrail]:
    if not spec.standard and not spec.error_budget:
        return []
    if not isinstance(source, Receiver):
        raise cannot_watch_customers()

    def opened(meter: StandardMeter) -> StandardMeter:
        source.standard.open(meter)
        stack.callback(source.standard.close, meter)
        return meter

    rails = [standard_guardrail(one, opened(standard_meter(one))) for one in spec.standard]
    for budget in spec.error_budget:
        objective = find_objective(budget, objectives)
        rails.append(budget_guardrail(budget, objective, opened(budget_meter(budget, objective))))
    return rails


def cannot_watch_customers() -> TracerBulletError:
    """The error of a source that only gives traces whose ids are known."""
    return UsageError(
        "TB1060",
        "guardrails on customers need the spans of customers",
        where="load.guardrails",
        why="only the embedded receiver sees all spans; the trace servers are asked for bullets' traces alone",
        cure="`traces: {source: embedded}` in tracer-bullet.yaml, or the same by `prometheus:`",
    )


def _trust(tls: TlsSpec, folder: Path) -> ssl.SSLContext | bool:
    if not tls.verify:
        return False
    return True if tls.ca_file is None else ssl.create_default_context(cafile=str(folder / tls.ca_file))
