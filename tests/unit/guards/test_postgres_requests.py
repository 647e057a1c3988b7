"""Claim: requests to a service on PostgreSQL, many at once or broken off in the middle: only customers' rows stay."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import psycopg
import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, create_async_engine
from sqlalchemy.orm import Session
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tests.servers.postgres import PostgresServer
from tests.unit.guards.conftest import Telemetry
from tests.unit.guards.database import Database, Order, new_database
from tracer_bullet.guards import Armed
from tracer_bullet.guards.asgi import GuardMiddleware

WAITING = "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"


@pytest.fixture(params=["asyncpg", "psycopg"])
def async_database(request: pytest.FixtureRequest, postgres: PostgresServer) -> Iterator[Database]:
    with new_database(postgres, request.param) as found:
        yield found


@pytest.fixture
def requests_of(flag_headers: Callable[..., dict[str, str]]) -> Callable[[str], Callable[[], dict[str, str]]]:
    """Makes the headers of one request after the other, all of bullets or all of customers."""
    numbers = iter(range(1, 1000))

    def of(kind: str) -> Callable[[], dict[str, str]]:
        return lambda: flag_headers(f"{next(numbers):032x}") if kind == "bullet" else {}

    return of


class Service:
    """An application with one write a request, on an engine of its own."""

    def __init__(self, database: Database, **settings: Any) -> None:
        self.engine: AsyncEngine = create_async_engine(database.sqlalchemy_url(), **settings)
        self.app = Starlette(
            routes=[
                Route(f"/{name}", getattr(self, name), methods=["POST"])
                for name in ("one", "two", "both_at_once", "afterwards")
            ]
        )

    async def place(self, sku: str) -> int:
        async with AsyncSession(self.engine) as session:
            order = Order(sku=sku)
            session.add(order)
            await session.commit()
            await session.refresh(order)
            return order.id

    async def one(self, request: Request) -> Response:
        try:
            return JSONResponse({"id": await self.place(request.query_params["sku"])}, 201)
        except sa.exc.IntegrityError:
            return JSONResponse({"error": "there already"}, 409)

    async def two(self, request: Request) -> Response:
        await self.place("committed")
        return await self.one(request)

    async def both_at_once(self, request: Request) -> Response:
        return JSONResponse(await asyncio.gather(self.place("a"), self.place("b")))

    async def afterwards(self, request: Request) -> Response:
        return Response(status_code=202, background=BackgroundTask(self.place, "later"))


@asynccontextmanager
async def serving(database: Database, armed: Armed, **settings: Any) -> Any:
    service = Service(database, **settings)
    transport = httpx.ASGITransport(GuardMiddleware(service.app, armed))
    try:
        async with httpx.AsyncClient(transport=transport, base_url="http://cart") as client:
            yield client
    finally:
        await service.engine.dispose()


@pytest.mark.parametrize(("path", "left"), [("two", ["committed", "x"]), ("both_at_once", ["a", "b"])])
def test_a_request(
    path: str, left: list[str], async_database: Database, arm_service: Any, requests_of: Any, telemetry: Telemetry
) -> None:
    async def main() -> None:
        async with serving(async_database, arm_service()) as client:
            bullet, customer = requests_of("bullet"), requests_of("customer")
            assert (await client.post(f"/{path}?sku=x", headers=bullet())).is_success
            assert async_database.rows == ["first"]
            async_database.assert_nothing_open()
            assert (await client.post(f"/{path}?sku=x", headers=customer())).is_success

    asyncio.run(main())
    assert sorted(async_database.rows) == sorted(["first", *left])
    assert telemetry.decisions == [("rolled_back", "INSERT orders")] * 2


def test_work_after_the_answer(async_database: Database, arm_service: Any, requests_of: Any) -> None:
    async def main() -> None:
        async with serving(async_database, arm_service()) as client:
            assert (await client.post("/afterwards", headers=requests_of("bullet")())).status_code == 202
            assert async_database.rows == ["first"]
            assert (await client.post("/afterwards", headers=requests_of("customer")())).status_code == 202

    asyncio.run(main())
    assert async_database.rows == ["first", "later"]


@pytest.mark.parametrize(("kind", "left"), [("bullet", ["first"]), ("customer", ["first", "committed"])])
def test_a_request_cancelled_in_the_middle_of_a_write(
    kind: str, left: list[str], async_database: Database, arm_service: Any, requests_of: Any
) -> None:
    """One connection in the pool, and three tries: a leaked one would be missed at the second."""
    headers = requests_of(kind)
    armed = arm_service()

    async def main() -> None:
        async with serving(async_database, armed, pool_size=1, max_overflow=0, pool_timeout=10) as client:
            for path in ("two", "one", "one"):
                await cancelled(client, f"/{path}?sku=contested")
                assert async_database.rows == left
                async_database.assert_nothing_open()
            assert (await client.post("/one?sku=next", headers=headers())).status_code == 201
            async_database.assert_nothing_open()

    async def cancelled(client: httpx.AsyncClient, path: str) -> None:
        with psycopg.connect(async_database.url) as rival:
            rival.execute("INSERT INTO orders (sku) VALUES ('contested')")
            request = asyncio.create_task(client.post(path, headers=headers()))
            await asyncio.to_thread(async_database.wait_for, WAITING)
            request.cancel()
            with pytest.raises(asyncio.CancelledError):
                await request
            rival.rollback()

    asyncio.run(main())
    assert async_database.rows == [*left, *(["next"] if kind == "customer" else [])]
    assert armed.problem == ""


def test_a_bullets_backend_killed_while_it_waits(async_database: Database, arm_service: Any, requests_of: Any) -> None:
    armed = arm_service()

    async def main() -> None:
        async with serving(async_database, armed) as client:
            with psycopg.connect(async_database.url) as rival:
                rival.execute("INSERT INTO orders (sku) VALUES ('contested')")
                request = asyncio.create_task(client.post("/two?sku=contested", headers=requests_of("bullet")()))
                await asyncio.to_thread(async_database.wait_for, WAITING)
                killed = async_database.ask(WAITING.replace("1", "pg_terminate_backend(pid, 10000)"))
                assert killed == [True]
                with pytest.raises(sa.exc.DBAPIError):
                    await request
                rival.rollback()
            async_database.assert_nothing_open()
            assert (await client.post("/one?sku=x", headers=requests_of("bullet")())).status_code == 201
            assert (await client.post("/one?sku=x", headers=requests_of("customer")())).status_code == 201

    asyncio.run(main())
    assert async_database.rows == ["first", "x"]
    assert armed.problem == ""


def test_100_requests_at_once_of_bullets_and_customers_who_want_the_same_keys(
    postgres: PostgresServer, arm_service: Any, requests_of: Any, telemetry: Telemetry
) -> None:
    """Over both drivers, async and in threads; each sku is wanted by a bullet and by a customer."""
    bullet, customer = requests_of("bullet"), requests_of("customer")
    small = {"pool_size": 5, "max_overflow": 3}

    async def main() -> None:
        other = Database(database.url, "psycopg")
        app = Starlette()
        services = {"asyncpg": Service(database, **small), "psycopg": Service(other, **small)}
        for name, service in services.items():
            app.mount(f"/{name}", service.app)
        sync_engine = sa.create_engine(other.sqlalchemy_url(), **small)
        app.router.routes.append(Route("/threads/one", _place_in_a_thread(sync_engine), methods=["POST"]))
        transport = httpx.ASGITransport(GuardMiddleware(app, arm_service()))
        async with httpx.AsyncClient(transport=transport, base_url="http://cart", timeout=60) as client:
            ways = ["asyncpg", "psycopg", "threads"]
            wanted = [(f"/{ways[i % 3]}/one?sku=s{i}", who) for i in range(50) for who in (bullet, customer)]
            answers = await asyncio.gather(*(client.post(path, headers=who()) for path, who in wanted))
        for (_, who), answer in zip(wanted, answers, strict=True):
            assert answer.status_code in ((201,) if who is customer else (201, 409))
        database.assert_nothing_open()
        for service in services.values():
            await service.engine.dispose()
        sync_engine.dispose()

    with new_database(postgres, "asyncpg") as database:
        asyncio.run(main())
        assert sorted(database.rows) == sorted(["first", *(f"s{i}" for i in range(50))])
    assert len(telemetry.having("tb.sealed_spans")) == 50
    assert telemetry.decisions == [("rolled_back", "INSERT orders")] * 50


def _place_in_a_thread(engine: sa.Engine) -> Callable[[Request], Response]:
    def one(request: Request) -> Response:
        try:
            with Session(engine) as session:
                order = Order(sku=request.query_params["sku"])
                session.add(order)
                session.commit()
                return JSONResponse({"id": order.id}, 201)
        except sa.exc.IntegrityError:
            return JSONResponse({"error": "there already"}, 409)

    return one
