"""An engine by the address that `--on` gives."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa

from tracer_bullet.errors import UsageError
from tracer_bullet.graph.engines.base import Engine, EngineOptions
from tracer_bullet.graph.engines.duck import DuckEngine


def open_engine(on: str, source: pa.Table | Path | str | None, options: EngineOptions | None = None) -> Engine:
    """The engine that `on` names: `duckdb`, `clickhouse://user:password@host:8123/database?table=otel_traces`,
    `spark://host:7077` or `local[2]` (docs/engines.md).

    `source` are the spans: a table (DuckDB alone) or Parquet files; ClickHouse has its own, and None is given. Raises
    UsageError (TB501 no span table, TB502 no such engine or not with this source, TB503 a package is missing, TB505
    refused) and UnreachableError (TB504).
    """
    options = options or EngineOptions()
    if on == "duckdb":
        if source is None:
            raise UsageError("TB502", "DuckDB needs spans to read", cure="name a run or Parquet files")
        return DuckEngine(source, options)
    if on.startswith("clickhouse://"):
        # Not at the top: who stays with DuckDB does not pay for the others' imports.
        from tracer_bullet.graph.engines.clickhouse_http import open_clickhouse  # noqa: PLC0415

        if source is not None:
            raise UsageError(
                "TB502", "ClickHouse analyses its own spans", cure="leave the run out; ?table= names the table"
            )
        return open_clickhouse(on, options)
    if on.startswith("spark://") or on == "local" or (on.startswith("local[") and on.endswith("]")):
        from tracer_bullet.graph.engines.spark import SparkEngine  # noqa: PLC0415

        if source is None or isinstance(source, pa.Table):
            raise UsageError(
                "TB502", "Spark reads Parquet files", cure="name a run, or files that all executors can read"
            )
        return SparkEngine(on, source, options)
    raise UsageError(
        "TB502",
        f"there is no engine {on.partition('://')[0] or on!r}",
        cure="use duckdb, clickhouse://host:8123/database, spark://host:7077 or local[2]",
    )
