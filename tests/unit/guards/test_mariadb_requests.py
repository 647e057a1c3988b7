"""Claim: on MariaDB only customers' rows stay when requests are broken off, deadlock or come many at once."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Engine
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import Session

from tests.servers.mariadb import MariadbServer
from tests.unit.guards.conftest import Telemetry
from tests.unit.guards.mariadb_shop import INSERT, LIBRARIES, Order, Shop, new_shop
from tracer_bullet.context.scope import Scope, entered
from tracer_bullet.guards import WriteRefused
from tracer_bullet.model import Context


@pytest.fixture(params=[*LIBRARIES, "asyncmy"])
def shop(request: pytest.FixtureRequest, mariadb: MariadbServer) -> Iterator[Shop]:
    with new_shop(mariadb, request.param) as found:
        yield found


@pytest.fixture
def one_shop(mariadb: MariadbServer) -> Iterator[Shop]:
    """For what has nothing to do with the driver."""
    with new_shop(mariadb, "pymysql") as found:
        yield found


def test_a_connection_killed_in_the_middle(shop: Shop, arm_service: Any) -> None:
    def body(engine: Engine) -> None:
        with engine.connect() as c:
            c.execute(sa.text(INSERT))
            c.commit()
            shop.ask(f"KILL {c.execute(sa.text('SELECT CONNECTION_ID()')).scalar()}")
            with pytest.raises(sa.exc.DBAPIError) as caught:
                c.execute(sa.text("SELECT 1"))
            assert caught.value.connection_invalidated
        with engine.begin() as c:  # a retry, as services make it
            seen.append(c.execute(sa.text("SELECT count(*) FROM orders")).scalar())
            c.execute(sa.text("INSERT INTO orders (sku) VALUES ('retry')"))

    seen: list[Any] = []
    armed = arm_service()
    shop.check(armed, body, ["x", "retry"])
    assert seen == [1, 2]
    assert armed.problem == ""


@pytest.mark.parametrize("level", [{}, {"isolation_level": "AUTOCOMMIT"}])
def test_a_deadlock_ends_the_lane_and_nothing_is_committed(
    level: dict[str, Any], one_shop: Shop, arm_service: Any
) -> None:
    """InnoDB then rolls back the whole transaction, of which the lane's savepoints are a part."""
    one_shop.ask("INSERT INTO orders (sku) VALUES ('second')")
    weight = "INSERT INTO orders (sku) SELECT CONCAT('filler', seq) FROM seq_1_to_50"

    def body(engine: Engine) -> None:
        with entered(None):
            rival = one_shop.server.connect(one_shop.url.rpartition("/")[2])
            rival.begin()
            rival.cursor().execute(weight)  # so that the bullet is the victim
            rival.cursor().execute("UPDATE orders SET sku = 'rival second' WHERE sku = 'second'")
        with engine.connect() as c:
            c.execute(sa.text("UPDATE orders SET sku = 'bullet' WHERE sku = 'first'"))
            take = entered(None)(lambda: rival.cursor().execute("UPDATE orders SET sku = 'r' WHERE sku = 'first'"))
            thread = threading.Thread(target=take)
            thread.start()
            one_shop.wait_for_a_waiting_lock()
            with pytest.raises(sa.exc.OperationalError, match="Deadlock"):
                c.execute(sa.text("UPDATE orders SET sku = 'bullet too' WHERE sku = 'second'"))
            thread.join()
            with entered(None):
                rival.rollback()
                rival.close()
            with contextlib.suppress(WriteRefused, sa.exc.StatementError):
                c.execute(sa.text("INSERT INTO orders (sku) VALUES ('escaped?')"))
        with engine.begin() as c:
            c.execute(sa.text("INSERT INTO orders (sku) VALUES ('retry')"))

    armed = arm_service()
    one_shop.fire(armed, body, **level)
    assert one_shop.rows == ["first", "second"]
    assert armed.problem == ""


@pytest.mark.parametrize(("kind", "left"), [("bullet", ["first"]), ("customer", ["first", "committed"])])
def test_a_request_cancelled_in_the_middle_of_a_write(
    kind: str, left: list[str], mariadb: MariadbServer, arm_service: Any
) -> None:
    armed = arm_service()

    async def place(engine: Any, sku: str) -> None:
        async with AsyncSession(engine) as session:
            session.add(Order(sku=sku))
            await session.commit()

    async def request(engine: Any, shop: Shop) -> None:
        scope = Scope(Context(run_id="run-1", token="t"), armed, linger_s=0.0, trace_id="a" * 32)
        try:
            with entered(scope if kind == "bullet" else None):
                await place(engine, "committed")
                await place(engine, "contested")
        finally:
            await asyncio.shield(asyncio.gather(*(closer.aclose() for closer in scope.end())))

    async def main(shop: Shop) -> None:
        engine = create_async_engine(shop.sqlalchemy_url(), pool_size=1, max_overflow=0, pool_timeout=10)
        with shop.server.connect(shop.url.rpartition("/")[2]) as rival:
            rival.begin()
            rival.cursor().execute("INSERT INTO orders (sku) VALUES ('contested')")
            task = asyncio.create_task(request(engine, shop))
            await asyncio.to_thread(shop.server.wait_for_a_waiting_lock)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            rival.rollback()
        assert shop.rows == left
        await asyncio.to_thread(shop.assert_nothing_open)  # as soon as the server has seen that its client is gone
        await place(engine, "next")
        await engine.dispose()

    with new_shop(mariadb, "asyncmy") as shop:
        asyncio.run(main(shop))
        assert shop.rows == [*left, "next"]
    assert armed.problem == ""


def test_100_requests_at_once_of_bullets_and_customers_who_want_the_same_keys(
    one_shop: Shop, arm_service: Any, telemetry: Telemetry
) -> None:
    engine = sa.create_engine(one_shop.sqlalchemy_url(), pool_size=5, max_overflow=3)
    armed = arm_service()
    answers: dict[tuple[str, int], str] = {}

    def place(kind: str, number: int) -> None:
        try:
            place_once(kind, number)
        except sa.exc.OperationalError as error:  # two who wait for a key that is rolled back may deadlock in InnoDB
            if "Deadlock" not in str(error):
                raise
            if kind == "customer":
                place(kind, number)

    def place_once(kind: str, number: int) -> None:
        scope = Scope(Context(run_id="run-1", token="t"), armed, linger_s=0.0, trace_id=f"{number + 1:032x}")
        try:
            with entered(scope if kind == "bullet" else None), Session(engine) as session:
                session.add(Order(sku=f"s{number}"))
                session.commit()
                answers[kind, number] = "made"
        except sa.exc.IntegrityError:
            answers[kind, number] = "there already"
        finally:
            for closer in scope.end():
                closer.close()

    with ThreadPoolExecutor(max_workers=8) as pool:
        for future in [pool.submit(place, kind, i) for i in range(50) for kind in ("bullet", "customer")]:
            future.result()
    assert {answers["customer", i] for i in range(50)} == {"made"}
    assert sorted(one_shop.rows) == sorted(["first", *(f"s{i}" for i in range(50))])
    one_shop.assert_nothing_open()
    engine.dispose()
    assert telemetry.decisions == [("rolled_back", "INSERT orders")] * 50
