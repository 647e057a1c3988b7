"""What a database says of its tables, asked in the bullet's own connection."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tracer_bullet.context.scope import Scope
from tracer_bullet.guards.sql.lane import settle
from tracer_bullet.guards.sql.text import Query

Ask = Callable[[Query], Any]
"""Runs a read for real; gives its rows, or an awaitable of them."""


@dataclass(frozen=True, slots=True)
class Column:
    """One column.

    `type` is the database's name of it; `default` an SQL expression, empty where there is none;
    `counted`: the database numbers it by itself (identity, serial, INTEGER PRIMARY KEY,
    AUTO_INCREMENT); `required`: NOT NULL; `label`: what a result calls it, where that is not its name.
    """

    name: str
    type: str
    default: str = ""
    is_key: bool = False
    counted: bool = False
    computed: bool = False
    required: bool = False
    type_code: int | None = None
    label: str = ""


@dataclass(frozen=True, slots=True)
class Name:
    """A table's name as written, without quotes; `schema` is empty where none was written."""

    table: str
    schema: str = ""

    def __str__(self) -> str:
        return f"{self.schema}.{self.table}" if self.schema else self.table


_POSTGRESQL = """
SELECT a.attname::text, format_type(a.atttypid, a.atttypmod)::text, COALESCE(pg_get_expr(d.adbin, d.adrelid), '')::text,
  COALESCE(a.attnum = ANY(i.indkey), false), a.attidentity <> '', a.attgenerated <> '', a.attnotnull, a.atttypid::bigint
FROM pg_attribute a LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
LEFT JOIN pg_index i ON i.indrelid = a.attrelid AND i.indisprimary
WHERE a.attrelid = to_regclass({name}) AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum
"""
_SQLITE = 'SELECT name, type, dflt_value, pk, hidden, "notnull" FROM pragma_table_xinfo({table}{schema})'
_MYSQL = """
SELECT COLUMN_NAME, COLUMN_TYPE, COALESCE(COLUMN_DEFAULT, ''), COLUMN_KEY = 'PRI',
  EXTRA LIKE {auto}, EXTRA LIKE {made}, IS_NULLABLE = 'NO'
FROM information_schema.COLUMNS WHERE TABLE_NAME = {table} AND TABLE_SCHEMA = {schema} ORDER BY ORDINAL_POSITION
"""


async def columns(ask: Ask, dialect: str, name: Name) -> tuple[Column, ...]:
    """A table's columns, in order; none where there is no such table. Raises LookupError for other databases."""
    if dialect == "postgresql":
        rows = await settle(ask(Query(_POSTGRESQL.format(name=_literal(_regclass(name))))))
        return tuple(
            Column(r[0], r[1], r[2], bool(r[3]), bool(r[4]) or "nextval(" in r[2], bool(r[5]), r[6], r[7]) for r in rows
        )
    if dialect == "sqlite":
        schema = f", {_literal(name.schema)}" if name.schema else ""
        rows = await settle(ask(Query(_SQLITE.format(table=_literal(name.table), schema=schema))))
        alone = sum(1 for row in rows if row[3]) == 1
        return tuple(
            Column(
                r[0], r[1], r[2] or "", bool(r[3]), alone and r[3] and r[1].upper() == "INTEGER", r[4] > 1, bool(r[5])
            )
            for r in rows
        )
    if dialect in ("mysql", "mariadb"):
        schema = _literal(name.schema) if name.schema else "DATABASE()"
        text = _MYSQL.format(table=_literal(name.table), schema=schema, auto="'auto_increment'", made="'%GENERATED%'")
        rows = await settle(ask(Query(text)))
        return tuple(Column(r[0], r[1], r[2], bool(r[3]), bool(r[4]), bool(r[5]), bool(r[6])) for r in rows)
    raise LookupError(f"the guard cannot read the catalogue of {dialect}")


_KEY = object()


async def known_columns(scope: Scope, source: object, ask: Ask, dialect: str, name: Name) -> tuple[Column, ...]:
    """The same, asked once in a request; `source` stands for the database."""
    cache: dict[tuple[object, Name], tuple[Column, ...]] = scope.state.setdefault(_KEY, {})
    found = cache.get((source, name))
    if found is None:
        found = cache[source, name] = await columns(ask, dialect, name)
    return found


def name_of(table: Any, dialect: str) -> Name:
    """The name in a tree's Table as the catalogue has it."""

    def plain(identifier: Any) -> str:
        if identifier is None:
            return ""
        folded = dialect == "postgresql" and not identifier.args.get("quoted")
        return str(identifier.name).lower() if folded else str(identifier.name)

    return Name(plain(table.this), plain(table.args.get("db")))


def forget(scope: Scope) -> None:
    """What was known may have changed: DDL ran."""
    scope.state.pop(_KEY, None)


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _regclass(name: Name) -> str:
    parts = [name.schema, name.table] if name.schema else [name.table]
    return ".".join('"' + part.replace('"', '""') + '"' for part in parts)
