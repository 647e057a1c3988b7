"""gRPC calls sent as the HTTP/2 requests that they are, against real gRPC servers: no client of its own is needed."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import replace

import grpc
import pytest
from google.protobuf.wrappers_pb2 import StringValue
from hypothesis import given
from hypothesis import strategies as st

from tests.servers.grpc_services import SERVICE, LedgerStub, add_ledger, run_server, text
from tests.servers.http2_peer import Asked, Conversation, Http2Peer
from tests.unit.engine.volley import QUICK, Volley, fire, on_uvloop, shot
from tracer_bullet.engine.client import Shot
from tracer_bullet.engine.grpc import HTTP_STATUS, Grpc, GrpcClient
from tracer_bullet.engine.http2.dialect import PlainHttp
from tracer_bullet.model.arrival import Origin, Protocol
from tracer_bullet.model.shots import SHOT_ERRORS


def framed(*values: str) -> bytes:
    """Messages as gRPC puts them on the wire: a flag, a length, the bytes."""
    out = b""
    for value in values:
        message = StringValue(value=value).SerializeToString()
        out += b"\0" + len(message).to_bytes(4, "big") + message
    return out


def unframed(body: bytes) -> list[str]:
    values = []
    while body:
        length = int.from_bytes(body[1:5], "big")
        values.append(StringValue.FromString(body[5 : 5 + length]).value)
        body = body[5 + length :]
    return values


def call(number: int, method: str, *values: str, headers: tuple[str, ...] = ()) -> Shot:
    """A recorded call: as an archive has it, with the content-length that every recorded body gets."""
    usual = ("content-type: application/grpc", "user-agent: grpc-go/1.60", *headers)
    return shot(number, f"/{SERVICE}/{method}", method="POST", body=framed(*values), headers=usual)


def add(value: str) -> str:
    if value.startswith("sleep"):
        time.sleep(1)
    if value.startswith("fail"):
        raise RuntimeError(value)
    return value.upper()


@pytest.fixture(scope="module")
def ledger() -> Iterator[Origin]:
    with run_server(lambda server: (add_ledger(server, add), _add_statuses(server))) as address:
        host, _, port = address.rpartition(":")
        yield Origin(number=0, scheme="http", host=host, port=int(port), protocol=Protocol.GRPC)


def _add_statuses(server: grpc.Server) -> None:
    """`tests.Statuses/<code>` fails with that code, and trailers of its own."""

    class Statuses(grpc.GenericRpcHandler):
        def service(self, handler_call_details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler | None:
            service, _, code = handler_call_details.method[1:].partition("/")
            if service != "tests.Statuses":
                return None

            def fail(_request: bytes, context: grpc.ServicerContext) -> bytes:
                context.set_trailing_metadata((("x-why", "told"),))
                context.abort(next(c for c in grpc.StatusCode if c.value[0] == int(code)), "as told")
                return b""

            return grpc.unary_unary_rpc_method_handler(fail)

    server.add_generic_rpc_handlers((Statuses(),))


@pytest.mark.parametrize(
    ("method", "sent", "wanted"),
    [
        ("Add", ("one",), ["ONE"]),
        ("Watch", ("a",), ["A-1", "A-2"]),
        ("AddAll", ("a", "b", "c"), ["A,B,C"]),
        ("Talk", ("a", "b"), ["A", "B"]),
    ],
)
def test_all_four_kinds_of_calls_are_answered_as_to_a_real_client(
    ledger: Origin, method: str, sent: tuple[str, ...], wanted: list[str]
) -> None:
    (done,) = fire(GrpcClient, ledger, call(0, method, *sent))
    assert (done.status, SHOT_ERRORS[done.error]) == (200, "")
    assert done.answer is not None
    assert unframed(done.answer.body or b"") == wanted
    assert dict(done.answer.trailers)["grpc-status"] == "0"


def test_the_answer_is_that_of_grpcs_own_client(ledger: Origin) -> None:
    (done,) = fire(GrpcClient, ledger, call(0, "Add", "same"))
    assert done.answer is not None
    with grpc.insecure_channel(f"{ledger.host}:{ledger.port}") as channel:
        assert [LedgerStub(channel).Add(text("same")).value] == unframed(done.answer.body or b"")


def test_large_and_many_messages(ledger: Origin) -> None:
    large = "x" * 300_000
    calls = [call(0, "Add", large), *(call(n, "Add", f"v{n}") for n in range(1, 200))]
    back = fire(GrpcClient, ledger, *calls, settings=replace(QUICK, connections=2))
    assert {(s.status, s.error) for s in back} == {(200, 0)}
    assert [unframed((s.answer and s.answer.body) or b"")[0] for s in back] == [
        large.upper(),
        *(f"V{n}" for n in range(1, 200)),
    ]


@pytest.mark.parametrize("code", sorted(set(HTTP_STATUS) - {0}))
def test_a_failed_call_has_the_status_that_http_would_give_it(ledger: Origin, code: int) -> None:
    one = call(0, "x", "message")
    one.head = one.head.replace(f"/{SERVICE}/x".encode(), f"/tests.Statuses/{code}".encode())
    (done,) = fire(GrpcClient, ledger, one)
    assert (done.status, SHOT_ERRORS[done.error]) == (HTTP_STATUS[code], "")
    assert done.answer is not None
    # What is compared with the recording is what was on the wire.
    assert done.answer.status == 200
    told = dict((*done.answer.headers, *done.answer.trailers))
    assert (told["grpc-status"], told["grpc-message"], told["x-why"]) == (str(code), "as told", "told")


def test_an_exception_and_an_unknown_method(ledger: Origin) -> None:
    failed, unknown = fire(GrpcClient, ledger, call(0, "Add", "fail"), call(1, "Nothing", "x"))
    assert [failed.status, unknown.status] == [500, 501]


def test_overload_is_handed_over_with_its_headers_unasked(ledger: Origin) -> None:
    one = call(0, "x", "message")
    one.head = one.head.replace(f"/{SERVICE}/x".encode(), b"/tests.Statuses/14")
    one.wants = False
    (done,) = fire(GrpcClient, ledger, one)
    assert done.status == 503
    assert done.answer is not None


def test_a_deadline_is_the_servers_too(ledger: Origin) -> None:
    """The recorded `grpc-timeout` goes with the call."""
    (done,) = fire(GrpcClient, ledger, call(0, "Add", "sleep", headers=("grpc-timeout: 100m",)))
    # The server either says so, or resets the stream, as it may. Without a deadline it would answer.
    assert (done.status, SHOT_ERRORS[done.error]) in {(504, ""), (0, "reset"), (499, "")}


def test_a_server_that_shuts_down_finishes_what_it_has_begun() -> None:
    begun, go = threading.Event(), threading.Event()

    def slow(value: str) -> str:
        if value == "slow":
            begun.set()
            go.wait(10)
        return value

    async def story(server: grpc.Server, origin: Origin) -> list[Shot]:
        async with Volley(GrpcClient, origin) as volley:
            volley.send(call(0, "Add", "slow"))
            while not begun.is_set():
                volley.client.sweep(0)
                await volley.fire(call(len(volley.back) + 10, "Add", "soon"))
            stopped = server.stop(10)  # a GOAWAY, while the answer is under way
            go.set()
            await volley.until(len(volley.back) + 1)
            stopped.wait(10)
            return volley.back

    server = grpc.server(thread_pool())
    add_ledger(server, slow)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    back = on_uvloop(story(server, Origin(number=0, scheme="http", host="127.0.0.1", port=port)))
    assert {(s.status, s.error) for s in back} == {(200, 0)}
    assert 0 in {s.number for s in back}


def thread_pool() -> object:
    from concurrent.futures import ThreadPoolExecutor

    return ThreadPoolExecutor(4)


@pytest.mark.parametrize(
    ("status", "fields", "trailers", "wanted"),
    [
        (200, [("content-type", "application/grpc")], [("x-no", "status")], (200, "protocol")),
        (200, [("content-type", "application/grpc")], [("grpc-status", "99")], (500, "")),
        (503, [("content-type", "text/html")], [], (503, "")),
        (200, [("content-type", "application/grpc"), ("grpc-status", "5")], [], (404, "")),
    ],
)
def test_what_a_proxy_may_make_of_it(
    status: int, fields: list[tuple[str, str]], trailers: list[tuple[str, str]], wanted: tuple[int, str]
) -> None:
    def answer(conversation: Conversation, asked: Asked) -> None:
        assert asked.get("te") == "trailers"
        assert asked.get("content-length") == ""
        conversation.answer(asked, status, b"", fields, trailers)

    async def story() -> list[Shot]:
        async with Http2Peer(answer) as peer:
            origin = Origin(number=0, scheme="http", host="127.0.0.1", port=peer.port)
            async with Volley(GrpcClient, origin) as volley:
                return await volley.fire(call(0, "Add", "x"))

    (done,) = on_uvloop(story())
    assert (done.status, SHOT_ERRORS[done.error]) == wanted


HEADERS = st.lists(st.tuples(st.sampled_from(["grpc-status", "Grpc-Status", "x"]), st.text(max_size=3)), max_size=3)


@given(st.integers(100, 599), HEADERS, HEADERS)
def test_any_trailers_are_judged(status: int, headers: list[tuple[str, str]], trailers: list[tuple[str, str]]) -> None:
    judged, error = Grpc().outcome(status, tuple(headers), tuple(trailers))
    assert 100 <= judged <= 599
    assert 0 <= error < len(SHOT_ERRORS)
    assert PlainHttp().outcome(status, tuple(headers), tuple(trailers)) == (status, 0)
