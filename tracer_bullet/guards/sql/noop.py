"""The policy `noop` for SQL: an answer to a write that was not sent, such as ordinary code can live with.

What can be known is known: rows are counted, and values of UPDATE … RETURNING computed, by an
equivalent SELECT that runs for real; values of INSERT … RETURNING are the statement's own
parameters, the columns' defaults, or, where the database would have numbered the row, a
negative number. A row that a request 'inserted' is remembered by its primary key, so that
the ORM's refresh, update and delete of it find it. What cannot be answered is refused.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from tracer_bullet.context.scope import Scope
from tracer_bullet.guards.policy import WriteRefused
from tracer_bullet.guards.sql.catalog import Ask, Column, Name, known_columns, name_of
from tracer_bullet.guards.sql.lane import settle
from tracer_bullet.guards.sql.notes import Notes, key_of
from tracer_bullet.guards.sql.statements import Statement, StatementKind, classify
from tracer_bullet.guards.sql.text import Parameters, ParamStyle, Query, Template, placeholder, template
from tracer_bullet.guards.sql.tree import part, sqlglot_name

_numbers = itertools.count(1)
# PostgreSQL's types whose values come back as the Python type that they were given in.
_READ_BACK: Final = {
    **dict.fromkeys(("smallint", "integer", "bigint"), "int"),
    **dict.fromkeys(("text", "character varying", "character"), "str"),
    **dict.fromkeys(("timestamp without time zone", "timestamp with time zone"), "datetime"),
    "boolean": "bool",
    "numeric": "Decimal",
    "double precision": "float",
    "date": "date",
    "uuid": "UUID",
    "bytea": "bytes",
}


@dataclass(frozen=True, slots=True)
class Answer:
    """What the driver would have said. `rowcount` is -1 where it cannot be known; `columns` is empty where the
    statement gives no rows; `lastrowid`: SQLite's and MySQL's, of the last row."""

    rowcount: int = -1
    columns: tuple[Column, ...] = ()
    rows: tuple[tuple[Any, ...], ...] = ()
    lastrowid: int | None = None


@dataclass(frozen=True, slots=True)
class Unsent:
    """A write that is not sent. `source` stands for its database; `sets`: its parameter sets; `ask`: runs a read
    on the bullet's connection."""

    scope: Scope
    source: object
    statement: Statement
    sql: str
    sets: Sequence[Parameters]
    dialect: str
    style: ParamStyle
    ask: Ask


async def answer(unsent: Unsent) -> Answer:
    """The answer to a write that is not sent; raises WriteRefused where none can be inferred."""
    from sqlglot import exp  # noqa: PLC0415  # only a bullet needs it

    found = template(unsent.sql, unsent.dialect, unsent.style, has_parameters=any(unsent.sets))
    tree = found.tree
    kinds: dict[type[exp.Expression], type[_Insert | _Change]] = {
        exp.Insert: _Insert,
        exp.Update: _Change,
        exp.Delete: _Change,
    }
    for kind, answerer in kinds.items():
        if isinstance(tree, kind):
            return await _each(answerer(unsent, found), unsent)
    _refuse_rows(unsent, found)
    return Answer()


async def recalled(unsent: Unsent) -> Answer | None:
    """The answer to a read of one row that this request 'inserted', by its primary key; None for any other read."""
    from sqlglot import exp  # noqa: PLC0415

    notes = Notes.of(unsent.scope)
    if not notes or len(unsent.sets) != 1:
        return None
    found = template(unsent.sql, unsent.dialect, unsent.style, has_parameters=any(unsent.sets))
    tree = found.tree
    plain = ("expressions", "from", "from_", "where")
    if not isinstance(tree, exp.Select) or any(v for k, v in tree.args.items() if k not in plain):
        return None
    table = part(tree, "from").this if part(tree, "from") else None
    if not isinstance(table, exp.Table) or table.args.get("joins"):
        return None
    work = _Work(unsent, found)
    name = work.name(table)
    if not notes.has(unsent.source, name):
        return None
    columns = await work.columns(name)
    key = key_of(tree, columns, lambda number: found.value(number, unsent.sets[0]))
    row = None if key is None else notes.find(unsent.source, name, key)
    if row is None:
        return None
    shown = work.shown(tree.expressions, columns)
    return Answer(1, tuple(shown), (tuple([await work.stored(row, c) for c in shown]),))


async def _each(work: _Insert | _Change, unsent: Unsent) -> Answer:
    """One answer for all parameter sets."""
    answers = [await work.answer(parameters) for parameters in unsent.sets or (None,)]
    counts = [a.rowcount for a in answers]
    rows = tuple(itertools.chain.from_iterable(a.rows for a in answers))
    return Answer(-1 if -1 in counts else sum(counts), answers[-1].columns, rows, answers[-1].lastrowid)


def _refuse_rows(unsent: Unsent, found: Template) -> None:
    """Refuse what gives rows that nobody can know."""
    from sqlglot import exp  # noqa: PLC0415

    operation, tree = unsent.statement.operation, found.tree
    parts = unsent.statement.operations
    gives_rows = (
        (tree is None and " RETURNING" in unsent.sql.upper())
        or (isinstance(tree, (exp.Query, exp.Values, exp.Describe)) and tree.find(exp.Into) is None)
        or (tree is not None and tree.args.get("returning"))
        or (len(parts) > 1 and ";" in found.text)
        or operation.partition(" ")[0] in ("EXPLAIN", "CALL", "EXECUTE", "FETCH")
    )
    if gives_rows:
        raise WriteRefused(operation, "it is not sent, and what it would return cannot be known")


class _Work:
    """What the answers of all statements need; those that change something have an `answer` for one parameter set."""

    def __init__(self, unsent: Unsent, found: Template) -> None:
        self.unsent = unsent
        self.template = found
        self.notes = Notes.of(unsent.scope)

    def refused(self, why: str) -> WriteRefused:
        return WriteRefused(self.unsent.statement.operation, f"it is not sent, and {why}")

    def name(self, table: Any) -> Name:
        """A table's name as the catalogue has it."""
        return name_of(table, self.unsent.dialect)

    async def columns(self, name: Name) -> tuple[Column, ...]:
        unsent = self.unsent
        try:
            found = await known_columns(unsent.scope, unsent.source, unsent.ask, unsent.dialect, name)
        except LookupError as error:
            raise self.refused(str(error)) from None
        if not found:
            raise self.refused(f"there is no table {name}")
        return found

    def shown(self, expressions: Sequence[Any], columns: Sequence[Column]) -> list[Column]:
        """The columns that a list of results names, under the names that they get there."""
        from sqlglot import exp  # noqa: PLC0415

        by_name = {column.name.lower(): column for column in columns}
        found: list[Column] = []
        for expression in expressions:
            inner = expression.unalias()
            if isinstance(inner, exp.Star) or (isinstance(inner, exp.Column) and isinstance(inner.this, exp.Star)):
                found.extend(columns)
                continue
            column = by_name.get(inner.name.lower()) if isinstance(inner, exp.Column) else None
            if column is None:
                raise self.refused(f"{expression.sql(sqlglot_name(self.unsent.dialect))} cannot be computed")
            found.append(replace(column, label=expression.alias or column.name))
        return found

    async def rows(self, text: str, parameters: Parameters) -> list[Any]:
        """What a read gives; refused when it is none."""
        if classify(text, self.unsent.dialect).kind is not StatementKind.READ:
            raise self.refused("its own expressions write")
        return list(await settle(self.unsent.ask(self.template.query(text, parameters))))

    def sql(self, node: Any) -> str:
        return str(node.sql(sqlglot_name(self.unsent.dialect), comments=False))

    async def stored(self, row: dict[str, Any], column: Column) -> Any:
        """A remembered row's value; for what was not given, what the database would have put there."""
        if column.name not in row:
            row[column.name] = await self.filled(column)
        return row[column.name]

    async def filled(self, column: Column) -> Any:
        """The value of a column that was not given."""
        if column.computed:
            raise self.refused(f"{column.name} is computed by the database")
        if column.counted:
            return -next(_numbers)
        if not column.default:
            return None
        text = f"SELECT {column.default}"
        if classify(text, self.unsent.dialect).kind is not StatementKind.READ:
            return -next(_numbers) if "nextval" in column.default else None
        rows = list(await settle(self.unsent.ask(Query(text))))
        return rows[0][0]


class _Insert(_Work):
    async def answer(self, parameters: Parameters) -> Answer:
        from sqlglot import exp  # noqa: PLC0415

        tree, returning = self.template.tree, self.template.tree.args.get("returning")
        source = tree.expression
        if part(tree, "with") is not None and len(self.unsent.statement.operations) > 1:
            raise self.refused("it holds several writes")
        sqlite = self.unsent.dialect in ("sqlite", "mysql", "mariadb")
        if isinstance(source, exp.Values) and len(source.expressions) > 1 and not returning and not sqlite:
            return Answer(len(source.expressions))
        table = tree.this.this if isinstance(tree.this, exp.Schema) else tree.this
        name = self.name(table)
        columns = await self.columns(name)
        given = await self._rows(columns, parameters)
        if tree.args.get("conflict") is not None and returning and not given:
            given = []
        for row in given:
            await self._number(row, columns, everything=bool(returning))
            self.notes.add(self.unsent.source, name, columns, row)
        shown = self.shown(returning.expressions, columns) if returning else []
        rows = [tuple([await self.stored(row, column) for column in shown]) for row in given] if shown else []
        last = self._last(given[-1], columns) if given else None
        return Answer(len(given), tuple(shown), tuple(rows), last)

    async def _rows(self, columns: Sequence[Column], parameters: Parameters) -> list[dict[str, Any]]:
        """The rows that would be written, as far as the statement says."""
        from sqlglot import exp  # noqa: PLC0415

        tree = self.template.tree
        source = tree.expression
        names = [c.name for c in columns if not c.computed]
        if isinstance(tree.this, exp.Schema):
            known = {c.name.lower(): c.name for c in columns}
            names = [known.get(i.name.lower(), i.name) for i in tree.this.expressions]
        if source is None or tree.args.get("default"):
            return [{}]
        if isinstance(source, exp.Values):
            types = {c.name: c.type for c in columns}
            return [await self._row(names, row, types, parameters) for row in source.expressions]
        if not isinstance(source, exp.Query):
            raise self.refused("its rows cannot be known")
        within = part(tree, "with")
        text = f"{self.sql(within)} {self.sql(source)}" if within is not None else self.sql(source)
        return [dict(zip(names, row, strict=False)) for row in await self.rows(text, parameters)]

    async def _row(
        self, names: Sequence[str], row: Any, types: dict[str, str], parameters: Parameters
    ) -> dict[str, Any]:
        from sqlglot import exp  # noqa: PLC0415

        found: dict[str, Any] = {}
        values = row.expressions if isinstance(row, exp.Tuple) else [row]
        for name, value in zip(names, values, strict=False):
            inner = value.this if isinstance(value, (exp.Paren, exp.Cast)) else value
            number = placeholder(inner)
            given = None if number is None else self.template.value(number, parameters)
            if number is not None and self._comes_back(given, types.get(name, "")):
                found[name] = given
            elif isinstance(inner, exp.Null):
                found[name] = None
            elif (
                self.sql(inner).upper() != "DEFAULT"
                and classify(f"SELECT {self.sql(value)}").kind is StatementKind.READ
            ):
                text = (
                    f"SELECT CAST({self.sql(value)} AS {types[name]})"
                    if types.get(name)
                    else f"SELECT {self.sql(value)}"
                )
                found[name] = (await self.rows(text, parameters))[0][0]
        return found

    def _comes_back(self, value: Any, type_name: str) -> bool:
        """Whether a parameter would be read back as it was given."""
        if value is None or self.unsent.dialect != "postgresql":
            return True
        return _READ_BACK.get(type_name.partition("(")[0]) == type(value).__name__

    async def _number(self, row: dict[str, Any], columns: Sequence[Column], *, everything: bool) -> None:
        """Give the row the number that the database would have given it."""
        for column in columns:
            missing = column.name not in row or (row[column.name] is None and column.counted)
            if missing and column.is_key and (column.counted or everything):
                row[column.name] = await self.filled(column)

    def _last(self, row: dict[str, Any], columns: Sequence[Column]) -> int | None:
        keys = [row.get(column.name) for column in columns if column.is_key]
        if len(keys) == 1 and isinstance(keys[0], int):
            return keys[0]
        return -next(_numbers) if self.unsent.dialect == "sqlite" else None


class _Change(_Work):
    """UPDATE and DELETE."""

    async def answer(self, parameters: Parameters) -> Answer:
        from sqlglot import exp  # noqa: PLC0415

        tree = self.template.tree
        if len(self.unsent.statement.operations) > 1:
            raise self.refused("it holds several writes")
        if not isinstance(tree.this, exp.Table) or tree.this.args.get("joins") or tree.args.get("tables"):
            return Answer()
        noted = await self._of_noted(parameters)
        if noted is not None:
            return noted
        returning = tree.args.get("returning")
        where = f" WHERE {self.sql(tree.args['where'].this)}" if tree.args.get("where") else ""
        others = ", ".join(self.sql(t) for t in self._others())
        table = self.sql(tree.this)
        within = f"{self.sql(part(tree, 'with'))} " if part(tree, "with") else ""
        tail = "".join(f" {self.sql(tree.args[clause])}" for clause in ("order", "limit") if tree.args.get(clause))
        if returning:
            columns = await self.columns(self.name(tree.this))
            texts = self._results(returning, columns)
            source = f"{table}, {others}" if others else table
            shown = ", ".join(text for _, text in texts)
            text = f"{within}SELECT {shown} FROM {source}{where}{tail}"  # noqa: S608  # the application's own parts
            rows = [tuple(row) for row in await self.rows(text, parameters)]
            return Answer(len(rows), tuple(c for c, _ in texts), tuple(rows))
        if others:
            where = f" WHERE EXISTS (SELECT 1 FROM {others}{where})"  # noqa: S608  # the application's own parts
        inner = f"SELECT 1 FROM {table}{where}{tail}"  # noqa: S608  # the same
        text = f"{within}SELECT count(*) FROM ({inner}) AS tb_counted"  # noqa: S608  # the same
        rows = await self.rows(text, parameters)
        return Answer(int(rows[0][0]))

    async def _of_noted(self, parameters: Parameters) -> Answer | None:
        """The answer where the row is one that this request 'inserted'."""
        from sqlglot import exp  # noqa: PLC0415

        tree = self.template.tree
        name = self.name(tree.this)
        if not self.notes.has(self.unsent.source, name) or self._others():
            return None
        columns = await self.columns(name)
        key = key_of(tree, columns, lambda number: self.template.value(number, parameters))
        row = None if key is None else self.notes.find(self.unsent.source, name, key)
        if row is None or key is None:
            return None
        for assignment in tree.expressions if isinstance(tree, exp.Update) else ():
            value = assignment.expression
            number = placeholder(value.this if isinstance(value, exp.Cast) else value)
            if number is None:
                raise self.refused("it changes a row that was not sent either, in a way that cannot be followed")
            row[assignment.this.name] = self.template.value(number, parameters)
        returning = tree.args.get("returning")
        shown = self.shown(returning.expressions, columns) if returning else []
        values = tuple([await self.stored(row, column) for column in shown])
        if isinstance(tree, exp.Delete):
            self.notes.drop(self.unsent.source, name, key)
        return Answer(1, tuple(shown), (values,) if shown else ())

    def _others(self) -> list[Any]:
        """The tables of UPDATE … FROM and DELETE … USING."""
        tree = self.template.tree
        source = part(tree, "from")
        return [*([source.this] if source else []), *(tree.args.get("using") or ())]

    def _results(self, returning: Any, columns: Sequence[Column]) -> list[tuple[Column, str]]:
        """Each result, and its text with what UPDATE sets in place of the columns."""
        from sqlglot import exp  # noqa: PLC0415

        tree = self.template.tree
        sets: dict[str, str] = {}
        types = {column.name.lower(): column.type for column in columns}
        for assignment in tree.expressions if isinstance(tree, exp.Update) else ():
            if not isinstance(assignment, exp.EQ) or not isinstance(assignment.this, exp.Column):
                raise self.refused("what it sets cannot be computed")
            name = assignment.this.name.lower()
            value = self.sql(assignment.expression)
            sets[name] = f"CAST({value} AS {types[name]})" if types.get(name) else value
        table = tree.this.alias_or_name
        found = []
        for column in self.shown(returning.expressions, columns):
            quoted = exp.column(column.name, table=table, quoted=True)
            found.append((column, sets.get(column.name.lower(), self.sql(quoted))))
        return found
