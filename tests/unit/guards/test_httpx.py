"""Claim: a bullet's calls with httpx carry the flag inside the system; third parties never see it, and get no write."""

from __future__ import annotations

import asyncio
import ssl
from typing import Any

import httpcore
import httpx
import pytest
from opentelemetry.instrumentation.httpx import HTTPXClientInstrumentor

from tests.unit.guards.http_contract import Answer, Client, HttpContract

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
