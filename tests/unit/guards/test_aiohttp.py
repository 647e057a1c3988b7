"""Claim: a bullet's calls with aiohttp carry the flag inside the system, and write nowhere else."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Coroutine
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from opentelemetry.instrumentation.aiohttp_client import AioHttpClientInstrumentor

from tests.unit.guards.http_contract import Answer, Client, HttpContract
from tests.unit.guards.peers import bullet, serving
from tracer_bullet.guards import Rule, Stub, WriteRefused


def _run(main: Coroutine[Any, Any, Any]) -> Any:
    """As `asyncio.run`; aiohttp before 3.12 closes its sockets some steps after its session, TLS many."""

    async def settled() -> Any:
        try:
            return await main
        finally:
            watched: Any = asyncio.get_running_loop()
            async with asyncio.timeout(60):
                while len(watched._selector.get_map()) > 1:  # noqa: ASYNC110  # a selector has no event; its own stays
                    await asyncio.sleep(0.001)

    return asyncio.run(settled())


def _send(
    method: str, url: str, *, body: bytes | None = None, headers: Any = None, proxy: str = "", trust: str = ""
) -> Answer:
    async def call() -> Answer:
        context: Any = ssl.create_default_context(cafile=trust) if trust else True
        async with (
            aiohttp.ClientSession() as session,
            session.request(method, url, data=body, headers=headers, proxy=proxy or None, ssl=context) as response,
        ):
            lowered = {name.lower(): value for name, value in response.headers.items()}
            return Answer(response.status, await response.text(), lowered)

    return _run(call())


class TestAiohttp(HttpContract):
    @pytest.fixture
    def client(self) -> Client:
        return Client("aiohttp", _send, ((aiohttp.BaseConnector, "connect"),), AioHttpClientInstrumentor())


def test_a_stub_is_streamed_and_its_body_left(arm_service: Any) -> None:
    asked: list[int] = []

    async def parts() -> AsyncIterator[bytes]:
        for i in range(3):
            asked.append(i)
            yield b"x" * 100_000

    async def main() -> None:
        async with aiohttp.ClientSession() as session:
            async with session.post("https://payments.example/x", data=parts()) as response:
                assert [part async for part in response.content.iter_chunked(4)] == [b"abcd", b"efgh", b"ij"]
            async with session.post("https://payments.example/json", json={}) as response:
                assert (await response.json(), str(response.url)) == ({"a": 1}, "https://payments.example/json")
            with pytest.raises(aiohttp.ClientResponseError):
                await session.post("https://payments.example/no", raise_for_status=True)

    stubs = (
        Stub(url="https://payments.example/x", body="abcdefghij"),
        Stub(url="https://payments.example/json", json={"a": 1}),
        Stub(url="https://payments.example/no", status=409),
    )
    with bullet(arm_service(stubs=stubs)):
        _run(main())
    assert asked == []


def test_a_session_that_a_bullet_used_serves_customers(arm_service: Any) -> None:
    with serving() as peer:
        armed = arm_service(stubs=(Stub(url=peer.url + "/*", body="stubbed"),))

        async def post(session: aiohttp.ClientSession, value: bytes) -> str:
            async with session.post(peer.url + "/x", data=value) as response:
                return await response.text()

        async def main() -> None:
            async with aiohttp.ClientSession() as session:
                assert await post(session, b"1") == "real"
                with bullet(armed):
                    assert await post(session, b"2") == "stubbed"
                assert await post(session, b"3") == "real"

        _run(main())
        assert (peer.stored, peer.connections) == (["1", "3"], 1)


@pytest.mark.parametrize("inside", [True, False])
def test_websockets_of_third_parties_are_writes(inside: bool, arm_service: Any, telemetry: Any) -> None:
    seen: list[Any] = []

    async def echo(request: web.Request) -> web.WebSocketResponse:
        seen.append(request.headers.get("x-tracer-bullet"))
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        async for message in socket:
            await socket.send_str(message.data)
        return socket

    async def main() -> None:
        app = web.Application()
        app.router.add_get("/socket", echo)
        runner = web.AppRunner(app)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        host, port = runner.addresses[0][:2]
        settings: dict[str, Any] = {"system_hosts": (f"{host}:{port}",)} if inside else {}
        try:
            async with aiohttp.ClientSession() as session:
                with bullet(arm_service(**settings)):
                    async with session.ws_connect(f"http://{host}:{port}/socket") as socket:
                        await socket.send_str("hello")
                        assert (await socket.receive()).data == "hello"
        finally:
            await runner.cleanup()

    if inside:
        _run(main())
        assert (seen, telemetry.decisions) == (["a.b.c"], [])
        return
    with pytest.raises(WriteRefused):
        _run(main())
    assert (seen, telemetry.decisions) == ([], [("denied", "WEBSOCKET 127.0.0.1/socket")])


def test_a_websocket_can_be_allowed(arm_service: Any) -> None:
    armed = arm_service(rules=(Rule(sink="egress", operation="WEBSOCKET *", policy="allow"),))

    async def main() -> None:
        async with aiohttp.ClientSession() as session:
            with serving() as peer, bullet(armed), pytest.raises(aiohttp.WSServerHandshakeError):
                await session.ws_connect(peer.url + "/no-socket-here")
            assert [r.method for r in peer.requests] == ["GET"]

    _run(main())


def test_a_sandboxs_cookies_stay_out_of_a_shared_jar(arm_service: Any) -> None:
    async def main() -> None:
        jar = aiohttp.CookieJar(unsafe=True)  # of addresses, too
        with serving() as peer, serving() as sandbox:
            sandbox.cookie = peer.cookie = "sid=1; Path=/"
            armed = arm_service(egress="redirect", redirects=(("127.0.0.1", sandbox.url),))
            async with aiohttp.ClientSession(cookie_jar=jar) as session:
                with bullet(armed):
                    async with session.post(peer.url + "/x", data=b"1") as response:
                        assert (await response.read(), len(response.cookies)) == (b"real", 0)
                assert (len(sandbox.requests), len(jar)) == (1, 0)
                await (await session.post(peer.url + "/x", data=b"2")).read()
                assert len(jar) == 1, "a customer's own"

    _run(main())


def test_a_bullet_sends_nothing_over_a_websocket_of_others(arm_service: Any, telemetry: Any) -> None:
    seen = []

    async def socket(request: web.Request) -> web.WebSocketResponse:
        found = web.WebSocketResponse()
        await found.prepare(request)
        async for message in found:
            seen.append(message.data)
            await found.send_str("seen")
        return found

    async def main() -> None:
        app = web.Application()
        app.router.add_get("/socket", socket)
        runner = web.AppRunner(app)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        host, port = runner.addresses[0][:2]
        try:
            async with aiohttp.ClientSession() as session:
                for hosts in ((), ("127.0.0.1",)):  # inside the system it would carry no flag
                    armed = arm_service(system_hosts=hosts)
                    async with session.ws_connect(f"http://{host}:{port}/socket") as open_before:
                        await open_before.send_str("customer")
                        assert (await open_before.receive()).data == "seen"
                        with bullet(armed):
                            for send in (open_before.send_str, open_before.send_json):
                                with pytest.raises(WriteRefused, match="outside of this bullet"):
                                    await send("bullet")
                            with pytest.raises(WriteRefused, match="outside of this bullet"):
                                await open_before.send_bytes(b"bullet")
        finally:
            await runner.cleanup()

    _run(main())
    assert seen == ["customer"] * 2
    assert telemetry.decisions == [("denied", "WEBSOCKET 127.0.0.1/socket")] * 6
