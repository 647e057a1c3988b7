"""Claim: nothing that a bullet can say or call in a Django service leaves its lane, and a broken one is rolled back."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.unit.guards.conftest import Telemetry
from tests.unit.guards.django_site import DjangoDatabase, Order, bullet, django_database, skus
from tracer_bullet.guards import WriteRefused

from django.db import DatabaseError, connection, connections, transaction  # isort: skip
from django.db.utils import ConnectionHandler  # isort: skip


@pytest.fixture(params=["sqlite", "postgresql", "mysql"])
def site(request: pytest.FixtureRequest) -> Iterator[DjangoDatabase]:
    with django_database(request.param, request) as found:
        yield found


RAW: dict[str, Callable[[Any], Any]] = {
    "commit": lambda raw: raw.commit(),
    "cursor": lambda raw: raw.cursor(),
    "close": lambda raw: raw.close(),
    "with": lambda raw: raw.__exit__(None, None, None),
}


@pytest.mark.parametrize("way", RAW)
def test_the_drivers_own_connection_is_refused(way: str, site: DjangoDatabase, arm_service: Any) -> None:
    with bullet(arm_service()):
        Order.objects.create(sku="x")
        with pytest.raises(WriteRefused, match="raw connection"):
            RAW[way](connection.connection)
    assert site.rows == ["first"]


ESCAPES = {
    "sqlite": ["VACUUM", "PRAGMA journal_mode = DELETE", "DELETE FROM orders; COMMIT"],
    "postgresql": ["VACUUM", "SELECT pg_advisory_lock(1)", "DELETE FROM orders; COMMIT", "COPY orders TO '/dev/null'"],
    "mysql": [
        "CREATE TABLE other (id int)", "ALTER TABLE orders ADD COLUMN note text", "DROP TABLE orders",
        "CREATE USER somebody", "GRANT ALL ON *.* TO tester", "LOCK TABLES orders WRITE", "ANALYZE TABLE orders",
        "SET autocommit = 1", "CALL anything()", "SELECT get_lock('a', 0)", "DELETE FROM orders; COMMIT",
        "XA START 'x'", "CREATE TRIGGER t BEFORE INSERT ON orders FOR EACH ROW SET @a = 1", "RENAME TABLE orders TO o",
    ],
}  # fmt: skip


def test_what_a_rollback_would_not_undo_is_refused(
    site: DjangoDatabase, arm_service: Any, telemetry: Telemetry
) -> None:
    armed = arm_service()
    with bullet(armed):
        Order.objects.create(sku="x")
        for sql in ESCAPES[site.kind]:
            with connection.cursor() as cursor, pytest.raises(WriteRefused):
                cursor.execute(sql)
        assert skus() == ["first", "x"], "and the transaction is still the same"
    assert site.rows == ["first"]
    assert [d for d, _ in telemetry.decisions] == ["rolled_back"] + ["denied"] * len(ESCAPES[site.kind])
    assert armed.problem == ""


def test_callproc_and_scripts_are_refused(site: DjangoDatabase, arm_service: Any) -> None:
    with bullet(arm_service()), connection.cursor() as cursor:
        for name in ("callproc", "executescript"):
            if hasattr(cursor.cursor.__wrapped__, name):
                with pytest.raises(WriteRefused):
                    getattr(cursor, name)("INSERT INTO orders (sku) VALUES ('x'); COMMIT")
    assert site.rows == ["first"]


def test_a_connection_kept_past_the_bullet_is_refused_loudly(site: DjangoDatabase, arm_service: Any) -> None:
    with bullet(arm_service()):
        Order.objects.create(sku="x")
        kept = connections["default"]
    with pytest.raises(WriteRefused, match="its bullet is over"), kept.cursor() as cursor:
        cursor.execute("INSERT INTO orders (sku) VALUES ('customer')")
    assert site.rows == ["first"]


KILL = {
    "postgresql": "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity "
    "WHERE datname = current_database() AND pid <> pg_backend_pid()",
    "mysql": "SELECT id FROM information_schema.processlist WHERE db = database() AND id <> connection_id()",
}


@pytest.mark.parametrize("inside", [False, True])
@pytest.mark.parametrize("site", ["postgresql", "mysql"], indirect=True)
def test_a_connection_cut_in_the_middle(inside: bool, site: DjangoDatabase, arm_service: Any) -> None:
    def cut() -> None:
        for found in site.ask(KILL[site.kind]):
            if site.kind == "mysql":
                site.ask(f"KILL {found}")

    def lose() -> None:
        Order.objects.create(sku="lost")
        cut()
        Order.objects.create(sku="more")

    armed = arm_service()
    with bullet(armed):
        with pytest.raises(DatabaseError):
            transaction.atomic(lose)() if inside else lose()
        assert skus() == ["first"]
        Order.objects.create(sku="retry")
    assert site.rows == ["first"]
    site.assert_nothing_open()
    assert armed.problem == "", "a server that restarts is no reason to refuse bullets"
    connections.close_all()
    Order.objects.create(sku="customer")
    assert site.rows == ["first", "customer"]


def test_a_database_in_memory_is_refused(arm_service: Any, request: pytest.FixtureRequest) -> None:
    handler = ConnectionHandler({"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}})
    with bullet(arm_service()), pytest.raises(WriteRefused, match="belongs to one connection"):
        handler["default"].cursor()


def test_a_transaction_left_open_ends_with_the_request(site: DjangoDatabase, arm_service: Any) -> None:
    armed = arm_service()
    with bullet(armed):
        transaction.set_autocommit(False)
        Order.objects.create(sku="x")
    assert site.rows == ["first"]
    site.assert_nothing_open()

    left, go = threading.Event(), threading.Event()

    def background() -> None:
        transaction.set_autocommit(False)
        Order.objects.create(sku="x")
        left.set()
        go.wait()

    with bullet(armed):
        thread = threading.Thread(target=background)
        thread.start()
        assert left.wait(60)
    site.assert_nothing_open()
    go.set()
    thread.join()
    assert site.rows == ["first"]


def test_customers_connections_are_not_touched(site: DjangoDatabase, arm_service: Any) -> None:
    assert skus() == ["first"]
    customers = connections["default"]
    driver = customers.connection
    with transaction.atomic():
        Order.objects.create(sku="customer")
        with bullet(arm_service()):
            assert connections["default"] is not customers
            if site.kind != "sqlite":  # which has one write lock
                Order.objects.create(sku="bullet")
            connections.close_all()
        assert connections["default"] is customers
        assert customers.connection is driver
        assert customers.in_atomic_block
    assert site.rows == ["first", "customer"]
