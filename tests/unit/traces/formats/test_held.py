"""What is kept until the end of an input: the same in memory and in files, whatever the order; and in batches."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.traces.formats.reading import golden, json_values, read
from tracer_bullet.model.losses import Losses
from tracer_bullet.traces.columns import SpanColumns
from tracer_bullet.traces.formats.held import Held
from tracer_bullet.traces.formats.lenient import NO_JSON_VALUE, UnusableError, pack, text_of, unpack
from tracer_bullet.traces.formats.zipkin import Zipkin

RECORDS = st.lists(st.tuples(st.binary(max_size=3), st.binary(max_size=40)), max_size=40)


@given(RECORDS, st.integers(0, 3_000), st.randoms(use_true_random=False))
def test_files_change_nothing(records: list[tuple[bytes, bytes]], limit: int, random: Any) -> None:
    memory, files = Held(), Held(limit)
    for key, record in records:
        memory.add(key, record)
    random.shuffle(records)
    for key, record in records:
        files.add(key, record)
    found = list(memory.groups())
    assert list(files.groups()) == found
    assert sorted((k, r) for k, some in found for r in some) == sorted(records)
    assert not list(memory.groups())


def test_memory_stays_below_the_limit() -> None:
    held = Held(10_000)
    for n in range(2_000):
        held.add(n.to_bytes(4, "big"), bytes(100))
        assert held._size <= 10_000 + 1_000
    assert sum(len(some) for _, some in held.groups()) == 2_000


def test_a_reader_that_is_dropped_leaves_no_open_file() -> None:
    held = Held(0)
    held.add(b"a", b"b")
    del held  # an open file would warn, and warnings are errors here


def test_batches_hold_what_finish_gives() -> None:
    spans = [
        {"traceId": f"{n // 3 + 1:032x}", "id": f"{n + 1:016x}", "timestamp": n + 1, "name": "n"} for n in range(20_000)
    ]
    whole, _ = read(Zipkin(), spans)
    reader = Zipkin().reader(Losses())
    columns = SpanColumns()
    reader.feed(spans, columns)
    batches = list(reader.drain(columns))  # type: ignore[attr-defined]
    assert batches[0] is columns
    assert len(batches) == 3
    assert sum(map(len, batches)) == len(whole) == 20_000
    assert all(a is not b for a, b in pairwise(batches))
    assert len({i for b in batches for i in b.span_ids}) == 20_000
    assert all(b.to_arrow().num_rows == len(b) for b in batches)


@given(json_values)
def test_values_are_kept_as_they_are(value: Any) -> None:
    assert repr(unpack(pack(value))) == repr(value)


def test_what_no_parser_would_give_back_is_refused() -> None:
    deep: Any = 1
    for _ in range(100_000):
        deep = [deep]
    for function in (pack, text_of):
        with pytest.raises(UnusableError) as refused:
            function(deep)
        assert refused.value.reason == NO_JSON_VALUE
    while isinstance(deep, list):  # a chain this long must not be freed recursively by a debugger's hooks
        deep = deep.pop()


def test_values_between_orjson_s_depth_and_python_s_are_kept() -> None:
    deep: Any = 1
    for _ in range(400):
        deep = [deep]
    assert unpack(pack(deep)) == deep
    assert unpack(pack({"a": "\ud800"})) == {"a": "\ud800"}
    assert repr(unpack(pack([1 << 70]))) == repr([1 << 70])


def test_texts_are_as_the_span_table_has_them() -> None:
    values = ["a", True, False, 7, 1.0, 1e22, float("nan"), None, [1, {"a": 2.5}], {"b": "ü"}, 10**120]
    expected = ["a", "true", "false", "7", "1.0", "1e+22", "NaN", "", '[1,{"a":2.5}]', '{"b":"ü"}', "Infinity"]
    assert [text_of(v) for v in values] == expected


def test_golden_files_need_no_repair_of_their_json() -> None:
    assert all(golden(f"zipkin/{name}.json") for name in ("v1", "v2"))
