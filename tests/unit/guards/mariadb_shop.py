"""A MariaDB database of one test, as code under guard and as a stranger to all guards meet it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import pymysql
import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Engine
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlalchemy.util import greenlet_spawn

from tests.servers.mariadb import MariadbServer
from tracer_bullet.context.scope import Scope, entered
from tracer_bullet.guards import Armed
from tracer_bullet.guards.sql import mysql
from tracer_bullet.model import Context

Body = Callable[[Engine], None]
INSERT = "INSERT INTO orders (sku) VALUES ('x')"
DRIVERS = {"pymysql": "mysql+pymysql", "mysqlclient": "mariadb+mysqldb", "asyncmy": "mysql+asyncmy"}


class Base(DeclarativeBase):
    pass


class Order(Base):
    __tablename__ = "orders"
    id: Mapped[int] = mapped_column(primary_key=True)
    sku: Mapped[str] = mapped_column(sa.String(100), unique=True)


LIBRARIES = ("pymysql", "mysqlclient")


def need(library: str) -> None:
    """Skip, by name, where mysqlclient could not be built."""
    if library == "mysqlclient":
        pytest.importorskip("MySQLdb", reason="mysqlclient is not here: it needs MariaDB's headers and a compiler")


@dataclass(frozen=True)
class MariadbDatabase:
    """`url` without a driver."""

    server: MariadbServer
    url: str

    def ask(self, sql: str) -> list[Any]:
        """The first column, for a stranger to all guards."""
        with entered(None), self.server.connect(self.url.rpartition("/")[2]) as connection:
            cursor = connection.cursor()
            cursor.execute(sql)
            return [row[0] for row in cursor.fetchall()]

    @property
    def rows(self) -> list[str]:
        return self.ask("SELECT sku FROM orders ORDER BY id")

    def assert_nothing_open(self) -> None:
        with entered(None):
            self.server.assert_nothing_open()

    def wait_for_a_waiting_lock(self) -> None:
        with entered(None):
            self.server.wait_for_a_waiting_lock()


@contextmanager
def new_database(server: MariadbServer) -> Iterator[MariadbDatabase]:
    """A database with one order in it."""
    found = MariadbDatabase(server, server.create_database())
    found.ask("CREATE TABLE orders (id int AUTO_INCREMENT PRIMARY KEY, sku varchar(100) NOT NULL UNIQUE)")
    found.ask("INSERT INTO orders (sku) VALUES ('first')")
    mysql._catalogues.clear()  # a server that is asked anew
    yield found
    server.drop_database(found.url)


@dataclass(frozen=True)
class Shop(MariadbDatabase):
    """It, under SQLAlchemy. `driver`: one of DRIVERS."""

    driver: str

    def sqlalchemy_url(self) -> sa.URL:
        return sa.make_url(self.url).set(drivername=DRIVERS[self.driver])

    def fire(self, armed: Armed, body: Body, **settings: Any) -> None:
        """Run `body` as a bullet's request; afterwards, before its pool is closed, nothing is left open."""
        self._run(body, Scope(Context(run_id="run-1", token="t"), armed, linger_s=0.0, trace_id="a" * 32), settings)

    def serve(self, body: Body, **settings: Any) -> None:
        """Run `body` as a customer's request."""
        self._run(body, None, settings)

    def check(self, armed: Armed, body: Body, writes: list[str], **settings: Any) -> None:
        """As a bullet `body` leaves nothing; as a customer it leaves `writes`."""
        self.fire(armed, body, **settings)
        assert self.rows == ["first"]
        self.serve(body, **settings)
        assert self.rows == ["first", *writes]

    def _run(self, body: Body, scope: Scope | None, settings: dict[str, Any]) -> None:
        if self.driver == "asyncmy":
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


@dataclass(frozen=True)
class RawShop(MariadbDatabase):
    """It, under a driver alone. `library`: `pymysql` or `mysqlclient`."""

    library: str

    @property
    def module(self) -> Any:
        if self.library == "pymysql":
            return pymysql
        import MySQLdb

        return MySQLdb

    def connect(self, **settings: Any) -> Any:
        parts = urlsplit(self.url)
        place = {"host": parts.hostname, "port": parts.port, "user": parts.username, "database": parts.path[1:]}
        return self.module.connect(**place, **settings)

    def check(self, armed: Armed, body: Callable[[Any], None], writes: list[str], **settings: Any) -> None:
        """As a bullet `body` leaves nothing; as a customer it leaves `writes`. On one and the same connection."""
        connection = self.connect(**settings)  # after arming
        try:
            with bullet(armed):
                body(connection)
            assert self.rows == ["first"]
            self.assert_nothing_open()
            body(connection)
            connection.rollback()
            assert self.rows == ["first", *writes]
        finally:
            connection.close()


@contextmanager
def bullet(armed: Armed, run_id: str = "run-1") -> Iterator[Scope]:
    scope = Scope(Context(run_id=run_id, token="t"), armed, linger_s=armed.config.linger_s, trace_id="a" * 32)
    try:
        with entered(scope):
            yield scope
    finally:
        for closer in scope.end():
            closer.close()


@contextmanager
def new_shop(server: MariadbServer, driver: str) -> Iterator[Shop]:
    """For SQLAlchemy."""
    need(driver)
    with new_database(server) as found:
        yield Shop(found.server, found.url, driver)


@contextmanager
def new_raw_shop(server: MariadbServer, library: str) -> Iterator[RawShop]:
    """For a driver alone."""
    need(library)
    with new_database(server) as found:
        yield RawShop(found.server, found.url, library)
