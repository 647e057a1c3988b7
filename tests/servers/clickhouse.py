"""ClickHouse for tests: chDB, which is ClickHouse in this process, with the exporter's table of given spans."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tracer_bullet.errors import UnreachableError
from tracer_bullet.graph.engines.clickhouse import SETTINGS

_TABLES = itertools.count()

# As exporter/clickhouseexporter/internal/sqltemplates/traces_table.sql of opentelemetry-collector-contrib has it,
# without codecs, indexes and partitions.
DDL: Final = """CREATE TABLE {table} (
    Timestamp DateTime64(9), TraceId String, SpanId String, ParentSpanId String, TraceState String,
    SpanName LowCardinality(String), SpanKind LowCardinality(String), ServiceName LowCardinality(String),
    ResourceAttributes Map(LowCardinality(String), String), ScopeName String, ScopeVersion String,
    SpanAttributes Map(LowCardinality(String), String), Duration UInt64, StatusCode LowCardinality(String),
    StatusMessage String,
    Events Nested (Timestamp DateTime64(9), Name LowCardinality(String),
        Attributes Map(LowCardinality(String), String)),
    Links Nested (TraceId String, SpanId String, TraceState String, Attributes Map(LowCardinality(String), String))
) ENGINE = {engine}"""

# The span table's rows as the exporter writes spans.
_EXPORTED: Final = """INSERT INTO {table} SELECT
    fromUnixTimestamp64Nano(start_ns), {trace}, {span}, if(parent_id IS NULL, '', {parent}), trace_state,
    name, ['Unspecified', 'Internal', 'Server', 'Client', 'Producer', 'Consumer'][kind + 1], service, resource,
    scope_name, '', attributes, greatest(end_ns - start_ns, 0), ['Unset', 'Ok', 'Error'][status + 1], status_message,
    arrayMap(e -> fromUnixTimestamp64Nano(e.1), events), arrayMap(e -> e.2, events), arrayMap(e -> e.3, events),
    arrayMap(l -> concat({linked_hi}, {linked_lo}), links), arrayMap(l -> {linked_span}, links),
    arrayMap(l -> '', links), arrayMap(l -> CAST(map(), 'Map(String, String)'), links)
FROM file('{path}', Parquet)"""


class ChdbClient:
    """See `tracer_bullet.graph.engines.clickhouse.Client`. A process can have one chDB session, so it is shared."""

    _session: Any = None

    def __init__(self) -> None:
        if ChdbClient._session is None:
            ChdbClient._session = pytest.importorskip("chdb.session", reason="chDB is not installed").Session()
            for name, value in SETTINGS.items():
                self.run(f"SET {name} = '{value}'")

    def run(self, sql: str) -> None:
        self._query(sql, "CSV")

    def arrow(self, sql: str) -> pa.Table:
        answer = self._query(sql, "ArrowStream").bytes()
        with pa.ipc.open_stream(answer) as stream:
            return stream.read_all()

    def close(self) -> None:
        """The session is the process's."""

    def _query(self, sql: str, form: str) -> Any:
        try:
            return ChdbClient._session.query(sql, form)
        except RuntimeError as error:
            raise UnreachableError("TB506", f"chDB: {error}\n{sql}") from error

    def tables(self) -> list[str]:
        """Temporary tables of the session."""
        found = self.arrow("SELECT name FROM system.tables WHERE is_temporary ORDER BY name").column("name")
        return [str(name) for name in found.to_pylist()]


def _hex(value: str) -> str:
    return f"lower(leftPad(hex(reinterpretAsUInt64({value})), 16, '0'))"


def export(spans: pa.Table | Path, folder: Path, *, engine: str = "MergeTree ORDER BY (ServiceName, SpanName)") -> str:
    """The name of a new table that holds the spans as the collector's exporter writes them."""
    table = f"otel_traces_{next(_TABLES)}"
    ChdbClient().run(DDL.format(table=table, engine=engine))
    insert(table, spans, folder)
    return table


def insert(table: str, spans: pa.Table | Path, folder: Path) -> None:
    """Add spans to a table as the collector's exporter writes them."""
    path = folder / f"{table}.parquet"
    if isinstance(spans, pa.Table):
        pq.write_table(spans, path)
    else:
        path = spans
    ChdbClient().run(
        _EXPORTED.format(
            table=table,
            path=path,
            trace=f"concat({_hex('trace_hi')}, {_hex('trace_lo')})",
            span=_hex("span_id"),
            parent=_hex("assumeNotNull(parent_id)"),
            linked_hi=_hex("l.1"),
            linked_lo=_hex("l.2"),
            linked_span=_hex("l.3"),
        )
    )
