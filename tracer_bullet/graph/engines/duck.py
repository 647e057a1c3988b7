"""DuckDB in this process: the default. Out of core when the data is larger than the memory it may use."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import duckdb
import pyarrow as pa

from tracer_bullet.errors import UsageError
from tracer_bullet.graph.engines.base import EngineOptions, Row

_ARROW = {"BIGINT": pa.int64(), "INTEGER": pa.int32(), "DOUBLE": pa.float64(), "VARCHAR": pa.string()}
_VIEWS = (
    """CREATE VIEW source_attribute AS
    SELECT trace_hi, trace_lo, span_id, kv.key AS key, kv.value AS value
    FROM (SELECT trace_hi, trace_lo, span_id, unnest(map_entries(attributes)) AS kv FROM source)""",
    """CREATE VIEW source_resource AS
    SELECT trace_hi, trace_lo, span_id, kv.key AS key, kv.value AS value
    FROM (SELECT trace_hi, trace_lo, span_id, unnest(map_entries(resource)) AS kv FROM source)""",
    """CREATE VIEW source_link AS
    SELECT trace_hi, trace_lo, span_id,
        link.trace_hi AS linked_hi, link.trace_lo AS linked_lo, link.span_id AS linked_span
    FROM (SELECT trace_hi, trace_lo, span_id, unnest(links) AS link FROM source WHERE len(links) > 0)""",
    """CREATE VIEW source_exception AS
    SELECT trace_hi, trace_lo, span_id,
        coalesce(event.attributes['exception.type'], '') AS type,
        coalesce(event.attributes['exception.message'], '') AS message
    FROM (SELECT trace_hi, trace_lo, span_id, unnest(events) AS event FROM source WHERE len(events) > 0)
    WHERE event.name = 'exception'""",
)


class DuckEngine:
    """An `Engine` over a span table in memory or in Parquet files (a path, a folder of them or a glob).

    Raises UsageError (TB501) when `source` is no span table.
    """

    def __init__(self, source: pa.Table | Path | str, options: EngineOptions | None = None) -> None:
        options = options or EngineOptions()
        self._folder = tempfile.TemporaryDirectory(prefix="tracer-bullet-")
        config: dict[str, Any] = {
            "autoinstall_known_extensions": False,
            "autoload_known_extensions": False,
            "preserve_insertion_order": False,
            "temp_directory": self._folder.name,
        }
        if options.memory_limit_mb is not None:
            config["memory_limit"] = f"{options.memory_limit_mb}MB"
        if options.threads is not None:
            config["threads"] = options.threads
        self._connection = duckdb.connect(":memory:", config=config)
        try:
            self._open(source)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def define(self, name: str, query: str) -> None:
        """See Engine."""
        self._run(f"CREATE OR REPLACE TEMP TABLE {name} AS {query}")

    def fill(self, name: str, columns: Sequence[tuple[str, str]], rows: Sequence[Row]) -> None:
        """See Engine."""
        self._connection.execute(f"CREATE OR REPLACE TEMP TABLE {name} ({', '.join(map(' '.join, columns))})")
        if rows:
            # By way of Arrow: a row at a time takes a thousand times as long.
            values = zip(*rows, strict=True)
            arrays = [pa.array(some, _ARROW[kind]) for some, (_, kind) in zip(values, columns, strict=True)]
            self._connection.register("filling", pa.table(arrays, [column for column, _ in columns]))
            self._connection.execute(f"INSERT INTO {name} SELECT * FROM filling")
            self._connection.unregister("filling")

    def drop(self, name: str) -> None:
        """See Engine."""
        self._connection.execute(f"DROP TABLE {name}")

    def rows(self, query: str) -> list[Row]:
        """See Engine."""
        return self._run(query).fetchall()

    def table(self, query: str) -> pa.Table:
        """See Engine."""
        with self._told():
            return self._connection.sql(query).to_arrow_table()

    def close(self) -> None:
        """See Engine."""
        self._connection.close()
        self._folder.cleanup()

    def _run(self, query: str) -> duckdb.DuckDBPyConnection:
        with self._told():
            return self._connection.execute(query)

    @contextmanager
    def _told(self) -> Iterator[None]:
        """What DuckDB raises in the middle of a query, as what it means."""
        try:
            yield
        except RuntimeError as error:
            # What a signal's handler raised within a query, DuckDB drops.
            if str(error) == "Query interrupted":
                raise KeyboardInterrupt from error
            raise
        except duckdb.OutOfMemoryException as error:
            raise UsageError(
                "TB508",
                "the analysis needs more memory than it may have",
                why=str(error).partition("\n")[0],
                cure="raise --memory-mb, take fewer --threads, or another engine: --on (docs/engines.md)",
            ) from error

    def _open(self, source: pa.Table | Path | str) -> None:
        try:
            if isinstance(source, pa.Table):
                self._connection.register("source", source)
            else:
                self._connection.read_parquet(_files(source)).create_view("source")
            for view in _VIEWS:
                self._connection.execute(view)
        except (duckdb.IOException, duckdb.BinderException, duckdb.InvalidInputException) as error:
            raise UsageError(
                "TB501",
                "not a span table",
                where="the table given" if isinstance(source, pa.Table) else str(source),
                why=str(error).partition("\n")[0],
                cure="give the spans of a run folder (docs/span-table.md has the columns)",
            ) from error


def _files(source: Path | str) -> str:
    path = Path(source)
    if not path.exists():
        return str(source)
    literal = re.sub(r"([*?\[])", r"[\1]", str(path))
    return f"{literal}/*.parquet" if path.is_dir() else literal
