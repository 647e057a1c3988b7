"""Requests whose code uses asyncpg by hand."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any

import asyncpg

from tests.servers.postgres import PostgresServer
from tests.unit.guards.database import new_database
from tests.unit.guards.sql_stores import PostgresDatabase
from tracer_bullet.context.scope import Scope, entered
from tracer_bullet.guards import Armed
from tracer_bullet.model import Context

INSERT = "INSERT INTO orders (sku) VALUES ($1)"
Body = Callable[[Any], Awaitable[None]]


def fire(database: PostgresDatabase, body: Body, armed: Armed | None, run_id: str = "run-1") -> None:
    """Run `body` on a connection of a pool, as a bullet's request or (without `armed`) as a customer's."""

    async def main() -> None:
        pool = await asyncpg.create_pool(database.url, min_size=1, max_size=2)
        scope = Scope(Context(run_id=run_id, token="t"), armed, linger_s=0.0, trace_id="a" * 32) if armed else None
        try:
            with entered(scope):
                async with pool.acquire() as connection:
                    await body(connection)
        finally:
            for closer in scope.end() if scope else ():
                await closer.aclose()
            database.assert_nothing_open()
            await pool.close()

    asyncio.run(main())


def check(database: PostgresDatabase, body: Body, armed: Armed, writes: list[str]) -> None:
    """As a bullet `body` leaves nothing; as a customer it leaves `writes`."""
    fire(database, body, armed)
    assert database.rows == ["first"]
    fire(database, body, None)
    assert database.rows == ["first", *writes]


async def skus(connection: Any) -> list[str]:
    return [row["sku"] for row in await connection.fetch("SELECT sku FROM orders ORDER BY id")]


@contextmanager
def new_orders(server: PostgresServer) -> Iterator[PostgresDatabase]:
    """A database with one order in it, and a shadow table."""
    with new_database(server, "asyncpg") as made:
        found = PostgresDatabase(made.url, made.driver)
        found.run("CREATE TABLE shadow_orders (id serial PRIMARY KEY, sku text NOT NULL UNIQUE)")
        yield found
