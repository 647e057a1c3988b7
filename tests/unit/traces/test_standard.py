"""Claim: customers' calls are counted as they come, each once, bullets never, in bounded memory."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import grpc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.servers.otlp import JSON, PROTOBUF, to_json, to_protobuf, to_request
from tests.unit.graph.slo.calls import availability, call, engine_of, latency
from tests.unit.traces.test_receiver import a_span, post
from tracer_bullet.graph.slo import judge_objectives
from tracer_bullet.model import Span, SpanKind, SpanStatus
from tracer_bullet.model.distribution import Distribution
from tracer_bullet.runs.load.guardrails.customers import budget_meter
from tracer_bullet.traces import Limits, Receiver
from tracer_bullet.traces.columns import SpanColumns
from tracer_bullet.traces.standard import StandardCall, StandardMeter, StandardTap, standard_calls
from tracer_bullet.workspace.safety import ErrorBudgetSpec


def columns(*spans: Span) -> SpanColumns:
    made = SpanColumns()
    for span in spans:
        made.add_span(span)
    return made


def seen(*spans: Span) -> int:
    return len(list(standard_calls(columns(*spans), {"shop"})))


@pytest.mark.parametrize(
    ("more", "counts"),
    [
        ({}, True),
        ({"kind": SpanKind.CONSUMER}, True),
        ({"kind": SpanKind.INTERNAL}, False),
        ({"kind": SpanKind.CLIENT}, False),
        ({"service": "other"}, False),
        ({"attributes": {"tb.request_type": "TRACE"}}, False),
        ({"attributes": {"tb.request_type": "STANDARD"}}, True),
        ({"attributes": {"tb.refused": "expired"}}, False),
        ({"trace_state": "tb=t"}, False),  # a forwarder has no guards to mark its spans
        ({"trace_state": "vendor=1, tb=t"}, False),
        ({"trace_state": "mytb=t,xtb=tt,tb=x"}, True),
        ({"attributes": {"user_agent.original": "tracer-bullet-health/1.2"}}, False),
        ({"attributes": {"http.user_agent": "curl/8"}}, True),
    ],
)
def test_what_is_a_customers_call(more: dict[str, Any], counts: bool) -> None:
    other = a_span(service="elsewhere", attributes={"a": "1", "b": "2"})  # attributes lie flat beside each other's
    assert seen(other, a_span(**more), other) == counts
    assert seen(a_span(**more), a_span(attributes={"tb.request_type": "TRACE"})) == counts


SPAN = st.builds(
    lambda n, ms, failed, status, kind: replace(
        call(n, 0, ms=1),
        end_ns=call(n, 0).start_ns + ms,
        status=SpanStatus.ERROR if failed else SpanStatus.UNSET,
        attributes=status,
        kind=kind,
    ),
    n=st.integers(0, 10**6),
    ms=st.integers(0, 10).map(lambda n: n * 100_000_000),
    failed=st.booleans(),
    status=st.sampled_from(
        [
            {},
            {"http.response.status_code": "404"},
            {"http.status_code": "500"},
            {"rpc.grpc.status_code": "5"},
            {"rpc.grpc.status_code": "13"},
            {"rpc.response.status_code": "NOT_FOUND"},
            {"http.status_code": "4"},
        ]
    ),
    kind=st.sampled_from([SpanKind.SERVER, SpanKind.CONSUMER, SpanKind.INTERNAL]),
)
OBJECTIVES = [latency(0.9, 300), availability(0.9), replace(availability(0.9), client_errors=True)]


@settings(max_examples=8)
@given(st.lists(SPAN, min_size=1, max_size=12, unique_by=lambda span: span.span_id))
def test_bad_is_what_objectives_call_bad(spans: list[Span]) -> None:
    """The meter beside the analysis' own SQL, over the same spans."""
    windows = []
    for objective in OBJECTIVES:
        meter = budget_meter(ErrorBudgetSpec(slo="x"), objective)
        meter.add(standard_calls(columns(*spans), {"shop"}), 5.0)
        windows.append(meter.window(5.0))
    with engine_of(spans) as engine:
        verdicts = judge_objectives(engine, OBJECTIVES)
    assert [(w.calls, w.calls - w.bad) for w in windows] == [(v.calls, v.good) for v in verdicts]


CALLS = st.lists(st.tuples(st.integers(0, 30), st.integers(0, 10**10), st.booleans()), max_size=60)


@given(CALLS, st.integers(1, 20), st.integers(0, 10))
def test_a_window_holds_what_it_should(calls: list[tuple[int, int, bool]], window_s: int, later_s: int) -> None:
    meter = StandardMeter("shop", window_s=window_s)
    now = 100
    for gap, duration, failed in calls:
        now += gap
        meter.add([made(duration, failed=failed)], now)
    moments = [100 + sum(g for g, _, _ in calls[: n + 1]) for n in range(len(calls))]
    inside = [c for c, at in zip(calls, moments, strict=True) if at > now + later_s - window_s]
    window = meter.window(now + later_s)
    assert (window.calls, window.bad) == (len(inside), sum(failed for _, _, failed in inside))
    assert window.durations == Distribution.of(duration for _, duration, _ in inside)


def made(duration: int = 1, *, failed: bool = False, operation: str = "GET /", service: str = "shop") -> StandardCall:
    return StandardCall(service=service, operation=operation, duration_ns=duration, failed=failed, client_fault=False)


def test_an_operation_alone() -> None:
    meter = StandardMeter("shop", "GET /a", window_s=10)
    for operation, service in (("GET /a", "shop"), ("GET /b", "shop"), ("GET /a", "other")):
        meter.add([made(operation=operation, service=service)], 0.0)
    assert meter.window(0.0).calls == 1


def test_memory_is_bounded() -> None:
    meter = StandardMeter("shop", window_s=5)
    calls = [made(n * n) for n in range(300)]
    for second in range(10):
        meter.add(calls, second)
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        for second in range(10, 400):
            meter.add(calls, second)
        grown = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert grown < 200_000


def grpc_export(receiver: Receiver, spans: list[Span]) -> None:
    assert receiver.grpc_url is not None
    with grpc.insecure_channel(receiver.grpc_url.removeprefix("http://")) as channel:
        export = channel.unary_unary("/opentelemetry.proto.collector.trace.v1.TraceService/Export")
        export(to_request(spans).SerializeToString(), timeout=30)


WAYS: dict[str, Callable[[Receiver, list[Span]], object]] = {
    "protobuf": lambda receiver, spans: post(receiver, to_protobuf(spans), PROTOBUF),
    "json": lambda receiver, spans: post(receiver, to_json(spans), JSON),
    "grpc": grpc_export,
}


@pytest.mark.parametrize("way", WAYS)
def test_a_receiver_counts_whatever_share_it_keeps(way: str) -> None:
    bullet = a_span("b" * 32, attributes={"tb.request_type": "TRACE"})
    with Receiver(grpc=("127.0.0.1", 0)) as receiver:
        receiver.keep_share(0.0)
        meter = StandardMeter("shop", window_s=3600)
        receiver.standard.open(meter)
        WAYS[way](receiver, [a_span(), bullet, a_span("c" * 32, status=SpanStatus.ERROR)])
        assert receiver.standard.window_of(meter).calls == 2
        assert receiver.standard.window_of(meter).bad == 1
        assert receiver.spans(["a" * 32]) == {"a" * 32: []}
        receiver.standard.close(meter)
        WAYS[way](receiver, [a_span()])
        assert receiver.standard.window_of(meter).calls == 2


def test_spans_that_are_refused_and_sent_again_count_once() -> None:
    with Receiver(limits=Limits(max_spans=2)) as receiver:
        meter = StandardMeter("shop", window_s=3600)
        receiver.standard.open(meter)
        body = to_protobuf([a_span("a" * 32), a_span("c" * 32)])
        assert [post(receiver, body, PROTOBUF).status_code for _ in range(2)] == [200, 429]
        assert receiver.standard.window_of(meter).calls == 2


def test_the_clock_is_the_taps_own() -> None:
    now = 10.0
    tap = StandardTap(clock=lambda: now)
    meter = StandardMeter("shop", window_s=5)
    tap.open(meter)
    tap.take(columns(a_span(start_ns=10**18, end_ns=10**18 + 1)))  # a service's clock may be years off
    assert tap.window_of(meter).calls == 1
    now = 15.0
    assert tap.window_of(meter).calls == 0
