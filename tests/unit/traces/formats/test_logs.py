"""Structured logs: what structlog and the standard library write, every name and unit, and anything at all."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.traces.formats.reading import (
    GOLDEN,
    START_NS,
    counts,
    golden,
    json_values,
    mutated,
    read,
    traces,
)
from tracer_bullet.model import Span, SpanKind, SpanStatus, Trace
from tracer_bullet.traces.formats import logs, logs_fields
from tracer_bullet.traces.formats.convert import NO_SPAN, NO_TIME, ONE_TIME, PADDED
from tracer_bullet.traces.formats.logs import JsonLogs

LOGS = JsonLogs()
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
OWN = "00f067aa0ba902b7"
BASE = {"trace_id": TRACE, "id": OWN, "name": "op"}
TIMES = {"start": "2024-05-01T10:00:00Z", "end": "2024-05-01T10:00:01Z"}


def one(**line: Any) -> Span:
    (span,), _ = read(LOGS, {**BASE, **line})
    return span


def repaired(**line: Any) -> dict[str, int]:
    return dict(read(LOGS, {**BASE, **line})[1].repaired)


def test_what_structlog_writes() -> None:
    lines = golden("logs/structlog.jsonl")
    assert LOGS.recognises(lines[0])
    spans, losses = read(LOGS, *lines)
    top, price = (s for _, s in Trace.of(TRACE, spans).walk())
    assert (top.name, top.service, top.status) == ("GET /cart", "web", SpanStatus.UNSET)
    assert (price.name, price.parent_id, price.status) == ("price", top.span_id, SpanStatus.ERROR)
    assert [(e.name, e.attributes["key"]) for e in top.events] == [("cache miss", "c1")]
    assert [e.name for e in price.events] == ["failed"]
    assert top.attributes["http.route"] == "/cart"
    assert 0 < price.end_ns - price.start_ns < top.end_ns - top.start_ns
    lost, put_right = counts(losses)
    assert lost == {logs.NO_TRACE: 1}
    assert put_right == {logs.WRITTEN_AT_END: 2, logs.FROM_LEVEL: 1}


def test_what_the_standard_library_writes() -> None:
    lines = golden("logs/logging.jsonl")
    assert LOGS.recognises(lines[0])
    (span,), losses = read(LOGS, *lines)
    assert (span.name, span.scope_name, span.service) == ("stock.lookup", "shop.stock", "shop.stock")
    assert (span.span_id, span.parent_id) == ("00f067aa0ba902b9", "00f067aa0ba902b8")
    assert [e.name for e in span.events] == ["looking up sku-1"]
    assert counts(losses) == ({}, {logs.NO_ZONE: 2, logs.FROM_LOGGER: 1})


@given(traces(kinds=list(SpanKind), grain_ns=1), st.randoms(use_true_random=False))
def test_spans_come_back_to_the_nanosecond(trace: list[Span], random: Any) -> None:
    lines = [
        {
            "trace_id": s.trace_id, "id": s.span_id, "parent_id": s.parent_id, "start_ns": s.start_ns,
            "duration_ns": s.end_ns - s.start_ns, "name": s.name, "service": s.service, "kind": s.kind.name,
            "error": s.failed, **s.attributes,
        }
        for s in trace
    ]  # fmt: skip
    random.shuffle(lines)
    found, losses = read(LOGS, lines[:2], *lines[2:])
    assert not losses.lost
    assert set(losses.repaired) <= {logs.FROM_LEVEL}
    for got, sent in zip(*(sorted(s, key=lambda s: s.span_id) for s in (found, trace)), strict=True):
        for member in ("trace_id", "span_id", "parent_id", "name", "kind", "service", "start_ns", "end_ns", "status"):
            assert getattr(got, member) == getattr(sent, member), member
        assert sent.attributes.items() <= got.attributes.items()


@pytest.mark.parametrize("name", [n for n in logs_fields.TRACE_IDS if not n.startswith(("dd.", "logging."))])
def test_every_name_of_a_trace_id(name: str) -> None:
    ((span,), _) = read(LOGS, {name: TRACE, "id": OWN, **TIMES})
    assert span.trace_id == TRACE


@pytest.mark.parametrize("name", logs_fields.SPAN_IDS[:-1])
def test_every_name_of_a_span_id_comes_before_id(name: str) -> None:
    told = str(0xAB) if name == "dd.span_id" else f"{0xAB:016x}"
    ((span,), losses) = read(LOGS, {"trace_id": TRACE, name: told, "id": "f" * 16, **TIMES})
    assert span.span_id == f"{0xAB:016x}"
    assert not losses.repaired
    assert span.attributes["id"] == "f" * 16


@pytest.mark.parametrize("name", logs_fields.PARENT_IDS)
def test_every_name_of_a_parent(name: str) -> None:
    assert one(**TIMES, **{name: "b" * 16}).parent_id == "b" * 16


@pytest.mark.parametrize(
    ("line", "start", "length"),
    [
        ({**TIMES}, 0, 10**9),
        ({"start_time": 1714557600, "end_time": 1714557601.5}, 0, 1_500_000_000),
        ({"startTime": 1714557600000, "duration_ms": 2}, 0, 2_000_000),
        ({"start_us": 1714557600000000, "elapsed_us": 3}, 0, 3_000),
        ({"startTimeUnixNano": str(START_NS), "endTimeUnixNano": START_NS + 7}, 0, 7),
        ({"started_at": "2024-05-01T12:00:00+02:00", "took": "1.5s"}, 0, 1_500_000_000),
        ({"start": START_NS, "latency": "1m3.2s"}, 0, 63_200_000_000),
        ({"start": START_NS, "elapsed": "0:00:01.25"}, 0, 1_250_000_000),
        ({"start": START_NS, "event": {"duration": 42}}, 0, 42),
        ({"start": START_NS, "httpRequest": {"latency": "0.25s"}}, 0, 250_000_000),
        ({"start": START_NS, "response_time_seconds": 0.5}, 0, 500_000_000),
        ({"start": START_NS, "durationMs": "12"}, 0, 12_000_000),
        ({"end": "2024-05-01T10:00:01Z", "duration_s": 1}, 0, 10**9),
    ],
)
def test_times_and_units_that_leave_nothing_to_guess(line: dict[str, Any], start: int, length: int) -> None:
    span = one(**line)
    assert (span.start_ns - START_NS, span.end_ns - span.start_ns) == (start, length)
    assert not repaired(**line)


@pytest.mark.parametrize(
    ("number", "ns"),
    [
        (1, 10**9), (1.5, 1_500_000_000), (9_000_000_000, 9 * 10**18), (10**11 - 1, None),
        (10**11, 10**17), (9 * 10**12, 9 * 10**18), (10**14, 10**17), (9 * 10**15, 9 * 10**18),
        (10**17, 10**17), (START_NS, START_NS),
    ],
)  # fmt: skip
def test_the_size_of_a_number_tells_its_unit(number: float, ns: int | None) -> None:
    spans, _ = read(LOGS, {**BASE, "start": number, "duration_ns": 1})
    assert [s.start_ns for s in spans] == ([] if ns is None else [ns])  # none: beyond the year 2262
    found = logs_fields.time_of({"ts": 10**14 - 1}, logs_fields.MOMENT_UNITS)
    assert found == ("ts", (10**14 - 1) * 10**6, True)


@pytest.mark.parametrize(
    ("line", "start", "length", "told"),
    [
        ({"timestamp": "2024-05-01T10:00:00.01Z", "duration_ms": 10}, 0, 10_000_000, logs.WRITTEN_AT_END),
        ({"start": START_NS, "duration": 10}, 0, 10_000_000, logs.NO_UNIT),
        ({"start": START_NS, "ts": 1714557601}, 0, 10**9, logs.STILL_OPEN),
        ({"start": START_NS}, 0, 0, ONE_TIME),
        ({"start": "2024-05-01 10:00:00,000", "duration_ms": 1}, 0, 1_000_000, logs.NO_ZONE),
    ],
)
def test_guesses_are_counted(line: dict[str, Any], start: int, length: int, told: str) -> None:
    span = one(**line)
    assert (span.start_ns - START_NS, span.end_ns - span.start_ns) == (start, length)
    assert repaired(**line) == {told: 1}


@pytest.mark.parametrize(
    ("ids", "trace", "span", "told"),
    [
        ({"dd": {"trace_id": "255", "span_id": 16}}, f"{255:032x}", f"{16:016x}", {}),
        ({"dd.trace_id": TRACE, "dd.span_id": "16"}, TRACE, f"{16:016x}", {}),
        ({"trace": {"id": TRACE}, "span": {"id": OWN}}, TRACE, OWN, {}),
        ({"logging.googleapis.com/trace": f"projects/p/traces/{TRACE}", "id": OWN}, TRACE, OWN, {}),
        ({"trace_id": "4BF92F35-77B3-4DA6-A3CE-929D0E0E4736", "id": OWN}, TRACE, OWN, {}),
        ({"trace_id": f"1-{TRACE[:8]}-{TRACE[8:]}", "id": OWN}, TRACE, OWN, {}),
        ({"trace_id": "0xAB", "id": OWN}, f"{0xAB:032x}", OWN, {PADDED: 1}),
        ({"trace_id": "order-7", "id": OWN}, hashlib.sha256(b"order-7").hexdigest()[:32], OWN, {logs.HASHED: 1}),
    ],
)
def test_ids_as_others_write_them(ids: dict[str, Any], trace: str, span: str, told: dict[str, int]) -> None:
    ((found,), losses) = read(LOGS, {**ids, **TIMES})
    assert (found.trace_id, found.span_id) == (trace, span)
    assert dict(losses.repaired) == told


def test_hashed_parents_meet_their_children() -> None:
    lines = [{"trace_id": "t-1", "id": "root", **TIMES}, {"trace_id": "t-1", "id": "a-b", "parent_id": "root", **TIMES}]
    spans, _ = read(LOGS, *lines)
    assert not Trace.of(spans[0].trace_id, spans).orphans


@pytest.mark.parametrize(
    ("line", "status", "message"),
    [
        ({"level": "error"}, SpanStatus.ERROR, ""), ({"severity": "CRITICAL"}, SpanStatus.ERROR, ""),
        ({"error": "boom"}, SpanStatus.ERROR, "boom"), ({"error": True}, SpanStatus.ERROR, ""),
        ({"error": {"message": "boom"}}, SpanStatus.ERROR, "boom"), ({"error": False}, SpanStatus.UNSET, ""),
        ({"level": "warning"}, SpanStatus.UNSET, ""), ({"error": ""}, SpanStatus.UNSET, ""),
    ],
)  # fmt: skip
def test_status(line: dict[str, Any], status: SpanStatus, message: str) -> None:
    span = one(**TIMES, **line)
    assert (span.status, span.status_message) == (status, message)
    assert ({logs.FROM_LEVEL: 1} if status else {}) == repaired(**TIMES, **line)


@pytest.mark.parametrize("service", ["service", "service.name", "service_name", "otelServiceName", "dd.service", "app"])
def test_services(service: str) -> None:
    span = one(**TIMES, **{service: "shop", "logger": "l", "level": "info"})
    assert (span.service, span.scope_name, span.resource) == ("shop", "l", {"service.name": "shop"})
    assert span.attributes == {"level": "info"}
    assert one(**TIMES, service={"name": "shop"}).service == "shop"


LINES = [
    {**BASE, **TIMES},
    {"trace_id": TRACE, "span_id": OWN, "ts": 1714557600.5, "msg": "b", "level": "info", "n": 1},
    {"trace_id": TRACE, "parent_id": OWN, "ts": 1714557600.25, "msg": "a"},
    {"trace_id": TRACE, "id": OWN, "start_ns": START_NS, "duration_ms": 3, "name": "query"},
    {"trace_id": TRACE, "span_id": "f" * 16, "ts": 1714557600, "msg": "nobody's"},
    {"trace_id": TRACE, "ts": 1714557600, "msg": "no span"},
    {"trace_id": TRACE, "id": OWN, "msg": "no time"},
    {"msg": "no trace"},
    "no object",
]


@given(st.permutations(LINES))
@settings(max_examples=30)
def test_lines_become_events_of_their_span_or_are_counted(order: list[Any]) -> None:
    (span,), losses = read(LOGS, *order)
    assert (span.name, span.end_ns - span.start_ns) == ("op", 10**9)
    assert [(e.name, e.time_ns - START_NS) for e in span.events] == [
        ("query", 3_000_000), ("a", 250_000_000), ("b", 500_000_000),
    ]  # fmt: skip
    assert span.events[2].attributes == {"level": "info", "n": "1"}
    lost = {logs.NO_SUCH_SPAN: 1, logs.NO_SPAN_ID: 1, NO_TIME: 1, logs.NO_TRACE: 1, NO_SPAN: 1}
    assert counts(losses) == (lost, {logs.PART_OF_SPAN: 1})


def test_copies_of_a_line_are_one_span() -> None:
    (span,), losses = read(LOGS, LINES[0], LINES[1], LINES[0])
    assert [e.name for e in span.events] == ["b"]
    assert counts(losses) == ({}, {logs.COPIES: 1})


@given(mutated(LINES) | mutated(golden("logs/structlog.jsonl")) | json_values)
def test_nothing_is_too_odd(value: Any) -> None:
    LOGS.recognises(value)
    read(LOGS, value)


@given(st.dictionaries(st.sampled_from([*logs_fields.TRACE_IDS, *logs_fields.SPAN_IDS, *logs_fields.PARENT_IDS,
                                        *logs_fields.START_UNITS, *logs_fields.DURATION_UNITS, *logs_fields.NAMES,
                                        *logs_fields.MOMENTS, *logs_fields.LEVELS]), json_values))  # fmt: skip
def test_no_value_of_a_known_name_is_too_odd(line: dict[str, Any]) -> None:
    read(LOGS, line, {**line, "trace_id": TRACE, "id": OWN})


def test_the_page_lists_every_name_in_its_order() -> None:
    page = (GOLDEN.parents[3] / "docs" / "import-formats.md").read_text(encoding="utf-8")
    rows = {name for name in logs_fields.__dict__ if name.isupper() and not name.startswith("_")}
    listed = [n for n in rows if isinstance(getattr(logs_fields, n), tuple)]
    assert len(listed) == 14
    for group in listed:
        assert ", ".join(f"`{n}`" for n in getattr(logs_fields, group) if n != "event.duration") in page, group
