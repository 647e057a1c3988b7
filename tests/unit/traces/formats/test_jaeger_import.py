"""Jaeger's JSON, in the shapes and states of repair that it occurs in."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.traces.formats.reading import counts, ordered, read
from tracer_bullet.model import Span, SpanKind, SpanLink, SpanStatus
from tracer_bullet.traces.formats import convert as c
from tracer_bullet.traces.formats.jaeger import ANSWER_ERRORS, FOLLOWS, NO_PROCESS, WARNINGS, Jaeger

T, T2 = "ab" * 16, "cd" * 16


def tag(key: str, value: Any, kind: str = "string") -> dict[str, Any]:
    return {"key": key, "type": kind, "value": value}


def span(**more: Any) -> dict[str, Any]:
    made = {"traceID": T, "spanID": "1" * 16, "operationName": "get", "startTime": 1_000_000, "duration": 5}
    return {**made, "processID": "p1", "references": [], "tags": [], "logs": [], **more}


def trace(*spans: dict[str, Any], **more: Any) -> dict[str, Any]:
    processes = {"p1": {"serviceName": "web", "tags": [tag("host.name", "a")]}, "p2": {"serviceName": "db"}}
    return {"traceID": T, "spans": list(spans), "processes": processes, **more}


def one(**more: Any) -> tuple[Span, tuple[dict[str, int], dict[str, int]]]:
    (found,), losses = read(Jaeger(), {"data": [trace(span(**more))]})
    return found, counts(losses)


@pytest.mark.parametrize(
    "value",
    [
        {"data": [trace(span())], "total": 0, "errors": None},
        {"data": trace(span())},
        [trace(span())],
        trace(span()),
        {"data": [span(process={"serviceName": "web", "tags": [tag("host.name", "a")]})]},
    ],
    ids=["answer", "data is one", "array", "one trace", "spans alone"],
)
def test_every_shape_is_recognised_and_read(value: Any) -> None:
    assert Jaeger().recognises(value)
    (found,), losses = read(Jaeger(), value)
    assert (found.service, found.name, found.start_ns, found.end_ns) == ("web", "get", 1_000_000_000, 1_000_005_000)
    assert found.resource == {"host.name": "a", "service.name": "web"}
    assert counts(losses) == ({}, {})


def test_short_ids_are_padded_and_the_tree_holds() -> None:
    child = span(traceID="abc", spanID="2", references=[{"refType": "CHILD_OF", "traceID": "abc", "spanID": "1f"}])
    spans, losses = read(Jaeger(), {"data": [trace(child, span(traceID="abc", spanID="1F"), traceID="abc")]})
    by_id = {s.span_id: s for s in spans}
    assert by_id["0000000000000002"].parent_id == "000000000000001f"
    assert {s.trace_id for s in spans} == {"abc".zfill(32)}
    assert not losses.lost


def test_typed_tags_become_text() -> None:
    tags = [
        tag("s", "x"),
        tag("b", value=False, kind="bool"),
        tag("i", 9007199254740993, "int64"),
        tag("big", "9007199254740993", "int64"),
        tag("f", 2, "float64"),
        tag("g", 0.5, "float64"),
        tag("bin", "AAE=", "binary"),
        tag("none", None),
        tag("s", "last"),
    ]
    found, losses = one(tags=tags)
    assert found.attributes == {
        "s": "last",
        "b": "false",
        "i": "9007199254740993",
        "big": "9007199254740993",
        "f": "2.0",
        "g": "0.5",
        "bin": "AAE=",
        "none": "",
    }
    assert losses == ({}, {})


@pytest.mark.parametrize(
    ("tags", "status", "message", "left"),
    [
        ([], SpanStatus.UNSET, "", {}),
        ([tag("error", value=True, kind="bool")], SpanStatus.ERROR, "", {}),
        ([tag("error", "true")], SpanStatus.ERROR, "", {}),
        ([tag("error", "false")], SpanStatus.UNSET, "", {}),
        ([tag("error", value=False, kind="bool"), tag("otel.status_code", "OK")], SpanStatus.OK, "", {}),
        ([tag("error", "timed out")], SpanStatus.ERROR, "", {"error": "timed out"}),
        ([tag("otel.status_code", "ERROR"), tag("otel.status_description", "bad")], SpanStatus.ERROR, "bad", {}),
    ],
)
def test_status_from_tags(tags: list[Any], status: SpanStatus, message: str, left: dict[str, str]) -> None:
    found, _ = one(tags=tags)
    assert (found.status, found.status_message, found.attributes) == (status, message, left)


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        ("server", SpanKind.SERVER),
        ("CLIENT", SpanKind.CLIENT),
        ("internal", SpanKind.INTERNAL),
        ("x", SpanKind.UNSPECIFIED),
    ],
)
def test_kind_scope_and_state_leave_the_tags(value: str, kind: SpanKind) -> None:
    tags = [
        tag("span.kind", value),
        tag("otel.library.name", "lib"),
        tag("otel.scope.version", "1"),
        tag("w3c.tracestate", "a=b"),
    ]
    found, _ = one(tags=tags)
    assert (found.kind, found.scope_name, found.trace_state, found.attributes) == (kind, "lib", "a=b", {})


def test_references_a_parent_of_the_same_trace_and_links() -> None:
    references = [
        {"refType": "FOLLOWS_FROM", "traceID": T, "spanID": "3"},
        {"refType": "CHILD_OF", "traceID": T2, "spanID": "4"},
        {"refType": "CHILD_OF", "traceID": T, "spanID": "5"},
        {"refType": "CHILD_OF", "traceID": T, "spanID": "6"},
    ]
    found, (lost, _) = one(references=references)
    assert found.parent_id == "0000000000000005"
    assert [(x.trace_id, int(x.span_id, 16)) for x in found.links] == [(T, 3), (T2, 4), (T, 6)]
    assert not lost


def test_following_only_is_a_parent_and_stays_a_link() -> None:
    found, (_, repaired) = one(references=[{"refType": "FOLLOWS_FROM", "traceID": T, "spanID": "a" * 16}])
    assert found.parent_id == "a" * 16
    assert found.links == (SpanLink(trace_id=T, span_id="a" * 16),)
    assert repaired == {FOLLOWS: 1}


def test_a_reference_to_another_trace_alone_is_a_link_of_a_root() -> None:
    found, _ = one(references=[{"refType": "CHILD_OF", "traceID": T2, "spanID": "a" * 16}])
    assert found.parent_id is None
    assert found.links == (SpanLink(trace_id=T2, span_id="a" * 16),)


@pytest.mark.parametrize("references", [None, [], [{"refType": "CHILD_OF", "traceID": T, "spanID": "0" * 16}]])
def test_roots(references: Any) -> None:
    found, losses = one(references=references)
    assert found.parent_id is None
    assert losses == ({}, {})


def test_the_parent_of_older_versions() -> None:
    assert one(references=[], parentSpanID="b" * 16)[0].parent_id == "b" * 16


def test_a_missing_process_map_costs_only_the_name() -> None:
    value = {"data": [{"traceID": T, "spans": [span(), span(spanID="2" * 16, processID=None)]}]}
    spans, losses = read(Jaeger(), value)
    assert {s.service for s in spans} == {"unknown_service"}
    assert losses.repaired == {NO_PROCESS: 2}


def test_logs_are_events() -> None:
    logs = [
        {"timestamp": 1_000_001, "fields": [tag("event", "retry"), tag("attempt", 2, "int64")]},
        {"timestamp": "1000002", "fields": [tag("message", "hello")]},
        {"fields": None},
    ]
    found, _ = one(logs=logs)
    assert [(e.time_ns, e.name, e.attributes) for e in found.events] == [
        (1_000_001_000, "retry", {"attempt": "2"}),
        (1_000_002_000, "hello", {}),
        (0, "", {}),
    ]


def test_warnings_and_errors_of_jaeger_are_told() -> None:
    answer = {"data": [trace(span(warnings=["clock skew"]))], "errors": [{"msg": "x"}]}
    assert read(Jaeger(), answer)[1].lost == {WARNINGS: 1, ANSWER_ERRORS: 1}


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"spanID": "xyz"}, c.NO_ID),
        ({"spanID": ""}, c.NO_ID),
        ({"spanID": None}, c.NO_ID),
        ({"traceID": "0" * 32}, c.NO_ID),
        ({"startTime": None, "duration": None}, c.NO_TIME),
        ({"startTime": "x"}, c.NO_TIME),
        ({"startTime": 10**30}, c.NO_TIME),
    ],
)
def test_a_bad_span_is_lost_alone(change: dict[str, Any], reason: str) -> None:
    good = span(spanID="9" * 16)
    spans, losses = read(Jaeger(), [trace(good, span(**change), good)])
    assert len(spans) == 2
    assert losses.lost == {reason: 1}


@pytest.mark.parametrize(("duration", "reason"), [(-3, c.ENDS_EARLY), (None, c.ONE_TIME), ("x", c.ONE_TIME)])
def test_a_bad_duration_is_none(duration: Any, reason: str) -> None:
    found, (lost, repaired) = one(duration=duration)
    assert found.start_ns == found.end_ns == 1_000_000_000
    assert (lost, repaired) == ({}, {reason: 1})


def test_copies_are_kept() -> None:
    spans, _ = read(Jaeger(), trace(span(), span(duration=9)))
    assert [s.end_ns - s.start_ns for s in spans] == [5_000, 9_000]


@given(st.permutations(range(6)), st.integers(1, 6))
def test_spans_of_a_trace_in_any_order_and_number_of_documents(order: list[int], parts: int) -> None:
    spans = [span(spanID=f"{n + 1:x}", processID=f"p{n % 2 + 1}", operationName=str(n)) for n in range(6)]
    expected = ordered(read(Jaeger(), trace(*spans))[0])
    shuffled = [spans[n] for n in order]
    split = [trace(*shuffled[n::parts]) for n in range(parts)]
    assert ordered(read(Jaeger(), {"data": split})[0]) == expected
    assert ordered(read(Jaeger(), *split)[0]) == expected
