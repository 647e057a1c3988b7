"""Claim: a worker that was killed, frozen, or cut off from the master is lost, and others take its share; it stops by
itself before they do, and sends nothing more when it comes back. In one run, since each takes its seconds."""

from __future__ import annotations

import asyncio
import os
import signal
from contextlib import AsyncExitStack

import pytest

from tests.unit.runs.load.fleet.proxy import Proxy
from tests.unit.runs.load.fleet.scene import (
    Target,
    Told,
    all_end,
    exactly_accounted,
    family,
    listen,
    make_job,
    outsider,
    pids_of,
)
from tracer_bullet.runs.load.fleet import Fleet, FleetOptions

pytestmark = pytest.mark.slow


async def joined(fleet: Fleet, names: set[str]) -> None:
    await fleet._until(lambda: names <= {m.name for m in fleet._roll.here}, 30)


def test_one_is_killed_one_is_frozen_and_one_is_cut_off() -> None:
    async def story(target: Target) -> None:
        async with AsyncExitStack() as stack, Fleet(FleetOptions(local=3)) as fleet:
            with Proxy(fleet.port) as network:
                far = outsider(stack, network.port, "far")
                await joined(fleet, {"far"})
                told = Told()
                running = asyncio.create_task(listen(fleet, make_job(target.url, rate=60, seconds=16), told))
                await target.until(60)
                killed, frozen, _ = pids_of(fleet)
                everybody = [p for pid in (*pids_of(fleet), far.pid) for p in family(pid)]
                os.kill(killed, signal.SIGKILL)
                os.kill(frozen, signal.SIGSTOP)
                network.cut()
                outsider(stack, fleet.port, "spare")
                await told.until(lambda t: len(t.what("lost")) == 3)
                # It wakes while others send what was its own.
                await asyncio.to_thread(target.wait_for, target.seen.total() + 240)
                os.kill(frozen, signal.SIGCONT)
                await running
                results = {r.name: r for r in fleet.results}
                assert {name for name, r in results.items() if r.lost} == {"local 1", "local 2", "far"}
                assert "process ended: exit status -9" in results["local 1"].lost
                assert all(r.unaccounted > 0 for r in results.values() if r.lost)
                exactly_accounted(told, fleet, target, total=960)
                # What was due after the last take-over went out, whosever it had been.
                assert set(range(900, 960)) <= set(target.numbers)
                assert {c.sender for c in told.what("took")} >= {results[n].sender for n in ("local 3", "spare")}
        assert all_end(everybody)

    with Target() as target:
        asyncio.run(story(target))
