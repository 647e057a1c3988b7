"""The alarm clock: absolute, never early, the last call counts."""

from __future__ import annotations

import asyncio
import sys
import time

import pytest
import uvloop

from tracer_bullet.engine.pace import LoopPacer, TimerfdPacer, open_pacer, unix_offset_ns

PACERS = [LoopPacer, pytest.param(TimerfdPacer, marks=pytest.mark.skipif(sys.platform != "linux", reason="timerfd"))]


@pytest.mark.parametrize("kind", PACERS)
def test_it_wakes_once_for_each_arm_and_never_early(kind: type[LoopPacer | TimerfdPacer]) -> None:
    woken: list[int] = []

    async def run() -> None:
        rung = asyncio.Event()

        def wake() -> None:
            woken.append(time.monotonic_ns())
            rung.set()

        pacer = kind(asyncio.get_running_loop(), wake)
        for delay_ns in (0, 300_000, 1_700_000, 20_000_000, -5_000_000):
            rung.clear()
            at = time.monotonic_ns() + delay_ns
            pacer.arm(at + 3_600_000_000_000)
            pacer.arm(at)
            await asyncio.wait_for(rung.wait(), 10)
            assert woken[-1] >= at
        pacer.arm(time.monotonic_ns() + 1_000_000)
        pacer.arm(0)
        await asyncio.sleep(0.02)
        assert len(woken) == 5
        pacer.arm(time.monotonic_ns() + 1_000_000)
        pacer.close()
        pacer.close()
        await asyncio.sleep(0.01)
        assert len(woken) == 5

    uvloop.run(run())


def test_on_linux_it_is_the_exact_one() -> None:
    async def run() -> str:
        pacer = open_pacer(asyncio.get_running_loop(), lambda: None)
        pacer.close()
        return pacer.name

    assert asyncio.run(run()) == ("timerfd" if sys.platform == "linux" else "loop timer (about 1 ms)")


def test_the_offset_makes_unix_time() -> None:
    before = time.time_ns()
    now = time.monotonic_ns() + unix_offset_ns()
    assert before - 1_000_000_000 < now < time.time_ns() + 1_000_000_000
