"""What a SQL statement does: read, write, or steer the transaction.

Cut and parsed by sqlglot and cached by text; never by prefix. What cannot be classified is a
write. Only bullets pay for this: STANDARD requests never come here.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache
from typing import Any, Final

from tracer_bullet.guards.sql import words
from tracer_bullet.guards.sql.tree import (
    DDL,
    DEFAULT_SCHEMAS,
    copies_outside,
    is_a,
    known_name,
    operation_name,
    parse,
    quiet_sqlglot,
    readable,
    sqlglot_name,
    verb,
    writers,
    written_tables,
)


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
    """A statement's kind and, without values, what it does: `INSERT orders`, `DELETE billing.invoices`.

    `writes`: all that it writes, where that is more than `operation` says (CTEs with writes, several
    statements in one string). `why`: the reason why a rollback would not undo it, where one is known.
    """

    kind: StatementKind
    operation: str
    is_ddl: bool = False
    writes: tuple[str, ...] = ()
    why: str = ""

    @property
    def operations(self) -> tuple[str, ...]:
        """What rules are held against: every write in it."""
        return self.writes or (self.operation,)


_K = StatementKind
_COMMENT: Final = re.compile(r"/\*.*?\*/|--[^\n]*", re.DOTALL)
_FIRST_WORD: Final = re.compile(r"[^\w]*(\w+)")
_EXPLAIN_OPTION: Final = re.compile(
    r"\s*(?:\(([^()]*)\)|(ANALY[SZ]E|VERBOSE|EXTENDED|PARTITIONS|QUERY\s+PLAN|FORMAT\s*=?\s*\w+)\b)", re.IGNORECASE
)
_ANALYZE_OFF: Final = re.compile(r"ANALY[SZ]E\s+(FALSE|OFF|0)\b", re.IGNORECASE)
_ANALYZED: Final = re.compile(r"\s*(FORMAT\s*=\s*\w+\s+)?(SELECT|INSERT|UPDATE|DELETE|REPLACE|WITH|\()", re.IGNORECASE)
_NAME: Final = r"\s*((?:[\w$]+|\"[^\"]+\"|`[^`]+`)(?:\.(?:[\w$]+|\"[^\"]+\"|`[^`]+`))?)"
_DML: Final = frozenset({"SELECT", "INSERT", "UPDATE", "DELETE", "MERGE", "WITH", "VALUES", "TABLE", "REPLACE", "COPY"})
_BLANKS: Final = re.compile(r"(?:\s+|/\*.*?\*/|--[^\n]*)*", re.DOTALL)
_OPTION_LIST: Final = re.compile(
    r"\s*(ANALY|VERBOSE|COSTS|SETTINGS|GENERIC_PLAN|BUFFERS|SERIALIZE|WAL|TIMING|SUMMARY|MEMORY|FORMAT)", re.IGNORECASE
)
_OUTSIDE_NAME: Final = re.compile(
    rf"(?:DATABASE|TABLESPACE|SUBSCRIPTION)(?:\s+IF\s+(?:NOT\s+)?EXISTS)?{_NAME}", re.IGNORECASE
)
_NO_TAIL: Final = frozenset({"COMMIT", "ROLLBACK", "END", "ABORT"})
_ENDS: Final = {"COMMIT": _K.COMMIT, "END": _K.COMMIT, "ROLLBACK": _K.ROLLBACK, "ABORT": _K.ROLLBACK}


@lru_cache(maxsize=4096)
def classify(sql: str, dialect: str = "") -> Statement:
    """What `sql` does; `dialect` is a SQLAlchemy dialect name or empty. Never raises."""
    try:
        return _classify(readable(sql, dialect), dialect)
    except RecursionError:
        return Statement(_K.ESCAPE, "UNKNOWN", why="it is nested too deeply to be understood")


def _classify(text: str, dialect: str) -> Statement:
    chunks = _cut(text, dialect)
    if chunks is None:
        return _unparsed(text, dialect)
    found = [_one(chunk, calls, dialect) for chunk, calls in chunks]
    if not found:
        return Statement(_K.READ, "EMPTY")
    return found[0] if len(found) == 1 else _several(found)


def _cut(text: str, dialect: str) -> list[tuple[str, frozenset[str]]] | None:
    """The single statements, each with the names that stand before a parenthesis; None when it cannot be cut."""
    import sqlglot  # noqa: PLC0415

    quiet_sqlglot()
    try:
        tokens = sqlglot.tokenize(text, read=known_name(sqlglot_name(dialect)))
    except (sqlglot.errors.SqlglotError, ValueError):
        return None
    chunks: list[tuple[str, frozenset[str]]] = []
    start, calls = None, set[str]()
    for i, token in enumerate(tokens):
        if token.token_type is sqlglot.TokenType.SEMICOLON:
            if start is not None:
                chunks.append((text[start : token.start], frozenset(calls)))
            start, calls = None, set()
            continue
        start = token.start if start is None else start
        if i + 1 < len(tokens) and tokens[i + 1].token_type is sqlglot.TokenType.L_PAREN:
            calls.add(token.text)
    if start is not None:
        chunks.append((text[start:], frozenset(calls)))
    return chunks


def _several(statements: list[Statement]) -> Statement:
    """Many statements in one string: transaction control among them cannot be followed."""
    kinds = {s.kind for s in statements}
    written = [s for s in statements if s.kind is not _K.READ]
    operation = "; ".join(s.operation for s in written) or "SELECT"
    if kinds <= {_K.READ}:
        return Statement(_K.READ, operation)
    every = tuple(dict.fromkeys(o for s in written for o in s.operations))
    if kinds <= {_K.READ, _K.WRITE}:
        return Statement(_K.WRITE, operation, any(s.is_ddl for s in statements), every)
    return Statement(_K.ESCAPE, operation, writes=every)


def _unparsed(text: str, dialect: str) -> Statement:
    """Text that cannot even be cut into words: by its first one, and refused where another statement may follow."""
    match = _FIRST_WORD.match(_COMMENT.sub(" ", text))
    word = match.group(1).upper() if match else "UNKNOWN"
    if ";" in text.rstrip("; \t\r\n") or word in _NO_TAIL or word in words.ESCAPES or dialect in words.MYSQL:
        return Statement(_K.ESCAPE, word, why="it cannot be understood")
    return _fallback(word, text)


def _fallback(word: str, text: str) -> Statement:
    escapes = words.ESCAPE_CALLS.search(text) or words.INTO_FILE.search(text)
    return Statement(_K.ESCAPE if escapes else _K.WRITE, word)


def _one(text: str, calls: frozenset[str], dialect: str) -> Statement:
    """One statement, without comments before it."""
    match = _FIRST_WORD.match(text)
    word, rest = (match.group(1).upper(), _trimmed(text[match.end() :])) if match else ("UNKNOWN", "")
    plain = _COMMENT.sub(" ", rest)  # for words only: a literal may look like a comment
    control = _control(word, plain.upper().split())
    if control is not None:
        return control
    special = _SPECIAL.get(word)
    found = special(word, rest, dialect) if special is not None else None
    if found is None and word not in _DML:
        found = _command(word, plain, rest, dialect)
    if found is not None:
        return found
    tree = parse(text, dialect)
    if tree is None:
        return _fallback(_with_name(word, plain), text)
    return _tree(tree, calls, dialect, _with_name(word, plain), rest)


def _trimmed(text: str) -> str:
    """Text without the blanks and comments that it begins with."""
    return text[_BLANKS.match(text).end() :]  # type: ignore[union-attr]  # it matches nothing, too


def _control(word: str, tail: list[str]) -> Statement | None:
    """Transaction control; None for anything else."""
    if word in ("SAVEPOINT", "RELEASE") or (word == "ROLLBACK" and "TO" in tail[:2]):
        return Statement(_K.SAVEPOINT, "SAVEPOINT")
    if word in _ENDS:
        # COMMIT PREPARED, COMMIT RELEASE and the like end a transaction in ways that cannot be followed.
        kind = _ENDS[word] if words.CONTROL_TAILS.issuperset(tail) else _K.ESCAPE
        return Statement(kind, word if kind is _K.ESCAPE else kind.value.upper())
    begins = word == "BEGIN" or (word == "START" and tail[:1] == ["TRANSACTION"])
    if begins and words.BEGIN_TAILS.issuperset(" ".join(tail).replace(",", " ").split()) and "ATOMIC" not in tail:
        return Statement(_K.BEGIN, "BEGIN")
    return None


def _command(word: str, plain: str, rest: str, dialect: str) -> Statement | None:
    """What the first word alone decides; None where the statement must be parsed."""
    mysql = dialect in words.MYSQL
    loads_data = word == "LOAD" and mysql and plain.upper().split()[:1] in (["DATA"], ["XML"])
    operation = _with_name(word, plain)
    if mysql and words.MYSQL_ESCAPES.get(word):
        return Statement(_K.ESCAPE, operation, why=words.MYSQL_ESCAPES[word])
    if word in words.ESCAPES and not loads_data:
        return Statement(_K.ESCAPE, operation, why=words.ESCAPES[word])
    if words.OUTSIDE_DDL.match(f"{word} {plain}".upper()):
        name = _OUTSIDE_NAME.search(plain)
        return Statement(_K.ESCAPE, f"{word} {_unquoted(name[1])}" if name else word)
    if words.ESCAPE_CALLS.search(rest):
        return Statement(_K.ESCAPE, word)
    if word == "BEGIN":
        return Statement(_K.ESCAPE, word, why="it is no plain beginning of a transaction")
    if word in words.READS:
        return Statement(_K.READ, word)
    return Statement(_K.WRITE, operation) if word in words.NAMED or loads_data else None


def _with_name(word: str, rest: str) -> str:
    """`CALL settle`: the word and the name of what it acts on, where commands have one."""
    before = words.NAMED.get(word, None if word != "LOAD" else r".*?\bTABLE\b")
    if before is None:
        return word
    found = re.match(rf"\s*(?:{before}\b)?{_NAME}" if before else _NAME, rest, re.IGNORECASE | re.DOTALL)
    return f"{word} {_unquoted(found[1])}" if found else word


def _unquoted(name: str) -> str:
    schema, _, table = name.replace('"', "").replace("`", "").rpartition(".")
    return table if schema in DEFAULT_SCHEMAS else f"{schema}.{table}"


def _explained(_word: str, rest: str, dialect: str) -> Statement:
    """EXPLAIN runs its statement only when it analyses."""
    analyzes = False
    while (option := _EXPLAIN_OPTION.match(rest)) is not None:
        text = option[1] or option[2]
        if option[1] is not None and not _OPTION_LIST.match(text):
            break  # a statement in parentheses
        analyzes |= "ANALY" in text.upper() and not _ANALYZE_OFF.search(text)
        rest = _trimmed(rest[option.end() :])
    inner = _classify(rest, dialect) if analyzes else Statement(_K.READ, "")
    if inner.kind is _K.READ:
        return Statement(_K.READ, "EXPLAIN")
    every = tuple(f"EXPLAIN {operation}" for operation in inner.operations)
    return Statement(inner.kind, f"EXPLAIN {inner.operation}", inner.is_ddl, every, inner.why)


def _analyzed(_word: str, rest: str, dialect: str) -> Statement | None:
    """MariaDB's ANALYZE runs a statement; everybody's counts a table's rows."""
    match = _ANALYZED.match(rest)
    if match is None or dialect not in words.MYSQL:
        return None
    return _explained("EXPLAIN", "ANALYZE " + rest[match.start(2) :], dialect)


def _pragma(_word: str, rest: str, _dialect: str) -> Statement:
    match = re.match(r"(?:\w+\.)?(\w+)\s*(.?)", rest)
    name = match.group(1).lower() if match else ""
    acts = bool(match and match.group(2)) or name in words.ACTING_PRAGMAS
    kind = _K.READ if name in words.READ_PRAGMAS or not acts else _K.ESCAPE
    return Statement(kind, f"PRAGMA {name}".strip())


def _set(word: str, rest: str, dialect: str) -> Statement:
    """Settings of the session pass; those of the server, and those that commit, do not."""
    upper = rest.upper()
    if re.match(r"(SESSION\s+|LOCAL\s+)?TRANSACTION\b", upper):
        return Statement(_K.READ, "SET TRANSACTION")
    if dialect in words.MYSQL:
        if word == "RESET" or re.search(r"\b(GLOBAL|PERSIST|PERSIST_ONLY)\b", upper):
            return Statement(_K.ESCAPE, word, why="it changes the server")
        if re.match(r"(PASSWORD|DEFAULT\s+ROLE|STATEMENT)\b", upper):  # MariaDB: SET STATEMENT … FOR UPDATE …
            return Statement(_K.ESCAPE, word, why="it commits, or runs another statement")
        if re.search(r"\bAUTOCOMMIT\b\W*(:?=|TO)\s*(?!0|OFF|FALSE)", upper):
            return Statement(_K.ESCAPE, word, why="it commits the transaction that it runs in")
    if "(" not in rest:
        return Statement(_K.READ, word)
    tree = parse(f"{word} {rest}", dialect)
    if tree is None:
        return _fallback(word, rest)
    found = _functions(tree, frozenset(), dialect)
    return found if found.kind is not _K.READ else Statement(_K.READ, word)


def _declared(word: str, rest: str, dialect: str) -> Statement:
    """A cursor is judged by its query: fetching from it cannot be."""
    match = re.search(r"\bFOR\b", rest, re.IGNORECASE)
    return _classify(rest[match.end() :], dialect) if match else Statement(_K.WRITE, word)


def _copied(_word: str, rest: str, dialect: str) -> Statement | None:
    match = re.match(r"\((.*)\)\s*TO\s+(\S+)", rest, re.IGNORECASE | re.DOTALL)
    if match is None:
        return None
    inner = _classify(match[1], dialect)
    if match[2].upper().rstrip(";") != "STDOUT":
        return Statement(_K.ESCAPE, "COPY", writes=("COPY", *inner.writes), why="it writes a file of the server's")
    return Statement(_K.READ, "COPY") if inner.kind is _K.READ else inner


_SPECIAL: Final[dict[str, Callable[[str, str, str], Statement | None]]] = {
    "EXPLAIN": _explained,
    "DESCRIBE": _explained,
    "DESC": _explained,
    "ANALYZE": _analyzed,
    "PRAGMA": _pragma,
    "SET": _set,
    "RESET": _set,
    "DECLARE": _declared,
    "COPY": _copied,
}


def _tree(tree: Any, calls: frozenset[str], dialect: str, operation: str, rest: str) -> Statement:
    from sqlglot import exp  # noqa: PLC0415

    escape = next((c for c in tree.find_all(exp.Anonymous) if words.ESCAPE_FUNCTIONS.match(c.name.lower())), None)
    if escape is not None:
        why = "its effect is outside the transaction"
        return Statement(_K.ESCAPE, f"{verb(tree)} {escape.name.lower()}", writes=_writes(tree), why=why)
    found = _writes(tree)
    if operation.startswith("REPLACE ") and found:
        found = (operation, *found[1:])
    if found:
        return _written(tree, found)
    if isinstance(tree, exp.Copy):
        return Statement(_K.READ, "COPY")
    if not isinstance(tree, (exp.Query, exp.Values, exp.Describe, exp.Show, exp.Use)):
        return _fallback(operation, rest)
    if words.INTO_FILE.search(rest):
        return Statement(_K.ESCAPE, "SELECT INTO OUTFILE", why="it writes a file of the server's")
    return _functions(tree, calls, dialect)


def _written(tree: Any, found: tuple[str, ...]) -> Statement:
    from sqlglot import exp  # noqa: PLC0415

    every = found if len(found) > 1 else ()
    if any(copies_outside(node) for node in tree.find_all(exp.Copy)):
        return Statement(_K.ESCAPE, found[0], writes=every, why="it uses a file or program of the server's")
    return Statement(_K.WRITE, found[0], any(is_a(node, DDL) for node in tree.walk()), every)


def _writes(tree: Any) -> tuple[str, ...]:
    """What a tree writes, the outermost first."""
    found: dict[str, None] = {}
    for node in writers(tree):
        names = [operation_name(table) for table in written_tables(node)]
        found.update(dict.fromkeys(f"{verb(node)} {name}".strip() for name in names or [""]))
    return tuple(found)


def _functions(tree: Any, calls: frozenset[str], dialect: str) -> Statement:
    """A query by what it calls: only functions that are known to read leave it a read."""
    from sqlglot import Dialect, exp  # noqa: PLC0415

    # What sqlglot gives a class of its own has lost the name that it was called by.
    parsed = Dialect.get_or_raise(known_name(sqlglot_name(dialect))).parser_class.FUNCTIONS
    names = [name for name in sorted(calls) if name.upper() in parsed]
    names += [call.name for call in tree.find_all(exp.Anonymous)]
    others = [dot.expression.name for dot in tree.find_all(exp.Dot) if _in_schema(dot)]
    unknown = [name for name in names if not words.is_read_function(name, dialect)] + others
    if any(True for _ in tree.find_all(exp.NextValueFor)):
        unknown.append("nextval")
    if not unknown:
        return Statement(_K.READ, "SELECT")
    every = tuple(dict.fromkeys(f"SELECT {name.lower()}" for name in unknown))
    return Statement(_K.WRITE, every[0], writes=every if len(every) > 1 else ())


def _in_schema(dot: Any) -> bool:
    """Whether a call names a schema of the application's, where any function may stand."""
    from sqlglot import exp  # noqa: PLC0415

    if not isinstance(dot.expression, exp.Func):
        return False
    return dot.this.name.lower() not in (
        "pg_catalog",
        "information_schema",
    ) and not dot.expression.name.lower().startswith("st_")
