"""Claim: a tester's request that lost its flag cannot write; nobody else notices that there are testers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
import sqlalchemy as sa
from a2wsgi import WSGIMiddleware
from flask import Flask
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route

from tests.unit.guards.conftest import Telemetry
from tracer_bullet.context.logs import context_fields
from tracer_bullet.context.scope import current, is_trace
from tracer_bullet.guards import Armed, WriteRefused
from tracer_bullet.guards import asgi as asgi_guard
from tracer_bullet.guards import wsgi as wsgi_guard
from tracer_bullet.guards.testers import account


class Shop:
    def __init__(self, folder: Path) -> None:
        self.engine = sa.create_engine(f"sqlite:///{folder / 'shop.db'}")
        with self.engine.begin() as connection:
            connection.exec_driver_sql("CREATE TABLE orders (sku TEXT)")

    def order(self, sku: str) -> str:
        assert not is_trace()
        assert current() is None
        assert context_fields()["request_type"] == "STANDARD"
        try:
            with self.engine.begin() as connection:
                connection.execute(sa.text("INSERT INTO orders VALUES (:sku)"), {"sku": sku})
        except WriteRefused as error:
            return error.why
        return "written"

    @property
    def rows(self) -> list[str]:
        with self.engine.connect() as connection:
            return list(connection.execute(sa.text("SELECT sku FROM orders")).scalars())


@pytest.fixture
def shop(tmp_path: Path) -> Any:
    found = Shop(tmp_path)
    yield found
    found.engine.dispose()


def starlette_app(shop: Shop, armed: Armed) -> Any:
    async def order(request: Request) -> Response:
        return JSONResponse(shop.order(request.query_params["sku"]))

    inner = Starlette(routes=[Route("/order", order)])
    return asgi_guard.GuardMiddleware(Starlette(routes=[Mount("/", asgi_guard.GuardMiddleware(inner, armed))]), armed)


def flask_app(shop: Shop, armed: Armed) -> Any:
    app = Flask("shop")
    app.add_url_rule("/order", view_func=lambda: shop.order(__import__("flask").request.args["sku"]))
    guarded = wsgi_guard.GuardMiddleware(wsgi_guard.GuardMiddleware(app.wsgi_app, armed), armed)
    return WSGIMiddleware(guarded)  # type: ignore[arg-type]


def order(app: Any, sku: str, headers: dict[str, str]) -> str:
    async def main() -> str:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://shop") as client:
            return (await client.get("/order", params={"sku": sku}, headers=headers)).text.strip().strip('"')

    return asyncio.run(main())


@pytest.mark.parametrize("make", [starlette_app, flask_app])
def test_a_testers_request_without_the_flag_cannot_write(
    make: Callable[..., Any], shop: Shop, arm_service: Callable[..., Armed], telemetry: Telemetry
) -> None:
    app = make(shop, arm_service(testers=("t-*", "17")))
    said = {
        baggage: order(app, f"{i}", {"baggage": baggage} if baggage else {})
        for i, baggage in enumerate(["", "user_id=jane", "user_id=t-1", "a=b, account_id=17", "account_id=170"])
    }
    refused = {baggage for baggage, answer in said.items() if answer != "written"}
    assert refused == {"user_id=t-1", "a=b, account_id=17"}
    assert shop.rows == ["0", "1", "4"]
    assert telemetry.decisions == [("denied", "INSERT orders")] * 2
    assert telemetry.having("tb.request_type") == [], "none of this is on a bullet's trace"


@pytest.mark.parametrize("make", [starlette_app, flask_app])
def test_a_service_without_testers_asks_nobody(
    make: Callable[..., Any], shop: Shop, arm_service: Callable[..., Armed]
) -> None:
    assert order(make(shop, arm_service()), "a", {"baggage": "user_id=t-1"}) == "written"


def test_a_service_that_knows_the_account_only_later(shop: Shop, arm_service: Callable[..., Armed]) -> None:
    arm_service(testers=("t-*",))
    with account("t-9"):
        assert shop.order("a") != "written"
    with account("jane"):
        assert shop.order("b") == "written"
    assert shop.order("c") == "written"
    assert shop.rows == ["b", "c"]


def test_a_testers_request_reads_and_calls_on_as_it_is(shop: Shop, arm_service: Callable[..., Armed]) -> None:
    from tracer_bullet.context.propagator import TracerBulletPropagator

    arm_service(testers=("t-*",))
    shop.order("a")
    with account("t-9"):
        assert shop.rows == ["a"]
        carrier: dict[str, str] = {}
        TracerBulletPropagator().inject(carrier)
        assert carrier == {}
