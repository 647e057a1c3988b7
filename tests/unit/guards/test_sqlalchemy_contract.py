"""SQLAlchemy passes the suite of all guards, on SQLite and on PostgreSQL under both drivers."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from opentelemetry.instrumentation.sqlalchemy import SQLAlchemyInstrumentor
from sqlalchemy.engine import Engine
from sqlalchemy.ext import asyncio as sa_asyncio
from sqlalchemy.pool import NullPool
from sqlalchemy.util import greenlet_spawn

from tests.unit.guards.contract import GuardContract
from tests.unit.guards.sql_stores import DRIVERS, SqliteDatabase, Store, new_store
from tracer_bullet.context.scope import inherited_scope
from tracer_bullet.guards import Policy, Sink


@dataclass
class SqlAlchemySubject:
    """An engine for each call."""

    store: Store
    name: str = "sqlalchemy"
    sink: Sink = Sink.SQL
    operation: str = "INSERT orders"
    policies: tuple[Policy, ...] = (Policy.ROLLBACK, Policy.NOOP, Policy.SHADOW, Policy.DENY, Policy.ALLOW)
    patched: tuple[tuple[Any, str], ...] = ((Engine, "raw_connection"), (Engine, "dispose"))
    settings: dict[str, Any] = field(default_factory=dict)
    instrumentor: Any = field(default_factory=SQLAlchemyInstrumentor)

    def write(self, value: str) -> Any:
        def work(engine: Engine) -> Any:
            with engine.begin() as c:
                return c.execute(sa.text("INSERT INTO orders (sku) VALUES (:sku)"), {"sku": value}).rowcount

        return self._run(work)

    def read(self) -> Any:
        def work(engine: Engine) -> Any:
            with engine.connect() as c:
                return c.execute(sa.text("SELECT count(*) FROM orders")).scalar()

        return self._run(work)

    def check(self, answer: Any) -> None:
        assert answer == 1

    def stored(self) -> list[str]:
        return sorted(self.store.rows)

    def shadowed(self) -> list[str]:
        return sorted(self.store.ask("SELECT sku FROM shadow_orders"))

    def _run(self, work: Any) -> Any:
        if self.store.driver == "asyncpg":
            return asyncio.run(self._run_async(work))
        if isinstance(self.store, SqliteDatabase):
            engine = self.store.engine(poolclass=NullPool, connect_args={"timeout": 60})
        else:
            engine = sa.create_engine(self.store.sqlalchemy_url(), poolclass=NullPool)
        try:
            return work(engine)
        finally:
            for closer in reversed(_closers()):
                closer.close()  # this engine ends here, the request does not
            engine.dispose()

    async def _run_async(self, work: Any) -> Any:
        assert not isinstance(self.store, SqliteDatabase)
        engine = sa_asyncio.create_async_engine(self.store.sqlalchemy_url(), poolclass=NullPool)
        try:
            return await greenlet_spawn(work, engine.sync_engine)
        finally:
            for closer in reversed(_closers()):
                await closer.aclose()
            await engine.dispose()


def _closers() -> list[Any]:
    scope = inherited_scope()
    return list(scope._closers) if scope is not None else []


class TestContract(GuardContract):
    @pytest.fixture(params=DRIVERS)
    def subject(self, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[SqlAlchemySubject]:
        with new_store(request, request.param, tmp_path) as store:
            if request.param == "sqlite":
                store.run("CREATE TABLE shadow_orders (id INTEGER PRIMARY KEY, sku TEXT NOT NULL UNIQUE)")
            else:
                store.run("CREATE TABLE shadow_orders (id serial PRIMARY KEY, sku text NOT NULL UNIQUE)")
            store.run("DELETE FROM orders")
            yield SqlAlchemySubject(store)
