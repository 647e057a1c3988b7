"""Claim: gRPC's sync stack takes bullets in with proof or not at all, and calls to third parties are not made."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import grpc._channel
import pytest
from opentelemetry.instrumentation.grpc import client_interceptor
from opentelemetry.instrumentation.grpc import server_interceptor as their_interceptor
from sqlalchemy import Engine, create_engine
from sqlalchemy import text as sql

from tests.servers.grpc_services import LedgerStub, add_ledger, run_server, text
from tests.unit.guards.conftest import Telemetry
from tests.unit.guards.contract import GuardContract
from tracer_bullet.context.scope import Scope, entered, live_scope
from tracer_bullet.guards import Armed, Policy, Sink, Stub, WriteRefused, frameworks
from tracer_bullet.guards.rpc.grpc import PROBLEM_KEY, server_interceptor
from tracer_bullet.guards.rpc.grpc_client import parse_target
from tracer_bullet.guards.rpc.grpc_server import read_metadata_claim
from tracer_bullet.model import Context

ANY_STUB = Stub(url="grpc://127.0.0.1/tests.Ledger/*", json="stubbed")


# --- what goes out


class GrpcSubject:
    name = "grpc"
    sink = Sink.EGRESS
    operation = "CALL 127.0.0.1/tests.Ledger/Add"
    policies = (Policy.STUB, Policy.DENY, Policy.ALLOW)
    patched = ((grpc._channel._UnaryUnaryMultiCallable, "__call__"),)
    settings: dict[str, Any] = {"stubs": (ANY_STUB,)}  # noqa: RUF012

    def __init__(self, address: str, values: list[str]) -> None:
        self._address = address
        self._values = values
        self._theirs: Any = None
        self.instrumentor = self

    # The stock instrumentor passes the tracer provider on by no way; its interceptor takes one.
    def instrument(self, tracer_provider: Any) -> None:
        self._theirs = client_interceptor(tracer_provider=tracer_provider)

    def uninstrument(self) -> None:
        self._theirs = None

    def write(self, value: str) -> Any:
        with self.channel() as channel:
            return LedgerStub(channel).Add(text(value))

    def channel(self) -> Any:
        from opentelemetry.instrumentation.grpc.grpcext import intercept_channel

        channel = grpc.insecure_channel(self._address)
        return intercept_channel(channel, self._theirs) if self._theirs is not None else channel

    def read(self) -> Any:
        return None

    def check(self, answer: Any) -> None:
        assert answer.value in ("stubbed", "stored")

    def stored(self) -> list[str]:
        return sorted(self._values)

    def shadowed(self) -> list[str]:
        return []


@pytest.fixture
def third_party() -> Iterator[tuple[str, list[str], list[Any]]]:
    """A ledger without guards: its address, what it stored, and the metadata that came."""
    values: list[str] = []
    seen: list[Any] = []

    class Watcher(grpc.ServerInterceptor):
        def intercept_service(self, continuation: Any, details: Any) -> Any:
            seen.append(tuple(details.invocation_metadata))
            return continuation(details)

    def add(value: str) -> str:
        values.append(value)
        return "stored"

    with run_server(lambda server: add_ledger(server, add), interceptors=[Watcher()]) as address:
        yield address, values, seen


@pytest.fixture
def subject(third_party: Any) -> GrpcSubject:
    return GrpcSubject(third_party[0], third_party[1])


class TestContract(GuardContract):
    pass


def bullet(armed: Armed) -> Any:
    return entered(Scope(Context(run_id="run-1", token="a.b.c", user_id="u1"), armed, trace_id="a" * 32))


CALLS: dict[str, Callable[[LedgerStub], Any]] = {
    "unary": lambda s: s.Add(text("x")).value,
    "unary-with-call": lambda s: s.Add.with_call(text("x"))[0].value,
    "unary-future": lambda s: s.Add.future(text("x")).result().value,
    "unary-stream": lambda s: [m.value for m in s.Watch(text("x"))],
    "stream-unary": lambda s: s.AddAll(iter([text("x"), text("y")])).value,
    "stream-unary-with-call": lambda s: s.AddAll.with_call(iter([text("x")]))[0].value,
    "stream-unary-future": lambda s: s.AddAll.future(iter([text("x")])).result().value,
    "stream-stream": lambda s: [m.value for m in s.Talk(iter([text("x")]))],
}


@pytest.mark.parametrize("kind", CALLS)
def test_every_kind_of_call_is_stubbed(kind: str, third_party: Any, arm_service, telemetry: Telemetry) -> None:
    address, values, _ = third_party
    with grpc.insecure_channel(address) as channel:
        stub = LedgerStub(channel)  # before anything is armed
        armed = arm_service(stubs=(ANY_STUB,))
        with bullet(armed):
            answer = CALLS[kind](stub)
    assert answer in ("stubbed", ["stubbed"])
    assert values == []
    assert [d for d, _ in telemetry.decisions] == ["stubbed"]


@pytest.mark.parametrize("kind", CALLS)
def test_what_has_no_stub_is_refused(kind: str, third_party: Any, arm_service, telemetry: Telemetry) -> None:
    address, values, _ = third_party
    with grpc.insecure_channel(address) as channel, bullet(arm_service()), pytest.raises(WriteRefused, match="no stub"):
        CALLS[kind](LedgerStub(channel))
    assert values == []
    assert [d for d, _ in telemetry.decisions] == ["denied"]


def test_the_single_threaded_stream_is_guarded_too(third_party: Any, arm_service) -> None:
    options = [(grpc.experimental.ChannelOptions.SingleThreadedUnaryStream, 1)]
    with grpc.insecure_channel(third_party[0], options) as channel, bullet(arm_service()), pytest.raises(WriteRefused):
        LedgerStub(channel).Watch(text("x"))


# OpenTelemetry's interceptor gives no futures.
@pytest.mark.parametrize(
    ("kind", "instrument"), [(k, i) for k in CALLS for i in (True, False) if not (i and k.endswith("-future"))]
)
def test_calls_inside_the_system_carry_the_flag(
    kind: str, instrument: bool, third_party: Any, arm_service, telemetry: Telemetry
) -> None:
    address, values, seen = third_party
    subject = GrpcSubject(address, values)
    if instrument:
        subject.instrument(telemetry.provider)
    with subject.channel() as channel, bullet(arm_service(system_hosts=(address,), egress="deny")):
        CALLS[kind](LedgerStub(channel))
    claim = read_metadata_claim(seen[0])
    assert claim is not None
    assert (claim.token, claim.carriers) == ("a.b.c", ("baggage", "tracestate", "header"))
    assert [k for k, _ in seen[0]].count("traceparent") == 1
    assert values != []
    assert telemetry.decisions == []


def test_a_third_party_that_is_allowed_sees_nothing_of_ours(third_party: Any, arm_service) -> None:
    address, values, seen = third_party
    with grpc.insecure_channel(address) as channel, bullet(arm_service(egress="allow")):
        metadata = (("baggage", "theirs=1,request_type=TRACE"), ("tracestate", "tb=t,o=1"), ("raw-bin", b"\0\xff"))
        LedgerStub(channel).Add(text("x"), metadata=metadata)
    assert read_metadata_claim(seen[0]) is None
    assert {("baggage", "theirs=1"), ("tracestate", "o=1"), ("raw-bin", b"\0\xff")} <= set(seen[0])
    assert values == ["x"]


def test_a_stub_names_the_port_or_not_and_has_protobufs_json(third_party: Any, arm_service) -> None:
    address, _, _ = third_party
    for url in (f"grpc://{address}/tests.Ledger/Add", "grpc://127.0.0.1/tests.*"):
        armed = arm_service(stubs=(Stub(url=url, json="said"),))
        with grpc.insecure_channel(f"dns:///{address}") as channel, bullet(armed):
            answer, call = LedgerStub(channel).Add.with_call(text("x"))
        assert (answer.value, call.code(), call.trailing_metadata()) == ("said", grpc.StatusCode.OK, ())


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({"stubs": (Stub(url="grpc://*", json={"no": "such"}),)}, "StringValue"),
        ({"stubs": (Stub(url="grpc://*", status=503),)}, "status 503"),
        ({"egress": "redirect", "redirects": (("*", "https://sandbox.example"),)}, "cannot be redirected"),
    ],
)
def test_what_cannot_be_answered_is_refused(settings: Any, why: str, third_party: Any, arm_service) -> None:
    address, values, _ = third_party
    armed = arm_service(**settings)
    with grpc.insecure_channel(address) as channel, bullet(armed), pytest.raises(WriteRefused, match=why):
        LedgerStub(channel).Add(text("x"))
    assert values == []


def test_telemetry_leaves_a_bullet(arm_service) -> None:
    got: list[bytes] = []

    def export(request: bytes, _context: Any) -> bytes:
        got.append(request)
        return b""

    name = "opentelemetry.proto.collector.trace.v1.TraceService"

    def fill(server: Any) -> None:
        handlers = {"Export": grpc.unary_unary_rpc_method_handler(export)}
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(name, handlers),))

    with run_server(fill) as address, grpc.insecure_channel(address) as channel, bullet(arm_service()):
        channel.unary_unary(f"/{name}/Export")(b"spans")
    assert got == [b"spans"]


@pytest.mark.parametrize(
    ("target", "addresses"),
    [
        ("pay.example:443", (("pay.example", 443),)),
        ("pay.example", (("pay.example", None),)),
        ("dns:///pay.example:443", (("pay.example", 443),)),
        ("dns://8.8.8.8/pay.example:443", (("pay.example", 443),)),
        ("dns:pay.example:443", (("pay.example", 443),)),
        ("ipv4:10.0.0.1:80,10.0.0.2:81", (("10.0.0.1", 80), ("10.0.0.2", 81))),
        ("ipv6:[::1]:80", (("::1", 80),)),
        ("[::1]:80", (("::1", 80),)),
        ("unix:/run/a.sock", (("unix:/run/a.sock", None),)),
        ("unix:///run/a.sock", (("unix:///run/a.sock", None),)),
        ("xds:///pay.example", (("pay.example", None),)),
        ("consul://agent/pay.example:1", (("pay.example", 1),)),
    ],
)
def test_targets(target: str, addresses: Any) -> None:
    assert parse_target(target) == addresses


# --- what comes in


class Service:
    """A guarded ledger with a table, and what its handlers saw."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.bullets: list[bool] = []
        self.gate: threading.Event | None = None
        self.began = threading.Event()
        self.address = ""

    def add(self, value: str) -> str:
        self.began.set()
        if self.gate is not None:
            assert self.gate.wait(60)
        scope = live_scope()
        self.bullets.append(scope is not None)
        with self.engine.begin() as connection:
            connection.execute(sql("INSERT INTO orders VALUES (:v)"), {"v": value})
        return f"{'bullet' if scope else 'customer'} {value}"

    def rows(self) -> list[str]:
        with self.engine.connect() as connection:
            return sorted(connection.execute(sql("SELECT v FROM orders")).scalars())


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    engine = create_engine(f"sqlite:///{tmp_path}/orders.db")
    with engine.begin() as connection:
        connection.execute(sql("CREATE TABLE orders (v TEXT)"))
    yield Service(engine)
    engine.dispose()


@pytest.fixture(params=["ours-first", "theirs-first", "ours-alone", "ours-twice", "frameworks"])
def served(request: pytest.FixtureRequest, service: Service, arm_service, telemetry: Telemetry) -> Iterator[Service]:
    """The service behind a server, with OpenTelemetry's interceptor on either side of ours."""
    armed = arm_service()
    ours, theirs = server_interceptor(armed), their_interceptor(tracer_provider=telemetry.provider)
    chains = {
        "ours-first": [ours, theirs],
        "theirs-first": [theirs, ours],
        "ours-alone": [ours],
        "ours-twice": [ours, server_interceptor(), theirs],
        "frameworks": [theirs],
    }
    if request.param == "frameworks":
        frameworks.install()
    try:
        with run_server(lambda s: add_ledger(s, service.add), interceptors=chains[request.param]) as service.address:
            yield service
    finally:
        frameworks.uninstall()


ASK: dict[str, tuple[Callable[[LedgerStub, Any], Any], int]] = {
    "Add": (lambda s, m: [s.Add(text("x"), metadata=m).value], 1),
    "Watch": (lambda s, m: [a.value for a in s.Watch(text("x"), metadata=m)], 2),
    "AddAll": (lambda s, m: s.AddAll(iter([text("x"), text("y")]), metadata=m).value.split(","), 2),
    "Talk": (lambda s, m: [a.value for a in s.Talk(iter([text("x"), text("y")]), metadata=m)], 2),
}


def metadata_of(headers: dict[str, str]) -> tuple[tuple[str, str], ...]:
    return tuple(headers.items())


@pytest.mark.parametrize("method", ASK)
def test_a_bullets_call_is_served_and_rolled_back(
    method: str, served: Service, flag_headers, telemetry: Telemetry
) -> None:
    ask, count = ASK[method]
    with grpc.insecure_channel(served.address) as channel:
        answers = ask(LedgerStub(channel), metadata_of(flag_headers()))
        assert len(answers) == count
        assert all(a.startswith("bullet ") for a in answers)
        assert served.rows() == []
        kept = ask(LedgerStub(channel), None)
    assert all(a.startswith("customer ") for a in kept)
    assert len(served.rows()) == count
    (seal,) = telemetry.having("tb.sealed_spans")
    expected = seal.attributes["tb.sealed_spans"]
    wait_for(lambda: len(of_trace(telemetry, seal)) == expected + 1)  # a span around ours ends after the answer
    of_bullet = [s for s in of_trace(telemetry, seal) if s is not seal]
    assert of_bullet, "the server's span joins the bullet's trace"
    assert all((s.attributes or {})["tb.request_type"] == "TRACE" for s in of_bullet)
    assert [s for s in telemetry.having("tb.request_type") if s.context.trace_id != seal.context.trace_id] == []


@pytest.mark.parametrize("method", ASK)
def test_a_bullet_without_proof_is_refused(method: str, served: Service, flag_headers, telemetry: Telemetry) -> None:
    headers = {**flag_headers(), "x-tracer-bullet": "forged", "baggage": "request_type=TRACE,tb-token=forged"}
    with grpc.insecure_channel(served.address) as channel, pytest.raises(grpc.RpcError) as caught:
        ASK[method][0](LedgerStub(channel), metadata_of(headers))
    error: Any = caught.value
    assert error.code() is grpc.StatusCode.PERMISSION_DENIED
    assert error.details() == "malformed"
    document = json.loads(dict(error.trailing_metadata())[PROBLEM_KEY])
    assert (document["type"], document["service"]) == ("urn:tracer-bullet:malformed", "cart")
    assert served.bullets == []
    wait_for(lambda: telemetry.having("tb.refused", "malformed"))  # a span around ours ends after the answer
    (span,) = telemetry.having("tb.refused", "malformed")
    assert span.context.trace_id == int(headers["traceparent"][3:35], 16)


def test_a_disabled_service_is_unavailable(served: Service, flag_headers, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRACER_BULLET_DISABLED", "1")
    with grpc.insecure_channel(served.address) as channel, pytest.raises(grpc.RpcError) as caught:
        LedgerStub(channel).Add(text("x"), metadata=metadata_of(flag_headers()))
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE  # type: ignore[attr-defined]


def test_an_unknown_method_is_unimplemented_for_everybody(served: Service, flag_headers) -> None:
    for metadata in (None, metadata_of(flag_headers())):
        with grpc.insecure_channel(served.address) as channel, pytest.raises(grpc.RpcError) as caught:
            channel.unary_unary("/tests.Ledger/Nothing")(b"", metadata=metadata)
        assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED  # type: ignore[attr-defined]


@pytest.mark.parametrize("how", ["cancel", "deadline"])
@pytest.mark.parametrize("method", ["Add", "Watch"])
def test_a_handler_that_the_client_gave_up_stays_the_bullets(
    how: str, method: str, served: Service, flag_headers, telemetry: Telemetry
) -> None:
    served.gate = threading.Event()
    timeout = 0.2 if how == "deadline" else None
    with grpc.insecure_channel(served.address) as channel:
        start = LedgerStub(channel).Add.future if method == "Add" else LedgerStub(channel).Watch
        while not served.began.is_set():  # a deadline may pass before the handler begins
            call = start(text("x"), metadata=metadata_of(flag_headers()), timeout=timeout)
            if timeout is None:
                assert served.began.wait(60)
                call.cancel()
            else:
                timeout *= 2
            with pytest.raises((grpc.RpcError, grpc.FutureCancelledError)):
                call.result() if method == "Add" else next(call)
        served.gate.set()
        wait_for(lambda: telemetry.having("tb.sealed_spans"))
    assert set(served.bullets) == {True}  # a stream may go on by a message before it learns that nobody listens
    assert served.rows() == []


def test_a_stream_that_the_client_leaves_is_rolled_back(served: Service, flag_headers, telemetry: Telemetry) -> None:
    with grpc.insecure_channel(served.address) as channel:
        left = threading.Event()

        def requests() -> Iterator[Any]:
            yield text("0")
            left.wait(60)

        talk = LedgerStub(channel).Talk(requests(), metadata=metadata_of(flag_headers()))
        assert next(talk).value == "bullet 0"
        talk.cancel()
        left.set()
    wait_for(lambda: telemetry.having("tb.sealed_spans"))
    assert served.rows() == []


def test_bullets_and_customers_share_the_servers_threads(served: Service, flag_headers) -> None:
    def ask(i: int) -> str:
        with grpc.insecure_channel(served.address) as channel:
            flag = flag_headers(trace_id=f"{i + 1:032x}") if i % 2 else {}
            return LedgerStub(channel).Add(text(str(i)), metadata=metadata_of(flag), timeout=60).value

    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(ask, range(40)))
    assert answers == [f"{'bullet' if i % 2 else 'customer'} {i}" for i in range(40)]
    assert served.rows() == sorted(str(i) for i in range(0, 40, 2))


def test_from_one_service_to_the_next(service: Service, arm_service, flag_headers, telemetry: Telemetry) -> None:
    """The front's outgoing call carries the flag to the ledger behind it."""
    armed = arm_service(system_hosts=("127.0.0.1",))
    ours = [server_interceptor(armed)]
    serving = run_server(lambda s: add_ledger(s, service.add), interceptors=ours)
    with serving as back, grpc.insecure_channel(back) as inner:

        def forward(value: str) -> str:
            return str(LedgerStub(inner).Add(text(value)).value)

        serving = run_server(lambda s: add_ledger(s, forward), interceptors=ours)
        with serving as front, grpc.insecure_channel(front) as channel:
            stub = LedgerStub(channel)
            assert stub.Add(text("a"), metadata=metadata_of(flag_headers())).value == "bullet a"
            assert stub.Add(text("b")).value == "customer b"
    assert service.rows() == ["b"]
    assert len(telemetry.having("tb.sealed_spans")) == 2


def test_uninstalled_frameworks_leave_servers_alone() -> None:
    before = grpc.server, grpc.aio.server
    frameworks.install()
    assert grpc.server is not before[0]
    frameworks.uninstall()
    assert (grpc.server, grpc.aio.server) == before


def test_a_customers_handler_is_the_very_object(arm_service) -> None:
    handler = grpc.unary_unary_rpc_method_handler(lambda _r, _c: b"")

    class Details:
        method = "/a/B"
        invocation_metadata = (("user-agent", "x"), ("baggage", "theirs=1"))

    arm_service()
    assert server_interceptor().intercept_service(lambda _d: handler, Details()) is handler


def of_trace(telemetry: Telemetry, span: Any) -> list[Any]:
    return [s for s in telemetry.spans if s.context.trace_id == span.context.trace_id]


def wait_for(what: Callable[[], Any]) -> None:
    for _ in range(6000):
        if what():
            return
        threading.Event().wait(0.01)
    raise AssertionError("it never came")


def test_a_testers_call_without_the_flag_cannot_write(arm_service) -> None:
    armed = arm_service(testers=("t-*",))
    seen: list[bool] = []

    def handle(request: bytes, _context: Any) -> bytes:
        seen.append(live_scope() is not None)
        return request

    def stream(request: bytes, _context: Any) -> Iterator[bytes]:
        seen.append(live_scope() is not None)
        yield request

    handlers = {
        "One": grpc.unary_unary_rpc_method_handler(handle),
        "Many": grpc.unary_stream_rpc_method_handler(stream),
    }
    server = grpc.server(ThreadPoolExecutor(1), interceptors=[server_interceptor(armed)])
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("tests.Raw", handlers),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
            for user in ("t-1", "ann", "t-2", "ann"):
                metadata = (("baggage", f"user_id={user}"),)
                assert channel.unary_unary("/tests.Raw/One")(b"x", metadata=metadata) == b"x"
                assert list(channel.unary_stream("/tests.Raw/Many")(b"x", metadata=metadata)) == [b"x"]
    finally:
        server.stop(0).wait()
    assert seen == [True, True, False, False] * 2
