"""Zipkin v2 spans to the model: halves of shared ids, times, errors, endpoints; and a client's troubles."""

from __future__ import annotations

import asyncio
import uuid
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.servers.zipkin import post_spans
from tracer_bullet.errors import UnreachableError
from tracer_bullet.model import Span, SpanKind, SpanStatus, Trace
from tracer_bullet.traces import Receiver, ZipkinSource
from tracer_bullet.traces.otlp import MalformedError
from tracer_bullet.traces.zipkin_spans import from_zipkin

TRACE_ID = "ab" * 16
A, B, C, D = (c * 16 for c in "abcd")


def z(span_id: str, service: str, kind: str | None = None, parent: str | None = None, **more: Any) -> dict[str, Any]:
    value = {"traceId": TRACE_ID, "id": span_id, "parentId": parent, "kind": kind, "timestamp": 10, "duration": 5}
    return {**value, "localEndpoint": {"serviceName": service}, **more}


def one(**more: Any) -> Span:
    (span,) = from_zipkin(TRACE_ID, [z(A, "shop", **more)])
    return span


# web calls shop under one shared id B; shop calls its stock by C; web also makes a local span D below B.
SHARED = [
    z(A, "web", "SERVER", name="get /"),
    z(B, "web", "CLIENT", A, name="get /cart"),
    z(B, "shop", "SERVER", A, shared=True, name="get /cart", timestamp=11),
    z(C, "shop", "CLIENT", B, name="select"),
    z(D, "web", None, B, name="dns"),
    z("e" * 16, "mystery", "SERVER", B, name="uninstrumented client of shop"),
]


@given(st.permutations(SHARED))
def test_halves_of_a_shared_id_become_two_spans(order: list[dict[str, Any]]) -> None:
    spans = {(s.service, s.name): s for s in from_zipkin(TRACE_ID, order)}
    trace = Trace.of(TRACE_ID, spans.values())
    client, server = spans["web", "get /cart"], spans["shop", "get /cart"]
    assert len(trace.spans) == len(SHARED)
    assert client.span_id == B
    assert server.span_id not in {A, B, C, D}
    assert trace.parent(server) == client
    assert trace.parent(client) == spans["web", "get /"]
    assert trace.parent(spans["shop", "select"]) == server
    assert trace.parent(spans["web", "dns"]) == client
    assert trace.parent(spans["mystery", "uninstrumented client of shop"]) == server
    assert not trace.orphans


def test_two_servers_of_one_shared_id_keep_their_own_children() -> None:
    spans = from_zipkin(
        TRACE_ID,
        [
            z(B, "web", "CLIENT"),
            *(z(B, service, "SERVER", shared=True) for service in ("shop", "shop-canary")),
            z(C, "shop", "CLIENT", B),
            z(D, "shop-canary", "CLIENT", B),
        ],
    )
    trace = Trace.of(TRACE_ID, spans)
    assert len(trace.spans) == 5
    for child in (trace.by_id[C], trace.by_id[D]):
        parent = trace.parent(child)
        assert parent is not None
        assert (parent.service, parent.kind) == (child.service, SpanKind.SERVER)


def test_a_shared_half_without_its_other_half_is_an_orphan() -> None:
    (span,) = from_zipkin(TRACE_ID, [z(B, "shop", "SERVER", A, shared=True)])
    assert span.parent_id == B, "the client's half exists somewhere: its absence must show"


def test_an_unflagged_server_of_a_clients_id_is_shared() -> None:
    spans = from_zipkin(TRACE_ID, [z(B, "web", "CLIENT"), z(B, "shop", "SERVER")])
    assert len({s.span_id for s in spans}) == 2
    assert {s.service: s.parent_id for s in spans} == {"web": None, "shop": B}


def test_pieces_of_one_half_are_merged() -> None:
    pieces = [
        z(A, "shop", "SERVER", timestamp=20, duration=None, tags={"a": "1"}),
        z(A, "shop", None, timestamp=10, duration=70, tags={"b": "2"}, annotations=[{"timestamp": 12, "value": "x"}]),
    ]
    (span,) = from_zipkin(TRACE_ID, pieces)
    assert (span.start_ns, span.end_ns, span.kind) == (10_000, 80_000, SpanKind.SERVER)
    assert span.attributes == {"a": "1", "b": "2"}
    assert [(e.time_ns, e.name) for e in span.events] == [(12_000, "x")]


def test_ids_of_64_bits_are_padded_and_the_trace_keeps_the_id_asked_for() -> None:
    span = one(traceId=TRACE_ID[16:], parentId="b", id="0C")
    assert (span.trace_id, span.span_id, span.parent_id) == (TRACE_ID, f"{12:016x}", f"{11:016x}")
    assert one(parentId="0" * 16).parent_id is None


@pytest.mark.parametrize(
    ("tags", "status", "message"),
    [
        ({}, SpanStatus.UNSET, ""),
        ({"error": "boom"}, SpanStatus.ERROR, "boom"),
        ({"error": "true"}, SpanStatus.ERROR, ""),
        ({"error": ""}, SpanStatus.ERROR, ""),
        ({"error": "false"}, SpanStatus.UNSET, ""),
        ({"otel.status_code": "OK"}, SpanStatus.OK, ""),
        ({"otel.status_code": "ERROR"}, SpanStatus.ERROR, ""),
    ],
)
def test_status(tags: dict[str, str], status: SpanStatus, message: str) -> None:
    span = one(tags=tags)
    assert (span.status, span.status_message) == (status, message)


def test_endpoints_become_attributes_of_the_right_side() -> None:
    remote = {"serviceName": "stock", "ipv4": "10.0.0.2", "port": 81}
    assert one(kind="CLIENT", remoteEndpoint=remote).attributes == {
        "peer.service": "stock",
        "network.peer.address": "10.0.0.2",
        "network.peer.port": "81",
        "server.address": "10.0.0.2",
        "server.port": "81",
    }
    assert one(kind="SERVER", remoteEndpoint={"ipv6": "::1"}).attributes == {
        "network.peer.address": "::1",
        "client.address": "::1",
    }
    own = one(kind="CLIENT", remoteEndpoint=remote, tags={"server.address": "stock.example"})
    assert own.attributes["server.address"] == "stock.example", "the sender's own word is better"


def test_what_is_absent_has_plain_defaults() -> None:
    first, second = from_zipkin(TRACE_ID, [{"id": A}, z(B, "shop", timestamp=7)])
    assert (first.service, first.name, first.kind) == ("unknown_service", "", SpanKind.INTERNAL)
    assert (first.start_ns, first.end_ns) == (7_000, 7_000)
    assert second.resource == {"service.name": "shop"}
    assert one(timestamp=None, annotations=[{"timestamp": 9, "value": "cs"}]).start_ns == 9_000


@pytest.mark.parametrize(
    "value",
    [
        None, {}, [1], [{}], [{"id": "xyz"}], [{"id": 5}], [z(A, "s", tags=[])], [z(A, "s", timestamp="now")],
        [z(A, "s", timestamp=-1)], [z(A, "s", duration=True)], [z(A, "s", localEndpoint="s")],
        [z(A, "s", annotations=["x"])], [z(A, "s", parentId="q")], [z(A, "s", tags={"a": 1})],
    ],
)  # fmt: skip
def test_what_is_no_trace_is_refused(value: Any) -> None:
    with pytest.raises(MalformedError):
        from_zipkin(TRACE_ID, value)


def fetch(url: str) -> dict[str, list[Span]]:
    async def run() -> dict[str, list[Span]]:
        source = ZipkinSource(url, timeout_s=30)
        try:
            return await source.fetch([TRACE_ID, "1"])
        finally:
            await source.close()

    return asyncio.run(run())


def test_a_server_that_is_away_is_told_with_a_cure() -> None:
    with Receiver() as receiver:
        url = receiver.url
    with pytest.raises(UnreachableError) as caught:
        fetch(url)
    assert caught.value.code == "TB402"
    assert caught.value.where.startswith(f"{url}/api/v2/trace/")
    assert "ConnectError" in caught.value.why
    assert caught.value.cure


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        ("HTTP/1.1 503 No\r\ncontent-length: 0\r\n\r\n", "it answered 503"),
        ("HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\n<html>", "not JSON"),
        ("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}", "an array is needed"),
        ("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n[", "RemoteProtocolError"),
    ],
)
def test_a_server_that_is_no_zipkin_is_told(answer: str, why: str) -> None:
    async def run() -> None:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(answer.encode())
            await writer.drain()
            writer.close()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        async with server:
            source = ZipkinSource(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
            try:
                with pytest.raises(UnreachableError) as caught:
                    await source.fetch([TRACE_ID])
            finally:
                await source.close()
        assert why in caught.value.why

    asyncio.run(run())


def test_shared_ids_come_back_from_a_real_server(zipkin_url: str) -> None:
    trace_id = uuid.uuid4().hex
    post_spans(zipkin_url, [{k: v for k, v in {**s, "traceId": trace_id}.items() if v is not None} for s in SHARED])

    async def run() -> list[Span]:
        source = ZipkinSource(zipkin_url, poll_s=0.05)
        try:
            for seen in range(400):
                spans = (await source.fetch([trace_id]))[trace_id]
                if len(spans) == len(SHARED):
                    return spans
                await source.wait_for_change(seen, 1)
            raise AssertionError(f"the spans did not come: {spans}")
        finally:
            await source.close()

    trace = Trace.of(trace_id, asyncio.run(run()))
    assert not trace.orphans
    server = next(s for s in trace.spans if s.service == "shop" and s.kind is SpanKind.SERVER)
    parent = trace.parent(server)
    assert parent is not None
    assert (parent.span_id, parent.kind) == (B, SpanKind.CLIENT)


def test_the_client_refuses_ids_before_it_asks() -> None:
    async def run() -> None:
        source = ZipkinSource("http://127.0.0.1:1")
        try:
            with pytest.raises(ValueError, match="hex digits"):
                await source.fetch(["a/../b"])
        finally:
            await source.close()

    asyncio.run(run())
