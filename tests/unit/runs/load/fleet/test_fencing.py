"""Claim: a worker that was frozen, or cut off from the master, stops by itself before another sends its share; when it
comes back it is told so, and sends nothing more. Spares take over first. In one run, since each takes its seconds."""

from __future__ import annotations

import asyncio
import os
import signal

import psutil
import pytest

from tests.unit.runs.load.fleet.proxy import Proxy
from tests.unit.runs.load.fleet.scene import Target, Told, all_end, family, listen, make_job
from tests.unit.runs.load.fleet.test_faults import exactly_accounted, pids_of
from tracer_bullet.runs.load.fleet import Fleet, FleetOptions
from tracer_bullet.runs.load.fleet.process import Program

pytestmark = pytest.mark.slow


def worker(port: int, name: str) -> Program:
    """As one on another host."""
    return Program(["tracer_bullet.runs.load.worker", "127.0.0.1", str(port), "--name", name], [])


async def joined(fleet: Fleet, names: set[str]) -> None:
    await fleet._until(lambda: names <= {m.name for m in fleet._roll.here}, 30)


def test_a_frozen_worker_and_one_that_is_cut_off() -> None:
    async def story(target: Target) -> None:
        async with Fleet(FleetOptions(local=2)) as fleet:
            with Proxy(fleet.port) as network:
                far = worker(network.port, "far")
                await joined(fleet, {"far"})
                told = Told()
                running = asyncio.create_task(listen(fleet, make_job(target.url, rate=60, seconds=16), told))
                await target.until(60)
                frozen = pids_of(fleet)[0]
                everybody = [p for pid in (*pids_of(fleet), far.pid) for p in family(pid)]
                spare = worker(fleet.port, "spare")
                os.kill(frozen, signal.SIGSTOP)
                network.cut()
                await told.until(lambda t: len(t.what("lost")) == 2)
                assert all_end(family(far.pid) if psutil.pid_exists(far.pid) else [])
                # It wakes while others send what was its own.
                await told.until(lambda t: len(t.what("took")) >= 1)
                await asyncio.to_thread(target.wait_for, target.seen.total() + 120)
                os.kill(frozen, signal.SIGCONT)
                await running
                results = {r.name: r for r in fleet.results}
                assert {name for name, r in results.items() if r.lost} == {"local 1", "far"}
                assert {"local 2", "spare"} <= set(results)
                exactly_accounted(told, fleet, target, total=960)
                assert set(range(900, 960)) <= set(target.numbers)
                spares = [c.sender for c in told.what("took")]
                assert spares[0] == results["spare"].sender
                assert results["spare"].sent > 0
            await far.reap()
        await spare.reap()
        assert all_end(everybody)

    with Target() as target:
        asyncio.run(story(target))
