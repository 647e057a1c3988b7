"""Sending the bullets of a job: run id, token, client, and how many are under way at once."""

from __future__ import annotations

import asyncio
import platform
import random
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

import httpx

from tracer_bullet import __version__
from tracer_bullet.context.token import mint
from tracer_bullet.model import Context, RunManifest
from tracer_bullet.runs.job import FireJob
from tracer_bullet.runs.manifests import user_name
from tracer_bullet.runs.sources import flag_headers
from tracer_bullet.scenario import BulletResult, HeadersFor, RandomIds, send_bullet
from tracer_bullet.workspace.runs import new_run_id

_chance = random.SystemRandom()


@dataclass(frozen=True, slots=True, kw_only=True)
class Flight:
    """What the bullets of one run share. The caller closes `client`."""

    job: FireJob
    manifest: RunManifest
    headers: HeadersFor
    client: httpx.AsyncClient


def begin(job: FireJob) -> Flight:
    """Mint the run's token and open its client; nothing is sent or written yet."""
    started_ns = time.time_ns()
    run_id = new_run_id(started_ns, _chance)
    context, token_id = None, ""
    if job.key is not None:
        now_s = started_ns // 1_000_000_000
        token = mint(
            job.key,
            issuer=job.issuer,
            run_id=run_id,
            scope=job.target.scope,
            now_s=now_s,
            lifetime_s=job.lifetime_s,
        )
        tester = job.scenario.value.tester
        context = Context(run_id=run_id, token=token, user_id=tester.user_id, account_id=tester.account_id)
        token_id = f"{job.key.kid} until {now_s + job.lifetime_s}"
    manifest = RunManifest(
        run_id=run_id,
        kind="fire",
        scenario=job.plan.name,
        scenario_file=job.scenario.file,
        target=job.target.name,
        target_url=job.target.url,
        production=job.target.production,
        request_type=job.request_type,
        bullets=job.bullets,
        concurrency=job.concurrency,
        started_ns=started_ns,
        token_id=token_id,
        fired_by=user_name(),
        versions={"tracer-bullet": __version__, "python": platform.python_version()},
    )
    limits = httpx.Limits(max_connections=job.concurrency, max_keepalive_connections=job.concurrency)
    # A proxy from the environment would be one more hop that nobody declared.
    client = httpx.AsyncClient(limits=limits, trust_env=False)
    return Flight(job=job, manifest=manifest, headers=flag_headers(context), client=client)


async def send_one(flight: Flight, number: int) -> BulletResult:
    """Fire the bullet of this number."""
    return await send_bullet(
        flight.client,
        flight.job.plan,
        bullet=number,
        run_id=flight.manifest.run_id,
        headers_for=flight.headers,
        ids=RandomIds(_chance),
        clock_ns=time.time_ns,
        request_type=flight.job.request_type,
    )


async def send_all(flight: Flight, numbers: Sequence[int]) -> AsyncIterator[BulletResult]:
    """Fire bullets, at most `concurrency` under way at once, and yield each as it ends."""
    waiting = iter(numbers)
    under_way: set[asyncio.Task[BulletResult]] = set()
    try:
        while True:
            while len(under_way) < flight.job.concurrency and (number := next(waiting, None)) is not None:
                under_way.add(asyncio.create_task(send_one(flight, number)))
            if not under_way:
                return
            finished, under_way = await asyncio.wait(under_way, return_when=asyncio.FIRST_COMPLETED)
            for task in finished:
                yield task.result()
    finally:
        for task in under_way:
            task.cancel()
