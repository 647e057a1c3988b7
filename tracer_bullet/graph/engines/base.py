"""What the analysis needs of an engine."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import pyarrow as pa

Row = tuple[Any, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineOptions:
    """Bounds of an engine in this process; None leaves its own (DuckDB: 80 % of memory, all cores).

    Past `memory_limit_mb` DuckDB spills to a temporary folder.
    """

    memory_limit_mb: int | None = None
    threads: int | None = None


class Engine(Protocol):
    """Runs the portable SQL of graph/sql/ over the views that it makes of its spans.

    `source`: the span table (docs/span-table.md).
    `source_attribute`: trace_hi, trace_lo, span_id, key, value; one row an attribute of a span.
    `source_resource`: the same columns; one row an attribute of a span's resource.
    `source_link`: trace_hi, trace_lo, span_id, linked_hi, linked_lo, linked_span; one row a link.
    `source_exception`: trace_hi, trace_lo, span_id, type, message; one row an event named `exception`.
    Absent texts are ''. Tables that `define` makes live as long as the engine, for it alone.
    """

    def define(self, name: str, query: str) -> None:
        """Keep the result of `query` as the table `name`, replacing one of that name."""
        ...

    def fill(self, name: str, columns: Sequence[tuple[str, str]], rows: Sequence[Row]) -> None:
        """Keep `rows` as the table `name`. `columns` are (name, type), types BIGINT, INTEGER, DOUBLE or VARCHAR."""
        ...

    def drop(self, name: str) -> None:
        """Let go of a table that `define` or `fill` made."""
        ...

    def rows(self, query: str) -> list[Row]:
        """All rows of the result: integers as int, texts as str, NULL as None."""
        ...

    def table(self, query: str) -> pa.Table:
        """The result as Arrow, for what is too large for rows."""
        ...

    def close(self) -> None:
        """Let go of everything; a second call does nothing."""
        ...
