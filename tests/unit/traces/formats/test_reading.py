"""One input from bytes to spans: the format found, forced, or described when there is none."""

from __future__ import annotations

import io
import json

import pytest

from tests.unit.traces.formats.samples import content
from tracer_bullet.errors import UsageError
from tracer_bullet.traces.formats.read import BEFORE, Reading, is_whole


def spans_in(data: bytes, **options: str) -> tuple[int, Reading]:
    reading = Reading(io.BytesIO(data), **options)  # type: ignore[arg-type]
    return sum(map(len, reading.batches())), reading


def test_values_of_other_programs_before_the_first_span_are_counted() -> None:
    lines = b'{"level": "info"}\n' * 3 + content("collector/collector.jsonl")
    count, reading = spans_in(lines)
    assert (count, reading.format) == (4, "OTLP JSON")
    assert reading.losses.lost[BEFORE] == 3


def test_a_format_may_be_said() -> None:
    count, reading = spans_in(content("collector/collector.jsonl"), forced="jaeger")
    assert (count, reading.format) == (0, "Jaeger")
    assert sum(reading.losses.lost.values()) == 4


def test_an_unknown_format_is_refused() -> None:
    with pytest.raises(UsageError, match="jager") as caught:
        Reading(io.BytesIO(), forced="jager")
    assert caught.value.code == "TB413"
    assert "otlp-json" in caught.value.cure


@pytest.mark.parametrize(
    ("data", "looks"),
    [
        (b"", "nothing: it is empty"),
        (b" \n", "nothing: it is empty"),
        (b"time,trace\n1,2\n", "text beginning with 'time,trace'"),
        (b"\n<!DOCTYPE html><html>", "HTML or XML, perhaps a page for logging in"),
        (b'{"message": "not found", "code": 404}', 'JSON: an object with "message", "code"'),
        (json.dumps({str(n): n for n in range(9)}).encode(), 'an object with "0", "1", "2", "3", "4", "5", …'),
        (b'[{"a": 1}, 2]', 'JSON: an array of 2, first an object with "a"'),
        (b"[]", "an empty array"),
        (b"[" * 900 + b"]" * 900, "an array of 1, first an array of 1"),
        (b"{}", "an empty object"),
        (b"[null]", "an array of 1, first null"),
        (b"PAR1\x15\x04", "a Parquet file"),
        (b"PK\x03\x04\x14", "a ZIP archive: unpack it first"),
        (b"SQLite format 3\0", "an SQLite database"),
        (b"\x7fELF\x02\x01", "binary data beginning with 7f 45 4c 46 02 01"),
    ],
)
def test_what_is_not_recognised_is_described(data: bytes, looks: str) -> None:
    count, reading = spans_in(data)
    assert (count, reading.format) == (0, "")
    assert looks in reading.looks_like


def test_blank_lines_before_the_first_value_are_no_binary_data() -> None:
    _, reading = spans_in(b"\n" * 5000 + b'{"a": 1}')
    assert reading.looks_like == 'JSON: an object with "a"'


def test_what_was_decoded_when_reading_broke_off_is_given_if_it_is_whole() -> None:
    class Interrupted(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            if data := super().read(500):
                return data
            raise KeyboardInterrupt

    reading = Reading(Interrupted(content("collector/collector.jsonl") * 3))
    with pytest.raises(KeyboardInterrupt):
        list(reading.batches())
    rest = reading.rest()
    assert len(rest) == 12
    assert rest.to_arrow().num_rows == 12
    assert len(reading.rest()) == 0


@pytest.mark.parametrize(
    "column", ["trace_ids", "names", "statuses", "event_times", "link_span_ids", "resource_of", "parent_ids"]
)
def test_half_a_span_is_not_whole(column: str) -> None:
    (columns,) = Reading(io.BytesIO(content("collector/collector.jsonl"))).batches()
    assert is_whole(columns)
    getattr(columns, column).pop()
    assert not is_whole(columns)
    (columns,) = Reading(io.BytesIO(content("collector/collector.jsonl"))).batches()
    columns.attributes.keys.append("half")
    assert not is_whole(columns)
