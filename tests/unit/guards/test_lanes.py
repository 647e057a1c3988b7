"""Claim: tasks and threads of one request that overlap find what they wrote, wait for one another, and never for ever.

On PostgreSQL, since SQLite's one write lock would order them anyway. Each order of events is forced.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, create_async_engine
from sqlalchemy.orm import Session

from tests.servers.postgres import PostgresServer
from tests.unit.guards.database import Database, Order, new_database
from tracer_bullet.context.scope import Scope, entered
from tracer_bullet.guards import Armed, WriteRefused
from tracer_bullet.guards.sql import lanes
from tracer_bullet.guards.sql.lane import Source
from tracer_bullet.guards.sql.lanes import lanes_of
from tracer_bullet.model import Context

_LONG_S = 60.0


@pytest.fixture(params=["asyncpg", "psycopg"])
def async_database(request: pytest.FixtureRequest, postgres: PostgresServer) -> Iterator[Database]:
    with new_database(postgres, request.param) as found:
        yield found


@pytest.fixture
def patience(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Sets how long is waited for a lane, whatever the reason."""

    def set_to(seconds: float) -> None:
        for name in ("BUSY_S", "BORROWED_S", "OPENING_S"):
            monkeypatch.setattr(lanes, name, seconds)

    return set_to


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> threading.Semaphore:
    """Has one more for each time that somebody begins to wait for a lane."""
    found = threading.Semaphore(0)
    new_waiter = lanes.new_waiter

    def count(style: Any) -> Any:
        waiter = new_waiter(style)
        found.release()
        return waiter

    monkeypatch.setattr(lanes, "new_waiter", count)
    return found


def scope_of(armed: Armed) -> Scope:
    return Scope(Context(run_id="run-1", token="t"), armed, trace_id="a" * 32)


def run_tasks(database: Database, armed: Armed, body: Callable[[AsyncEngine, Scope], Awaitable[None]]) -> None:
    """`body` as a bullet's request; then only what was there before is there, and nothing is open."""

    async def main() -> None:
        engine = create_async_engine(database.sqlalchemy_url())
        scope = scope_of(armed)
        try:
            with entered(scope):
                await body(engine, scope)
        finally:
            for closer in scope.end():
                await closer.aclose()
            database.assert_nothing_open()
            await engine.dispose()

    asyncio.run(main())
    assert database.rows == ["first"]


def run_threads(database: Database, armed: Armed, *bodies: Callable[[sa.Engine], None]) -> Scope:
    """Each of `bodies` in a thread of one bullet's request."""
    engine = sa.create_engine(database.sqlalchemy_url())
    scope, errors = scope_of(armed), []

    def run(body: Callable[[sa.Engine], None]) -> None:
        try:
            with entered(scope):
                body(engine)
        except BaseException as error:  # noqa: BLE001  # told by the main thread
            errors.append(error)

    threads = [threading.Thread(target=run, args=(body,)) for body in bodies]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for closer in scope.end():
        closer.close()
    database.assert_nothing_open()
    engine.dispose()
    assert errors == []
    assert database.rows == ["first"]
    return scope


def opened(scope: Scope) -> int:
    return len(lanes_of(scope, 0.0)._lanes)


async def acquired(waits: threading.Semaphore) -> None:
    await asyncio.to_thread(waits.acquire)


def test_two_tasks_at_once_take_turns_on_one_lane(async_database: Database, arm_service: Any, patience: Any) -> None:
    """Also while the lane is being opened, which both of them want at the same time."""
    patience(_LONG_S)

    async def body(engine: AsyncEngine, scope: Scope) -> None:
        async def place(sku: str) -> None:
            async with AsyncSession(engine) as session:
                order = Order(sku=sku)
                session.add(order)
                await session.commit()
                await session.refresh(order)

        await asyncio.gather(*(place(f"x{i}") for i in range(5)))
        assert opened(scope) == 1

    run_tasks(async_database, arm_service(), body)


def test_a_task_goes_back_to_the_lane_with_its_rows_when_several_are_free(
    async_database: Database, arm_service: Any, patience: Any
) -> None:
    patience(0.0)

    async def body(engine: AsyncEngine, scope: Scope) -> None:
        flushed, committed, turn = asyncio.Barrier(2), asyncio.Barrier(2), asyncio.Lock()

        async def place(sku: str) -> None:
            async with AsyncSession(engine) as session:
                order = Order(sku=sku)
                session.add(order)
                await session.flush()
                await flushed.wait()  # each has a lane of its own now
                await session.commit()
                await committed.wait()
                async with turn:  # and each finds both lanes free
                    await session.refresh(order)
                    await session.commit()

        await asyncio.gather(place("a"), place("b"))
        assert opened(scope) == 2

    run_tasks(async_database, arm_service(), body)


def test_a_task_waits_for_the_lane_with_its_rows_that_another_one_uses(
    async_database: Database, arm_service: Any, patience: Any, waits: threading.Semaphore
) -> None:
    patience(_LONG_S)

    async def body(engine: AsyncEngine, scope: Scope) -> None:
        committed, borrowed = asyncio.Event(), asyncio.Event()

        async def first() -> None:
            async with AsyncSession(engine) as session:
                order = Order(sku="a")
                session.add(order)
                await session.commit()
                committed.set()
                await borrowed.wait()
                await session.refresh(order)

        async def second() -> None:
            await committed.wait()
            async with AsyncSession(engine) as session:
                session.add(Order(sku="b"))
                await session.flush()
                borrowed.set()
                await acquired(waits)  # the first one asks for its lane
                await session.commit()

        await asyncio.gather(first(), second())
        assert opened(scope) == 1

    run_tasks(async_database, arm_service(), body)


def test_a_lane_that_stays_busy_is_not_waited_for_for_ever(
    async_database: Database, arm_service: Any, patience: Any, waits: threading.Semaphore
) -> None:
    """A task that waits for the other one inside its transaction would wait for itself."""
    patience(0.01)

    async def body(engine: AsyncEngine, scope: Scope) -> None:
        async def other() -> None:
            async with AsyncSession(engine) as session:
                session.add(Order(sku="b"))
                await session.commit()

        async with AsyncSession(engine) as session:
            session.add(Order(sku="a"))
            await session.flush()
            await asyncio.create_task(other())
            await session.commit()
        assert waits.acquire(blocking=False)
        assert opened(scope) == 2

    run_tasks(async_database, arm_service(), body)


def test_nested_sessions_of_one_task_share(async_database: Database, arm_service: Any, patience: Any) -> None:
    patience(_LONG_S)

    async def body(engine: AsyncEngine, scope: Scope) -> None:
        async with AsyncSession(engine) as outer, AsyncSession(engine) as inner:
            outer.add(Order(sku="a"))
            await outer.flush()
            inner.add(Order(sku="b"))
            await inner.commit()
            assert len((await outer.scalars(sa.select(Order))).all()) == 3
            await outer.commit()
        assert opened(scope) == 1

    run_tasks(async_database, arm_service(), body)


def test_a_task_that_is_cancelled_while_it_waits_leaves_nothing(
    async_database: Database, arm_service: Any, patience: Any, waits: threading.Semaphore
) -> None:
    patience(_LONG_S)

    async def body(engine: AsyncEngine, scope: Scope) -> None:
        async def other() -> None:
            async with AsyncSession(engine) as session:
                await session.scalars(sa.select(Order))

        async with AsyncSession(engine) as session:
            session.add(Order(sku="a"))
            await session.flush()
            waiting = asyncio.create_task(other())
            await acquired(waits)
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
            assert lanes_of(scope, 0.0)._waiters == []
            await session.commit()
        await other()
        assert opened(scope) == 1

    run_tasks(async_database, arm_service(), body)


def test_blocking_code_on_an_event_loop_does_not_wait(
    psycopg_database: Database, arm_service: Any, patience: Any, waits: threading.Semaphore
) -> None:
    patience(_LONG_S)
    engine = sa.create_engine(psycopg_database.sqlalchemy_url())
    scope = scope_of(arm_service())

    async def main() -> None:
        async def other() -> None:
            with Session(engine) as session:
                session.add(Order(sku="b"))
                session.commit()

        with Session(engine) as session:
            session.add(Order(sku="a"))
            session.flush()
            await asyncio.create_task(other())
            session.commit()

    with entered(scope):
        asyncio.run(main())
    assert opened(scope) == 2
    assert not waits.acquire(blocking=False)
    for closer in scope.end():
        closer.close()
    engine.dispose()
    assert psycopg_database.rows == ["first"]


def test_a_thread_goes_back_to_the_lane_with_its_rows_when_several_are_free(
    psycopg_database: Database, arm_service: Any, patience: Any
) -> None:
    patience(0.0)
    flushed, committed = threading.Barrier(2, timeout=_LONG_S), threading.Barrier(2, timeout=_LONG_S)
    turn = threading.Lock()

    def place(sku: str) -> Callable[[sa.Engine], None]:
        def body(engine: sa.Engine) -> None:
            with Session(engine) as session:
                order = Order(sku=sku)
                session.add(order)
                session.flush()
                flushed.wait()
                session.commit()
                committed.wait()
                with turn:
                    session.refresh(order)
                    session.commit()

        return body

    run_threads(psycopg_database, arm_service(), place("a"), place("b"))


def test_a_thread_waits_for_the_lane_with_its_rows_that_another_one_uses(
    psycopg_database: Database, arm_service: Any, patience: Any, waits: threading.Semaphore
) -> None:
    patience(_LONG_S)
    committed, borrowed = threading.Event(), threading.Event()

    def first(engine: sa.Engine) -> None:
        with Session(engine) as session:
            order = Order(sku="a")
            session.add(order)
            session.commit()
            committed.set()
            assert borrowed.wait(_LONG_S)
            session.refresh(order)

    def second(engine: sa.Engine) -> None:
        assert committed.wait(_LONG_S)
        with Session(engine) as session:
            session.add(Order(sku="b"))
            session.flush()
            borrowed.set()
            assert waits.acquire(timeout=_LONG_S)
            session.commit()

    run_threads(psycopg_database, arm_service(), first, second)


def test_whoever_waits_for_a_lane_that_cannot_be_opened_tries_itself(
    arm_service: Any, patience: Any, waits: threading.Semaphore
) -> None:
    patience(_LONG_S)
    tries: list[str] = []

    async def main() -> None:
        fail, failing = asyncio.Event(), asyncio.Event()

        async def open_lane() -> Any:
            tries.append("try")
            failing.set()
            await fail.wait()
            raise OSError("no server")

        source = Source("key", "postgresql", open_lane, lanes.Style.ASYNC)
        found = lanes_of(scope_of(arm_service()), 0.0)
        first = asyncio.create_task(found.checkout(source))
        await failing.wait()
        second = asyncio.create_task(found.checkout(source))
        await acquired(waits)
        fail.set()
        assert [type(e) for e in await asyncio.gather(first, second, return_exceptions=True)] == [OSError, OSError]

    asyncio.run(main())
    assert len(tries) == 2


def test_a_transaction_that_the_database_itself_ended_does_not_let_writes_escape(
    tmp_path: Path, arm_service: Any
) -> None:
    """In SQLite a savepoint that is set outside of a transaction begins one, and its release commits it."""
    url = f"sqlite:///{tmp_path}/orders.db"
    engine = sa.create_engine(url)
    with engine.begin() as c:
        c.execute(sa.text("CREATE TABLE orders (sku TEXT UNIQUE)"))
        c.execute(sa.text("INSERT INTO orders VALUES ('first')"))
    scope = scope_of(arm_service())
    with entered(scope):
        with engine.connect() as c:
            c.execute(sa.text("INSERT INTO orders VALUES ('x')"))
            c.commit()
            with pytest.raises(sa.exc.IntegrityError):
                c.execute(sa.text("INSERT OR ROLLBACK INTO orders VALUES ('first')"))
        for _ in range(2):
            with contextlib.suppress(WriteRefused, sa.exc.StatementError), engine.begin() as c:
                c.execute(sa.text("INSERT INTO orders VALUES ('escaped')"))
    for closer in scope.end():
        closer.close()
    with engine.connect() as c:
        assert c.execute(sa.text("SELECT sku FROM orders")).scalars().all() == ["first"]
    engine.dispose()
