"""Claim: a bullet's calls with urllib3 and requests carry the flag inside the system, and write nowhere else."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

import pytest
import requests
import urllib3
from opentelemetry.instrumentation.requests import RequestsInstrumentor
from opentelemetry.instrumentation.urllib3 import URLLib3Instrumentor

from tests.unit.guards.http_contract import Answer, Client, HttpContract
from tests.unit.guards.peers import Peer, bullet, serving
from tracer_bullet.guards import Stub

_POOLS = urllib3.connectionpool
_PATCHED = ((_POOLS.HTTPConnectionPool, "_make_request"), (_POOLS.HTTPSConnectionPool, "_prepare_proxy"))


def _with_urllib3(
    method: str, url: str, *, body: bytes | None = None, headers: Any = None, proxy: str = "", trust: str = ""
) -> Answer:
    settings = {"ca_certs": trust} if trust else {}
    pools: Any = urllib3.ProxyManager(proxy, **settings) if proxy else urllib3.PoolManager(**settings)
    with pools:
        response = pools.request(method, url, body=body, headers=headers)
        lowered = {name.lower(): value for name, value in response.headers.items()}
        return Answer(response.status, response.data.decode(), lowered)


def _with_requests(
    method: str, url: str, *, body: bytes | None = None, headers: Any = None, proxy: str = "", trust: str = ""
) -> Answer:
    with requests.Session() as session:
        session.trust_env = False
        settings = {"proxies": {"http": proxy, "https": proxy} if proxy else {}, "verify": trust or True}
        response = session.request(method, url, data=body, headers=headers, **settings)
        assert response.elapsed.total_seconds() > 0
        return Answer(response.status_code, response.text, response.headers)


class TestUrllib3(HttpContract):
    @pytest.fixture
    def client(self) -> Client:
        return Client("urllib3", _with_urllib3, _PATCHED, URLLib3Instrumentor())


class TestRequests(HttpContract):
    @pytest.fixture
    def client(self) -> Client:
        return Client("urllib3", _with_requests, _PATCHED, RequestsInstrumentor())


@pytest.fixture
def peer() -> Iterator[Peer]:
    with serving() as found:
        yield found


def test_a_stub_is_streamed(peer: Peer, arm_service: Any) -> None:
    stub = Stub(url=peer.url + "/*", body="ab" * 5000)
    with bullet(arm_service(stubs=(stub,))), requests.post(peer.url + "/x", stream=True, timeout=60) as response:
        assert b"".join(response.iter_content(1000)) == b"ab" * 5000
    with bullet(arm_service(stubs=(stub,))), urllib3.PoolManager() as pools:
        raw = pools.request("POST", peer.url + "/x", preload_content=False)
        assert raw.read(3) == b"aba"
        assert len(raw.read()) == 9997
        raw.release_conn()


def test_raise_for_status_and_json(arm_service: Any) -> None:
    stubs = (
        Stub(url="https://payments.example/ok", json={"id": 1}),
        Stub(url="https://payments.example/no", status=402, json={"error": "card"}),
    )
    with bullet(arm_service(stubs=stubs)):
        assert requests.post("https://payments.example/ok", json={}, timeout=60).json() == {"id": 1}
        refused = requests.post("https://payments.example/no", json={}, timeout=60)
    assert refused.reason == "Payment Required"
    with pytest.raises(requests.HTTPError):
        refused.raise_for_status()


def test_what_was_to_be_sent_is_left_as_it_was(peer: Peer, arm_service: Any) -> None:
    body = io.BytesIO(b"upload")
    with bullet(arm_service(stubs=(Stub(url=peer.url + "/*"),))):
        requests.put(peer.url + "/x", data=body, timeout=60)
        requests.put(peer.url + "/x", data=iter([b"part"]), timeout=60)
    assert body.tell() == 0
    assert peer.requests == []


def test_a_pool_that_a_bullet_used_serves_customers(peer: Peer, arm_service: Any) -> None:
    armed = arm_service(stubs=(Stub(url=peer.url + "/*", body="stubbed"),))
    with requests.Session() as session:
        assert session.post(peer.url + "/x", data=b"1", timeout=60).text == "real"
        with bullet(armed):
            assert session.post(peer.url + "/x", data=b"2", timeout=60).text == "stubbed"
        assert session.post(peer.url + "/x", data=b"3", timeout=60).text == "real"
    assert (peer.stored, peer.connections) == (["1", "3"], 1)


def test_retries_are_judged_and_counted_like_first_calls(arm_service: Any, telemetry: Any) -> None:
    retry = urllib3.Retry(total=2, status_forcelist=[503], allowed_methods=None, backoff_factor=0)
    armed = arm_service(stubs=(Stub(url="http://payments.example/*", status=503),))
    with bullet(armed), urllib3.PoolManager() as pools, pytest.raises(urllib3.exceptions.MaxRetryError):
        pools.request("POST", "http://payments.example/x", retries=retry)
    assert telemetry.decisions == [("stubbed", "POST payments.example/x")] * 3


def test_a_path_that_holds_an_address_is_a_path(peer: Peer, arm_service: Any) -> None:
    with bullet(arm_service(system_hosts=("127.0.0.1",))):
        requests.post(peer.url + "/fetch/http://payments.example/x", data=b"1", timeout=60).close()
    assert [(r.path, r.claim is not None) for r in peer.requests] == [("/fetch/http://payments.example/x", True)]


def test_a_sandboxs_cookies_stay_out_of_a_shared_jar(peer: Peer, arm_service: Any) -> None:
    with serving() as sandbox, requests.Session() as session:
        sandbox.cookie = peer.cookie = "sid=1; Path=/"
        with bullet(arm_service(egress="redirect", redirects=(("127.0.0.1", sandbox.url),))):
            session.post(peer.url + "/x", data=b"1", timeout=60)
        assert (len(sandbox.requests), len(session.cookies)) == (1, 0)
        session.post(peer.url + "/x", data=b"2", timeout=60)
        assert len(session.cookies) == 1, "a customer's own"
