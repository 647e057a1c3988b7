"""SQL trees: sqlglot's, and what the guards ask of them."""

from __future__ import annotations

import logging
import re
from functools import lru_cache
from typing import Any, Final

from tracer_bullet.guards.sql import words

_DIALECTS: Final = {"postgresql": "postgres", "mariadb": "mysql", "mssql": "tsql", "cockroachdb": "postgres"}
_PLACEHOLDER: Final = re.compile(r"%\(\w+\)s|%s")
_EXECUTABLE_COMMENT: Final = re.compile(r"/\*M?!\d*(.*?)\*/", re.DOTALL)
# Where tables are when nobody says.
DEFAULT_SCHEMAS: Final = frozenset({"", "public", "main", "dbo"})
DDL: Final = ("Create", "Drop", "Alter", "AlterTable", "TruncateTable", "Grant", "Revoke", "Comment")
_WRITERS: Final = ("Insert", "Update", "Delete", "Merge", "Copy", "Into", "LoadData", "Analyze", *DDL)


def is_a(node: Any, names: tuple[str, ...]) -> bool:
    """Whether a node is of one of sqlglot's classes, not all of which are in each of its versions."""
    return type(node).__name__ in names


def sqlglot_name(dialect: str) -> str:
    """sqlglot's name for one of SQLAlchemy's dialects."""
    return _DIALECTS.get(dialect, dialect)


def parse(text: str, dialect: str) -> Any:
    """One statement's tree, or None where sqlglot does not understand it. No generic grammar is tried for a
    known dialect: its strings and comments may end elsewhere."""
    import sqlglot  # noqa: PLC0415  # only a bullet needs it, and it takes 40 ms to load

    quiet_sqlglot()
    name = sqlglot_name(dialect)
    if dialect == "sqlite" and text[:7].upper() == "REPLACE":
        text = "INSERT " + text[7:]  # of one length, so that positions stay
    try:
        trees = [t for t in sqlglot.parse(text, read=known_name(name)) if t is not None]
    except (sqlglot.errors.SqlglotError, ValueError):
        return None
    return trees[0] if len(trees) == 1 else None


def part(tree: Any, name: str) -> Any:
    """A clause of a tree, whose key sqlglot renamed for Python's keywords."""
    return tree.args.get(name) or tree.args.get(f"{name}_")


def known_name(name: str) -> str | None:
    """The same name, or None where sqlglot has no grammar for it."""
    import sqlglot  # noqa: PLC0415

    return name if name and name in sqlglot.Dialect.classes else None


def readable(sql: str, dialect: str) -> str:
    """The text with placeholders that a parser takes, and with MySQL's hidden code brought to light."""
    # In PostgreSQL `?` begins an operator, and `?::integer` would not parse.
    text = _PLACEHOLDER.sub("$1" if sqlglot_name(dialect) == "postgres" else "?", sql).replace("%%", "%")
    if dialect in words.MYSQL:
        text = _EXECUTABLE_COMMENT.sub(r" \1 ", text)
        text = re.sub(r"--(?=[^\s-])", "- -", text)  # no comment there without a space
    return text


@lru_cache(maxsize=4096)
def tables_of(sql: str, dialect: str) -> frozenset[str]:
    """All tables that a statement names, in small letters; none where it cannot be parsed."""
    from sqlglot import exp  # noqa: PLC0415

    tree = parse(readable(sql, dialect), dialect)
    return frozenset(operation_name(t).lower() for t in tree.find_all(exp.Table)) if tree is not None else frozenset()


def targets(tree: Any) -> list[tuple[Any, Any]]:
    """Each table that a tree writes, after the node that writes it."""
    return [(node, table) for node in writers(tree) for table in written_tables(node)]


def writers(tree: Any) -> list[Any]:
    """The nodes that write, the outermost first."""
    return [node for node in tree.walk() if is_a(node, _WRITERS) and not _only_reads(node)]


def _only_reads(node: Any) -> bool:
    """COPY … TO STDOUT, and SELECT … INTO a variable."""
    from sqlglot import exp  # noqa: PLC0415

    if isinstance(node, exp.Copy):
        return not node.args.get("kind") and not copies_outside(node)
    return isinstance(node, exp.Into) and node.sql().removeprefix("INTO").strip().startswith("@")


def written_tables(node: Any) -> list[Any]:
    """The tables that one node writes."""
    from sqlglot import exp  # noqa: PLC0415

    if isinstance(node, exp.Update):  # MySQL's joins: any of them may be written
        return list(node.this.find_all(exp.Table))
    for places in ("tables", "expressions"):
        tables = [t for t in node.args.get(places) or () if isinstance(t, exp.Table)]
        if tables and isinstance(node, (exp.Delete, exp.Drop, exp.TruncateTable)):
            return tables
    first = node.find(exp.Table)
    return [first] if first is not None else []


def operation_name(table: Any) -> str:
    """A table as operations name it: with its schema, where that is not the usual one."""
    return str(table.name) if table.db.lower() in DEFAULT_SCHEMAS else f"{table.db}.{table.name}"


def verb(node: Any) -> str:
    """What a node does, as operations name it."""
    return {"TruncateTable": "TRUNCATE", "Into": "SELECT INTO"}.get(type(node).__name__, str(node.key).upper())


def copies_outside(node: Any) -> bool:
    """COPY with a file or a program of the server's, which no rollback reaches."""
    return not all(file.sql().upper() in ("STDIN", "STDOUT") for file in node.args.get("files") or (node,))


@lru_cache(maxsize=1)
def quiet_sqlglot() -> None:
    """Its warnings about text it keeps as a command are expected here and would fill a service's log."""
    logger = logging.getLogger("sqlglot")
    if logger.level == logging.NOTSET:
        logger.setLevel(logging.ERROR)
