"""A PostgreSQL database of one test, as code under guard and as a stranger to all guards meet it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import psycopg
import sqlalchemy as sa
from sqlalchemy.engine import Engine
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlalchemy.util import greenlet_spawn

from tests.servers.postgres import PostgresServer
from tracer_bullet.context.scope import Scope, entered
from tracer_bullet.guards import Armed
from tracer_bullet.model import Context

Body = Callable[[Engine], None]
INSERT = "INSERT INTO orders (sku) VALUES ('x')"
_WAIT_S = 30.0


class Base(DeclarativeBase):
    pass


class Order(Base):
    __tablename__ = "orders"
    id: Mapped[int] = mapped_column(primary_key=True)
    sku: Mapped[str] = mapped_column(unique=True)


@dataclass(frozen=True)
class Database:
    """`url` without a driver, and the driver that the code under guard uses."""

    url: str
    driver: str

    def sqlalchemy_url(self) -> sa.URL:
        return sa.make_url(self.url).set(drivername=f"postgresql+{self.driver}")

    def ask(self, sql: str) -> list[Any]:
        """The first column, for a stranger to all guards."""
        with entered(None), psycopg.connect(self.url, autocommit=True) as connection:
            return [row[0] for row in connection.execute(sql)]  # type: ignore[call-overload]

    @property
    def rows(self) -> list[str]:
        return self.ask("SELECT sku FROM orders ORDER BY id")

    def fire(self, armed: Armed, body: Body, **settings: Any) -> None:
        """Run `body` as a bullet's request; afterwards, before its pool is closed, nothing is left open."""
        scope = Scope(Context(run_id="run-1", token="t"), armed, linger_s=armed.config.linger_s, trace_id="a" * 32)
        self._run(body, scope, settings)

    def serve(self, body: Body, **settings: Any) -> None:
        """Run `body` as a customer's request."""
        self._run(body, None, settings)

    def check(self, armed: Armed, body: Body, writes: list[str], **settings: Any) -> None:
        """As a bullet `body` leaves nothing; as a customer it leaves `writes`."""
        self.fire(armed, body, **settings)
        assert self.rows == ["first"]
        self.serve(body, **settings)
        assert self.rows == ["first", *writes]

    def wait_for(self, sql: str) -> None:
        """Until a stranger's question is answered with a row: what other processes do cannot be awaited."""
        deadline = time.monotonic() + _WAIT_S
        while not self.ask(sql):
            assert time.monotonic() < deadline, sql
            time.sleep(0.01)

    def assert_nothing_open(self) -> None:
        """No statement or transaction under way, and no lock held."""
        others = "datname = current_database() AND pid <> pg_backend_pid()"
        assert self.ask(f"SELECT state || ': ' || query FROM pg_stat_activity WHERE {others} AND state <> 'idle'") == []
        locks = "FROM pg_locks JOIN pg_database ON pg_database.oid = pg_locks.database"
        assert self.ask(f"SELECT pg_locks::text {locks} WHERE {others}") == []

    def _run(self, body: Body, scope: Scope | None, settings: dict[str, Any]) -> None:
        if self.driver == "asyncpg":
            asyncio.run(self._run_async(body, scope, settings))
            return
        engine = sa.create_engine(self.sqlalchemy_url(), **settings)
        try:
            try:
                with entered(scope):
                    body(engine)
            finally:
                for closer in scope.end() if scope else ():
                    closer.close()
            self.assert_nothing_open()
        finally:
            engine.dispose()

    async def _run_async(self, body: Body, scope: Scope | None, settings: dict[str, Any]) -> None:
        engine = create_async_engine(self.sqlalchemy_url(), **settings)
        try:
            try:
                with entered(scope):
                    await greenlet_spawn(body, engine.sync_engine)
            finally:
                for closer in scope.end() if scope else ():
                    await closer.aclose()
            self.assert_nothing_open()
        finally:
            await engine.dispose()


@contextmanager
def new_database(server: PostgresServer, driver: str) -> Iterator[Database]:
    """A database with one order in it."""
    url = server.create_database()
    with psycopg.connect(url) as connection:
        connection.execute("CREATE TABLE orders (id serial PRIMARY KEY, sku text NOT NULL UNIQUE)")
        connection.execute("INSERT INTO orders (sku) VALUES ('first')")
    yield Database(url, driver)
    server.drop_database(url)
