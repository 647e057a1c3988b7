"""Claim: under `noop` a bullet's SQL writes are never sent, and ordinary code survives the answers."""

from __future__ import annotations

import datetime
import uuid
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Engine
from sqlalchemy.orm import Mapped, Session, mapped_column

from tests.unit.guards.conftest import Telemetry
from tests.unit.guards.sql_stores import DRIVERS, Base, Order, Store, new_store
from tracer_bullet.guards import WriteRefused


@pytest.fixture(params=DRIVERS)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    with new_store(request, request.param, tmp_path) as found:
        yield found


class Item(Base):
    """A row of many types, some of whose values the database makes."""

    __tablename__ = "items"
    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=uuid.uuid4)
    number: Mapped[int] = mapped_column(sa.Integer, nullable=True)
    price: Mapped[Decimal] = mapped_column(sa.Numeric(10, 2))
    made_at: Mapped[datetime.datetime] = mapped_column(sa.DateTime)
    state: Mapped[str] = mapped_column(server_default="new")
    noted_at: Mapped[datetime.datetime] = mapped_column(sa.DateTime, server_default=sa.func.current_timestamp())
    parts: Mapped[Any] = mapped_column(sa.JSON, nullable=True)
    is_gift: Mapped[bool] = mapped_column(default=False)


def with_items(store: Store) -> None:
    store.serve(lambda engine: Base.metadata.create_all(engine, tables=[Item.__table__]))  # type: ignore[list-item]


def test_the_orm_writes_and_reads_its_object_and_nothing_is_sent(
    store: Store, arm_service: Any, telemetry: Telemetry
) -> None:
    def body(engine: Engine) -> None:
        with Session(engine) as session:
            order = Order(sku="x")
            session.add(order)
            session.flush()
            seen.append(order.id)
            session.commit()
            assert (order.id, order.sku) == (seen[0], "x"), "expired by the commit, and read again"
            order.sku = "y"
            session.commit()
            assert order.sku == "y"
            assert session.get(Order, order.id, populate_existing=True) is order
            session.delete(order)
            session.commit()
            assert session.get(Order, seen[0]) is None
            assert session.scalars(sa.select(Order.sku)).all() == ["first"], "reads are real"

    seen: list[int] = []
    store.fire(arm_service(sql="noop"), body)
    assert seen[0] < 0
    assert store.rows == ["first"]
    assert telemetry.decisions == [
        ("suppressed", "INSERT orders"), ("suppressed", "UPDATE orders"), ("suppressed", "DELETE orders")
    ]  # fmt: skip


def test_values_keep_their_types(store: Store, arm_service: Any) -> None:
    made_at = datetime.datetime(2024, 5, 6, 7, 8, 9)  # noqa: DTZ001  # the column has none

    def body(engine: Engine) -> None:
        with Session(engine) as session:
            item = Item(price=Decimal("9.90"), made_at=made_at, parts={"a": [1]})
            session.add(item)
            session.commit()
            found.append((item.id, item.price, item.made_at, item.state, item.parts, item.is_gift, item.number))
            assert isinstance(item.id, uuid.UUID)
            assert isinstance(item.noted_at, datetime.datetime)

    with_items(store)
    for serve in (lambda: store.fire(arm_service(sql="noop"), body), lambda: store.serve(body)):
        found: list[Any] = []
        serve()
        assert found[0][1:] == (Decimal("9.90"), made_at, "new", {"a": [1]}, False, None)
    assert store.ask("SELECT count(*) FROM items") == [1], "the customer's alone"


def test_many_rows_at_once(store: Store, arm_service: Any, telemetry: Telemetry) -> None:
    def body(engine: Engine) -> None:
        with Session(engine) as session:
            orders = [Order(sku=f"x{i}") for i in range(5)]
            session.add_all(orders)
            session.commit()
            ids = [order.id for order in orders]
            assert len(set(ids)) == 5
            assert all(i < 0 for i in ids)
        with engine.begin() as c:
            assert c.execute(sa.insert(Order), [{"sku": "a"}, {"sku": "b"}]).rowcount == 2
            got = c.execute(sa.insert(Order).returning(Order.sku, Order.id), [{"sku": "a"}, {"sku": "b"}]).all()
            assert sorted(row.sku for row in got) == ["a", "b"]
            assert c.execute(sa.insert(Order).values([{"sku": "c"}, {"sku": "d"}])).rowcount == 2

    store.fire(arm_service(sql="noop"), body)
    assert store.rows == ["first"]
    assert {decision for decision, _ in telemetry.decisions} == {"suppressed"}


def test_rows_are_counted_where_they_can_be(store: Store, arm_service: Any) -> None:
    table = sa.Table(
        "orders", sa.MetaData(), sa.Column("id", sa.Integer, primary_key=True), sa.Column("sku", sa.String)
    )
    cases: list[tuple[Any, int]] = [
        (sa.update(table).values(sku="x").where(table.c.sku == "first"), 1),
        (sa.update(table).values(sku="x").where(table.c.sku == "none"), 0),
        (sa.delete(table), 1),
        (sa.delete(table).where(table.c.id.in_([1, 2, 3])), 1),
        (
            sa.text("UPDATE orders SET sku = 'it''s \\:x' WHERE sku = :sku AND id > :id").bindparams(sku="first", id=0),
            1,
        ),
        (sa.insert(table).from_select(["sku"], sa.select(table.c.sku + "x")), 1),
        (sa.insert(table).values(sku="x"), 1),
        (sa.text("WITH a AS (SELECT 'first' AS s) DELETE FROM orders WHERE sku IN (SELECT s FROM a)"), 1),
    ]

    def body(engine: Engine) -> None:
        with engine.begin() as c:
            for statement, count in cases:
                assert c.execute(statement).rowcount == count, str(statement)

    store.fire(arm_service(sql="noop"), body)
    assert store.rows == ["first"]


def test_returning(store: Store, arm_service: Any) -> None:
    def body(engine: Engine) -> None:
        with engine.begin() as c:
            update = sa.update(Order).values(sku=Order.sku + "!").returning(Order.id, Order.sku.label("now"))
            assert c.execute(update).all() == [(1, "first!")]
            assert c.execute(sa.delete(Order).where(Order.id == 1).returning(Order.sku)).all() == [("first",)]
            insert = sa.insert(Order).values(sku=sa.func.upper("x")).returning(Order.sku)
            assert c.execute(insert).scalar() == "X"
            text = sa.text("INSERT INTO orders (sku) VALUES (:sku), ('b') RETURNING *")
            assert [row.sku for row in c.execute(text, {"sku": "a"})] == ["a", "b"]

    store.fire(arm_service(sql="noop"), body)
    assert store.rows == ["first"]


@pytest.mark.parametrize(
    "sql",
    [
        "INSERT INTO orders (sku) VALUES ('x') RETURNING length(sku)",
        "SELECT settle(1)",
        "EXPLAIN ANALYZE DELETE FROM orders",
        "WITH d AS (DELETE FROM orders RETURNING *) SELECT * FROM d",
    ],
)
def test_what_cannot_be_answered_is_refused(sql: str, store: Store, arm_service: Any, telemetry: Telemetry) -> None:
    def body(engine: Engine) -> None:
        with engine.connect() as c, pytest.raises(WriteRefused, match="not sent"):
            c.execute(sa.text(sql))

    if store.driver == "sqlite" and not sql.startswith(("INSERT", "SELECT")):
        return  # no SQL of its
    store.fire(arm_service(sql="noop"), body)
    assert store.rows == ["first"]
    assert [decision for decision, _ in telemetry.decisions] == ["denied"]


@pytest.mark.parametrize("sql", ["DROP TABLE orders", "VACUUM", "CREATE TABLE n (a int)", "SAVEPOINT a"])
def test_what_gives_no_rows_is_just_not_sent(sql: str, store: Store, arm_service: Any) -> None:
    def body(engine: Engine) -> None:
        with engine.begin() as c:
            c.exec_driver_sql(sql)
        with engine.begin() as c:
            assert c.execute(sa.select(Order.sku)).all() == [("first",)]

    store.fire(arm_service(sql="noop"), body)
    assert store.rows == ["first"]


def test_an_error_in_a_write_is_an_error(store: Store, arm_service: Any, telemetry: Telemetry) -> None:
    def body(engine: Engine) -> None:
        with engine.connect() as c:
            with pytest.raises(sa.exc.DBAPIError):
                c.execute(sa.text("DELETE FROM orders WHERE no_such_column = 1"))
            c.rollback()
            assert c.execute(sa.select(Order.sku)).all() == [("first",)]

    store.fire(arm_service(sql="noop"), body)
    assert telemetry.decisions == [("suppressed", "DELETE orders")]


def test_raw_cursors(store: Store, arm_service: Any, telemetry: Telemetry) -> None:
    def body(engine: Engine) -> None:
        raw = engine.raw_connection()
        cursor = raw.cursor()
        cursor.execute("INSERT INTO orders (sku) VALUES ('x')")
        assert cursor.rowcount == 1
        cursor.execute("SELECT sku FROM orders")
        assert [tuple(row) for row in cursor.fetchall()] == [("first",)]
        cursor.execute("DELETE FROM orders RETURNING sku")
        assert [tuple(row) for row in cursor.fetchall()] == [("first",)]
        cursor.close()
        raw.commit()
        raw.close()

    store.fire(arm_service(sql="noop"), body)
    assert store.rows == ["first"]
    assert [decision for decision, _ in telemetry.decisions] == ["suppressed", "suppressed"]


def test_a_database_without_lanes_can_have_its_writes_left_out(arm_service: Any) -> None:
    """In-memory SQLite shares one connection with customers; what is not sent needs no lane."""
    from tracer_bullet.context.scope import Scope, entered
    from tracer_bullet.model import Context

    engine = sa.create_engine("sqlite://")
    Base.metadata.create_all(engine, tables=[Order.__table__])  # type: ignore[list-item]
    scope = Scope(Context(run_id="r", token="t"), arm_service(sql="noop"))
    with entered(scope):
        with Session(engine) as session:
            order = Order(sku="x")
            session.add(order)
            session.commit()
            assert order.sku == "x"
        raw = engine.raw_connection()
        raw.cursor().execute("INSERT INTO orders (sku) VALUES ('y')")
        raw.commit()
        raw.close()
    for closer in scope.end():
        closer.close()
    with Session(engine) as session:
        session.add(Order(sku="customer"))
        session.commit()
        assert session.scalars(sa.select(Order.sku)).all() == ["customer"]
    engine.dispose()
