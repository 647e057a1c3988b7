"""Claim: the flag survives a queue between two services, and the second one's writes do not happen."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aio_pika
import httpx
import pytest
import sqlalchemy as sa
from opentelemetry.instrumentation.aio_pika import AioPikaInstrumentor
from opentelemetry.instrumentation.asgi import OpenTelemetryMiddleware
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from tests.unit.guards.amqp import Broker
from tests.unit.guards.conftest import Telemetry
from tracer_bullet.context import current
from tracer_bullet.guards import Armed
from tracer_bullet.guards.asgi import GuardMiddleware
from tracer_bullet.guards.messages.consume import serving

WAIT_S = 60.0


def front(armed: Armed, channel: Any, exchange: str) -> GuardMiddleware:
    """The first service: takes an order, and tells others of it."""

    async def order(request: Request) -> JSONResponse:
        to = await channel.get_exchange(exchange)
        await to.publish(aio_pika.Message(await request.body()), "order.created")
        return JSONResponse({"accepted": True}, 202)

    return GuardMiddleware(Starlette(routes=[Route("/orders", order, methods=["POST"])]), armed)


@pytest.mark.parametrize("instrumented", [True, False])
def test_a_queue_between_two_services(
    instrumented: bool,
    broker: Broker,
    tmp_path: Path,
    arm_service: Callable[..., Armed],
    flag_headers: Callable[..., dict[str, str]],
    telemetry: Telemetry,
) -> None:
    queue = broker.queue()
    exchange = broker.exchange("order", queue)
    engine = sa.create_engine(f"sqlite:///{tmp_path / 'bookings.db'}")
    with engine.begin() as connection:
        connection.execute(sa.text("CREATE TABLE bookings (value TEXT)"))
    first = arm_service(service="front", messages="forward")
    second = arm_service(service="booking")
    if instrumented:
        AioPikaInstrumentor().instrument(tracer_provider=telemetry.provider)
    seen: list[str] = []
    runs: list[str | None] = []

    async def book(message: aio_pika.abc.AbstractIncomingMessage) -> None:
        """The second service: books what the message says, and reads its booking."""
        async with message.process():
            with engine.begin() as connection:
                connection.execute(sa.text("INSERT INTO bookings VALUES (:v)"), {"v": message.body.decode()})
            with engine.connect() as connection:
                seen.extend(v for (v,) in connection.execute(sa.text("SELECT value FROM bookings ORDER BY value")))
            runs.append(None if (found := current()) is None else found.run_id)
            handled.release()

    handled = asyncio.Semaphore(0)

    async def main() -> None:
        async with await aio_pika.connect_robust(broker.url) as connection:
            channel = await connection.channel()
            consumer = await connection.channel()
            with serving(second):
                await (await consumer.get_queue(queue)).consume(book)
            app: Any = front(first, channel, exchange)
            if instrumented:
                app = OpenTelemetryMiddleware(app, tracer_provider=telemetry.provider)
            transport = httpx.ASGITransport(app)
            async with httpx.AsyncClient(transport=transport, base_url="http://front") as client:
                for body, headers in (("bullet", flag_headers()), ("customer", {})):
                    assert (await client.post("/orders", content=body, headers=headers)).status_code == 202
                    await asyncio.wait_for(handled.acquire(), WAIT_S)

    try:
        asyncio.run(main())
    finally:
        if instrumented:
            AioPikaInstrumentor().uninstrument()
    assert runs == ["run-1", None]
    assert seen == ["bullet", "customer"], "the bullet reads what it wrote; the customer does not see it"
    with engine.connect() as connection:
        assert list(connection.execute(sa.text("SELECT value FROM bookings"))) == [("customer",)]
    engine.dispose()
    assert ("forwarded", f"PUBLISH {exchange}/order.created") in telemetry.decisions
    assert ("rolled_back", "INSERT bookings") in telemetry.decisions
    bullets = [s for s in telemetry.spans if "tb.run" in (s.attributes or {})]
    assert {f"{s.context.trace_id:032x}" for s in bullets} == {"0af7651916cd43dd8448eb211c80319c"}
    assert len(telemetry.having("tb.sealed_spans")) == 2
