"""Claim: bullets write nothing, while connections are cut, databases restart, tasks are cancelled and workers killed.

Two runs against a service that uses every guarded kind of store: one with the standard requests
alone, one with as many bullets among them, 32 at once, and the faults. The dumps of every store
are equal. `make test` runs it small, `make test-full` longer, and

    TRACER_BULLET_SOAK=10000 pytest tests/e2e/test_nothing_written.py -m slow -s

with 10,000 of each (about ten minutes on two cores).
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import re
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self

import aio_pika
import aiohttp
import psycopg
import pytest

from tests.servers.aws import AwsServer
from tests.servers.mail import MailServer
from tests.servers.mariadb import MariadbServer, MariadbUnavailableError
from tests.servers.mongo import MongoServer, MongoUnavailableError
from tests.servers.postgres import PostgresServer
from tests.servers.rabbitmq import RabbitServer, RabbitUnavailableError
from tests.servers.redis import RedisServer, RedisUnavailableError

ROOT = Path(__file__).parents[2]
BULLETS_AT_ONCE = 32
CUSTOMERS_AT_ONCE = 16
WORKERS = 2
_WAIT_S = 120.0


class _QuietServer(ThreadingHTTPServer):
    def handle_error(self, request: Any, client_address: Any) -> None:
        """A worker that was killed hangs up."""


class Payments:
    """The third party: it writes down what it was asked to charge."""

    def __init__(self) -> None:
        self.charges: set[str] = set()
        charges = self.charges

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                if len(body) < int(self.headers["content-length"]):  # the worker that sent it was killed
                    return
                charges.add(json.loads(body)["key"])
                self.send_response(201)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *args: Any) -> None:
                pass

        self._server = _QuietServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05})

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@dataclass
class Places:
    """Every store, and what strangers to all guards find in it."""

    postgres: PostgresServer
    mariadb: MariadbServer
    redis: RedisServer
    rabbitmq: RabbitServer
    aws: AwsServer
    mail: MailServer
    payments: Payments
    mongo: MongoServer | None
    databases: dict[str, str] = field(default_factory=dict)

    def clear(self) -> None:
        """Empty stores, with their tables, queue and bucket made."""
        for url in self.databases.values():
            (self.postgres if url.startswith("postgres") else self.mariadb).drop_database(url)
        self.databases = {"postgres": self.postgres.create_database(), "mariadb": self.mariadb.create_database()}
        with psycopg.connect(self.databases["postgres"]) as connection:
            connection.execute("CREATE TABLE orders (sku text PRIMARY KEY)")
        with self.mariadb.connect(self.databases["mariadb"].rpartition("/")[2]) as connection:
            connection.cursor().execute("CREATE TABLE orders (sku varchar(64) PRIMARY KEY) ENGINE=InnoDB")
        with self.redis.client() as client:
            client.flushall()
        self.messages(make=True)
        self.aws.reset()
        self.aws.client("s3").create_bucket(Bucket="orders")
        self.mail.mails.clear()
        self.payments.charges.clear()
        if self.mongo is not None:
            with self.mongo.client() as mongo:
                mongo.drop_database("shop")

    @property
    def configuration(self) -> dict[str, Any]:
        found: dict[str, Any] = {
            **self.databases,
            "redis": self.redis.url,
            "rabbitmq": self.rabbitmq.url,
            "aws": self.aws.url,
            "mail": self.mail.port,
            "payments": self.payments.url,
        }
        return found | ({"mongo": self.mongo.url} if self.mongo is not None else {})

    def dump(self) -> dict[str, list[str]]:
        """Everything in every store; what may come twice when a customer repeats a request counts once."""
        with psycopg.connect(self.databases["postgres"]) as connection:
            postgres = sorted(row[0] for row in connection.execute("SELECT sku FROM orders"))
        with self.mariadb.connect(self.databases["mariadb"].rpartition("/")[2]) as connection:
            cursor = connection.cursor()
            cursor.execute("SELECT sku FROM orders")
            mariadb = sorted(row[0] for row in cursor.fetchall())
        with self.redis.client(decode_responses=True) as client:
            keys = sorted(client.scan_iter(count=1000))
            members = sorted(client.smembers("orders"))
        pages = self.aws.client("s3").get_paginator("list_objects_v2").paginate(Bucket="orders")
        found = {
            "postgres": postgres,
            "mariadb": mariadb,
            "redis keys": keys,
            "redis members": members,
            "rabbitmq": sorted(set(self.messages())),
            "s3": sorted(row["Key"] for page in pages for row in page.get("Contents", ())),
            "mail": sorted({mail.text for mail in self.mail.mails}),
            "payments": sorted(self.payments.charges),
        }
        if self.mongo is not None:
            with self.mongo.client() as mongo:
                found["mongo"] = sorted(str(row) for row in mongo.shop.orders.find())
        return found

    def messages(self, *, make: bool = False) -> list[str]:
        """Take all messages out of the queue; with `make`, declare it anew."""

        async def drain() -> list[str]:
            async with await aio_pika.connect(self.rabbitmq.url) as connection:
                channel = await connection.channel()
                if make:
                    await channel.queue_delete("orders")
                    await channel.declare_queue("orders", durable=True)
                    return []
                queue, found = await channel.declare_queue("orders", passive=True), list[str]()
                while (message := await queue.get(no_ack=True, fail=False)) is not None:
                    found.append(message.body.decode())
                return found

        return asyncio.run(drain())


@pytest.fixture(scope="module")
def places(postgres: PostgresServer) -> Iterator[Places]:
    with ExitStack() as stack:
        try:
            mariadb, redis, rabbitmq = MariadbServer(), RedisServer(), RabbitServer()
        except (MariadbUnavailableError, RedisUnavailableError, RabbitUnavailableError) as error:
            pytest.skip(str(error))
        try:
            mongo: MongoServer | None = stack.enter_context(MongoServer())
        except MongoUnavailableError:
            mongo = None  # its own tests name it as skipped
        servers = [stack.enter_context(s) for s in (mariadb, redis, rabbitmq, AwsServer(), MailServer(), Payments())]
        yield Places(postgres, *servers, mongo)  # type: ignore[arg-type]


class Service:
    """The service, in a process of its own that keeps its workers alive."""

    def __init__(self, url: str, process: subprocess.Popen[bytes]) -> None:
        self.url = url
        self.process = process

    def workers(self) -> list[int]:
        """Process ids of the workers."""
        listed = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        return [pid for pid in map(int, listed) if b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()]


@contextmanager
def serving(places: Places, jwks: str, log: Path) -> Iterator[Service]:
    stubs = [{"method": "POST", "url": f"{places.payments.url}/charges", "status": 201}]
    environment = {
        **os.environ,
        "EVERY_STORE": json.dumps(places.configuration),
        "TRACER_BULLET_SERVICE": "shop",
        "TRACER_BULLET_KEYS": jwks,
        "TRACER_BULLET_STUBS": json.dumps(stubs),
        "PYTHONPATH": str(ROOT),
    }
    command = [
        sys.executable,
        "-m",
        "uvicorn",
        "tests.servers.every_store:app",
        "--port",
        "0",
        "--workers",
        str(WORKERS),
    ]
    with log.open("wb") as out:
        process = subprocess.Popen(
            [*command, "--workers", str(WORKERS), "--no-access-log"],
            cwd=ROOT,
            env=environment,
            stdout=out,
            stderr=subprocess.STDOUT,
        )
    try:
        yield Service(_address(process, log), process)
    finally:
        process.terminate()
        try:
            process.wait(_WAIT_S)
        finally:
            process.kill()


def _address(process: subprocess.Popen[bytes], log: Path) -> str:
    """Once the workers are up; what other processes do cannot be awaited."""
    deadline = time.monotonic() + _WAIT_S
    while time.monotonic() < deadline and process.poll() is None:
        text = log.read_text()
        found = re.search(r"running on (http://[\d.:]+)", text)
        if found and text.count("Application startup complete") >= WORKERS:
            return found.group(1)
        time.sleep(0.05)
    raise AssertionError(f"the service did not start:\n{log.read_text()}")


@dataclass
class Load:
    """What came of the requests. `answers`: how often each status came, by kind."""

    bullets: int
    customers: int
    headers: Callable[[str], dict[str, str]]
    faults: Faults | None = None
    answers: Counter[tuple[str, int]] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)

    async def run(self, url: str) -> None:
        chance = random.Random(1)
        keys = iter([f"bullet-{i}" for i in range(self.bullets)])
        others = iter([f"customer-{i}" for i in range(self.customers)])
        connector = aiohttp.TCPConnector(limit=BULLETS_AT_ONCE + CUSTOMERS_AT_ONCE)
        async with aiohttp.ClientSession(url, connector=connector, timeout=aiohttp.ClientTimeout(_WAIT_S)) as client:
            await asyncio.gather(
                *(self._send_bullets(client, keys, chance) for _ in range(BULLETS_AT_ONCE if self.bullets else 0)),
                *(self._send_customers(client, others, chance) for _ in range(CUSTOMERS_AT_ONCE)),
            )

    async def _send_bullets(self, client: aiohttp.ClientSession, keys: Iterator[str], chance: random.Random) -> None:
        for key in keys:
            headers = self.headers(f"{chance.getrandbits(128) | 1:032x}")
            if await self._send(client, "bullet", key, headers | self._cancelled(chance)) != 201:
                await asyncio.sleep(0.05)  # else they would all go by while a database starts again

    async def _send_customers(self, client: aiohttp.ClientSession, keys: Iterator[str], chance: random.Random) -> None:
        """As a client that repeats its request until it was served."""
        for key in keys:
            deadline = time.monotonic() + _WAIT_S
            headers = self._cancelled(chance)
            while await self._send(client, "customer", key, headers) != 201:
                assert time.monotonic() < deadline, f"{key} was not served"
                headers = {}
                await asyncio.sleep(0.05)  # a polite client

    def _cancelled(self, chance: random.Random) -> dict[str, str]:
        return {"x-cancel-after-ms": str(chance.randint(1, 60))} if self.faults and chance.random() < 0.1 else {}

    async def _send(self, client: aiohttp.ClientSession, kind: str, key: str, headers: dict[str, str]) -> int:
        try:
            async with client.post(f"/orders/{key}", headers=headers) as answer:
                status = answer.status
                text = await answer.text()
        except aiohttp.ClientError:  # its worker was killed
            status, text = 0, ""
        self.answers[kind, status] += 1
        if self.faults is not None:
            self.faults.answered()
        if status == 503:
            self.errors[f"{kind}: {text[:200]}"] += 1
        assert status != 403, text
        return status


class Faults:
    """Cuts connections, restarts PostgreSQL and kills workers, one after the other: each after so many `answers`."""

    def __init__(self, places: Places, service: Service, every: int) -> None:
        self.done: dict[str, int] = {}
        self._places, self._service, self._every = places, service, every
        self._answers = threading.Semaphore(0)
        self._over = False
        self._errors: list[BaseException] = []
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over = True
        self._answers.release(self._every)
        self._thread.join()
        assert self._errors == []

    def answered(self) -> None:
        """To be called for each request that came to an end."""
        self._answers.release()

    def _run(self) -> None:
        acts = [self._cut_postgres, self._cut_redis, self._cut_mariadb, self._kill_a_worker, self._restart_postgres]
        try:
            for number in range(10**9):
                for _ in range(self._every):
                    self._answers.acquire()
                if self._over:
                    return
                act = acts[number % len(acts)]
                act()
                self.done[act.__name__] = self.done.get(act.__name__, 0) + 1
        except BaseException as error:  # noqa: BLE001  # told at the end
            self._errors.append(error)

    def _cut_postgres(self) -> None:
        with psycopg.connect(self._places.postgres.url(), autocommit=True) as stranger:
            stranger.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname LIKE 'test_%'")

    def _restart_postgres(self) -> None:
        self._places.postgres.restart()

    def _cut_redis(self) -> None:
        with self._places.redis.client() as client:
            client.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")

    def _cut_mariadb(self) -> None:
        with self._places.mariadb.connect() as stranger, stranger.cursor() as cursor:
            cursor.execute("SELECT id FROM information_schema.processlist WHERE id <> CONNECTION_ID()")
            for (number,) in cursor.fetchall():
                try:
                    cursor.execute(f"KILL CONNECTION {number}")
                except Exception:  # noqa: BLE001  # it went by itself
                    continue

    def _kill_a_worker(self) -> None:
        found = self._service.workers()
        if len(found) == WORKERS:
            os.kill(found[0], signal.SIGKILL)


def prove(places: Places, count: int, every: int, jwks: str, headers: Callable[..., Any], folder: Path) -> None:
    """Run both, and compare every store."""
    places.clear()
    with serving(places, jwks, folder / "standard.log") as service:
        standard = Load(0, count, headers)
        asyncio.run(standard.run(service.url))
    expected = places.dump()
    assert expected["postgres"] == sorted(f"customer-{i}" for i in range(count))
    assert len(expected["mail"]) == len(expected["payments"]) == len(expected["rabbitmq"]) == count

    places.clear()
    with serving(places, jwks, folder / "mixed.log") as service, Faults(places, service, every) as faults:
        mixed = Load(count, count, headers, faults)
        asyncio.run(mixed.run(service.url))
    found = places.dump()
    for store, values in expected.items():
        assert found[store] == values, f"{store} differs; {mixed.answers}, {faults.done}"
    assert mixed.answers["bullet", 201] > count / 10, f"{mixed.answers}, {mixed.errors.most_common(5)}, {faults.done}"
    sys.stderr.write(f"\nbullets and customers: {mixed.answers}; faults: {faults.done}\n")


def test_nothing_written(places: Places, jwks: str, flag_headers: Callable[..., Any], tmp_path: Path) -> None:
    prove(places, 200, 40, jwks, _one_token(flag_headers), tmp_path)


@pytest.mark.slow
def test_nothing_written_by_thousands(
    places: Places, jwks: str, flag_headers: Callable[..., Any], tmp_path: Path
) -> None:
    prove(places, int(os.environ.get("TRACER_BULLET_SOAK", "2000")), 200, jwks, _one_token(flag_headers), tmp_path)


def _one_token(flag_headers: Callable[..., dict[str, str]]) -> Callable[[str], dict[str, str]]:
    """Headers of one run's bullets, each in a trace of its own."""
    first = flag_headers(lifetime_s=3600)
    return lambda trace_id: {**first, "traceparent": f"00-{trace_id}-b7ad6b7169203331-01"}
