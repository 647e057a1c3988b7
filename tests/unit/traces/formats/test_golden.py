"""The same seven spans by OpenTelemetry's exporters, Jaeger and Tempo come out the same, less what a format drops."""

from __future__ import annotations

import gzip
import io
from dataclasses import replace

import pyarrow as pa
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.traces.formats.reading import ordered
from tests.unit.traces.formats.samples import ALL, content
from tracer_bullet.model import Span, SpanKind, SpanLink, SpanStatus
from tracer_bullet.traces.formats.json_values import Limits
from tracer_bullet.traces.formats.read import Reading
from tracer_bullet.traces.formats.registry import FORMATS
from tracer_bullet.traces.otlp_json import decode_json
from tracer_bullet.traces.otlp_protobuf import ProtobufDecoder
from tracer_bullet.traces.schema import SPAN_SCHEMA
from tracer_bullet.traces.table import table_to_spans

TRACES = ("000ab000000000000000000000000001", "000ab000000000000000000000000002", "00ee0000000000000000000000000005")
SMALL = Limits(group=512, window=64)


def imported(data: bytes, limits: Limits | None = None, most: int = 3) -> tuple[list[Span], Reading]:
    reading = Reading(io.BytesIO(data), limits=limits)
    batches = [columns.to_arrow() for columns in reading.batches(most)]
    return ordered(table_to_spans(pa.Table.from_batches(batches, schema=SPAN_SCHEMA))), reading


def otlp() -> list[Span]:
    return imported(content("otel/request.json"))[0]


def test_otlp_is_read_as_the_receiver_reads_it() -> None:
    strict = decode_json(content("otel/request.json")).columns.to_arrow()
    assert otlp() == ordered(table_to_spans(pa.Table.from_batches([strict])))
    assert len(otlp()) == 7
    assert {s.trace_id for s in otlp()} == set(TRACES)


def test_protobuf_holds_the_same_as_json() -> None:
    spans, reading = imported(content("otel/request.binpb"))
    assert reading.format == "OTLP protobuf"
    assert spans == otlp()
    strict = ProtobufDecoder().decode(content("otel/request.binpb")).columns.to_arrow()
    assert spans == ordered(table_to_spans(pa.Table.from_batches([strict])))


@pytest.mark.parametrize("name", ["tempo/v1.json", "tempo/v2.json"])
def test_tempo_holds_the_same_in_another_spelling(name: str) -> None:
    spans, reading = imported(content(name))
    assert reading.format == "Tempo"
    assert spans == otlp()
    assert sum(reading.losses.lost.values()) == (2 if "v2" in name else 1)


def test_the_console_prints_all_but_the_scope() -> None:
    spans, reading = imported(content("otel/console.txt"))
    assert reading.format == "OpenTelemetry console exporter"
    assert spans == ordered(replace(s, scope_name="") for s in otlp())


def test_jaeger_v3_answers_otlp() -> None:
    spans, reading = imported(content("jaeger/v3-trace.json"))
    assert reading.format == "Jaeger API v3"
    expected = [s for s in otlp() if s.trace_id == TRACES[0]]
    # Jaeger 1 keeps lists as text, and ERROR of its own as a tag.
    assert [(s.span_id, s.parent_id, s.name, s.kind, s.start_ns) for s in spans] == [
        (s.span_id, s.parent_id, s.name, s.kind, s.start_ns) for s in expected
    ]


@pytest.mark.parametrize("name", ["jaeger/trace.json", "jaeger/raw.json"])
def test_jaeger_json_holds_the_same_but_for_types(name: str) -> None:
    spans, reading = imported(content(name))
    assert reading.format == "Jaeger"
    assert spans == [s for s in otlp() if s.trace_id == TRACES[0]]


def test_a_search_of_jaeger_gives_every_trace_and_its_links() -> None:
    spans, reading = imported(content("jaeger/search.json"))
    assert [s for s in spans if s.trace_id == TRACES[0]] == [s for s in otlp() if s.trace_id == TRACES[0]]
    (child,) = [s for s in spans if s.trace_id == TRACES[2]]
    assert child.parent_id == "0000000000000077"
    (sent,) = [s for s in spans if s.kind is SpanKind.PRODUCER]
    assert sent.links == (SpanLink(trace_id=TRACES[2], span_id="0000000000000077"),)
    assert sum(reading.losses.lost.values()) == 1  # a warning of its own


def test_an_answer_without_traces_is_known() -> None:
    spans, reading = imported(content("jaeger/missing.json"))
    assert (spans, reading.format) == ([], "Jaeger")
    assert sum(reading.losses.lost.values()) == 1


def test_the_collectors_lines_and_frames_are_the_same_spans() -> None:
    lines, from_lines = imported(content("collector/collector.jsonl"))
    frames, from_frames = imported(content("collector/collector.binpb"))
    assert lines == frames
    assert [s.status for s in lines].count(SpanStatus.ERROR) == 1
    assert (from_lines.format, from_frames.format) == ("OTLP JSON", "OTLP protobuf")
    assert from_lines.losses.lost == {
        "attributes that the sender had dropped": 3,
        "documents of other signals: metrics": 1,
        "documents of other signals: logs": 1,
    }


@pytest.mark.parametrize(("key", "name"), ALL)
def test_compression_encoding_and_cutting_change_nothing(key: str, name: str) -> None:
    data = content(name)
    expected, reading = imported(data)
    assert reading.format == FORMATS[key].name
    assert expected
    ways = [gzip.compress(data), zstandard.ZstdCompressor().compress(data)]
    if not name.endswith(".binpb"):
        ways += [b"\xef\xbb\xbf" + data, data.decode().encode("utf-16")]
    for way in ways:
        assert imported(way)[0] == expected
    assert imported(data, SMALL, 1)[0] == expected


@pytest.mark.parametrize(("key", "name"), ALL)
def test_truncated_anywhere_raises_nothing(key: str, name: str) -> None:
    data = content(name)
    step = max(1, len(data) // 60)
    for end in range(0, len(data), step):
        imported(data[:end])


@pytest.mark.parametrize(("key", "name"), ALL)
@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_changed_bytes_raise_nothing(key: str, name: str, data: st.DataObject) -> None:
    text = bytearray(content(name))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(text) - 1))
        kind = data.draw(st.sampled_from(["set", "insert", "remove"]))
        if kind == "set":
            text[at] = data.draw(st.integers(0, 255))
        elif kind == "insert":
            text[at:at] = data.draw(
                st.sampled_from([b"{", b"}", b'"', b"[", b"]", b",", b"\\", b"\n", b"\0", b"9" * 400])
            )
        else:
            del text[at : at + data.draw(st.integers(1, 30))]
            text = text or bytearray(b" ")
    imported(bytes(text))
    imported(bytes(text), SMALL)


@given(st.binary(max_size=300))
def test_any_bytes_raise_nothing(data: bytes) -> None:
    _, reading = imported(data)
    assert bool(reading.format) != bool(reading.looks_like)
