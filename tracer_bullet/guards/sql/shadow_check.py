"""The pre-flight of the policy `shadow`: do the shadow tables fit the real ones?"""

from __future__ import annotations

import re
from typing import Any

from tracer_bullet.errors import GuardError
from tracer_bullet.guards.config import GuardConfig
from tracer_bullet.guards.registry import default
from tracer_bullet.guards.sql.catalog import Column, Name, columns
from tracer_bullet.guards.sql.lane import drive
from tracer_bullet.guards.sql.rules import may_shadow
from tracer_bullet.guards.sql.shadow import shadow_name
from tracer_bullet.guards.sql.text import Query

_SEQUENCE = re.compile(r"nextval\('([^']+)'")


def check_shadow(engine: Any, config: GuardConfig | None = None) -> tuple[str, ...]:
    """What would keep bullets' writes from the shadow tables, or make them differ; empty when all is well.

    `engine`: a SQLAlchemy Engine or Connection (with an async engine:
    `await connection.run_sync(check_shadow)`). `config`: by default that of the one service armed in
    this process; raises GuardError where there is none. Looks at every table of the default schema
    that a rule or the service's policy may shadow; reads only.
    """
    armed = default()
    if config is None and armed is None:
        raise GuardError("TB607", "whose shadows?", cure="arm one service, or give config=")
    settings = config or armed.config  # type: ignore[union-attr]  # one of them is there
    if hasattr(engine, "exec_driver_sql"):
        return tuple(_differences(engine, settings))
    with engine.connect() as connection:
        return tuple(_differences(connection, settings))


def _differences(connection: Any, config: GuardConfig) -> list[str]:
    from sqlalchemy import inspect  # noqa: PLC0415  # the caller has it

    inspector = inspect(connection)
    names = sorted(inspector.get_table_names())
    shadows = {str(shadow_name(config, Name(name))) for name in names}
    found: list[str] = []
    for table in names:
        if table in shadows or not may_shadow(config, table):
            continue
        shadow = shadow_name(config, Name(table))
        real, there = _columns(connection, Name(table)), _columns(connection, shadow)
        if not there:
            found.append(f"{table}: there is no shadow table {shadow}")
            continue
        found.extend(_of_columns(table, shadow, real, there))
        for key in inspector.get_foreign_keys(shadow.table, schema=shadow.schema or None):
            referred = str(Name(key["referred_table"], key.get("referred_schema") or ""))
            if referred in names and may_shadow(config, referred):
                found.append(f"{shadow}: its foreign key refers to the real table {referred}")
    return found


def _of_columns(table: str, shadow: Name, real: tuple[Column, ...], there: tuple[Column, ...]) -> list[str]:
    by_name = {column.name: column for column in there}
    found = []
    for column in real:
        other = by_name.pop(column.name, None)
        if other is None:
            found.append(f"{shadow}: the column {column.name} is missing")
            continue
        if other.type.lower() != column.type.lower():
            found.append(f"{shadow}.{column.name} is {other.type}, and {table}.{column.name} is {column.type}")
        if other.is_key != column.is_key:
            found.append(f"{shadow}.{column.name} {'is' if other.is_key else 'is not'} in the primary key")
        if other.required and not column.required:
            found.append(f"{shadow}.{column.name} must not be null")
        if (column.default or column.counted) and not (other.default or other.counted):
            found.append(f"{shadow}.{column.name} has no default")
        sequence = _SEQUENCE.search(other.default)
        if sequence is not None and sequence[1] == getattr(_SEQUENCE.search(column.default), "group", lambda _: None)(
            1
        ):
            found.append(f"{shadow}.{column.name} draws its numbers from {sequence[1]}, which is the real table's")
    found.extend(f"{shadow}: the real table has no column {name}" for name in by_name)
    return found


def _columns(connection: Any, name: Name) -> tuple[Column, ...]:
    def ask(query: Query) -> list[Any]:
        return list(connection.exec_driver_sql(query.sql).all())

    return drive(columns(ask, connection.dialect.name, name))
