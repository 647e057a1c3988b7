"""What passes through the real Envoy arrives unharmed, and is recorded as it was."""

from __future__ import annotations

import asyncio
import gzip
import itertools
from pathlib import Path
from typing import Any

import httpx

from tests.unit.capture.proxy.running import Running, proxying
from tests.unit.capture.proxy.target import GZIPPED, serving
from tracer_bullet.model.exchange import Exchange, Lack

ALL_BYTES = bytes(range(256)) * 8


def _one(running: Running, target: str) -> Exchange:
    (found,) = [e for e in running.kept if e.request.target == target]
    return found


def test_a_request_is_recorded_as_it_was_sent_and_answered() -> None:
    async def check() -> None:
        async with serving() as target, proxying(target.url) as running:
            async with httpx.AsyncClient(base_url=running.url) as client:
                headers = [("X-Repeated", "one"), ("X-Repeated", "two"), ("Content-Type", "application/octet-stream")]
                answer = await client.post("/a%20b/c?d=e&f", content=ALL_BYTES, headers=headers)
            ended = await running.end()
        assert answer.content == ALL_BYTES
        assert (ended.why, ended.error) == ("stopped", None)
        assert (ended.counts.finished, ended.counts.kept, ended.counts.missed) == (1, 1, 0)
        (exchange,) = running.kept
        request = exchange.request
        assert (request.method, request.scheme, request.target) == ("POST", "http", "/a%20b/c?d=e&f")
        assert request.authority == f"127.0.0.1:{running.ready.port}"
        assert (request.http_version, request.body) == ("1.1", ALL_BYTES)
        assert request.values("x-repeated") == ["one", "two"]
        assert exchange.answer is not None
        assert (exchange.answer.status, exchange.answer.body) == (200, ALL_BYTES)
        assert exchange.answer.values("x-mixed-case") == ["kept"]
        assert exchange.answer.values("server") == []
        assert "server" not in answer.headers
        assert exchange.lacks == frozenset()
        assert exchange.session

    asyncio.run(check())


def test_the_target_gets_what_the_client_sent_and_no_more() -> None:
    async def check() -> None:
        async with serving() as target, proxying(target.url) as running:
            async with httpx.AsyncClient(base_url=running.url) as client:
                sent = {"X-Forwarded-For": "203.0.113.9", "X-Request-Id": "theirs"}
                await client.get("/plain//double/%2e%2E/up?q=%2F", headers=sent)
                await client.get("/bare")
            await running.end()
            got, bare = target.got
        assert got.line == "GET /plain//double/%2e%2E/up?q=%2F HTTP/1.1"
        named = dict(got.headers)
        assert named["Host"] == f"127.0.0.1:{running.ready.port}"
        assert {name: named.get(name) for name in sent} == sent  # the names in their case, too
        ours = {"Host", "Accept", "Accept-Encoding", "Connection", "User-Agent"}
        assert {n for n in named if n not in ours and n not in sent} == {"x-forwarded-proto"}
        assert {n for n, _ in bare.headers} - ours == {"x-forwarded-proto"}
        assert running.kept[0].request.values("x-forwarded-proto") == []

    asyncio.run(check())


def test_host_can_be_rewritten_to_the_targets() -> None:
    async def check() -> None:
        async with serving() as target, proxying(target.url, rewrite_host=True) as running:
            async with httpx.AsyncClient(base_url=running.url) as client:
                await client.get("/")
            await running.end()
        assert dict(target.got[0].headers)["Host"] == f"127.0.0.1:{target.port}"

    asyncio.run(check())


def test_chunked_and_compressed_bodies_are_kept_as_they_were() -> None:
    async def pieces() -> Any:
        yield b"first"
        yield ALL_BYTES

    async def check() -> None:
        async with serving() as target, proxying(target.url) as running:
            async with httpx.AsyncClient(base_url=running.url) as client:
                await client.post("/up", content=pieces())
                assert (await client.get("/chunked")).content == b"firstsecond"
                assert (await client.get("/gzip")).content == gzip.decompress(GZIPPED)
            await running.end()
        assert target.got[0].body == b"first" + ALL_BYTES
        assert _one(running, "/up").request.body == b"first" + ALL_BYTES
        chunked = _one(running, "/chunked").answer
        assert chunked is not None
        assert (chunked.body, chunked.trailers) == (b"firstsecond", (("x-sum", "11"),))
        compressed = _one(running, "/gzip").answer
        assert compressed is not None
        assert (compressed.body, compressed.values("content-encoding")) == (GZIPPED, ["gzip"])
        assert all(e.lacks == frozenset() for e in running.kept)

    asyncio.run(check())


def test_bodies_past_the_limit_are_cut_and_marked_and_arrive_whole() -> None:
    async def check() -> None:
        async with serving() as target, proxying(target.url, body_limit=100) as running:
            async with httpx.AsyncClient(base_url=running.url) as client:
                answer = await client.post("/large", content=ALL_BYTES)
                await client.post("/exact", content=ALL_BYTES[:100])
            await running.end()
        assert answer.content == ALL_BYTES
        large = _one(running, "/large")
        assert large.request.body == ALL_BYTES[:100]
        assert large.answer is not None
        assert large.answer.body == ALL_BYTES[:100]
        assert large.lacks == {Lack.REQUEST_BODY_CUT, Lack.ANSWER_BODY_CUT}
        assert large.unreplayable == "body-cut"
        assert _one(running, "/exact").lacks == frozenset()

    asyncio.run(check())


def test_times_are_in_order_and_those_of_the_wire() -> None:
    async def check() -> None:
        async with serving() as target, proxying(target.url) as running:
            async with httpx.AsyncClient(base_url=running.url) as client, client.stream("GET", "/held") as answer:
                content = answer.aiter_bytes()
                assert await anext(content) == b"hello"
                await asyncio.sleep(0.3)  # what is measured
                target.go.set()
                assert [part async for part in content] == [b"world"]
            await running.end()
        (exchange,) = running.kept
        assert exchange.first_byte_ns is not None
        assert exchange.ended_ns is not None
        assert exchange.started_ns <= exchange.first_byte_ns < exchange.ended_ns
        assert exchange.ended_ns - exchange.first_byte_ns >= 250_000_000

    asyncio.run(check())


def test_an_answer_that_breaks_off_is_marked_as_cut() -> None:
    async def check() -> None:
        async with serving() as target, proxying(target.url) as running:
            async with httpx.AsyncClient(base_url=running.url) as client:
                try:
                    async with client.stream("GET", "/torn") as answer:
                        async for part in answer.aiter_bytes():
                            assert part == b"hello"
                            target.go.set()
                except httpx.RemoteProtocolError:
                    pass
            await running.end()
        (exchange,) = running.kept
        assert exchange.lacks == {Lack.ANSWER_BODY_CUT}

    asyncio.run(check())


def test_a_request_whose_client_went_away_is_marked_as_cut() -> None:
    async def check() -> None:
        async with serving() as target, proxying(target.url) as running:
            _, writer = await asyncio.open_connection("127.0.0.1", running.ready.port)
            writer.write(b"POST /half HTTP/1.1\r\nhost: x\r\ncontent-length: 10\r\n\r\nhal")
            await writer.drain()
            await asyncio.sleep(0.05)  # else the end may come with the head
            writer.close()
            await running.until(lambda: bool(running.kept))
            await running.end()
        (exchange,) = running.kept
        assert exchange.request.body == b"hal"
        assert {Lack.REQUEST_BODY_CUT, Lack.ANSWER} <= exchange.lacks
        assert exchange.unreplayable == "body-cut"

    asyncio.run(check())


def test_http_2_is_recorded_as_http_2_and_each_stream_once() -> None:
    async def check() -> None:
        async with serving() as target, proxying(target.url, upstream="1.1") as running:
            async with httpx.AsyncClient(base_url=running.url, http1=False, http2=True) as client:
                posted = await client.post("/posted", content=ALL_BYTES)
                # Not at once with bodies: httpcore loses its way when an answer comes before it has ended its request.
                answers = await asyncio.gather(*(client.get(f"/{n}") for n in range(40)))
            ended = await running.end()
        assert {a.http_version for a in (posted, *answers)} == {"HTTP/2"}
        assert posted.content == ALL_BYTES
        assert ended.counts.kept == 41
        assert _one(running, "/posted").request.body == ALL_BYTES
        assert {e.request.target for e in running.kept} == {"/posted", *(f"/{n}" for n in range(40))}
        assert {(e.request.http_version, e.lacks) for e in running.kept} == {("2", frozenset())}

    asyncio.run(check())


def test_two_hundred_requests_at_once_are_all_recorded_and_none_twice() -> None:
    async def check() -> None:
        async with serving() as target, proxying(target.url) as running:
            limits = httpx.Limits(max_connections=200)
            async with httpx.AsyncClient(base_url=running.url, limits=limits, timeout=60) as client:
                bodies = [b"%d " % n * 300 for n in range(200)]
                answers = await asyncio.gather(*(client.post(f"/{n}", content=b) for n, b in enumerate(bodies)))
            ended = await running.end()
        assert [a.content for a in answers] == bodies
        assert (ended.counts.kept, ended.counts.missed, ended.counts.dropped) == (200, 0, 0)
        found = sorted((int(e.request.target[1:]), e.request.body) for e in running.kept)
        assert found == list(enumerate(bodies))
        assert all(e.answer is not None and e.answer.body == e.request.body for e in running.kept)
        assert all(e.lacks == frozenset() for e in running.kept)
        sessions = itertools.groupby(sorted(running.kept, key=lambda e: (e.session, e.started_ns)), lambda e: e.session)
        for _, of_connection in sessions:
            times = [(e.started_ns, e.ended_ns) for e in of_connection]
            assert all(a[1] is not None and a[1] <= b[0] for a, b in itertools.pairwise(times))

    asyncio.run(check())


def test_a_web_socket_passes_and_its_frames_are_not_kept() -> None:
    async def check() -> None:
        async with serving() as target, proxying(target.url) as running:
            reader, writer = await asyncio.open_connection("127.0.0.1", running.ready.port)
            head = b"GET /socket HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
            writer.write(head)
            assert b" 101 " in await reader.readuntil(b"\r\n\r\n")
            writer.write(b"frame with secret")
            assert await reader.readexactly(22) == b"echo frame with secret"
            writer.close()
            await running.until(lambda: bool(running.kept))
            await running.end()
            assert target.got[0].line == "GET /socket HTTP/1.1"
        (exchange,) = running.kept
        assert exchange.unreplayable == "upgrade"
        assert exchange.request.body is None
        assert exchange.answer is not None
        assert (exchange.answer.status, exchange.answer.body) == (101, None)
        assert {Lack.REQUEST_BODY, Lack.ANSWER_BODY} <= exchange.lacks

    asyncio.run(check())


def test_the_access_log_alone_has_times_and_no_bodies(tmp_path: Path) -> None:
    async def check() -> None:
        async with serving() as target, proxying(target.url, log_only=True) as running:
            async with httpx.AsyncClient(base_url=running.url) as client:
                await client.post("/a?b=c", content=b"body", headers={"traceparent": f"00-{'a' * 32}-{'b' * 16}-01"})
                await client.get("/d")
            await running.until(lambda: len(running.kept) == 2)
            ended = await running.end()
        assert (ended.counts.kept, ended.counts.missed) == (2, 0)
        exchange = _one(running, "/a?b=c")
        assert (exchange.request.method, exchange.request.body) == ("POST", None)
        assert exchange.request.values("traceparent")
        assert exchange.ended_ns is not None
        assert exchange.started_ns < exchange.ended_ns
        assert Lack.START not in exchange.lacks
        assert Lack.REQUEST_BODY in exchange.lacks
        assert exchange.unreplayable == "write-without-body"
        assert exchange.answer is not None
        assert exchange.answer.status == 200

    asyncio.run(check())
