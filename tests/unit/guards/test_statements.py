"""Claim: a statement's kind is known, and what cannot be classified is a write."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracer_bullet.guards.statements import StatementKind, classify

K = StatementKind


@pytest.mark.parametrize(
    ("sql", "dialect", "kind", "operation"),
    [
        ("SELECT 1", "", K.READ, "SELECT"),
        ("select * from orders where id = %(id)s", "postgresql", K.READ, "SELECT"),
        ("/* hint */ -- line\n SELECT count(*) FROM t", "sqlite", K.READ, "SELECT"),
        ("SELECT * FROM orders FOR UPDATE", "postgresql", K.READ, "SELECT"),
        ("WITH a AS (SELECT 1) SELECT * FROM a", "postgresql", K.READ, "SELECT"),
        ("INSERT INTO orders (id) VALUES (?)", "sqlite", K.WRITE, "INSERT orders"),
        ("INSERT INTO orders (id) VALUES (%s)", "mysql", K.WRITE, "INSERT orders"),
        ("INSERT INTO orders (id) VALUES (%(id_m0)s) RETURNING id", "postgresql", K.WRITE, "INSERT orders"),
        ("REPLACE INTO orders VALUES (1)", "sqlite", K.WRITE, "REPLACE"),
        ("UPDATE orders SET a = 'DELETE FROM x'", "sqlite", K.WRITE, "UPDATE orders"),
        ("DELETE FROM orders", "sqlite", K.WRITE, "DELETE orders"),
        ("MERGE INTO a USING b ON a.id=b.id WHEN MATCHED THEN DELETE", "postgresql", K.WRITE, "MERGE a"),
        ("WITH x AS (INSERT INTO t VALUES (1) RETURNING *) SELECT * FROM x", "postgresql", K.WRITE, "INSERT t"),
        ("SELECT * INTO copy FROM orders", "postgresql", K.WRITE, "SELECT INTO copy"),
        ("SELECT nextval('s')", "postgresql", K.WRITE, "SELECT nextval"),
        ("SELECT my_procedure(1)", "postgresql", K.WRITE, "SELECT my_procedure"),
        ("SELECT * FROM t WHERE id = %(pk_1)s::INTEGER AND n LIKE '%%a' LIMIT %s", "postgresql", K.READ, "SELECT"),
        ("INSERT INTO orders (id) VALUES (%(id)s::INTEGER)", "postgresql", K.WRITE, "INSERT orders"),
        ("CALL settle()", "postgresql", K.WRITE, "CALL"),
        ("COPY orders FROM STDIN", "postgresql", K.WRITE, "COPY orders"),
        ("EXPLAIN SELECT 1", "postgresql", K.READ, "EXPLAIN"),
        ("EXPLAIN ANALYZE INSERT INTO t VALUES (1)", "postgresql", K.WRITE, "EXPLAIN"),
        ("SELECT 1; DELETE FROM orders", "sqlite", K.WRITE, "DELETE orders"),
        ("DELETE FROM orders; COMMIT", "postgresql", K.ESCAPE, "DELETE orders; COMMIT"),
        ("CREATE TABLE t (a int)", "sqlite", K.WRITE, "CREATE t"),
        ("TRUNCATE orders", "postgresql", K.WRITE, "TRUNCATE orders"),
        ("CREATE DATABASE x", "postgresql", K.ESCAPE, "CREATE x"),
        ("BEGIN", "", K.BEGIN, "BEGIN"),
        ("COMMIT", "", K.COMMIT, "COMMIT"),
        ("ROLLBACK", "", K.ROLLBACK, "ROLLBACK"),
        ("ROLLBACK TO SAVEPOINT a", "", K.SAVEPOINT, "SAVEPOINT"),
        ("SAVEPOINT sa_savepoint_1", "", K.SAVEPOINT, "SAVEPOINT"),
        ("RELEASE SAVEPOINT a", "", K.SAVEPOINT, "SAVEPOINT"),
        ("SAVEPOINT a; COMMIT", "", K.ESCAPE, "SAVEPOINT; COMMIT"),
        ("COPY orders TO STDOUT", "postgresql", K.WRITE, "COPY orders"),
        ("COPY orders TO '/tmp/x'", "postgresql", K.ESCAPE, "COPY orders"),
        ("COPY orders FROM 'STDIN'", "postgresql", K.ESCAPE, "COPY orders"),
        ("COPY (SELECT 1) TO PROGRAM 'mail'", "postgresql", K.ESCAPE, "COPY"),
        ("START TRANSACTION READ ONLY", "postgresql", K.BEGIN, "BEGIN"),
        ("END", "postgresql", K.COMMIT, "COMMIT"),
        ("END TRANSACTION", "sqlite", K.COMMIT, "COMMIT"),
        ("ABORT", "postgresql", K.ROLLBACK, "ROLLBACK"),
        ("ABORT AND CHAIN", "postgresql", K.ROLLBACK, "ROLLBACK"),
        ("COMMIT PREPARED 'x'", "postgresql", K.ESCAPE, "COMMIT"),
        ("ALTER SYSTEM SET work_mem = '5MB'", "postgresql", K.ESCAPE, "ALTER"),
        ("PREPARE TRANSACTION 'x'", "postgresql", K.ESCAPE, "PREPARE"),
        ("VACUUM", "sqlite", K.ESCAPE, "VACUUM"),
        ("SELECT dblink_exec('c', 'DELETE')", "postgresql", K.ESCAPE, "SELECT dblink_exec"),
        ("INSERT INTO t SELECT pg_terminate_backend(1)", "postgresql", K.ESCAPE, "INSERT pg_terminate_backend"),
        ("DO $$ BEGIN PERFORM dblink_exec ('c', 'x'); END $$", "postgresql", K.ESCAPE, "DO"),
        ("SELECT pg_create_logical_replication_slot('a', 'b')", "postgresql", K.ESCAPE, None),
        ("SET TRANSACTION ISOLATION LEVEL SERIALIZABLE", "postgresql", K.READ, "SET TRANSACTION"),
        ("SET LOCAL statement_timeout = 5", "postgresql", K.READ, "SET"),
        ("SET GLOBAL x = 1", "mysql", K.ESCAPE, "SET"),
        ("PRAGMA table_info('t')", "sqlite", K.READ, "PRAGMA table_info"),
        ("PRAGMA foreign_keys = ON", "sqlite", K.READ, "PRAGMA foreign_keys"),
        ("PRAGMA journal_mode = DELETE", "sqlite", K.ESCAPE, "PRAGMA journal_mode"),
        ("nonsense that no parser knows", "sqlite", K.WRITE, "NONSENSE"),
        ("", "sqlite", K.READ, "EMPTY"),
    ],
)
def test_kinds(sql: str, dialect: str, kind: StatementKind, operation: str | None) -> None:
    found = classify(sql, dialect)
    assert found.kind is kind
    if operation is not None:
        assert found.operation == operation


writes = st.sampled_from(
    ["INSERT INTO t VALUES (1)", "UPDATE t SET a=1", "DELETE FROM t", "DROP TABLE t", "TRUNCATE t"]
)
noise = st.sampled_from(["", " ", "\n", "\t", "/* SELECT 1 */", "-- SELECT 1\n", ";", "SELECT 1;"])


@given(
    write=writes,
    before=st.lists(noise, max_size=3),
    after=noise,
    dialect=st.sampled_from(["sqlite", "postgresql", "mysql", ""]),
)
def test_a_write_is_never_hidden(write: str, before: list[str], after: str, dialect: str) -> None:
    assert classify("".join(before) + write + " " + after, dialect).kind in (K.WRITE, K.ESCAPE)


@given(st.text(max_size=80), st.sampled_from(["sqlite", "postgresql", "mysql", "oracle", "unheard-of"]))
def test_any_text_is_classified(sql: str, dialect: str) -> None:
    assert classify(sql, dialect).kind in K


def test_statements_of_sqlalchemy_itself() -> None:
    """What Core and ORM compile for two dialects is classified as what it is."""
    import sqlalchemy as sa
    from sqlalchemy.dialects import mysql, postgresql, sqlite

    table = sa.Table("orders", sa.MetaData(), sa.Column("id", sa.Integer, primary_key=True), sa.Column("n", sa.String))
    cases = [
        (sa.select(table).where(table.c.n.like("a%")), K.READ),
        (sa.insert(table).values(n="x"), K.WRITE),
        (sa.update(table).values(n="x").where(table.c.id == 1), K.WRITE),
        (sa.delete(table), K.WRITE),
        (sa.insert(table).from_select(["n"], sa.select(table.c.n)), K.WRITE),
        (sa.select(sa.func.count()).select_from(table), K.READ),
    ]
    for dialect in (sqlite.dialect(), postgresql.dialect(), mysql.dialect()):
        for statement, kind in cases:
            sql = str(statement.compile(dialect=dialect))
            assert classify(sql, dialect.name).kind is kind, (dialect.name, sql)


ends = st.sampled_from(["COMMIT", "END", "ROLLBACK", "ABORT"])
tails = st.sampled_from(["", " WORK", " TRANSACTION", " AND CHAIN", " AND NO CHAIN RELEASE", " PREPARED 'x'"])
rests = st.sampled_from(["", ";", " \n", " /* traceparent='00' */", " -- done\n", "; SELECT 1", ";;"])


@given(
    end=ends,
    tail=tails,
    before=st.lists(noise, max_size=2),
    after=rests,
    dialect=st.sampled_from(["sqlite", "postgresql", "mysql", ""]),
)
def test_the_end_of_a_transaction_is_never_taken_for_a_write(
    end: str, tail: str, before: list[str], after: str, dialect: str
) -> None:
    """As a write it would be sent, and the lane's transaction with all that was written would be committed."""
    kind = classify("".join(before) + end.lower() + tail + after, dialect).kind
    assert kind in (K.COMMIT, K.ROLLBACK, K.ESCAPE)
