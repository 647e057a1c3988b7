"""What every guard of an HTTP client promises besides `GuardContract`: where the flag goes, and where it does not."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import pytest

from tests.unit.guards.conftest import Telemetry
from tests.unit.guards.contract import GuardContract
from tests.unit.guards.peers import Peer, bullet, proxying, serving
from tracer_bullet.guards import Armed, Policy, Rule, Sink, Stub, WriteRefused


@dataclass
class Answer:
    """What a client gave; header names in lower case."""

    status: int
    text: str
    headers: Mapping[str, str]


class Send(Protocol):
    """Makes one call as application code does, follows redirects, and closes what it opened.

    `proxy`: a proxy's URL; `trust`: a file of certificates.
    """

    def __call__(
        self,
        method: str,
        url: str,
        *,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        proxy: str = "",
        trust: str = "",
    ) -> Answer: ...


@dataclass
class Client:
    """A client library: its guard's name, a way to call, what is patched, and OpenTelemetry's instrumentor or None."""

    name: str
    send: Send
    patched: tuple[tuple[Any, str], ...]
    instrumentor: Any
    tunnels: bool = True


@dataclass
class HttpSubject:
    """A client of a third party that stores what it is posted."""

    client: Client
    peer: Peer
    sink: Sink = Sink.EGRESS
    operation: str = "POST 127.0.0.1/orders"
    policies: tuple[Policy, ...] = (Policy.STUB, Policy.REDIRECT, Policy.DENY, Policy.ALLOW)

    @property
    def name(self) -> str:
        return self.client.name

    @property
    def patched(self) -> tuple[tuple[Any, str], ...]:
        return self.client.patched

    @property
    def instrumentor(self) -> Any:
        return self.client.instrumentor

    @property
    def settings(self) -> dict[str, Any]:
        return {"stubs": (Stub(method="POST", url=self.peer.url + "/orders", status=201, body="real"),)}

    def write(self, value: str) -> Answer:
        return self.client.send("POST", self.peer.url + "/orders", body=value.encode())

    def read(self) -> Answer:
        found = self.client.send("GET", self.peer.url + "/orders")
        return Answer(found.status, found.text, {})

    def check(self, answer: Answer) -> None:
        assert (answer.status, answer.text) == (201, "real")

    def stored(self) -> list[str]:
        return self.peer.stored

    def shadowed(self) -> list[str]:
        return []


Arm = Callable[..., Armed]


class HttpContract(GuardContract):
    """Needs a fixture `client`."""

    @pytest.fixture
    def peer(self) -> Iterator[Peer]:
        with serving() as found:
            yield found

    @pytest.fixture
    def third(self) -> Iterator[Peer]:
        """A second server, which is somebody else's."""
        with serving() as found:
            yield found

    @pytest.fixture
    def subject(self, client: Client, peer: Peer) -> HttpSubject:
        return HttpSubject(client, peer)

    @pytest.fixture(params=[True, False], ids=["instrumented", "bare"])
    def instrumented(self, request: pytest.FixtureRequest, client: Client, telemetry: Telemetry) -> Iterator[bool]:
        wanted = request.param and client.instrumentor is not None
        if wanted:
            client.instrumentor.instrument(tracer_provider=telemetry.provider)
        yield wanted
        if wanted:
            client.instrumentor.uninstrument()

    @pytest.mark.parametrize("method", ["GET", "POST"])
    def test_calls_inside_the_system_carry_the_flag(
        self, method: str, instrumented: bool, client: Client, peer: Peer, arm_service: Arm, telemetry: Telemetry
    ) -> None:
        with bullet(arm_service(system_hosts=(peer.host,))):
            answer = client.send(method, peer.url + "/x", headers={"baggage": "theirs=1", "x-app": "7"})
        assert (answer.status, answer.text) == (201, "real")
        (got,) = peer.requests
        assert got.claim is not None
        assert (got.claim.token, got.claim.carriers) == ("a.b.c", ("baggage", "tracestate", "header"))
        assert got.headers["x-app"] == "7"
        assert got.headers["baggage"].endswith(",theirs=1") or instrumented
        assert got.headers["traceparent"].split("-")[1] == f"{telemetry.spans[0].context.trace_id:032x}"
        assert telemetry.decisions == []

    def test_a_stub_is_read_like_any_answer(
        self, instrumented: bool, client: Client, peer: Peer, arm_service: Arm, telemetry: Telemetry
    ) -> None:
        stub = Stub(
            method="POST", url=f"{peer.url}/charges", status=202, json={"id": "ch_1"}, headers=(("x-mock", "1"),)
        )
        with bullet(arm_service(stubs=(stub,))):
            answer = client.send("POST", peer.url + "/charges?amount=5", body=b"x" * 300_000)
        assert (answer.status, answer.text, answer.headers["x-mock"]) == (202, '{"id": "ch_1"}', "1")
        assert answer.headers["content-type"] == "application/json"
        assert (peer.requests, peer.connections) == ([], 0)
        assert telemetry.decisions == [("stubbed", "POST 127.0.0.1/charges")]

    def test_a_stub_can_be_an_error(self, client: Client, arm_service: Arm) -> None:
        stub = Stub(url="https://payments.example/*", status=503, body="down")
        with bullet(arm_service(stubs=(stub,))):
            answer = client.send("PUT", "https://payments.example/charges/7", body=b"x")
        assert (answer.status, answer.text) == (503, "down")

    @pytest.mark.parametrize("settings", [{}, {"egress": "deny"}, {"egress": "redirect"}])
    def test_what_has_no_answer_is_refused(
        self,
        settings: dict[str, Any],
        instrumented: bool,
        client: Client,
        peer: Peer,
        arm_service: Arm,
        telemetry: Telemetry,
    ) -> None:
        with bullet(arm_service(**settings)), pytest.raises(WriteRefused):
            client.send("DELETE", peer.url + "/orders/7")
        assert (peer.requests, peer.connections) == ([], 0)
        assert telemetry.decisions == [("denied", "DELETE 127.0.0.1/orders/7")]

    def test_redirect_goes_to_the_sandbox(
        self, instrumented: bool, client: Client, peer: Peer, arm_service: Arm, telemetry: Telemetry
    ) -> None:
        settings = {"egress": "redirect", "redirects": (("payments.example", peer.url + "/sandbox/"),)}
        with bullet(arm_service(**settings)):
            answer = client.send("POST", "http://payments.example/charges?x=1", body=b"paid")
        assert (answer.status, answer.text) == (201, "real")
        (got,) = peer.requests
        assert (got.method, got.path, got.body) == ("POST", "/sandbox/charges?x=1", b"paid")
        assert (got.headers["host"], got.claim) == (peer.host, None)
        assert telemetry.decisions == [("shadowed", "POST payments.example/charges")]

    def test_redirect_goes_to_a_sandbox_with_tls(self, client: Client, arm_service: Arm) -> None:
        with serving(tls=True) as sandbox:
            settings = {"egress": "redirect", "redirects": (("payments.example", sandbox.url),)}
            with bullet(arm_service(**settings)):
                answer = client.send(
                    "POST", "https://payments.example/charges", body=b"paid", trust=sandbox.certificate
                )
        assert (answer.status, answer.text, sandbox.stored) == (201, "real", ["paid"])

    def test_safe_calls_to_third_parties_pass_without_anything_of_ours(
        self, instrumented: bool, client: Client, peer: Peer, arm_service: Arm, telemetry: Telemetry
    ) -> None:
        with bullet(arm_service()):
            answer = client.send("GET", peer.url + "/rates", headers={"baggage": "theirs=1"})
        assert answer.text == "real"
        (got,) = peer.requests
        assert got.claim is None
        assert "tb" not in got.headers.get("tracestate", "")
        assert telemetry.decisions == []

    def test_customers_calls_are_untouched(
        self, client: Client, peer: Peer, arm_service: Arm, telemetry: Telemetry
    ) -> None:
        arm_service(egress="deny")
        assert client.send("POST", peer.url + "/charges", body=b"x", headers={"baggage": "theirs=1"}).text == "real"
        (got,) = peer.requests
        assert (got.method, got.headers["baggage"]) == ("POST", "theirs=1")
        assert telemetry.decisions == []

    def test_a_redirect_out_of_the_system_is_judged_again(
        self,
        instrumented: bool,
        client: Client,
        peer: Peer,
        third: Peer,
        arm_service: Arm,
        telemetry: Telemetry,
    ) -> None:
        stub = Stub(method="POST", url=third.url + "/charges", body="stubbed")
        with bullet(arm_service(system_hosts=(peer.host,), stubs=(stub,))):
            answer = client.send("POST", f"{peer.url}/redirect?to={third.url}/charges&status=307", body=b"x")
        assert answer.text == "stubbed"
        assert third.requests == []
        assert peer.requests[0].claim is not None
        assert telemetry.decisions == [("stubbed", "POST 127.0.0.1/charges")]

    def test_a_redirect_out_of_the_system_takes_no_flag_along(
        self, instrumented: bool, client: Client, peer: Peer, third: Peer, arm_service: Arm
    ) -> None:
        with bullet(arm_service(system_hosts=(peer.host,))):
            answer = client.send("GET", f"{peer.url}/redirect?to={third.url}/rates&status=302")
        assert answer.text == "real"
        assert (peer.requests[0].claim is None, third.requests[0].claim) == (False, None)

    def test_safe_calls_are_counted_where_a_rule_says_so(self, client: Client, peer: Peer, arm_service: Arm) -> None:
        rule = Rule(sink="egress", operation="GET 127.0.0.1/paid*", policy="allow", quota=1)
        with bullet(arm_service(rules=(rule,)), f"safe-{client.name}-{id(peer)}"):
            client.send("GET", peer.url + "/paid")
            with pytest.raises(WriteRefused, match="quota of 1 a run"):
                client.send("GET", peer.url + "/paid")
        assert len(peer.requests) == 1

    def test_a_proxy_is_not_taken_for_the_target(
        self, client: Client, peer: Peer, arm_service: Arm, telemetry: Telemetry
    ) -> None:
        with proxying() as proxy:
            stub = Stub(url="*://payments.example/charges", body="stubbed")
            with bullet(arm_service(system_hosts=("127.0.0.1:*",), stubs=(stub,))):
                for scheme in ("http", "https"):
                    answer = client.send("POST", f"{scheme}://payments.example/charges", body=b"x", proxy=proxy.url)
                    assert answer.text == "stubbed"
                assert proxy.requests == []
                assert client.send("GET", "http://payments.example/rates", proxy=proxy.url).text == "proxied"
        (got,) = proxy.requests
        assert (got.path, got.claim) == ("http://payments.example/rates", None)
        assert telemetry.decisions == [("stubbed", "POST payments.example/charges")] * 2

    def test_through_a_tunnel(self, client: Client, arm_service: Arm) -> None:
        if not client.tunnels:
            pytest.skip(f"{client.name} builds no tunnels by itself")
        with proxying() as proxy, serving(tls=True) as peer:
            port = peer.url.rpartition(":")[2]
            url = f"https://payments.example:{port}/charges"
            armed = arm_service(rules=(Rule(sink="egress", operation="POST payments.example/*", policy="allow"),))
            with bullet(armed):
                assert client.send("POST", url, body=b"paid", proxy=proxy.url, trust=peer.certificate).text == "real"
            armed.disarm()
            with bullet(arm_service(system_hosts=("payments.example",))):
                assert client.send("GET", url, proxy=proxy.url, trust=peer.certificate).text == "real"
        assert [r.method for r in proxy.requests] == ["CONNECT", "CONNECT"]
        assert all(r.claim is None for r in proxy.requests)
        assert peer.stored == ["paid"]
        assert [r.claim is not None for r in peer.requests] == [False, True]
