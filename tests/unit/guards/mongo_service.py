"""A server of MongoDB's protocol with a few documents, and bullets on it, for the tests of the guard for it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import pytest
from pymongo import MongoClient

from tests.servers.mongo import MongoServer, MongoUnavailableError
from tracer_bullet.context.scope import Scope, entered
from tracer_bullet.guards import Armed
from tracer_bullet.model import Context


@contextlib.contextmanager
def run_server() -> Iterator[MongoServer]:
    """Without such a server the calling test is skipped."""
    try:
        found = MongoServer()
    except MongoUnavailableError as error:
        pytest.skip(str(error))
    with found:
        yield found


@contextlib.contextmanager
def bullet(armed: Armed) -> Iterator[Scope]:
    """A scope as the inbound guards make it."""
    scope = Scope(Context(run_id="run-1", token="t"), armed, linger_s=0.0, trace_id="a" * 32)
    with entered(scope):
        yield scope


def fill(client: MongoClient[Any]) -> None:
    client.shop.orders.insert_many([{"_id": 1, "n": 1, "s": "a"}, {"_id": 2, "n": 2, "s": "b"}, {"_id": 3, "n": 2}])
    client.shop.orders.create_index("s")
