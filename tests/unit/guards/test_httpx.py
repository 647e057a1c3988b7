"""Claim: a bullet's calls into the system carry the flag; third parties never see it, and get no write."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import pytest
from opentelemetry.instrumentation.httpx import HTTPXClientInstrumentor

from tests.unit.guards.conftest import Telemetry
from tracer_bullet.context.carriers import read_claim
from tracer_bullet.context.scope import Scope, entered
from tracer_bullet.guards import Armed, Stub, WriteRefused
from tracer_bullet.model import Context


@dataclass
class Peer:
    """A real HTTP server that writes down what it got."""

    url: str = ""
    requests: list[tuple[str, str, dict[str, str]]] = field(default_factory=list)

    @property
    def host(self) -> str:
        return self.url.removeprefix("http://")


@pytest.fixture
def peer() -> Iterator[Peer]:
    found = Peer()

    class Handler(BaseHTTPRequestHandler):
        def _serve(self) -> None:
            self.rfile.read(int(self.headers.get("content-length", 0)))
            found.requests.append((self.command, self.path, {k.lower(): v for k, v in self.headers.items()}))
            self.send_response(201)
            self.send_header("content-length", "4")
            self.end_headers()
            self.wfile.write(b"real")

        do_GET = do_POST = do_PUT = do_DELETE = _serve  # noqa: N815

        def log_message(self, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    found.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield found
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture(params=["sync", "async"])
def call(request: pytest.FixtureRequest, telemetry: Telemetry) -> Callable[..., httpx.Response]:
    """Makes a call as OpenTelemetry-instrumented code does, by either client."""

    def send(method: str, url: str, *, instrument: bool = True, **settings: Any) -> httpx.Response:
        if request.param == "sync":
            with httpx.Client() as client:
                if instrument:
                    HTTPXClientInstrumentor.instrument_client(client, tracer_provider=telemetry.provider)
                return client.request(method, url, **settings)

        async def main() -> httpx.Response:
            async with httpx.AsyncClient() as client:
                if instrument:
                    HTTPXClientInstrumentor.instrument_client(client, tracer_provider=telemetry.provider)
                return await client.request(method, url, **settings)

        return asyncio.run(main())

    return send


def bullet(armed: Armed) -> Any:
    return entered(Scope(Context(run_id="run-1", token="a.b.c", user_id="u1"), armed))


def claim_of(headers: dict[str, str]) -> Any:
    values = [[headers[n]] if n in headers else [] for n in ("baggage", "tracestate", "x-tracer-bullet")]
    return read_claim(*values)


@pytest.mark.parametrize("instrument", [True, False])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_calls_inside_the_system_carry_the_flag(method: str, instrument: bool, call, peer: Peer, arm_service) -> None:
    armed = arm_service(system_hosts=(peer.host,))
    with bullet(armed):
        assert call(method, peer.url + "/x", instrument=instrument, headers={"baggage": "theirs=1"}).status_code == 201
    ((_, _, headers),) = peer.requests
    claim = claim_of(headers)
    assert (claim.token, claim.carriers) == ("a.b.c", ("baggage", "tracestate", "header"))
    assert headers["baggage"].endswith(",theirs=1") or instrument


def test_an_unsafe_call_to_a_third_party_is_stubbed(call, peer: Peer, arm_service, telemetry: Telemetry) -> None:
    stub = Stub(method="POST", url=f"{peer.url}/charges", status=202, json={"id": "ch_1"}, headers=(("x-mock", "1"),))
    with bullet(arm_service(stubs=(stub,))):
        answer = call("POST", peer.url + "/charges?amount=5", json={"amount": 5})
    assert (answer.status_code, answer.json(), answer.headers["x-mock"]) == (202, {"id": "ch_1"}, "1")
    assert peer.requests == []
    (span,) = telemetry.having("tb.guard.decision")
    assert span.attributes["tb.guard.decision"] == "stubbed"
    assert span.attributes["tb.guard.operation"] == "POST 127.0.0.1/charges"
    assert span.instrumentation_scope.name == "opentelemetry.instrumentation.httpx", "the stock span is marked"


@pytest.mark.parametrize("settings", [{}, {"egress": "deny"}, {"egress": "redirect"}])
@pytest.mark.parametrize("instrument", [True, False])
def test_what_has_no_stub_is_refused(
    settings: dict[str, Any], instrument: bool, call, peer: Peer, arm_service, telemetry: Telemetry
) -> None:
    with bullet(arm_service(**settings)), pytest.raises(WriteRefused):
        call("DELETE", peer.url + "/orders/7", instrument=instrument)
    assert peer.requests == []
    assert telemetry.decisions == [("denied", "DELETE 127.0.0.1/orders/7")]


def test_redirect_goes_to_the_sandbox(call, peer: Peer, arm_service, telemetry: Telemetry) -> None:
    settings = {"egress": "redirect", "redirects": (("payments.example", peer.url + "/sandbox/"),)}
    with bullet(arm_service(**settings)):
        assert call("POST", "http://payments.example/charges?x=1").text == "real"
    ((method, path, headers),) = peer.requests
    assert (method, path) == ("POST", "/sandbox/charges?x=1")
    assert claim_of(headers) is None
    assert telemetry.decisions == [("shadowed", "POST payments.example/charges")]


def test_safe_calls_to_third_parties_pass_without_anything_of_ours(call, peer: Peer, arm_service, telemetry) -> None:
    with bullet(arm_service()):
        assert call("GET", peer.url + "/rates", headers={"baggage": "theirs=1"}).text == "real"
    ((_, _, headers),) = peer.requests
    assert claim_of(headers) is None
    assert telemetry.decisions == []


def test_customers_calls_are_untouched(call, peer: Peer, arm_service, telemetry: Telemetry) -> None:
    arm_service(egress="deny")
    assert call("POST", peer.url + "/charges", headers={"baggage": "theirs=1"}).text == "real"
    ((method, _, headers),) = peer.requests
    assert (method, headers["baggage"]) == ("POST", "theirs=1")
    assert telemetry.decisions == []


def test_disarming_gives_back_the_originals(arm_service) -> None:
    import httpcore

    before = vars(httpcore.ConnectionPool)["handle_request"]
    armed = arm_service()
    assert vars(httpcore.ConnectionPool)["handle_request"] is not before
    armed.disarm()
    assert vars(httpcore.ConnectionPool)["handle_request"] is before
