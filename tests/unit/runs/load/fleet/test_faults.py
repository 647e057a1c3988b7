"""Claim: whoever of a fleet is killed or frozen, nothing hangs, what was lost is said to the request, and no iteration
is sent twice. Real processes, real Locust, signals to processes of our own."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from tests.unit.runs.load.fleet.scene import Target, Told, all_end, family, listen, make_job, outsider
from tracer_bullet.runs.load.fleet import Fleet, FleetOptions

ROOT = Path(__file__).parents[5]


HOW = [signal.SIGKILL, pytest.param(signal.SIGSTOP, marks=pytest.mark.slow)]


@pytest.mark.parametrize("how", HOW)
def test_without_its_master_the_run_ends(how: signal.Signals) -> None:
    """With a worker as of another host: of its end only the master could tell."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]

    async def story(target: Target) -> None:
        async with AsyncExitStack() as stack:
            far = outsider(stack, port, "far")
            async with Fleet(FleetOptions(expected=1, port=port)) as fleet:
                ours = [p for pid in (fleet._master.pid, far.pid) for p in family(pid)]
                told = Told()
                running = asyncio.create_task(listen(fleet, make_job(target.url, seconds=60), told))
                await target.until(20)
                os.kill(fleet._master.pid, how)
                async with asyncio.timeout(12):
                    await running
                (result,) = fleet.results
                assert result.lost.startswith("the Locust master is gone")
                assert 0 < result.unaccounted < 2400
                assert len(told.what("lost")) == 1
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
