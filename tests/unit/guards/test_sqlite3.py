"""Claim: what a bullet does through the standard library's sqlite3 runs for real and leaves nothing."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiosqlite
import pytest
from opentelemetry.instrumentation.sqlite3 import SQLite3Instrumentor

from tests.unit.guards.conftest import Telemetry
from tests.unit.guards.contract import GuardContract
from tracer_bullet.context.scope import Scope, entered
from tracer_bullet.guards import Armed, Policy, Rule, Sink, WriteRefused
from tracer_bullet.guards.sql.lane import Lane, Source, drive
from tracer_bullet.guards.sql.sqlite3_lanes import SqliteChannel
from tracer_bullet.model import Context

INSERT = "INSERT INTO orders (sku) VALUES ('x')"
COUNT = "SELECT count(*) FROM orders"


@pytest.fixture
def path(tmp_path: Path) -> str:
    found = str(tmp_path / "orders.db")
    with closing(sqlite3.connect(found)) as connection:
        connection.executescript(
            """
            CREATE TABLE orders (id INTEGER PRIMARY KEY, sku TEXT NOT NULL UNIQUE);
            CREATE TABLE shadow_orders (id INTEGER PRIMARY KEY, sku TEXT NOT NULL UNIQUE);
            CREATE TABLE log (line TEXT);
            INSERT INTO orders (sku) VALUES ('first');
            """
        )
    return found


def ask(path: str, sql: str) -> list[Any]:
    """The first column, for a stranger to all guards."""
    with entered(None), closing(sqlite3.connect(path)) as connection:
        return [row[0] for row in connection.execute(sql)]


def rows(path: str) -> list[str]:
    return ask(path, "SELECT sku FROM orders ORDER BY id")


@contextmanager
def bullet(armed: Armed, run_id: str = "run-1", **settings: Any) -> Iterator[Scope]:
    """The scope of a bullet's request, ended as the inbound guards end it."""
    settings = {"linger_s": armed.config.linger_s, "trace_id": "a" * 32, **settings}
    scope = Scope(Context(run_id=run_id, token="t"), armed, **settings)
    try:
        with entered(scope):
            yield scope
    finally:
        for closer in scope.end():
            closer.close()


@dataclass
class SqliteSubject:
    path: str
    name: str = "sqlite3"
    sink: Sink = Sink.SQL
    operation: str = "INSERT orders"
    patched: tuple[tuple[Any, str], ...] = ((sqlite3, "connect"), (sqlite3.dbapi2, "connect"))
    policies: tuple[Policy, ...] = (Policy.ROLLBACK, Policy.NOOP, Policy.SHADOW, Policy.DENY, Policy.ALLOW)
    settings: dict[str, Any] = field(default_factory=dict)
    instrumentor: Any = field(default_factory=SQLite3Instrumentor)

    def write(self, value: str) -> Any:
        with closing(sqlite3.connect(self.path, timeout=60)) as connection, connection:
            cursor = connection.cursor()
            cursor.execute("INSERT INTO orders (sku) VALUES (?)", [value])
            return cursor.rowcount

    def read(self) -> Any:
        with closing(sqlite3.connect(self.path)) as connection:
            return connection.execute("SELECT sku FROM orders").fetchall()

    def check(self, answer: Any) -> None:
        assert answer == 1

    def stored(self) -> list[str]:
        return sorted(rows(self.path))

    def shadowed(self) -> list[str]:
        return sorted(ask(self.path, "SELECT sku FROM shadow_orders"))


class TestSqlite3(GuardContract):
    @pytest.fixture
    def subject(self, path: str) -> SqliteSubject:
        with closing(sqlite3.connect(path)) as connection, connection:
            connection.execute("DELETE FROM orders")
        return SqliteSubject(path)

    def bullet(self, armed: Armed, run_id: str = "run-1") -> Any:
        return bullet(armed, run_id)


def check(path: str, armed: Armed, body: Callable[[str], None], writes: list[str]) -> None:
    """As a bullet `body` leaves nothing; as a customer it leaves `writes`."""
    with bullet(armed):
        body(path)
        assert rows(path) == ["first"], "nobody else sees it meanwhile"
    assert rows(path) == ["first"]
    with closing(sqlite3.connect(path, timeout=0)) as connection, connection:
        connection.execute("INSERT INTO log VALUES ('the write lock is free')")
    body(path)
    assert rows(path) == ["first", *writes]


def count(connection: Any) -> int:
    return int(connection.execute(COUNT).fetchone()[0])


def test_a_bullet_reads_what_it_committed_also_on_another_connection(
    path: str, arm_service: Any, telemetry: Telemetry
) -> None:
    def body(path: str) -> None:
        with closing(sqlite3.connect(path)) as one:
            cursor = one.execute("INSERT INTO orders (sku) VALUES ('x')")
            assert cursor.lastrowid == 2
            assert one.in_transaction
            one.commit()
            assert not one.in_transaction
            with closing(sqlite3.dbapi2.connect(path)) as two:
                assert count(two) == 2
                assert list(two.execute("SELECT sku FROM orders ORDER BY id")) == [("first",), ("x",)]

    check(path, arm_service(), body, ["x"])
    assert telemetry.decisions == [("rolled_back", "INSERT orders")]


def test_a_rollback_undoes_its_own_transaction_alone(path: str, arm_service: Any) -> None:
    def body(path: str) -> None:
        with closing(sqlite3.connect(path)) as connection:
            with connection:
                connection.execute(INSERT)
            with pytest.raises(sqlite3.IntegrityError), connection:
                connection.executemany("INSERT INTO orders (sku) VALUES (?)", [["undone"], ["x"]])
            connection.execute("INSERT INTO orders (sku) VALUES ('undone too')")
            connection.rollback()
            connection.execute("SAVEPOINT mine")
            connection.execute("INSERT INTO orders (sku) VALUES ('undone three')")
            connection.execute("ROLLBACK TO mine")
            connection.execute("INSERT INTO orders (sku) VALUES ('y')")
            connection.execute("RELEASE mine")
            connection.rollback()
            connection.execute("INSERT INTO orders (sku) VALUES ('lost')")
        with closing(sqlite3.connect(path)) as connection:  # closed without a commit
            assert count(connection) == 3

    check(path, arm_service(), body, ["x", "y"])


def test_autocommit_and_explicit_transactions(path: str, arm_service: Any) -> None:
    def body(path: str) -> None:
        with closing(sqlite3.connect(path, isolation_level=None)) as connection:
            connection.execute(INSERT)
            connection.rollback()
            connection.execute("BEGIN IMMEDIATE")
            connection.execute("INSERT INTO orders (sku) VALUES ('undone')")
            connection.execute("ROLLBACK")
            connection.execute("BEGIN")
            connection.execute("INSERT INTO orders (sku) VALUES ('y')")
            connection.execute("END")
            assert count(connection) == 3

    check(path, arm_service(), body, ["x", "y"])


def test_ddl_is_committed_at_once_and_rolled_back_in_the_end(path: str, arm_service: Any) -> None:
    def body(path: str) -> None:
        with closing(sqlite3.connect(path)) as connection:
            connection.execute("CREATE TABLE made (id)")
            connection.rollback()
            connection.execute("INSERT INTO made VALUES (1)")
            connection.execute("DROP TABLE made")
            connection.commit()

    check(path, arm_service(), body, [])
    assert ask(path, "SELECT name FROM sqlite_master WHERE name = 'made'") == []


def test_executemany_returning_and_scripts(path: str, arm_service: Any, telemetry: Telemetry) -> None:
    def body(path: str) -> None:
        with closing(sqlite3.connect(path)) as connection:
            cursor = connection.executemany("INSERT INTO orders (sku) VALUES (:sku)", [{"sku": "x"}, {"sku": "y"}])
            assert cursor.rowcount == 2
            found = cursor.execute("INSERT INTO orders (sku) VALUES ('z') RETURNING id, sku")
            assert found.description[1][0] == "sku"
            assert found.fetchall() == [(4, "z")]
            connection.executescript(
                """
                INSERT INTO orders (sku) VALUES ('a;b'); -- a comment; with a semicolon
                BEGIN; INSERT INTO orders (sku) VALUES ('undone'); ROLLBACK;
                CREATE TABLE made (id); INSERT INTO made VALUES (1); DROP TABLE made
                """
            )
            connection.rollback()
            assert count(connection) == 5

    check(path, arm_service(), body, ["x", "y", "z", "a;b"])


def test_settings_and_functions_of_the_connection_are_kept(path: str, arm_service: Any) -> None:
    class Mine(sqlite3.Cursor):
        def execute(self, sql: str, *args: Any) -> Any:
            return super().execute(sql.replace("%s", "?"), *args)

    class Custom(sqlite3.Connection):
        def cursor(self, factory: Any = Mine) -> Any:
            return super().cursor(factory)

    def body(path: str) -> None:
        connection = sqlite3.connect(path, factory=Custom, detect_types=sqlite3.PARSE_COLNAMES)
        with closing(connection):
            assert isinstance(connection, Custom)
            connection.execute("PRAGMA foreign_keys = ON")
            connection.row_factory = sqlite3.Row
            connection.create_function("twice", 1, lambda text: text * 2)
            cursor = connection.cursor()
            assert isinstance(cursor, Mine)
            cursor.execute("INSERT INTO orders (sku) VALUES (twice(%s))", ["x"])
            row = cursor.execute("SELECT sku, id FROM orders WHERE id = %s", [2]).fetchone()
            assert (row["sku"], row["id"]) == ("xx", 2)
            assert cursor.connection is connection
            connection.text_factory = bytes
            assert next(cursor.execute("SELECT sku FROM orders"))["sku"] == b"first"
            assert connection.execute("PRAGMA foreign_keys").fetchone()[0] == 1
            connection.commit()

    check(path, arm_service(), body, ["xx"])


def test_a_connection_from_before_the_bullet_is_left_idle(path: str, arm_service: Any, telemetry: Telemetry) -> None:
    armed = arm_service()
    with closing(sqlite3.connect(path)) as connection:
        cursor = connection.cursor()
        with bullet(armed):
            connection.execute("PRAGMA foreign_keys = ON")
            connection.execute(INSERT)
            assert count(connection) == 2
            assert cursor.execute(COUNT).fetchone() == (1,), "a cursor from before reads, beside the lane"
            with pytest.raises(WriteRefused, match="opened outside the bullet"):
                cursor.execute(INSERT)
        assert not connection.in_transaction
        assert connection.execute("PRAGMA foreign_keys").fetchone() == (0,)
        assert count(connection) == 1
        with connection:
            connection.execute("INSERT INTO orders (sku) VALUES ('customer')")
    assert rows(path) == ["first", "customer"]
    assert telemetry.decisions == [("rolled_back", "INSERT orders"), ("denied", "INSERT orders")]


def test_a_connection_from_inside_the_bullet_serves_customers_later(path: str, arm_service: Any) -> None:
    with bullet(arm_service()):
        connection = sqlite3.connect(path)
        connection.execute("PRAGMA foreign_keys = ON")
        cursor = connection.execute(INSERT)  # and never committed
    with pytest.raises(WriteRefused, match="its bullet is over"):
        cursor.execute("INSERT INTO orders (sku) VALUES ('lost')")
    with closing(connection), connection:
        assert connection.execute("PRAGMA foreign_keys").fetchone() == (1,)
        connection.execute("INSERT INTO orders (sku) VALUES ('customer')")
    assert rows(path) == ["first", "customer"]


def test_a_customers_transaction_is_not_joined(path: str, arm_service: Any) -> None:
    armed = arm_service()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("INSERT INTO orders (sku) VALUES ('customer')")
        with bullet(armed):
            with pytest.raises(WriteRefused, match="begun outside the bullet"):
                connection.execute(INSERT)
            connection.rollback()
        connection.commit()
    assert rows(path) == ["first", "customer"]


@pytest.mark.parametrize(
    "way",
    [
        lambda c: c.execute("VACUUM"),
        lambda c: c.execute("PRAGMA journal_mode = DELETE"),
        lambda c: c.execute("ATTACH ':memory:' AS other"),
        lambda c: c.backup(sqlite3.Connection(":memory:")),
        lambda c: c.deserialize(b""),
        lambda c: c.blobopen("orders", "sku", 1),
    ],
)
def test_what_a_rollback_would_not_undo_is_refused(way: Callable[[Any], Any], path: str, arm_service: Any) -> None:
    with bullet(arm_service()), closing(sqlite3.connect(path)) as connection, pytest.raises(WriteRefused):
        way(connection)
    assert rows(path) == ["first"]


@pytest.mark.parametrize("name", [":memory:", "", "file::memory:?cache=shared"])
def test_databases_in_memory_are_only_read(name: str, arm_service: Any) -> None:
    armed = arm_service()
    with closing(sqlite3.connect(name, uri=name.startswith("file:"))) as connection:
        connection.execute("CREATE TABLE orders (id)")
        with bullet(armed):
            assert count(connection) == 0
            with pytest.raises(WriteRefused, match="in-memory"):
                connection.execute("INSERT INTO orders VALUES (1)")
        assert count(connection) == 0


@pytest.mark.parametrize("way", ["INSERT OR ROLLBACK INTO orders (sku) VALUES ('first')", "INSERT INTO log VALUES (1)"])
def test_a_transaction_that_sqlite_itself_ends_does_not_let_writes_escape(
    way: str, path: str, arm_service: Any
) -> None:
    """SQLite rolls back the lane's whole transaction; a savepoint set after that would begin one, and commit it."""
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(
            "CREATE TRIGGER t BEFORE INSERT ON log BEGIN SELECT RAISE(ROLLBACK, 'no') FROM orders LIMIT 1; END"
        )
    armed = arm_service()
    with bullet(armed), closing(sqlite3.connect(path)) as connection:
        connection.execute(INSERT)
        connection.commit()
        with pytest.raises(sqlite3.IntegrityError):
            connection.execute(way)
        with pytest.raises(WriteRefused, match="is gone"):
            connection.execute("INSERT INTO orders (sku) VALUES ('escaped')")
        connection.rollback()
        connection.execute("INSERT INTO orders (sku) VALUES ('retry')")
        connection.commit()
        assert rows(path) == ["first"]
    assert rows(path) == ["first"]
    assert armed.problem == ""


def test_a_rule_that_allows_one_operation_inside_a_lane(path: str, arm_service: Any) -> None:
    rule = Rule(sink="sql", operation="INSERT log", policy="allow")
    with bullet(arm_service(rules=(rule,))), closing(sqlite3.connect(path)) as connection:
        connection.execute("INSERT INTO log VALUES ('one')")
        connection.rollback()
        connection.execute(INSERT)
        with pytest.raises(WriteRefused, match="one writer at a time"):
            connection.execute("INSERT INTO log VALUES ('two')")
    assert ask(path, "SELECT line FROM log") == ["one"]
    assert rows(path) == ["first"]


def test_noop_sends_nothing_and_answers(path: str, arm_service: Any, telemetry: Telemetry) -> None:
    with bullet(arm_service(sql="noop")), closing(sqlite3.connect(path)) as connection:
        cursor = connection.execute("INSERT INTO orders (sku) VALUES (?)", ["x"])
        assert cursor.rowcount == 1
        assert cursor.lastrowid is not None
        assert cursor.lastrowid < 0
        found = connection.execute("SELECT sku FROM orders WHERE id = ?", [cursor.lastrowid])
        assert found.fetchall() == [("x",)], "it finds what it believes it wrote"
        assert connection.execute("UPDATE orders SET sku = 'y'").rowcount == 1
        (row,) = connection.execute("INSERT INTO orders (sku) VALUES ('z') RETURNING id, sku AS name")
        assert row[1] == "z"
        assert connection.executemany("INSERT INTO orders (sku) VALUES (?)", [["a"], ["b"]]).rowcount == 2
        connection.commit()
        with entered(None), closing(sqlite3.connect(path, timeout=0)) as customer, customer:
            customer.execute("INSERT INTO log VALUES ('no lock is held')")
    assert rows(path) == ["first"]
    assert [decision for decision, _ in telemetry.decisions] == ["suppressed"] * 4


def test_shadow_by_policy(path: str, arm_service: Any, telemetry: Telemetry) -> None:
    with bullet(arm_service(sql="shadow")), closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("INSERT INTO orders (id, sku) VALUES (?, ?)", [7, "x"])
        connection.executemany("INSERT INTO orders (id, sku) VALUES (?, ?)", [[8, "y"]])
        assert connection.execute("SELECT sku FROM orders WHERE id = :id", {"id": 7}).fetchall() == [("x",)]
        with pytest.raises(WriteRefused, match="no shadow table"):
            connection.execute("INSERT INTO log VALUES ('z')")
    assert rows(path) == ["first"]
    assert ask(path, "SELECT sku FROM shadow_orders") == ["x", "y"]
    assert [decision for decision, _ in telemetry.decisions] == ["shadowed", "shadowed", "denied"]


def test_threads_of_one_bullet_take_turns(path: str, arm_service: Any) -> None:
    errors: list[BaseException] = []

    def place(name: str) -> None:
        try:
            for i in range(5):
                with closing(sqlite3.connect(path, timeout=60)) as connection, connection:
                    connection.execute("INSERT INTO orders (sku) VALUES (?)", [f"{name}{i}"])
        except BaseException as error:  # noqa: BLE001  # told by the main thread
            errors.append(error)

    with bullet(arm_service()):
        threads = [threading.Thread(target=place, args=(name,)) for name in "abc"]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        with closing(sqlite3.connect(path)) as connection:
            assert count(connection) == 16, "on one lane"
    assert errors == []
    assert rows(path) == ["first"]


def test_a_connection_kept_by_a_factory_function_is_refused(path: str, arm_service: Any) -> None:
    def factory(*args: Any, **kwargs: Any) -> Any:
        return sqlite3.Connection(*args, **kwargs)

    armed = arm_service()
    with closing(sqlite3.connect(path, factory=factory)) as connection:  # type: ignore[call-overload]
        assert count(connection) == 1
    with bullet(armed), pytest.raises(WriteRefused, match="factory"):
        sqlite3.connect(path, factory=factory)  # type: ignore[call-overload]


def test_an_instrumentation_that_is_taken_off_leaves_the_guard(path: str, arm_service: Any) -> None:
    """OpenTelemetry takes off the outermost wrapper, whosever it is."""
    SQLite3Instrumentor().instrument()
    armed = arm_service()
    SQLite3Instrumentor().uninstrument()
    with bullet(armed), closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(INSERT)
    assert rows(path) == ["first"]


def test_aiosqlite_carries_the_bullet_into_its_thread(path: str, arm_service: Any, telemetry: Telemetry) -> None:
    """Over a connection from before the bullet, and one that a bullet opened, whose thread serves customers later."""
    armed = arm_service(linger_s=60.0)

    async def write(connection: aiosqlite.Connection, sku: str) -> int:
        await connection.execute("INSERT INTO orders (sku) VALUES (?)", [sku])
        await connection.commit()
        async with connection.execute(COUNT) as cursor:
            (found,) = await cursor.fetchone() or ()
        return int(found)

    async def main() -> None:
        async with aiosqlite.connect(path) as old:
            scope = Scope(Context(run_id="run-1", token="t"), armed, linger_s=60.0)
            with entered(scope):
                new = await aiosqlite.connect(path)
                assert await write(old, "a") == 2
                assert await write(new, "b") == 3
                with entered(None):
                    assert rows(path) == ["first"]
            for closer in scope.end():
                await closer.aclose()
            assert await write(new, "customer of the new one") == 2, "though the bullet lingers"
            assert await write(old, "customer of the old one") == 3
            await new.close()

    asyncio.run(main())
    assert rows(path) == ["first", "customer of the new one", "customer of the old one"]
    assert telemetry.decisions == [("rolled_back", "INSERT orders")] * 2


def test_a_lane_that_lost_its_transaction_begins_no_other(path: str) -> None:
    lane = Lane(
        Source("key", "sqlite", lambda: None), SqliteChannel(sqlite3.Connection(path, isolation_level=None)), ""
    )
    drive(lane.begin())
    lane.channel.execute("ROLLBACK")
    with pytest.raises(WriteRefused, match="has ended its transaction"):
        drive(lane.begin())
    assert lane.closed
