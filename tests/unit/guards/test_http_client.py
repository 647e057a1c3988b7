"""Claim: a bullet's calls with the standard library carry the flag inside the system, and write nowhere else."""

from __future__ import annotations

import http.client
import http.cookiejar
import ssl
import urllib.request
from collections.abc import Iterator
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlsplit

import pytest
from opentelemetry.instrumentation.urllib import URLLibInstrumentor

from tests.unit.guards.http_contract import Answer, Client, HttpContract
from tests.unit.guards.peers import Peer, bullet, serving
from tracer_bullet.guards import Stub, WriteRefused

_PATCHED = ((http.client.HTTPConnection, "endheaders"),)


class _Redirects(urllib.request.HTTPRedirectHandler):
    """The standard one turns no POST with 307 into another POST; the contract's redirects are like other clients'."""

    def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Any:
        if code != 307:
            return super().redirect_request(req, fp, code, msg, headers, newurl)
        return urllib.request.Request(newurl, req.data, dict(req.headers), method=req.get_method())


def _with_urllib(
    method: str, url: str, *, body: bytes | None = None, headers: Any = None, proxy: str = "", trust: str = ""
) -> Answer:
    handlers: list[Any] = [urllib.request.ProxyHandler({"http": proxy, "https": proxy} if proxy else {}), _Redirects]
    if trust:
        handlers.append(urllib.request.HTTPSHandler(context=ssl.create_default_context(cafile=trust)))
    request = urllib.request.Request(url, body, dict(headers or {}), method=method)
    try:
        with urllib.request.build_opener(*handlers).open(request, timeout=60) as response:
            return _answer(response)
    except HTTPError as error:
        with error:
            return _answer(error)


def _with_http_client(
    method: str, url: str, *, body: bytes | None = None, headers: Any = None, proxy: str = "", trust: str = ""
) -> Answer:
    """As urllib does it, by hand and in steps."""
    to = urlsplit(url)
    context = ssl.create_default_context(cafile=trust or None)
    at = urlsplit(proxy) if proxy else to
    if to.scheme == "https":
        connection: Any = http.client.HTTPSConnection(at.hostname or "", at.port, timeout=60, context=context)
    else:
        connection = http.client.HTTPConnection(at.hostname or "", at.port, timeout=60)
    if proxy and to.scheme == "https":
        connection.set_tunnel(to.hostname or "", to.port)
    target = url if proxy and to.scheme == "http" else to._replace(scheme="", netloc="").geturl()
    try:
        connection.putrequest(method, target)
        for name, value in (headers or {}).items():
            connection.putheader(name, value)
        connection.putheader("Content-Length", str(len(body or b"")))
        connection.endheaders()
        for start in range(0, len(body or b""), 1000):
            connection.send((body or b"")[start : start + 1000])
        with connection.getresponse() as response:
            found = _answer(response)
    finally:
        connection.close()
    if found.status in (302, 307):
        kept = (method, body) if found.status == 307 else ("GET", None)
        return _with_http_client(kept[0], found.headers["location"], body=kept[1], headers=headers, proxy=proxy)
    return found


def _answer(response: Any) -> Answer:
    return Answer(
        response.status, response.read().decode(), {name.lower(): value for name, value in response.headers.items()}
    )


class TestUrllib(HttpContract):
    @pytest.fixture
    def client(self) -> Client:
        return Client("http.client", _with_urllib, _PATCHED, URLLibInstrumentor())


class TestHttpClient(HttpContract):
    @pytest.fixture
    def client(self) -> Client:
        return Client("http.client", _with_http_client, _PATCHED, None)


@pytest.fixture
def peer() -> Iterator[Peer]:
    with serving() as found:
        yield found


def test_a_connection_that_a_bullet_used_serves_customers(peer: Peer, arm_service: Any) -> None:
    with serving() as sandbox:
        armed = arm_service(stubs=(Stub(url=peer.url + "/stub", body="stubbed"),))
        moved = arm_service(egress="redirect", redirects=(("127.0.0.1", sandbox.url),))
        connection = http.client.HTTPConnection(peer.host, timeout=60)

        def post(path: str, value: str) -> str:
            connection.request("POST", path, value)
            return connection.getresponse().read().decode()

        assert post("/x", "1") == "real"
        with bullet(armed):
            assert post("/stub", "2") == "stubbed"
            with pytest.raises(WriteRefused):
                post("/refused", "3")
        with bullet(moved):
            assert post("/x", "4") == "real"
        assert post("/x", "5") == "real"
        connection.close()
        assert (peer.stored, sandbox.stored) == (["1", "5"], ["4"])
        assert [r.path for r in (*peer.requests, *sandbox.requests)] == ["/x"] * 3


def test_a_protocol_upgrade_is_no_read(peer: Peer, arm_service: Any, telemetry: Any) -> None:
    connection = http.client.HTTPConnection(peer.host, timeout=60)
    headers = {"Connection": "Upgrade", "Upgrade": "websocket"}
    with bullet(arm_service()), pytest.raises(WriteRefused):
        connection.request("GET", "/socket", headers=headers)
    assert telemetry.decisions == [("denied", "WEBSOCKET 127.0.0.1/socket")]
    assert peer.requests == []


def test_bytes_that_are_no_request_are_refused(peer: Peer, arm_service: Any, telemetry: Any) -> None:
    raw = b"POST /charges HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nraw"
    connection = http.client.HTTPConnection(peer.host, timeout=60)
    connection.connect()
    with bullet(arm_service()):
        with pytest.raises(WriteRefused, match="no request"):
            connection.send(raw)
        connection.request("GET", "/")
        assert connection.getresponse().read() == b"real"
        with pytest.raises(WriteRefused, match="no request"):
            connection.send(raw)
    assert telemetry.decisions == [("denied", "SEND 127.0.0.1")] * 2
    connection.send(raw)
    assert connection.sock.recv(12) == b"HTTP/1.1 201", "a customer's"
    connection.close()
    assert peer.stored == ["raw"]


def test_a_path_that_holds_an_address_is_a_path(peer: Peer, arm_service: Any) -> None:
    connection = http.client.HTTPConnection(peer.host, timeout=60)
    with bullet(arm_service(system_hosts=("127.0.0.1",))):
        connection.request("POST", "/fetch/http://payments.example/x", b"1")
        connection.getresponse().read()
    connection.close()
    assert [(r.path, r.claim is not None) for r in peer.requests] == [("/fetch/http://payments.example/x", True)]


def test_a_sandboxs_cookies_stay_out_of_a_shared_jar(peer: Peer, arm_service: Any) -> None:
    jar = http.cookiejar.CookieJar()
    opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(jar))
    with serving() as sandbox:
        sandbox.cookie = peer.cookie = "sid=1; Path=/"
        with bullet(arm_service(egress="redirect", redirects=(("127.0.0.1", sandbox.url),))):
            opener.open(peer.url + "/x", b"1", timeout=60).close()
        assert (len(sandbox.requests), len(jar)) == (1, 0)
    opener.open(peer.url + "/x", b"1", timeout=60).close()
    assert len(jar) == 1, "a customer's own"
