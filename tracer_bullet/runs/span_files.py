"""Writing spans as they come into the Parquet files of a run, and counting their traces, in bounded memory."""

from __future__ import annotations

import os
import queue
import threading
from pathlib import Path
from typing import Final, Self

import pyarrow as pa
import pyarrow.parquet as pq

from tracer_bullet.errors import Problem, WorkspaceError
from tracer_bullet.traces.columns import SpanColumns
from tracer_bullet.traces.schema import SPAN_SCHEMA

FILE_SPANS: Final = 200_000
# DuckDB reads row groups in parallel, and small ones slowly.
_ROW_GROUP: Final = 50_000
_WAITING: Final = 1
_COMPACT: Final = 1_000_000
_IDS: Final = ["trace_hi", "trace_lo"]


class SpanFiles:
    """`part-NNNN.parquet` in a folder, `file_spans` spans in each.

    A thread of its own turns columns into Parquet, which takes half as long as decoding them and needs the
    interpreter for little of it. A file has its name only when it is whole. Use it as a context manager: whatever
    happened inside, what was added is in files afterwards.
    """

    def __init__(self, folder: Path, *, file_spans: int = FILE_SPANS) -> None:
        self._folder = folder
        self._file_spans = file_spans
        self._tasks: queue.Queue[tuple[SpanColumns, TraceCount] | None] = queue.Queue(_WAITING)
        self._thread = threading.Thread(target=self._work, name="span-files", daemon=True)
        self._failure: BaseException | None = None
        self._writer: pq.ParquetWriter | None = None
        self._batches: list[pa.RecordBatch] = []
        self._draft = folder
        self._in_file = 0
        self._number = 0

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._tasks.put(None)
        self._thread.join()
        self._check()

    def add(self, columns: SpanColumns, count: TraceCount) -> None:
        """Write spans soon, and count their traces. Raises WorkspaceError TB104 when an earlier write failed."""
        self._check()
        self._tasks.put((columns, count))

    def flush(self) -> None:
        """Wait until all that was added is counted. Raises WorkspaceError TB104 when a write failed."""
        self._tasks.join()
        self._check()

    def _check(self) -> None:
        if self._failure is not None:
            failure, self._failure = self._failure, None
            raise self._told(failure) from failure

    def _told(self, failure: BaseException) -> BaseException:
        if not isinstance(failure, OSError):
            return failure
        message = f"spans cannot be written: {failure.strerror or failure}"
        problem = Problem(
            file=str(self._folder), line=1, path="", message=message, cure="see to permissions and free space"
        )
        return WorkspaceError((problem,), code="TB104")

    def _work(self) -> None:
        while True:
            task = self._tasks.get()
            try:
                if task is None:
                    self._finish_file()
                    return
                if self._failure is None:
                    self._write(*task)
            except BaseException as error:  # noqa: BLE001  # told to the thread that adds
                self._failure = error
                if task is None:
                    return
            finally:
                self._tasks.task_done()

    def _write(self, columns: SpanColumns, count: TraceCount) -> None:
        batch = columns.to_arrow()
        count.add(batch)
        self._batches.append(batch)
        self._in_file += len(batch)
        if self._in_file >= self._file_spans:
            self._finish_file()
        elif sum(map(len, self._batches)) >= _ROW_GROUP:
            self._write_group()

    def _write_group(self) -> None:
        if self._writer is None:
            self._number += 1
            self._draft = self._folder / f".part-{self._number:04}.parquet.part"
            self._writer = pq.ParquetWriter(self._draft, SPAN_SCHEMA, compression="zstd")
        batches, self._batches = self._batches, []
        self._writer.write_table(pa.Table.from_batches(batches), row_group_size=2 * _ROW_GROUP)

    def _finish_file(self) -> None:
        if self._batches:
            self._write_group()
        if self._writer is None:
            return
        self._writer.close()
        self._writer, self._in_file = None, 0
        with self._draft.open("rb") as file:
            os.fsync(file.fileno())
        self._draft.replace(self._folder / f"part-{self._number:04}.parquet")


class TraceCount:
    """How many different traces were seen, exactly: 16 bytes a trace."""

    def __init__(self) -> None:
        self._tables: list[pa.Table] = []
        self._rows = 0

    def add(self, batch: pa.RecordBatch) -> None:
        """Count the traces of a batch of the span table."""
        self._keep(_distinct(pa.table([batch.column(0), batch.column(1)], names=_IDS)))

    def merge(self, other: TraceCount) -> None:
        """Count the traces of another."""
        for table in other._tables:
            self._keep(table)

    def total(self) -> int:
        """The number of different traces."""
        self._compact()
        return self._rows

    def _keep(self, table: pa.Table) -> None:
        self._tables.append(table)
        self._rows += len(table)
        if self._rows > _COMPACT and self._rows > 2 * len(self._tables[0]):
            self._compact()

    def _compact(self) -> None:
        if self._tables:
            self._tables = [_distinct(pa.concat_tables(self._tables))]
            self._rows = len(self._tables[0])


def _distinct(ids: pa.Table) -> pa.Table:
    return ids.group_by(_IDS).aggregate([])
