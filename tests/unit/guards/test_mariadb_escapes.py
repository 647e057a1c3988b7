"""Claim: on MariaDB nothing a bullet can say commits its lane, and tables that no rollback reaches are not written."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Engine

from tests.servers.mariadb import MariadbServer
from tests.unit.guards.conftest import Telemetry
from tests.unit.guards.mariadb_shop import INSERT, Shop, bullet, new_shop
from tracer_bullet.guards import WriteRefused
from tracer_bullet.guards.sql import mysql


@pytest.fixture
def one_shop(mariadb: MariadbServer) -> Iterator[Shop]:
    """For what has nothing to do with the driver."""
    with new_shop(mariadb, "pymysql") as found:
        yield found


# https://mariadb.com/docs/server/reference/sql-statements/transactions/sql-statements-that-cause-an-implicit-commit
COMMITS = """
ALTER DATABASE CHARACTER SET utf8mb4
ALTER EVENT e DISABLE
ALTER FUNCTION f COMMENT 'x'
ALTER PROCEDURE p COMMENT 'x'
ALTER SERVER s OPTIONS (USER 'x')
ALTER TABLE orders ADD COLUMN note text
ALTER VIEW v AS SELECT 1
ALTER SEQUENCE q RESTART 5
ALTER USER tester IDENTIFIED BY ''
ANALYZE TABLE orders
BEGIN NOT ATOMIC COMMIT; END
CACHE INDEX orders IN c
CHANGE MASTER TO MASTER_HOST = 'x'
CHECK TABLE orders
CREATE DATABASE other
CREATE EVENT e ON SCHEDULE EVERY 1 DAY DO DELETE FROM orders
CREATE FUNCTION f() RETURNS int RETURN 1
CREATE INDEX i ON orders (sku)
CREATE PROCEDURE p() SELECT 1
CREATE ROLE r
CREATE SEQUENCE q
CREATE SERVER s FOREIGN DATA WRAPPER mysql OPTIONS (HOST 'x')
CREATE TABLE other (id int)
CREATE TEMPORARY TABLE other (id int)
CREATE TRIGGER t BEFORE INSERT ON orders FOR EACH ROW SET @a = 1
CREATE USER u
CREATE VIEW v AS SELECT 1
CREATE OR REPLACE TABLE other (id int)
DROP DATABASE other
DROP EVENT e
DROP FUNCTION f
DROP INDEX i ON orders
DROP PROCEDURE p
DROP ROLE r
DROP SEQUENCE q
DROP SERVER s
DROP TABLE orders
DROP TRIGGER t
DROP USER u
DROP VIEW v
FLUSH TABLES
GRANT ALL ON *.* TO tester
INSTALL SONAME 'x'
LOAD INDEX INTO CACHE orders
LOCK TABLES orders WRITE
OPTIMIZE TABLE orders
RENAME TABLE orders TO other
RENAME USER u TO v
REPAIR TABLE orders
RESET MASTER
REVOKE ALL ON *.* FROM u
SET PASSWORD FOR tester = PASSWORD('x')
SET autocommit = 1
SET @@session.autocommit = 1, @x = 2
SET GLOBAL max_connections = 151
SHUTDOWN
START SLAVE
STOP SLAVE
TRUNCATE TABLE orders
UNLOCK TABLES
XA START 'x'
XA RECOVER
CALL anything()
EXECUTE IMMEDIATE 'COMMIT'
PREPARE p FROM 'COMMIT'
HANDLER orders OPEN
COMMIT RELEASE
ROLLBACK RELEASE
KILL 1
SELECT get_lock('a', 0)
SELECT * FROM orders INTO OUTFILE '/tmp/tracer-bullet-never-written'
DELETE FROM orders; COMMIT
/*! TRUNCATE orders */
DELETE FROM orders /*M! ; COMMIT */
""".strip().splitlines()


@pytest.mark.parametrize("dialect", ["mysql", "mariadb"])
def test_what_commits_by_itself_is_refused(
    dialect: str, one_shop: Shop, arm_service: Any, telemetry: Telemetry
) -> None:
    def body(engine: Engine) -> None:
        with engine.connect() as c:
            c.exec_driver_sql(INSERT)
            for sql in COMMITS:
                with pytest.raises(WriteRefused):
                    c.exec_driver_sql(sql)
            assert c.exec_driver_sql("SELECT sku FROM orders ORDER BY id").scalars().all() == ["first", "x"]

    engine = sa.create_engine(one_shop.sqlalchemy_url().set(drivername=f"{dialect}+pymysql"))
    armed = arm_service()
    with bullet(armed):
        body(engine)
    engine.dispose()
    assert one_shop.rows == ["first"]
    assert [d for d, _ in telemetry.decisions] == ["rolled_back"] + ["denied"] * len(COMMITS)
    assert armed.problem == "", "what was refused in time is no reason to refuse bullets"


def test_two_phase_commit_is_refused(one_shop: Shop, arm_service: Any) -> None:
    def body(engine: Engine) -> None:
        with engine.connect() as c, c.begin_twophase() as both:
            c.execute(sa.text(INSERT))
            both.prepare()
            both.commit()

    with contextlib.suppress(sa.exc.StatementError), pytest.raises(WriteRefused):
        one_shop.fire(arm_service(), body)
    assert one_shop.rows == ["first"]
    one_shop.serve(body)
    assert one_shop.rows == ["first", "x"]


@pytest.mark.parametrize("engine_name", ["MyISAM", "Aria", "MEMORY", "CSV"])
def test_tables_without_transactions_are_refused(
    engine_name: str, one_shop: Shop, arm_service: Any, telemetry: Telemetry
) -> None:
    one_shop.ask(f"CREATE TABLE audit (sku varchar(100) NOT NULL) ENGINE {engine_name}")

    def body(engine: Engine) -> None:
        with engine.begin() as c:
            c.exec_driver_sql(INSERT)
            with pytest.raises(WriteRefused, match="has no transactions"):
                c.exec_driver_sql("INSERT INTO audit VALUES ('x')")
            with pytest.raises(WriteRefused, match="has no transactions"):
                c.exec_driver_sql("WITH a AS (SELECT 1) SELECT * FROM a; INSERT INTO audit VALUES ('x')")
            assert c.exec_driver_sql("SELECT count(*) FROM audit").scalar() == 0

    one_shop.fire(arm_service(), body)
    assert one_shop.ask("SELECT sku FROM audit") == []
    assert [d for d, _ in telemetry.decisions] == ["rolled_back", "denied", "denied"]


WAYS_TO_AUDIT = {
    "trigger": (
        "CREATE TRIGGER t AFTER INSERT ON orders FOR EACH ROW INSERT INTO audit VALUES (new.sku)",
        "INSERT INTO orders (sku) VALUES ('x')",
    ),
    "trigger and procedure": (
        "CREATE PROCEDURE note(s varchar(100)) INSERT INTO audit VALUES (s)",
        "CREATE TRIGGER t AFTER UPDATE ON orders FOR EACH ROW CALL note(new.sku)",
        "UPDATE orders SET sku = 'y'",
    ),
    "view": ("CREATE VIEW window AS SELECT sku FROM audit", "INSERT INTO window VALUES ('x')"),
    "function": (
        "CREATE FUNCTION note() RETURNS int BEGIN INSERT INTO audit VALUES ('x'); RETURN 1; END",
        "SELECT note()",
    ),
}


@pytest.mark.parametrize("way", WAYS_TO_AUDIT)
def test_ways_that_lead_to_a_table_without_transactions_are_refused(way: str, one_shop: Shop, arm_service: Any) -> None:
    *setup, write = WAYS_TO_AUDIT[way]
    for sql in ("CREATE TABLE audit (sku varchar(100)) ENGINE MyISAM", *setup):
        one_shop.ask(sql)

    def body(engine: Engine) -> None:
        with engine.begin() as c:
            c.exec_driver_sql("INSERT INTO harmless VALUES (1)")
            with pytest.raises(WriteRefused, match="leads to audit, whose engine has no transactions"):
                c.exec_driver_sql(write)

    one_shop.ask("CREATE TABLE harmless (id int)")
    one_shop.fire(arm_service(), body)
    assert one_shop.ask("SELECT sku FROM audit") == []
    assert one_shop.rows == ["first"]

    def without_commit(engine: Engine) -> None:
        with engine.connect() as c:
            c.exec_driver_sql(write)

    one_shop.serve(without_commit)
    assert len(one_shop.ask("SELECT sku FROM audit")) == 1, "the control: no rollback undoes it"


def test_the_catalogue_is_read_once_and_again_for_younger_tables(
    one_shop: Shop, monkeypatch: Any, arm_service: Any
) -> None:
    reads: list[int] = []
    read = mysql.read_catalogue
    monkeypatch.setattr(mysql, "read_catalogue", lambda ask: (reads.append(1), read(ask))[1])

    def body(engine: Engine) -> None:
        for sku in ("a", "b", "c"):
            with engine.begin() as c:
                c.exec_driver_sql(f"INSERT INTO orders (sku) VALUES ('{sku}')")

    armed = arm_service()
    one_shop.fire(armed, body)
    one_shop.fire(armed, body)
    assert len(reads) == 1
    one_shop.ask("CREATE TABLE younger (id int) ENGINE MyISAM")

    def refused(engine: Engine) -> None:
        with engine.begin() as c, pytest.raises(WriteRefused, match="has no transactions"):
            c.exec_driver_sql("INSERT INTO younger VALUES (1)")
        with engine.begin() as c, pytest.raises(WriteRefused, match="is not known"):
            c.exec_driver_sql("INSERT INTO mysql.time_zone VALUES (1, 'Y')")

    one_shop.fire(armed, refused)
    assert one_shop.ask("SELECT id FROM younger") == []
