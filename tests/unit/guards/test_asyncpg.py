"""Claim: asyncpg used directly leaves nothing of a bullet's, and a bullet's code notices no difference."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import asyncpg
import pytest
from opentelemetry.instrumentation.asyncpg import AsyncPGInstrumentor

from tests.servers.postgres import PostgresServer
from tests.unit.guards.asyncpg_requests import INSERT, check, fire, new_orders, skus
from tests.unit.guards.conftest import Telemetry
from tests.unit.guards.contract import GuardContract
from tests.unit.guards.sql_stores import PostgresDatabase
from tracer_bullet.context.scope import Scope, entered, inherited_scope
from tracer_bullet.guards import Policy, Sink, WriteRefused
from tracer_bullet.model import Context


@pytest.fixture
def orders(postgres: PostgresServer) -> Iterator[PostgresDatabase]:
    with new_orders(postgres) as found:
        yield found


@dataclass
class AsyncpgSubject:
    """A connection for each call, on a loop of its own."""

    database: PostgresDatabase
    name: str = "asyncpg"
    sink: Sink = Sink.SQL
    operation: str = "INSERT orders"
    policies: tuple[Policy, ...] = (Policy.ROLLBACK, Policy.NOOP, Policy.SHADOW, Policy.DENY, Policy.ALLOW)
    patched: tuple[tuple[Any, str], ...] = (
        (asyncpg.Connection, "execute"),
        (asyncpg.Connection, "_execute"),
        (asyncpg.Connection, "_executemany"),
        (asyncpg.Connection, "_copy_in"),
        (asyncpg.Connection, "reset"),
    )
    settings: dict[str, Any] = field(default_factory=dict)
    instrumentor: Any = field(default_factory=AsyncPGInstrumentor)

    def write(self, value: str) -> Any:
        return asyncio.run(self._call(lambda c: c.execute(INSERT, value)))

    def read(self) -> Any:
        return asyncio.run(self._call(lambda c: c.fetchval("SELECT count(*) FROM orders")))

    def check(self, answer: Any) -> None:
        assert answer == "INSERT 0 1"

    def stored(self) -> list[str]:
        return sorted(self.database.rows)

    def shadowed(self) -> list[str]:
        return sorted(self.database.ask("SELECT sku FROM shadow_orders"))

    async def _call(self, work: Callable[[Any], Awaitable[Any]]) -> Any:
        try:
            connection = await asyncpg.connect(self.database.url)
            try:
                return await work(connection)
            finally:
                await connection.close()
        finally:
            scope = inherited_scope()
            for closer in reversed(scope._closers if scope is not None else []):
                await closer.aclose()  # their loop ends here, the request does not


class TestContract(GuardContract):
    @pytest.fixture
    def subject(self, orders: PostgresDatabase) -> AsyncpgSubject:
        orders.run("DELETE FROM orders")
        return AsyncpgSubject(orders)


SLEEPS = """
SELECT 1 FROM pg_stat_activity
WHERE query LIKE '%pg_sleep(600)%' AND state = 'active' AND pid <> pg_backend_pid() AND datname = current_database()
"""


def test_every_way_to_write_and_read(orders: PostgresDatabase, arm_service: Any, telemetry: Telemetry) -> None:
    async def body(c: Any) -> None:
        assert await c.execute(INSERT, "a") == "INSERT 0 1"
        assert (
            await c.execute("INSERT INTO orders (sku) VALUES ('b'); UPDATE orders SET sku = 'b2' WHERE sku = 'b'")
            == "UPDATE 1"
        )
        assert (await c.fetchrow(INSERT + " RETURNING sku, 1 AS one", "c"))["sku"] == "c"
        assert await c.fetchval(INSERT + " RETURNING sku", "d") == "d"
        assert [tuple(r) for r in await c.fetch(INSERT + " RETURNING sku", "e")] == [("e",)]
        await c.executemany(INSERT, [("f",), ("g",)])
        if not hasattr(c, "fetchmany"):  # it came with 0.30
            await c.executemany(INSERT, [("h",), ("i",)])
        else:
            assert [r[0] for r in await c.fetchmany(INSERT + " RETURNING sku", [("h",), ("i",)])] == ["h", "i"]
        statement = await c.prepare(INSERT + " RETURNING sku")
        assert [row["sku"] for row in await statement.fetch("j")] == ["j"]
        assert statement.get_statusmsg() == "INSERT 0 1"
        await statement.executemany([("k",), ("l",)])
        assert await c.copy_records_to_table("orders", records=[("m",)], columns=["sku"]) == "COPY 1"
        assert await c.copy_to_table("orders", source=io.BytesIO(b"n\n"), columns=["sku"]) == "COPY 1"
        assert await skus(c) == ["first", *letters]
        out = io.BytesIO()
        await c.copy_from_table("orders", output=out, columns=["sku"])
        await c.copy_from_query("SELECT sku FROM orders WHERE sku = $1", "a", output=out)
        assert out.getvalue().decode().split() == ["first", *letters, "a"]

    letters = ["a", "b2", *"cdefghijklmn"]
    check(orders, body, arm_service(), letters)
    assert {decision for decision, _ in telemetry.decisions} == {"rolled_back"}


def test_transactions(orders: PostgresDatabase, arm_service: Any) -> None:
    async def body(c: Any) -> None:
        async with c.transaction():
            await c.execute(INSERT, "outer")
            assert c.is_in_transaction()
            with pytest.raises(asyncpg.UniqueViolationError):
                async with c.transaction():
                    await c.execute(INSERT, "first")
            async with c.transaction():
                await c.execute(INSERT, "inner")
        assert not c.is_in_transaction()
        with pytest.raises(ZeroDivisionError):  # noqa: PT012
            async with c.transaction(isolation="serializable"):
                await c.execute(INSERT, "undone")
                raise ZeroDivisionError
        with pytest.raises(asyncpg.UniqueViolationError):
            await c.execute(INSERT, "first")
        await c.execute("BEGIN")
        await c.execute(INSERT, "by hand")
        await c.execute("COMMIT")
        await c.execute("BEGIN; ")
        await c.execute(INSERT, "undone too")
        await c.execute("ROLLBACK")
        assert await skus(c) == ["first", "outer", "inner", "by hand"]

    check(orders, body, arm_service(), ["outer", "inner", "by hand"])


def test_cursors(orders: PostgresDatabase, arm_service: Any) -> None:
    async def body(c: Any) -> None:
        await c.executemany(INSERT, [(f"x{i}",) for i in range(120)])
        async with c.transaction():
            found = [
                row["sku"] async for row in c.cursor("SELECT sku FROM orders WHERE sku <> $1 ORDER BY id", "first")
            ]
            assert found == [f"x{i}" for i in range(120)]
            cursor = await c.cursor("DELETE FROM orders WHERE sku LIKE 'x%' RETURNING sku")
            assert len(await cursor.fetch(3)) == 3
            assert await cursor.fetchrow() is not None
            assert await cursor.forward(2) == 2
            statement = await c.prepare("SELECT sku FROM orders ORDER BY id LIMIT $1")
            assert [row["sku"] async for row in statement.cursor(1)] == ["first"]
        with pytest.raises(asyncpg.NoActiveSQLTransactionError):
            await c.cursor("SELECT 1")
        assert await skus(c) == ["first"]

    check(orders, body, arm_service(), [])


def test_connections_of_one_bullet_see_what_was_committed(orders: PostgresDatabase, arm_service: Any) -> None:
    async def body(c: Any) -> None:
        await c.execute(INSERT, "x")
        other = await asyncpg.connect(orders.url)
        assert await skus(other) == ["first", "x"]
        await other.close()

    check(orders, body, arm_service(), ["x"])


def test_what_the_application_did_not_commit_is_undone_when_it_gives_the_connection_back(
    orders: PostgresDatabase, arm_service: Any
) -> None:
    async def main() -> None:
        pool = await asyncpg.create_pool(orders.url, min_size=1, max_size=1)
        scope = Scope(Context(run_id="r", token="t"), arm_service(), linger_s=0.0)
        with entered(scope):
            async with pool.acquire() as c:
                await c.execute("BEGIN")
                await c.execute(INSERT, "x")
            async with pool.acquire() as c:
                assert await skus(c) == ["first"]
                assert await c.fetchval("SELECT 1") == 1
        for closer in scope.end():
            await closer.aclose()
        async with pool.acquire() as c:  # the very connection, a customer's now
            await c.execute(INSERT, "customer")
        await pool.close()

    asyncio.run(main())
    assert orders.rows == ["first", "customer"]


def test_a_customers_open_transaction_is_left_alone(orders: PostgresDatabase, arm_service: Any) -> None:
    async def main() -> None:
        c = await asyncpg.connect(orders.url)
        async with c.transaction():
            await c.execute(INSERT, "customer")
            scope = Scope(Context(run_id="r", token="t"), arm_service(), linger_s=0.0)
            with entered(scope), pytest.raises(WriteRefused, match="outside the bullet"):
                await c.execute(INSERT, "bullet")
            for closer in scope.end():
                await closer.aclose()
        await c.close()

    asyncio.run(main())
    assert orders.rows == ["first", "customer"]


def test_tasks_of_one_bullet(orders: PostgresDatabase, arm_service: Any) -> None:
    async def main() -> None:
        async with asyncpg.create_pool(orders.url, min_size=1, max_size=4) as pool:
            scope = Scope(Context(run_id="r", token="t"), arm_service(), linger_s=0.0)
            with entered(scope):
                await asyncio.gather(*(pool.execute(INSERT, f"x{i}") for i in range(8)))
            for closer in scope.end():
                await closer.aclose()
            orders.assert_nothing_open()

    asyncio.run(main())
    assert orders.rows == ["first"]


def test_a_cancelled_write_leaves_nothing(orders: PostgresDatabase, arm_service: Any) -> None:
    async def body(c: Any) -> None:
        await c.execute(INSERT, "x")
        task = asyncio.create_task(c.execute("INSERT INTO orders (sku) SELECT 'y' FROM pg_sleep(600)"))
        await asyncio.to_thread(orders.wait_for, SLEEPS)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    def gone() -> None:
        orders.wait_for(
            "SELECT 1 WHERE NOT EXISTS (SELECT 1 FROM pg_stat_activity WHERE state <> 'idle' "
            "AND datname = current_database() AND pid <> pg_backend_pid())"
        )

    async def main() -> None:
        c = await asyncpg.connect(orders.url)
        scope = Scope(Context(run_id="r", token="t"), arm_service(), linger_s=0.0)
        with entered(scope):
            await body(c)
        for closer in scope.end():
            await closer.aclose()
        await asyncio.to_thread(gone)
        await c.close()

    asyncio.run(main())
    assert orders.rows == ["first"]


def test_types_of_the_applications_own(orders: PostgresDatabase, arm_service: Any) -> None:
    """A lane speaks the types of the connection that it stands for, also those set before the bullet."""
    import json

    async def main() -> None:
        armed = arm_service()
        c = await asyncpg.connect(orders.url)
        await c.set_type_codec("jsonb", encoder=json.dumps, decoder=json.loads, schema="pg_catalog")
        scope = Scope(Context(run_id="r", token="t"), armed, linger_s=0.0)
        with entered(scope):
            assert await c.fetchval("SELECT $1::jsonb", {"a": 1}) == {"a": 1}
        for closer in scope.end():
            await closer.aclose()
        await c.close()

    asyncio.run(main())


@pytest.mark.parametrize(
    "sql",
    [
        "VACUUM",
        "CREATE DATABASE x",
        "SELECT pg_advisory_lock(1)",
        "DELETE FROM orders; COMMIT",
        "PREPARE TRANSACTION 'x'",
    ],
)
def test_what_a_rollback_would_not_undo_is_refused(
    sql: str, orders: PostgresDatabase, arm_service: Any, telemetry: Telemetry
) -> None:
    async def body(c: Any) -> None:
        with pytest.raises(WriteRefused, match="would not undo"):
            await c.execute(sql)

    fire(orders, body, arm_service())
    assert orders.rows == ["first"]
    assert [decision for decision, _ in telemetry.decisions] == ["denied"]


def test_notifications_do_not_leave(orders: PostgresDatabase, arm_service: Any) -> None:
    heard: list[Any] = []

    async def main() -> None:
        armed = arm_service()
        listener, c = await asyncpg.connect(orders.url), await asyncpg.connect(orders.url)
        await listener.add_listener("orders", lambda *args: heard.append(args[3]))
        scope = Scope(Context(run_id="r", token="t"), armed, linger_s=0.0)
        with entered(scope):
            await c.execute("NOTIFY orders, 'bullet'")
            await c.execute("SELECT pg_notify('orders', 'bullet')")
            await c.add_listener("orders", lambda *args: heard.append("as a listener"))
        for closer in scope.end():
            await closer.aclose()
        got = asyncio.Event()
        await listener.add_listener("orders", lambda *args: got.set())
        await c.execute("NOTIFY orders, 'customer'")
        await asyncio.wait_for(got.wait(), 60)
        await listener.close()
        await c.close()

    asyncio.run(main())
    assert heard == ["customer"]


def test_below_sqlalchemy_it_is_sqlalchemys_business(
    orders: PostgresDatabase, arm_service: Any, telemetry: Telemetry
) -> None:
    import sqlalchemy as sa

    def body(engine: sa.Engine) -> None:
        with engine.begin() as c:
            c.execute(sa.text("INSERT INTO orders (sku) VALUES ('x')"))
            assert c.execute(sa.text("SELECT count(*) FROM orders")).scalar() == 2

    orders.check(arm_service(), body, ["x"])
    assert telemetry.decisions == [("rolled_back", "INSERT orders")]
