"""TLS on either side of the proxy, and gRPC through it."""

from __future__ import annotations

import asyncio
import ipaddress
import ssl
from pathlib import Path

import grpc
import grpc.aio
import httpx
from cryptography import x509

from tests.servers.certificates import Authority
from tests.unit.capture.proxy.running import proxying
from tests.unit.capture.proxy.target import serving
from tracer_bullet.capture.proxy.envoy.bootstrap import bootstrap
from tracer_bullet.capture.proxy.spec import ProxySpec, parse_target


def _served(authority: Authority, name: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    context.load_cert_chain(*authority.issue(name, x509.DNSName(name), address))
    return context


def test_a_target_over_tls_is_verified(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    (tmp_path / "other").mkdir()
    stranger = Authority(tmp_path / "other")

    async def status(**settings: object) -> tuple[int, str]:
        async with (
            serving(_served(authority, "shop")) as target,
            proxying(target.url.replace("http:", "https:"), **settings) as running,
        ):
            async with httpx.AsyncClient(base_url=running.url, timeout=60) as client:
                answer = await client.post("/x", content=b"body")
            await running.end()
        (exchange,) = running.kept
        assert exchange.request.body == b"body"
        assert exchange.request.scheme == "http"
        return answer.status_code, answer.text

    assert asyncio.run(status(ca_file=authority.ca)) == (200, "body")
    assert asyncio.run(status(verify=False)) == (200, "body")
    refused, _ = asyncio.run(status(ca_file=stranger.ca))
    assert refused == 503


def test_the_proxy_itself_can_speak_tls(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    certificate, private_key = authority.issue("proxy", address)
    trusted = ssl.create_default_context(cafile=str(authority.ca))

    async def check() -> None:
        async with (
            serving() as target,
            proxying(target.url, certificate=certificate, private_key=private_key, upstream="1.1") as running,
        ):
            url = running.url.replace("http:", "https:")
            async with httpx.AsyncClient(base_url=url, verify=trusted, http2=True) as client:
                answer = await client.get("/x")
            await running.end()
        assert (answer.status_code, answer.http_version) == (200, "HTTP/2")
        (exchange,) = running.kept
        assert (exchange.request.scheme, exchange.request.http_version) == ("https", "2")
        assert exchange.request.values("x-forwarded-proto") == []

    asyncio.run(check())


def test_grpc_passes_with_its_trailers() -> None:
    async def echo(request: bytes, context: grpc.aio.ServicerContext) -> bytes:
        context.set_trailing_metadata((("x-after", "last"),))
        return b"echo " + request

    async def check() -> None:
        server = grpc.aio.server()
        handlers = {"Say": grpc.unary_unary_rpc_method_handler(echo)}
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("tests.Echo", handlers),))
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        try:
            async with proxying(f"http://127.0.0.1:{port}") as running:
                async with grpc.aio.insecure_channel(running.url.removeprefix("http://")) as channel:
                    call = channel.unary_unary("/tests.Echo/Say")(b"hello")
                    assert await call == b"echo hello"
                    assert ("x-after", "last") in tuple(await call.trailing_metadata())
                await running.end()
        finally:
            await server.stop(None)
        (exchange,) = running.kept
        assert exchange.request.target == "/tests.Echo/Say"
        assert exchange.request.http_version == "2"
        assert exchange.request.body == b"\0\0\0\0\5hello"
        assert exchange.answer is not None
        assert exchange.answer.body == b"\0\0\0\0\x0aecho hello"
        assert ("grpc-status", "0") in exchange.answer.trailers
        assert ("x-after", "last") in exchange.answer.trailers

    asyncio.run(check())


def test_the_admin_interface_is_on_loopback_and_says_little() -> None:
    found = bootstrap(ProxySpec(host="0.0.0.0", port=80, target=parse_target("http://shop")))["admin"]
    assert found["address"]["socket_address"]["address"] == "127.0.0.1"
    allowed = {path for rule in found["allow_paths"] for path in rule.values()}
    assert allowed == {"/tap", "/ready", "/listeners", "/stats?", "/drain_listeners"}
