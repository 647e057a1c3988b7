"""The receiver over real sockets: what it takes, what it refuses, and that nothing taken is lost by it."""

from __future__ import annotations

import asyncio
import gzip
import json
import socket
import threading
import tracemalloc
import zlib
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.trace import SpanKind as OtelKind
from opentelemetry.trace import Status, StatusCode

from tests.servers.otlp import JSON, PROTOBUF, to_json, to_protobuf
from tracer_bullet.errors import ExitCode, UnreachableError
from tracer_bullet.model import Span, SpanKind, SpanStatus
from tracer_bullet.traces import Limits, Receiver, table_to_spans
from tracer_bullet.traces.body import BodyError, read_body

GZIP = {"content-encoding": "gzip"}
MIB = 1 << 20
BEFORE = "b" * 32


def a_span(trace_id: str = "a" * 32, span_id: str = "1" * 16, **more: Any) -> Span:
    values = {"parent_id": None, "name": "n", "kind": SpanKind.SERVER, "service": "shop", "start_ns": 1, "end_ns": 2}
    resource = {"service.name": "shop"}
    return Span(**{"trace_id": trace_id, "span_id": span_id, "resource": resource, **values, **more})


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    limits = Limits(max_body_bytes=MIB, max_inflated_bytes=2 * MIB, max_spans=50, retry_after_s=1.5)
    with Receiver(limits=limits) as receiver:
        yield receiver


def post(receiver: Receiver, content: Any, headers: dict[str, str], path: str = "/v1/traces") -> httpx.Response:
    return httpx.post(receiver.url + path, content=content, headers=headers, timeout=60)


@pytest.mark.parametrize(("encode", "headers"), [(to_protobuf, PROTOBUF), (to_json, JSON)])
@pytest.mark.parametrize("zipped", [False, True])
def test_spans_are_taken_in_every_encoding(
    receiver: Receiver, encode: Any, headers: dict[str, str], zipped: bool
) -> None:
    body = encode([a_span()])
    answer = post(receiver, gzip.compress(body) if zipped else body, {**headers, **(GZIP if zipped else {})})
    assert answer.status_code == 200
    assert answer.headers["content-type"] == headers["content-type"]
    assert answer.content == (b"" if headers is PROTOBUF else b"{}"), "partial_success must be unset"
    assert receiver.spans(["A" * 32]) == {"a" * 32: [a_span()]}
    assert (receiver.counters.requests, receiver.counters.spans) == (1, 1)
    assert table_to_spans(receiver.table()) == [a_span()]


def test_a_charset_and_a_chunked_body_are_fine(receiver: Receiver) -> None:
    body = to_json([a_span()])
    answer = post(receiver, iter([body[:10], body[10:]]), {"content-type": "Application/JSON; charset=utf-8"})
    assert answer.status_code == 200
    assert receiver.counters.spans == 1


def test_a_stock_sdk_delivers(receiver: Receiver) -> None:
    exporter = OTLPSpanExporter(endpoint=f"{receiver.url}/v1/traces")
    provider = TracerProvider(resource=Resource.create({"service.name": "stock"}), shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    tracer = provider.get_tracer("scope")
    values = {"n": 1, "list": ["a", "b"], "ok": True}
    with (
        tracer.start_as_current_span("parent", kind=OtelKind.SERVER) as parent,
        tracer.start_as_current_span("child", attributes=values) as child,
    ):
        child.add_event("happened", {"x": "y"})
        child.set_status(Status(StatusCode.ERROR, "no"))
    provider.shutdown()
    trace_id = f"{parent.get_span_context().trace_id:032x}"
    got = {s.name: s for s in receiver.spans([trace_id])[trace_id]}
    assert got["child"].parent_id == got["parent"].span_id
    assert (got["parent"].kind, got["parent"].service, got["parent"].parent_id) == (SpanKind.SERVER, "stock", None)
    assert got["child"].attributes == {"n": "1", "list": '["a","b"]', "ok": "true"}
    assert (got["child"].status, got["child"].status_message) == (SpanStatus.ERROR, "no")
    assert [e.name for e in got["child"].events] == ["happened"]
    assert got["child"].scope_name == "scope"


def bomb(inflated_bytes: int) -> bytes:
    return gzip.compress(bytes(inflated_bytes))


IMPOSSIBLE = to_json([a_span()]).replace(b"1111111111111111", b"11")
BACKWARDS = to_protobuf([a_span(start_ns=9, end_ns=3)])

BAD: dict[str, tuple[Callable[[], Any], dict[str, str], int, str]] = {
    "truncated protobuf": (lambda: to_protobuf([a_span()])[:-3], PROTOBUF, 400, "malformed"),
    "not protobuf": (lambda: b"hello, world", PROTOBUF, 400, "malformed"),
    "truncated json": (lambda: to_json([a_span()])[:-3], JSON, 400, "malformed"),
    "wrong types": (lambda: b'{"resourceSpans": [{"scopeSpans": "all"}]}', JSON, 400, "malformed"),
    "empty json": (lambda: b"", JSON, 400, "malformed"),
    "short id": (lambda: IMPOSSIBLE, JSON, 400, "no_valid_span"),
    "times out of order": (lambda: BACKWARDS, PROTOBUF, 400, "no_valid_span"),
    "large, declared": (lambda: bytes(MIB + 1), PROTOBUF, 413, "too_large"),
    "large, chunked": (lambda: iter([bytes(MIB)] * 3), PROTOBUF, 413, "too_large"),
    "100 MB": (lambda: bytes(100 * MIB), PROTOBUF, 413, "too_large"),
    "100 MB, chunked": (lambda: iter([bytes(MIB)] * 100), JSON, 413, "too_large"),
    "zip bomb": (lambda: bomb(200 * MIB), {**PROTOBUF, **GZIP}, 413, "inflates_too_large"),
    "bomb in a second member": (
        lambda: gzip.compress(b"x") + bomb(3 * MIB),
        {**JSON, **GZIP},
        413,
        "inflates_too_large",
    ),
    "truncated gzip": (lambda: gzip.compress(to_json([a_span()]))[:-5], {**JSON, **GZIP}, 400, "bad_gzip"),
    "not gzip": (lambda: to_json([a_span()]), {**JSON, **GZIP}, 400, "bad_gzip"),
    "trailing garbage": (lambda: gzip.compress(to_json([a_span()])) + b"xyz", {**JSON, **GZIP}, 400, "bad_gzip"),
    "empty gzip": (lambda: b"", {**JSON, **GZIP}, 400, "bad_gzip"),
    "unknown type": (lambda: b"x", {"content-type": "text/plain"}, 415, "unsupported_type"),
    "no type": (lambda: b"x", {}, 415, "unsupported_type"),
    "unknown encoding": (lambda: b"x", {**JSON, "content-encoding": "br"}, 415, "unsupported_encoding"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_refused_and_counted_and_harms_nothing(receiver: Receiver, name: str) -> None:
    make, headers, status, reason = BAD[name]
    post(receiver, to_protobuf([a_span(BEFORE)]), PROTOBUF).raise_for_status()
    answer = post(receiver, make(), headers)
    assert answer.status_code == status
    assert message_of(answer)
    assert receiver.counters.rejected_requests == {reason: 1}
    assert receiver.spans([BEFORE, "a" * 32]) == {BEFORE: [a_span(BEFORE)], "a" * 32: []}
    assert post(receiver, to_protobuf([a_span()]), PROTOBUF).status_code == 200
    assert len(table_to_spans(receiver.table())) == 2


def message_of(answer: httpx.Response) -> str:
    """The message of a google.rpc.Status: field 2, a string below 128 bytes or with a two-byte length."""
    if answer.headers["content-type"] == "application/json":
        return answer.json()["message"]
    assert answer.headers["content-type"] == "application/x-protobuf"
    body = answer.content
    assert body[0] == 2 << 3 | 2
    long = body[1] >> 7
    assert (body[1] & 0x7F) + (body[2] << 7 if long else 0) == len(body) - 2 - long
    return body[2 + long :].decode()


@pytest.mark.parametrize(("encode", "headers"), [(to_protobuf, PROTOBUF), (to_json, JSON)])
def test_good_spans_beside_bad_ones_are_kept(receiver: Receiver, encode: Any, headers: dict[str, str]) -> None:
    spans = [a_span(), a_span(span_id="0" * 16), a_span(start_ns=5, end_ns=4), a_span(span_id="2" * 16)]
    answer = post(receiver, encode(spans), headers)
    assert answer.status_code == 200
    if headers is JSON:
        partial = answer.json()["partialSuccess"]
        count, text = int(partial["rejectedSpans"]), partial["errorMessage"]
    else:
        response = ExportTraceServiceResponse.FromString(answer.content)
        count, text = response.partial_success.rejected_spans, response.partial_success.error_message
    assert count == 2
    assert "ids" in text
    assert "start" in text
    assert [s.span_id for s in receiver.spans(["a" * 32])["a" * 32]] == ["1" * 16, "2" * 16]
    assert receiver.counters.rejected_spans == {"bad_id": 1, "bad_times": 1}
    assert receiver.counters.rejected_requests == {}


def test_a_full_buffer_asks_to_come_again(receiver: Receiver) -> None:
    batch = [a_span(span_id=f"{n:016x}") for n in range(1, 31)]
    assert post(receiver, to_protobuf(batch), PROTOBUF).status_code == 200
    answer = post(receiver, to_protobuf(batch), PROTOBUF)
    assert (answer.status_code, answer.headers["retry-after"]) == (429, "2")
    assert "50" in message_of(answer)
    assert receiver.counters.rejected_requests == {"buffer_full": 1}
    assert len(receiver.spans(["a" * 32])["a" * 32]) == 30, "nothing of the refused request was taken"
    assert receiver.drain().num_rows == 30
    assert post(receiver, to_protobuf(batch), PROTOBUF).status_code == 200
    assert receiver.table().num_rows == 30
    assert receiver.counters.spans == 60


@pytest.mark.parametrize("headers", [PROTOBUF, JSON])
@pytest.mark.parametrize("signal", ["metrics", "logs"])
def test_other_signals_are_answered_and_dropped(receiver: Receiver, signal: str, headers: dict[str, str]) -> None:
    answer = post(receiver, b"whatever", headers, f"/v1/{signal}")
    assert (answer.status_code, answer.content) == (200, b"{}" if headers is JSON else b"")
    assert receiver.counters.ignored == {signal: 1}
    assert receiver.table().num_rows == 0


def test_paths_and_methods(receiver: Receiver) -> None:
    assert httpx.get(f"{receiver.url}/health").json() == {"status": "ok", "spans": 0}
    assert httpx.get(f"{receiver.url}/v1/traces").status_code == 405
    assert httpx.get(f"{receiver.url}/v1/traces").headers["allow"] == "POST"
    assert post(receiver, b"", {}, "/health").headers["allow"] == "GET"
    assert post(receiver, b"", PROTOBUF, "/v1/other").status_code == 404
    assert post(receiver, b"", PROTOBUF, "/v1/traces/").status_code == 404
    assert httpx.get(receiver.url).json()["message"]


def test_an_empty_protobuf_request_is_a_success(receiver: Receiver) -> None:
    assert post(receiver, b"", PROTOBUF).status_code == 200


def test_a_slow_body_is_given_up() -> None:
    with Receiver(limits=Limits(body_timeout_s=0.05)) as receiver:
        host, port = receiver.url.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port)), timeout=30) as slow:
            slow.sendall(b"POST /v1/traces HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n")
            slow.sendall(b"content-length: 100\r\n\r\n{")
            assert slow.recv(4096).startswith(b"HTTP/1.1 408 ")
        assert receiver.counters.rejected_requests == {"slow_body": 1}


def test_a_sender_that_goes_away_is_counted_and_harms_nothing(receiver: Receiver) -> None:
    host, port = receiver.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as gone:
        gone.sendall(b"POST /v1/traces HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n")
        gone.sendall(b"content-length: 100\r\n\r\n{")
    receiver.stop()  # finishes what was begun
    assert receiver.counters.rejected_requests == {"disconnected": 1}


def test_a_bomb_is_stopped_in_bounded_memory() -> None:
    """1 GiB of zeros in 1 MiB: the inflater must never hold much more than its limit."""
    compressor = zlib.compressobj(9, wbits=31)
    body = b"".join([*(compressor.compress(bytes(MIB)) for _ in range(1024)), compressor.flush()])
    assert len(body) < 2 * MIB
    chunks = [body[i : i + 65536] for i in range(0, len(body), 65536)]

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": chunks.pop(0), "more_body": bool(chunks)}

    tracemalloc.start()
    try:
        with pytest.raises(BodyError) as caught:
            asyncio.run(read_body(receive, "gzip", max_bytes=2 * MIB, max_inflated_bytes=4 * MIB, timeout_s=60))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert caught.value.status == 413
    assert peak < 4 * 4 * MIB
    assert chunks, "the rest of the body was not even read"


def test_a_body_of_exactly_the_limit_is_taken() -> None:
    body = gzip.compress(bytes(1000))

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    def read(limit: int) -> bytes:
        return asyncio.run(read_body(receive, "gzip", max_bytes=len(body), max_inflated_bytes=limit, timeout_s=60))

    assert read(1000) == bytes(1000)
    with pytest.raises(BodyError):
        read(999)


def test_a_port_in_use_is_told_with_a_cure(receiver: Receiver) -> None:
    port = int(receiver.url.rpartition(":")[2])
    with pytest.raises(UnreachableError) as caught:
        Receiver(port=port).start()
    assert caught.value.code == "TB401"
    assert caught.value.where == f"127.0.0.1:{port}"
    assert "in use" in caught.value.why
    assert "port" in caught.value.cure
    assert caught.value.exit_code is ExitCode.INCONCLUSIVE


def test_an_impossible_host_is_told(receiver: Receiver) -> None:
    with pytest.raises(UnreachableError, match="TB401"):
        Receiver(host="256.256.256.256").start()


@pytest.mark.parametrize(("host", "there"), [("0.0.0.0", "127.0.0.1"), ("::1", "[::1]"), ("localhost", "localhost")])
def test_the_address_told_can_be_reached(host: str, there: str) -> None:
    assert Receiver(host=host, port=4318).url == f"http://{there}:4318"


def test_spans_stay_after_stop_and_stop_may_repeat(receiver: Receiver) -> None:
    post(receiver, to_protobuf([a_span()]), PROTOBUF).raise_for_status()
    receiver.stop()
    receiver.stop()
    assert receiver.spans(["a" * 32])["a" * 32] == [a_span()]
    with pytest.raises(httpx.ConnectError):
        post(receiver, b"", PROTOBUF)


def test_waiting_wakes_up_when_spans_come(receiver: Receiver) -> None:
    async def run() -> int:
        waiting = asyncio.create_task(receiver.wait_for_change(0, 3600))
        await asyncio.sleep(0)  # it waits now
        await asyncio.to_thread(post, receiver, to_protobuf([a_span()]), PROTOBUF)
        return await asyncio.wait_for(waiting, 60)

    assert asyncio.run(run()) == 1
    assert receiver.wait(0, 60) == 1, "a change from before the call counts"
    seen: list[int] = []
    thread = threading.Thread(target=lambda: seen.append(receiver.wait(1, 3600)), daemon=True)
    thread.start()
    post(receiver, to_protobuf([a_span(span_id="2" * 16)]), PROTOBUF)
    thread.join(60)
    assert seen == [2]


def test_many_senders_at_once_lose_nothing() -> None:
    with Receiver() as receiver:

        def send(sender: int) -> None:
            with httpx.Client() as client:
                for batch in range(10):
                    spans = [a_span(f"{sender + 1:032x}", f"{batch * 100 + n + 1:016x}") for n in range(100)]
                    client.post(f"{receiver.url}/v1/traces", content=to_protobuf(spans), headers=PROTOBUF)
                    receiver.spans([f"{sender + 1:032x}"])

        threads = [threading.Thread(target=send, args=(n,)) for n in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        found = receiver.spans([f"{n + 1:032x}" for n in range(8)])
        assert [len({s.span_id for s in spans}) for spans in found.values()] == [1000] * 8
        assert receiver.table().num_rows == 8000
        assert receiver.counters.spans == 8000


def test_answers_in_json_are_json(receiver: Receiver) -> None:
    answer = post(receiver, b"[]", JSON)
    assert json.loads(answer.content)["message"].startswith("an object is needed")
