"""Claim: psycopg's async half keeps the same promise, also when a task is cancelled or a connection is cut."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import psycopg
import psycopg_pool
import pytest

from tests.servers.postgres import PostgresServer
from tests.unit.guards.conftest import Telemetry
from tests.unit.guards.contract import GuardContract
from tests.unit.guards.database import INSERT, Database, new_database
from tests.unit.guards.test_psycopg import COUNT, PsycopgSubject
from tests.versions import newer_psycopg_instrumentor
from tracer_bullet.context.scope import Scope, entered, live_scope
from tracer_bullet.guards import Armed, Rule, WriteRefused
from tracer_bullet.guards.sql.lanes import lanes_of
from tracer_bullet.model import Context

WAITING = "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
Body = Callable[[str], Awaitable[None]]


async def connect(url: str, **settings: Any) -> Any:
    return await psycopg.AsyncConnection.connect(url, **settings)


@pytest.fixture
def database(postgres: PostgresServer) -> Iterator[Database]:
    with new_database(postgres, "psycopg") as found:
        yield found


@asynccontextmanager
async def bullet(armed: Armed, **settings: Any) -> AsyncIterator[Scope]:
    settings = {"linger_s": armed.config.linger_s, "trace_id": "a" * 32, **settings}
    scope = Scope(Context(run_id="run-1", token="t"), armed, **settings)
    try:
        with entered(scope):
            yield scope
    finally:
        for closer in scope.end():
            await closer.aclose()


class AsyncSubject(PsycopgSubject):
    def write(self, value: str) -> Any:
        async def main() -> Any:
            try:
                async with await connect(self.database.url) as connection:
                    cursor = await connection.execute("INSERT INTO orders (sku) VALUES (%s)", [value])
                    return cursor.rowcount
            finally:
                scope = live_scope()
                if scope is not None:  # the lane must end on its loop
                    await lanes_of(scope, 0.0).aclose()

        return asyncio.run(main())

    def read(self) -> Any:
        async def main() -> Any:
            async with await connect(self.database.url) as connection:
                found = await (await connection.execute("SELECT sku FROM orders")).fetchall()
            scope = live_scope()
            if scope is not None:
                await lanes_of(scope, 0.0).aclose()
            return found

        return asyncio.run(main())


class TestAsyncPsycopg(GuardContract):
    @pytest.fixture
    def subject(self, database: Database) -> AsyncSubject:
        with psycopg.connect(database.url) as connection:
            connection.execute("DELETE FROM orders")
            connection.execute("CREATE TABLE shadow_orders (LIKE orders INCLUDING ALL)")
        return AsyncSubject(database, instrumentor=newer_psycopg_instrumentor("an async cursor"))

    def bullet(self, armed: Armed, run_id: str = "run-1") -> Any:
        @contextmanager
        def scoped() -> Iterator[None]:
            scope = Scope(Context(run_id=run_id, token="t"), armed, linger_s=0.0, trace_id="a" * 32)
            try:
                with entered(scope):
                    yield
            finally:
                for closer in scope.end():
                    closer.close()

        return scoped()


def check(database: Database, armed: Armed, body: Body, writes: list[str]) -> None:
    """As a bullet `body` leaves nothing; as a customer it leaves `writes`."""

    async def fire() -> None:
        async with bullet(armed):
            await body(database.url)
            assert database.rows == ["first"], "nobody else sees it meanwhile"
        database.assert_nothing_open()

    asyncio.run(fire())
    assert database.rows == ["first"]

    async def serve() -> None:
        await body(database.url)

    asyncio.run(serve())
    assert sorted(database.rows) == sorted(["first", *writes])


async def count(connection: Any) -> int:
    return int((await (await connection.execute(COUNT)).fetchone())[0])


def test_transactions(database: Database, arm_service: Any, telemetry: Telemetry) -> None:
    async def body(url: str) -> None:
        async with await connect(url) as one:
            await one.execute(INSERT)
            await one.commit()
            async with await connect(url) as two:
                assert await count(two) == 2
            await one.execute("INSERT INTO orders (sku) VALUES ('undone')")
            await one.rollback()
            async with one.transaction():
                await one.execute("INSERT INTO orders (sku) VALUES ('y')")
                async with one.transaction():
                    await one.execute("INSERT INTO orders (sku) VALUES ('undone')")
                    raise psycopg.Rollback
            assert await count(one) == 3

    check(database, arm_service(), body, ["x", "y"])
    assert telemetry.decisions == [("rolled_back", "INSERT orders")] * 4


@pytest.mark.parametrize("autocommit", [False, True])
def test_copy_stream_executemany_and_pipelines(autocommit: bool, database: Database, arm_service: Any) -> None:
    async def body(url: str) -> None:
        async with await connect(url, autocommit=autocommit) as connection:
            cursor = connection.cursor()
            async with cursor.copy("COPY orders (sku) FROM STDIN") as copy:
                await copy.write_row(["copy0"])
                await copy.write_row(["copy1"])
            await cursor.executemany("INSERT INTO orders (sku) VALUES (%s)", [["many0"], ["many1"]])
            assert cursor.rowcount == 2
            streamed = [r async for r in cursor.stream("INSERT INTO orders (sku) VALUES ('s0'), ('s1') RETURNING sku")]
            assert streamed == [("s0",), ("s1",)]
            async with connection.pipeline():
                await connection.execute(INSERT)
                found = await connection.execute("INSERT INTO orders (sku) VALUES ('y') RETURNING sku")
                assert await found.fetchone() == ("y",)
            async with connection.transaction(), connection.cursor(name="c") as named:
                await named.execute("SELECT sku FROM orders ORDER BY id")
                assert len([row async for row in named]) == 9
            await connection.commit()
            with pytest.raises(psycopg.errors.UniqueViolation):
                await connection.execute(INSERT)
            await connection.rollback()
            assert await count(connection) == 9

    check(database, arm_service(), body, ["copy0", "copy1", "many0", "many1", "s0", "s1", "x", "y"])


def test_tasks_that_overlap_find_what_they_committed(database: Database, arm_service: Any) -> None:
    async def place(url: str, sku: str) -> None:
        async with await connect(url) as connection:
            await connection.execute("INSERT INTO orders (sku) VALUES (%s)", [sku])
            await connection.commit()
            found = await connection.execute("SELECT 1 FROM orders WHERE sku = %s", [sku])
            assert len(await found.fetchall()) == 1

    async def body(url: str) -> None:
        await asyncio.gather(*(place(url, sku) for sku in "abc"))

    check(database, arm_service(), body, ["a", "b", "c"])


def test_a_rule_that_allows_one_operation_inside_a_lane(database: Database, arm_service: Any) -> None:
    with psycopg.connect(database.url, autocommit=True) as connection:
        connection.execute("CREATE TABLE log (line text)")

    async def main() -> None:
        async with bullet(armed), await connect(database.url) as connection:
            await connection.execute(INSERT)
            found = await connection.execute("INSERT INTO log VALUES ('one') RETURNING line")
            assert await found.fetchone() == ("one",)
            await connection.cursor().executemany("INSERT INTO log VALUES (%s)", [["two"], ["three"]])
            with pytest.raises(psycopg.errors.UndefinedColumn):
                await connection.execute("INSERT INTO log (nothing) VALUES (1)")
            assert await count(connection) == 2

    armed = arm_service(rules=(Rule(sink="sql", operation="INSERT log", policy="allow"),))
    asyncio.run(main())
    assert database.ask("SELECT line FROM log") == ["one", "two", "three"]
    assert database.rows == ["first"]


def test_two_phase_commit_is_refused(database: Database, arm_service: Any) -> None:
    async def main() -> None:
        async with bullet(armed), await connect(database.url) as connection:
            with pytest.raises(WriteRefused):
                await connection.tpc_begin(connection.xid(1, "g", "b"))

    armed = arm_service()
    asyncio.run(main())
    assert database.rows == ["first"]


@pytest.mark.parametrize("kind", ["bullet", "customer"])
@pytest.mark.parametrize("autocommit", [False, True])
def test_a_task_cancelled_in_the_middle_of_a_write(
    autocommit: bool, kind: str, database: Database, arm_service: Any
) -> None:
    """The connection is one from before: a customer uses it next, and finds nothing on it."""
    armed = arm_service()

    async def write(connection: Any) -> None:
        await connection.execute(INSERT)
        await connection.commit()
        await connection.execute("INSERT INTO orders (sku) VALUES ('contested')")

    async def main() -> None:
        async with await connect(database.url, autocommit=autocommit) as connection:
            scope = Scope(Context(run_id="run-1", token="t"), armed, linger_s=0.0) if kind == "bullet" else None
            with psycopg.connect(database.url) as rival:
                rival.execute("INSERT INTO orders (sku) VALUES ('contested')")
                with entered(scope):
                    request = asyncio.create_task(write(connection))
                await asyncio.to_thread(database.wait_for, WAITING)
                request.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await request
                rival.rollback()
            for closer in scope.end() if scope else ():
                await closer.aclose()
            if scope is not None:
                assert connection.info.transaction_status == psycopg.pq.TransactionStatus.IDLE
            await connection.rollback()
            database.assert_nothing_open()
            await connection.execute("INSERT INTO orders (sku) VALUES ('next')")

    asyncio.run(main())
    assert database.rows == (["first", "next"] if kind == "bullet" else ["first", "x", "next"])
    assert armed.problem == ""


def test_a_lanes_backend_killed_while_it_waits(database: Database, arm_service: Any) -> None:
    armed = arm_service()

    async def write(connection: Any) -> None:
        await connection.execute(INSERT)
        await connection.execute("INSERT INTO orders (sku) VALUES ('contested')")

    async def main() -> None:
        async with await connect(database.url) as connection:
            async with bullet(armed):
                with entered(None):
                    rival = psycopg.connect(database.url)
                    rival.execute("INSERT INTO orders (sku) VALUES ('contested')")
                request = asyncio.create_task(write(connection))
                with entered(None):
                    await asyncio.to_thread(database.wait_for, WAITING)
                    assert database.ask(WAITING.replace("1", "pg_terminate_backend(pid, 10000)")) == [True]
                with pytest.raises(psycopg.OperationalError):
                    await request
                with entered(None):
                    rival.rollback()
                    rival.close()
                await connection.rollback()
                assert await count(connection) == 1, "on a new lane"
            database.assert_nothing_open()
            await connection.execute("INSERT INTO orders (sku) VALUES ('customer')")

    asyncio.run(main())
    assert database.rows == ["first", "customer"]
    assert armed.problem == ""


@pytest.mark.parametrize("null", [False, True])
def test_a_pool_that_a_bullet_opened_serves_customers(null: bool, database: Database, arm_service: Any) -> None:
    """Also what the pool does to a new connection is done to the connection, not to the bullet's lane."""
    kind = psycopg_pool.AsyncNullConnectionPool if null else psycopg_pool.AsyncConnectionPool

    async def configure(connection: Any) -> None:
        await connection.execute("CREATE TEMP TABLE configured AS SELECT 'yes' AS answer")
        await connection.commit()

    async def reset(connection: Any) -> None:
        await connection.execute("SELECT 1")
        await connection.commit()

    async def main() -> None:
        size = {"min_size": 0, "max_size": 2} if null else {"min_size": 1, "max_size": 2}
        pool = kind(database.url, open=False, configure=configure, reset=reset, **size)
        async with bullet(arm_service()):
            await pool.open()
            async with pool.connection() as connection:
                await connection.execute(INSERT)
            async with pool.connection() as connection:
                assert await count(connection) == 2
            connection = await pool.getconn()
            await connection.execute("INSERT INTO orders (sku) VALUES ('undone')")
            await pool.putconn(connection)
            async with pool.connection() as connection:
                assert await count(connection) == 2, "given back without a commit"
        async with pool.connection() as connection:
            found = await connection.execute("SELECT answer FROM configured")
            assert await found.fetchone() == ("yes",)
            await connection.execute("INSERT INTO orders (sku) VALUES ('customer')")
        await pool.close()
        database.assert_nothing_open()

    asyncio.run(main())
    assert database.rows == ["first", "customer"]


def test_a_sync_pool_that_a_bullet_opened_serves_customers(database: Database, arm_service: Any) -> None:
    def configure(connection: Any) -> None:
        connection.execute("CREATE TEMP TABLE configured AS SELECT 'yes' AS answer")
        connection.commit()

    scope = Scope(Context(run_id="run-1", token="t"), arm_service(), linger_s=0.0)
    with entered(scope):
        pool = psycopg_pool.ConnectionPool(database.url, min_size=1, max_size=2, open=True, configure=configure)
        with pool.connection() as connection:
            connection.execute(INSERT)
        connection = pool.getconn()
        connection.execute("INSERT INTO orders (sku) VALUES ('undone')")
        pool.putconn(connection)
        with pool.connection() as connection:
            assert connection.execute(COUNT).fetchone() == (2,)
    for closer in scope.end():
        closer.close()
    with pool.connection() as connection:
        assert connection.execute("SELECT answer FROM configured").fetchone() == ("yes",)
        connection.execute("INSERT INTO orders (sku) VALUES ('customer')")
    pool.close()
    assert database.rows == ["first", "customer"]


def test_a_transaction_that_was_left_open_ends_with_the_linger(database: Database, arm_service: Any) -> None:
    gone = "SELECT 1 WHERE NOT EXISTS (SELECT 1 FROM pg_locks WHERE relation = 'orders'::regclass)"

    async def main() -> None:
        async with bullet(arm_service(linger_s=0.01)):
            connection = await connect(database.url)
            await connection.execute(INSERT)
        await asyncio.to_thread(database.wait_for, gone)
        await connection.close()

    asyncio.run(main())
    assert database.rows == ["first"]
