"""Claim: the real Envoy, under the configuration that we write, lets no write of a bullet out."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from tests.e2e.sidecars import OUTBOUND, Headers, Keys, client, everything, new_keys, sidecar, with_failing
from tests.servers.certificates import Authority, host
from tests.servers.envoy import EnvoyServer, Recorder, Seen
from tracer_bullet.envoy import render


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Keys:
    return new_keys(tmp_path_factory)


@dataclass
class Egress:
    """The service's way out: one server inside the system, a third party, a sandbox and a third party by TLS."""

    envoy: EnvoyServer
    inside: Recorder
    party: Recorder
    sandbox: Recorder
    secure: Recorder
    client: httpx.Client
    bullet: list[tuple[str, str]]

    def call(self, method: str, url: str, headers: Headers) -> httpx.Response:
        for server in (self.inside, self.party, self.sandbox, self.secure):
            server.take()
        return self.client.request(method, url, headers=list(headers), content=b"body")


@pytest.fixture(scope="module")
def egress(keys: Keys, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Egress]:
    authority = Authority(tmp_path_factory.mktemp("authority"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*authority.issue("localhost", host("localhost")))
    stubs = [
        {"url": "https://payments.example/charges*", "method": "POST", "status": 201,
         "json": {"id": "ch_test", "share": "100%"}, "headers": {"X-Stub": "50%"}},
        {"url": "http://mail.example/*", "body": "queued"},
    ]  # fmt: skip
    with Recorder() as inside, Recorder() as party, Recorder() as sandbox, Recorder(context) as secure:
        outbound = {
            "listen": "127.0.0.1:0",
            "system_hosts": [inside.address],
            "stubs": stubs,
            "redirects": {"billing.*": f"http://{sandbox.address}/box"},
            "tls_hosts": ["localhost"],
            "tls_ca": str(authority.ca),
        }
        config = render(sidecar(outbound=outbound), keys.jwks)
        with EnvoyServer(config, tmp_path_factory.mktemp("egress")) as envoy:
            proxy = httpx.Proxy(envoy.url(OUTBOUND))
            with client(mounts={"http://": httpx.HTTPTransport(proxy=proxy)}) as own:
                bullet = [*everything(keys.token()), ("baggage", "session=s"), ("tracestate", "v=1")]
                yield Egress(envoy, inside, party, sandbox, secure, own, bullet)


def carriers(seen: Seen) -> list[tuple[str, str]]:
    return [(n, v) for n, v in seen.headers if n in ("baggage", "tracestate", "x-tracer-bullet")]


@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
def test_calls_into_the_system_keep_the_flag(method: str, egress: Egress) -> None:
    assert egress.call(method, f"http://{egress.inside.address}/x?y=1", egress.bullet).status_code == 200
    (seen,) = egress.inside.take()
    assert sorted(carriers(seen)) == sorted(egress.bullet)
    assert (seen.method, seen.path, seen.values("host")) == (method, "/x?y=1", [egress.inside.address])


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS"])
def test_a_bullets_safe_calls_pass_without_the_flag(method: str, egress: Egress) -> None:
    assert egress.call(method, f"http://{egress.party.address}/x", egress.bullet).status_code == 200
    (seen,) = egress.party.take()
    assert carriers(seen) == [("baggage", "session=s"), ("tracestate", "v=1")]


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "PROPFIND"])
@pytest.mark.parametrize("flag", [0, 1, 2])
def test_a_bullets_unsafe_calls_are_refused(method: str, flag: int, egress: Egress) -> None:
    """Whichever one carrier is left of the flag."""
    answer = egress.call(method, f"http://{egress.party.address}/x", [egress.bullet[flag]])
    assert (answer.status_code, answer.json()["type"]) == (403, "urn:tracer-bullet:write-refused")
    assert egress.party.take() == []


def test_a_stub_answers_in_the_third_partys_place(egress: Egress) -> None:
    answer = egress.call("POST", "http://payments.example/charges/1?key=secret", egress.bullet)
    assert (answer.status_code, answer.json()) == (201, {"id": "ch_test", "share": "100%"})
    assert (answer.headers["content-type"], answer.headers["x-stub"]) == ("application/json", "50%")
    assert answer.headers["x-tracer-bullet-decision"] == "stubbed"
    assert egress.call("PUT", "http://Mail.example/send", egress.bullet).text == "queued"
    assert egress.call("PUT", "http://payments.example/charges", egress.bullet).status_code == 403
    assert egress.call("POST", "http://payments.example/refunds", egress.bullet).status_code == 403


def test_a_sandbox_gets_the_call_without_the_flag(egress: Egress) -> None:
    answer = egress.call("POST", "http://billing.example/invoices?x=1", egress.bullet)
    assert (answer.status_code, answer.headers["x-tracer-bullet-decision"]) == (200, "shadowed")
    (seen,) = egress.sandbox.take()
    assert (seen.path, seen.values("host"), seen.body) == ("/box/invoices?x=1", [egress.sandbox.address], b"body")
    assert carriers(seen) == [("baggage", "session=s"), ("tracestate", "v=1")]


@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
def test_customers_calls_pass_untouched(method: str, egress: Egress) -> None:
    sent = [("baggage", "user_id=u,request_type=STANDARD"), ("baggage", "a=1"), ("tracestate", "v=1")]
    answer = egress.call(method, f"http://{egress.party.address}/x?y=%2F", sent)
    assert (answer.status_code, answer.text) == (200, "hello")
    (seen,) = egress.party.take()
    assert (seen.path, seen.body, carriers(seen)) == ("/x?y=%2F", b"body", sent)
    assert "x-tracer-bullet-decision" not in answer.headers


def test_it_speaks_tls_to_hosts_that_want_it(egress: Egress) -> None:
    url = f"http://localhost:{egress.secure.port}/x"
    assert egress.call("POST", url, []).text == "hello"
    assert len(egress.secure.take()) == 1
    assert egress.call("GET", url, egress.bullet).status_code == 200
    (seen,) = egress.secure.take()
    assert "x-tracer-bullet" not in dict(seen.headers)
    assert egress.call("POST", url, egress.bullet).status_code == 403
    assert egress.secure.take() == []


def test_a_tunnel_is_refused_since_nobody_could_look_into_it(egress: Egress) -> None:
    proxy = httpx.Proxy(egress.envoy.url(OUTBOUND))
    with client(mounts={"https://": httpx.HTTPTransport(proxy=proxy)}) as own, pytest.raises(httpx.ProxyError):
        own.get(f"https://localhost:{egress.secure.port}/")
    assert egress.secure.take() == []


def test_outbound_a_script_that_fails_lets_no_write_out(keys: Keys, tmp_path: Path) -> None:
    with Recorder() as party:
        spec = sidecar(outbound={"listen": "127.0.0.1:0"})
        config = with_failing(render(spec, keys.jwks, as_json=True), "local function read_claim(headers)")
        with EnvoyServer(config, tmp_path) as envoy:
            proxy = httpx.Proxy(envoy.url(OUTBOUND))
            with client(mounts={"http://": httpx.HTTPTransport(proxy=proxy)}) as own:
                url = f"http://{party.address}/x"
                assert own.post(url, headers=everything(keys.token())).status_code == 403
                assert party.take() == []
                assert own.post(url).status_code == 200
