"""Claim: two workers send all of a job once, and Locust counts the same; its page shows the run under our names, its
Stop ends the run, its Start starts nothing; who does not come is said."""

from __future__ import annotations

import asyncio
import json
import socket
import urllib.request
from typing import Any

import pytest

from tests.unit.runs.load.fleet.scene import Target, Told, all_end, family, listen, make_job, pids_of
from tracer_bullet.errors import UnreachableError
from tracer_bullet.runs.load.fleet import Fleet, FleetOptions


def test_two_workers_and_the_page() -> None:
    """One fleet for one story, since each takes seconds to start; a fleet takes one job after the other."""

    async def story(target: Target) -> None:
        async with Fleet(FleetOptions(local=2, web_port=0)) as fleet:
            ours = [p for pid in (fleet._master.pid, *pids_of(fleet)) for p in family(pid)]
            await once(fleet, target)
            await stopped(fleet, target)
        assert all_end(ours)

    with Target() as target:
        asyncio.run(story(target))


async def once(fleet: Fleet, target: Target) -> None:
    told = await listen(fleet, make_job(target.url, seconds=2), Told())
    assert told.rows == told.sent == 80
    assert set(told.numbers.values()) == {1}
    assert target.numbers == dict.fromkeys(range(80), 1)
    assert [(r.sent, r.lost, r.unaccounted) for r in fleet.results] == [(40, "", 0)] * 2
    assert {r.name for r in fleet.results} == {"local 1", "local 2"}
    assert len(told.what("joined")) == len(told.what("finished")) == 2
    rows = {row["name"]: (row["method"], row["requests"], row["failures"]) for row in fleet.table}
    assert rows == {"probe / one": ("GET", 80, 0), "Aggregated": ("", 80, 0)}
    assert fleet.look() is None


async def stopped(fleet: Fleet, target: Target) -> None:
    def page(path: str, body: bytes | None = None) -> Any:
        with urllib.request.urlopen(f"http://127.0.0.1:{fleet.web_port}{path}", body, timeout=10) as answer:
            return json.loads(answer.read())

    before = target.seen.total()
    start = await asyncio.to_thread(page, "/swarm", b"user_count=3&spawn_rate=1")
    assert (start["success"], target.seen.total()) == (False, before)
    told = Told()
    running = asyncio.create_task(listen(fleet, make_job(target.url, users=3, duration="60s"), told))
    await target.until(before + 100)
    shown: dict[str, Any] = {"stats": [], "user_count": 0}
    async with asyncio.timeout(30):
        while "probe / one" not in {row["name"] for row in shown["stats"]} or shown["user_count"] != 3:
            shown = await asyncio.to_thread(page, "/stats/requests")
            await asyncio.sleep(0.05)
    assert (shown["state"], len(shown["workers"])) == ("running", 2)
    assert (await asyncio.to_thread(page, "/stop", b""))["success"]
    async with asyncio.timeout(20):
        await running
    reason = fleet.look()
    assert reason is not None
    assert (reason.reason, "Stop button" in reason.detail) == ("locust", True)
    assert [(r.lost, r.unaccounted) for r in fleet.results] == [("", 0)] * 2
    totals = {row["name"]: row["requests"] for row in fleet.table}
    assert totals == {"probe / one": told.sent, "Aggregated": told.sent}


def test_workers_that_do_not_come_are_said() -> None:
    async def alone() -> None:
        async with Fleet(FleetOptions(expected=2, join_s=0.3)):
            raise AssertionError("joined nobody")

    with pytest.raises(UnreachableError, match=r"TB1041: 127\.0\.0\.1:\d+: 0 of 2 workers joined"):
        asyncio.run(alone())


@pytest.mark.parametrize("which", ["port", "web_port"])
def test_a_port_that_is_taken_is_said(which: str) -> None:
    async def nowhere(port: int) -> None:
        async with Fleet(FleetOptions(local=1, **{which: port})):  # type: ignore[arg-type]
            raise AssertionError("came up")

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(UnreachableError, match="TB1040"):
            asyncio.run(nowhere(taken.getsockname()[1]))
