"""Coordinated omission: what a server's stall costs is in our figures, as far as its plan says, and not in a closed
loop's. What must hold for each request holds on the slowest machine; benchmarks/omission.py has the figures."""

from __future__ import annotations

import asyncio
import time

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tests.servers.stalling import Plan, Stalling, stalling_server
from tests.unit.engine.shooting import Outcome, arrival, batches, origin
from tracer_bullet.engine import EngineProcess, EngineSettings
from tracer_bullet.engine.histogram import Histograms
from tracer_bullet.model.shots import ShotBatch

MS = 1_000_000
STEP_NS, COUNT = 10 * MS, 300  # 3 s, which are two periods
EVERY_S, STALL_S, SERVICE_S = 1.5, 0.5, 0.002


async def ours(server: Stalling) -> tuple[Outcome, Histograms]:
    outcome, histograms = Outcome(), Histograms()
    arrivals = [arrival(n, "/", due_ns=n * STEP_NS, last=True) for n in range(COUNT)]
    async with EngineProcess(EngineSettings()) as engine:
        engine.define(origin(server.port))
        async for result in engine.run(batches(arrivals), time.time_ns() + 300 * MS):
            outcome.take(result)
            if isinstance(result, ShotBatch):
                histograms.record(result)
    outcome.whole(arrivals)
    return outcome, histograms


async def closed_loop(server: Stalling) -> list[float]:
    """One user who would send as often, and waits for each answer first; ms from sending."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    began, waits, n = time.monotonic(), list[float](), 0
    while (now := time.monotonic()) - began < 3.0:
        sent = now
        writer.write(b"GET / HTTP/1.1\r\nhost: h\r\n\r\n")
        await reader.readuntil(b"hello")
        waits.append(1000 * (time.monotonic() - sent))
        n += 1
        await asyncio.sleep(max(0.0, sent + STEP_NS / 1e9 - time.monotonic()))
    writer.close()
    return waits


def test_a_stall_is_in_our_figures_as_long_as_it_was_and_hardly_in_a_closed_loops() -> None:
    with stalling_server(EVERY_S, STALL_S, SERVICE_S) as server:
        outcome, histograms = asyncio.run(ours(server))
        waits = asyncio.run(closed_loop(server))
    unix_ns = time.time_ns() - time.monotonic_ns()
    slack_ns = 5 * MS  # between the clocks' two anchors
    known = []
    for row in outcome.rows.values():
        known.append(server.plan.answered_ns(row["due_ns"] - unix_ns) + unix_ns - row["due_ns"])
        assert row["error"] == ""
        assert row["ended_ns"] - row["due_ns"] >= known[-1] - slack_ns
    limit_ns = int(STALL_S * 1e9) // 2
    share = np.mean([row["ended_ns"] - row["due_ns"] > limit_ns - slack_ns for row in outcome.rows.values()])
    wanted = np.mean([wait > limit_ns for wait in known])
    assert 0.1 < wanted < 0.25, "a sixth, by the plan"
    assert share >= wanted
    (p95,) = histograms.latency().values_us((95.0,))
    assert p95 / 1000 >= np.percentile(known, 95, method="lower") / MS - 5
    # Each stall met one request of the closed loop's, though it should have met 50.
    assert sum(wait > limit_ns / MS for wait in waits) <= 5 or len(waits) < 100, "unless the machine hardly ran at all"


@given(st.integers(0, 10**12), st.integers(0, 10**11))
def test_the_plan_answers_never_in_a_stall_and_never_too_early(origin_ns: int, later_ns: int) -> None:
    plan = Plan(10.0, 1.0, 0.005, origin_ns)
    arrived = origin_ns + later_ns
    answered = plan.answered_ns(arrived)
    assert 5 * MS <= answered - arrived <= 1005 * MS
    assert (answered - origin_ns) % 10_000_000_000 < 9_000_000_000
