"""Claim: on a real PostgreSQL a bullet's SQL runs for real and leaves nothing: no row, no lock, no open transaction.

Each body of code runs twice: as a bullet, after which a stranger sees what was there before, and as
a customer (the control), after which the stranger sees that it does write.
"""

from __future__ import annotations

import contextlib
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Engine
from sqlalchemy.orm import Session

from tests.unit.guards.conftest import Telemetry
from tests.unit.guards.database import INSERT, Database, Order
from tracer_bullet.context.scope import entered


def skus(session: Session) -> list[str]:
    return list(session.scalars(sa.select(Order.sku).order_by(Order.id)))


def test_a_bullet_reads_what_it_committed(database: Database, arm_service: Any, telemetry: Telemetry) -> None:
    def body(engine: Engine) -> None:
        before = database.rows
        with Session(engine) as session:
            order = Order(sku="x")
            session.add(order)
            session.commit()
            session.refresh(order)
            assert order.id > 1
        with Session(engine) as session:
            assert skus(session) == ["first", "x"]
        seen.append(database.rows == before)

    seen: list[bool] = []
    database.check(arm_service(), body, ["x"])
    assert seen == [True, False], "a stranger sees nothing of a bullet, and the customer's row"
    assert telemetry.decisions == [("rolled_back", "INSERT orders")]


def test_a_failed_write_undoes_only_its_own_transaction(database: Database, arm_service: Any) -> None:
    def body(engine: Engine) -> None:
        with Session(engine) as session:
            session.add(Order(sku="one"))
            session.commit()
            session.add(Order(sku="first"))
            with pytest.raises(sa.exc.IntegrityError):
                session.commit()
            session.rollback()
            session.add(Order(sku="two"))
            session.flush()
            session.rollback()
            session.add(Order(sku="three"))
            session.commit()
            assert skus(session) == ["first", "one", "three"]

    database.check(arm_service(), body, ["one", "three"])


def test_a_failing_read_does_not_spoil_the_lane(database: Database, arm_service: Any) -> None:
    def body(engine: Engine) -> None:
        with engine.connect() as c:
            c.execute(sa.text(INSERT))
            c.commit()
            with pytest.raises(sa.exc.DBAPIError, match="division by zero"):
                c.execute(sa.text("SELECT 1/0"))
            with pytest.raises(sa.exc.DBAPIError, match="transaction is aborted"):
                c.execute(sa.text("SELECT 1"))
            c.rollback()
            assert c.execute(sa.text("SELECT count(*) FROM orders")).scalar() == 2
        with engine.connect() as c:
            with pytest.raises(sa.exc.DBAPIError):
                c.execute(sa.text("SELECT no_such_column FROM orders"))
            c.commit()  # PostgreSQL makes that a rollback, without an error
            assert c.execute(sa.text("SELECT count(*) FROM orders")).scalar() == 2

    database.check(arm_service(), body, ["x"])


def test_nested_transactions(database: Database, arm_service: Any) -> None:
    def body(engine: Engine) -> None:
        with Session(engine) as session:
            session.add(Order(sku="outer"))
            with pytest.raises(sa.exc.IntegrityError), session.begin_nested():
                session.add(Order(sku="first"))
            with session.begin_nested():
                session.add(Order(sku="inner"))
            undone = session.begin_nested()
            session.add(Order(sku="undone"))
            session.flush()
            undone.rollback()
            session.commit()
            assert skus(session) == ["first", "outer", "inner"]

    database.check(arm_service(), body, ["outer", "inner"])


@pytest.mark.parametrize("where", ["engine", "execution_options", "connection"])
def test_autocommit_does_not_escape(where: str, database: Database, arm_service: Any, telemetry: Telemetry) -> None:
    level = {"isolation_level": "AUTOCOMMIT"}

    def body(engine: Engine) -> None:
        if where == "execution_options":
            engine = engine.execution_options(**level)
        with engine.connect() as c:
            if where == "connection":
                c.execution_options(**level)
            c.execute(sa.text(INSERT))
            c.execute(sa.text("INSERT INTO orders (sku) VALUES ('y')"))
        with engine.connect() as c:
            assert c.execute(sa.text("SELECT count(*) FROM orders")).scalar() == 3

    database.check(arm_service(), body, ["x", "y"], **(level if where == "engine" else {}))
    assert [d for d, _ in telemetry.decisions] == ["rolled_back", "rolled_back"]


@pytest.mark.parametrize("level", ["SERIALIZABLE", "REPEATABLE READ"])
def test_other_isolation_levels_work(level: str, database: Database, arm_service: Any) -> None:
    def body(engine: Engine) -> None:
        with engine.connect().execution_options(isolation_level=level) as c:
            c.execute(sa.text(INSERT))
            c.commit()
        with Session(engine) as session:
            session.connection(execution_options={"isolation_level": level})
            assert skus(session) == ["first", "x"]
        with engine.begin() as c:
            c.exec_driver_sql(f"SET TRANSACTION ISOLATION LEVEL {level}")
            c.execute(sa.text("INSERT INTO orders (sku) VALUES ('y')"))

    database.check(arm_service(), body, ["x", "y"])


def test_select_for_update_locks_until_the_request_ends(database: Database, arm_service: Any) -> None:
    def body(engine: Engine) -> None:
        with Session(engine) as session:
            order = session.scalars(sa.select(Order).with_for_update()).one()
            assert locked() is True
            order.sku = "changed"
            session.commit()
            states.append(locked())

    def locked() -> bool:
        with psycopg.connect(database.url) as stranger:
            return stranger.execute("SELECT 1 FROM orders WHERE id = 1 FOR UPDATE SKIP LOCKED").fetchone() is None

    states: list[bool] = []
    database.fire(arm_service(), body)
    assert database.rows == ["first"]
    assert locked() is False
    database.serve(body)
    assert database.rows == ["changed"]
    assert states == [True, False], "the commit of a bullet keeps its locks, a customer's lets them go"


STATEMENTS = {
    "cte": ("WITH a AS (INSERT INTO orders (sku) VALUES ('x') RETURNING sku) SELECT sku FROM a", ["x"]),
    "do": ("DO $$ BEGIN INSERT INTO orders (sku) VALUES ('x'); END $$", ["x"]),
    "function": ("SELECT place('x')", ["x"]),
    "procedure": ("CALL put('x')", ["x"]),
    "trigger": ("INSERT INTO inbox VALUES ('x')", ["x"]),
    "explain": (f"EXPLAIN ANALYZE {INSERT}", ["x"]),
}
SETUP = """
CREATE FUNCTION place(sku text) RETURNS int LANGUAGE sql AS 'INSERT INTO orders (sku) VALUES ($1) RETURNING id';
CREATE PROCEDURE put(sku text) LANGUAGE sql AS 'INSERT INTO orders (sku) VALUES ($1)';
CREATE TABLE inbox (sku text);
CREATE FUNCTION forward() RETURNS trigger LANGUAGE plpgsql AS
  'BEGIN INSERT INTO orders (sku) VALUES (new.sku); RETURN new; END';
CREATE TRIGGER forward AFTER INSERT ON inbox FOR EACH ROW EXECUTE FUNCTION forward();
"""


@pytest.mark.parametrize("name", STATEMENTS)
def test_writes_in_every_guise(name: str, database: Database, arm_service: Any, telemetry: Telemetry) -> None:
    sql, writes = STATEMENTS[name]
    with psycopg.connect(database.url) as connection:
        connection.execute(SETUP)

    def body(engine: Engine) -> None:
        with engine.begin() as c:
            c.exec_driver_sql(sql)
        with engine.connect() as c:
            assert c.execute(sa.text("SELECT count(*) FROM orders")).scalar() == 1 + len(writes)

    database.check(arm_service(), body, writes)
    assert [d for d, _ in telemetry.decisions] == ["rolled_back"]


def test_ddl_is_rolled_back(database: Database, arm_service: Any) -> None:
    def body(engine: Engine) -> None:
        with engine.begin() as c:
            c.exec_driver_sql("ALTER TABLE orders ADD COLUMN note text")
            c.exec_driver_sql("CREATE INDEX on_note ON orders (note)")
            c.exec_driver_sql("CREATE TABLE other (id int)")
        with engine.begin() as c:
            c.exec_driver_sql("INSERT INTO other VALUES (1)")
            c.exec_driver_sql("TRUNCATE orders")
            c.exec_driver_sql("DROP TABLE orders")

    tables = "SELECT table_name || '.' || column_name FROM information_schema.columns WHERE table_schema = 'public'"
    before = sorted(database.ask(tables))
    database.fire(arm_service(), body)
    assert sorted(database.ask(tables)) == before
    assert database.rows == ["first"]
    database.serve(body)
    assert database.ask(tables) == ["other.id"]


def test_server_side_cursors(database: Database, arm_service: Any, telemetry: Telemetry) -> None:
    def body(engine: Engine) -> None:
        with Session(engine) as session:
            session.add_all([Order(sku=f"x{i}") for i in range(3)])
            session.commit()
            query = sa.select(Order.sku).order_by(Order.id).execution_options(yield_per=2)
            found = [list(part) for part in session.scalars(query).partitions()]
            assert found == [["first", "x0"], ["x1", "x2"]]
        with engine.connect() as c, c.execution_options(stream_results=True).execute(sa.select(Order.sku)) as result:
            assert result.fetchone() is not None, "and the rest is left on the server"

    database.check(arm_service(), body, ["x0", "x1", "x2"])
    assert {o for _, o in telemetry.decisions} == {"INSERT orders"}


def test_returning_and_insertmanyvalues(database: Database, arm_service: Any, telemetry: Telemetry) -> None:
    def body(engine: Engine) -> None:
        with Session(engine) as session:
            rows = [{"sku": f"x{i}"} for i in range(5)]
            inserted = session.scalars(sa.insert(Order).returning(Order.sku, sort_by_parameter_order=True), rows).all()
            assert inserted == [f"x{i}" for i in range(5)]
            session.execute(sa.update(Order).where(Order.sku == "x0").values(sku="y"))
            assert session.scalars(sa.delete(Order).where(Order.sku == "x1").returning(Order.sku)).all() == ["x1"]
            session.commit()
            session.execute(sa.insert(Order), [{"sku": "many-1"}, {"sku": "many-2"}])
            session.commit()

    database.fire(arm_service(), body)
    assert database.rows == ["first"]
    count = sum(int(s.attributes.get("tb.guard.count", 1)) for s in telemetry.having("tb.guard.decision"))
    assert count >= 4
    database.serve(body)
    assert sorted(database.rows) == ["first", "many-1", "many-2", "x2", "x3", "x4", "y"]


def test_a_sequence_leaves_a_gap_and_nothing_else(database: Database, arm_service: Any) -> None:
    def body(engine: Engine) -> None:
        with engine.begin() as c:
            c.execute(sa.text(INSERT))

    database.check(arm_service(), body, ["x"])
    assert database.ask("SELECT id FROM orders ORDER BY id") == [1, 3], "as docs/guards.md says"


def test_a_backend_killed_in_the_middle(database: Database, arm_service: Any) -> None:
    def body(engine: Engine) -> None:
        with engine.connect() as c:
            c.execute(sa.text(INSERT))
            c.commit()
            pid = c.execute(sa.text("SELECT pg_backend_pid()")).scalar()
            assert database.ask(f"SELECT pg_terminate_backend({pid}, 10000)") == [True]
            with pytest.raises(sa.exc.DBAPIError) as caught:
                c.execute(sa.text("SELECT 1"))
            assert caught.value.connection_invalidated
        with engine.begin() as c:  # a retry, as services make it
            seen.append(c.execute(sa.text("SELECT count(*) FROM orders")).scalar())
            c.execute(sa.text("INSERT INTO orders (sku) VALUES ('retry')"))

    seen: list[Any] = []
    armed = arm_service()
    database.check(armed, body, ["x", "retry"])
    assert seen == [1, 2]
    assert armed.problem == "", "a server that restarts is no reason to refuse bullets"


def test_a_backend_killed_while_nobody_looks(database: Database, arm_service: Any) -> None:
    """Between two sessions, and again before the request ends."""

    def body(engine: Engine) -> None:
        for _ in range(2):
            with engine.begin() as c:
                pid = c.execute(sa.text("SELECT pg_backend_pid()")).scalar()
            assert database.ask(f"SELECT pg_terminate_backend({pid}, 10000)") == [True]
            with contextlib.suppress(sa.exc.DBAPIError), engine.begin() as c:
                c.execute(sa.text(INSERT))

    database.fire(arm_service(), body)
    assert database.rows == ["first"]


def test_bullets_do_not_take_customers_connections(database: Database, arm_service: Any) -> None:
    def body(engine: Engine) -> None:
        with Session(engine) as session:
            session.add(Order(sku="bullet"))
            session.commit()
            with entered(None), engine.begin() as customer:  # the only connection of the pool is free
                customer.execute(sa.text(INSERT))

    database.fire(arm_service(), body, pool_size=1, max_overflow=0, pool_timeout=5)
    assert database.rows == ["first", "x"]


def test_evidence_says_which_database(database: Database, arm_service: Any, telemetry: Telemetry) -> None:
    def body(engine: Engine) -> None:
        with engine.begin() as c:
            c.execute(sa.text(INSERT))

    database.fire(arm_service(), body)
    (span,) = telemetry.having("tb.guard.decision")
    found = dict(span.attributes or {})
    url = database.sqlalchemy_url()
    assert {k: v for k, v in found.items() if not k.startswith("tb.")} == {
        "db.system.name": "postgresql",
        "db.operation.name": "INSERT",
        "db.collection.name": "orders",
        "db.namespace": url.database,
        "server.address": "127.0.0.1",
        "server.port": url.port,
    }
