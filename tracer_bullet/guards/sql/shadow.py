"""The policy `shadow` for SQL: writes go to other tables, and reads of these tables follow them.

Names are exchanged in the application's own text, where the parser says that they stand; all
else stays as it was written. A table keeps its old name as an alias, so that what refers to
it stays right. What is not understood to the last name is refused.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from tracer_bullet.context.scope import Scope
from tracer_bullet.guards.config import GuardConfig
from tracer_bullet.guards.policy import WriteRefused
from tracer_bullet.guards.rulings import owner
from tracer_bullet.guards.sql.catalog import Ask, Name, known_columns, name_of
from tracer_bullet.guards.sql.lane import settle
from tracer_bullet.guards.sql.rules import may_shadow
from tracer_bullet.guards.sql.statements import Statement
from tracer_bullet.guards.sql.text import ParamStyle, Query, Template, template
from tracer_bullet.guards.sql.tree import operation_name, targets
from tracer_bullet.guards.sql.words import is_read_function

DIALECTS = frozenset({"sqlite", "postgresql"})
_SYSTEM = frozenset({"pg_catalog", "information_schema", "temp"})
_SEQUENCE_CALL = re.compile(r"\b(nextval|setval|currval)\s*\(\s*'((?:[^']|'')+)'", re.IGNORECASE)
_SEQUENCES = frozenset({"nextval", "setval", "currval", "lastval"})


@dataclass(frozen=True, slots=True)
class Shadowing:
    """One statement to be sent to shadow tables. `source` stands for its database; `ask`: runs a read there."""

    scope: Scope
    source: object
    statement: Statement
    sql: str
    dialect: str
    style: ParamStyle
    ask: Ask
    has_parameters: bool = True


async def shadowed_write(work: Shadowing) -> str:
    """The text of a write that goes to shadow tables, for the same parameters; raises WriteRefused."""
    return await _Rewriting(work).write()


async def shadowed_read(work: Shadowing) -> str | None:
    """The text of a read of which some tables have shadows that a bullet may have written; None: as it is."""
    return await _Rewriting(work).read()


def shadow_name(config: GuardConfig, name: Name) -> Name:
    """Where a table's shadow is."""
    if config.shadow_schema:
        return Name(name.table, config.shadow_schema)
    return Name(config.shadow_prefix + name.table, name.schema)


class _Rewriting:
    def __init__(self, work: Shadowing) -> None:
        self._work = work
        self._config = owner(work.scope).config
        self._changes: list[tuple[int, int, str]] = []  # start, end (not included), text
        self._template: Template = template(work.sql, work.dialect, work.style, has_parameters=work.has_parameters)

    async def write(self) -> str:
        from sqlglot import exp  # noqa: PLC0415  # only a bullet needs it

        tree = self._template.tree
        if self._work.dialect not in DIALECTS:
            raise self._refused(f"shadow is not proven on {self._work.dialect}")
        if tree is None or isinstance(tree, exp.Command):
            raise self._refused("the guard does not know what its shadow would be")
        called = [c.name for c in tree.find_all(exp.Anonymous) if c.name.lower() not in _SEQUENCES]
        unknown = [name for name in called if not is_read_function(name, self._work.dialect)]
        if unknown:
            raise self._refused(f"it calls {unknown[0]}, and what that writes cannot be shadowed")
        written = {id(table): _aliasable(node) for node, table in targets(tree)}
        await self._tables(tree, written)
        await self._sequences(missing="refuse")
        if not self._changes:
            raise self._refused("the guard does not know what its shadow would be")
        return self._text()

    async def read(self) -> str | None:
        tree = self._template.tree
        if tree is None or self._work.dialect not in DIALECTS:
            return None
        await self._tables(tree, {})
        if not self._changes:
            return None
        await self._sequences(missing="keep")
        return self._text()

    async def _tables(self, tree: Any, written: dict[int, bool]) -> None:
        """Note the changes for every table of the tree."""
        from sqlglot import exp  # noqa: PLC0415

        hidden = {cte.alias_or_name.lower() for cte in tree.find_all(exp.CTE)}
        moved: set[tuple[str, str]] = set()
        for table in tree.find_all(exp.Table):
            if not isinstance(table.this, exp.Identifier) or table.db.lower() in _SYSTEM:
                continue
            is_written = id(table) in written
            if not is_written and not may_shadow(self._config, operation_name(table)):
                continue
            if not table.db and table.name.lower() in hidden:
                if is_written or await self._exists(name_of(table, self._work.dialect)):
                    raise self._refused(f"a part of it hides the table {table.name} by its name")
                continue
            if await self._move(table, is_written=is_written, keeps_alias=written.get(id(table), True)):
                moved.add((table.db.lower(), table.name.lower()))
        for column in tree.find_all(exp.Column):
            if column.db and (column.db.lower(), column.table.lower()) in moved:
                start, _ = self._position(column.args["db"])
                self._changes.append((start, self._position(column.args["table"])[0], ""))
        if self._work.dialect == "sqlite":
            self._unqualify([column for part in tree.find_all(exp.Returning) for column in part.find_all(exp.Column)])

    def _unqualify(self, columns: list[Any]) -> None:
        """SQLite's RETURNING knows no aliases; what it returns is the written table's alone."""
        for column in columns:
            if column.table and not column.db:
                self._changes.append((self._position(column.args["table"])[0], self._position(column.this)[0], ""))

    async def _move(self, table: Any, *, is_written: bool, keeps_alias: bool) -> bool:
        """Note the change of one table's name; False for a read of a table without a shadow."""
        name = name_of(table, self._work.dialect)
        to = shadow_name(self._config, name)
        if not await self._exists(to):
            if is_written:
                raise self._refused(f"there is no shadow table {to}")
            return False
        start, end = self._position(table.this)
        written = self._template.text[start:end]
        quote = written[0] if written[0] in '"`[' else ""
        shadow = (
            written if self._config.shadow_schema else f"{quote}{self._config.shadow_prefix}{written[len(quote) :]}"
        )
        schema = self._config.shadow_schema
        if table.args.get("db") is not None and schema:
            start = self._position(table.args["db"])[0]
        alias = f" AS {written}" if keeps_alias and not table.alias else ""
        self._changes.append((start, end, (f"{schema}." if schema else "") + shadow + alias))
        return True

    async def _sequences(self, *, missing: str) -> None:
        """Numbers come from the shadow's sequence; the real one is left alone."""
        for match in _SEQUENCE_CALL.finditer(self._template.text):
            schema, _, table = match[2].replace('"', "").rpartition(".")
            to = str(shadow_name(self._config, Name(table, schema)))
            rows = await settle(self._work.ask(Query(f"SELECT to_regclass('{to}') IS NOT NULL")))
            if rows[0][0]:
                self._changes.append((match.start(2), match.end(2), to))
            elif missing == "refuse":
                raise self._refused(f"there is no shadow sequence {to}")

    async def _exists(self, name: Name) -> bool:
        work = self._work
        return bool(await known_columns(work.scope, work.source, work.ask, work.dialect, name))

    def _position(self, identifier: Any) -> tuple[int, int]:
        start, end = identifier.meta.get("start"), identifier.meta.get("end")
        if start is None or end is None:
            raise self._refused(f"the parser does not say where the name {identifier.name} stands")
        found = self._template.text[start : end + 1]
        if found.strip('"`[]').lower() != identifier.name.lower():
            raise self._refused(f"the parser is wrong about where the name {identifier.name} stands")
        return start, end + 1

    def _text(self) -> str:
        text = self._template.text
        for start, end, new in sorted(self._changes, reverse=True):
            text = text[:start] + new + text[end:]
        return self._template.restored(text)

    def _refused(self, why: str) -> WriteRefused:
        return WriteRefused(self._work.statement.operation, why)


def _aliasable(node: Any) -> bool:
    from sqlglot import exp  # noqa: PLC0415

    return isinstance(node, (exp.Insert, exp.Update, exp.Delete, exp.Merge))
