"""A service that writes to every guarded kind of store, for the proof that bullets write to none.

`POST /orders/<key>` writes the key everywhere, each write such that repeating it changes nothing
more; `x-cancel-after-ms` cancels the request's task in the middle. Run by uvicorn with several
workers: `every_store:app`, configured by EVERY_STORE (JSON) and the TRACER_BULLET_* variables.
"""

from __future__ import annotations

import asyncio
import json
import os
import smtplib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from email.message import EmailMessage
from typing import Any

import aio_pika
import boto3
import httpx
import pymongo
import redis.asyncio
import sqlalchemy as sa
from botocore.config import Config
from sqlalchemy.ext.asyncio import create_async_engine
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tracer_bullet.guards import arm
from tracer_bullet.guards.asgi import GuardMiddleware

PLACES = json.loads(os.environ["EVERY_STORE"])
QUEUE = "orders"
BUCKET = "orders"
S3_EVERY = 4  # moto is slow


class Stores:
    """Clients of all stores."""

    def __init__(self) -> None:
        self.postgres = create_async_engine(_url("postgres", "postgresql+asyncpg"), pool_size=10, max_overflow=20)
        self.mariadb = sa.create_engine(_url("mariadb", "mysql+pymysql"), pool_size=10, max_overflow=20)
        self.redis = redis.asyncio.Redis.from_url(PLACES["redis"])
        self.mongo: Any = pymongo.AsyncMongoClient(PLACES["mongo"]) if "mongo" in PLACES else None
        self.http = httpx.AsyncClient()
        self.s3 = boto3.client(
            "s3",
            endpoint_url=PLACES["aws"],
            region_name="us-east-1",
            aws_access_key_id="tests",
            aws_secret_access_key="tests",
            config=Config(retries={"max_attempts": 1}, s3={"addressing_style": "path"}),
        )
        self.channel: Any = None

    async def open(self) -> None:
        connection = await aio_pika.connect_robust(PLACES["rabbitmq"])
        self.channel = await connection.channel()

    async def write(self, key: str) -> None:
        async with self.postgres.begin() as connection:
            await connection.execute(sa.text("INSERT INTO orders VALUES (:k) ON CONFLICT DO NOTHING"), {"k": key})
        async with self.postgres.begin() as connection:
            await connection.execute(sa.text("UPDATE orders SET sku = sku WHERE sku = :k"), {"k": key})
        await asyncio.to_thread(self._write_mariadb, key)
        async with self.redis.pipeline() as pipe:
            await pipe.set(f"order:{key}", "placed").sadd("orders", key).execute()
        message = aio_pika.Message(key.encode(), delivery_mode=aio_pika.DeliveryMode.PERSISTENT)
        await self.channel.default_exchange.publish(message, routing_key=QUEUE)
        if self.mongo is not None:
            await self.mongo.shop.orders.update_one({"_id": key}, {"$set": {"state": "placed"}}, upsert=True)
        await asyncio.to_thread(self._send_mail, key)
        charge = await self.http.post(f"{PLACES['payments']}/charges", json={"key": key})
        charge.raise_for_status()
        if hash_of(key) % S3_EVERY == 0:
            await asyncio.to_thread(self.s3.put_object, Bucket=BUCKET, Key=key, Body=b"order")

    def _write_mariadb(self, key: str) -> None:
        with self.mariadb.begin() as connection:
            connection.execute(sa.text("INSERT IGNORE INTO orders VALUES (:k)"), {"k": key})

    def _send_mail(self, key: str) -> None:
        mail = EmailMessage()
        mail["From"], mail["To"], mail["Subject"] = "shop@shop.example", "customer@mail.example", key
        mail.set_content(key)
        with smtplib.SMTP("127.0.0.1", PLACES["mail"], timeout=60) as server:
            server.send_message(mail)


def hash_of(key: str) -> int:
    """The number at the end of a key."""
    return int(key.rpartition("-")[2])


def _url(name: str, driver: str) -> sa.URL:
    return sa.make_url(PLACES[name]).set(drivername=driver)


async def _order(request: Request) -> Response:
    limit_ms = request.headers.get("x-cancel-after-ms")
    try:
        async with asyncio.timeout(int(limit_ms) / 1000 if limit_ms else None):
            await request.app.state.stores.write(request.path_params["key"])
    except Exception as error:  # noqa: BLE001  # the client tries again, whatever it was
        return JSONResponse({"error": f"{type(error).__name__}: {error}"}, 503)
    return JSONResponse({"key": request.path_params["key"]}, 201)


@asynccontextmanager
async def _lifespan(app: Starlette) -> AsyncIterator[None]:
    app.state.stores = Stores()
    await app.state.stores.open()
    yield


arm()
app = GuardMiddleware(Starlette(routes=[Route("/orders/{key}", _order, methods=["POST"])], lifespan=_lifespan))
