"""Claim: a suppressed command answers what Redis would have, and its table of commands is Redis' own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import redis
import redis.asyncio

from tests.servers.redis import TABLE, RedisServer, command_table
from tests.unit.guards.redis_service import bullet, fill, run_server
from tracer_bullet.guards import Armed
from tracer_bullet.guards.cache.answers import answered_commands
from tracer_bullet.guards.cache.commands import Kind, key_positions, known_commands, operation_of


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


# Each answers under guard what the server would have answered; the real thing is asked afterwards.
EXACT: list[tuple[Any, ...]] = [
    ("SET", "text"),
    ("XGROUP", "CREATE", "stream"),
    ("SET", "text", "new"),
    ("SET", "text", "new", "NX"),
    ("SET", "none", "new", "NX"),
    ("SET", "text", "new", "XX", "EX", "10"),
    ("SET", "none", "new", "XX"),
    ("SET", "text", "new", "GET"),
    ("SET", "none", "new", "NX", "GET"),
    ("SET", "hash", "new", "GET"),
    ("SETNX", "text", "new"),
    ("SETNX", "none", "new"),
    ("SETEX", "text", "10", "new"),
    ("PSETEX", "text", "10", "new"),
    ("MSET", "text", "1", "none", "2"),
    ("MSETNX", "text", "1", "none", "2"),
    ("MSETNX", "no", "1", "none", "2"),
    ("GETSET", "text", "new"),
    ("GETDEL", "text"),
    ("GETDEL", "none"),
    ("GETEX", "text", "EX", "10"),
    ("APPEND", "text", "more"),
    ("SETRANGE", "text", "3", "p!"),
    ("SETRANGE", "text", "9", "tail"),
    ("SETRANGE", "text", "9", ""),
    ("INCR", "number"),
    ("INCR", "none"),
    ("INCR", "text"),
    ("INCR", "hash"),
    ("INCRBY", "number", "5"),
    ("DECR", "number"),
    ("DECRBY", "number", "3"),
    ("INCRBYFLOAT", "float", "2.25"),
    ("INCRBYFLOAT", "text", "2.25"),
    ("SETBIT", "bits", "7", "0"),
    ("BITOP", "AND", "dest", "bits", "text"),
    ("BITFIELD", "bits", "GET", "u8", "0", "SET", "u4", "0", "9"),
    ("PFADD", "hll", "z"),
    ("PFMERGE", "hll", "hll2"),
    ("DEL", "text", "hash", "none", "text"),
    ("UNLINK", "text"),
    ("EXPIRE", "text", "10"),
    ("EXPIRE", "none", "10"),
    ("EXPIRE", "expiring", "10", "NX"),
    ("EXPIRE", "expiring", "10", "GT"),
    ("EXPIRE", "expiring", "10", "LT"),
    ("EXPIRE", "text", "10", "GT"),
    ("EXPIRE", "text", "10", "LT"),
    ("EXPIRE", "text", "10", "XX"),
    ("PEXPIRE", "text", "10000"),
    ("EXPIREAT", "text", "4000000000"),
    ("PEXPIREAT", "expiring", "4000000000000", "GT"),
    ("PERSIST", "expiring"),
    ("PERSIST", "text"),
    ("RENAME", "text", "list"),
    ("RENAME", "none", "list"),
    ("RENAMENX", "text", "list"),
    ("RENAMENX", "text", "none"),
    ("COPY", "text", "list"),
    ("COPY", "text", "list", "REPLACE"),
    ("COPY", "text", "fresh"),
    ("HSET", "hash", "a", "9", "c", "3", "c", "4"),
    ("HMSET", "hash", "a", "9"),
    ("HSETNX", "hash", "a", "9"),
    ("HSETNX", "hash", "z", "9"),
    ("HDEL", "hash", "a", "z", "a"),
    ("HINCRBY", "hash", "a", "4"),
    ("HINCRBY", "hash", "z", "4"),
    ("HINCRBYFLOAT", "hash", "a", "0.5"),
    ("LPUSH", "list", "x", "y"),
    ("RPUSH", "none", "x", "y"),
    ("LPUSH", "text", "x"),
    ("LPUSHX", "list", "x"),
    ("RPUSHX", "none", "x"),
    ("LPOP", "list"),
    ("RPOP", "list"),
    ("LPOP", "none"),
    ("LPOP", "list", "2"),
    ("RPOP", "list", "3"),
    ("RPOP", "none", "3"),
    ("LREM", "list", "0", "b"),
    ("LREM", "list", "1", "b"),
    ("LREM", "list", "-1", "b"),
    ("LSET", "list", "1", "x"),
    ("LSET", "list", "99", "x"),
    ("LSET", "none", "0", "x"),
    ("LINSERT", "list", "BEFORE", "b", "x"),
    ("LINSERT", "list", "AFTER", "z", "x"),
    ("LINSERT", "none", "AFTER", "z", "x"),
    ("LTRIM", "list", "0", "1"),
    ("LMOVE", "list", "short", "LEFT", "RIGHT"),
    ("BLMOVE", "list", "short", "RIGHT", "LEFT", "1"),
    ("RPOPLPUSH", "list", "short"),
    ("BRPOPLPUSH", "list", "short", "1"),
    ("BLPOP", "none", "list", "1"),
    ("BRPOP", "list", "1"),
    ("LMPOP", "2", "none", "list", "LEFT", "COUNT", "2"),
    ("LMPOP", "1", "list", "RIGHT", "COUNT", "2"),
    ("BLMPOP", "1", "2", "none", "list", "LEFT"),
    ("LMPOP", "1", "none", "LEFT"),
    ("SADD", "set", "a", "z", "z"),
    ("SREM", "set", "a", "z"),
    ("SMOVE", "set", "other", "a"),
    ("SMOVE", "set", "other", "z"),
    ("SINTERSTORE", "dest", "set", "other"),
    ("SUNIONSTORE", "dest", "set", "other"),
    ("SDIFFSTORE", "dest", "set", "other"),
    ("SPOP", "none"),
    ("ZADD", "zset", "9", "a", "4", "d"),
    ("ZADD", "zset", "NX", "9", "a", "4", "d"),
    ("ZADD", "zset", "XX", "CH", "9", "a", "4", "d"),
    ("ZADD", "zset", "GT", "CH", "0", "a", "9", "b"),
    ("ZADD", "zset", "LT", "CH", "0", "a", "9", "b"),
    ("ZADD", "zset", "INCR", "2", "a"),
    ("ZADD", "zset", "NX", "INCR", "2", "a"),
    ("ZINCRBY", "zset", "1.5", "b"),
    ("ZINCRBY", "zset", "1.5", "new"),
    ("ZREM", "zset", "a", "z"),
    ("ZREMRANGEBYSCORE", "zset", "1", "(3"),
    ("ZREMRANGEBYLEX", "zset", "-", "+"),
    ("ZREMRANGEBYRANK", "zset", "0", "1"),
    ("ZPOPMIN", "zset"),
    ("ZPOPMAX", "zset"),
    ("ZPOPMIN", "none"),
    ("ZPOPMIN", "zset", "2"),
    ("ZPOPMAX", "zset", "2"),
    ("BZPOPMIN", "none", "zset", "1"),
    ("BZPOPMAX", "zset", "1"),
    ("ZMPOP", "2", "none", "zset", "MIN", "COUNT", "2"),
    ("ZMPOP", "1", "zset", "MAX"),
    ("BZMPOP", "1", "1", "zset", "MIN"),
    ("ZRANGESTORE", "dest", "zset", "0", "1"),
    ("ZUNIONSTORE", "dest", "2", "zset", "zother"),
    ("ZINTERSTORE", "dest", "2", "zset", "zother", "WEIGHTS", "2", "3"),
    ("ZDIFFSTORE", "dest", "2", "zset", "zother"),
    ("GEOADD", "geo", "13.4", "38.1", "Palermo", "2.35", "48.85", "Paris"),
    ("GEOADD", "geo", "XX", "2.35", "48.85", "Paris"),
    ("GEOSEARCHSTORE", "dest", "geo", "FROMLONLAT", "15", "37", "BYRADIUS", "200", "km", "STOREDIST"),
    ("GEORADIUS", "geo", "15", "37", "200", "km", "STORE", "dest"),
    ("GEORADIUS", "geo", "15", "37", "200", "km", "WITHDIST"),
    ("GEORADIUSBYMEMBER", "geo", "Palermo", "200", "km", "STOREDIST", "dest"),
    ("SORT", "list", "ALPHA"),
    ("SORT", "list", "ALPHA", "STORE", "dest"),
    ("XADD", "stream", "9-1", "f", "v"),
    ("XADD", "none", "NOMKSTREAM", "*", "f", "v"),
    ("XADD", "stream", "5-*", "f", "v"),
    ("XDEL", "stream", "5-1", "6-1"),
    ("XTRIM", "stream", "MAXLEN", "1"),
    ("XTRIM", "stream", "MAXLEN", "=", "1"),
    ("XGROUP", "CREATE", "stream", "second", "$"),
    ("XGROUP", "SETID", "stream", "group", "$"),
    ("XGROUP", "CREATECONSUMER", "stream", "group", "me"),
    ("XGROUP", "DELCONSUMER", "stream", "group", "nobody"),
    ("XGROUP", "DESTROY", "stream", "group"),
    ("XSETID", "stream", "9-9"),
    ("XCLAIM", "stream", "group", "me", "0", "5-1"),
    ("XAUTOCLAIM", "stream", "group", "me", "0", "0"),
    ("PUBLISH", "orders", "message"),
    ("SPUBLISH", "orders", "message"),
    ("RESTORE", "text", "0", "dump"),
    ("EVAL", "return redis.call('GET', KEYS[1])", "1", "text"),
    ("SCRIPT", "LOAD", "return 1"),
]
# Exact answers are not to be had: what is given instead.
NEUTRAL: list[tuple[tuple[Any, ...], Any]] = [
    (("XTRIM", "stream", "MINID", "5-2"), 0),
    (("XACK", "stream", "group", "5-1"), 1),
    (("XREADGROUP", "GROUP", "group", "me", "STREAMS", "stream", ">"), None),
    (("BLPOP", "none", "0"), None),
]


def ask(client: redis.Redis, command: tuple[Any, ...]) -> Any:
    """The answer, or the error's text."""
    try:
        return client.execute_command(*command)
    except redis.ResponseError as error:
        return str(error)


class TestAnswers:
    def test_they_are_what_the_server_would_have_said(
        self, server: RedisServer, client: redis.Redis, arm_service: Callable[..., Armed]
    ) -> None:
        armed = arm_service()
        wrong = []
        for command in EXACT:
            with server.client() as stranger:
                stranger.flushall()
            fill(server)
            before = server.dump()
            with bullet(armed):
                guarded = ask(client, command)
            assert server.dump() == before, command
            real = ask(client, command)
            if guarded != real:
                wrong.append((command, guarded, real))
        assert wrong == []

    @pytest.mark.parametrize(("command", "expected"), NEUTRAL, ids=lambda v: v[0] if isinstance(v, tuple) else "")
    def test_where_no_read_tells_the_truth(
        self,
        command: tuple[Any, ...],
        expected: Any,
        server: RedisServer,
        arm_service: Callable[..., Armed],
    ) -> None:
        fill(server)
        before = server.dump()
        with bullet(arm_service()), server.client(protocol=2) as client:
            found = client.execute_command(*command)
        assert (found or None) == (expected or None)
        assert server.dump() == before

    def test_a_member_of_a_set_is_shown_and_stays(
        self, server: RedisServer, client: redis.Redis, arm_service: Callable[..., Armed]
    ) -> None:
        fill(server)
        before = server.dump()
        with bullet(arm_service()):
            assert client.spop("set") in (b"a", b"b")
            assert set(client.spop("set", 5)) == {b"a", b"b"}
        assert server.dump() == before

    def test_an_entry_of_a_stream_gets_the_next_id(
        self, server: RedisServer, client: redis.Redis, arm_service: Callable[..., Armed]
    ) -> None:
        with bullet(arm_service()):
            client.xadd("stream", {"f": "v"}, id="4000000000000-7")
            first = client.xadd("stream", {"f": "v"})
        with server.client() as stranger:
            assert stranger.exists("stream") == 0
            stranger.xadd("stream", {"f": "v"}, id="9000000000000-7")
        assert first.endswith(b"-0")
        with bullet(arm_service()):
            assert client.xadd("stream", {"f": "v"}) == b"9000000000000-8"

    def test_counting_leaves_no_cached_number_behind(
        self, server: RedisServer, client: redis.Redis, arm_service: Callable[..., Armed]
    ) -> None:
        fill(server)
        before = server.dump()
        with bullet(arm_service()):
            guarded = client.pfcount("hll")
            assert client.pfcount("hll", "hll2") == 3
        assert server.dump() == before
        assert client.pfcount("hll") == guarded == 2
        assert server.dump() != before, "a customer's does"

    def test_text_is_text_where_the_client_wants_it(
        self, server: RedisServer, protocol: int, arm_service: Callable[..., Armed]
    ) -> None:
        fill(server)
        with bullet(arm_service()), server.client(decode_responses=True, protocol=protocol) as client:
            assert client.getdel("text") == "hello"
            assert list(client.blpop(["list"], 1)) == ["list", "a"]
            assert isinstance(client.xadd("stream", {"f": "v"}), str)
            assert client.incrbyfloat("float", 1) == 2.5
            assert client.zincrby("zset", 1, "a") == 2.0

    def test_every_command_that_writes_is_answered_or_refused_on_purpose(self) -> None:
        writes = {name for name, known in known_commands().items() if known.kind is Kind.WRITE}
        assert writes - answered_commands() == set()
        assert answered_commands() - writes == set()


class TestTable:
    def test_it_is_what_the_server_says(self, server: RedisServer) -> None:
        version = server.client().info("server")["redis_version"]
        if not version.startswith("7.0."):
            pytest.skip(f"redis: the table is of Redis 7.0, and this is {version}")
        assert TABLE.read_text() == command_table(server), "run `python -m tests.servers.redis`"

    def test_keys_are_where_the_server_finds_them(self, server: RedisServer) -> None:
        with server.client() as client:
            for command in [*EXACT, ("XREAD", "COUNT", "2", "STREAMS", "a", "b", "1", "2")]:
                words = tuple(str(word).encode() for word in command)
                try:
                    expected = client.command_getkeys(*words)
                except redis.ResponseError:
                    continue  # it has no keys, or too few words
                found = key_positions(words)
                assert found is not None, command
                assert [words[i].decode() for i in found] == list(expected), command

    @pytest.mark.parametrize(
        ("command", "expected"),
        [
            (("SET", "cart:42", "v"), "SET cart"),
            (("set", "user123", "v"), "SET user"),
            (("SET", "bob@example.com", "v"), "SET bob"),
            (("SET", "v2:cart", "v"), "SET v2"),
            (("SET", "7f3a", "v"), "SET"),
            (("SET", "session-7f3a", "v"), "SET session"),
            (("SET", "secret words:x", "v"), "SET secret"),
            (("XGROUP", "CREATE", "orders:1", "g", "$"), "XGROUP CREATE orders"),
            (("EVAL", "return 1", "1", "cart:1", "x"), "EVAL cart"),
            (("PUBLISH", "order.created", "x"), "PUBLISH order.created"),
            (("FLUSHALL",), "FLUSHALL"),
            (("BITOP", "AND", "dest:1", "a"), "BITOP dest"),
            (("NEW", "cart:1"), "NEW"),
        ],
    )
    def test_an_operation_tells_no_values(self, command: tuple[str, ...], expected: str) -> None:
        assert operation_of(tuple(word.encode() for word in command)) == expected
