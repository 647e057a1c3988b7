"""Claim: on a real MariaDB a bullet's SQL runs for real through SQLAlchemy and leaves nothing.

Each body of code runs twice: as a bullet, after which a stranger sees what was there before, and as
a customer (the control), after which the stranger sees that it does write.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Engine
from sqlalchemy.orm import Session

from tests.servers.mariadb import MariadbServer
from tests.unit.guards.conftest import Telemetry
from tests.unit.guards.mariadb_shop import INSERT, LIBRARIES, Order, Shop, bullet, new_shop


@pytest.fixture(params=[*LIBRARIES, "asyncmy"])
def shop(request: pytest.FixtureRequest, mariadb: MariadbServer) -> Iterator[Shop]:
    with new_shop(mariadb, request.param) as found:
        yield found


@pytest.fixture
def one_shop(mariadb: MariadbServer) -> Iterator[Shop]:
    """For what has nothing to do with the driver."""
    with new_shop(mariadb, "pymysql") as found:
        yield found


def skus(session: Session) -> list[str]:
    return list(session.scalars(sa.select(Order.sku).order_by(Order.id)))


def test_a_bullet_reads_what_it_committed(shop: Shop, arm_service: Any, telemetry: Telemetry) -> None:
    def body(engine: Engine) -> None:
        before = shop.rows
        with Session(engine) as session:
            order = Order(sku="x")
            session.add(order)
            session.commit()
            session.refresh(order)
            assert order.id > 1
        with Session(engine) as session:
            assert skus(session) == ["first", "x"]
        seen.append(shop.rows == before)

    seen: list[bool] = []
    shop.check(arm_service(), body, ["x"])
    assert seen == [True, False], "a stranger sees nothing of a bullet, and the customer's row"
    assert telemetry.decisions == [("rolled_back", "INSERT orders")]


def test_failed_writes_and_nested_transactions(shop: Shop, arm_service: Any) -> None:
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
            session.add(Order(sku="outer"))
            with pytest.raises(sa.exc.IntegrityError), session.begin_nested():
                session.add(Order(sku="first"))
            with session.begin_nested():
                session.add(Order(sku="inner"))
            session.commit()
            assert skus(session) == ["first", "one", "outer", "inner"]

    shop.check(arm_service(), body, ["one", "outer", "inner"])


def test_an_error_does_not_spoil_the_lane(shop: Shop, arm_service: Any) -> None:
    def body(engine: Engine) -> None:
        with engine.connect() as c:
            with pytest.raises(sa.exc.DBAPIError):
                c.execute(sa.text("SELECT no_such_column FROM orders"))
            c.execute(sa.text(INSERT))
            with pytest.raises(sa.exc.DBAPIError):
                c.execute(sa.text("UPDATE orders SET no_such_column = 1"))
            c.commit()
            assert c.execute(sa.text("SELECT count(*) FROM orders")).scalar() == 2

    shop.check(arm_service(), body, ["x"])


@pytest.mark.parametrize("where", ["engine", "execution_options", "connection"])
def test_autocommit_does_not_escape(where: str, shop: Shop, arm_service: Any, telemetry: Telemetry) -> None:
    level = {"isolation_level": "AUTOCOMMIT"}

    def body(engine: Engine) -> None:
        if where == "execution_options":
            engine = engine.execution_options(**level)
        with engine.connect() as c:
            if where == "connection":
                c.execution_options(**level)
            c.execute(sa.text(INSERT))
            with pytest.raises(sa.exc.IntegrityError):
                c.execute(sa.text(INSERT))
            c.execute(sa.text("INSERT INTO orders (sku) VALUES ('y')"))
        with engine.connect() as c:
            assert c.execute(sa.text("SELECT count(*) FROM orders")).scalar() == 3

    armed = arm_service()
    settings = level if where == "engine" else {}
    for _ in range(2):  # the second bullet gets the connection of the first one's lane
        shop.fire(armed, body, **settings)
    shop.check(armed, body, ["x", "y"], **settings)
    assert [d for d, _ in telemetry.decisions] == ["rolled_back"] * 9


def test_lanes_of_an_autocommit_engine_are_used_again(one_shop: Shop, arm_service: Any) -> None:
    engine = sa.create_engine(one_shop.sqlalchemy_url(), isolation_level="AUTOCOMMIT")
    armed = arm_service()
    for _ in range(3):
        with bullet(armed), engine.connect() as c:
            c.execute(sa.text(INSERT))
            with engine.connect() as other:
                assert other.execute(sa.text("SELECT count(*) FROM orders")).scalar() == 2
        assert one_shop.rows == ["first"]
        one_shop.assert_nothing_open()
    engine.dispose()


@pytest.mark.parametrize("level", ["SERIALIZABLE", "READ COMMITTED"])
def test_other_isolation_levels_work(level: str, shop: Shop, arm_service: Any) -> None:
    def body(engine: Engine) -> None:
        with engine.connect().execution_options(isolation_level=level) as c:
            c.execute(sa.text(INSERT))
            c.commit()
        with engine.begin() as c:
            c.exec_driver_sql("INSERT INTO orders (sku) VALUES ('y')")

    shop.check(arm_service(), body, ["x", "y"])


def test_returning_upserts_and_bulk(shop: Shop, arm_service: Any, telemetry: Telemetry) -> None:
    def body(engine: Engine) -> None:
        with Session(engine) as session:
            if engine.dialect.name == "mariadb":  # SQLAlchemy has RETURNING for that name alone
                rows = [{"sku": f"x{i}"} for i in range(5)]
                assert sorted(session.scalars(sa.insert(Order).returning(Order.sku), rows)) == [
                    f"x{i}" for i in range(5)
                ]
            else:
                with session.connection().exec_driver_sql(
                    "INSERT INTO orders (sku) VALUES ('x0'), ('x1'), ('x2'), ('x3'), ('x4') RETURNING sku"
                ) as result:
                    assert len(result.all()) == 5
            session.execute(sa.update(Order).where(Order.sku == "x0").values(sku="y"))
            session.execute(sa.delete(Order).where(Order.sku == "x1"))
            session.execute(sa.text("REPLACE INTO orders (id, sku) SELECT id, 'z' FROM orders WHERE sku = 'x2'"))
            session.execute(sa.text("INSERT INTO orders (sku) VALUES ('z') ON DUPLICATE KEY UPDATE sku = 'zz'"))
            session.commit()
            session.execute(sa.insert(Order), [{"sku": "many-1"}, {"sku": "many-2"}])
            session.commit()

    shop.fire(arm_service(), body)
    assert shop.rows == ["first"]
    assert {d for d, _ in telemetry.decisions} == {"rolled_back"}
    shop.serve(body)
    assert sorted(shop.rows) == ["first", "many-1", "many-2", "x3", "x4", "y", "zz"]


def test_locks_last_until_the_request_ends(shop: Shop, arm_service: Any) -> None:
    def locked() -> bool:
        return shop.ask("SELECT id FROM orders WHERE id = 1 FOR UPDATE SKIP LOCKED") == []

    def body(engine: Engine) -> None:
        with Session(engine) as session:
            order = session.scalars(sa.select(Order).with_for_update()).one()
            assert locked()
            order.sku = "changed"
            session.commit()
            states.append(locked())

    states: list[bool] = []
    shop.fire(arm_service(), body)
    assert shop.rows == ["first"]
    assert not locked()
    shop.serve(body)
    assert shop.rows == ["changed"]
    assert states == [True, False]


def test_evidence_says_which_database(one_shop: Shop, arm_service: Any, telemetry: Telemetry) -> None:
    def body(engine: Engine) -> None:
        with engine.begin() as c:
            c.execute(sa.text(INSERT))

    one_shop.fire(arm_service(), body)
    (span,) = telemetry.having("tb.guard.decision")
    found = dict(span.attributes or {})
    assert {k: v for k, v in found.items() if not k.startswith("tb.")} == {
        "db.system.name": "mysql",
        "db.operation.name": "INSERT",
        "db.collection.name": "orders",
        "db.namespace": one_shop.url.rpartition("/")[2],
        "server.address": "127.0.0.1",
        "server.port": one_shop.server.port,
    }
