"""An engine that runs everything on two engines and wants equal answers to every query."""

from __future__ import annotations

import math
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import pyarrow as pa

from tracer_bullet.graph.engines import Engine, Row


class MirrorEngine:
    """`first` answers; `second` must say the same, in any order where none was asked for."""

    def __init__(self, first: Engine, second: Engine) -> None:
        self.first, self.second = first, second
        self.queries = 0

    def define(self, name: str, query: str) -> None:
        # Row numbers are any numbers; here they are the same on both, so that queries that give them can be compared.
        numbered = query.replace("row_number() OVER ()", "row_number() OVER (ORDER BY trace_hi, trace_lo, span_id)")
        for engine in (self.first, self.second):
            engine.define(name, numbered)

    def fill(self, name: str, columns: Sequence[tuple[str, str]], rows: Sequence[Row]) -> None:
        for engine in (self.first, self.second):
            engine.fill(name, columns, rows)

    def drop(self, name: str) -> None:
        for engine in (self.first, self.second):
            engine.drop(name)

    def rows(self, query: str) -> list[Row]:
        wanted = self.first.rows(query)
        compare(query, wanted, self.second.rows(query))
        self.queries += 1
        return wanted

    def table(self, query: str) -> pa.Table:
        wanted, found = self.first.table(query), self.second.table(query)
        assert wanted.column_names == found.column_names, query
        compare(query, _rows(wanted), _rows(found))
        self.queries += 1
        return wanted

    def close(self) -> None:
        for engine in (self.first, self.second):
            engine.close()


def compare(query: str, wanted: list[Row], found: list[Row]) -> None:
    """Equal as multisets; as lists where the query orders."""
    left, right = [[plain(v) for v in row] for row in wanted], [[plain(v) for v in row] for row in found]
    if "ORDER BY" not in query.rpartition(")")[2]:
        left, right = sorted(left, key=repr), sorted(right, key=repr)
    assert len(left) == len(right), query
    for one, other in zip(left, right, strict=True):
        assert len(one) == len(other), query
        assert all(map(same, one, other)), (one, other, query)


def plain(value: Any) -> Any:
    """A value as all engines could say it: booleans as numbers, whole decimals as such."""
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    if isinstance(value, (list, tuple)):
        return [plain(v) for v in value]
    return value


def same(one: Any, other: Any) -> bool:
    if isinstance(one, float) or isinstance(other, float):
        return one is not None and other is not None and math.isclose(one, other, rel_tol=1e-9, abs_tol=1e-9)
    return bool(one == other)


def _rows(table: pa.Table) -> list[Row]:
    return list(zip(*(c.to_pylist() for c in table.columns), strict=True))
