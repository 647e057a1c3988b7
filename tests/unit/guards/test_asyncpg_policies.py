"""Claim: asyncpg used directly follows `noop`, `shadow` and rules for single operations."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.servers.postgres import PostgresServer
from tests.unit.guards.asyncpg_requests import INSERT, fire, new_orders, skus
from tests.unit.guards.conftest import Telemetry
from tests.unit.guards.sql_stores import PostgresDatabase
from tracer_bullet.guards import Rule, WriteRefused


@pytest.fixture
def orders(postgres: PostgresServer) -> Iterator[PostgresDatabase]:
    with new_orders(postgres) as found:
        yield found


def test_noop(orders: PostgresDatabase, arm_service: Any, telemetry: Telemetry) -> None:
    async def body(c: Any) -> None:
        async with c.transaction():
            row = await c.fetchrow(INSERT + " RETURNING id, sku AS what", "x")
            assert row["id"] < 0
            assert row["what"] == "x"
            assert await c.fetchval("SELECT sku FROM orders WHERE id = $1", row["id"]) == "x"
            assert await c.execute("UPDATE orders SET sku = $2 WHERE id = $1", row["id"], "y") == "UPDATE 1"
        assert await c.execute("DELETE FROM orders") == "DELETE 1"
        assert await c.executemany(INSERT, [("a",), ("b",)]) is None
        statement = await c.prepare("UPDATE orders SET sku = sku || '!' RETURNING sku")
        assert await statement.fetchval() == "first!"
        assert statement.get_statusmsg() == "UPDATE 1"
        assert await skus(c) == ["first"]
        with pytest.raises(WriteRefused):
            await c.copy_records_to_table("orders", records=[("m",)], columns=["sku"])

    fire(orders, body, arm_service(sql="noop"))
    assert orders.rows == ["first"]
    assert {decision for decision, _ in telemetry.decisions} == {"suppressed", "denied"}


def test_shadow(orders: PostgresDatabase, arm_service: Any) -> None:
    async def body(c: Any) -> None:
        async with c.transaction():
            assert await c.fetchval(INSERT + " RETURNING id", "x") == 1
            assert await skus(c) == ["x"]
            assert [row["sku"] async for row in c.cursor("SELECT orders.sku FROM orders")] == ["x"]
        with pytest.raises(ZeroDivisionError):  # noqa: PT012
            async with c.transaction():
                await c.execute(INSERT, "undone")
                raise ZeroDivisionError
        statement = await c.prepare("UPDATE orders SET sku = 'y' WHERE orders.sku = $1")
        await statement.fetch("x")

    fire(orders, body, arm_service(sql="shadow"))
    assert orders.rows == ["first"]
    assert orders.ask("SELECT sku FROM shadow_orders") == ["y"]


def test_rules(orders: PostgresDatabase, arm_service: Any, telemetry: Telemetry) -> None:
    orders.run("CREATE TABLE audit (text text)")
    orders.run("CREATE TABLE notes (text text)")
    rules = (
        Rule(sink="sql", operation="INSERT audit", policy="allow"),
        Rule(sink="sql", operation="INSERT notes", policy="noop"),
    )

    async def body(c: Any) -> None:
        async with c.transaction():
            await c.execute(INSERT, "x")
            await c.execute("INSERT INTO audit VALUES ('x')")
            await c.execute("INSERT INTO notes VALUES ('x')")
            assert await c.fetchval("SELECT count(*) FROM audit") == 1
            assert await c.fetchval("SELECT count(*) FROM notes") == 0

    fire(orders, body, arm_service(rules=rules))
    assert (orders.rows, orders.ask("SELECT text FROM audit"), orders.ask("SELECT text FROM notes")) == (
        ["first"],
        ["x"],
        [],
    )
    assert [decision for decision, _ in telemetry.decisions] == ["rolled_back", "allowed", "suppressed"]
