"""Claim: a bullet's calls with httpx carry the flag inside the system; third parties never see it, and get no write."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Iterator
from typing import Any

import httpcore
import httpx
import pytest
from opentelemetry.instrumentation.httpx import HTTPXClientInstrumentor

from tests.unit.guards.http_contract import Answer, Client, HttpContract
from tests.unit.guards.peers import Peer, bullet, serving
from tracer_bullet.guards import WriteRefused

_PATCHED = ((httpcore.ConnectionPool, "handle_request"), (httpcore.AsyncConnectionPool, "handle_async_request"))


def _settings(proxy: str, trust: str) -> dict[str, Any]:
    return {
        "follow_redirects": True,
        "proxy": proxy or None,
        "verify": ssl.create_default_context(cafile=trust or None),
        "trust_env": False,
    }


def _answer(response: httpx.Response) -> Answer:
    return Answer(response.status_code, response.text, response.headers)


def _sync(
    method: str, url: str, *, body: bytes | None = None, headers: Any = None, proxy: str = "", trust: str = ""
) -> Answer:
    with httpx.Client(**_settings(proxy, trust)) as client:
        return _answer(client.request(method, url, content=body, headers=headers))


def _async(
    method: str, url: str, *, body: bytes | None = None, headers: Any = None, proxy: str = "", trust: str = ""
) -> Answer:
    async def main() -> Answer:
        async with httpx.AsyncClient(**_settings(proxy, trust)) as client:
            return _answer(await client.request(method, url, content=body, headers=headers))

    return asyncio.run(main())


class TestHttpx(HttpContract):
    @pytest.fixture(params=[_sync, _async], ids=["sync", "async"])
    def client(self, request: pytest.FixtureRequest) -> Client:
        return Client("httpx", request.param, _PATCHED, HTTPXClientInstrumentor())


@pytest.fixture
def peer() -> Iterator[Peer]:
    with serving() as found:
        yield found


def test_a_sandboxs_cookies_stay_out_of_a_shared_jar(peer: Peer, arm_service: Any) -> None:
    with serving() as sandbox, httpx.Client() as client:
        sandbox.cookie = peer.cookie = "sid=1; Path=/"
        with bullet(arm_service(egress="redirect", redirects=(("127.0.0.1", sandbox.url),))):
            client.post(peer.url + "/x", content=b"1")
        assert (len(sandbox.requests), len(client.cookies)) == (1, 0)
        client.post(peer.url + "/x", content=b"2")
        assert len(client.cookies) == 1, "a customer's own"


def _connect(origin: httpcore.Origin, request: httpcore.Request) -> int:
    with httpcore.HTTPConnection(origin=origin) as connection:
        response = connection.handle_request(request)
        response.read()
        return response.status


def _connect_async(origin: httpcore.Origin, request: httpcore.Request) -> int:
    async def main() -> int:
        async with httpcore.AsyncHTTPConnection(origin=origin) as connection:
            response = await connection.handle_async_request(request)
            await response.aread()
            return response.status

    return asyncio.run(main())


@pytest.mark.parametrize("send", [_connect, _connect_async])
def test_a_connection_without_a_pool_is_guarded(send: Any, peer: Peer, arm_service: Any, telemetry: Any) -> None:
    host, _, port = peer.host.partition(":")
    origin = httpcore.Origin(b"http", host.encode(), int(port))
    headers = {"host": peer.host, "content-length": "1"}

    def request() -> httpcore.Request:
        return httpcore.Request("POST", peer.url + "/x", content=b"1", headers=headers)

    with bullet(arm_service()), pytest.raises(WriteRefused):
        send(origin, request())
    assert (peer.stored, telemetry.decisions) == ([], [("denied", "POST 127.0.0.1/x")])
    assert send(origin, request()) == 201
    assert peer.stored == ["1"]
