"""Claim: under `shadow` a bullet's SQL is written for real, to shadow tables alone, and read back from them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Engine
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.orm import Session

from tests.unit.guards.conftest import Telemetry
from tests.unit.guards.sql_stores import DRIVERS, Order, PostgresDatabase, Store, new_store
from tracer_bullet.guards import GuardConfig, Rule, WriteRefused
from tracer_bullet.guards.sql.shadow_check import check_shadow

SQLITE_SHADOW = "CREATE TABLE {} (id INTEGER PRIMARY KEY, sku TEXT NOT NULL UNIQUE)"
POSTGRES_SHADOW = "CREATE TABLE {} (id serial PRIMARY KEY, sku text NOT NULL UNIQUE)"


def add_shadow(store: Store, name: str = "shadow_orders") -> None:
    store.run((SQLITE_SHADOW if store.driver == "sqlite" else POSTGRES_SHADOW).format(name))


@pytest.fixture(params=DRIVERS)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    with new_store(request, request.param, tmp_path) as found:
        yield found


@pytest.fixture
def shadowed(store: Store) -> Store:
    add_shadow(store)
    return store


def shadows(store: Store) -> list[str]:
    return store.ask("SELECT sku FROM shadow_orders ORDER BY id")


def test_writes_and_reads_go_to_the_shadow(shadowed: Store, arm_service: Any, telemetry: Telemetry) -> None:
    def body(engine: Engine) -> None:
        with Session(engine) as session:
            order = Order(sku="first")  # no conflict with the real row
            session.add(order)
            session.flush()
            assert session.scalars(sa.select(Order.sku)).all() == ["first"], "before the commit"
            session.commit()
            assert order.sku == "first"
            order.sku = "y"
            session.commit()
        with engine.connect() as c:
            assert c.execute(sa.text("SELECT o.sku FROM orders o WHERE o.id = :id"), {"id": 1}).scalar() == "y"
            assert c.execute(sa.text("SELECT orders.sku FROM orders WHERE orders.sku LIKE 'y%'")).scalar() == "y"

    store = shadowed
    store.fire(arm_service(sql="shadow"), body)
    assert store.rows == ["first"]
    assert shadows(store) == ["y"]
    assert telemetry.decisions == [("shadowed", "INSERT orders"), ("shadowed", "UPDATE orders")]
    store.fire(arm_service(sql="shadow"), next_step)
    assert shadows(store) == [], "what the next request sees, and deletes"


def next_step(engine: Engine) -> None:
    with Session(engine) as session:
        session.delete(session.scalars(sa.select(Order)).one())
        session.commit()


def test_the_real_tables_numbers_are_not_drawn(shadowed: Store, arm_service: Any) -> None:
    def write(engine: Engine) -> None:
        with Session(engine) as session:
            session.add_all([Order(sku="a"), Order(sku="b"), Order(sku="c")])
            session.commit()

    shadowed.fire(arm_service(sql="shadow"), write)
    assert len(shadows(shadowed)) == 3
    shadowed.serve(write)
    assert shadowed.ask("SELECT id FROM orders ORDER BY id") == [1, 2, 3, 4]


def test_the_applications_rollback_is_the_shadows(shadowed: Store, arm_service: Any) -> None:
    def body(engine: Engine) -> None:
        with Session(engine) as session:
            session.add(Order(sku="kept"))
            session.commit()
            session.add(Order(sku="undone"))
            session.flush()
            session.rollback()
            session.add(Order(sku="outer"))
            session.flush()
            with pytest.raises(sa.exc.IntegrityError), session.begin_nested():
                session.add(Order(sku="kept"))
            with session.begin_nested():
                session.add(Order(sku="inner"))
            session.commit()
        with Session(engine) as session:
            nested = session.begin_nested()  # before anything is written
            session.add(Order(sku="nested"))
            session.flush()
            nested.rollback()
            session.add(Order(sku="last"))
            session.commit()
        with Session(engine) as session:
            session.add(Order(sku="never committed"))
            session.flush()

    shadowed.fire(arm_service(sql="shadow"), body)
    assert shadows(shadowed) == ["kept", "outer", "inner", "last"]
    assert shadowed.rows == ["first"]


@pytest.mark.parametrize(
    "sql",
    [
        "INSERT INTO orders (sku) VALUES ('x') RETURNING orders.id",
        "WITH o AS (SELECT 'x' AS s) INSERT INTO orders (sku) SELECT s FROM o",
        "INSERT INTO orders (sku) SELECT o.sku || 'x' FROM orders AS o UNION SELECT 'x' WHERE 1 = 1",
        "INSERT INTO orders (sku) VALUES ('x') ON CONFLICT (sku) DO UPDATE SET sku = excluded.sku || orders.sku",
        "/* orders */ INSERT INTO \"orders\" (sku) VALUES ('x') -- orders",
        "insert into ORDERS (sku) values ('x')",
    ],
)
def test_ways_to_write(sql: str, shadowed: Store, arm_service: Any) -> None:
    def body(engine: Engine) -> None:
        with engine.begin() as c:
            c.execute(sa.text(sql))
            c.execute(sa.text("UPDATE orders SET sku = orders.sku || '%' WHERE orders.sku = 'x'"))
            c.execute(sa.text("DELETE FROM orders WHERE orders.sku = 'none'"))

    shadowed.fire(arm_service(sql="shadow"), body)
    assert shadows(shadowed) == ["x%"]
    assert shadowed.rows == ["first"]


def test_a_table_without_a_shadow_is_read_and_not_written(store: Store, arm_service: Any, telemetry: Telemetry) -> None:
    def body(engine: Engine) -> None:
        with Session(engine) as session:
            assert session.scalars(sa.select(Order.sku)).all() == ["first"]
            session.add(Order(sku="x"))
            with pytest.raises(WriteRefused, match="there is no shadow table shadow_orders"):
                session.flush()

    store.fire(arm_service(sql="shadow"), body)
    assert store.rows == ["first"]
    assert telemetry.decisions == [("denied", "INSERT orders")]


@pytest.mark.parametrize(
    "sql",
    [
        "DROP TABLE orders",
        "CREATE INDEX i ON orders (sku)",
        "VACUUM",
        "SELECT settle(1)",
        "INSERT INTO orders (sku) SELECT settle(1)",
        "WITH orders AS (SELECT 'x' AS sku) INSERT INTO orders (sku) SELECT sku FROM orders",
        "nonsense that no parser knows",
    ],
)
def test_what_has_no_shadow_is_refused(sql: str, shadowed: Store, arm_service: Any) -> None:
    def body(engine: Engine) -> None:
        with engine.connect() as c, pytest.raises(WriteRefused):
            c.exec_driver_sql(sql)

    shadowed.fire(arm_service(sql="shadow"), body)
    assert (shadowed.rows, shadows(shadowed)) == (["first"], [])


def test_a_schema_of_shadows(store: Store, arm_service: Any) -> None:
    if not isinstance(store, PostgresDatabase):
        return
    store.run("CREATE SCHEMA tb; CREATE TABLE tb.orders (id serial PRIMARY KEY, sku text NOT NULL UNIQUE)")
    table = sa.Table(
        "orders",
        sa.MetaData(schema="public"),
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("sku", sa.String),
    )

    def body(engine: Engine) -> None:
        with engine.begin() as c:
            c.execute(sa.insert(table).values(sku="x"))
            assert c.execute(sa.update(table).values(sku="y").where(table.c.sku == "x")).rowcount == 1
            assert c.execute(sa.select(table.c.sku).where(table.c.id > 0)).all() == [("y",)]
            assert c.execute(sa.text("SELECT nextval('orders_id_seq')")).scalar() == 2

    store.fire(arm_service(sql="shadow", shadow_schema="tb"), body)
    assert store.rows == ["first"]
    assert store.ask("SELECT sku FROM tb.orders") == ["y"]
    assert store.ask("SELECT last_value FROM public.orders_id_seq") == [1]


def test_sequences(shadowed: Store, arm_service: Any) -> None:
    if not isinstance(shadowed, PostgresDatabase):
        return

    def body(engine: Engine) -> None:
        with engine.begin() as c:
            assert c.execute(sa.text("SELECT nextval('orders_id_seq')")).scalar() == 1
            c.execute(sa.text("INSERT INTO orders (id, sku) VALUES (nextval('orders_id_seq'), 'x')"))
            with pytest.raises(WriteRefused, match="no shadow sequence shadow_other_seq"):
                c.execute(sa.text("SELECT nextval('other_seq')"))

    shadowed.run("CREATE SEQUENCE other_seq")
    shadowed.run("CREATE SEQUENCE IF NOT EXISTS shadow_orders_id_seq")
    shadowed.fire(arm_service(sql="shadow"), body)
    assert shadowed.ask("SELECT id FROM shadow_orders") == [2]
    assert shadowed.ask("SELECT last_value || ' ' || is_called::text FROM orders_id_seq") == ["1 true"]


def test_async_sessions(shadowed: Store, arm_service: Any) -> None:
    if shadowed.driver != "sqlite":
        return  # the fixture's asyncpg engine is async below
    from sqlalchemy.ext.asyncio import async_sessionmaker

    from tracer_bullet.context.scope import Scope, entered
    from tracer_bullet.model import Context

    async def main() -> None:
        engine = create_async_engine(f"sqlite+aiosqlite:///{shadowed.path}")
        scope = Scope(Context(run_id="r", token="t"), arm_service(sql="shadow"))
        with entered(scope):
            async with async_sessionmaker(engine)() as session:
                session.add(Order(sku="x"))
                await session.commit()
                assert (await session.scalars(sa.select(Order.sku))).all() == ["x"]
        for closer in scope.end():
            await closer.aclose()
        await engine.dispose()

    asyncio.run(main())
    assert (shadowed.rows, shadows(shadowed)) == (["first"], ["x"])


def test_the_pre_flight_names_what_differs(store: Store, arm_service: Any) -> None:
    config = GuardConfig(service="cart", keys="{}", sql="shadow")

    def check(**settings: Any) -> tuple[str, ...]:
        found: list[tuple[str, ...]] = []
        chosen = GuardConfig(**{"service": "cart", "keys": "{}", "sql": "shadow", **settings})
        store.serve(lambda engine: found.append(check_shadow(engine, chosen)))
        return found[0]

    assert check() == ("orders: there is no shadow table shadow_orders",)
    add_shadow(store)
    assert check() == ()
    store.run("DROP TABLE shadow_orders")
    if store.driver == "sqlite":
        store.run("CREATE TABLE shadow_orders (id INTEGER, sku INTEGER, more TEXT)")
        assert check() == (
            "shadow_orders.id is not in the primary key",
            "shadow_orders.id has no default",
            "shadow_orders.sku is INTEGER, and orders.sku is TEXT",
            "shadow_orders: the real table has no column more",
        )
    else:
        store.run("CREATE TABLE shadow_orders (LIKE orders INCLUDING ALL)")
        assert check() == ("shadow_orders.id draws its numbers from orders_id_seq, which is the real table's",)
        store.run("CREATE TABLE shadow_items (id int PRIMARY KEY, order_id int REFERENCES orders)")
        store.run("CREATE TABLE items (id int PRIMARY KEY, order_id int)")
        assert "shadow_items: its foreign key refers to the real table orders" in check()
    rule = Rule(sink="sql", operation="INSERT elsewhere", policy="shadow")
    assert check(sql="rollback", rules=(rule,)) == ()
    assert config.shadow_prefix == "shadow_"
