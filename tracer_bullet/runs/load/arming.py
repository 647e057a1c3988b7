"""Arming: one bullet of each scenario must come back complete and clean before anything else is sent."""

from __future__ import annotations

import random
import ssl
import time
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import replace
from itertools import count
from pathlib import Path

import httpx

from tracer_bullet.model import Check, Finding, Outcome, Progress, RunEvent, Severity
from tracer_bullet.model.context import Context
from tracer_bullet.model.replay import StopEvent
from tracer_bullet.runs.load.job import LoadJob, Traffic
from tracer_bullet.runs.replay.proof import Proof
from tracer_bullet.runs.sources import flag_headers
from tracer_bullet.scenario import BulletResult, RandomIds, send_bullet
from tracer_bullet.workspace.template import Scalar

_chance = random.SystemRandom()


class Arming:
    """Fires the bullets. `findings` say why the load may not begin; `steps` were proved clean, as scenario / step;
    `fired` counts bullets, `took_s` is how long the longest took."""

    def __init__(self, job: LoadJob, context: Context, proof: Proof) -> None:
        self._job = job
        self._context = context
        self._proof = proof
        self._numbers = count()
        self.findings: list[Finding] = []
        self.steps: list[str] = []
        self.fired = 0
        self.took_s = 0.0

    async def arm(self, halt: Callable[[], StopEvent | None] = lambda: None) -> AsyncIterator[RunEvent]:
        """Fire and judge one after the other; the first that is not clean ends it, or a reason to `halt`."""
        async with bullet_client(self._job) as client:
            for done, traffic in enumerate(self._job.traffic, 1):
                if halt() is not None:
                    return
                row = traffic.rows[0] if traffic.rows else {}
                result = await fire_row(client, traffic, row, self._context, next(self._numbers))
                before = len(self._proof.verdicts)
                self._proof.add(result)
                await self._proof.settle()
                (verdict,) = self._proof.verdicts[before:]
                self.fired += 1
                self.took_s = max(self.took_s, _took_s(result))
                yield Progress(phase="arm", done=done, total=len(self._job.traffic))
                failed = [check for check in result.checks if not check.passed]
                harmful = any(f.severity is Severity.ERROR for f in verdict.findings)
                if verdict.outcome is not Outcome.PASSED or failed:
                    self.findings.append(_not_armed(traffic, harmful=harmful, failed=failed))
                    return
                self.steps += [f"{traffic.scenario.value.name} / {shot.step}" for shot in result.shots]


def _took_s(result: BulletResult) -> float:
    return (result.spans[0].end_ns - result.spans[0].start_ns) / 1e9


def bullet_client(job: LoadJob) -> httpx.AsyncClient:
    """A client for single bullets, which trusts whom the load trusts. The caller closes it."""
    tls = job.spec.tls
    verify: ssl.SSLContext | bool = tls.verify
    if tls.verify and tls.ca_file is not None:
        verify = ssl.create_default_context(cafile=Path(job.main.file).absolute().parent / tls.ca_file)
    # A proxy from the environment would be one more hop that nobody declared.
    return httpx.AsyncClient(trust_env=False, verify=verify)


async def fire_row(
    client: httpx.AsyncClient, traffic: Traffic, row: Mapping[str, Scalar], context: Context, number: int
) -> BulletResult:
    """One bullet of a scenario, its variables from a row of its data."""
    return await send_bullet(
        client,
        replace(traffic.plan, variables={**traffic.plan.variables, **row}),
        bullet=number,
        run_id=context.run_id,
        headers_for=flag_headers(context),
        ids=RandomIds(_chance),
        clock_ns=time.time_ns,
    )


def _not_armed(traffic: Traffic, *, harmful: bool, failed: list[Check]) -> Finding:
    if harmful:
        why = "was not proved harmless"
    elif failed:
        why = f"failed by itself: {failed[0].step}: {failed[0].name}: {failed[0].actual}, not {failed[0].expected}"
    else:
        why = "did not come back complete"
    return Finding(
        rule="not-armed",
        severity=Severity.ERROR if harmful or failed else Severity.GAP,
        message=f"the first bullet of {traffic.scenario.value.name} {why}, so no load was sent",
        cure="mend what the other findings name; `tracer-bullet fire` shows it alone",
    )
