"""What a SQL statement does: read, write, or steer the transaction.

Parsed by sqlglot and cached by text; never by prefix. What cannot be classified is a
write. Only bullets pay for this: STANDARD requests never come here.
"""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache
from typing import Any, Final


class StatementKind(Enum):
    """`ESCAPE` is what a surrounding rollback would not undo, or what ends it."""

    READ = "read"
    WRITE = "write"
    BEGIN = "begin"
    COMMIT = "commit"
    ROLLBACK = "rollback"
    SAVEPOINT = "savepoint"
    ESCAPE = "escape"


@dataclass(frozen=True, slots=True)
class Statement:
    """A statement's kind and, without values, what it does: `INSERT orders`."""

    kind: StatementKind
    operation: str
    is_ddl: bool = False


_DIALECTS: Final = {"postgresql": "postgres", "mariadb": "mysql", "mssql": "tsql", "cockroachdb": "postgres"}
_PLACEHOLDER: Final = re.compile(r"%\(\w+\)s|%s")
_SAVEPOINT: Final = re.compile(r"\s*(SAVEPOINT|RELEASE|ROLLBACK\s+(WORK\s+|TRANSACTION\s+)?TO)\b", re.IGNORECASE)
_FIRST_WORD: Final = re.compile(r"[^\w]*(\w+)")
_COMMENT: Final = re.compile(r"/\*.*?\*/|--[^\n]*", re.DOTALL)
# Commands that sqlglot keeps as text.
_CONTROL_COMMANDS: Final = {
    "START": StatementKind.BEGIN,
    "END": StatementKind.COMMIT,
    "ABORT": StatementKind.ROLLBACK,
}
_ENDS: Final = frozenset({"COMMIT", "END", "ROLLBACK", "ABORT"})
_READ_COMMANDS: Final = frozenset({"SHOW", "DESCRIBE", "DESC", "EXPLAIN", "FETCH", "DECLARE"})
_ESCAPE_COMMANDS: Final = frozenset(
    {"VACUUM", "PREPARE", "REINDEX", "CLUSTER", "CHECKPOINT", "LOAD", "BACKUP", "RESTORE", "SHUTDOWN", "KILL", "FLUSH"}
)
# Effects outside the transaction. Sequences are not undone either, but are harmless: docs/guards.md.
_ESCAPE_NAMES: Final = (
    r"(dblink|lo_(import|export)|pg_(terminate|cancel)_backend|pg_(try_)?advisory_lock|pg_reload_conf|pg_rotate_logfile"
    r"|pg_(read|write)_\w*file|pg_file_|pg_\w*replication|pg_logical_|pg_wal_replay|pg_switch_wal|pg_create_restore_point"
    r"|pg_promote|pg_stat_\w*reset|load_extension|sys_exec|sys_eval)\w*"
)
_ESCAPE_FUNCTIONS: Final = re.compile(_ESCAPE_NAMES)
# In text that is not parsed, a word in a literal is taken for a call too: then it is refused for nothing.
_ESCAPE_CALLS: Final = re.compile(rf"\b{_ESCAPE_NAMES}\W*\(", re.IGNORECASE)
_WRITE_FUNCTIONS: Final = re.compile(r"^(nextval|setval|pg_notify|lo_|pg_advisory|set_config|get_lock|release_lock)")
_READ_FUNCTIONS: Final = re.compile(
    r"^(last_insert_rowid|changes|total_changes|sqlite_|version$|current_|pg_get_|pg_catalog|pg_is_|pg_size|pg_table|"
    r"has_|to_reg|obj_description|col_description|format_type|json|bm25|snippet|highlight|typeof|printf|row_count|"
    r"found_rows|last_insert_id|database$|schema$|st_)"
)
_READ_PRAGMAS: Final = frozenset(
    {
        "table_info", "table_xinfo", "table_list", "index_list", "index_info", "index_xinfo", "foreign_key_list",
        "foreign_key_check", "database_list", "collation_list", "function_list", "compile_options", "integrity_check",
        "quick_check", "data_version", "foreign_keys", "busy_timeout", "case_sensitive_like", "cache_size",
        "temp_store", "synchronous", "read_uncommitted", "recursive_triggers", "query_only", "mmap_size",
    }
)  # fmt: skip


@lru_cache(maxsize=4096)
def classify(sql: str, dialect: str = "") -> Statement:
    """What `sql` does; `dialect` is a SQLAlchemy dialect name or empty. Never raises."""
    _quiet_sqlglot()
    name = _DIALECTS.get(dialect, dialect)
    # In PostgreSQL `?` begins an operator, and `?::integer` would not parse.
    text = _PLACEHOLDER.sub("$1" if name == "postgres" else "?", sql).replace("%%", "%")
    if _SAVEPOINT.match(text) and ";" not in text.rstrip().rstrip(";"):
        return Statement(StatementKind.SAVEPOINT, "SAVEPOINT")
    trees = _parse(text, name)
    if trees is None:
        return _from_first_word(text)
    statements = [_statement(tree) for tree in trees if tree is not None]
    if not statements:
        return Statement(StatementKind.READ, "EMPTY")
    if len(statements) == 1:
        return statements[0]
    return _several(statements)


def _several(statements: list[Statement]) -> Statement:
    """Many statements in one string: transaction control among them cannot be followed."""
    kinds = {s.kind for s in statements}
    operation = "; ".join(s.operation for s in statements if s.kind is not StatementKind.READ) or "SELECT"
    if kinds <= {StatementKind.READ}:
        return Statement(StatementKind.READ, operation)
    if kinds <= {StatementKind.READ, StatementKind.WRITE}:
        return Statement(StatementKind.WRITE, operation, any(s.is_ddl for s in statements))
    return Statement(StatementKind.ESCAPE, operation)


def _parse(text: str, dialect: str) -> list[Any] | None:
    import sqlglot  # noqa: PLC0415  # only a bullet needs it, and it takes 40 ms to load

    for name in (dialect, None):
        try:
            return list(sqlglot.parse(text, read=name))
        except (sqlglot.errors.SqlglotError, ValueError, RecursionError):
            continue
    return None


def _from_first_word(text: str) -> Statement:
    """Text that no parser knows, by its first word; refused where another statement may follow."""
    match = _FIRST_WORD.match(_COMMENT.sub(" ", text))
    word, rest = (match.group(1).upper(), match.string[match.end() :]) if match else ("UNKNOWN", "")
    if ";" in text.rstrip("; \t\r\n"):
        return Statement(StatementKind.ESCAPE, word)
    return _command(word, rest)


def _statement(tree: Any) -> Statement:
    from sqlglot import exp  # noqa: PLC0415

    control = {
        exp.Transaction: StatementKind.BEGIN,
        exp.Commit: StatementKind.COMMIT,
        exp.Rollback: StatementKind.ROLLBACK,
    }
    for node, kind in control.items():
        if isinstance(tree, node):
            return Statement(kind, kind.value.upper())
    if isinstance(tree, exp.Command):
        return _command(str(tree.this).upper(), str(tree.args.get("expression") or ""))
    if isinstance(tree, exp.Pragma):
        return _pragma(tree.sql())
    if isinstance(tree, exp.Set):
        text = tree.sql().upper()
        is_global = "GLOBAL" in text or "PERSIST" in text
        name = "SET TRANSACTION" if text.startswith("SET TRANSACTION") else "SET"
        return Statement(StatementKind.ESCAPE if is_global else StatementKind.READ, name)
    return _query(tree)


def _command(verb: str, rest: str) -> Statement:
    words = rest.upper().split()
    if verb in _CONTROL_COMMANDS and words[:1] in ([], ["TRANSACTION"], ["WORK"], ["AND"]):
        kind = _CONTROL_COMMANDS[verb]
        return Statement(kind, kind.value.upper())
    # COMMIT PREPARED, COMMIT RELEASE and the like end a transaction in ways that cannot be followed.
    alters_server = (verb, *words[:1]) == ("ALTER", "SYSTEM")
    if verb in _ESCAPE_COMMANDS or verb in _ENDS or alters_server or _ESCAPE_CALLS.search(rest):
        return Statement(StatementKind.ESCAPE, verb)
    if verb in _READ_COMMANDS and "ANALY" not in rest.upper():
        return Statement(StatementKind.READ, verb)
    return Statement(StatementKind.WRITE, verb)


def _pragma(text: str) -> Statement:
    match = re.match(r"PRAGMA\s+(?:\w+\.)?(\w+)\s*(.?)", text, re.IGNORECASE)
    name = match.group(1).lower() if match else ""
    sets = bool(match and match.group(2))
    kind = StatementKind.READ if name in _READ_PRAGMAS or not sets else StatementKind.ESCAPE
    return Statement(kind, f"PRAGMA {name}".strip())


def _query(tree: Any) -> Statement:
    from sqlglot import exp  # noqa: PLC0415

    escape = next((c for c in tree.find_all(exp.Anonymous) if _ESCAPE_FUNCTIONS.match(c.name.lower())), None)
    if escape is not None:
        return Statement(StatementKind.ESCAPE, f"{_verb(tree)} {escape.name.lower()}")
    ddl = (exp.Create, exp.Drop, exp.Alter, exp.TruncateTable)
    writers = (exp.Insert, exp.Update, exp.Delete, exp.Merge, exp.Copy, exp.Into, *ddl)
    for node in tree.walk():
        if isinstance(node, writers):
            table = node.find(exp.Table)
            is_ddl = isinstance(node, ddl)
            outside = is_ddl and str(node.args.get("kind")).upper() in ("DATABASE", "TABLESPACE")
            kind = StatementKind.ESCAPE if outside or _copies_outside(node) else StatementKind.WRITE
            return Statement(kind, f"{_verb(node)} {table.name}".strip() if table else _verb(node), is_ddl)
    if not isinstance(tree, (exp.Query, exp.Values, exp.Describe, exp.Show, exp.Use)):
        # "END TRANSACTION" is an alias to some dialects.
        return _from_first_word(tree.sql(comments=False).replace(" AS ", " "))
    return _functions(tree)


def _verb(node: Any) -> str:
    return {"TruncateTable": "TRUNCATE", "Into": "SELECT INTO"}.get(type(node).__name__, str(node.key).upper())


def _copies_outside(node: Any) -> bool:
    """COPY with a file or a program of the server's, which no rollback reaches."""
    from sqlglot import exp  # noqa: PLC0415

    if not isinstance(node, exp.Copy):
        return False
    return not all(file.sql().upper() in ("STDIN", "STDOUT") for file in node.args.get("files") or (node,))


def _functions(tree: Any) -> Statement:
    from sqlglot import exp  # noqa: PLC0415

    for call in tree.find_all(exp.Anonymous):
        name = call.name.lower()
        if _WRITE_FUNCTIONS.match(name) or not _READ_FUNCTIONS.match(name):
            return Statement(StatementKind.WRITE, f"SELECT {name}")
    return Statement(StatementKind.READ, "SELECT")


@lru_cache(maxsize=1)
def _quiet_sqlglot() -> None:
    """Its warnings about text it keeps as a command are expected here and would fill a service's log."""
    logger = logging.getLogger("sqlglot")
    if logger.level == logging.NOTSET:
        logger.setLevel(logging.ERROR)
