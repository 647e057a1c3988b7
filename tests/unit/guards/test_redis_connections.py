"""Claim: messages, clusters and pools of connections are the customers' own again once a bullet has used them."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable, Iterator

import pytest
import redis
import redis.asyncio
from redis.connection import Connection

from tests.servers.redis import RedisServer
from tests.unit.guards.conftest import Telemetry
from tests.unit.guards.redis_service import bullet, fill, run_server
from tracer_bullet.context.scope import Scope, entered
from tracer_bullet.guards import Armed, WriteRefused
from tracer_bullet.guards.cache.pending import Pending
from tracer_bullet.model import Context, RequestType


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    with run_server() as found:
        yield found


@pytest.fixture(scope="module")
def cluster() -> Iterator[RedisServer]:
    with run_server(cluster=True) as found:
        yield found


@pytest.fixture(autouse=True)
def empty(server: RedisServer) -> None:
    with server.client() as client:
        client.flushall()


@pytest.fixture(params=[2, 3], ids=["resp2", "resp3"])
def protocol(request: pytest.FixtureRequest) -> int:
    return int(request.param)


@pytest.fixture
def client(server: RedisServer, protocol: int) -> Iterator[redis.Redis]:
    with server.client(protocol=protocol) as found:
        yield found


# A pool wanted to know what for, until 5.3.
_BORROWING = ("SET",) if tuple(int(n) for n in redis.__version__.split(".")[:2]) < (5, 3) else ()


class TestPublishing:
    def test_a_bullets_message_reaches_nobody_and_it_may_listen(
        self, server: RedisServer, protocol: int, client: redis.Redis, arm_service: Callable[..., Armed]
    ) -> None:
        with server.client(protocol=protocol) as other, other.pubsub(ignore_subscribe_messages=False) as listener:
            with bullet(arm_service()):
                listener.subscribe("orders")
                assert listener.get_message(timeout=60)["type"] == "subscribe"
                assert client.publish("orders", "from a bullet") == 0
            client.publish("orders", "from a customer")
            assert listener.get_message(timeout=60)["data"] == b"from a customer"

    def test_a_blocking_pop_does_not_wait(self, client: redis.Redis, arm_service: Callable[..., Armed]) -> None:
        with bullet(arm_service()):
            assert client.blpop(["queue"], timeout=0) is None
            assert client.xreadgroup("group", "me", {"stream": ">"}, block=0) in ([], {})


class TestConnections:
    def test_replies_that_nobody_read_are_no_customers(
        self, server: RedisServer, arm_service: Callable[..., Armed]
    ) -> None:
        fill(server)
        pool = redis.ConnectionPool(port=server.port, max_connections=1)
        client = redis.Redis(connection_pool=pool)
        with bullet(arm_service()):
            connection = pool.get_connection(*_BORROWING)
            connection.send_command("SET", "text", "x")
            pool.release(connection)  # as after an exception between sending and reading
        assert client.get("text") == b"hello"
        assert Pending.of(connection) is None
        assert "read_response" not in vars(connection)
        pool.disconnect()

    def test_the_same_for_async(self, server: RedisServer, arm_service: Callable[..., Armed]) -> None:
        fill(server)

        async def run() -> None:
            pool = redis.asyncio.ConnectionPool(port=server.port, max_connections=1)
            client = redis.asyncio.Redis(connection_pool=pool)
            with bullet(arm_service()):
                connection = await pool.get_connection(*_BORROWING)
                await connection.send_command("SET", "text", "x")
                await pool.release(connection)
            assert await client.get("text") == b"hello"
            await pool.disconnect()

        asyncio.run(run())

    def test_a_connection_with_replies_after_a_refusal_is_closed(
        self, server: RedisServer, arm_service: Callable[..., Armed]
    ) -> None:
        fill(server)
        connection = Connection(port=server.port)
        script = ("EVAL", "return redis.call('SET', KEYS[1], 'x')", "1", "text")
        with bullet(arm_service()):
            connection.send_packed_command(connection.pack_commands([script, ("GET", "text"), ("INCR", "number")]))
            with pytest.raises(WriteRefused):
                connection.read_response()
        assert connection._sock is None
        connection.send_command("GET", "number")
        assert connection.read_response() == b"7"
        connection.disconnect()

    def test_what_was_pending_on_a_broken_connection_is_void(
        self, server: RedisServer, arm_service: Callable[..., Armed]
    ) -> None:
        fill(server)
        connection = Connection(port=server.port)
        connection.connect()
        with bullet(arm_service()):
            connection.send_command("SET", "text", "x")
        connection.disconnect()
        connection.send_command("GET", "text")
        assert connection.read_response() == b"hello"
        connection.disconnect()

    def test_a_reply_is_the_bullets_even_when_its_scope_has_ended(
        self, server: RedisServer, arm_service: Callable[..., Armed]
    ) -> None:
        connection = Connection(port=server.port)
        with bullet(arm_service()):
            connection.send_command("SET", "text", "x")
        assert connection.read_response() == b"OK"
        connection.send_command("GET", "text")
        assert connection.read_response() is None
        connection.disconnect()

    def test_one_client_of_bullets_and_customers(
        self, server: RedisServer, client: redis.Redis, arm_service: Callable[..., Armed]
    ) -> None:
        armed = arm_service()
        errors: list[BaseException] = []

        def work(name: str, *, as_bullet: bool) -> None:
            try:
                for i in range(50):
                    with bullet(armed) if as_bullet else contextlib.nullcontext():
                        found = client.pipeline().incr(name).set(f"{name}:{i}", i).get(f"{name}:{i}").execute()
                        assert found == ([1, True, None] if as_bullet else [i + 1, True, str(i).encode()])
            except BaseException as error:  # noqa: BLE001  # told by the main thread
                errors.append(error)

        threads = [threading.Thread(target=work, args=(f"k{n}",), kwargs={"as_bullet": n < 3}) for n in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert errors == []
        assert len(server.dump()) == 3 * 51


class TestCluster:
    def test_a_clusters_client(
        self, cluster: RedisServer, arm_service: Callable[..., Armed], telemetry: Telemetry
    ) -> None:
        with cluster.client() as owner:
            owner.flushall()
            fill(cluster)
        before = cluster.dump()
        with redis.RedisCluster(host="127.0.0.1", port=cluster.port) as client:
            with bullet(arm_service()):
                assert client.set("cart:1", "x")
                assert client.incr("number") == 8
                assert client.delete("text", "none") == 1
                assert client.pipeline().set("a", 1).get("text").incr("number").execute() == [True, b"hello", 8]
                with pytest.raises(WriteRefused):
                    client.flushall()
            assert client.get("number") == b"7"
        assert cluster.dump() == before
        assert ("suppressed", "SET cart") in telemetry.decisions

    def test_an_async_one(self, cluster: RedisServer, arm_service: Callable[..., Armed]) -> None:
        with cluster.client() as owner:
            owner.flushall()
            fill(cluster)
        before = cluster.dump()

        async def run() -> None:
            async with redis.asyncio.RedisCluster(host="127.0.0.1", port=cluster.port) as client:
                assert await client.set("cart:1", "x")
                assert await client.incr("number") == 8
                found = await client.pipeline().set("a", 1).get("text").incr("number").execute()
                assert found == [True, b"hello", 8]

        with bullet(arm_service()):
            asyncio.run(run())
        assert cluster.dump() == before

    def test_shadow_keys_have_other_slots_and_so_are_refused(
        self, cluster: RedisServer, arm_service: Callable[..., Armed]
    ) -> None:
        with cluster.client() as owner:
            owner.flushall()
            owner.set("number", 7)
        with (
            redis.RedisCluster(host="127.0.0.1", port=cluster.port) as client,
            bullet(arm_service(cache="shadow")),
            pytest.raises(WriteRefused, match="the shadow key could not be made"),
        ):
            client.incr("number")
        assert list(cluster.dump()) == [b"number"]


class TestTesters:
    def test_a_tester_without_the_flag_reads_and_is_refused_writes(
        self, server: RedisServer, client: redis.Redis, arm_service: Callable[..., Armed]
    ) -> None:
        client.set("cart", "real")
        client.set("shadow_cart", "shadow")
        armed = arm_service(cache="shadow", testers=("tester-1",))
        context = Context(run_id="", token="", request_type=RequestType.STANDARD, user_id="tester-1")
        with entered(Scope(context, armed, linger_s=0.0)):
            assert client.get("cart") == b"real"
            with pytest.raises(WriteRefused, match="tester account"):
                client.set("cart", "x")
        assert client.get("cart") == b"real"
