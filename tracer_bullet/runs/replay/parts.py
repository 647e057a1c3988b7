"""Shots as Parquet parts of a run folder, written whole as a replay goes, so that a killed one keeps what it had."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tracer_bullet.model.arrival import Endpoint
from tracer_bullet.model.shots import SHOT_ERRORS, ShotBatch
from tracer_bullet.workspace.runs import RunFolder, write_whole

# Rows in memory before a part is written; some 130 bytes each, and three times that while it is.
PART_ROWS = 25_000

_NAMED = ("endpoint", "error")
# The others are different in each row: dictionaries of them take 15 MB while a part is written, and save nothing.
_REPEATED = ["origin", "status", *_NAMED]
_IDS = ("trace_hi", "trace_lo", "span_id")
_TIMES = ("due_ns", "ready_ns", "sent_ns", "first_ns", "ended_ns", "request_bytes", "answer_bytes")
# docs/run-folder.md documents the columns.
SHOT_PART_SCHEMA = pa.schema(
    [
        ("number", pa.int64()),
        ("session", pa.int64()),
        ("origin", pa.int32()),
        *((name, pa.int64()) for name in (*_IDS, *_TIMES)),
        ("status", pa.int32()),
        ("endpoint", pa.dictionary(pa.int32(), pa.string())),
        ("error", pa.dictionary(pa.int32(), pa.string())),
    ],
    metadata={b"tracer_bullet.schema": b"replay-shots-1"},
)


class ShotParts:
    """Writes batches of shots into `shots/part-NNNN.parquet`. `endpoints`: by number; may grow."""

    def __init__(self, folder: RunFolder, endpoints: Sequence[Endpoint]) -> None:
        self._folder = folder
        self._endpoints = endpoints
        self._batches: list[pa.RecordBatch] = []
        self._rows = 0
        self._parts = 0
        self._names = pa.array([], pa.string())
        self._errors = pa.array(SHOT_ERRORS)
        folder.shot_parts.mkdir(exist_ok=True)

    def add(self, batch: ShotBatch) -> None:
        """Take a batch in; may write a part. Raises WorkspaceError TB104."""
        self._batches.append(self._arrow(batch))
        self._rows += len(batch)
        if self._rows >= PART_ROWS:
            self.flush()

    def flush(self) -> None:
        """Write what is held. Raises WorkspaceError TB104."""
        if not self._rows:
            return
        self._parts += 1
        sink = pa.BufferOutputStream()
        table = pa.Table.from_batches(self._batches, schema=SHOT_PART_SCHEMA).unify_dictionaries()
        pq.write_table(table, sink, compression="zstd", use_dictionary=_REPEATED)
        write_whole(self._folder.shot_parts / f"part-{self._parts:04}.parquet", sink.getvalue().to_pybytes())
        self._batches, self._rows = [], 0

    def _arrow(self, batch: ShotBatch) -> pa.RecordBatch:
        if len(self._names) != len(self._endpoints):  # shared by batches: a copy each would fill the memory
            self._names = pa.array([f"{e.method} {e.name}" for e in self._endpoints], pa.string())
        columns = {
            name: pa.array(_numbers(getattr(batch, name))) for name in SHOT_PART_SCHEMA.names if name not in _NAMED
        }
        columns["endpoint"] = pa.DictionaryArray.from_arrays(pa.array(_numbers(batch.endpoint)), self._names)
        columns["error"] = pa.DictionaryArray.from_arrays(
            pa.array(_numbers(batch.error).astype(np.int32)), self._errors
        )
        return pa.RecordBatch.from_arrays([columns[name] for name in SHOT_PART_SCHEMA.names], schema=SHOT_PART_SCHEMA)


def _numbers(column: array[int]) -> np.ndarray[tuple[int], np.dtype[Any]]:
    """A column without a copy; ids become signed, as in the span table: Spark and BigQuery know nothing else."""
    return np.frombuffer(column, dtype=np.dtype(column.typecode.lower()))
