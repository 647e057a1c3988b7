"""ClickHouse, over the table that the OpenTelemetry Collector's ClickHouse exporter fills (`otel_traces`).

Nothing is left on the server: what is made are temporary tables of one session. `close` drops them; when this process
is killed, the server drops the session with its tables once it was idle for `SESSION_TIMEOUT_S`. The views are put into
each query, so that no right to create any is needed. Schema of the table: internal/sqltemplates/traces_table.sql of the
exporter in open-telemetry/opentelemetry-collector-contrib.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Sequence
from types import TracebackType
from typing import Final, Protocol, Self

import pyarrow as pa

from tracer_bullet.errors import TracerBulletError, UsageError
from tracer_bullet.graph.engines.base import Row
from tracer_bullet.graph.engines.portable import to_clickhouse

OLDEST: Final = (24, 8)
# Where ClickHouse by default differs from the SQL that the other engines speak.
SETTINGS: Final = {
    "aggregate_functions_null_for_empty": "1",
    "join_use_nulls": "1",
    # Temporary tables are on one server; a distributed `otel_traces` must be sent them.
    "prefer_global_in_and_join": "1",
    # An alias that has a column's name stands for the column in WHERE and GROUP BY.
    "prefer_column_name_to_alias": "1",
    "union_default_mode": "DISTINCT",
    "output_format_arrow_string_as_string": "1",
}
COLUMNS: Final = (
    "Timestamp", "TraceId", "SpanId", "ParentSpanId", "TraceState", "SpanName", "SpanKind", "ServiceName",
    "ResourceAttributes", "ScopeName", "SpanAttributes", "Duration", "StatusCode", "StatusMessage",
    "Events.Timestamp", "Events.Name", "Events.Attributes", "Links.TraceId", "Links.SpanId",
)  # fmt: skip
_TYPES: Final = {"BIGINT": "Int64", "INTEGER": "Int32", "DOUBLE": "Float64", "VARCHAR": "String"}
_FILLED_AT_ONCE: Final = 50_000


class Client(Protocol):
    """One session of a server: what `ClickHouseEngine` needs of it. Errors are TracerBulletErrors."""

    def run(self, sql: str) -> None:
        """Run a statement that answers nothing."""
        ...

    def arrow(self, sql: str) -> pa.Table:
        """The answer to a query without FORMAT."""
        ...

    def close(self) -> None:
        """Let go of the connection."""
        ...


class ClickHouseEngine:
    """An `Engine` over `table` (quoted, with its database where that is another) in a client's session.

    `since_ns` and `until_ns` bound the start of spans (Unix ns, the end excluded); traces are cut there. `where` names
    the table in messages. Raises UsageError (TB505) when the table is missing or is not the exporter's, or the server
    is older than 24.8.
    """

    def __init__(
        self,
        client: Client,
        table: str,
        *,
        since_ns: int | None = None,
        until_ns: int | None = None,
        where: str = "ClickHouse",
    ) -> None:
        self._client = client
        self._made: set[str] = set()
        self._closed = False
        self._views = views_over(table, since_ns, until_ns)
        try:
            self._check(table, where)
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
        self._clear(name)
        self._client.run(f"CREATE TEMPORARY TABLE {name} ENGINE = Memory AS {to_clickhouse(query, self._views)}")
        self._made.add(name)

    def fill(self, name: str, columns: Sequence[tuple[str, str]], rows: Sequence[Row]) -> None:
        """See Engine."""
        self._clear(name)
        # Any value may be missing, as in the other engines.
        typed = ", ".join(f"{column} Nullable({_TYPES[kind]})" for column, kind in columns)
        self._client.run(f"CREATE TEMPORARY TABLE {name} ({typed}) ENGINE = Memory")
        self._made.add(name)
        for start in range(0, len(rows), _FILLED_AT_ONCE):
            lines = "\n".join(json.dumps(list(row)) for row in rows[start : start + _FILLED_AT_ONCE])
            self._client.run(f"INSERT INTO {name} FORMAT JSONCompactEachRow\n{lines}\n")

    def drop(self, name: str) -> None:
        """See Engine."""
        self._client.run(f"DROP TEMPORARY TABLE {name}")
        self._made.discard(name)

    def rows(self, query: str) -> list[Row]:
        """See Engine."""
        return list(zip(*(column.to_pylist() for column in self.table(query).columns), strict=True))

    def table(self, query: str) -> pa.Table:
        """See Engine."""
        return self._client.arrow(to_clickhouse(query, self._views))

    def close(self) -> None:
        """See Engine."""
        if self._closed:
            return
        self._closed = True
        # Where the server is away, the session's end drops them.
        with contextlib.suppress(TracerBulletError):
            for name in sorted(self._made):
                self.drop(name)
        self._client.close()

    def _clear(self, name: str) -> None:
        if name in self._made:
            self.drop(name)

    def _check(self, table: str, where: str) -> None:
        version = self._client.arrow("SELECT version() AS version").column(0)[0].as_py()
        if tuple(int(part) for part in version.split(".")[:2]) < OLDEST:
            oldest = ".".join(map(str, OLDEST))
            raise UsageError("TB505", f"ClickHouse {version} is too old", where=where, cure=f"use {oldest} or newer")
        described = self._client.arrow(f"DESCRIBE TABLE {table}")
        types = dict(zip(described.column("name").to_pylist(), described.column("type").to_pylist(), strict=True))
        wrong = [f"{name} is missing" for name in COLUMNS if name not in types] + [
            f"{name} is {types[name]}, not Map"
            for name in ("SpanAttributes", "ResourceAttributes")
            if not types.get(name, "Map(").startswith("Map(")
        ]
        if wrong:
            raise UsageError(
                "TB505",
                "not a table of the OpenTelemetry exporter",
                where=where,
                why="; ".join(wrong),
                cure="name the table that holds spans with ?table=; docs/engines.md has the columns",
            )


def views_over(table: str, since_ns: int | None, until_ns: int | None) -> tuple[tuple[str, str], ...]:
    """The views of `Engine` as (name, SQL), over the exporter's table."""
    kept = " AND ".join(
        f"length({name}) BETWEEN 1 AND {digits} AND replaceAll({name}, '0', '') <> ''"
        for name, digits in (("TraceId", 32), ("SpanId", 16))
    )
    if since_ns is not None:
        kept += f" AND Timestamp >= fromUnixTimestamp64Nano({since_ns})"
    if until_ns is not None:
        kept += f" AND Timestamp < fromUnixTimestamp64Nano({until_ns})"
    ids = (
        f"{_half('TraceId', 32, 1)} AS trace_hi, {_half('TraceId', 32, 17)} AS trace_lo, "
        f"{_half('SpanId', 16, 1)} AS span_id"
    )
    source = f"""SELECT {ids},
        if(replaceAll(ParentSpanId, '0', '') = '', NULL, {_half("ParentSpanId", 16, 1)}) AS parent_id,
        CAST(SpanName, 'String') AS name,
        {_number("SpanKind", "span_kind_", ("internal", "server", "client", "producer", "consumer"))} AS kind,
        if(ServiceName = '', 'unknown_service', CAST(ServiceName, 'String')) AS service,
        toUnixTimestamp64Nano(Timestamp) AS start_ns,
        toUnixTimestamp64Nano(Timestamp) + toInt64(Duration) AS end_ns,
        {_number("StatusCode", "status_code_", ("ok", "error"))} AS status,
        StatusMessage AS status_message,
        CAST(SpanAttributes, 'Map(String, String)') AS attributes,
        CAST(ResourceAttributes, 'Map(String, String)') AS resource,
        ScopeName AS scope_name, TraceState AS trace_state,
        arrayMap((t, n, a) -> CAST((toUnixTimestamp64Nano(t), n, a),
            'Tuple(time_ns Int64, name String, attributes Map(String, String))'),
            `Events.Timestamp`, `Events.Name`, `Events.Attributes`) AS events,
        arrayMap(l -> CAST(({_half("l.1", 32, 1)}, {_half("l.1", 32, 17)}, {_half("l.2", 16, 1)}),
            'Tuple(trace_hi Int64, trace_lo Int64, span_id Int64)'),
            arrayFilter(l -> l.1 <> '' AND l.2 <> '', arrayZip(`Links.TraceId`, `Links.SpanId`))) AS links
    FROM {table} WHERE {kept}"""
    attribute, resource = (
        f"SELECT {ids}, kv.1 AS key, kv.2 AS value FROM {table} "
        f"ARRAY JOIN CAST({name}, 'Array(Tuple(String, String))') AS kv WHERE {kept}"
        for name in ("SpanAttributes", "ResourceAttributes")
    )
    resource = f"""SELECT {ids}, kv.1 AS key, kv.2 AS value
    FROM {table} ARRAY JOIN CAST(ResourceAttributes, 'Array(Tuple(String, String))') AS kv WHERE {kept}"""
    link = f"""SELECT {ids}, {_half("link.1", 32, 1)} AS linked_hi, {_half("link.1", 32, 17)} AS linked_lo,
        {_half("link.2", 16, 1)} AS linked_span
    FROM {table} ARRAY JOIN arrayZip(`Links.TraceId`, `Links.SpanId`) AS link
    WHERE {kept} AND link.1 <> '' AND link.2 <> ''"""
    exception = f"""SELECT {ids}, event.2['exception.type'] AS type, event.2['exception.message'] AS message
    FROM {table} ARRAY JOIN arrayZip(`Events.Name`, `Events.Attributes`) AS event
    WHERE {kept} AND event.1 = 'exception'"""
    return (
        ("source", source), ("source_attribute", attribute), ("source_resource", resource), ("source_link", link),
        ("source_exception", exception),
    )  # fmt: skip


def _half(column: str, digits: int, start: int) -> str:
    """Sixteen hex digits of an id, from `start`, as a signed big-endian number; ids may be short and in any case."""
    return f"reinterpretAsInt64(reverse(unhex(substring(leftPad({column}, {digits}, '0'), {start}, 16))))"


def _number(column: str, prefix: str, names: tuple[str, ...]) -> str:
    """OTLP's number of a name, which exporters write as `Server`, `SPAN_KIND_SERVER` or `Ok`, `STATUS_CODE_OK`."""
    numbers = ", ".join(str(n) for n in range(1, len(names) + 1))
    quoted = ", ".join(f"'{name}'" for name in names)
    return f"toInt8(transform(replaceOne(lower(CAST({column}, 'String')), '{prefix}', ''), [{quoted}], [{numbers}], 0))"
