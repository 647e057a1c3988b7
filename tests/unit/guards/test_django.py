"""Claim: a bullet's request to a Django service runs its ORM code for real and leaves nothing.

Each body of code runs twice: as a bullet, after which a stranger sees what was there before, and as a
customer (the control), after which the stranger sees that it does write.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest
from opentelemetry.instrumentation.pymysql import PyMySQLInstrumentor

from tests.unit.guards.conftest import Telemetry
from tests.unit.guards.contract import GuardContract
from tests.unit.guards.django_site import DjangoDatabase, Order, bullet, check, django_database, skus
from tests.versions import has, newer_psycopg_instrumentor
from tracer_bullet.context.scope import Scope, entered
from tracer_bullet.guards import Armed, Policy, Sink
from tracer_bullet.model import Context

from django.db import IntegrityError, connection, connections, transaction  # isort: skip
from django.db.utils import ConnectionHandler  # isort: skip


@pytest.fixture(params=["sqlite", "postgresql", "mysql"])
def site(request: pytest.FixtureRequest) -> Iterator[DjangoDatabase]:
    with django_database(request.param, request) as found:
        yield found


def fail_after(work: Callable[[], Any]) -> None:
    work()
    raise ZeroDivisionError


class DjangoSubject:
    name, sink, operation = "django", Sink.SQL, "INSERT orders"
    patched = tuple((ConnectionHandler, name) for name in ("__getitem__", "__setitem__", "__delitem__", "all"))

    def __init__(self, site: DjangoDatabase) -> None:
        self.settings: dict[str, Any] = {}
        self.site = site
        self.policies = (Policy.ROLLBACK, Policy.NOOP, *((Policy.SHADOW,) if site.kind == "postgresql" else ()))
        psycopg = newer_psycopg_instrumentor("Django's cursors")
        self.instrumentor = psycopg if site.kind == "postgresql" else _mysql_instrumentor()
        site.ask("DELETE FROM orders")
        like = "LIKE orders" if site.kind == "mysql" else "(LIKE orders INCLUDING ALL)"
        site.ask(f"CREATE TABLE shadow_orders {like}")

    def write(self, value: str) -> Any:
        try:
            return Order.objects.create(sku=value)
        finally:
            connections.close_all()  # also in threads of the suite's own

    def read(self) -> Any:
        return skus()

    def check(self, answer: Any) -> None:
        assert answer.pk > 0

    def stored(self) -> list[str]:
        return sorted(self.site.rows)

    def shadowed(self) -> list[str]:
        return self.site.ask("SELECT sku FROM shadow_orders ORDER BY sku")


def _mysql_instrumentor() -> Any:
    """Of what Django reaches MariaDB with."""
    if not has("mysqlclient", ">=0"):  # it could not be built
        return PyMySQLInstrumentor()
    from opentelemetry.instrumentation.mysqlclient import MySQLClientInstrumentor

    return MySQLClientInstrumentor()


class TestContract(GuardContract):
    @pytest.fixture(params=["postgresql", "mysql"])
    def subject(self, request: pytest.FixtureRequest) -> Iterator[DjangoSubject]:
        with django_database(request.param, request) as site:
            yield DjangoSubject(site)

    @contextmanager
    def bullet(self, armed: Armed, run_id: str = "run-1") -> Iterator[None]:  # type: ignore[override]
        scope = Scope(Context(run_id=run_id, token="t"), armed, linger_s=0.0, trace_id="a" * 32)
        try:
            with entered(scope):
                yield
        finally:
            for closer in scope.end():
                closer.close()


def test_a_bullet_reads_what_it_wrote(site: DjangoDatabase, arm_service: Any, telemetry: Telemetry) -> None:
    def body() -> None:
        order = Order.objects.create(sku="x")
        order.refresh_from_db()
        assert order.pk > 1
        order.sku = "y"
        order.save()
        assert skus() == ["first", "y"]
        assert Order.objects.filter(sku="y").update(sku="z") == 1

    check(site, arm_service(), body, ["z"])
    assert telemetry.decisions == [
        ("rolled_back", "INSERT orders"),
        ("rolled_back", "UPDATE orders"),
        ("rolled_back", "UPDATE orders"),
    ]


def test_atomic_blocks(site: DjangoDatabase, arm_service: Any) -> None:
    def body() -> None:
        with transaction.atomic():
            Order.objects.create(sku="one")
            with pytest.raises(IntegrityError), transaction.atomic():
                Order.objects.create(sku="first")
            with transaction.atomic():
                Order.objects.create(sku="two")
        with pytest.raises(ZeroDivisionError), transaction.atomic(durable=True):
            fail_after(lambda: Order.objects.create(sku="undone"))
        with pytest.raises(IntegrityError):
            Order.objects.create(sku="first")  # in autocommit: no block is spoilt
        assert skus() == ["first", "one", "two"]

    check(site, arm_service(), body, ["one", "two"])


def test_on_commit_runs_where_django_would_run_it(site: DjangoDatabase, arm_service: Any) -> None:
    def body() -> None:
        events: list[str] = []
        with transaction.atomic():
            with transaction.atomic():
                transaction.on_commit(lambda: events.append("inner"))
            transaction.on_commit(lambda: Order.objects.create(sku="from hook"))
            assert events == []
        assert events == ["inner"]
        with pytest.raises(ZeroDivisionError), transaction.atomic():
            fail_after(lambda: transaction.on_commit(lambda: events.append("never")))
        transaction.on_commit(lambda: events.append("at once"))
        assert events == ["inner", "at once"]
        assert skus() == ["first", "from hook"]

    check(site, arm_service(), body, ["from hook"])


def test_manual_transactions(site: DjangoDatabase, arm_service: Any) -> None:
    def body() -> None:
        transaction.set_autocommit(False)
        try:
            Order.objects.create(sku="kept")
            transaction.commit()
            Order.objects.create(sku="undone")
            transaction.rollback()
            with transaction.atomic():
                Order.objects.create(sku="block")
            transaction.commit()
        finally:
            transaction.set_autocommit(True)
        assert skus() == ["first", "kept", "block"]

    check(site, arm_service(), body, ["kept", "block"])


def test_savepoints_by_hand(site: DjangoDatabase, arm_service: Any) -> None:
    def body() -> None:
        with transaction.atomic():
            Order.objects.create(sku="kept")
            sid = transaction.savepoint()
            Order.objects.create(sku="undone")
            transaction.savepoint_rollback(sid)
            transaction.savepoint_commit(transaction.savepoint())

    check(site, arm_service(), body, ["kept"])


def test_bulk_raw_and_locks(site: DjangoDatabase, arm_service: Any, telemetry: Telemetry) -> None:
    def body() -> None:
        Order.objects.bulk_create([Order(sku=f"x{i}") for i in range(5)], batch_size=2)
        with transaction.atomic():
            order = Order.objects.select_for_update().get(sku="x0")
            order.delete()
        found = list(Order.objects.raw("SELECT * FROM orders WHERE sku LIKE %s ORDER BY id", ["x%"]))
        assert [o.sku for o in found] == ["x1", "x2", "x3", "x4"]
        assert Order.objects.update_or_create(sku="x1", defaults={"sku": "changed"})[1] is False
        assert [o.sku for o in Order.objects.order_by("id").iterator(chunk_size=2)] == skus()

    check(site, arm_service(), body, ["changed", "x2", "x3", "x4"])
    assert {d for d, _ in telemetry.decisions} == {"rolled_back"}


def test_cursors(site: DjangoDatabase, arm_service: Any, telemetry: Telemetry) -> None:
    def body() -> None:
        with connection.cursor() as cursor:
            cursor.execute("INSERT INTO orders (sku) VALUES (%s)", ["a"])
            assert cursor.rowcount == 1
            cursor.executemany("INSERT INTO orders (sku) VALUES (%s)", [["b"], ["c"]])
            cursor.execute("BEGIN")
            cursor.execute("INSERT INTO orders (sku) VALUES ('undone')")
            cursor.execute("ROLLBACK")
            cursor.execute("SELECT sku FROM orders ORDER BY id")
            assert [row[0] for row in cursor] == ["first", "a", "b", "c"]

    with bullet(arm_service()):
        body()
    assert site.rows == ["first"]
    counts = [int(s.attributes.get("tb.guard.count", 1)) for s in telemetry.having("tb.guard.decision")]
    assert counts == [1, 2, 1]


def test_threads_of_one_request_see_what_it_committed(site: DjangoDatabase, arm_service: Any) -> None:
    def write() -> list[str]:
        try:
            with transaction.atomic():
                Order.objects.create(sku="thread")
            return skus()
        finally:
            connections.close_all()

    def body() -> None:
        Order.objects.create(sku="request")
        with ThreadPoolExecutor(max_workers=1) as pool:
            assert pool.submit(write).result() == ["first", "request", "thread"]
        assert skus() == ["first", "request", "thread"]

    check(site, arm_service(), body, ["request", "thread"])


def test_a_lane_can_be_held_for_the_bullets_next_request(site: DjangoDatabase, arm_service: Any) -> None:
    armed = arm_service(hold_s=60.0)
    with bullet(armed):
        Order.objects.create(sku="step one")
    assert site.rows == ["first"]
    with bullet(armed):
        assert skus() == ["first", "step one"]
    from tracer_bullet.guards.sql.held_lanes import HELD

    for (_, _), (lane, timer) in list(HELD._lanes.items()):
        timer.cancel()
        lane.rollback()
    HELD._lanes.clear()


def test_noop(site: DjangoDatabase, arm_service: Any, telemetry: Telemetry) -> None:
    with bullet(arm_service(sql="noop")):
        order = Order.objects.create(sku="x")
        assert order.pk < 0, "an id that nobody can have"
        assert Order.objects.filter(sku="first").update(sku="changed") == 1
        with transaction.atomic():
            Order.objects.bulk_create([Order(sku="a"), Order(sku="b")])
    assert site.rows == ["first"]
    assert [d for d, _ in telemetry.decisions] == ["suppressed"] * 3


def test_allow_keeps_the_applications_transactions(site: DjangoDatabase, arm_service: Any) -> None:
    with bullet(arm_service(sql="allow")):
        with transaction.atomic():
            Order.objects.create(sku="kept")
        with pytest.raises(ZeroDivisionError), transaction.atomic():
            fail_after(lambda: Order.objects.create(sku="undone"))
    assert site.rows == ["first", "kept"]
    site.assert_nothing_open()


def test_evidence_says_which_database(site: DjangoDatabase, arm_service: Any, telemetry: Telemetry) -> None:
    with bullet(arm_service()):
        Order.objects.create(sku="x")
    (span,) = telemetry.having("tb.guard.decision")
    found = {k: v for k, v in (span.attributes or {}).items() if not k.startswith("tb.")}
    server = {} if site.kind == "sqlite" else {"server.address": "127.0.0.1", "server.port": site.server.port}
    assert found == {
        "db.system.name": site.kind,
        "db.operation.name": "INSERT",
        "db.collection.name": "orders",
        "db.namespace": site.settings["NAME"],
        **server,
    }
