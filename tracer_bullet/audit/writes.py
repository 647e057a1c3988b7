"""Which spans stand for a write, read from OpenTelemetry's attributes, old names and new."""

from __future__ import annotations

from dataclasses import dataclass

from tracer_bullet.guards.cache import commands as redis_commands
from tracer_bullet.guards.documents import commands as mongo_commands
from tracer_bullet.guards.policy import SAFE_METHODS
from tracer_bullet.guards.sql.statements import StatementKind, classify
from tracer_bullet.model import Span, SpanKind, System
from tracer_bullet.model.address import BROKERS, DATABASES, address_of, first, path_of

_SQL_SYSTEMS = frozenset(
    {"sqlite", "postgresql", "mysql", "mariadb", "mssql", "microsoft.sql_server", "oracle", "oracle.db", "cockroachdb",
     "redshift", "db2", "ibm.db2", "h2", "hsqldb", "snowflake", "clickhouse", "trino", "spanner", "gcp.spanner",
     "other_sql", "db"}
)  # fmt: skip
_REDIS_SYSTEMS = frozenset({"redis", "valkey", "keydb"})
# Commands that only read, for stores that have no table of their own and whose operation is one word.
_READS = frozenset(
    """
    GET MGET EXISTS PING AUTH SELECT INFO CONNECT COUNT SEARCH MSEARCH QUERY GETITEM BATCHGETITEM SCAN LISTTABLES
    DESCRIBETABLE GETOBJECT HEADOBJECT LISTOBJECTSV2
    """.split()  # noqa: SIM905  # twenty quoted words would be harder to read
)
_QUEUES = ("messaging.destination.name", "messaging.destination")
# Stages by which a MongoDB aggregation writes its result.
_MONGO_WRITES = ("$out", "$merge")
# What only takes from a broker, of `messaging.operation.type` and its predecessors.
_MESSAGE_READS = frozenset({"receive", "process", "deliver", "consume", "poll", "peek", "subscribe"})
_SQL_READS = frozenset(
    {"SELECT", "SHOW", "PRAGMA", "SET", "EXPLAIN", "EMPTY", "BEGIN", "COMMIT", "ROLLBACK", "SAVEPOINT"}
)


@dataclass(frozen=True, slots=True)
class Write:
    """A write that a span stands for: without values, as `INSERT orders`."""

    operation: str


def find_write(span: Span, system: System) -> Write | None:
    """The write that a span stands for, judged by what any instrumentation leaves; None when it is none.

    A database span that says nothing of its statement is a write, and so are a client's message that does
    not say which way it goes and a call to a third party that says no method: unknown is not harmless.
    """
    attributes = span.attributes
    if span.kind is SpanKind.PRODUCER:
        return Write(f"PUBLISH {first(attributes, _QUEUES) or span.name}")
    database = first(attributes, DATABASES)
    if database:
        return _database_write(span, database)
    if span.kind is SpanKind.CLIENT:
        return _message_write(span) if first(attributes, BROKERS) else _remote_write(span, system)
    return None


def _database_write(span: Span, database: str) -> Write | None:
    attributes = span.attributes
    statement = attributes.get("db.query.text") or attributes.get("db.statement")
    operation = attributes.get("db.operation.name") or attributes.get("db.operation")
    if database.lower() not in _SQL_SYSTEMS:
        return _command_write(span, database.lower(), operation, statement or "")
    if statement is None and operation is None:
        # Pools and drivers leave spans for connecting, which carry no statement.
        return None if span.name.lower() == "connect" else Write(span.name)
    if statement is None:
        verb = (operation or "").upper()
        return None if verb in _SQL_READS else Write(f"{verb} {attributes.get('db.collection.name', '')}".strip())
    found = classify(statement, {"microsoft.sql_server": "mssql"}.get(database, database))
    if found.kind in (StatementKind.WRITE, StatementKind.ESCAPE):
        return Write(found.operation)
    return None


def _command_write(span: Span, system: str, operation: str | None, statement: str) -> Write | None:
    """Stores of commands. A pipeline's statement has a line for each command, and one write makes it a write."""
    lines = [operation] if operation else (statement.strip() or span.name).splitlines()
    commands = [line.upper().split() for line in lines if line.strip()] or [["?"]]
    verbs = [words[0] for words in commands]
    writes = [words[0] for words in commands if not _only_reads(system, words)]
    if "AGGREGATE" in verbs and any(stage in statement for stage in _MONGO_WRITES):
        writes.append("AGGREGATE")
    return Write(f"{writes[0]} {span.attributes.get('db.collection.name', '')}".strip()) if writes else None


def _only_reads(system: str, words: list[str]) -> bool:
    if system in _REDIS_SYSTEMS:
        command = tuple(word.encode("utf-8", "replace") for word in words)
        return redis_commands.kind_of(redis_commands.name_of(command)) is redis_commands.Kind.READ
    if system == "mongodb":
        return words[0].lower() in mongo_commands.READS | mongo_commands.TRANSACTION_ENDS
    return words[0] in _READS


def _message_write(span: Span) -> Write | None:
    """Clients that send a message made before are of kind CLIENT (messaging spans, "Span kind")."""
    kind = first(span.attributes, ("messaging.operation.type", "messaging.operation", "messaging.operation.name"))
    if kind.lower() in _MESSAGE_READS:
        return None
    return Write(f"PUBLISH {first(span.attributes, _QUEUES) or span.name}")


def _remote_write(span: Span, system: System) -> Write | None:
    method = first(span.attributes, ("http.request.method", "http.method")).upper()
    host, port = address_of(span.attributes)
    if method in SAFE_METHODS or not system.is_third_party(host, port):
        return None
    if not method:
        call = span.attributes.get("rpc.method") or span.name
        return None if call.upper() in _READS else Write(f"CALL {host} {call}")
    return Write(f"{method} {host}{path_of(span.attributes)}")
