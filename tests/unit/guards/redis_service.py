"""A Redis with one key of each type, and bullets on it, for the tests of the guard for it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pytest

from tests.servers.redis import RedisServer, RedisUnavailableError
from tracer_bullet.context.scope import Scope, entered
from tracer_bullet.guards import Armed
from tracer_bullet.model import Context


@contextlib.contextmanager
def run_server(*, cluster: bool = False) -> Iterator[RedisServer]:
    """Without Redis the calling test is skipped."""
    try:
        found = RedisServer(cluster=cluster)
    except RedisUnavailableError as error:
        pytest.skip(str(error))
    with found:
        yield found


@contextlib.contextmanager
def bullet(armed: Armed) -> Iterator[Scope]:
    """A scope as the inbound guards make it."""
    scope = Scope(Context(run_id="run-1", token="t"), armed, linger_s=0.0, trace_id="a" * 32)
    with entered(scope):
        yield scope


def fill(server: RedisServer) -> None:
    """One key of each type."""
    with server.client() as c:
        c.set("text", "hello")
        c.set("number", 7)
        c.set("float", "1.5")
        c.set("expiring", "x", ex=1000)
        c.set("bits", b"\x0f")
        c.hset("hash", mapping={"a": "1", "b": "2"})
        c.rpush("list", "a", "b", "c", "b")
        c.rpush("short", "z")
        c.sadd("set", "a", "b")
        c.sadd("other", "b", "c")
        c.zadd("zset", {"a": 1, "b": 2, "c": 3})
        c.zadd("zother", {"b": 5})
        c.geoadd("geo", (13.36, 38.11, "Palermo", 15.08, 37.5, "Catania"))
        c.xadd("stream", {"f": "v"}, id="5-1")
        c.xadd("stream", {"f": "w"}, id="5-2")
        c.xgroup_create("stream", "group", id="0")
        c.pfadd("hll", "a", "b")
        c.pfadd("hll2", "c")
