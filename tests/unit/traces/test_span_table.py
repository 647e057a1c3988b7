"""The span table: Spans survive it, files are written whole, other files are refused with a reason."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.servers.span_strategies import spans, trace_ids
from tracer_bullet.errors import UsageError
from tracer_bullet.model import Span, SpanEvent, SpanKind, SpanLink, SpanStatus
from tracer_bullet.traces import SPAN_SCHEMA, read_table, spans_to_table, table_to_spans, write_table
from tracer_bullet.traces.columns import SpanColumns
from tracer_bullet.traces.ids import trace_halves, trace_hex
from tracer_bullet.traces.schema import VERSION_KEY

FULL = Span(
    trace_id="ff" * 16,
    span_id="80" + "00" * 7,
    parent_id="00" * 7 + "01",
    name="GET /",
    kind=SpanKind.SERVER,
    service="shop",
    start_ns=1,
    end_ns=(1 << 63) - 1,
    status=SpanStatus.ERROR,
    status_message="no",
    attributes={"a": "1", "": ""},
    resource={"service.name": "shop"},
    scope_name="asgi",
    trace_state="tb=t",
    events=(SpanEvent(time_ns=2, name="e", attributes={"x": "y"}),),
    links=(SpanLink(trace_id="0" * 31 + "1", span_id="f" * 16),),
)
ROOT = Span(
    trace_id="0" * 31 + "2", span_id="0" * 15 + "3", parent_id=None, name="", kind=SpanKind.INTERNAL, service="s",
    start_ns=0, end_ns=0,
)  # fmt: skip


@given(st.lists(spans(), max_size=6))
def test_spans_survive_the_table(some: list[Span]) -> None:
    table = spans_to_table(some)
    assert table.schema.equals(SPAN_SCHEMA, check_metadata=True)
    assert table_to_spans(table) == some


@given(st.lists(spans(), max_size=6), st.data())
def test_slices_and_chunks_are_read_like_whole_tables(some: list[Span], data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(some)))
    table = spans_to_table(some)
    assert table_to_spans(pa.concat_tables([table.slice(at), table.slice(0, at)])) == [*some[at:], *some[:at]]


@given(st.lists(spans(), max_size=4), st.lists(spans(), max_size=4))
def test_columns_extended_are_columns_of_both(first: list[Span], second: list[Span]) -> None:
    columns = SpanColumns()
    for part in (first, second):
        more = SpanColumns()
        for span in part:
            more.add_span(span)
        columns.extend(more)
    assert table_to_spans(pa.Table.from_batches([columns.to_arrow()])) == [*first, *second]


@given(trace_ids)
def test_ids_in_any_case_and_width_are_one_number(text: str) -> None:
    assert trace_hex(*trace_halves(text.upper())) == text
    assert trace_hex(*trace_halves(text.lstrip("0"))) == text


@pytest.mark.parametrize("text", ["", "xyz", "0x12", "1_0", "-1", "٣", "a" * 33, " 1"])
def test_what_is_no_id_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="hex digits"):
        trace_halves(text)


def test_lone_surrogates_do_not_keep_spans_out() -> None:
    odd = replace(ROOT, name="a\ud800b", status_message="\udfff", attributes={"\ud800": "é\ud800"})
    (kept,) = table_to_spans(spans_to_table([odd]))
    assert (kept.name, kept.status_message, kept.attributes) == ("a?b", "?", {"?": "é?"})


def test_ids_are_signed_big_endian_numbers() -> None:
    row = spans_to_table([FULL]).to_pylist()[0]
    assert (row["trace_hi"], row["trace_lo"], row["span_id"], row["parent_id"]) == (-1, -1, -(1 << 63), 1)
    assert spans_to_table([ROOT]).to_pylist()[0]["parent_id"] is None


def test_a_file_holds_the_schema_and_zstd(tmp_path: Path) -> None:
    file = tmp_path / "new" / "spans.parquet"
    write_table(spans_to_table([FULL, ROOT]), file)
    assert pq.read_metadata(file).row_group(0).column(0).compression == "ZSTD"
    assert pq.read_schema(file).metadata[VERSION_KEY] == b"1"
    assert table_to_spans(read_table(file)) == [FULL, ROOT]
    assert [p.name for p in file.parent.iterdir()] == ["spans.parquet"], "no draft stays behind"


def test_a_failed_write_keeps_the_old_file(tmp_path: Path) -> None:
    file = tmp_path / "spans.parquet"
    write_table(spans_to_table([FULL]), file)
    with pytest.raises((ValueError, pa.ArrowException)):
        write_table(pa.table({"other": [1]}), file)
    assert table_to_spans(read_table(file)) == [FULL]
    assert [p.name for p in tmp_path.iterdir()] == ["spans.parquet"]


def test_traces_are_read_by_id_from_all_files_of_a_folder(tmp_path: Path) -> None:
    # Shares its low half with FULL: only both halves together are a trace id.
    near = Span(**{**{f: getattr(FULL, f) for f in FULL.__slots__}, "trace_id": "0" * 16 + "f" * 16})
    write_table(spans_to_table([FULL, near]), tmp_path / "a.parquet")
    write_table(spans_to_table([ROOT]), tmp_path / "b.parquet")
    assert table_to_spans(read_table(tmp_path)) == [FULL, near, ROOT]
    assert table_to_spans(read_table(tmp_path, [FULL.trace_id.upper(), ROOT.trace_id])) == [FULL, ROOT]
    assert read_table(tmp_path, []).num_rows == 0
    assert read_table(tmp_path / "a.parquet", ["1234"]).schema.equals(SPAN_SCHEMA, check_metadata=True)


def test_an_empty_folder_is_an_empty_table(tmp_path: Path) -> None:
    assert read_table(tmp_path).equals(SPAN_SCHEMA.empty_table())


@pytest.mark.parametrize("kind", ["missing", "text", "foreign", "newer"])
def test_other_files_are_refused_by_name(tmp_path: Path, kind: str) -> None:
    file = tmp_path / "x.parquet"
    if kind == "text":
        file.write_text("hello")
    elif kind == "foreign":
        pq.write_table(pa.table({"a": [1]}), file)
    elif kind == "newer":
        metadata = {VERSION_KEY: b"2"}
        pq.write_table(spans_to_table([FULL]).replace_schema_metadata(metadata), file)
    with pytest.raises(UsageError) as caught:
        read_table(file)
    assert caught.value.code == "TB410"
    assert caught.value.where == str(file)
    assert caught.value.cure
