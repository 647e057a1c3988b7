"""OTLP in both encodings to the span table: equal, lossless, and strict about what cannot be."""

from __future__ import annotations

import json
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, KeyValue, KeyValueList

from tests.servers.otlp import request_json, to_json, to_protobuf
from tests.servers.span_strategies import spans
from tracer_bullet.model import Span, SpanKind, SpanStatus
from tracer_bullet.traces.otlp import BAD_ID, BAD_TIMES, Decoded, MalformedError
from tracer_bullet.traces.otlp_json import decode_json
from tracer_bullet.traces.otlp_protobuf import ProtobufDecoder
from tracer_bullet.traces.table import table_to_spans

PROTOBUF = ProtobufDecoder()


def spans_of(decoded: Decoded) -> list[Span]:
    return table_to_spans(pa.Table.from_batches([decoded.columns.to_arrow()]))


def one_json(**span: Any) -> Decoded:
    base = {"traceId": "0" * 31 + "1", "spanId": "0" * 15 + "2", "startTimeUnixNano": "1", "endTimeUnixNano": "2"}
    return decode_json(json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": [{**base, **span}]}]}]}).encode())


@given(st.lists(spans(), max_size=5))
def test_protobuf_and_json_carry_spans_without_loss(some: list[Span]) -> None:
    assert spans_of(PROTOBUF.decode(to_protobuf(some))) == some
    assert spans_of(decode_json(to_json(some))) == some
    assert spans_of(decode_json(to_json(some, upper=True))) == some


def _values() -> st.SearchStrategy[AnyValue]:
    text = st.text(max_size=5)
    leaf = st.one_of(
        st.just(AnyValue()),
        st.builds(AnyValue, string_value=text),
        st.builds(AnyValue, bool_value=st.booleans()),
        st.builds(AnyValue, int_value=st.integers(-(1 << 63), (1 << 63) - 1)),
        st.builds(AnyValue, double_value=st.floats()),
        st.builds(AnyValue, bytes_value=st.binary(max_size=5)),
    )
    return st.recursive(
        leaf,
        lambda inner: st.one_of(
            st.builds(AnyValue, array_value=st.builds(ArrayValue, values=st.lists(inner, max_size=3))),
            st.builds(
                AnyValue,
                kvlist_value=st.builds(
                    KeyValueList, values=st.lists(st.builds(KeyValue, key=text, value=inner), max_size=3)
                ),
            ),
        ),
        max_leaves=6,
    )


@given(st.lists(st.builds(KeyValue, key=st.text(max_size=4), value=_values()), max_size=5))
def test_attribute_values_have_one_text_in_both_encodings(attributes: list[KeyValue]) -> None:
    request = ExportTraceServiceRequest()
    span = (
        request.resource_spans.add()
        .scope_spans.add()
        .spans.add(trace_id=b"t" * 16, span_id=b"s" * 8, start_time_unix_nano=1, end_time_unix_nano=1)
    )
    span.attributes.extend(attributes)
    span.events.add(time_unix_nano=1).attributes.extend(attributes)
    (by_protobuf,) = spans_of(PROTOBUF.decode(request.SerializeToString()))
    (by_json,) = spans_of(decode_json(request_json(request)))
    assert by_protobuf == by_json
    assert by_protobuf.events[0].attributes == by_protobuf.attributes


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({"stringValue": ""}, ""),
        ({"stringValue": "a\u0000é"}, "a\u0000é"),
        ({"boolValue": True}, "true"),
        ({"boolValue": False}, "false"),
        ({"intValue": "-7"}, "-7"),
        ({"intValue": 7}, "7"),
        ({"doubleValue": 1}, "1.0"),
        ({"doubleValue": "NaN"}, "NaN"),
        ({"doubleValue": "-Infinity"}, "-Infinity"),
        ({"bytesValue": "AAE="}, "AAE="),
        ({"arrayValue": {"values": [{"intValue": "1"}, {"stringValue": "é"}, {}]}}, '[1,"é",null]'),
        ({"arrayValue": {}}, "[]"),
        ({"kvlistValue": {"values": [{"key": "k", "value": {"doubleValue": 0.5}}]}}, '{"k":0.5}'),
        ({}, ""),
        (None, ""),
        ({"futureValue": 1}, ""),
    ],
)
def test_text_of_values(value: Any, text: str) -> None:
    (span,) = spans_of(one_json(attributes=[{"key": "k", "value": value}]))
    assert span.attributes == {"k": text}


def test_json_as_senders_really_write_it() -> None:
    (span,) = spans_of(
        one_json(
            traceId="5B8EFFF798038103D269B633813FC60C",
            spanId="EEE19B7EC3C1B174",
            parentSpanId="0000000000000000",
            kind="SPAN_KIND_CLIENT",
            startTimeUnixNano=1544712660000000000,
            endTimeUnixNano="1544712661000000000",
            status={"code": "STATUS_CODE_ERROR"},
            flags=257,
            droppedAttributesCount=-1,
            surprise={"deep": [1]},
            events=None,
        )
    )
    assert span.trace_id == "5b8efff798038103d269b633813fc60c"
    assert span.span_id == "eee19b7ec3c1b174"
    assert (span.parent_id, span.kind, span.status) == (None, SpanKind.CLIENT, SpanStatus.ERROR)
    assert (span.start_ns, span.end_ns) == (1544712660000000000, 1544712661000000000)
    assert (span.service, span.name, span.attributes) == ("unknown_service", "", {})


def test_absent_and_unknown_enums_are_unspecified() -> None:
    for span in (*spans_of(one_json()), *spans_of(one_json(kind=99, status={"code": 99}))):
        assert (span.kind, span.status) == (SpanKind.UNSPECIFIED, SpanStatus.UNSET)
    assert spans_of(one_json(kind="SPAN_KIND_FUTURE"))[0].kind is SpanKind.UNSPECIFIED
    request = ExportTraceServiceRequest()
    request.resource_spans.add().scope_spans.add().spans.add(
        trace_id=b"t" * 16, span_id=b"s" * 8, start_time_unix_nano=1, end_time_unix_nano=1, kind=99
    )
    assert spans_of(PROTOBUF.decode(request.SerializeToString()))[0].kind is SpanKind.UNSPECIFIED


def test_lone_surrogates_do_not_spoil_a_body() -> None:
    (span,) = spans_of(one_json(name="a\ud800b", traceState="\U0001f600"))
    assert span.name == "a?b"
    assert span.trace_state == "\U0001f600"


GOOD = {"traceId": "0" * 31 + "1", "spanId": "0" * 15 + "2", "startTimeUnixNano": 5, "endTimeUnixNano": 5}


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        ({"traceId": "0" * 32}, BAD_ID),
        ({"traceId": ""}, BAD_ID),
        ({"traceId": "ab" * 8}, BAD_ID),
        ({"traceId": "zz" * 16}, BAD_ID),
        ({"traceId": "ab " * 16}, BAD_ID),
        ({"spanId": "0" * 16}, BAD_ID),
        ({"spanId": "ab" * 9}, BAD_ID),
        ({"parentSpanId": "ab" * 7}, BAD_ID),
        ({"parentSpanId": "a"}, BAD_ID),
        ({"startTimeUnixNano": 6}, BAD_TIMES),
        ({"startTimeUnixNano": 0}, BAD_TIMES),
        ({"startTimeUnixNano": -4}, BAD_TIMES),
        ({"endTimeUnixNano": 1 << 63}, BAD_TIMES),
        ({"endTimeUnixNano": None}, BAD_TIMES),
    ],
)
def test_an_impossible_span_is_rejected_alone(bad: dict[str, Any], reason: str) -> None:
    body = {"resourceSpans": [{"scopeSpans": [{"spans": [GOOD, {**GOOD, **bad}, GOOD]}]}]}
    decoded = decode_json(json.dumps(body).encode())
    assert decoded.rejected == {reason: 1}
    assert len(spans_of(decoded)) == 2


def _raw_ids(width: int) -> st.SearchStrategy[bytes]:
    return st.binary(min_size=width, max_size=width) | st.binary(max_size=width + 4) | st.just(bytes(width))


@given(_raw_ids(16), _raw_ids(8), _raw_ids(8), st.integers(0, 20) | st.integers(0, (1 << 64) - 1))
def test_protobuf_and_json_reject_the_same_spans(trace_id: bytes, span_id: bytes, parent: bytes, end: int) -> None:
    request = ExportTraceServiceRequest()
    request.resource_spans.add().scope_spans.add().spans.add(
        trace_id=trace_id, span_id=span_id, parent_span_id=parent, start_time_unix_nano=9, end_time_unix_nano=end
    )
    by_protobuf, by_json = PROTOBUF.decode(request.SerializeToString()), decode_json(request_json(request))
    assert by_protobuf.rejected == by_json.rejected
    assert spans_of(by_protobuf) == spans_of(by_json)
    assert len(by_protobuf.columns) + sum(by_protobuf.rejected.values()) == 1


def test_links_that_point_nowhere_are_left_out() -> None:
    good = {"traceId": "ab" * 16, "spanId": "cd" * 8}
    (span,) = spans_of(one_json(links=[good, {"traceId": "", "spanId": ""}, {**good, "spanId": "0" * 16}]))
    assert [link.trace_id for link in span.links] == ["ab" * 16]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"\xff\xfe{}",
        b'{"resourceSpans": 5}',
        b'{"resourceSpans": [5]}',
        b'{"resourceSpans": [{"resource": []}]}',
        b'{"resourceSpans": [{"scopeSpans": {"spans": []}}]}',
        b'{"resourceSpans": [{"scopeSpans": [{"spans": [{"traceId": 7}]}]}]}',
        b'{"resourceSpans": [{"scopeSpans": [{"spans": [{"startTimeUnixNano": "soon"}]}]}]}',
        b'{"resourceSpans": [{"scopeSpans": [{"spans": [{"startTimeUnixNano": true}]}]}]}',
        b'{"resourceSpans": [{"scopeSpans": [{"spans": [{"startTimeUnixNano": 1.5}]}]}]}',
        b'{"resourceSpans": [{"scopeSpans": [{"spans": [{"name": {}}]}]}]}',
        b'{"resourceSpans": [{"scopeSpans": [{"spans": [{"attributes": {"a": "b"}}]}]}]}',
        b'{"resourceSpans": [{"resource": {"attributes": [{"key": "k", "value": {"boolValue": "yes"}}]}}]}',
        b'{"resourceSpans": [{"resource": {"attributes": [{"key": "k", "value": {"doubleValue": "x"}}]}}]}',
        b"[" * 100_000,
        b'{"resourceSpans": [{"resource": {"attributes": [{"key": "k", "value": '
        + b'{"arrayValue": {"values": [' * 150 + b"]}}" * 150 + b"}]}}]}",
        b'{"resourceSpans": ' + b"9" * 5000 + b"}",
    ],
)  # fmt: skip
def test_a_body_that_is_no_request_is_refused_whole(body: bytes) -> None:
    with pytest.raises(MalformedError):
        decode_json(body)


@given(st.binary(max_size=200))
def test_any_bytes_are_decoded_or_refused(body: bytes) -> None:
    for decode in (PROTOBUF.decode, decode_json):
        try:
            decoded = decode(body)
        except MalformedError:
            continue
        decoded.columns.to_arrow().validate(full=True)


@given(st.lists(spans(), min_size=1, max_size=3), st.data())
def test_damaged_protobuf_is_decoded_or_refused(some: list[Span], data: st.DataObject) -> None:
    body = bytearray(to_protobuf(some))
    for _ in range(data.draw(st.integers(1, 4))):
        body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    cut = bytes(body[: data.draw(st.integers(0, len(body)))])
    try:
        decoded = PROTOBUF.decode(cut)
    except MalformedError:
        return
    decoded.columns.to_arrow().validate(full=True)


def test_truncated_protobuf_is_refused() -> None:
    body = to_protobuf([Span(**{**_plain(), "attributes": {"k": "v"}})])
    with pytest.raises(MalformedError):
        PROTOBUF.decode(body[:-3])


def test_an_attribute_that_is_no_pair_is_refused() -> None:
    body = to_protobuf([Span(**{**_plain(), "attributes": {"kkkk": "vvvv"}})])
    assert body.count(b"vvvv") == 1
    with pytest.raises(MalformedError):  # not UTF-8: seen only when the pair itself is read
        PROTOBUF.decode(body.replace(b"vvvv", b"\xff\xff\xff\xff"))


def test_remembered_pairs_stay_bounded() -> None:
    decoder = ProtobufDecoder()
    most = decoder._pairs.MOST
    some = [Span(**{**_plain(), "attributes": {f"k{i}": "v" for i in range(n, n + 500)}}) for n in range(0, most, 500)]
    decoder.decode(to_protobuf(some))
    decoder.decode(to_protobuf([Span(**{**_plain(), "attributes": {"one": "more", "long": "x" * 1000}})]))
    assert 0 < len(decoder._pairs) <= most


def _plain() -> dict[str, Any]:
    return {
        "trace_id": "ab" * 16, "span_id": "cd" * 8, "parent_id": None, "name": "n", "kind": SpanKind.SERVER,
        "service": "s", "start_ns": 1, "end_ns": 2,
    }  # fmt: skip
