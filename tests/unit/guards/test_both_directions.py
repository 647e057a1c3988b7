"""Claim, in both directions: no bullet writes, and no customer's write is lost.

A state machine interleaves bullets, customers, retries, pool threads, workers started inside a
bullet, cut connections and restarts of the service, over random guard policies, against real
PostgreSQL and Redis; what strangers to all guards see there is compared with what customers did.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import queue
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest
import redis
import sqlalchemy as sa
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test
from opentelemetry import propagate

from tests.servers.postgres import PostgresServer
from tests.servers.redis import RedisServer, RedisUnavailableError
from tracer_bullet.context.scope import Scope, entered
from tracer_bullet.guards import Armed, GuardConfig, WriteRefused, arm
from tracer_bullet.model import Context

SHADOW = "shadow_"
MOST_BULLETS = 4
WAYS = st.sampled_from(["here", "pool", "thread"])
Work = Callable[[], None]
# What a cut connection shows as, to whoever has it.
CUT = (sa.exc.DBAPIError, redis.ConnectionError)


class Service:
    """The service under guard: its engine, its cache, its pool of threads."""

    def __init__(self, database: str, cache: str, keys: str, sql: str, on_cache: str) -> None:
        self.armed: Armed = arm(
            GuardConfig(
                service="shop", keys=keys, sql=sql, cache=on_cache, shadow_prefix=SHADOW, linger_s=0.0, net="off"
            )
        )
        self.engine = sa.create_engine(sa.make_url(database).set(drivername="postgresql+psycopg"), pool_size=3)
        self.cache = redis.Redis.from_url(cache, retry=None)
        self.pool = ThreadPoolExecutor(2)

    def stop(self) -> None:
        self.pool.shutdown()
        self.engine.dispose()
        self.cache.close()
        self.armed.disarm()

    def insert(self, key: str, *, commit: bool = True) -> None:
        with self.engine.connect() as connection:
            connection.execute(sa.text("INSERT INTO orders VALUES (:key) ON CONFLICT DO NOTHING"), {"key": key})
            if commit:
                connection.commit()
                assert connection.execute(sa.text("SELECT count(*) FROM orders WHERE sku = :k"), {"k": key}).scalar()

    def set(self, key: str) -> None:
        self.cache.set(f"order:{key}", "1")

    def set_in_a_pipeline(self, key: str) -> None:
        with self.cache.pipeline() as pipe:
            pipe.set(f"order:{key}", "1").incr(f"count:{key}").execute()

    def run(self, way: str, work: Work) -> None:
        """Here, in a thread of the pool, or in a thread of its own; errors come back to the caller."""
        if way == "here":
            work()
        elif way == "pool":
            self.pool.submit(work).result()
        else:
            errors: list[BaseException] = []

            def run() -> None:
                try:
                    work()
                except BaseException as error:  # noqa: BLE001  # told by the caller
                    errors.append(error)

            thread = threading.Thread(target=run)
            thread.start()
            thread.join()
            if errors:
                raise errors[0]


class Worker:
    """A queue with a thread that lives as long as its owner: it keeps the context in which it was started."""

    def __init__(self) -> None:
        self._items: queue.SimpleQueue[tuple[Work, threading.Event, list[BaseException]] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def do(self, work: Work) -> None:
        done, errors = threading.Event(), list[BaseException]()
        self._items.put((work, done, errors))
        done.wait()
        if errors:
            raise errors[0]

    def stop(self) -> None:
        self._items.put(None)
        self._thread.join()

    def _serve(self) -> None:
        while (item := self._items.get()) is not None:
            work, done, errors = item
            try:
                work()
            except BaseException as error:  # noqa: BLE001  # told by whoever waits
                errors.append(error)
            done.set()


class Interleaving(RuleBasedStateMachine):
    database = cache = keys = ""

    def __init__(self) -> None:
        super().__init__()
        self.numbers = itertools.count()
        self.rows: set[str] = set()
        self.cached: set[str] = set()
        self.bullets: list[Scope] = []
        self.workers: list[tuple[Scope, Worker]] = []
        with psycopg.connect(self.database, autocommit=True) as stranger:
            stranger.execute("TRUNCATE orders")
        with redis.Redis.from_url(self.cache) as client:
            client.flushall()
        self.service = self.start("rollback", "noop")

    def start(self, sql: str, on_cache: str) -> Service:
        return Service(self.database, self.cache, self.keys, sql, on_cache)

    @rule(sql=st.sampled_from(["rollback", "deny", "noop"]), on_cache=st.sampled_from(["noop", "shadow", "deny"]))
    def restart(self, sql: str, on_cache: str) -> None:
        """A deploy in the middle of everything, with other policies."""
        while self.bullets:
            self.end(self.bullets.pop())
        self.service.stop()
        self.service = self.start(sql, on_cache)

    @precondition(lambda self: len(self.bullets) < MOST_BULLETS)
    @rule()
    def a_bullet_comes(self) -> None:
        context = Context(run_id="run-1", token="t")
        self.bullets.append(Scope(context, self.service.armed, linger_s=-1.0, trace_id=f"{next(self.numbers):032x}"))

    @precondition(lambda self: self.bullets)
    @rule(data=st.data(), way=WAYS, commit=st.booleans())
    def a_bullet_inserts(self, data: st.DataObject, way: str, commit: bool) -> None:
        self.as_bullet(data, way, lambda key: self.service.insert(key, commit=commit))

    @precondition(lambda self: self.bullets)
    @rule(data=st.data(), way=WAYS, pipeline=st.booleans())
    def a_bullet_caches(self, data: st.DataObject, way: str, pipeline: bool) -> None:
        self.as_bullet(data, way, self.service.set_in_a_pipeline if pipeline else self.service.set)

    @rule(way=WAYS, commit=st.booleans(), times=st.integers(1, 2))
    def a_customer_inserts(self, way: str, commit: bool, times: int) -> None:
        key = f"customer-{next(self.numbers)}"
        for _ in range(times):  # a client that repeats its request
            self.as_customer(way, lambda: self.service.insert(key, commit=commit))
        if commit:
            self.rows.add(key)

    @rule(way=WAYS, pipeline=st.booleans())
    def a_customer_caches(self, way: str, pipeline: bool) -> None:
        key = f"customer-{next(self.numbers)}"
        write = self.service.set_in_a_pipeline if pipeline else self.service.set
        self.as_customer(way, lambda: write(key))
        self.cached |= {f"order:{key}", f"count:{key}"} if pipeline else {f"order:{key}"}

    @precondition(lambda self: self.bullets and len(self.workers) < MOST_BULLETS)
    @rule(data=st.data())
    def a_bullet_starts_a_worker(self, data: st.DataObject) -> None:
        scope = data.draw(st.sampled_from(self.bullets))
        with entered(scope):
            self.workers.append((scope, Worker()))

    @precondition(lambda self: any(scope.ended for scope, _ in self.workers))
    @rule(data=st.data())
    def that_worker_serves_a_customer(self, data: st.DataObject) -> None:
        worker = data.draw(st.sampled_from([worker for scope, worker in self.workers if scope.ended]))
        key = f"customer-{next(self.numbers)}"
        self.retried(lambda: worker.do(lambda: self.service.insert(key)))
        self.retried(lambda: worker.do(lambda: self.service.set(key)))
        self.rows.add(key)
        self.cached.add(f"order:{key}")

    @precondition(lambda self: self.bullets)
    @rule(data=st.data())
    def a_bullet_ends(self, data: st.DataObject) -> None:
        scope = data.draw(st.sampled_from(self.bullets))
        self.bullets.remove(scope)
        self.end(scope)

    @rule()
    def connections_are_cut(self) -> None:
        with psycopg.connect(self.database, autocommit=True) as stranger:
            stranger.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
        with redis.Redis.from_url(self.cache) as client:
            client.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")

    @invariant()
    def strangers_see_what_customers_did(self) -> None:
        with psycopg.connect(self.database) as stranger:
            assert {row[0] for row in stranger.execute("SELECT sku FROM orders")} == self.rows
        with redis.Redis.from_url(self.cache, decode_responses=True) as client:
            assert {key for key in client.scan_iter() if not key.startswith(SHADOW)} == self.cached

    def teardown(self) -> None:
        while self.bullets:
            self.end(self.bullets.pop())
        for _, worker in self.workers:
            worker.stop()
        self.service.stop()
        self.strangers_see_what_customers_did()

    def as_bullet(self, data: st.DataObject, way: str, write: Callable[[str], None]) -> None:
        key = f"bullet-{next(self.numbers)}"
        with entered(data.draw(st.sampled_from(self.bullets))), contextlib.suppress(WriteRefused, *CUT):
            self.service.run(way, lambda: write(key))

    def as_customer(self, way: str, work: Work) -> None:
        self.retried(lambda: self.service.run(way, work))

    def retried(self, work: Work) -> None:
        """As clients do whose connection was cut: each stale connection of a pool fails once."""
        for _ in range(10):
            try:
                return work()
            except CUT:
                continue
        return work()

    def end(self, scope: Scope) -> None:
        for closer in scope.end():
            closer.close()


@pytest.fixture(scope="module")
def redis_url() -> Iterator[str]:
    try:
        server = RedisServer()
    except RedisUnavailableError as error:
        pytest.skip(str(error))
    with server:
        yield server.url


@pytest.fixture
def machine(postgres: PostgresServer, redis_url: str, jwks: str) -> Iterator[type[Interleaving]]:
    database = postgres.create_database()
    with psycopg.connect(database, autocommit=True) as stranger:
        stranger.execute("CREATE TABLE orders (sku text PRIMARY KEY)")
    before = propagate.get_global_textmap()
    yield type("Here", (Interleaving,), {"database": database, "cache": redis_url, "keys": jwks})
    propagate.set_global_textmap(before)
    postgres.drop_database(database)


def test_no_bullet_writes_and_no_customer_is_lost(machine: type[Interleaving]) -> None:
    few = settings(max_examples=int(os.environ.get("TRACER_BULLET_EXAMPLES", "25")), stateful_step_count=25)
    run_state_machine_as_test(machine, settings=few)  # type: ignore[no-untyped-call]
