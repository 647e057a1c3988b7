"""Claim: on PostgreSQL nothing a bullet can say or call ends its lane's transaction or reaches past it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Engine

from tests.unit.guards.conftest import Telemetry
from tests.unit.guards.database import INSERT, Database
from tracer_bullet.guards import WriteRefused


def test_two_phase_commit_is_refused(psycopg_database: Database, arm_service: Any) -> None:
    def body(engine: Engine) -> None:
        with engine.connect() as c, c.begin_twophase() as both:
            c.execute(sa.text(INSERT))
            both.prepare()
            both.commit()

    with pytest.raises(WriteRefused, match=r"tpc_begin|PREPARE was refused"):
        psycopg_database.fire(arm_service(), body)
    assert psycopg_database.rows == ["first"]
    psycopg_database.serve(body)
    assert psycopg_database.rows == ["first", "x"]


@pytest.mark.parametrize(
    "sql",
    [
        "PREPARE TRANSACTION 'x'",
        "COMMIT PREPARED 'x'",
        "VACUUM orders",
        "CREATE DATABASE other",
        "ALTER SYSTEM SET work_mem = '5MB'",
        f"{INSERT}; COMMIT",
        "COPY orders TO '/dev/null'",
        "COPY orders TO PROGRAM 'cat >/dev/null'",
        "COPY orders (sku) FROM PROGRAM 'echo copied'",
        "SELECT pg_terminate_backend(0)",
        "INSERT INTO orders (sku) SELECT pg_terminate_backend(0)::text",
        "WITH a AS (INSERT INTO orders (sku) VALUES ('x') RETURNING id) SELECT pg_advisory_lock(id) FROM a",
        "EXPLAIN ANALYZE SELECT pg_advisory_lock(1)",
        "DO $$ BEGIN PERFORM pg_advisory_lock(1); END $$",
        "SELECT pg_logical_emit_message(false, 'a', 'b')",
        "SELECT pg_stat_reset()",
    ],
)
def test_what_a_rollback_would_not_undo_is_refused(
    sql: str, database: Database, arm_service: Any, telemetry: Telemetry
) -> None:
    def body(engine: Engine) -> None:
        with engine.connect() as c, pytest.raises(WriteRefused, match="would not undo"):
            c.exec_driver_sql(sql)

    armed = arm_service()
    database.fire(armed, body)
    assert database.rows == ["first"]
    assert [d for d, _ in telemetry.decisions] == ["denied"]
    assert armed.problem == "", "what was refused in time is no reason to refuse bullets"


@pytest.mark.parametrize("end", ["COMMIT", "END", "COMMIT AND CHAIN", "END TRANSACTION"])
@pytest.mark.parametrize("begin", ["BEGIN", "START TRANSACTION ISOLATION LEVEL SERIALIZABLE"])
def test_transaction_control_in_text_stays_in_the_lane(
    begin: str, end: str, database: Database, arm_service: Any
) -> None:
    def body(engine: Engine) -> None:
        with engine.connect() as c:
            c.exec_driver_sql(begin)
            c.exec_driver_sql(INSERT)
            c.exec_driver_sql(end)
            c.exec_driver_sql("INSERT INTO orders (sku) VALUES ('y')")
            c.exec_driver_sql("ABORT")
            c.exec_driver_sql("INSERT INTO orders (sku) VALUES ('z')")
            c.exec_driver_sql("ROLLBACK WORK")
        with engine.connect() as c:
            assert c.execute(sa.text("SELECT count(*) FROM orders")).scalar() == 2

    armed = arm_service()
    database.fire(armed, body)
    assert database.rows == ["first"]
    assert armed.problem == ""


RAW: dict[str, Callable[[Any], None]] = {
    "commit": lambda raw: raw.commit(),
    "cursor text": lambda raw: raw.cursor().execute("COMMIT"),
    "connection of the cursor": lambda raw: raw.cursor().connection.commit(),
    "connection inside": lambda raw: raw.dbapi_connection.commit(),
}


@pytest.mark.parametrize("way", RAW)
def test_raw_connections_stay_in_the_lane(
    way: str, psycopg_database: Database, arm_service: Any, telemetry: Telemetry
) -> None:
    def body(engine: Engine) -> None:
        raw = engine.raw_connection()
        try:
            cursor = raw.cursor()
            cursor.execute("INSERT INTO orders (sku) VALUES (%s) RETURNING id", ["x"])
            assert cursor.fetchone()[0] > 1
            RAW[way](raw)
        finally:
            raw.close()
        with engine.connect() as c:
            assert c.execute(sa.text("SELECT count(*) FROM orders")).scalar() == 2

    psycopg_database.check(arm_service(), body, ["x"])
    assert telemetry.decisions == [("rolled_back", "INSERT orders")]


@pytest.mark.parametrize(
    "use",
    [
        lambda raw: raw.execute("SELECT 1"),
        lambda raw: raw.transaction(),
        lambda raw: raw.tpc_begin(raw.xid(1, "g", "b")),
        lambda raw: setattr(raw, "autocommit", True),
        lambda raw: raw.driver_connection,
        lambda raw: raw.detach(),
    ],
)
def test_what_the_drivers_connection_can_do_besides_is_refused(
    use: Callable[[Any], Any], psycopg_database: Database, arm_service: Any
) -> None:
    def body(engine: Engine) -> None:
        raw = engine.raw_connection()
        with pytest.raises(WriteRefused):
            use(raw)
        raw.close()

    psycopg_database.fire(arm_service(), body)


def test_copy_through_a_raw_cursor_is_rolled_back(
    psycopg_database: Database, arm_service: Any, telemetry: Telemetry
) -> None:
    def body(engine: Engine) -> None:
        raw = engine.raw_connection()
        with raw.cursor().copy("COPY orders (sku) FROM STDIN") as copy:
            copy.write_row(["x"])
            copy.write_row(["y"])
        raw.commit()
        raw.close()

    psycopg_database.check(arm_service(), body, ["x", "y"])
    assert telemetry.decisions == [("rolled_back", "COPY orders")]


def test_several_statements_in_one_text(psycopg_database: Database, arm_service: Any, telemetry: Telemetry) -> None:
    def body(engine: Engine) -> None:
        with engine.begin() as c:
            c.exec_driver_sql(f"{INSERT}; INSERT INTO orders (sku) VALUES ('y')")

    psycopg_database.check(arm_service(), body, ["x", "y"])
    assert telemetry.decisions == [("rolled_back", "INSERT orders; INSERT orders")]
