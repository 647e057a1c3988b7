"""OTLP in JSON and protobuf as files have it: lenient where the receiver is strict."""

from __future__ import annotations

import io
import json
import struct
from typing import Any

import pyarrow as pa
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.servers.otlp import to_json, to_protobuf, to_request
from tests.servers.span_strategies import spans as any_spans
from tests.unit.traces.formats.reading import counts, ordered, read
from tests.unit.traces.formats.samples import content
from tracer_bullet.model import Span, SpanKind
from tracer_bullet.model.losses import Losses
from tracer_bullet.traces.columns import SpanColumns
from tracer_bullet.traces.formats import convert as c
from tracer_bullet.traces.formats.otlp import JaegerV3, OtlpJson
from tracer_bullet.traces.formats.otlp_spans import NAMED, UNKNOWN_ENUM, UNTYPED
from tracer_bullet.traces.formats.protobuf import BAD_SPAN, BROKEN, CUT, OtlpProtobuf, binary_values
from tracer_bullet.traces.formats.read import Reading
from tracer_bullet.traces.formats.tempo import SEARCH, Tempo
from tracer_bullet.traces.schema import SPAN_SCHEMA
from tracer_bullet.traces.table import table_to_spans

T, S = "ab" * 16, "cd" * 8


def document(*spans: Any, key: str = "scopeSpans", scope: str = "scope") -> dict[str, Any]:
    resource = {"attributes": [{"key": "service.name", "value": {"stringValue": "web"}}]}
    return {"resourceSpans": [{"resource": resource, key: [{scope: {"name": "lib"}, "spans": list(spans)}]}]}


def span(**more: Any) -> dict[str, Any]:
    made = {"traceId": T, "spanId": S, "name": "get", "startTimeUnixNano": "5", "endTimeUnixNano": "9"}
    return {**made, **more}


def one(**more: Any) -> tuple[Span, tuple[dict[str, int], dict[str, int]]]:
    (found,), losses = read(OtlpJson(), document(span(**more)))
    return found, counts(losses)


def whole(data: bytes) -> tuple[list[Span], Reading]:
    reading = Reading(io.BytesIO(data))
    batches = [columns.to_arrow() for columns in reading.batches()]
    return ordered(table_to_spans(pa.Table.from_batches(batches, schema=SPAN_SCHEMA))), reading


@settings(deadline=None)
@given(st.lists(any_spans(), min_size=1, max_size=4), st.booleans())
def test_valid_spans_come_as_they_were_sent_in_both_encodings(sent: list[Span], upper: bool) -> None:
    from_json, losses = read(OtlpJson(), json.loads(to_json(sent, upper=upper)))
    assert (ordered(from_json), losses) == (ordered(sent), Losses())
    from_protobuf, losses = read(OtlpProtobuf(), to_protobuf(sent))
    assert (ordered(from_protobuf), losses) == (ordered(sent), Losses())


def test_the_names_of_before_2022() -> None:
    (found,), losses = read(
        OtlpJson(), document(span(), key="instrumentationLibrarySpans", scope="instrumentationLibrary")
    )
    assert (found.scope_name, counts(losses)) == ("lib", ({}, {}))


@pytest.mark.parametrize(
    ("change", "kind", "reason"),
    [
        ({"kind": "SPAN_KIND_SERVER"}, SpanKind.SERVER, NAMED),
        ({"kind": 2.0}, SpanKind.SERVER, None),
        ({"kind": "3"}, SpanKind.CLIENT, None),
        ({"kind": None}, SpanKind.UNSPECIFIED, None),
        ({"kind": 77}, SpanKind.UNSPECIFIED, UNKNOWN_ENUM),
        ({"kind": "SPAN_KIND_ODD"}, SpanKind.UNSPECIFIED, UNKNOWN_ENUM),
        ({"kind": [2]}, SpanKind.UNSPECIFIED, UNKNOWN_ENUM),
    ],
)
def test_kinds(change: dict[str, Any], kind: SpanKind, reason: str | None) -> None:
    found, (lost, repaired) = one(**change)
    assert (found.kind, lost, repaired) == (kind, {}, {reason: 1} if reason else {})


@pytest.mark.parametrize(
    ("text", "expected", "reason"),
    [
        (S.upper(), S, None),
        ("0x" + S, S, None),
        ("1f", "1f".zfill(16), c.PADDED),
        ("zc3Nzc3Nzc0=", S, c.BASE64_IDS),
        ("zc3Nzc3Nzc0", S, c.BASE64_IDS),
        ("_______-_wE=", "fffffffffffeff01", c.BASE64_IDS),
    ],
)
def test_ids_in_other_spellings(text: str, expected: str, reason: str | None) -> None:
    found, (lost, repaired) = one(spanId=text)
    assert (found.span_id, lost, repaired) == (expected, {}, {reason: 1} if reason else {})
    found, (lost, repaired) = one(parentSpanId=text)
    assert (found.parent_id, lost, repaired) == (expected, {}, {reason: 1} if reason else {})


@pytest.mark.parametrize("parent", ["", None, "0" * 16, "AAAAAAAAAAA="])
def test_an_empty_or_zero_parent_is_a_root(parent: Any) -> None:
    found, losses = one(parentSpanId=parent)
    assert (found.parent_id, losses) == (None, ({}, {}))


def test_a_parent_that_is_no_id_leaves_a_root_and_is_told() -> None:
    found, (_, repaired) = one(parentSpanId="not-an-id")
    assert (found.parent_id, repaired) == (None, {c.BAD_PARENT: 1})


@pytest.mark.parametrize("key", ["traceId", "spanId"])
@pytest.mark.parametrize("bad", ["", "zz", None, 5, "0" * 32, "f" * 33, {}])
def test_a_span_without_an_id_is_lost_alone(key: str, bad: Any) -> None:
    spans, losses = read(OtlpJson(), document(span(), span(**{key: bad}), span()))
    assert len(spans) == 2
    assert losses.lost == {c.NO_ID: 1}


@pytest.mark.parametrize(
    ("start", "end", "expected", "reason"),
    [
        (5, 9, (5, 9), None),
        (5.0, "9", (5, 9), None),
        ("5e0", 9, (5, 9), None),
        ("9", "5", (9, 9), c.ENDS_EARLY),
        ("5", None, (5, 5), c.ONE_TIME),
        (0, "7", (7, 7), c.ONE_TIME),
        ("5", 2**70, (5, 5), c.ONE_TIME),
    ],
)
def test_times(start: Any, end: Any, expected: tuple[int, int], reason: str | None) -> None:
    found, (lost, repaired) = one(startTimeUnixNano=start, endTimeUnixNano=end)
    assert ((found.start_ns, found.end_ns), lost) == (expected, {})
    assert repaired == ({reason: 1} if reason else {})


@pytest.mark.parametrize("bad", [None, 0, -4, "x", "9" * 40, True, [1], 2**64])
def test_a_span_without_a_time_is_lost_alone(bad: Any) -> None:
    spans, losses = read(OtlpJson(), document(span(), span(startTimeUnixNano=bad, endTimeUnixNano=bad)))
    assert len(spans) == 1
    assert losses.lost == {c.NO_TIME: 1}


def test_attributes_of_every_kind_and_none() -> None:
    deep: Any = {"intValue": 1}
    for _ in range(300):
        deep = {"arrayValue": {"values": [deep]}}
    values = {
        "s": {"stringValue": "x"},
        "i": {"intValue": "12"},
        "f": {"doubleValue": "NaN"},
        "d": {"doubleValue": 1},
        "b": {"boolValue": True},
        "y": {"bytesValue": "AAE="},
        "z": {"bytesValue": [0, 1]},
        "a": {"arrayValue": {"values": [{"intValue": 1}, {"stringValue": "b"}, {}]}},
        "k": {"kvlistValue": {"values": [{"key": "q", "value": {"doubleValue": 0.5}}]}},
        "e": {},
        "n": None,
        "u": "plain",
        "bad": {"boolValue": "yes"},
        "deep": deep,
    }
    pairs = [*({"key": k, "value": v} for k, v in values.items()), {"value": {}}, 7]
    found, (lost, repaired) = one(attributes=pairs)
    assert found.attributes == {
        "s": "x",
        "i": "12",
        "f": "NaN",
        "d": "1.0",
        "b": "true",
        "y": "AAE=",
        "z": "AAE=",
        "a": '[1,"b",null]',
        "k": '{"q":0.5}',
        "e": "",
        "n": "",
        "u": "plain",
        "bad": "",
        "deep": "",
    }
    assert lost[c.BAD_ATTRIBUTE] >= 4
    assert repaired == {UNTYPED: 1}


def test_other_signals_are_counted() -> None:
    _, losses = read(OtlpJson(), {"resourceLogs": []}, {"resourceMetrics": [], "resourceSpans": []}, {"other": 1})
    assert sum(losses.lost.values()) == 3


def test_an_error_among_jaegers_chunks_is_told() -> None:
    spans, losses = read(JaegerV3(), {"result": document(span())}, {"error": {"message": "broken"}})
    assert len(spans) == 1
    assert sum(losses.lost.values()) == 1


def test_a_search_of_tempo_is_known_and_told() -> None:
    found = {"traces": [{"traceID": "1", "rootServiceName": "web", "startTimeUnixNano": "1"}] * 3, "metrics": {}}
    assert Tempo().recognises(found)
    assert read(Tempo(), found)[1].lost == {SEARCH: 3}


# ---- protobuf


def framed(*messages: bytes) -> bytes:
    return b"".join(struct.pack(">I", len(m)) + m for m in messages)


def delimited(*messages: bytes) -> bytes:
    out = b""
    for message in messages:
        length = len(message)
        while length > 127:
            out += bytes([length & 127 | 128])
            length >>= 7
        out += bytes([length]) + message
    return out


REQUEST = content("otel/request.binpb")
PACK = zstandard.ZstdCompressor().compress


@pytest.mark.parametrize(
    ("data", "form"),
    [
        (REQUEST * 2, "OTLP protobuf"),
        (framed(REQUEST, REQUEST), "OTLP protobuf"),
        (delimited(REQUEST, REQUEST), "OTLP protobuf"),
        (framed(PACK(REQUEST), PACK(REQUEST)), "OTLP protobuf"),
        (framed(PACK(content("otel/request.json")), content("otel/request.json")), "OTLP JSON"),
    ],
    ids=["joined", "collector", "delimited", "collector zstd", "collector zstd json"],
)
def test_every_framing_gives_the_spans(data: bytes, form: str) -> None:
    spans, reading = whole(data)
    assert spans == ordered(whole(REQUEST)[0] * 2)
    assert reading.format == form
    assert set(reading.losses.lost) <= {c.LINK_ATTRIBUTES}


def test_a_large_request_comes_in_parts() -> None:
    values = list(binary_values(iter([REQUEST * 3000]), Losses()))
    assert len(values) > 2
    assert b"".join(values) == REQUEST * 3000


def broken_span(request: bytes) -> bytes:
    """A request in which the name of one span is no UTF-8."""
    assert request.count(b"POST /cart") == 1
    return request.replace(b"POST /cart", b"POST /\xff\xfe\xfd\xfc")


def test_a_span_that_is_no_protobuf_is_lost_alone() -> None:
    spans, reading = whole(broken_span(REQUEST))
    assert len(spans) == 6
    assert reading.losses.lost == {BAD_SPAN: 1}


def test_a_cut_request_gives_its_whole_spans() -> None:
    for end in range(200, len(REQUEST), 97):
        spans, reading = whole(REQUEST[:end])
        assert len(spans) < 7
        assert reading.losses.lost
    assert len(whole(REQUEST[:-9])[0]) >= 4
    spans, reading = whole(framed(REQUEST, REQUEST[:500])[:-3])
    assert len(spans) == 7
    assert reading.losses.lost == {CUT: 1}


def test_junk_after_a_request_ends_it() -> None:
    spans, reading = whole(REQUEST + b"\xff" * 20)
    assert len(spans) == 7
    assert reading.losses.lost == {BROKEN: 1}


def test_odd_spans_are_read_as_leniently_as_in_json() -> None:
    request = to_request([])
    scope = request.resource_spans.add().scope_spans.add()
    sound = {"trace_id": b"\1" * 16, "span_id": b"\2" * 8, "start_time_unix_nano": 5, "end_time_unix_nano": 9}
    scope.spans.add(**sound)
    scope.spans.add(**{**sound, "end_time_unix_nano": 2})
    scope.spans.add(**{**sound, "end_time_unix_nano": 0}).links.add(trace_id=b"\3" * 16, span_id=b"\4" * 8)
    scope.spans.add(**{**sound, "span_id": b""})
    spans, losses = read(OtlpProtobuf(), request.SerializeToString())
    assert [(s.start_ns, s.end_ns, len(s.links)) for s in spans] == [(5, 9, 0), (5, 5, 0), (5, 5, 1)]
    assert counts(losses) == ({c.NO_ID: 1}, {c.ENDS_EARLY: 1, c.ONE_TIME: 1})


def test_the_number_that_library_spans_had_for_a_while() -> None:
    scope = to_request([])
    made = scope.resource_spans.add().scope_spans.add()
    made.scope.name = "lib"
    made.spans.add(trace_id=b"\1" * 16, span_id=b"\2" * 8, start_time_unix_nano=5, end_time_unix_nano=9)
    inner = made.SerializeToString()
    part = b"\xc2\x3e" + bytes([len(inner)]) + inner
    (found,), losses = read(OtlpProtobuf(), b"\x0a" + bytes([len(part)]) + part)
    assert (found.scope_name, counts(losses)) == ("lib", ({}, {}))


@settings(deadline=None)
@given(
    st.binary(max_size=200),
    st.sampled_from([b"", b"\x0a", b"\x0a\x10\x0a", b"\0\0\0\x20\x0a\x05\x12", b"\0\0\0\x09\x28\xb5\x2f\xfd"]),
)
def test_any_protobuf_raises_nothing(data: bytes, head: bytes) -> None:
    whole(head + data)
    OtlpProtobuf().reader(Losses()).feed(head + data, SpanColumns())
