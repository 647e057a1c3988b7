"""Two workers under the real, unmodified Locust master: totals are exact, and no death of anybody hangs the others."""

from __future__ import annotations

import asyncio
import random
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.servers.locust_master import PLAIN_LOCUSTFILE, LocustMaster
from tests.unit.engine.shot_batches import SECOND, batch, shot
from tracer_bullet.engine.histogram import Histogram
from tracer_bullet.engine.locust_worker import LocustWorker, Started
from tracer_bullet.engine.locust_worker.deltas import Deltas
from tracer_bullet.errors import UnreachableError
from tracer_bullet.model.arrival import Endpoint

ENDPOINTS = [Endpoint(number=0, method="GET", name="/products"), Endpoint(number=1, method="POST", name="/orders")]
NOW = 1_800_000_000 * SECOND


def shots_of(seed: int, count: int) -> list[dict[str, int]]:
    rng = random.Random(seed)
    return [
        shot(
            number=n,
            endpoint=rng.randrange(2),
            due=NOW + n * 1000,
            late=0,
            service=int(rng.lognormvariate(16, 1)),
            status=rng.choice([200, 200, 200, 404, 503]),
            error=rng.choice([""] * 9 + ["reset"]),
        )
        for n in range(count)
    ]


def exact_of(rows: list[dict[str, int]]) -> Histogram:
    histogram = Histogram()
    histogram.record_ns(np.array([row["ended_ns"] - row["due_ns"] for row in rows], np.int64))
    return histogram


def failures_of(rows: list[dict[str, int]]) -> int:
    return sum(row["error"] != 0 or row["status"] >= 400 for row in rows)


async def replay(worker: LocustWorker, rows: list[dict[str, int]]) -> Started:
    """As a driver does: wait, send what the shard holds, tell it."""
    started = await worker.wait_for_start()
    assert started is not None
    for n in range(0, len(rows), 250):
        worker.record(batch(rows[n : n + 250]), ENDPOINTS)
        await asyncio.sleep(0)
    return started


async def until_page_shows(master: LocustMaster, requests: int) -> None:
    async with asyncio.timeout(20):
        while True:
            shown = await asyncio.to_thread(master.page, "/stats/requests")
            if {e["name"]: e["num_requests"] for e in shown["stats"]}.get("Aggregated") == requests:
                return
            await asyncio.sleep(0.05)


async def until_state(master: LocustMaster, state: str) -> None:
    async with asyncio.timeout(20):
        while True:
            if (await asyncio.to_thread(master.page, "/stats/requests"))["state"] == state:
                return
            await asyncio.sleep(0.05)


def test_a_headless_run_of_two_workers_is_counted_exactly(tmp_path: Path) -> None:
    shards = [shots_of(1, 3000), shots_of(2, 2000)]

    async def worker(port: int, rows: list[dict[str, int]]) -> Started:
        async with LocustWorker("127.0.0.1", port) as member:
            started = await replay(member, rows)
            await member.finish()
            return started

    async def both(port: int) -> list[Started]:
        return list(await asyncio.gather(*(worker(port, rows) for rows in shards)))

    options = ("--expect-workers=2", "-u2", "-r2", "-H", "http://target.test", "--csv", str(tmp_path / "out"))
    with LocustMaster(tmp_path, *options, headless=True) as master:
        starts = asyncio.run(both(master.port))
        # The last worker has left, so the test is over; failures make Locust's exit code 1.
        assert master.wait() == 1
        log = master.log
    assert sorted(s.index for s in starts) == [0, 1]
    assert {(s.users, s.host, s.headless) for s in starts} == {(1, "http://target.test", True)}
    rows = [row for shard in shards for row in shard]
    stats = master.final_stats()
    exact = master.exact()
    for endpoint in ENDPOINTS:
        own = [row for row in rows if row["endpoint"] == endpoint.number]
        entry = stats[endpoint.method, endpoint.name]
        assert (entry["num_requests"], entry["num_failures"]) == (len(own), failures_of(own))
        assert sum(entry["response_times"].values()) == len(own)
        assert entry["total_content_length"] == sum(row["answer_bytes"] for row in own)
        (found,) = [e for e in exact["entries"] if e["name"] == endpoint.name]
        wanted = exact_of(own).quantiles()
        assert {k: v for k, v in found.items() if k not in ("method", "name")} == {
            name: getattr(wanted, name) for name in wanted.__slots__
        }
    assert exact["total"]["count"] == len(rows)
    assert exact["total"]["p99_ms"] == exact_of(rows).quantiles().p99_ms
    failures = (tmp_path / "out_failures.csv").read_text().splitlines()[1:]
    counted = {tuple(line.split(",")[:3]): int(line.split(",")[3]) for line in failures}
    assert counted["GET", "/products", "HTTP 404"] == sum(r["status"] == 404 and not r["endpoint"] for r in rows)
    assert counted["POST", "/orders", "reset"] == sum(r["error"] != 0 and r["endpoint"] for r in rows)
    assert "Traceback" not in log
    assert "unknown" not in log.lower()


@pytest.mark.slow
def test_the_page_starts_stops_and_starts_again(tmp_path: Path) -> None:
    """One master for one story, since each takes seconds to start: start, kill -9, stop, restart, and its own death."""

    async def story(master: LocustMaster) -> None:
        async with LocustWorker("127.0.0.1", master.port, silence_s=2.0) as one:
            other = await _other_process(master.port)
            assert (await asyncio.to_thread(master.page, "/swarm", user_count=2, spawn_rate=2))["success"]
            started = await replay(one, first := shots_of(1, 500))
            assert (started.index, started.users, started.headless) == (0, 1, False)
            await until_page_shows(master, len(first) + 100)
            other.kill()
            await other.wait()
            worker_states = {}
            async with asyncio.timeout(20):
                while "missing" not in worker_states.values():
                    shown = await asyncio.to_thread(master.page, "/stats/requests")
                    worker_states = {w["id"]: w["state"] for w in shown["workers"]}
                    await asyncio.sleep(0.1)
            assert worker_states[one.node_id] == "running"
            assert not one.stopping.is_set()

            stop = asyncio.create_task(asyncio.to_thread(master.page, "/stop", now=1))
            async with asyncio.timeout(5):
                await one.stopping.wait()
            one.record(batch(rest := shots_of(3, 40)), ENDPOINTS)
            await one.finish()
            await stop
            await until_state(master, "stopped")
            await until_page_shows(master, len(first) + 100 + len(rest))

            again = asyncio.create_task(replay(one, second := shots_of(4, 300)))
            assert (await asyncio.to_thread(master.page, "/swarm", user_count=1, spawn_rate=1))["success"]
            assert (await again).index == 0
            assert not one.stopping.is_set()
            await until_page_shows(master, len(second))
            # Its schedule is over, but the test is not: it stays, with no users, until the page says stop.
            await one.finish()
            await asyncio.to_thread(master.page, "/stop", now=1)
            await until_state(master, "stopped")

            third = asyncio.create_task(replay(one, []))
            assert (await asyncio.to_thread(master.page, "/swarm", user_count=1, spawn_rate=1))["success"]
            async with asyncio.timeout(20):
                assert (await third).index == 0

            master.kill()
            async with asyncio.timeout(10):
                assert await one.wait_for_start() is None
            assert one.gone == "silent"

    with LocustMaster(tmp_path, headless=False, locustfile=PLAIN_LOCUSTFILE) as master:
        master.wait_until_served()
        asyncio.run(story(master))
        assert "Traceback" not in master.log


def test_a_master_that_quits_gets_the_last_figures(tmp_path: Path) -> None:
    async def story(master: LocustMaster) -> int:
        async with LocustWorker("127.0.0.1", master.port) as one:
            await replay(one, shots_of(1, 700))
            status = await asyncio.to_thread(master.terminate)
            assert one.stopping.is_set()
            assert one.gone == "quit"
            assert await one.wait_for_start() is None
            await one.finish()
        return status

    with LocustMaster(tmp_path, "--expect-workers=1", "-u1", headless=True) as master:
        asyncio.run(story(master))
        assert sum(e["num_requests"] for e in master.final_stats().values()) == 700
        assert master.exact()["total"]["count"] == 700


def test_nobody_there_is_said_and_leaves_nothing_behind() -> None:
    async def alone() -> None:
        async with LocustWorker("127.0.0.1", 1, connect_s=0.2):
            raise AssertionError("joined nobody")

    with pytest.raises(UnreachableError, match=r"TB960: 127\.0\.0\.1:1: no Locust master answers"):
        asyncio.run(alone())


def test_an_unknown_name_is_said() -> None:
    async def lost() -> None:
        async with LocustWorker("no.such.host.invalid", 5557):
            raise AssertionError("joined nobody")

    with pytest.raises(UnreachableError, match="TB960"):
        asyncio.run(lost())


def test_figures_that_are_sent_apart_add_up() -> None:
    """At `quit` the figures go first and the histograms after them: together they must be one report."""
    empty = Deltas(5.0).report(6.0)
    assert (empty["stats"], empty["errors"], empty["stats_total"]["num_requests"]) == ([], {}, 0)


OTHER = """
import asyncio, sys
from tests.unit.engine.locust_worker.test_master import LocustWorker, replay, shots_of
async def main():
    async with LocustWorker("127.0.0.1", int(sys.argv[1])) as worker:
        print("ready", flush=True)
        await replay(worker, shots_of(2, 100))
        await asyncio.sleep(60)
asyncio.run(main())
"""


async def _other_process(port: int) -> asyncio.subprocess.Process:
    root = Path(__file__).parents[4]
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", OTHER, str(port), cwd=root, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    assert (await process.stdout.readline()).strip() == b"ready"
    return process
