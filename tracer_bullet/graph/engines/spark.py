"""Spark, over Parquet files that all its executors can read.

Nothing is left on the cluster: tables are checkpoints in the executors' own storage, which go with the application.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import pyarrow as pa

from tracer_bullet.errors import UnreachableError, UsageError
from tracer_bullet.graph.engines.base import EngineOptions, Row
from tracer_bullet.graph.engines.portable import to_spark

_TYPES: Final = {"BIGINT": "bigint", "INTEGER": "int", "DOUBLE": "double", "VARCHAR": "string"}
_VIEWS: Final = (
    ("source_attribute", "SELECT trace_hi, trace_lo, span_id, explode(attributes) AS (key, value) FROM source"),
    ("source_resource", "SELECT trace_hi, trace_lo, span_id, explode(resource) AS (key, value) FROM source"),
    ("source_resource", "SELECT trace_hi, trace_lo, span_id, explode(resource) AS (key, value) FROM source"),
    (
        "source_link",
        """SELECT trace_hi, trace_lo, span_id,
            link.trace_hi AS linked_hi, link.trace_lo AS linked_lo, link.span_id AS linked_span
        FROM (SELECT trace_hi, trace_lo, span_id, explode(links) AS link FROM source)""",
    ),
    (
        "source_exception",
        """SELECT trace_hi, trace_lo, span_id,
            coalesce(event.attributes['exception.type'], '') AS type,
            coalesce(event.attributes['exception.message'], '') AS message
        FROM (SELECT trace_hi, trace_lo, span_id, explode(events) AS event FROM source)
        WHERE event.name = 'exception'""",
    ),
)


class SparkEngine:
    """An `Engine` on the Spark `master` (`spark://host:7077` or `local[2]`), over span tables at `source`.

    A Spark application that runs in this process already is used, and goes on when the engine is closed. Raises
    UsageError (TB503) without pyspark or Java, UnreachableError (TB504) without the master, UsageError (TB501) when
    `source` is no span table.
    """

    def __init__(self, master: str, source: Path | str, options: EngineOptions | None = None) -> None:
        self._closed = False
        self._views: set[str] = set()
        self._spark, self._own = _session(master, options or EngineOptions())
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
        # Not a cache: a lost block would be computed again, and row numbers would come out in another order.
        self._keep(name, self._spark.sql(to_spark(query)).localCheckpoint(eager=True))

    def fill(self, name: str, columns: Sequence[tuple[str, str]], rows: Sequence[Row]) -> None:
        """See Engine."""
        schema = ", ".join(f"{column} {_TYPES[kind]}" for column, kind in columns)
        self._keep(name, self._spark.createDataFrame([tuple(row) for row in rows], schema))

    def drop(self, name: str) -> None:
        """See Engine."""
        self._spark.catalog.dropTempView(name)
        self._views.discard(name)

    def rows(self, query: str) -> list[Row]:
        """See Engine."""
        return [tuple(row) for row in self._spark.sql(to_spark(query)).collect()]

    def table(self, query: str) -> pa.Table:
        """See Engine."""
        return self._spark.sql(to_spark(query)).toArrow()

    def close(self) -> None:
        """See Engine."""
        if self._closed:
            return
        self._closed = True
        if self._own:
            self._spark.stop()
            return
        for name in sorted(self._views):
            self._spark.catalog.dropTempView(name)

    def _keep(self, name: str, frame: Any) -> None:
        frame.createOrReplaceTempView(name)
        self._views.add(name)

    def _open(self, source: Path | str) -> None:
        from pyspark.errors import PySparkException  # noqa: PLC0415

        path = str(Path(source).absolute()) if Path(source).exists() else str(source)
        try:
            self._keep("source", self._spark.read.parquet(path))
            for name, query in _VIEWS:
                self._keep(name, self._spark.sql(query))
        except PySparkException as error:
            raise UsageError(
                "TB501",
                "not a span table",
                where=str(source),
                why=str(error).partition("\n")[0],
                cure="give the spans of a run folder (docs/span-table.md has the columns)",
            ) from error


def _session(master: str, options: EngineOptions) -> tuple[Any, bool]:
    try:
        from pyspark.sql import SparkSession  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise UsageError(
            "TB503", "Spark's client is not installed", cure="pip install 'tracer-bullet[spark]', and Java 17"
        ) from error
    running = SparkSession.getActiveSession()
    if running is not None:
        session = running.newSession()
        session.conf.set("spark.sql.ansi.enabled", "false")
        return session, False
    if options.threads is not None and master.startswith("local"):
        master = f"local[{options.threads}]"
    builder = SparkSession.builder.master(master).appName("tracer-bullet")
    settings = {
        "spark.log.level": "ERROR",
        "spark.sql.ansi.enabled": "false",
        "spark.sql.session.timeZone": "UTC",
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
    }
    if master.startswith("local"):
        settings |= {"spark.driver.bindAddress": "127.0.0.1", "spark.driver.host": "127.0.0.1"}
        # 200 by default, which is for clusters: here each part costs more than its rows.
        settings |= {"spark.sql.shuffle.partitions": "4"}
    if options.memory_limit_mb is not None:
        settings |= {"spark.driver.memory": f"{options.memory_limit_mb}m"}
    for key, value in settings.items():
        builder = builder.config(key, value)
    return _started(builder, master), True


def _started(builder: Any, master: str) -> Any:
    from py4j.protocol import Py4JError  # noqa: PLC0415
    from pyspark.errors import PySparkException  # noqa: PLC0415

    try:
        return builder.getOrCreate()
    except (PySparkException, Py4JError) as error:
        why = str(error).partition("\n")[0]
        if "JAVA" in why.upper():
            raise UsageError("TB503", "Spark needs Java", why=why, cure="install Java 17 or newer") from error
        raise UnreachableError(
            "TB504", "Spark does not answer", where=master, why=why, cure="start it, or correct --on"
        ) from error
