"""One database of each proven kind with the same tables, as code under guard and as a stranger meet it."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from tests.servers.postgres import PostgresServer
from tests.unit.guards.database import Body, Database, new_database
from tracer_bullet.context.scope import Scope, entered
from tracer_bullet.guards import Armed
from tracer_bullet.model import Context

DRIVERS = ["sqlite", "psycopg", "asyncpg"]


class Base(DeclarativeBase):
    pass


class Order(Base):
    __tablename__ = "orders"
    id: Mapped[int] = mapped_column(primary_key=True)
    sku: Mapped[str] = mapped_column(unique=True)


@dataclass(frozen=True)
class SqliteDatabase:
    """The interface of `Database`, over a file."""

    path: Path
    driver: str = "sqlite"

    def ask(self, sql: str) -> list[Any]:
        connection = sqlite3.connect(self.path)
        try:
            return [row[0] for row in connection.execute(sql)]
        finally:
            connection.close()

    @property
    def rows(self) -> list[str]:
        return self.ask("SELECT sku FROM orders ORDER BY id")

    def run(self, sql: str) -> None:
        connection = sqlite3.connect(self.path)
        connection.executescript(sql)
        connection.close()

    def engine(self, **settings: Any) -> Engine:
        return sa.create_engine(f"sqlite:///{self.path}", **settings)

    def fire(self, armed: Armed, body: Body, **settings: Any) -> None:
        scope = Scope(Context(run_id="run-1", token="t"), armed, linger_s=armed.config.linger_s, trace_id="a" * 32)
        engine = self.engine(**settings)
        try:
            with entered(scope):
                body(engine)
        finally:
            for closer in scope.end():
                closer.close()
            engine.dispose()

    def serve(self, body: Body, **settings: Any) -> None:
        engine = self.engine(**settings)
        try:
            body(engine)
        finally:
            engine.dispose()


class PostgresDatabase(Database):
    """With a way to prepare it."""

    def run(self, sql: str) -> None:
        import psycopg

        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute(sql)  # type: ignore[call-overload]


Store = SqliteDatabase | PostgresDatabase


@contextmanager
def new_store(request: pytest.FixtureRequest, driver: str, folder: Path) -> Iterator[Store]:
    """`orders` with one row in it."""
    if driver == "sqlite":
        found = SqliteDatabase(folder / "orders.db")
        found.run("CREATE TABLE orders (id INTEGER PRIMARY KEY, sku TEXT NOT NULL UNIQUE)")
        found.run("INSERT INTO orders (sku) VALUES ('first')")
        yield found
        return
    server: PostgresServer = request.getfixturevalue("postgres")
    with new_database(server, driver) as database:
        yield PostgresDatabase(database.url, driver)
