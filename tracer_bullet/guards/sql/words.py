"""What the first words of a SQL statement and the functions that it calls say of it.

Tables only; `statements` reads them. Databases are named as by SQLAlchemy; `mysql` stands for
MariaDB too, unlisted ones for what all have in common.
"""

from __future__ import annotations

import re
from functools import lru_cache
from pathlib import Path
from typing import Final

MYSQL: Final = frozenset({"mysql", "mariadb"})

CONTROL_TAILS: Final = frozenset({"WORK", "TRANSACTION", "TRAN", "AND", "NO", "CHAIN"})
"""Words that may follow COMMIT and ROLLBACK without changing what they end."""

BEGIN_TAILS: Final = CONTROL_TAILS | frozenset(
    [
        "DEFERRED",
        "IMMEDIATE",
        "EXCLUSIVE",
        "CONCURRENT",
        "ISOLATION",
        "LEVEL",
        "SERIALIZABLE",
        "REPEATABLE",
        "READ",
        "COMMITTED",
        "UNCOMMITTED",
        "ONLY",
        "WRITE",
        "NOT",
        "DEFERRABLE",
        "WITH",
        "CONSISTENT",
        "SNAPSHOT",
    ]
)

READS: Final = frozenset({"SHOW", "FETCH", "MOVE", "CLOSE", "USE", "HELP"})

ESCAPES: Final = {
    "VACUUM": "it cannot run in a transaction",
    "PREPARE": "what it prepares outlives the transaction",
    "REINDEX": "a rollback would not undo it",
    "CLUSTER": "a rollback would not undo it",
    "CHECKPOINT": "it acts on the server",
    "LOAD": "it loads code into the server",
    "BACKUP": "it acts on the server",
    "RESTORE": "it acts on the server",
    "SHUTDOWN": "it acts on the server",
    "KILL": "it acts on the server",
    "FLUSH": "it acts on the server",
    "ATTACH": "it makes files and outlives the transaction",
    "DETACH": "it outlives the transaction",
    "DISCARD": "it cannot run in a transaction",
    "HANDLER": "its cursor outlives the transaction",
    "XA": "a distributed transaction cannot be rolled back with a lane",
}
"""Commands whose effect a rollback does not undo, or that end the transaction, and why."""

_COMMITS: Final = "it commits the transaction that it runs in"
_MAY_COMMIT: Final = "what it runs may commit"
MYSQL_ESCAPES: Final = {
    **dict.fromkeys(
        [
            "ANALYZE",
            "BINLOG",
            "CACHE",
            "CHANGE",
            "CHECK",
            "CLONE",
            "GRANT",
            "IMPORT",
            "INSTALL",
            "LOCK",
            "OPTIMIZE",
            "PURGE",
            "RENAME",
            "REPAIR",
            "RESET",
            "REVOKE",
            "START",
            "STOP",
            "UNINSTALL",
            "UNLOCK",
        ],
        _COMMITS,
    ),
    "CALL": _MAY_COMMIT,
    "EXECUTE": _MAY_COMMIT,
    "BEGIN": _MAY_COMMIT,  # BEGIN NOT ATOMIC; a plain BEGIN is recognised before
    "DO": "",
}

NAMED: Final = {
    "CALL": "", "LISTEN": "", "UNLISTEN": "", "NOTIFY": "", "EXECUTE": "", "EXEC": "", "LOCK": "TABLES?", "DO": None,
    "REFRESH": r"MATERIALIZED\s+VIEW(?:\s+CONCURRENTLY)?", "ANALYZE": "(?:VERBOSE|TABLE)", "REPLACE": "INTO",
    "RENAME": "TABLE", "OPTIMIZE": "TABLE", "REPAIR": "TABLE", "CHECK": "TABLE", "HANDLER": "",
}  # fmt: skip
"""Commands whose object's name belongs into the operation, and the words before it; None: none."""

OUTSIDE_DDL: Final = re.compile(
    r"(CREATE|ALTER|DROP)\s+(DATABASE|TABLESPACE|SUBSCRIPTION|SYSTEM|USER\s+MAPPING\s+FOR\s+ALL)\b"
    r"|(CREATE\s+(UNIQUE\s+)?|DROP\s+)INDEX\s+CONCURRENTLY\b|ALTER\s+SYSTEM\b"
)

READ_PRAGMAS: Final = frozenset(
    {
        "table_info", "table_xinfo", "table_list", "index_list", "index_info", "index_xinfo", "foreign_key_list",
        "foreign_key_check", "database_list", "collation_list", "function_list", "compile_options", "integrity_check",
        "quick_check", "data_version", "foreign_keys", "busy_timeout", "case_sensitive_like", "cache_size",
        "temp_store", "synchronous", "read_uncommitted", "recursive_triggers", "query_only", "mmap_size",
    }
)  # fmt: skip
ACTING_PRAGMAS: Final = frozenset(
    {"optimize", "wal_checkpoint", "incremental_vacuum", "shrink_memory", "writable_schema"}
)
"""Pragmas that do something even without a value."""

# Effects outside the transaction. Sequences are not undone either, but are harmless: docs/guards/sql.md.
_ESCAPE_NAMES: Final = (
    r"(dblink|lo_(import|export)|pg_(terminate|cancel)_backend|pg_(try_)?advisory_lock|pg_reload_conf|pg_rotate_logfile"
    r"|pg_(read|write)_\w*file|pg_file_|pg_\w*replication|pg_logical_|pg_wal_replay|pg_switch_wal|pg_create_restore_point"
    r"|pg_promote|pg_stat_\w*reset|pg_backup_st|pg_background|http_(get|post|put|patch|delete|head)\b|load_extension"
    r"|sys_exec|sys_eval|get_lock\b|service_get_(read|write)_locks|xp_)\w*"
)
ESCAPE_FUNCTIONS: Final = re.compile(_ESCAPE_NAMES)
# In text that is not parsed, a word in a literal is taken for a call too: then it is refused for nothing.
ESCAPE_CALLS: Final = re.compile(rf"\b{_ESCAPE_NAMES}\W*\(", re.IGNORECASE)
INTO_FILE: Final = re.compile(r"\bINTO\s+(OUTFILE|DUMPFILE)\b", re.IGNORECASE)

_READ_PREFIXES: Final = re.compile(r"^(st_|pg_get_|pg_is_|sqlite_)")
# Words that look like a call before a parenthesis.
_SYNTAX: Final = frozenset(
    {
        "and", "or", "not", "xor", "in", "any", "all", "some", "exists", "values", "as", "on", "using", "case", "when",
        "then", "else", "over", "filter", "group", "by", "array", "row", "cast", "try_cast", "convert", "extract",
        "trim", "substring", "position", "overlay", "interval", "collate", "like", "ilike", "glob", "is", "between",
        "distinct", "union", "except", "intersect", "char", "varchar", "date", "time", "timestamp", "timestamptz",
        "match", "cube", "rollup", "struct", "unique", "any_value", "string", "int", "integer", "bigint", "numeric",
        "decimal", "float", "double", "bit", "json", "jsonb", "bool", "boolean", "text", "left", "right", "if",
    }
)  # fmt: skip


def is_read_function(name: str, dialect: str) -> bool:
    """Whether a call of this function only reads; of an unknown one nobody knows."""
    tables = _read_functions()
    known = tables.get("mysql" if dialect in MYSQL else dialect)
    lower = name.lower()
    if known is None:
        return lower in _SYNTAX or any(lower in names for names in tables.values())
    return lower in known or lower in _SYNTAX or bool(_READ_PREFIXES.match(lower))


@lru_cache(maxsize=1)
def _read_functions() -> dict[str, frozenset[str]]:
    """Names by database, from the table beside this module."""
    text = Path(__file__).with_name("functions.txt").read_text(encoding="utf-8")
    sections = re.findall(r"^\[(\w+)\]\n([^\[]*)", text, re.MULTILINE)
    return {database: frozenset(names.split()) for database, names in sections}
