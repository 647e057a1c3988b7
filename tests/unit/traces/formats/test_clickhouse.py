"""Rows of otel_traces: what ClickHouse itself writes in its formats, and anything at all."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.servers.span_strategies import spans as any_spans
from tests.unit.traces.formats.reading import START_NS, counts, golden, json_values, mutated, read
from tracer_bullet.model import Span, SpanEvent, SpanKind, SpanLink, SpanStatus
from tracer_bullet.traces.formats import clickhouse
from tracer_bullet.traces.formats.clickhouse import ClickHouse
from tracer_bullet.traces.formats.convert import BAD_LINK, LINK_ATTRIBUTES, NO_ID, NO_SPAN, NO_TIME, ONE_TIME

CLICKHOUSE = ClickHouse()
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
RESOURCE = {"service.name": "web", "host.name": "h1"}
ROOT = Span(
    trace_id=TRACE,
    span_id="00f067aa0ba902b7",
    parent_id=None,
    name="GET /cart",
    kind=SpanKind.SERVER,
    service="web",
    start_ns=START_NS + 1,
    end_ns=START_NS + 250_000_001,
    status=SpanStatus.ERROR,
    status_message="no stock",
    attributes={"http.response.status_code": "500", "odd": 'a"b\\c\nü'},
    resource=RESOURCE,
    scope_name="otel.http",
    trace_state="ot=th:8",
    events=(
        SpanEvent(time_ns=START_NS + 100_000_000, name="cache miss", attributes={"key": "c1"}),
        SpanEvent(time_ns=START_NS + 200_000_000, name="exception", attributes={"exception.type": "KeyError"}),
    ),
)
CALL = Span(
    trace_id=TRACE,
    span_id="00f067aa0ba902b8",
    parent_id="00f067aa0ba902b7",
    name="stock",
    kind=SpanKind.CLIENT,
    service="web",
    start_ns=START_NS + 10_000_000,
    end_ns=START_NS + 10_000_001,
    attributes={"server.address": "stock"},
    resource=RESOURCE,
    links=(SpanLink(trace_id="0" * 31 + "1", span_id="0" * 15 + "2"),),
)


@pytest.mark.parametrize("name", ["map.jsonl", "map.json", "map.compact.json", "map-iso.jsonl", "map-unix.jsonl"])
def test_every_format_of_clickhouse_holds_the_same_spans(name: str) -> None:
    values = golden(f"clickhouse/{name}")
    assert CLICKHOUSE.recognises(values[0])
    spans, losses = read(CLICKHOUSE, *values)
    assert spans == [ROOT, CALL]
    zoned = name in ("map-iso.jsonl", "map-unix.jsonl")
    assert counts(losses) == ({LINK_ATTRIBUTES: 1}, {} if zoned else {clickhouse.NO_ZONE: 2})


def test_json_columns_get_their_dotted_names_back() -> None:
    ((span,), _) = read(CLICKHOUSE, *golden("clickhouse/json.jsonl"))
    assert span.attributes == {
        "http.response.status_code": "500", "http.route": "/cart", "cached": "false", "sizes": "[1,2]", "ratio": "0.5",
    }  # fmt: skip
    assert span.resource == {"service.name": "web", "process.pid": "7"}
    assert span.events[0].attributes == {"key.name": "c1"}
    assert (span.kind, span.status) == (SpanKind.SERVER, SpanStatus.OK)


def row(span: Span, *, old: bool = False) -> dict[str, Any]:
    """As the exporter writes it: `old` spells kinds and statuses as before version 0.108."""
    return {
        "Timestamp": f"{span.start_ns // 10**9}.{span.start_ns % 10**9:09d}",
        "TraceId": span.trace_id,
        "SpanId": span.span_id,
        "ParentSpanId": span.parent_id or "",
        "TraceState": span.trace_state,
        "SpanName": span.name,
        "SpanKind": f"SPAN_KIND_{span.kind.name}" if old else span.kind.name.capitalize(),
        "ServiceName": span.service,
        "ResourceAttributes": dict(span.resource),
        "ScopeName": span.scope_name,
        "ScopeVersion": "",
        "SpanAttributes": dict(span.attributes),
        "Duration": span.end_ns - span.start_ns,
        "StatusCode": f"STATUS_CODE_{span.status.name}" if old else span.status.name.capitalize(),
        "StatusMessage": span.status_message,
        "Events.Timestamp": [f"{e.time_ns // 10**9}.{e.time_ns % 10**9:09d}" for e in span.events],
        "Events.Name": [e.name for e in span.events],
        "Events.Attributes": [dict(e.attributes) for e in span.events],
        "Links.TraceId": [link.trace_id for link in span.links],
        "Links.SpanId": [link.span_id for link in span.links],
        "Links.TraceState": ["" for _ in span.links],
        "Links.Attributes": [{} for _ in span.links],
    }


@given(st.lists(any_spans(), max_size=4), st.booleans(), st.booleans())
def test_spans_come_back_as_they_were(some: list[Span], old: bool, compact: bool) -> None:
    rows = [row(s, old=old) for s in some]
    if compact:
        meta = [{"name": name, "type": "String"} for name in row(ROOT)]
        found, losses = read(CLICKHOUSE, {"meta": meta, "data": [list(r.values()) for r in rows], "rows": len(rows)})
    else:
        found, losses = read(CLICKHOUSE, *rows)
    assert found == some
    assert counts(losses) == ({}, {})


GOOD = row(CALL)


@pytest.mark.parametrize(
    ("bad", "lost", "kept"),
    [
        (5, {NO_SPAN: 1}, False),
        ({**GOOD, "TraceId": "x"}, {NO_ID: 1}, False),
        ({**GOOD, "SpanId": ""}, {NO_ID: 1}, False),
        ({**GOOD, "Timestamp": "x"}, {NO_TIME: 1}, False),
        ({**GOOD, "Timestamp": "-5"}, {NO_TIME: 1}, False),
        ({**GOOD, "SpanKind": "Both"}, {clickhouse.NO_KIND: 1}, True),
        ({**GOOD, "Mine": 1}, {clickhouse.NO_COLUMN: 1}, True),
        ({**GOOD, "Links.SpanId": ["x"]}, {BAD_LINK: 1}, True),
        ({**GOOD, "Events.Name": ["a"], "Events.Timestamp": ["1", "2"]}, {clickhouse.UNEVEN: 1}, True),
    ],
)
def test_a_bad_row_loses_only_what_is_bad(bad: Any, lost: dict[str, int], kept: bool) -> None:
    spans, losses = read(CLICKHOUSE, [bad, row(ROOT)])
    assert spans[-1] == ROOT
    assert len(spans) == 1 + kept
    assert dict(losses.lost) == lost


def test_columns_may_be_chosen_and_nested_ones_whole() -> None:
    little = {"Timestamp": "2024-05-01T10:00:00Z", "TraceId": "ab", "SpanId": "cd", "SpanName": "s"}
    assert CLICKHOUSE.recognises(little)
    events = [{"Timestamp": "2024-05-01T10:00:00Z", "Name": "e", "Attributes": [["k", "v"]]}]
    ((span,), losses) = read(CLICKHOUSE, {**little, "Events": events, "SpanAttributes": [["a", "b"]]})
    assert (span.service, span.start_ns, span.end_ns) == ("unknown_service", START_NS, START_NS)
    assert span.attributes == {"a": "b"}
    assert span.events == (SpanEvent(time_ns=START_NS, name="e", attributes={"k": "v"}),)
    assert counts(losses) == ({}, {ONE_TIME: 1})


@given(mutated(golden("clickhouse/map.json")) | mutated(golden("clickhouse/map.compact.json")) | json_values)
def test_nothing_is_too_odd(value: Any) -> None:
    CLICKHOUSE.recognises(value)
    for each in value if isinstance(value, list) else [value]:
        read(CLICKHOUSE, each)


@given(mutated(golden("clickhouse/map.jsonl")))
def test_a_mutation_in_one_row_leaves_the_other(value: list[Any]) -> None:
    assert read(CLICKHOUSE, value)[0]
