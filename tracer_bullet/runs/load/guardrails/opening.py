"""From what a scenario says of guardrails to those that are watched. Opens clients; the rest is elsewhere."""

from __future__ import annotations

import contextlib
import os
import ssl
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import httpx

from tracer_bullet.errors import TracerBulletError, UsageError
from tracer_bullet.model import Objective
from tracer_bullet.runs.load.guardrails.customers import (
    budget_guardrail,
    budget_meter,
    find_objective,
    standard_guardrail,
    standard_meter,
)
from tracer_bullet.runs.load.guardrails.guardrail import Guardrail
from tracer_bullet.runs.load.guardrails.health import health_guardrail
from tracer_bullet.runs.load.guardrails.prometheus import prometheus_guardrail
from tracer_bullet.runs.load.guardrails.watch import Guardrails
from tracer_bullet.traces import Receiver, TraceSource
from tracer_bullet.traces.standard import StandardMeter
from tracer_bullet.workspace.safety import LoadGuardrailsSpec
from tracer_bullet.workspace.sending import TlsSpec

if TYPE_CHECKING:
    from tracer_bullet.runs.load.job import LoadJob


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched:
    """What is watched, and where. `folder` is what `tls.ca_file` is relative to."""

    spec: LoadGuardrailsSpec
    target_url: str
    objectives: Sequence[Objective] = ()
    tls: TlsSpec = field(default_factory=TlsSpec)
    folder: Path = Path()


@contextlib.asynccontextmanager
async def open_guardrails(
    job: LoadJob, source: TraceSource | None, *, environ: Mapping[str, str] | None = None
) -> AsyncIterator[Guardrails]:
    """See that the target is well, then watch it until the block ends: `watch_target` for a load run."""
    async with watch_target(_watched(job), source, os.environ if environ is None else environ) as guardrails:
        yield guardrails


@contextlib.asynccontextmanager
async def watch_target(
    watched: Watched, source: TraceSource | None, environ: Mapping[str, str]
) -> AsyncIterator[Guardrails]:
    """See that the target is well, then watch it until the block ends.

    Raises UsageError (TB1060 to TB1062, TB1064) for what cannot be watched, and StoppedError (TB1063, exit code 4) when
    the target is not well before there is any load.
    """
    spec = watched.spec
    async with contextlib.AsyncExitStack() as stack:
        rails: list[Guardrail] = []
        if spec.health:
            # As a load balancer: straight to the target, and each time on a new connection.
            trust, limits = _trust(watched.tls, watched.folder), httpx.Limits(max_keepalive_connections=0)
            client = httpx.AsyncClient(verify=trust, trust_env=False, limits=limits)
            await stack.enter_async_context(client)
            rails += [health_guardrail(health, watched.target_url, client, environ) for health in spec.health]
        if spec.prometheus:
            client = await stack.enter_async_context(httpx.AsyncClient())
            rails += [prometheus_guardrail(query, client, environ) for query in spec.prometheus]
        rails += _customers(watched, source, stack)
        guardrails = Guardrails(rails)
        await guardrails.baseline()
        async with guardrails.watching():
            yield guardrails


def _watched(job: LoadJob) -> Watched:
    return Watched(
        spec=job.spec.guardrails,
        target_url=job.target.url,
        objectives=job.context.objectives,
        tls=job.spec.tls,
        folder=Path(job.main.file).absolute().parent,
    )


def _customers(watched: Watched, source: TraceSource | None, stack: contextlib.AsyncExitStack) -> list[Guardrail]:
    spec = watched.spec
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
        objective = find_objective(budget, watched.objectives)
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
    if tls.ca_file is None:
        return True
    file = folder / tls.ca_file
    try:
        return ssl.create_default_context(cafile=str(file))
    except OSError as error:  # SSLError is one
        raise UsageError(
            "TB1064",
            "the certificates of the authorities to trust cannot be read",
            where=str(file),
            why=str(error),
            cure="correct load.tls.ca_file: a file in PEM form",
        ) from None
