"""Google Cloud Trace v1 and v2: what Google's own message classes write, and anything at all."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.traces.formats.reading import counts, golden, json_values, mutated, read, traces
from tracer_bullet.model import Span, SpanEvent, SpanKind, SpanLink, SpanStatus, Trace
from tracer_bullet.traces.formats import cloudtrace, cloudtrace_v2
from tracer_bullet.traces.formats.cloudtrace import CloudTraceV1, CloudTraceV2
from tracer_bullet.traces.formats.convert import BAD_PARENT, LINK_ATTRIBUTES, NO_ID, NO_SPAN, NO_TIME, ONE_TIME
from tracer_bullet.traces.formats.lenient import rfc3339_ns

V1, V2 = CloudTraceV1(), CloudTraceV2()
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
BASE_NS = 1714557600_000000000


def rfc3339(ns: int) -> str:
    import datetime as dt

    seconds, rest = divmod(ns, 10**9)
    return f"{dt.datetime.fromtimestamp(seconds, dt.UTC):%Y-%m-%dT%H:%M:%S}.{rest:09d}Z"


@pytest.mark.parametrize("path", ["cloudtrace/v1.json", "cloudtrace/v1-client.json"])
def test_v1_as_google_writes_it(path: str) -> None:
    (value,) = golden(path)
    assert V1.recognises(value)
    assert V1.recognises(value["traces"][0])
    assert not V2.recognises(value)
    spans, losses = read(V1, value)
    trace = Trace.of(TRACE, spans)
    chain = [s for _, s in trace.walk()]
    assert [(s.name, s.service, s.kind) for s in chain] == [
        ("/cart", "web", SpanKind.SERVER),
        ("stock.Get", "web", SpanKind.CLIENT),
        ("/items", "stock", SpanKind.SERVER),
        ("lookup", "stock", SpanKind.UNSPECIFIED),
    ]
    assert chain[1].span_id == "f" * 16, "a decimal id of 64 bits"
    assert (chain[0].start_ns, chain[0].end_ns) == (BASE_NS + 1, BASE_NS + 250_000_000)
    assert chain[0].attributes["http.response.status_code"] == "502"
    assert chain[0].resource["service.version"] == "7"
    assert chain[1].attributes["url.full"] == "http://stock/items"
    assert (chain[1].status, chain[1].status_message) == (SpanStatus.ERROR, "no stock")
    assert chain[2].resource["k8s.pod.name"] == "stock-1"
    assert counts(losses) == ({}, {cloudtrace.FROM_HTTP: 1, cloudtrace.INHERITED: 2})


@pytest.mark.parametrize("path", ["cloudtrace/v2.json", "cloudtrace/v2-client.json"])
def test_v2_as_google_writes_it(path: str) -> None:
    (value,) = golden(path)
    assert V2.recognises(value)
    assert V2.recognises(value["spans"][0])
    assert not V1.recognises(value)
    spans, losses = read(V2, value)
    root, render, far = sorted(spans, key=lambda s: s.span_id)
    assert (root.name, root.kind, root.service) == ("GET /cart", SpanKind.SERVER, "web")
    assert (root.status, root.status_message) == (SpanStatus.ERROR, "stock is away")
    assert root.attributes["http.response.status_code"] == "503"
    assert root.attributes["sampled"] == "true"
    assert root.attributes["gcp.child_span_count"] == "2"
    assert root.resource["service.instance.id"] == "web-1"
    assert (render.parent_id, render.service, render.status) == (root.span_id, "web", SpanStatus.OK)
    message = {
        "rpc.message.type": "SENT",
        "rpc.message.id": "7",
        "rpc.message.uncompressed_size": "100",
        "rpc.message.compressed_size": "40",
    }
    assert render.events == (
        SpanEvent(time_ns=BASE_NS + 105_000_000, name="cache miss", attributes={"key": "c1"}),
        SpanEvent(time_ns=BASE_NS + 106_000_000, name="rpc.message", attributes=message),
    )
    assert render.links == (SpanLink(trace_id="0" * 31 + "1", span_id="0" * 15 + "2"),)
    assert far.service == "unknown_service", "another process: its parent's service would be a guess"
    assert far.status is SpanStatus.UNSET
    lost = {cloudtrace_v2.DROPPED: 6, cloudtrace_v2.CUT: 94, LINK_ATTRIBUTES: 1}
    assert counts(losses) == (lost, {cloudtrace.INHERITED: 1})


KINDS_V1 = (SpanKind.SERVER, SpanKind.CLIENT, SpanKind.UNSPECIFIED)


@given(traces(kinds=KINDS_V1, grain_ns=1), st.booleans(), st.randoms(use_true_random=False))
def test_v1_comes_back_to_the_nanosecond(trace: list[Span], split: bool, random: Any) -> None:
    names = {
        SpanKind.SERVER: "RPC_SERVER",
        SpanKind.CLIENT: "RPC_CLIENT",
        SpanKind.UNSPECIFIED: "SPAN_KIND_UNSPECIFIED",
    }
    written = [
        {
            "spanId": str(int(s.span_id, 16)), "parentSpanId": str(int(s.parent_id or "0", 16)), "kind": names[s.kind],
            "name": s.name, "startTime": rfc3339(s.start_ns), "endTime": rfc3339(s.end_ns),
            "labels": {**s.attributes, "service.name": s.service},
        }
        for s in trace
    ]  # fmt: skip
    random.shuffle(written)
    whole = {"projectId": "p", "traceId": trace[0].trace_id}
    parts = [{**whole, "spans": [w]} for w in written] if split else [{"traces": [{**whole, "spans": written}]}]
    found, losses = read(V1, *parts)
    assert counts(losses) == ({}, {})
    check(found, trace, status=False)


@given(traces(grain_ns=1), st.randoms(use_true_random=False))
def test_v2_comes_back_to_the_nanosecond(trace: list[Span], random: Any) -> None:
    written = [
        {
            "name": f"projects/p/traces/{s.trace_id}/spans/{s.span_id}", "spanId": s.span_id,
            "parentSpanId": s.parent_id or "", "displayName": {"value": s.name}, "startTime": rfc3339(s.start_ns),
            "endTime": rfc3339(s.end_ns), "spanKind": s.kind.name, "status": {"code": 2} if s.failed else None,
            "attributes": {"attributeMap": {
                k: {"stringValue": {"value": v}} for k, v in {**s.attributes, "service.name": s.service}.items()
            }},
        }
        for s in trace
    ]  # fmt: skip
    random.shuffle(written)
    found, losses = read(V2, {"spans": written[:2]}, *written[2:])
    assert counts(losses) == ({}, {})
    check(found, trace, status=True)


def check(found: list[Span], sent: list[Span], *, status: bool) -> None:
    members = ["trace_id", "span_id", "parent_id", "name", "kind", "service", "start_ns", "end_ns", "attributes"]
    for got, want in zip(*(sorted(s, key=lambda s: s.span_id) for s in (found, sent)), strict=True):
        for member in [*members, "status"] if status else members:
            assert getattr(got, member) == getattr(want, member), member


def span1(**more: Any) -> dict[str, Any]:
    return {"spanId": "1", "name": "s", "startTime": "2024-05-01T10:00:00Z", "endTime": "2024-05-01T10:00:01Z", **more}


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        ("x", NO_SPAN), (span1(spanId="0"), NO_ID), (span1(spanId="x"), NO_ID), (span1(spanId=str(1 << 64)), NO_ID),
        (span1(startTime=None, endTime=None), NO_TIME), (span1(startTime="x", endTime="2024-13-01T00:00:00Z"), NO_TIME),
    ],
)  # fmt: skip
def test_a_bad_span_of_v1_loses_only_itself(bad: Any, reason: str) -> None:
    trace = {"projectId": "p", "traceId": TRACE, "spans": [bad, span1(spanId="7", name="good")]}
    spans, losses = read(V1, trace)
    assert [s.name for s in spans] == ["good"]
    assert counts(losses) == ({reason: 1}, {})


def test_what_can_be_put_right_is() -> None:
    ((span,), losses) = read(V1, {"traceId": "ab", "spans": [span1(parentSpanId="x", endTime=None)]})
    assert (span.trace_id, span.parent_id, span.start_ns) == (f"{0xAB:032x}", None, span.end_ns)
    assert counts(losses) == ({}, {BAD_PARENT: 1, ONE_TIME: 1})


@pytest.mark.parametrize(
    ("value", "reason"),
    [({"name": "projects/p/traces/x/spans/y", "displayName": {}}, NO_ID), (5, NO_SPAN), ({"spans": [{}]}, NO_ID)],
)
def test_what_is_no_span_of_v2_is_lost(value: Any, reason: str) -> None:
    spans, losses = read(V2, value)
    assert not spans
    assert dict(losses.lost) == {reason: 1}


def test_a_server_s_service_is_not_guessed() -> None:
    top = span1(kind="RPC_CLIENT", labels={"service.name": "web"})
    spans, losses = read(V1, {"traceId": TRACE, "spans": [top, span1(spanId="2", parentSpanId="1", kind="RPC_SERVER")]})
    assert {s.kind: s.service for s in spans} == {SpanKind.CLIENT: "web", SpanKind.SERVER: "unknown_service"}
    assert not losses.repaired


def test_a_service_is_inherited_over_any_depth_and_not_from_a_circle() -> None:
    chain = [span1(spanId=str(n), parentSpanId=str(n - 1), name=str(n)) for n in range(2, 10_000)]
    top = span1(labels={"service.name": "web"})
    circle = [span1(spanId="20000", parentSpanId="20001"), span1(spanId="20001", parentSpanId="20000")]
    spans, _ = read(V1, {"traceId": TRACE, "spans": [*chain[::-1], top, *circle]})
    assert [s.service for s in spans if int(s.span_id, 16) < 20_000] == ["web"] * 9_999
    assert [s.service for s in spans if int(s.span_id, 16) >= 20_000] == ["unknown_service"] * 2


@given(st.permutations(golden("cloudtrace/v2.json")[0]["spans"]))
@settings(max_examples=10)
def test_the_order_of_spans_does_not_matter(order: list[Any]) -> None:
    assert read(V2, *order)[0] == WHOLE


WHOLE, _ = read(V2, *golden("cloudtrace/v2.json"))


@pytest.mark.parametrize("form", [V1, V2], ids=["v1", "v2"])
@given(mutated([*golden("cloudtrace/v1.json"), *golden("cloudtrace/v2-client.json")]) | json_values)
def test_nothing_is_too_odd(form: Any, value: Any) -> None:
    form.recognises(value)
    read(form, value)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1970-01-01T00:00:00Z", (0, True)), ("1970-01-01T01:00:00+01:00", (0, True)),
        ("1970-01-01 00:00:00,5", (500_000_000, False)), ("1969-12-31T23:30:00-0030", (0, True)),
        ("2024-02-29T23:59:60.123456789123Z", (1709251200_123456789, True)), ("2024-02-30T00:00:00Z", None),
        ("2024-01-01", (1704067200_000000000, False)), ("10:00", None), (5, None), ("2024-01-01T25:00:00Z", None),
    ],
)  # fmt: skip
def test_times(text: Any, expected: Any) -> None:
    assert rfc3339_ns(text) == expected


@given(st.integers(0, 4_000_000_000_000_000_000))
def test_every_nanosecond_is_read_exactly(ns: int) -> None:
    assert rfc3339_ns(rfc3339(ns)) == (ns, True)
