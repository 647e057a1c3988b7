"""The portable SQL of graph/sql/ in other engines' dialects, by sqlglot, with the few rewrites that it does not know.

The subset is written as DuckDB reads it; docs/engines.md says what it may use.
"""

from __future__ import annotations

from collections import Counter
from functools import lru_cache
from typing import Final

from sqlglot import exp, parse_one

_CACHED: Final = 1024
_MARK: Final = "tracer_bullet_view_"
# Where an empty frame or a missing row must give NULL: ClickHouse gives the argument's zero, unless that can be NULL.
_NULL_WHEN_EMPTY: Final = (exp.Max, exp.Min, exp.Sum, exp.Avg, exp.Lag, exp.Lead, exp.FirstValue, exp.LastValue)


@lru_cache(maxsize=_CACHED)
def to_clickhouse(query: str, views: tuple[tuple[str, str], ...]) -> str:
    """`query` for ClickHouse. `views` are (name, SQL in ClickHouse's dialect), put in where the query names them,
    since a session can have temporary tables but no temporary views."""
    tree = parse_one(query, read="duckdb")
    names = {name for name, _ in views}
    for window in tree.find_all(exp.Window):
        _make_nullable(window)
    for select in tree.find_all(exp.Select):
        _name_columns(select)
    for table in tree.find_all(exp.Table):
        if table.name in names and not table.db:
            if not table.alias:
                table.set("alias", exp.TableAlias(this=exp.to_identifier(table.name)))
            table.set("this", exp.to_identifier(_MARK + table.name))
    text = tree.sql(dialect="clickhouse", comments=False)
    # Longest first: one name may begin another.
    for name, body in sorted(views, key=lambda view: -len(view[0])):
        text = text.replace(_MARK + name, f"({body})")
    return text


@lru_cache(maxsize=_CACHED)
def to_spark(query: str) -> str:
    """`query` for Spark: its ranking functions want an order, also where any will do."""
    tree = parse_one(query, read="duckdb")
    for window in tree.find_all(exp.Window):
        if isinstance(window.this, exp.RowNumber) and window.args.get("order") is None:
            window.set("order", exp.Order(expressions=[exp.Ordered(this=exp.Literal.number(1))]))
    return tree.sql(dialect="spark", comments=False)


def _name_columns(select: exp.Select) -> None:
    """ClickHouse calls a column of a join `c.row_id`, where all others call it `row_id`."""
    names = Counter(expression.alias_or_name for expression in select.expressions)
    for column in select.expressions:
        # Of a name that occurs twice nobody can speak; in a UNION's later parts that is usual.
        if isinstance(column, exp.Column) and column.table and column.name != "*" and names[column.name] == 1:
            column.replace(exp.alias_(column.copy(), column.name))


def _make_nullable(window: exp.Window) -> None:
    function = window.this
    if isinstance(function, (exp.IgnoreNulls, exp.RespectNulls)):
        function = function.this
    if isinstance(function, _NULL_WHEN_EMPTY):
        function.set("this", exp.Anonymous(this="toNullable", expressions=[function.this.copy()]))
