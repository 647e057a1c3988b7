"""Claim: gRPC's asyncio stack takes bullets in with proof or not at all, and calls to third parties are not made."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest
from grpc._cython import cygrpc
from opentelemetry.instrumentation.grpc import GrpcAioInstrumentorClient
from opentelemetry.instrumentation.grpc import aio_server_interceptor as their_interceptor
from sqlalchemy import text as sql
from sqlalchemy.ext.asyncio import create_async_engine

from tests.servers.grpc_services import LedgerStub, add_aio_ledger, add_ledger, run_aio_server, run_server, text
from tests.unit.guards.conftest import Telemetry
from tests.unit.guards.contract import GuardContract
from tests.unit.guards.loop_thread import Loop
from tests.unit.guards.test_grpc import ANY_STUB, bullet, metadata_of, of_trace, wait_for
from tracer_bullet.context.scope import live_scope
from tracer_bullet.guards import Armed, Policy, Sink, WriteRefused, frameworks
from tracer_bullet.guards.rpc.grpc import PROBLEM_KEY, aio_server_interceptor
from tracer_bullet.guards.rpc.grpc_server import read_metadata_claim


@pytest.fixture
def loop() -> Iterator[Loop]:
    with Loop() as found:
        yield found


# --- what goes out


class GrpcAioSubject:
    name = "grpc"
    sink = Sink.EGRESS
    operation = "CALL 127.0.0.1/tests.Ledger/Add"
    policies = (Policy.STUB, Policy.DENY, Policy.ALLOW)
    patched = ((grpc.aio._call.UnaryUnaryCall, "__init__"), (grpc.aio._call.StreamStreamCall, "__init__"))
    settings: dict[str, Any] = {"stubs": (ANY_STUB,)}  # noqa: RUF012
    instrumentor = GrpcAioInstrumentorClient()

    def __init__(self, address: str, values: list[str], loop: Loop) -> None:
        self._address = address
        self._values = values
        self._loop = loop

    def write(self, value: str) -> Any:
        async def main() -> Any:
            async with grpc.aio.insecure_channel(self._address) as channel:
                return await LedgerStub(channel).Add(text(value))

        return self._loop.run(main())

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
def subject(third_party: Any, loop: Loop) -> GrpcAioSubject:
    return GrpcAioSubject(third_party[0], third_party[1], loop)


class TestContract(GuardContract):
    pass


TELLS_TARGET = hasattr(cygrpc.AioChannel, "target")  # older versions' channels are known from their making on


async def _pairs(*values: str) -> Any:
    for value in values:
        yield text(value)


async def _watch(stub: LedgerStub) -> list[str]:
    return [m.value async for m in stub.Watch(text("x"))]


async def _watch_reading(stub: LedgerStub) -> list[str]:
    call, found = stub.Watch(text("x")), []
    while (message := await call.read()) is not grpc.aio.EOF:
        found.append(message.value)
    assert await call.code() is grpc.StatusCode.OK
    return found


async def _add_all_writing(stub: LedgerStub) -> str:
    call = stub.AddAll()
    await call.write(text("x"))
    await call.done_writing()
    return str((await call).value)


async def _talk_writing(stub: LedgerStub) -> list[str]:
    call = stub.Talk()
    await call.write(text("x"))
    found = [(await call.read()).value]
    await call.done_writing()
    return found


async def _value(call: Any) -> str:
    assert await call.code() is grpc.StatusCode.OK
    assert await call.initial_metadata() is not None
    return str((await call).value)


async def _talk(stub: LedgerStub) -> list[str]:
    return [m.value async for m in stub.Talk(_pairs("x"))]


CALLS: dict[str, Callable[[LedgerStub], Any]] = {
    "unary": lambda s: _value(s.Add(text("x"))),
    "unary-stream": _watch,
    "unary-stream-reading": _watch_reading,
    "stream-unary": lambda s: _value(s.AddAll(_pairs("x", "y"))),
    "stream-unary-writing": _add_all_writing,
    "stream-stream": _talk,
    "stream-stream-writing": _talk_writing,
}


@pytest.mark.parametrize("kind", CALLS)
def test_every_kind_of_call_is_stubbed(kind: str, third_party, loop: Loop, arm_service, telemetry: Telemetry) -> None:
    address, values, _ = third_party

    async def main() -> Any:
        if not TELLS_TARGET:
            arm_service()
        async with grpc.aio.insecure_channel(address) as channel:
            stub = LedgerStub(channel)  # before anything is armed
            with bullet(arm_service(stubs=(ANY_STUB,))):
                return await CALLS[kind](stub)

    assert loop.run(main()) in ("stubbed", ["stubbed"])
    assert values == []
    assert [d for d, _ in telemetry.decisions] == ["stubbed"]


def test_a_channel_that_does_not_say_where_it_leads_is_a_third_partys(third_party, loop: Loop, arm_service) -> None:
    address, values, _ = third_party

    async def main() -> Any:
        async with grpc.aio.insecure_channel(address) as channel:
            with bullet(arm_service(system_hosts=(address,))):
                return await CALLS["unary"](LedgerStub(channel))

    if TELLS_TARGET:
        assert loop.run(main()) == "stored"
    else:
        with pytest.raises(WriteRefused):
            loop.run(main())
    assert values == (["x"] if TELLS_TARGET else [])


@pytest.mark.parametrize("kind", CALLS)
def test_what_has_no_stub_is_refused(kind: str, third_party, loop: Loop, arm_service, telemetry: Telemetry) -> None:
    address, values, _ = third_party

    async def main() -> Any:
        async with grpc.aio.insecure_channel(address) as channel:
            with bullet(arm_service()), pytest.raises(WriteRefused, match="no stub"):
                await CALLS[kind](LedgerStub(channel))

    loop.run(main())
    assert values == []
    assert [d for d, _ in telemetry.decisions] == ["denied"]


@pytest.mark.parametrize("kind", CALLS)
def test_calls_inside_the_system_carry_the_flag(kind: str, third_party, loop: Loop, arm_service, telemetry) -> None:
    address, values, seen = third_party

    async def main() -> Any:
        async with grpc.aio.insecure_channel(address) as channel:
            with bullet(armed):
                await CALLS[kind](LedgerStub(channel))

    armed = arm_service(system_hosts=(address,), egress="deny")
    loop.run(main())
    claim = read_metadata_claim(seen[0])
    assert claim is not None
    assert (claim.token, claim.carriers) == ("a.b.c", ("baggage", "tracestate", "header"))
    assert values != []
    assert telemetry.decisions == []


def test_a_third_party_that_is_allowed_sees_nothing_of_ours(third_party, loop: Loop, arm_service) -> None:
    address, values, seen = third_party
    metadata = grpc.aio.Metadata(("baggage", "theirs=1,request_type=TRACE"), ("raw-bin", b"\0\xff"))

    async def main() -> None:
        async with grpc.aio.insecure_channel(address) as channel:
            with bullet(arm_service(egress="allow")):
                await LedgerStub(channel).Add(text("x"), metadata=metadata)

    loop.run(main())
    assert read_metadata_claim(seen[0]) is None
    assert {("baggage", "theirs=1"), ("raw-bin", b"\0\xff")} <= set(seen[0])
    assert values == ["x"]


# --- what comes in


class Service:
    """A guarded ledger with a table, on the server's event loop, and what its handlers saw."""

    def __init__(self, url: str) -> None:
        self.engine = create_async_engine(url)
        self.bullets: list[bool] = []
        self.block = False
        self.began = threading.Event()
        self.address = ""

    async def add(self, value: str) -> str:
        scope = live_scope()
        self.bullets.append(scope is not None)
        async with self.engine.begin() as connection:
            await connection.execute(sql("INSERT INTO orders VALUES (:v)"), {"v": value})
        if self.block:
            self.began.set()
            await asyncio.Event().wait()
        return f"{'bullet' if scope else 'customer'} {value}"


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    import sqlite3

    connection = sqlite3.connect(tmp_path / "orders.db")
    connection.execute("CREATE TABLE orders (v TEXT)")
    yield Service(f"sqlite+aiosqlite:///{tmp_path}/orders.db")
    connection.close()


def rows(service: Service) -> list[str]:
    import contextlib
    import sqlite3

    with contextlib.closing(sqlite3.connect(service.engine.url.database or "")) as connection:
        return sorted(row[0] for row in connection.execute("SELECT v FROM orders"))


@pytest.fixture(params=["ours-first", "theirs-first", "ours-alone", "ours-twice", "frameworks", "writer"])
def served(request: pytest.FixtureRequest, service: Service, arm_service, telemetry: Telemetry) -> Iterator[Service]:
    armed = arm_service()
    ours, theirs = aio_server_interceptor(armed), their_interceptor(tracer_provider=telemetry.provider)
    chains = {
        "ours-first": [ours, theirs],
        "theirs-first": [theirs, ours],
        "ours-alone": [ours],
        "ours-twice": [ours, aio_server_interceptor(), theirs],
        "frameworks": [theirs],
        "writer": [ours],  # OpenTelemetry's cannot do it
    }
    if request.param == "frameworks":
        frameworks.install()

    def fill(server: Any) -> None:
        add_aio_ledger(server, service.add, writer=request.param == "writer")

    try:
        make = lambda: grpc.aio.server(interceptors=chains[request.param])  # noqa: E731
        with run_aio_server(fill, make, service.engine.dispose) as service.address:
            yield service
    finally:
        frameworks.uninstall()


def _ask_watch(stub: LedgerStub, metadata: Any) -> list[str]:
    return [a.value for a in stub.Watch(text("x"), metadata=metadata)]


ASK: dict[str, tuple[Callable[[LedgerStub, Any], Any], int]] = {
    "Add": (lambda s, m: [s.Add(text("x"), metadata=m).value], 1),
    "Watch": (_ask_watch, 2),
    "AddAll": (lambda s, m: s.AddAll(iter([text("x"), text("y")]), metadata=m).value.split(","), 2),
    "Talk": (lambda s, m: [a.value for a in s.Talk(iter([text("x"), text("y")]), metadata=m)], 2),
}


@pytest.mark.parametrize("method", ASK)
def test_a_bullets_call_is_served_and_rolled_back(
    method: str, served: Service, flag_headers, telemetry: Telemetry
) -> None:
    ask, count = ASK[method]
    with grpc.insecure_channel(served.address) as channel:
        answers = ask(LedgerStub(channel), metadata_of(flag_headers()))
        assert len(answers) == count
        assert all(a.startswith("bullet ") for a in answers)
        assert rows(served) == []
        kept = ask(LedgerStub(channel), None)
    assert all(a.startswith("customer ") for a in kept)
    assert len(rows(served)) == count
    (seal,) = telemetry.having("tb.sealed_spans")
    expected = seal.attributes["tb.sealed_spans"]
    wait_for(lambda: len(of_trace(telemetry, seal)) == expected + 1)  # a span around ours ends after the answer
    of_bullet = [s for s in of_trace(telemetry, seal) if s is not seal]
    assert of_bullet
    assert all((s.attributes or {})["tb.request_type"] == "TRACE" for s in of_bullet)


@pytest.mark.parametrize("method", ASK)
def test_a_bullet_without_proof_is_refused(method: str, served: Service, flag_headers, telemetry: Telemetry) -> None:
    headers = {**flag_headers(), "x-tracer-bullet": "forged", "baggage": "request_type=TRACE,tb-token=forged"}
    with grpc.insecure_channel(served.address) as channel, pytest.raises(grpc.RpcError) as caught:
        ASK[method][0](LedgerStub(channel), metadata_of(headers))
    error: Any = caught.value
    assert (error.code(), error.details()) == (grpc.StatusCode.PERMISSION_DENIED, "malformed")
    assert json.loads(dict(error.trailing_metadata())[PROBLEM_KEY])["type"] == "urn:tracer-bullet:malformed"
    assert served.bullets == []
    wait_for(lambda: telemetry.having("tb.refused", "malformed"))  # a span around ours ends after the answer


@pytest.mark.parametrize("method", ["Add", "Watch", "AddAll", "Talk"])
def test_a_call_that_the_client_gives_up_is_rolled_back(
    method: str, served: Service, flag_headers, telemetry: Telemetry
) -> None:
    served.block = True
    with grpc.insecure_channel(served.address) as channel:
        stub, metadata = LedgerStub(channel), metadata_of(flag_headers())
        call = {
            "Add": lambda: stub.Add.future(text("x"), metadata=metadata),
            "Watch": lambda: stub.Watch(text("x"), metadata=metadata),
            "AddAll": lambda: stub.AddAll.future(iter([text("x")]), metadata=metadata),
            "Talk": lambda: stub.Talk(iter([text("x")]), metadata=metadata),
        }[method]()
        assert served.began.wait(60)
        call.cancel()
        wait_for(lambda: telemetry.having("tb.sealed_spans"))
    wait_for(lambda: rows(served) == [])
    assert served.bullets == [True]


def test_a_stream_that_the_client_leaves_between_messages_is_rolled_back(
    served: Service, flag_headers, telemetry: Telemetry
) -> None:
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
    assert rows(served) == []


def test_bullets_and_customers_share_the_servers_loop(served: Service, flag_headers) -> None:
    def ask(i: int) -> str:
        with grpc.insecure_channel(served.address) as channel:
            flag = flag_headers(trace_id=f"{i + 1:032x}") if i % 2 else {}
            return str(LedgerStub(channel).Add(text(str(i)), metadata=metadata_of(flag), timeout=60).value)

    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(ask, range(40)))
    assert answers == [f"{'bullet' if i % 2 else 'customer'} {i}" for i in range(40)]
    assert rows(served) == sorted(str(i) for i in range(0, 40, 2))


@pytest.mark.parametrize("method", ASK)
def test_sync_handlers_on_an_asyncio_server(method: str, arm_service, flag_headers, telemetry: Telemetry) -> None:
    armed: Armed = arm_service()

    def add(value: str) -> str:
        return f"{'bullet' if live_scope() else 'customer'} {value}"

    def make() -> Any:
        return grpc.aio.server(ThreadPoolExecutor(1), interceptors=[aio_server_interceptor(armed)])

    with run_aio_server(lambda s: add_ledger(s, add), make) as address, grpc.insecure_channel(address) as channel:
        stub = LedgerStub(channel)
        assert {a.split()[0] for a in ASK[method][0](stub, metadata_of(flag_headers()))} == {"bullet"}
        assert {a.split()[0] for a in ASK[method][0](stub, None)} == {"customer"}
        forged = {**flag_headers(), "x-tracer-bullet": "forged"}
        with pytest.raises(grpc.RpcError) as caught:
            ASK[method][0](stub, metadata_of(forged))
        assert caught.value.code() is grpc.StatusCode.PERMISSION_DENIED  # type: ignore[attr-defined]
    assert len(telemetry.having("tb.sealed_spans")) == 1


def test_a_server_that_is_started_inside_a_bullet_serves_customers(service: Service, arm_service) -> None:
    """Its tasks copy the context that it is started in."""
    armed = arm_service(linger_s=60.0)

    def make() -> Any:
        # No `with`: what start() copies is the context as it is now.
        bullet(armed).__enter__()
        return grpc.aio.server(interceptors=[aio_server_interceptor(armed)])

    serving = run_aio_server(lambda s: add_aio_ledger(s, service.add), make, service.engine.dispose)
    with serving as address, grpc.insecure_channel(address) as channel:
        assert ASK["Add"][0](LedgerStub(channel), None) == ["customer x"]
        assert ASK["Watch"][0](LedgerStub(channel), None) == ["customer x-1", "customer x-2"]
    assert service.bullets == [False] * 3


def test_a_testers_call_without_the_flag_cannot_write(loop: Loop, arm_service) -> None:
    armed = arm_service(testers=("t-*",))
    seen: list[bool] = []

    async def handle(request: bytes, _context: Any) -> bytes:
        seen.append(live_scope() is not None)
        return request

    async def stream(request: bytes, _context: Any) -> Any:
        seen.append(live_scope() is not None)
        yield request

    handlers = {
        "One": grpc.unary_unary_rpc_method_handler(handle),
        "Many": grpc.unary_stream_rpc_method_handler(stream),
    }

    async def main() -> None:
        server = grpc.aio.server(interceptors=[aio_server_interceptor(armed)])
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("tests.Raw", handlers),))
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            for user in ("t-1", "ann"):
                metadata = (("baggage", f"user_id={user}"),)
                assert await channel.unary_unary("/tests.Raw/One")(b"x", metadata=metadata) == b"x"
                assert [m async for m in channel.unary_stream("/tests.Raw/Many")(b"x", metadata=metadata)] == [b"x"]
        await server.stop(0)

    loop.run(main())
    assert seen == [True, True, False, False]


class _Passing(grpc.aio.StreamStreamClientInterceptor):
    async def intercept_stream_stream(self, continuation: Any, details: Any, requests: Any) -> Any:
        return await continuation(details, requests)


@pytest.mark.parametrize("interceptors", [[], [_Passing()]], ids=["bare", "intercepted"])
def test_a_bullet_writes_nothing_to_a_stream_of_others(
    interceptors: Any, loop: Loop, arm_service, telemetry: Telemetry
) -> None:
    armed = arm_service(system_hosts=("127.0.0.1",))  # where it would carry no flag
    got: list[bytes] = []

    async def echo(messages: Any, _context: Any) -> Any:
        async for message in messages:
            got.append(message)
            yield message

    async def main() -> None:
        server = grpc.aio.server()
        handlers = {"Talk": grpc.stream_stream_rpc_method_handler(echo)}
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("tests.Raw", handlers),))
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}", interceptors=interceptors) as channel:
            call = channel.stream_stream("/tests.Raw/Talk")()
            await call.write(b"customer")
            await call.read()
            with bullet(armed):
                with pytest.raises(WriteRefused, match="outside of this bullet"):
                    await call.write(b"bullet")
                own = channel.stream_stream("/tests.Raw/Talk")()
                await own.write(b"its own")
                await own.read()
                await own.done_writing()
            await call.write(b"customer")
            await call.read()
            await call.done_writing()
        await server.stop(0)

    loop.run(main())
    assert got == [b"customer", b"its own", b"customer"]
    assert telemetry.decisions == [("denied", "CALL stream")]
