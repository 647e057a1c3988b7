"""What every TraceSource promises, checked on each: the embedded receiver, real Zipkin and Jaeger servers, ClickHouse
(chDB, which is ClickHouse in this process, behind its HTTP interface), and Tempo's API as its answers were recorded."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable, Coroutine, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.servers.clickhouse import export, insert
from tests.servers.clickhouse_http import PASSWORD, USER, run_front
from tests.servers.jaeger import Jaeger
from tests.servers.otlp import PROTOBUF, to_protobuf
from tests.servers.trace_apis import serve_tempo
from tests.servers.zipkin import post_spans, to_zipkin
from tracer_bullet.model import Span, SpanKind, SpanStatus
from tracer_bullet.traces import (
    ClickHouseSource,
    JaegerSource,
    Receiver,
    TempoSource,
    TraceSource,
    ZipkinSource,
    spans_to_table,
)

US = 1_000
NOW_NS = 1_700_000_000_000_000_000
ROUNDS = 400


@dataclass
class Place:
    """A source factory, made inside the loop that uses it, and a way to bring spans to it."""

    make: Callable[[], TraceSource]
    deliver: Callable[[Sequence[Span]], None]


@pytest.fixture
def receiver_place() -> Iterator[Place]:
    with Receiver() as receiver:

        def deliver(spans: Sequence[Span]) -> None:
            httpx.post(f"{receiver.url}/v1/traces", content=to_protobuf(spans), headers=PROTOBUF).raise_for_status()

        yield Place(lambda: receiver, deliver)


@pytest.fixture
def zipkin_place(zipkin_url: str) -> Place:
    return Place(
        lambda: ZipkinSource(zipkin_url + "/", poll_s=0.05),
        lambda spans: post_spans(zipkin_url, map(to_zipkin, spans)),
    )


@pytest.fixture
def jaeger_place(jaeger: Jaeger) -> Place:
    def deliver(spans: Sequence[Span]) -> None:
        httpx.post(f"{jaeger.otlp}/v1/traces", content=to_protobuf(spans), headers=PROTOBUF).raise_for_status()

    return Place(lambda: JaegerSource(jaeger.query, poll_s=0.05), deliver)


@pytest.fixture
def tempo_place() -> Iterator[Place]:
    with serve_tempo() as tempo:
        yield Place(lambda: TempoSource(tempo.url, poll_s=0.05, headers={"X-Scope-OrgID": "shop"}), tempo.deliver)


@pytest.fixture
def clickhouse_place(tmp_path: Path) -> Iterator[Place]:
    table = export(spans_to_table([]), tmp_path)
    user = {"X-ClickHouse-User": USER, "X-ClickHouse-Key": PASSWORD}
    with run_front() as front:
        yield Place(
            lambda: ClickHouseSource(f"http://{front.address}", f"default.{table}", headers=user, poll_s=0.05),
            lambda spans: insert(table, spans_to_table(spans), tmp_path),
        )


@pytest.fixture(
    params=["receiver", "zipkin", "tempo", "clickhouse", pytest.param("jaeger", marks=pytest.mark.slow)],
)
def place(request: pytest.FixtureRequest) -> Place:
    return request.getfixturevalue(f"{request.param}_place")


def use(place: Place, work: Callable[[TraceSource], Coroutine[Any, Any, None]]) -> None:
    async def run() -> None:
        source = place.make()
        try:
            await work(source)
        finally:
            await source.close()
            await source.close()

    asyncio.run(run())


def a_trace() -> list[Span]:
    trace_id = uuid.uuid4().hex

    def span(number: int, parent: int | None, kind: SpanKind, service: str, **more: Any) -> Span:
        return Span(
            trace_id=trace_id,
            span_id=f"{number:016x}",
            parent_id=None if parent is None else f"{parent:016x}",
            name=f"step {number}",
            kind=kind,
            service=service,
            start_ns=NOW_NS + number * US,
            end_ns=NOW_NS + number * US + 5 * US,
            resource={"service.name": service},
            **more,
        )

    return [
        span(1, None, SpanKind.SERVER, "gateway", attributes={"tb.request_type": "TRACE"}),
        span(2, 1, SpanKind.CLIENT, "gateway", attributes={"server.address": "cart"}),
        span(3, 2, SpanKind.SERVER, "cart", status=SpanStatus.ERROR, status_message="empty cart"),
        span(4, 3, SpanKind.INTERNAL, "cart"),
    ]


async def until(source: TraceSource, trace_ids: Sequence[str], count: int) -> dict[str, list[Span]]:
    seen = 0
    for _ in range(ROUNDS):
        found = {t: sorted(s, key=lambda s: s.span_id) for t, s in (await source.fetch(trace_ids)).items()}
        if sum(map(len, found.values())) >= count:
            return found
        seen = await source.wait_for_change(seen, 0.2)
    raise AssertionError(f"the spans did not come: {found}")


def test_what_is_not_there_yet_is_empty(place: Place) -> None:
    async def work(source: TraceSource) -> None:
        trace_id = uuid.uuid4().hex
        assert {t: list(s) for t, s in (await source.fetch([trace_id])).items()} == {trace_id: []}
        assert await source.fetch([]) == {}

    use(place, work)


def test_spans_come_back_as_they_were(place: Place) -> None:
    trace = a_trace()

    async def work(source: TraceSource) -> None:
        place.deliver(trace)
        found = await until(source, [trace[0].trace_id], len(trace))
        for got, sent in zip(found[trace[0].trace_id], trace, strict=True):
            for field in ("trace_id", "span_id", "parent_id", "name", "kind", "service", "start_ns", "end_ns"):
                assert getattr(got, field) == getattr(sent, field)
            assert (got.status, got.status_message) == (sent.status, sent.status_message)
            assert sent.attributes.items() <= got.attributes.items()

    use(place, work)


def test_only_traces_asked_for_and_ids_in_any_case(place: Place) -> None:
    first, second, third = a_trace(), a_trace(), a_trace()

    async def work(source: TraceSource) -> None:
        place.deliver([*first, *second, *third])
        asked = [first[0].trace_id.upper(), third[0].trace_id]
        found = await until(source, asked, 8)
        assert set(found) == {first[0].trace_id, third[0].trace_id}
        assert all({s.trace_id for s in spans} == {trace_id} for trace_id, spans in found.items())

    use(place, work)


def test_spans_that_come_late_are_seen(place: Place) -> None:
    trace = a_trace()

    async def work(source: TraceSource) -> None:
        place.deliver(trace[:2])
        await until(source, [trace[0].trace_id], 2)
        place.deliver(trace[2:])
        assert len((await until(source, [trace[0].trace_id], 4))[trace[0].trace_id]) == 4

    use(place, work)


def test_waiting_ends_without_a_change(place: Place) -> None:
    async def work(source: TraceSource) -> None:
        seen = await source.wait_for_change(0, 0.01)
        assert isinstance(await source.wait_for_change(seen, 0.01), int)

    use(place, work)


def test_what_is_no_id_is_refused(place: Place) -> None:
    async def work(source: TraceSource) -> None:
        with pytest.raises(ValueError, match="hex digits"):
            await source.fetch(["../../health"])

    use(place, work)
