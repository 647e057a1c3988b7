"""Claim: Locust's page shows the run under our names, its Stop ends the run, its Start starts nothing; who does not
come is said, with what was waited for."""

from __future__ import annotations

import asyncio
import json
import socket
import urllib.request
from typing import Any

import pytest

from tests.unit.runs.load.fleet.scene import Target, Told, listen, make_job
from tracer_bullet.errors import UnreachableError
from tracer_bullet.runs.load.fleet import Fleet, FleetOptions


def test_the_page_shows_and_stops() -> None:
    async def story(target: Target) -> None:
        async with Fleet(FleetOptions(local=1, web_port=0)) as fleet:

            def page(path: str, body: bytes | None = None) -> Any:
                with urllib.request.urlopen(f"http://127.0.0.1:{fleet.web_port}{path}", body, timeout=10) as answer:
                    return json.loads(answer.read())

            start = await asyncio.to_thread(page, "/swarm", b"user_count=3&spawn_rate=1")
            assert (start["success"], target.seen.total()) == (False, 0)
            told = Told()
            running = asyncio.create_task(listen(fleet, make_job(target.url, users=2, duration="60s"), told))
            await target.until(100)
            shown: dict[str, Any] = {"stats": []}
            async with asyncio.timeout(30):
                while "probe / one" not in {row["name"] for row in shown["stats"]}:
                    shown = await asyncio.to_thread(page, "/stats/requests")
                    await asyncio.sleep(0.05)
            assert (shown["state"], shown["user_count"], len(shown["workers"])) == ("running", 2, 1)
            assert (await asyncio.to_thread(page, "/stop", b""))["success"]
            async with asyncio.timeout(15):
                await running
            reason = fleet.look()
            assert reason is not None
            assert (reason.reason, "Stop button" in reason.detail) == ("locust", True)
            (result,) = fleet.results
            assert (result.lost, result.unaccounted) == ("", 0)
            totals = {row["name"]: row["requests"] for row in fleet.table}
            assert totals == {"probe / one": told.sent, "Aggregated": told.sent}

    with Target() as target:
        asyncio.run(story(target))


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
