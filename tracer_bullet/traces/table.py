"""Spans to the span table and back, and the table's Parquet files (docs/span-table.md)."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from tracer_bullet.errors import UsageError
from tracer_bullet.model import Span, SpanEvent, SpanKind, SpanLink, SpanStatus
from tracer_bullet.traces import ids
from tracer_bullet.traces.columns import SpanColumns
from tracer_bullet.traces.schema import SPAN_SCHEMA, VERSION, VERSION_KEY


def spans_to_table(spans: Iterable[Span]) -> pa.Table:
    """The span table of `spans`, in their order. Raises ValueError on an id that is not hex."""
    columns = SpanColumns()
    for span in spans:
        columns.add_span(span)
    return pa.Table.from_batches([columns.to_arrow()])


def table_to_spans(table: pa.Table) -> list[Span]:
    """The spans of a span table, in its order."""
    return [span for batch in table.to_batches() for span in batch_to_spans(batch)]


def batch_to_spans(batch: pa.RecordBatch) -> list[Span]:
    """The spans of one batch of a span table, in its order."""
    column = {name: batch.column(name).to_pylist() for name in _PLAIN}
    values: dict[str, Iterable[Any]] = {
        "trace_id": map(ids.trace_hex, column["trace_hi"], column["trace_lo"]),
        "span_id": map(ids.span_hex, column["span_id"]),
        "parent_id": (None if p is None else ids.span_hex(p) for p in column["parent_id"]),
        "kind": map(SpanKind, column["kind"]),
        "status": map(SpanStatus, column["status"]),
        "attributes": _text_maps(batch.column("attributes")),
        "resource": _text_maps(batch.column("resource")),
        "events": (tuple(map(_event, some)) for some in batch.column("events").to_pylist()),
        "links": (tuple(map(_link, some)) for some in batch.column("links").to_pylist()),
        **{name: column[name] for name in _SAME_IN_MODEL},
    }
    return [Span(**dict(zip(values, row, strict=True))) for row in zip(*values.values(), strict=True)]


_SAME_IN_MODEL = ("name", "service", "start_ns", "end_ns", "status_message", "scope_name", "trace_state")
_PLAIN = ("trace_hi", "trace_lo", "span_id", "parent_id", "kind", "status", *_SAME_IN_MODEL)


def write_table(table: pa.Table, path: Path) -> None:
    """Write a span table as one zstd Parquet file: under a temporary name first, then renamed.

    Folders on the way are made. A reader sees the old file or the whole new one.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with draft.open("wb") as file:
            pq.write_table(table.cast(SPAN_SCHEMA), file, compression="zstd")
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


def read_table(path: Path, trace_ids: Collection[str] | None = None) -> pa.Table:
    """The span table in a file, or in all `*.parquet` files of a folder, by name.

    With `trace_ids` only the spans of those traces. Raises UsageError (TB410) when a file
    is missing, is no span table, or was written by a newer version; ValueError when a
    trace id is not hex.
    """
    files = sorted(path.glob("*.parquet")) if path.is_dir() else [path]
    wanted = None if trace_ids is None else {ids.trace_halves(t) for t in trace_ids}
    return pa.concat_tables([SPAN_SCHEMA.empty_table(), *(_read_file(file, wanted) for file in files)])


def _read_file(file: Path, wanted: set[tuple[int, int]] | None) -> pa.Table:
    try:
        version = (pq.read_schema(file).metadata or {}).get(VERSION_KEY, b"")
        if version == str(VERSION).encode():
            return _read_rows(file, wanted).cast(SPAN_SCHEMA)
    except (OSError, pa.ArrowException) as error:
        raise UsageError(
            "TB410", "not a readable span table", where=str(file), why=str(error), cure="give the spans of a run folder"
        ) from error
    raise UsageError(
        "TB410",
        f"not a span table of version {VERSION}",
        where=str(file),
        why=f"its metadata says {version.decode(errors='replace') or 'nothing'!r}",
        cure="read it with the version of tracer-bullet that wrote it, or repeat the run",
    )


def _read_rows(file: Path, wanted: set[tuple[int, int]] | None) -> pa.Table:
    if wanted is None:
        return pq.read_table(file)
    rows = pq.read_table(file, filters=pc.field("trace_lo").isin([low for _, low in wanted]))
    pairs = zip(rows["trace_hi"].to_pylist(), rows["trace_lo"].to_pylist(), strict=True)
    return rows.filter(pa.array([pair in wanted for pair in pairs], pa.bool_()))


def _text_maps(column: pa.MapArray) -> list[dict[str, str]]:
    offsets = column.offsets.to_pylist()  # absolute: keys and items hold a slice's whole parent
    keys, values = column.keys.to_pylist(), column.items.to_pylist()
    return [dict(zip(keys[a:b], values[a:b], strict=True)) for a, b in pairwise(offsets)]


def _event(value: dict[str, Any]) -> SpanEvent:
    return SpanEvent(time_ns=value["time_ns"], name=value["name"], attributes=dict(value["attributes"]))


def _link(value: dict[str, int]) -> SpanLink:
    return SpanLink(
        trace_id=ids.trace_hex(value["trace_hi"], value["trace_lo"]), span_id=ids.span_hex(value["span_id"])
    )
