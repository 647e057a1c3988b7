"""Claim: under `shadow` a bullet finds what was there and what it wrote, and real keys stay as they are."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import redis
import redis.asyncio

from tests.servers.redis import RedisServer
from tests.unit.guards.conftest import Telemetry
from tests.unit.guards.redis_service import bullet, run_server
from tracer_bullet.guards import Armed, Rule, WriteRefused
from tracer_bullet.guards.cache.shadow import COPY_MAX_BYTES, touches_its_keys_only


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    with run_server() as found:
        yield found


@pytest.fixture(params=[2, 3], ids=["resp2", "resp3"])
def client(request: pytest.FixtureRequest, server: RedisServer) -> Iterator[redis.Redis]:
    with server.client(protocol=request.param) as found:
        found.flushall()
        yield found


@pytest.fixture
def armed(arm_service: Callable[..., Armed]) -> Armed:
    return arm_service(cache="shadow")


@contextlib.contextmanager
def real_keys_stay(server: RedisServer) -> Iterator[None]:
    before = server.dump()
    yield
    after = {key: value for key, value in server.dump().items() if not key.startswith(b"shadow_")}
    assert after == before


def test_a_bullet_goes_on_from_what_is_there(server: RedisServer, client: redis.Redis, armed: Armed) -> None:
    client.set("number", 7)
    client.hset("hash", mapping={"a": 1})
    client.rpush("list", "a", "b")
    client.set("expiring", "x", ex=1000)
    with real_keys_stay(server), bullet(armed):
        assert client.incr("number") == 8
        assert client.incr("number") == 9
        assert client.get("number") == b"9"
        assert client.hset("hash", "b", 2) == 1
        assert client.hgetall("hash") == {b"a": b"1", b"b": b"2"}
        assert client.lpop("list") == b"a"
        assert client.lrange("list", 0, -1) == [b"b"]
        assert client.set("number", 1, nx=True) is None
        assert client.append("expiring", "y") == 2
        assert client.ttl("expiring") > 900
        assert client.mget("number", "none") == [b"9", None]


def test_a_deleted_key_is_gone_for_the_request(server: RedisServer, client: redis.Redis, armed: Armed) -> None:
    client.set("cart", 1)
    with real_keys_stay(server):
        with bullet(armed):
            assert client.delete("cart", "none") == 1
            assert client.get("cart") is None
            assert client.exists("cart") == 0
            assert client.incrby("cart", 5) == 5
        with bullet(armed):
            assert client.get("cart") == b"5", "the shadow has it again, since the request wrote it"
            client.delete("cart")
        with bullet(armed):
            assert client.get("cart") == b"1", "that it was deleted is known to its own request only"
    assert client.get("shadow_cart") is None


def test_a_pipeline_and_its_evidence(
    server: RedisServer, client: redis.Redis, armed: Armed, telemetry: Telemetry
) -> None:
    client.set("a", 1)
    with real_keys_stay(server), bullet(armed):
        for transaction in (True, False):
            with client.pipeline(transaction=transaction) as pipe:
                found = pipe.get("a").incr("a").get("a").rename("a", "b").exists("a", "b").set("a", 1).execute()
            assert found == [b"1", 2, b"2", True, 1, True]
    assert telemetry.decisions == [("shadowed", "INCRBY a"), ("shadowed", "RENAME a"), ("shadowed", "SET a")] * 2


def test_a_watched_transaction(server: RedisServer, client: redis.Redis, armed: Armed) -> None:
    client.set("a", 1)
    with real_keys_stay(server), bullet(armed):

        def change(pipe: Any) -> None:
            value = int(pipe.get("a"))
            pipe.multi()
            pipe.set("a", value + 1)

        assert client.transaction(change, "a") == [True]
        assert client.transaction(change, "a") == [True]
        assert client.get("a") == b"3"


def test_replies_name_keys_as_the_client_does(server: RedisServer, client: redis.Redis, armed: Armed) -> None:
    client.rpush("list", "a", "b", "c")
    client.zadd("zset", {"a": 1, "b": 2})
    with real_keys_stay(server), bullet(armed):
        assert list(client.blpop(["none", "list"], 1)) == [b"list", b"a"]
        assert list(client.lmpop(1, "list", direction="LEFT")) == [b"list", [b"b"]]
        assert client.bzpopmin("zset", 1)[0] == b"zset"
        assert client.zmpop(1, ["zset"], max=True)[0] == b"zset"
        assert client.xadd("stream", {"f": "v"}, id="1-1") == b"1-1"
        found = client.xread({"stream": "0"})
        entries = found[b"stream"] if isinstance(found, dict) else dict(found)[b"stream"]
        assert entries in ([(b"1-1", {b"f": b"v"})], [[(b"1-1", {b"f": b"v"})]])


def test_streams_start_empty(server: RedisServer, client: redis.Redis, armed: Armed) -> None:
    client.xadd("orders", {"f": "real"})
    client.xgroup_create("orders", "group", id="0")
    with real_keys_stay(server), bullet(armed):
        client.xadd("orders", {"f": "bullet"})
        client.xgroup_create("orders", "group", id="0")
        found = client.xreadgroup("group", "me", {"orders": ">"})
        assert b"bullet" in repr(found).encode()
        assert b"real" not in repr(found).encode()


def test_two_keys_of_one_command(server: RedisServer, client: redis.Redis, armed: Armed) -> None:
    client.sadd("a", 1, 2)
    client.sadd("b", 2, 3)
    client.rpush("list", 3, 1, 2)
    with real_keys_stay(server), bullet(armed):
        assert client.smove("a", "b", 1)
        assert client.smembers("b") == {b"1", b"2", b"3"}
        assert client.sinterstore("dest", ["a", "b"]) == 1
        assert client.sort("list", store="sorted") == 3
        assert client.lrange("sorted", 0, -1) == [b"1", b"2", b"3"]
        assert client.copy("list", "list2")
        assert client.lrange("list2", 0, -1) == [b"3", b"1", b"2"]


def test_a_big_key_is_not_copied(server: RedisServer, client: redis.Redis, armed: Armed, telemetry: Telemetry) -> None:
    client.set("big", b"x" * (COPY_MAX_BYTES + 1))
    with real_keys_stay(server), bullet(armed):
        with pytest.raises(WriteRefused, match="is not copied"):
            client.append("big", "y")
        assert client.strlen("big") == COPY_MAX_BYTES + 1
    assert telemetry.decisions == [("denied", "APPEND big")]


def test_messages_go_to_channels_of_their_own(server: RedisServer, client: redis.Redis, armed: Armed) -> None:
    with (
        server.client() as first,
        server.client() as second,
        first.pubsub(ignore_subscribe_messages=True) as bullets,
        second.pubsub(ignore_subscribe_messages=True) as customers,
    ):
        customers.subscribe("orders")
        customers.get_message(timeout=60)
        with bullet(armed):
            bullets.subscribe("orders")
            bullets.psubscribe("ord*")
            bullets.get_message(timeout=60)
            bullets.get_message(timeout=60)
            assert client.publish("orders", "from a bullet") == 2
            got = [bullets.get_message(timeout=60) for _ in range(2)]
        client.publish("orders", "from a customer")
        assert {(m["type"], m["channel"], m["data"]) for m in got} == {
            ("message", b"orders", b"from a bullet"),
            ("pmessage", b"orders", b"from a bullet"),
        }
        assert customers.get_message(timeout=60)["data"] == b"from a customer"


def test_scripts_that_touch_their_keys_only(
    server: RedisServer, client: redis.Redis, armed: Armed, telemetry: Telemetry
) -> None:
    client.set("number", 5)
    script = client.register_script("local n = redis.call('INCRBY', KEYS[1], ARGV[1]) return n * 2")
    sneaky = client.register_script("redis.call('SET', ARGV[1], 'x') return redis.call('GET', KEYS[1])")
    with real_keys_stay(server), bullet(armed):
        assert script(keys=["number"], args=[2]) == 14
        assert client.get("number") == b"7"
        with client.pipeline() as pipe:
            script(keys=["number"], args=[1], client=pipe)
            assert pipe.execute() == [16]
        with pytest.raises(WriteRefused, match="cannot be known"):
            sneaky(keys=["number"], args=["real"])
        with pytest.raises(WriteRefused, match="cannot be known"):
            client.eval("return redis.call('SET', 'real', 1)", 0)
        with pytest.raises(WriteRefused, match="cannot be known"):
            client.fcall("poke", 1, "number")
    assert telemetry.decisions[-1] == ("denied", "FCALL number")


@pytest.mark.parametrize(
    ("script", "safe"),
    [
        ("return redis.call('GET', KEYS[1])", True),
        ("local v = redis.pcall(\"incr\", KEYS[2]) if v then return redis.error_reply('x') end", True),
        ("if redis.call('get', KEYS[1]) == ARGV[1] then return redis.call('del', KEYS[1]) end return #KEYS", True),
        ("return redis.call('SET', ARGV[1], 1)", False),
        ("return redis.call('DEL', KEYS[1], 'other')", False),
        ("return redis.call('RENAME', KEYS[1], 'other')", False),
        ("return redis.call('EVAL', KEYS[1])", False),
        ("return redis.call('FLUSHALL', KEYS[1])", False),
        ("local call = redis.call return call('SET', 'x', 1)", False),
        ("local r = redis r.call('SET', 'x', 1)", False),
        ("KEYS[1] = 'other' return redis.call('SET', KEYS[1], 1)", False),
        ("local k = KEYS k[1] = 'x' return redis.call('SET', KEYS[1], 1)", False),
        ("KEYS = {'x'} return redis.call('SET', KEYS[1], 1)", False),
        ("return _G['re'..'dis'].call('SET', 'x', 1)", False),
        ("return loadstring('x')()", False),
        ("return redis['call']('SET', 'x', 1)", False),
        ("for i, k in pairs(KEYS) do redis.call('SET', k, 1) end", False),
        ("table.insert(KEYS, 'x') return redis.call('SET', KEYS[2], 1)", False),
        ("return redis.call('PUBLISH', KEYS[1], 1)", False),
        ("return redis.call('SET', KEYS[1] .. 'x', 1)", False),
    ],
)
def test_what_a_script_touches_is_read_from_its_text(script: str, safe: bool) -> None:
    assert touches_its_keys_only(script.encode()) is safe


def test_a_lock(server: RedisServer, client: redis.Redis, armed: Armed) -> None:
    with real_keys_stay(server), bullet(armed):
        with client.lock("lock", timeout=10) as lock:
            assert lock.extend(5)
            assert lock.owned()
            assert not client.lock("lock", timeout=10).acquire(blocking=False)
        assert client.lock("lock", timeout=10).acquire(blocking=False)


@pytest.mark.parametrize(
    "command", [("FLUSHALL",), ("CONFIG", "SET", "maxmemory", "1gb"), ("NEW", "a"), ("MOVE", "a", 1)]
)
def test_what_has_no_shadow_is_refused(
    command: tuple[Any, ...], server: RedisServer, client: redis.Redis, armed: Armed, telemetry: Telemetry
) -> None:
    client.set("a", 1)
    with real_keys_stay(server), bullet(armed), pytest.raises(WriteRefused):
        client.execute_command(*command)
    assert [decision for decision, _ in telemetry.decisions] == ["denied"]


def test_a_transaction_in_pieces_is_refused(server: RedisServer, armed: Armed) -> None:
    with server.client(single_connection_client=True) as client, real_keys_stay(server), bullet(armed):
        client.execute_command("MULTI")
        with pytest.raises(WriteRefused, match="sent in pieces"):
            client.execute_command("SET", "a", 1)
        client.execute_command("DISCARD")


def test_a_rule_shadows_one_operation(
    server: RedisServer, client: redis.Redis, arm_service: Callable[..., Armed], telemetry: Telemetry
) -> None:
    armed = arm_service(rules=(Rule(sink="cache", operation="SET cart", policy="shadow"),))
    with real_keys_stay(server), bullet(armed), client.pipeline() as pipe:
        assert pipe.set("cart:1", 1).set("user:1", 1).get("cart:1").get("user:1").execute() == [True, True, b"1", None]
    assert telemetry.decisions == [("shadowed", "SET cart"), ("suppressed", "SET user")]


def test_databases_have_shadows_of_their_own(server: RedisServer, client: redis.Redis, armed: Armed) -> None:
    with server.client(db=1) as second:
        second.set("a", "second")
        with bullet(armed):
            client.set("a", "bullet")
            assert second.get("a") == b"second"
            assert client.get("a") == b"bullet"
        second.flushdb()


def test_async(server: RedisServer, client: redis.Redis, armed: Armed) -> None:
    client.set("number", 7)

    async def run() -> None:
        async with redis.asyncio.Redis(port=server.port) as found:
            assert await found.incr("number") == 8
            assert await found.get("number") == b"8"
            assert await found.pipeline().incr("number").get("number").execute() == [9, b"9"]
            await found.rpush("list", "a")
            assert list(await found.blpop(["list"], timeout=1)) == [b"list", b"a"]
            async with found.pubsub(ignore_subscribe_messages=False) as listener:
                await listener.subscribe("orders")
                told = await listener.get_message(timeout=60)
                assert (told["type"], told["channel"]) == ("subscribe", b"orders")
                assert await found.publish("orders", "x") == 1
                assert (await listener.get_message(timeout=60))["channel"] == b"orders"

    with real_keys_stay(server), bullet(armed):
        asyncio.run(run())
