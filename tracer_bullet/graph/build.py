"""The dependency graph out of the span table, by SQL in an embedded DuckDB."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from tracer_bullet.errors import UsageError
from tracer_bullet.graph import sql
from tracer_bullet.graph.assemble import assemble
from tracer_bullet.model import ServiceGraph, System


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineOptions:
    """Bounds of the database in this process; None leaves DuckDB's own (80 % of memory, all cores).

    Past `memory_limit_mb` it spills to a temporary folder.
    """

    memory_limit_mb: int | None = None
    threads: int | None = None


def build_graph(source: pa.Table | Path | str, system: System, *, options: EngineOptions | None = None) -> ServiceGraph:
    """The graph that the spans show.

    `source` is a span table (docs/span-table.md), in memory or as Parquet files (a path, a
    folder of them or a glob). The same spans give the same value whatever their order,
    their copies and their spread over files. Raises UsageError (TB501) when `source` is
    no span table.
    """
    with _engine(options or EngineOptions()) as connection:
        try:
            _open(connection, source)
            _prepare(connection, system)
        except (duckdb.IOException, duckdb.BinderException, duckdb.InvalidInputException) as error:
            where = "the table given" if isinstance(source, pa.Table) else str(source)
            raise UsageError(
                "TB501",
                "not a span table",
                where=where,
                why=str(error).partition("\n")[0],
                cure="give the spans of a run folder (docs/span-table.md has the columns)",
            ) from error
        return assemble(connection)


@contextmanager
def _engine(options: EngineOptions) -> Iterator[duckdb.DuckDBPyConnection]:
    with tempfile.TemporaryDirectory(prefix="tracer-bullet-") as folder:
        config: dict[str, Any] = {
            "autoinstall_known_extensions": False,
            "autoload_known_extensions": False,
            "preserve_insertion_order": False,
            "temp_directory": folder,
        }
        if options.memory_limit_mb is not None:
            config["memory_limit"] = f"{options.memory_limit_mb}MB"
        if options.threads is not None:
            config["threads"] = options.threads
        connection = duckdb.connect(":memory:", config=config)
        try:
            yield connection
        finally:
            connection.close()


def _open(connection: duckdb.DuckDBPyConnection, source: pa.Table | Path | str) -> None:
    if isinstance(source, pa.Table):
        connection.register("source", source)
        return
    path = Path(source)
    files = str(source)
    if path.exists():
        literal = re.sub(r"([*?\[])", r"[\1]", str(path))
        files = f"{literal}/*.parquet" if path.is_dir() else literal
    connection.read_parquet(files).create_view("source")


def _prepare(connection: duckdb.DuckDBPyConnection, system: System) -> None:
    for statement in (sql.FACTS, sql.SPANS, "DROP TABLE fact", sql.PAIRS, sql.CALLS, sql.ANSWERED, sql.NESTED):
        connection.execute(statement)
    connection.execute(sql.THIRD_PARTIES)
    for host, port in connection.execute(sql.ADDRESSES).fetchall():
        if system.is_third_party(host, int(port) if port.isdecimal() else None):
            connection.execute(sql.ADD_THIRD_PARTY, [host, port])
    for statement in (sql.HOPS, sql.EDGES, sql.USES, "DROP TABLE hop"):
        connection.execute(statement)
