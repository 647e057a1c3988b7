"""Claim: a statement's kind is known, and what cannot be classified is a write."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tracer_bullet.guards.sql.statements import StatementKind, classify

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
        ("REPLACE INTO orders VALUES (1)", "sqlite", K.WRITE, "REPLACE orders"),
        ("UPDATE orders SET a = 'DELETE FROM x'", "sqlite", K.WRITE, "UPDATE orders"),
        ("DELETE FROM orders", "sqlite", K.WRITE, "DELETE orders"),
        ("MERGE INTO a USING b ON a.id=b.id WHEN MATCHED THEN DELETE", "postgresql", K.WRITE, "MERGE a"),
        ("WITH x AS (INSERT INTO t VALUES (1) RETURNING *) SELECT * FROM x", "postgresql", K.WRITE, "INSERT t"),
        ("SELECT * INTO copy FROM orders", "postgresql", K.WRITE, "SELECT INTO copy"),
        ("SELECT nextval('s')", "postgresql", K.WRITE, "SELECT nextval"),
        ("SELECT my_procedure(1)", "postgresql", K.WRITE, "SELECT my_procedure"),
        ("SELECT * FROM t WHERE id = %(pk_1)s::INTEGER AND n LIKE '%%a' LIMIT %s", "postgresql", K.READ, "SELECT"),
        ("INSERT INTO orders (id) VALUES (%(id)s::INTEGER)", "postgresql", K.WRITE, "INSERT orders"),
        ("CALL settle()", "postgresql", K.WRITE, "CALL settle"),
        ("COPY orders FROM STDIN", "postgresql", K.WRITE, "COPY orders"),
        ("EXPLAIN SELECT 1", "postgresql", K.READ, "EXPLAIN"),
        ("EXPLAIN ANALYZE INSERT INTO t VALUES (1)", "postgresql", K.WRITE, "EXPLAIN INSERT t"),
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
        ("COPY orders TO STDOUT", "postgresql", K.READ, "COPY"),
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
        # PostgreSQL
        ("COPY (SELECT 1) TO STDOUT", "postgresql", K.READ, "COPY"),
        ("COPY (DELETE FROM t RETURNING *) TO STDOUT", "postgresql", K.WRITE, "DELETE t"),
        ("COPY (SELECT '/*', 1 FROM (DELETE FROM t RETURNING 1) x, '*/') TO STDOUT", "postgresql", K.WRITE, None),
        ("EXPLAIN (ANALYZE, VERBOSE) DELETE FROM t", "postgresql", K.WRITE, "EXPLAIN DELETE t"),
        ("EXPLAIN /* x */ (VERBOSE, ANALYZE) DELETE FROM t", "postgresql", K.WRITE, "EXPLAIN DELETE t"),
        ("EXPLAIN (ANALYZE FALSE) DELETE FROM t", "postgresql", K.READ, "EXPLAIN"),
        ("EXPLAIN ANALYZE SELECT 1", "postgresql", K.READ, "EXPLAIN"),
        ("EXPLAIN DELETE FROM t", "postgresql", K.READ, "EXPLAIN"),
        ("EXPLAIN QUERY PLAN DELETE FROM t", "sqlite", K.READ, "EXPLAIN"),
        ("DECLARE c CURSOR FOR SELECT 1", "postgresql", K.READ, "SELECT"),
        ("DECLARE c CURSOR FOR SELECT setval('s', 1)", "postgresql", K.WRITE, "SELECT setval"),
        ("FETCH 1 FROM c", "postgresql", K.READ, "FETCH"),
        ("NOTIFY c, 'x'", "postgresql", K.WRITE, "NOTIFY c"),
        ("LISTEN c", "postgresql", K.WRITE, "LISTEN c"),
        ("UNLISTEN *", "postgresql", K.WRITE, "UNLISTEN"),
        ("LOCK TABLE billing.t IN SHARE MODE", "postgresql", K.WRITE, "LOCK billing.t"),
        ("REFRESH MATERIALIZED VIEW v", "postgresql", K.WRITE, "REFRESH v"),
        ("COMMENT ON TABLE t IS 'x'", "postgresql", K.WRITE, "COMMENT t"),
        ("GRANT SELECT ON t TO u", "postgresql", K.WRITE, "GRANT t"),
        ("ANALYZE t", "postgresql", K.WRITE, "ANALYZE t"),
        ("CREATE INDEX CONCURRENTLY i ON t (a)", "postgresql", K.ESCAPE, None),
        ("DISCARD ALL", "postgresql", K.ESCAPE, "DISCARD"),
        ("DROP DATABASE IF EXISTS x", "postgresql", K.ESCAPE, "DROP x"),
        ("EXECUTE ins(1)", "postgresql", K.WRITE, "EXECUTE ins"),
        ("INSERT INTO billing.t VALUES (1)", "postgresql", K.WRITE, "INSERT billing.t"),
        ("INSERT INTO public.t VALUES (1)", "postgresql", K.WRITE, "INSERT t"),
        ("TRUNCATE a, b", "postgresql", K.WRITE, "TRUNCATE a"),
        ("SELECT pg_notify('c', 'x')", "postgresql", K.WRITE, "SELECT pg_notify"),
        ("SELECT lower(a), now(), count(*) FILTER (WHERE b), to_char(c, 'x') FROM t", "postgresql", K.READ, None),
        ("SELECT shop.lower(a) FROM t", "postgresql", K.WRITE, "SELECT lower"),
        ("SELECT pg_catalog.lower(a), pg_catalog.pg_get_expr(a, b) FROM t", "postgresql", K.READ, None),
        ("SELECT predict(1), reduce(2)", "postgresql", K.WRITE, None),
        ('SELECT "setval"(1, 2)', "postgresql", K.WRITE, "SELECT setval"),
        ("SELECT * FROM settle_all(1)", "postgresql", K.WRITE, "SELECT settle_all"),
        ("SELECT query_to_xml('DELETE FROM t', true, true, '')", "postgresql", K.WRITE, None),
        ("SELECT http_post('http://x', '')", "postgresql", K.ESCAPE, None),
        ("SELECT * FROM a, LATERAL (SELECT 1) x (y)", "postgresql", K.READ, None),
        ("SELECT p FROM (VALUES (1, 0)) AS s(p, c) WHERE (p) IN (1) AND (c = 0)", "postgresql", K.READ, None),
        ("SELECT 1; SELECT 2", "postgresql", K.READ, None),
        # SQLite
        ("PRAGMA optimize", "sqlite", K.ESCAPE, "PRAGMA optimize"),
        ("PRAGMA wal_checkpoint", "sqlite", K.ESCAPE, "PRAGMA wal_checkpoint"),
        ("PRAGMA main.user_version", "sqlite", K.READ, "PRAGMA user_version"),
        ("ATTACH DATABASE 'x' AS y", "sqlite", K.ESCAPE, "ATTACH"),
        ("VACUUM INTO 'x'", "sqlite", K.ESCAPE, "VACUUM"),
        ("INSERT OR REPLACE INTO t VALUES (1)", "sqlite", K.WRITE, "INSERT t"),
        ("BEGIN IMMEDIATE TRANSACTION", "sqlite", K.BEGIN, "BEGIN"),
        ("/* /* */ DELETE FROM t; /* */ */", "sqlite", K.WRITE, None),
        ("SELECT writefile('x', 'y')", "sqlite", K.WRITE, "SELECT writefile"),
        # MySQL and MariaDB
        ("INSERT INTO t (a) VALUES (%s) ON DUPLICATE KEY UPDATE a = 1", "mysql", K.WRITE, "INSERT t"),
        ("INSERT INTO t SET a = 1", "mysql", K.WRITE, None),
        ("REPLACE INTO t VALUES (1)", "mysql", K.WRITE, "REPLACE t"),
        ("DELETE a, b FROM a JOIN b ON a.x = b.x", "mysql", K.WRITE, "DELETE a"),
        ("UPDATE a JOIN b ON a.x = b.x SET a.y = 1", "mysql", K.WRITE, "UPDATE a"),
        ("LOAD DATA LOCAL INFILE 'x' INTO TABLE t", "mariadb", K.WRITE, "LOAD t"),
        ("LOAD INDEX INTO CACHE t", "mysql", K.ESCAPE, None),
        ("GRANT SELECT ON t TO u", "mariadb", K.ESCAPE, "GRANT"),
        ("LOCK TABLES t WRITE", "mariadb", K.ESCAPE, "LOCK t"),
        ("UNLOCK TABLES", "mariadb", K.ESCAPE, "UNLOCK"),
        ("ANALYZE TABLE t", "mariadb", K.ESCAPE, "ANALYZE t"),
        ("ANALYZE FORMAT=JSON UPDATE t SET a = 1", "mariadb", K.WRITE, "EXPLAIN UPDATE t"),
        ("ANALYZE SELECT 1", "mariadb", K.READ, "EXPLAIN"),
        ("EXPLAIN UPDATE t SET a = 1", "mariadb", K.READ, "EXPLAIN"),
        ("SELECT * FROM t INTO OUTFILE '/tmp/x'", "mariadb", K.ESCAPE, None),
        ("SELECT * INTO DUMPFILE '/tmp/x' FROM t", "mariadb", K.ESCAPE, None),
        ("SELECT a INTO @x FROM t", "mysql", K.READ, None),
        ("SELECT * FROM t LOCK IN SHARE MODE", "mysql", K.READ, None),
        ("HANDLER t OPEN", "mysql", K.ESCAPE, "HANDLER t"),
        ("SET @@global.x = 1", "mysql", K.ESCAPE, "SET"),
        ("SET autocommit = 1", "mysql", K.ESCAPE, "SET"),
        ("SET AUTOCOMMIT=0", "mysql", K.READ, "SET"),
        ("SET PASSWORD = 'x'", "mysql", K.ESCAPE, "SET"),
        ("SET STATEMENT max_statement_time=1 FOR DELETE FROM t", "mariadb", K.ESCAPE, "SET"),
        ("SET @x = '/*', @y = settle(), @z = '*/'", "mysql", K.WRITE, "SELECT settle"),
        ("SET NAMES utf8mb4", "mysql", K.READ, "SET"),
        ("SELECT GET_LOCK('a', 1)", "mysql", K.ESCAPE, None),
        ("SELECT RELEASE_LOCK('a')", "mysql", K.WRITE, None),
        ("SELECT NEXT VALUE FOR s", "mariadb", K.WRITE, None),
        ("CALL settle()", "mariadb", K.ESCAPE, "CALL settle"),
        ("EXECUTE IMMEDIATE 'COMMIT'", "mariadb", K.ESCAPE, None),
        ("BEGIN NOT ATOMIC COMMIT; END", "mariadb", K.ESCAPE, None),
        ("XA START 'x'", "mariadb", K.ESCAPE, "XA"),
        ("RENAME TABLE a TO b", "mariadb", K.ESCAPE, "RENAME a"),
        ("OPTIMIZE TABLE t", "mariadb", K.ESCAPE, "OPTIMIZE t"),
        ("FLUSH TABLES", "mariadb", K.ESCAPE, "FLUSH"),
        ("START SLAVE", "mariadb", K.ESCAPE, "START"),
        ("TRUNCATE t", "mariadb", K.WRITE, "TRUNCATE t"),
        ("/*! DELETE FROM t */", "mysql", K.WRITE, "DELETE t"),
        ("/*M!100100 DELETE */ FROM t", "mariadb", K.WRITE, "DELETE t"),
        ("SELECT 1--1 FROM t", "mysql", K.READ, None),
        ("# x\n DELETE FROM t", "mysql", K.WRITE, "DELETE t"),
        ("START TRANSACTION WITH CONSISTENT SNAPSHOT", "mysql", K.BEGIN, "BEGIN"),
        ("SHOW TABLES", "mysql", K.READ, "SHOW"),
        ("SELECT last_insert_id(), found_rows(), ifnull(a, b) FROM t", "mysql", K.READ, None),
        ("nonsense that no parser knows", "sqlite", K.WRITE, "NONSENSE"),
        ("", "sqlite", K.READ, "EMPTY"),
    ],
)
def test_kinds(sql: str, dialect: str, kind: StatementKind, operation: str | None) -> None:
    found = classify(sql, dialect)
    assert found.kind is kind
    if operation is not None:
        assert found.operation == operation


DIALECTS = ["sqlite", "postgresql", "mysql", "mariadb", ""]
writes = st.sampled_from(
    [
        "INSERT INTO t VALUES (1)",
        "INSERT INTO t (a) SELECT a FROM b RETURNING a",
        "UPDATE t SET a=1",
        "UPDATE t SET a='/*' WHERE b = '*/'",
        "DELETE FROM t",
        "DELETE FROM t WHERE a = '--'",
        "DROP TABLE t",
        "TRUNCATE t",
        "ALTER TABLE t ADD COLUMN b int",
        "CREATE TABLE t (a int)",
        "MERGE INTO t USING b ON t.a = b.a WHEN MATCHED THEN DELETE",
        "REPLACE INTO t VALUES (1)",
        "CALL settle(1)",
        "SELECT settle(1)",
        "SELECT a, settle(b) FROM t WHERE c IN (SELECT 1)",
        "GRANT ALL ON t TO u",
        "LOCK TABLES t WRITE",
        "VACUUM",
        "DO 1",
        "EXPLAIN ANALYZE DELETE FROM t",
    ]
)
noise = st.sampled_from(
    ["", " ", "\n", "\t", "/* SELECT 1 */", "/* ' */", "-- SELECT 1\n", "-- '\n", ";", "SELECT 1;", "SELECT '/*';"]
)
nestable = st.sampled_from(
    ["INSERT INTO t VALUES (1) RETURNING a", "DELETE FROM t RETURNING a", "UPDATE t SET a=1 RETURNING a"]
)
dialects = st.sampled_from(DIALECTS)


def in_case(draw: st.DrawFn, text: str) -> str:
    """The text with some letters in the other case, outside of literals."""
    flips = draw(st.lists(st.integers(0, len(text) - 1), max_size=8))
    return "".join(c.swapcase() if i in flips else c for i, c in enumerate(text))


@st.composite
def hidden(draw: st.DrawFn) -> str:
    """A known write under blanks, comments, other statements and other letter case."""
    words = in_case(draw, draw(writes)).split(" ")
    gaps = st.sampled_from([" ", "\n", "\t  ", " /* SELECT 1 */ ", " -- SELECT 1\n", "/**/ "])
    text = words[0] + "".join(draw(gaps) + word for word in words[1:])
    return "".join(draw(st.lists(noise, max_size=3))) + text + " " + draw(noise)


@given(sql=hidden(), dialect=dialects)
@settings(max_examples=400, deadline=None)
def test_a_write_is_never_hidden(sql: str, dialect: str) -> None:
    assert classify(sql, dialect).kind in (K.WRITE, K.ESCAPE)


@given(
    write=nestable,
    shape=st.sampled_from(
        [
            "WITH x AS ({}) SELECT * FROM x",
            "WITH a AS (SELECT 1), x AS ({}) SELECT * FROM a, x",
            "WITH x AS (WITH y AS ({}) SELECT * FROM y) SELECT * FROM x",
            "WITH x AS ({}), z AS (SELECT * FROM x) SELECT count(*) FROM z UNION SELECT 1",
            "EXPLAIN ANALYZE WITH x AS ({}) SELECT * FROM x",
            "EXPLAIN (VERBOSE, ANALYZE TRUE) {}",
            "COPY (WITH x AS ({}) SELECT * FROM x) TO STDOUT",
            "DECLARE c CURSOR FOR WITH x AS ({}) SELECT * FROM x",
            "CREATE TABLE n AS WITH x AS ({}) SELECT * FROM x",
        ]
    ),
    blank=st.sampled_from([" ", "\n", " /* SELECT */ ", " -- it's\n"]),
)
@settings(deadline=None)
def test_a_write_inside_of_another_statement_is_found(write: str, shape: str, blank: str) -> None:
    sql = shape.format(write).replace(" ", blank)
    assert classify(sql, "postgresql").kind in (K.WRITE, K.ESCAPE)


def test_all_that_a_statement_writes_is_known() -> None:
    """Rules are held against each of them: what one rule lets through must not carry another write."""
    cases = {
        "WITH x AS (DELETE FROM items RETURNING *) INSERT INTO orders SELECT * FROM x": {
            "INSERT orders",
            "DELETE items",
        },
        "INSERT INTO a VALUES (1); DELETE FROM b": {"INSERT a", "DELETE b"},
        "TRUNCATE a, billing.b": {"TRUNCATE a", "TRUNCATE billing.b"},
        "SELECT f(1), g(2)": {"SELECT f", "SELECT g"},
        "INSERT INTO a VALUES (1)": {"INSERT a"},
    }
    for sql, operations in cases.items():
        assert set(classify(sql, "postgresql").operations) == operations, sql
    assert set(classify("UPDATE a JOIN b ON a.x = b.x SET a.y = 1", "mysql").operations) == {"UPDATE a", "UPDATE b"}


def test_why_a_rollback_is_of_no_use_is_said() -> None:
    assert "commits" in classify("LOCK TABLES t WRITE", "mariadb").why
    assert "transaction" in classify("VACUUM", "sqlite").why


@given(st.text(max_size=80), st.sampled_from([*DIALECTS, "oracle", "unheard-of"]))
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
    dialect=dialects,
)
def test_the_end_of_a_transaction_is_never_taken_for_a_write(
    end: str, tail: str, before: list[str], after: str, dialect: str
) -> None:
    """As a write it would be sent, and the lane's transaction with all that was written would be committed."""
    kind = classify("".join(before) + end.lower() + tail + after, dialect).kind
    assert kind in (K.COMMIT, K.ROLLBACK, K.ESCAPE)
