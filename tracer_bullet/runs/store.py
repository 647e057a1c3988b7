"""A run's files: shots and spans as Parquet, and the manifest as it goes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import fields
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from tracer_bullet.model import RequestType, Shot, Span
from tracer_bullet.traces import read_table, spans_to_table, table_to_spans
from tracer_bullet.workspace.runs import RunFolder, write_whole

_TYPES = {"int": pa.int64(), "str": pa.string(), "int | None": pa.int64(), "str | None": pa.string()}
# docs/run-folder.md documents the columns; they are the fields of model.Shot.
SHOT_SCHEMA = pa.schema(
    [pa.field(f.name, _TYPES.get(str(f.type), pa.string())) for f in fields(Shot)],
    metadata={b"tracer_bullet.schema": b"shots-1"},
)


def write_shots(folder: RunFolder, shots: Sequence[Shot]) -> None:
    """`shots.parquet`, whole. Raises WorkspaceError TB104."""
    columns = {
        name: [value.value if isinstance(value := getattr(s, name), RequestType) else value for s in shots]
        for name in SHOT_SCHEMA.names
    }
    _write_parquet(folder.shots, pa.table(columns, schema=SHOT_SCHEMA))


def write_spans(folder: RunFolder, spans: Iterable[Span], name: str = "part-0001") -> Path:
    """One part of the span table, whole. Raises WorkspaceError TB104."""
    path = folder.spans / f"{name}.parquet"
    _write_parquet(path, spans_to_table(spans))
    return path


def _write_parquet(path: Path, table: pa.Table) -> None:
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd")
    write_whole(path, sink.getvalue().to_pybytes())


def read_spans(folder: RunFolder) -> list[Span]:
    """All spans of a run."""
    return table_to_spans(read_table(folder.spans))
