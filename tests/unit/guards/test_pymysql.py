"""Claim: PyMySQL and mysqlclient used directly stay on a bullet's lane; on a real MariaDB nothing is left.

Each body of code runs twice: as a bullet, after which a stranger sees what was there before, and as
a customer (the control), after which the stranger sees that it does write.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pymysql
import pytest
from opentelemetry.instrumentation.pymysql import PyMySQLInstrumentor

from tests.servers.mariadb import MariadbServer
from tests.unit.guards.conftest import Telemetry
from tests.unit.guards.contract import GuardContract
from tests.unit.guards.mariadb_shop import LIBRARIES, RawShop, bullet, new_raw_shop
from tracer_bullet.context.scope import entered
from tracer_bullet.guards import Armed, Policy, Sink, WriteRefused, arm, census

INSERT = "INSERT INTO orders (sku) VALUES (%s)"


@pytest.fixture(params=LIBRARIES)
def shop(request: pytest.FixtureRequest, mariadb: MariadbServer) -> Iterator[RawShop]:
    with new_raw_shop(mariadb, request.param) as found:
        yield found


def skus(connection: Any) -> list[str]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT sku FROM orders ORDER BY id")
        return [row[0] for row in cursor.fetchall()]


class MysqlSubject:
    sink, operation = Sink.SQL, "INSERT orders"
    policies = (Policy.ROLLBACK, Policy.NOOP)

    def __init__(self, shop: RawShop) -> None:
        self.settings: dict[str, Any] = {}
        self.shop = shop
        self.name = shop.library
        self.instrumentor = PyMySQLInstrumentor() if shop.library == "pymysql" else _mysqlclient_instrumentor()
        if shop.library == "pymysql":
            cursor, connection = pymysql.cursors.Cursor, pymysql.connections.Connection
        else:
            import MySQLdb.connections
            import MySQLdb.cursors

            cursor, connection = MySQLdb.cursors.BaseCursor, MySQLdb.connections.Connection
        names = (
            "__init__ close autocommit begin commit rollback kill query select_db insert_id affected_rows show_warnings"
        )
        cursors = ("execute", "executemany", "callproc")
        self.patched = (*((cursor, name) for name in cursors), *((connection, name) for name in names.split()))
        shop.ask("DELETE FROM orders")

    def write(self, value: str) -> Any:
        connection = self.shop.connect()
        try:
            with connection.cursor() as cursor:
                found = cursor.execute(INSERT, [value]), cursor.lastrowid
            connection.commit()
            return found
        finally:
            connection.close()

    def read(self) -> Any:
        connection = self.shop.connect()
        try:
            return skus(connection)
        finally:
            connection.close()

    def check(self, answer: Any) -> None:
        count, number = answer
        assert count == 1
        assert number > 0

    def stored(self) -> list[str]:
        return sorted(self.shop.rows)

    def shadowed(self) -> list[str]:
        return []


def _mysqlclient_instrumentor() -> Any:
    from opentelemetry.instrumentation.mysqlclient import MySQLClientInstrumentor

    return MySQLClientInstrumentor()


class TestContract(GuardContract):
    @pytest.fixture
    def subject(self, shop: RawShop) -> MysqlSubject:
        return MysqlSubject(shop)

    @contextmanager
    def bullet(self, armed: Armed, run_id: str = "run-1") -> Iterator[None]:  # type: ignore[override]
        with bullet(armed, run_id):
            yield


def test_transactions(shop: RawShop, arm_service: Any, telemetry: Telemetry) -> None:
    def body(connection: Any) -> None:
        with connection.cursor() as cursor:
            assert cursor.execute(INSERT, ["kept"]) == 1
            assert connection.insert_id() == cursor.lastrowid > 1
            connection.commit()
            cursor.execute(INSERT, ["undone"])
            connection.rollback()
            with pytest.raises(
                shop.module.err.IntegrityError if shop.library == "pymysql" else shop.module.IntegrityError
            ):
                cursor.execute(INSERT, ["first"])
            cursor.execute("SAVEPOINT mine")
            cursor.execute(INSERT, ["undone"])
            cursor.execute("ROLLBACK TO mine")
            assert cursor.executemany(INSERT, [["a"], ["b"]]) == 2
            cursor.execute("COMMIT")
        assert skus(connection) == ["first", "kept", "a", "b"]

    shop.check(arm_service(), body, ["kept", "a", "b"])
    assert [d for d, _ in telemetry.decisions] == ["rolled_back"] * 5


def test_autocommit(shop: RawShop, arm_service: Any) -> None:
    def body(connection: Any) -> None:
        with connection.cursor() as cursor:
            cursor.execute(INSERT, ["one"])
            connection.begin()
            cursor.execute(INSERT, ["undone"])
            connection.rollback()
            connection.autocommit(False)  # noqa: FBT003
            cursor.execute(INSERT, ["undone"])
            connection.rollback()
            cursor.execute(INSERT, ["two"])
            connection.autocommit(True)  # noqa: FBT003
            with pytest.raises(Exception, match="Duplicate"):
                cursor.execute(INSERT, ["first"])
        assert skus(connection) == ["first", "one", "two"]

    shop.check(arm_service(), body, ["one", "two"], autocommit=True)


@pytest.mark.parametrize("cursor", ["Cursor", "DictCursor"])
def test_noop(cursor: str, shop: RawShop, arm_service: Any, telemetry: Telemetry) -> None:
    armed = arm_service(sql="noop")
    connection = shop.connect()
    kind = getattr(shop.module.cursors, cursor)
    with bullet(armed), connection.cursor(kind) as one:
        assert one.execute(INSERT, ["x"]) == 1
        assert one.lastrowid is not None
        assert one.execute("UPDATE orders SET sku = %s WHERE sku = %s", ["y", "first"]) == 1
        assert one.executemany(INSERT, [["a"], ["b"]]) == 2
        connection.commit()
        one.execute("INSERT INTO orders (sku) VALUES (%s) RETURNING sku", ["z"])
        assert one.fetchall()[0] == ({"sku": "z"} if cursor == "DictCursor" else ("z",))
    assert shop.rows == ["first"]
    assert [d for d, _ in telemetry.decisions] == ["suppressed"] * 4
    connection.close()


def test_two_connections_of_a_bullet(shop: RawShop, arm_service: Any) -> None:
    def body(connection: Any) -> None:
        other = shop.connect()
        with connection.cursor() as cursor:
            cursor.execute(INSERT, ["x"])
        connection.commit()
        assert skus(other) == ["first", "x"]
        other.close()

    shop.check(arm_service(), body, ["x"])


def test_rows_left_on_the_server(shop: RawShop, arm_service: Any) -> None:
    streaming = shop.module.cursors.SSCursor

    def body(connection: Any) -> None:
        with connection.cursor() as cursor:
            cursor.executemany(INSERT, [[f"x{i}"] for i in range(5)])
        connection.commit()
        with connection.cursor(streaming) as cursor:
            cursor.execute("SELECT sku FROM orders ORDER BY id")
            assert cursor.fetchmany(2) in (((("first",), ("x0",))), [("first",), ("x0",)])
            assert len(list(cursor.fetchall())) == 4
        assert len(skus(connection)) == 6

    shop.check(arm_service(), body, [f"x{i}" for i in range(5)])


@pytest.mark.parametrize(
    "sql",
    [
        "DROP TABLE orders",
        "TRUNCATE orders",
        "CALL anything()",
        "LOCK TABLES orders WRITE",
        "SET autocommit = 1",
        "SELECT get_lock('a', 0)",
        "USE mysql",
        "CREATE USER somebody",
        "ANALYZE TABLE orders",
        "/*! COMMIT RELEASE */",
    ],
)
def test_what_a_rollback_would_not_undo_is_refused(sql: str, shop: RawShop, arm_service: Any) -> None:
    armed = arm_service()
    connection = shop.connect()
    with bullet(armed), connection.cursor() as cursor:
        cursor.execute(INSERT, ["x"])
        with pytest.raises(WriteRefused):
            cursor.execute(sql)
        assert skus(connection) == ["first", "x"]
    assert shop.rows == ["first"]
    connection.close()


@pytest.mark.parametrize(
    "use",
    [
        lambda c: c.select_db("mysql"),
        lambda c: c.kill(1),
        lambda c: c.query("COMMIT"),
        lambda c: c.cursor().callproc("p"),
    ],
)
def test_what_else_a_connection_can_do_is_refused(use: Callable[[Any], Any], shop: RawShop, arm_service: Any) -> None:
    armed = arm_service()
    connection = shop.connect()
    with bullet(armed), pytest.raises(WriteRefused):
        use(connection)
    connection.close()


def test_a_customers_open_transaction_is_not_touched(shop: RawShop, arm_service: Any) -> None:
    armed = arm_service()
    connection = shop.connect()
    with connection.cursor() as cursor:
        cursor.execute(INSERT, ["customer"])
        with bullet(armed):
            with pytest.raises(WriteRefused, match="begun outside the bullet"):
                cursor.execute(INSERT, ["bullet"])
            for end in (connection.commit, connection.rollback, connection.begin):
                with pytest.raises(WriteRefused, match="begun outside the bullet"):
                    end()
        connection.commit()
    assert shop.rows == ["first", "customer"]
    connection.close()


def test_a_lane_is_in_the_database_that_the_connection_is_in(shop: RawShop, arm_service: Any) -> None:
    armed = arm_service()
    connection = shop.connect()
    connection.select_db("mysql")
    with bullet(armed), connection.cursor() as cursor:
        cursor.execute("SELECT DATABASE()")
        assert cursor.fetchone() == ("mysql",)
    connection.close()


def test_a_killed_connection(shop: RawShop, arm_service: Any) -> None:
    armed = arm_service()
    connection = shop.connect()
    with bullet(armed), connection.cursor() as cursor:
        cursor.execute(INSERT, ["lost"])
        cursor.execute("SELECT CONNECTION_ID()")
        shop.ask(f"KILL {cursor.fetchone()[0]}")
        with pytest.raises(shop.module.OperationalError):
            cursor.execute(INSERT, ["more"])
        with pytest.raises(WriteRefused, match="is gone"):
            cursor.execute(INSERT, ["more"])
        connection.rollback()
        cursor.execute(INSERT, ["retry"])
        connection.commit()
        assert skus(connection) == ["first", "retry"]
    assert shop.rows == ["first"]
    shop.assert_nothing_open()
    assert armed.problem == ""
    connection.close()


def test_a_deadlock_ends_the_lane_and_nothing_is_committed(shop: RawShop, arm_service: Any) -> None:
    """InnoDB then rolls back the whole transaction, of which the lane's savepoints are a part."""
    shop.ask("INSERT INTO orders (sku) VALUES ('second')")
    armed = arm_service()
    connection = shop.connect(autocommit=True)
    rival = shop.server.connect(shop.url.rpartition("/")[2])

    def take_first() -> None:
        rival.cursor().execute("UPDATE orders SET sku = 'rival first' WHERE sku = 'first'")

    with bullet(armed), connection.cursor() as cursor:
        with entered(None):
            rival.begin()
            weight = "INSERT INTO orders (sku) SELECT CONCAT('filler', seq) FROM seq_1_to_50"
            rival.cursor().execute(weight)  # so that the bullet is the victim
            rival.cursor().execute("UPDATE orders SET sku = 'rival second' WHERE sku = 'second'")
        connection.begin()
        cursor.execute("UPDATE orders SET sku = 'bullet' WHERE sku = 'first'")
        thread = threading.Thread(target=entered(None)(take_first))
        thread.start()
        shop.wait_for_a_waiting_lock()
        with pytest.raises(shop.module.OperationalError, match="Deadlock"):
            cursor.execute("UPDATE orders SET sku = 'bullet too' WHERE sku = 'second'")
        thread.join()
        with entered(None):
            rival.rollback()
        with pytest.raises(WriteRefused, match="is gone"):
            cursor.execute(INSERT, ["escaped?"])
        connection.rollback()
        cursor.execute(INSERT, ["retry"])
    assert "escaped?" not in shop.rows
    assert "retry" not in shop.rows
    assert shop.rows[:2] == ["first", "second"]
    shop.assert_nothing_open()
    assert armed.problem == ""
    rival.close()
    connection.close()


def test_a_connection_from_before_arming(shop: RawShop, arm_service: Any) -> None:
    """PyMySQL's know where they are connected to."""
    connection = shop.connect()
    with bullet(arm_service()), connection.cursor() as cursor:
        if shop.library == "pymysql":
            cursor.execute(INSERT, ["x"])
        else:
            with pytest.raises(WriteRefused, match="before the service was armed"):
                cursor.execute(INSERT, ["x"])
    assert shop.rows == ["first"]
    connection.close()


def test_pymysql_in_the_place_of_mysqlclient_is_no_failure(
    jwks: str, telemetry: Telemetry, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [n for n in sys.modules if n.partition(".")[0] == "MySQLdb"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "MySQLdb", pymysql)
    armed = arm(tracer_provider=telemetry.provider, service="cart", keys=jwks)
    try:
        assert {g.name: g.state for g in census()}["mysqlclient"] == "absent"
        assert armed.problem == ""
    finally:
        armed.disarm()
