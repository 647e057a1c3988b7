"""Claim: whoever of a fleet is killed or frozen, nothing hangs, what was lost is said to the request, and no iteration
is sent twice. Real processes, real Locust, signals to processes of our own."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.unit.runs.load.fleet.scene import Target, Told, all_end, family, listen, make_job
from tracer_bullet.runs.load.fleet import Fleet, FleetOptions

ROOT = Path(__file__).parents[5]


def pids_of(fleet: Fleet) -> list[int]:
    assert fleet._crew is not None
    return [program.pid for program in fleet._crew.programs]


def test_two_workers_send_all_of_it_once_and_locust_counts_the_same() -> None:
    async def story(target: Target) -> None:
        async with Fleet(FleetOptions(local=2)) as fleet:
            ours = [p for pid in (fleet._master.pid, *pids_of(fleet)) for p in family(pid)]
            for _ in range(2):  # a fleet takes one job after the other
                target.seen.clear()
                told = await listen(fleet, make_job(target.url, seconds=2), Told())
                assert told.rows == told.sent == 80
                assert set(told.numbers.values()) == {1}
                assert target.numbers == dict.fromkeys(range(80), 1)
                assert [(r.sent, r.lost, r.unaccounted) for r in fleet.results] == [(40, "", 0)] * 2
                assert {r.name for r in fleet.results} == {"local 1", "local 2"}
                assert len(told.what("joined")) == len(told.what("finished")) == 2
                rows = {row["name"]: (row["method"], row["requests"], row["failures"]) for row in fleet.table}
                assert rows == {"probe / one": ("GET", 80, 0), "Aggregated": ("", 80, 0)}
        assert all_end(ours)

    with Target() as target:
        asyncio.run(story(target))


def test_a_killed_worker_is_lost_and_the_other_takes_its_share() -> None:
    async def story(target: Target) -> None:
        async with Fleet(FleetOptions(local=2)) as fleet:
            told = Told()
            running = asyncio.create_task(listen(fleet, make_job(target.url, seconds=8), told))
            await target.until(40)
            os.kill(pids_of(fleet)[0], signal.SIGKILL)
            await running
            (lost,) = told.what("lost")
            results = {r.name: r for r in fleet.results}
            assert "process ended: exit status -9" in lost.detail
            assert results["local 1"].lost == lost.detail
            assert results["local 2"].lost == ""
            assert [c.sender for c in told.what("took")] == [results["local 2"].sender]
            exactly_accounted(told, fleet, target, total=320)
            assert 40 < results["local 1"].unaccounted < 160
            # What was due after the take-over went out, both shares.
            assert set(range(280, 320)) <= set(target.numbers)

    with Target() as target:
        asyncio.run(story(target))


def exactly_accounted(told: Told, fleet: Fleet, target: Target, *, total: int) -> None:
    """Each request of the schedule was told of once, or is among the unaccounted; and none was sent twice."""
    assert set(told.numbers.values()) <= {1}
    assert set(target.numbers.values()) == {1}
    assert told.rows + sum(r.unaccounted for r in fleet.results) == total
    # What was told was sent; what was sent and not told is within what is not accounted for.
    assert told.sent <= len(target.numbers) <= told.sent + sum(r.unaccounted for r in fleet.results)


HOW = [signal.SIGKILL, pytest.param(signal.SIGSTOP, marks=pytest.mark.slow)]


@pytest.mark.parametrize("how", HOW)
def test_without_its_master_the_run_ends(how: signal.Signals) -> None:
    async def story(target: Target) -> None:
        async with Fleet(FleetOptions(local=1)) as fleet:
            ours = [p for pid in (fleet._master.pid, *pids_of(fleet)) for p in family(pid)]
            told = Told()
            running = asyncio.create_task(listen(fleet, make_job(target.url, seconds=60), told))
            await target.until(20)
            os.kill(fleet._master.pid, how)
            async with asyncio.timeout(15):
                await running
            (result,) = fleet.results
            # Of a frozen one the worker may speak first, and end: it hears nothing either.
            assert "the Locust master is gone" in result.lost or "the master was silent" in result.lost
            assert 0 < result.unaccounted < 2400
            assert len(told.what("lost")) == 1
            if how == signal.SIGKILL:
                reason = fleet.look()
                assert reason is not None
                assert reason.reason == "locust"
        assert all_end(ours)
        assert set(target.numbers.values()) == {1}

    with Target() as target:
        asyncio.run(story(target))


@pytest.mark.parametrize("how", HOW)
def test_without_its_conductor_everybody_stops(how: signal.Signals) -> None:
    with Target() as target:
        command = [sys.executable, "-m", "tests.unit.runs.load.fleet.conductor", target.url, "60"]
        with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, start_new_session=True) as conductor:
            try:
                assert conductor.stdout is not None
                pids = json.loads(conductor.stdout.readline())
                target.wait_for(20)
                others = [p for pid in pids for p in family(pid)]
                assert len(others) == 3  # master, worker, its engine
                conductor.send_signal(how)
                assert all_end(others)
                if how == signal.SIGSTOP:
                    sent = target.seen.total()
                    conductor.send_signal(signal.SIGCONT)
                    assert conductor.wait(30) == 3
                    assert target.seen.total() == sent
            finally:
                if conductor.poll() is None:
                    conductor.kill()
    assert set(target.numbers.values()) == {1}
