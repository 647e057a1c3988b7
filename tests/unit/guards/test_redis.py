"""Claim: nothing that a bullet sends to Redis changes it, and the caller gets what it can live with."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
import redis
import redis.asyncio
from opentelemetry.instrumentation.redis import RedisInstrumentor
from redis.connection import Connection

from tests.servers.redis import RedisServer
from tests.unit.guards.conftest import Telemetry
from tests.unit.guards.contract import GuardContract
from tests.unit.guards.redis_service import bullet, fill, run_server
from tracer_bullet.context.scope import entered
from tracer_bullet.guards import Armed, Policy, Rule, Sink, WriteRefused
from tracer_bullet.guards.cache import answers as redis_answers
from tracer_bullet.guards.cache.wire import Step


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    with run_server() as found:
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


@dataclass
class Subject:
    """Sync: a string key for each value."""

    server: RedisServer
    client: Any
    name: str = "redis"
    sink: Sink = Sink.CACHE
    operation: str = "SET cart"
    policies: tuple[Policy, ...] = (Policy.NOOP, Policy.SHADOW, Policy.DENY, Policy.ALLOW)
    patched: tuple[tuple[Any, str], ...] = (
        (redis.connection.AbstractConnection, "send_packed_command"),
        (redis.asyncio.connection.AbstractConnection, "send_packed_command"),
    )
    settings: dict[str, Any] = field(default_factory=dict)
    instrumentor: Any = field(default_factory=RedisInstrumentor)

    def write(self, value: str) -> Any:
        return self.client.set(f"cart:{value}", value)

    def read(self) -> Any:
        return self.client.get("cart:customer")

    def check(self, answer: Any) -> None:
        assert answer is True

    def stored(self) -> list[str]:
        return self._values("cart:*")

    def shadowed(self) -> list[str]:
        return self._values("shadow_cart:*")

    def _values(self, pattern: str) -> list[str]:
        with self.server.client(decode_responses=True) as stranger:
            return sorted(stranger.get(key) for key in stranger.scan_iter(pattern))


class AsyncSubject(Subject):
    """The same by `redis.asyncio`, with a loop for each call as a worker has one for each job."""

    def write(self, value: str) -> Any:
        return self._run(lambda client: client.set(f"cart:{value}", value))

    def read(self) -> Any:
        return self._run(lambda client: client.get("cart:customer"))

    def _run(self, call: Callable[[Any], Coroutine[Any, Any, Any]]) -> Any:
        async def run() -> Any:
            async with redis.asyncio.Redis(port=self.server.port) as client:
                return await call(client)

        return asyncio.run(run())


class TestSync(GuardContract):
    @pytest.fixture
    def subject(self, server: RedisServer, client: redis.Redis) -> Subject:
        return Subject(server, client)


class TestAsync(GuardContract):
    @pytest.fixture
    def subject(self, server: RedisServer) -> AsyncSubject:
        return AsyncSubject(server, None)


REFUSED: list[tuple[Any, ...]] = [
    ("FLUSHALL",),
    ("FLUSHDB",),
    ("SWAPDB", "0", "1"),
    ("MOVE", "text", "1"),
    ("CONFIG", "SET", "maxmemory", "1gb"),
    ("CONFIG REWRITE",),
    ("SHUTDOWN", "NOSAVE"),
    ("DEBUG", "SET-ACTIVE-EXPIRE", "0"),
    ("ACL", "SETUSER", "eve"),
    ("CLIENT", "PAUSE", "1000"),
    ("CLIENT", "REPLY", "OFF"),
    ("CLUSTER", "RESET"),
    ("SCRIPT", "FLUSH"),
    ("FUNCTION", "LOAD", "#!lua name=l\nredis.register_function('f', function() return 1 end)"),
    ("MEMORY", "PURGE"),
    ("MIGRATE", "127.0.0.1", "6379", "text", "0", "10"),
    ("REPLICAOF", "NO", "ONE"),
    ("SAVE",),
    ("NEWCOMMAND", "text"),
    ("JSON.SET", "text", "$", "1"),
    ("CLIENT", "NEWER", "x"),
    ("BITFIELD", "bits", "INCRBY", "u8", "0", "1"),
    ("COPY", "text", "none", "DB", "1"),
    ("EVAL", "return redis.call('SET', 'x', 1)", "0"),
    ("EVAL", "return redis.call('PUBLISH', 'x', 1)", "0"),
    ("EVAL", "return redis.pcall('INCR', KEYS[1])", "1", "number"),
]


class TestRefusals:
    @pytest.mark.parametrize("command", REFUSED, ids=lambda c: " ".join(c)[:30])
    def test_what_cannot_be_answered_is_refused_and_said_to_be(
        self, command: tuple[Any, ...], server: RedisServer, arm_service: Callable[..., Armed], telemetry: Telemetry
    ) -> None:
        fill(server)
        before = server.dump()
        with bullet(arm_service()), server.client() as client:
            if command[0] == "EVAL" and "pcall" in command[1]:  # the script hides the error
                with contextlib.suppress(WriteRefused, redis.ResponseError):
                    client.execute_command(*command)
            else:
                with pytest.raises(WriteRefused) as caught:
                    client.execute_command(*command)
                assert telemetry.decisions[-1] == ("denied", caught.value.operation)
        assert server.dump() == before
        assert len(telemetry.decisions) in (1, 2)

    def test_a_connection_used_by_hand_is_guarded_too(
        self, server: RedisServer, arm_service: Callable[..., Armed], telemetry: Telemetry
    ) -> None:
        connection = Connection(port=server.port)
        with bullet(arm_service()):
            connection.send_packed_command([b"*3\r\n$3\r\nSET\r\n$4\r\n", b"cart\r\n$1\r\n1\r\n"])
            assert connection.read_response() == b"OK"
            with pytest.raises(WriteRefused, match="no command in Redis' protocol"):
                connection.send_packed_command("SET cart 1\r\n")
            connection.send_command("GET", "cart")
            assert connection.read_response() is None
        connection.disconnect()
        assert telemetry.decisions == [("suppressed", "SET cart")]
        assert server.dump() == {}

    def test_an_answer_by_mistake_a_write_is_not_sent(
        self,
        server: RedisServer,
        client: redis.Redis,
        arm_service: Callable[..., Armed],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        fill(server)
        before = server.dump()
        monkeypatch.setitem(redis_answers._ANSWERS, "GETDEL", lambda command: Step((command,)))
        with bullet(arm_service()), pytest.raises(WriteRefused, match="would have been a write"):
            client.getdel("text")
        assert server.dump() == before

    def test_nothing_of_a_pipeline_is_sent_when_a_part_is_refused(
        self, server: RedisServer, client: redis.Redis, arm_service: Callable[..., Armed], telemetry: Telemetry
    ) -> None:
        armed = arm_service(rules=(Rule(sink="cache", operation="SET log", policy="allow"),))
        with bullet(armed), client.pipeline() as pipe:
            pipe.set("log", 1).flushall()
            with pytest.raises(WriteRefused):
                pipe.execute()
        assert server.dump() == {}
        assert telemetry.decisions == [("denied", "FLUSHALL")]


class TestPipelines:
    @pytest.mark.parametrize("transaction", [True, False])
    def test_reads_are_made_and_writes_answered_in_order(
        self,
        transaction: bool,
        server: RedisServer,
        client: redis.Redis,
        arm_service: Callable[..., Armed],
        telemetry: Telemetry,
    ) -> None:
        fill(server)
        before = server.dump()
        with bullet(arm_service()), client.pipeline(transaction=transaction) as pipe:
            pipe.get("text").set("cart:1", "x").incr("number").get("number").rename("list", "x").renamenx("set", "zset")
            pipe.set("cart:2", "y").lrange("short", 0, -1).hgetall("hash")
            found = pipe.execute()
        assert found == [b"hello", True, 8, b"7", True, False, True, [b"z"], {b"a": b"1", b"b": b"2"}]
        assert server.dump() == before
        assert telemetry.decisions == [
            ("suppressed", "SET cart"),
            ("suppressed", "INCRBY number"),
            ("suppressed", "RENAME list"),
            ("suppressed", "RENAMENX set"),
        ]
        counts = [(s.attributes or {}).get("tb.guard.count") for s in telemetry.having("tb.guard.decision")]
        assert counts == [2, None, None, None]

    @pytest.mark.parametrize("transaction", [True, False])
    def test_an_error_is_that_of_its_command(
        self, transaction: bool, server: RedisServer, client: redis.Redis, arm_service: Callable[..., Armed]
    ) -> None:
        fill(server)
        with bullet(arm_service()), client.pipeline(transaction=transaction) as pipe:
            pipe.set("cart:1", "x").incr("text").get("text")
            ok, error, text = pipe.execute(raise_on_error=False)
            assert ok is True
            assert isinstance(error, redis.ResponseError)
            assert text == b"hello"
            pipe.lpush("text", "x")
            with pytest.raises(redis.ResponseError, match=r"Command # 1.*WRONGTYPE"):
                pipe.execute()
            assert client.get("text") == b"hello"

    def test_a_watched_key_is_watched(
        self, server: RedisServer, client: redis.Redis, arm_service: Callable[..., Armed]
    ) -> None:
        fill(server)
        with bullet(arm_service()), client.pipeline() as pipe:
            pipe.watch("number")
            value = int(pipe.get("number"))
            pipe.multi()
            pipe.set("number", value + 1)
            assert pipe.execute() == [True]
            pipe.watch("number")
            with entered(None), server.client() as customer:
                customer.incr("number")
            pipe.multi()
            pipe.set("number", value + 1)
            with pytest.raises(redis.WatchError):
                pipe.execute()
        with server.client() as stranger:
            assert stranger.get("number") == b"8"

    def test_a_transaction_sent_in_pieces(self, server: RedisServer, arm_service: Callable[..., Armed]) -> None:
        fill(server)
        before = server.dump()
        with bullet(arm_service()), server.client(single_connection_client=True, protocol=2) as client:
            assert client.execute_command("MULTI") == b"OK"
            assert client.execute_command("GET", "text") == b"QUEUED"
            assert client.execute_command("INCRBY", "number", 2) == b"QUEUED"
            assert client.execute_command("EXEC") == [b"hello", 9]
            client.execute_command("MULTI")
            client.execute_command("DEL", "text")
            client.execute_command("DISCARD")
            assert client.get("text") == b"hello"
        assert server.dump() == before

    def test_policies_are_ruled_for_each_operation(
        self, server: RedisServer, client: redis.Redis, arm_service: Callable[..., Armed], telemetry: Telemetry
    ) -> None:
        armed = arm_service(rules=(Rule(sink="cache", operation="SET log", policy="allow"),))
        with bullet(armed), client.pipeline() as pipe:
            assert pipe.set("cart:1", "x").set("log:1", "y").get("cart:1").execute() == [True, True, None]
        assert list(server.dump()) == [b"log:1"]
        assert telemetry.decisions == [("suppressed", "SET cart"), ("allowed", "SET log")]


class TestScripts:
    def test_a_script_that_reads_is_run(
        self, server: RedisServer, client: redis.Redis, arm_service: Callable[..., Armed], telemetry: Telemetry
    ) -> None:
        fill(server)
        script = client.register_script("return redis.call('STRLEN', KEYS[1]) + ARGV[1]")
        with bullet(arm_service()):
            assert script(keys=["text"], args=[1]) == 6
            with client.pipeline() as pipe:
                script(keys=["text"], args=[2], client=pipe)
                assert pipe.execute() == [7]
        assert {d for d, _ in telemetry.decisions} == {"suppressed"}
        with server.client() as stranger:
            assert stranger.script_exists(script.sha) in ([False], [True])

    def test_a_script_that_writes_is_refused_and_its_connection_is_not_lent_again(
        self, server: RedisServer, client: redis.Redis, arm_service: Callable[..., Armed], telemetry: Telemetry
    ) -> None:
        fill(server)
        before = server.dump()
        script = client.register_script("redis.call('SET', KEYS[1], 'x') return 1")
        with bullet(arm_service()):
            with pytest.raises(WriteRefused, match="the script writes"):
                script(keys=["text"])
            with client.pipeline() as pipe:
                script(keys=["text"], client=pipe)
                pipe.get("text").get("number")
                with pytest.raises(WriteRefused, match="the script writes"):
                    pipe.execute()
            assert client.get("number") == b"7"
        assert client.get("text") == b"hello"
        assert server.dump() == before
        assert ("denied", "EVALSHA text") in telemetry.decisions

    def test_functions(self, server: RedisServer, client: redis.Redis, arm_service: Callable[..., Armed]) -> None:
        fill(server)
        code = (
            "#!lua name=lib\n"
            "redis.register_function{function_name='peek', callback=function(k) return redis.call('GET', k[1]) end,"
            " flags={'no-writes'}}\n"
            "redis.register_function('poke', function(k) return redis.call('SET', k[1], 'x') end)\n"
        )
        with server.client() as owner:
            owner.function_load(code, replace=True)
        before = server.dump()
        with bullet(arm_service()):
            assert client.fcall("peek", 1, "text") == b"hello"
            assert client.fcall_ro("peek", 1, "text") == b"hello"
            with pytest.raises(WriteRefused, match="the script writes"):
                client.fcall("poke", 1, "text")
        assert server.dump() == before

    def test_a_lock(self, server: RedisServer, client: redis.Redis, arm_service: Callable[..., Armed]) -> None:
        with bullet(arm_service()):
            with client.lock("lock:cart", timeout=10) as lock:
                assert lock.extend(5)
                assert lock.reacquire()
            assert server.dump() == {}
            with entered(None):
                held = client.lock("lock:cart", timeout=1000)
                assert held.acquire()
            assert not client.lock("lock:cart", timeout=10).acquire(blocking=False), "a customer holds it"

    def test_an_async_lock_and_pipeline(self, server: RedisServer, arm_service: Callable[..., Armed]) -> None:
        fill(server)
        before = server.dump()

        async def run() -> None:
            async with redis.asyncio.Redis(port=server.port) as client:
                async with client.lock("lock:cart", timeout=10):
                    pass
                async with client.pipeline(transaction=True) as pipe:
                    found = await pipe.incr("number").get("text").set("a", 1).zpopmin("zset").execute()
                assert found == [8, b"hello", True, [(b"a", 1.0)]]
                with pytest.raises(WriteRefused):
                    await client.eval("return redis.call('SET', KEYS[1], 1)", 1, "text")
                assert await client.get("text") == b"hello"

        with bullet(arm_service()):
            asyncio.run(run())
        assert server.dump() == before
