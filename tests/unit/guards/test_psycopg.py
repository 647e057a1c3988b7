"""Claim: what a bullet does through psycopg itself runs for real and leaves nothing; customers notice nothing."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa
from psycopg import sql
from psycopg.rows import dict_row

from tests.servers.postgres import PostgresServer
from tests.unit.guards.conftest import Telemetry
from tests.unit.guards.contract import GuardContract
from tests.unit.guards.database import INSERT, Database, new_database
from tests.versions import PsycopgInstrumentor
from tracer_bullet.context.scope import Scope, entered
from tracer_bullet.guards import Armed, Policy, Rule, Sink, WriteRefused
from tracer_bullet.guards.sql.lane import Lane
from tracer_bullet.guards.sql.lanes import lanes_of
from tracer_bullet.model import Context

COUNT = "SELECT count(*) FROM orders"


@pytest.fixture
def database(postgres: PostgresServer) -> Iterator[Database]:
    with new_database(postgres, "psycopg") as found:
        yield found


@contextmanager
def bullet(armed: Armed, **settings: Any) -> Iterator[Scope]:
    """The scope of a bullet's request, ended as the inbound guards end it."""
    settings = {"linger_s": armed.config.linger_s, "trace_id": "a" * 32, **settings}
    scope = Scope(Context(run_id="run-1", token="t"), armed, **settings)
    try:
        with entered(scope):
            yield scope
    finally:
        for closer in scope.end():
            closer.close()


@dataclass
class PsycopgSubject:
    database: Database
    name: str = "psycopg"
    sink: Sink = Sink.SQL
    operation: str = "INSERT orders"
    patched: tuple[tuple[Any, str], ...] = (
        (psycopg.Connection, "cursor"),
        (psycopg.AsyncConnection, "commit"),
        (psycopg.Cursor.__mro__[1], "_execute_gen"),
    )
    policies: tuple[Policy, ...] = (Policy.ROLLBACK, Policy.NOOP, Policy.SHADOW, Policy.DENY, Policy.ALLOW)
    settings: dict[str, Any] = field(default_factory=dict)
    instrumentor: Any = field(default_factory=PsycopgInstrumentor)

    def write(self, value: str) -> Any:
        with psycopg.connect(self.database.url) as connection:
            return connection.execute("INSERT INTO orders (sku) VALUES (%s)", [value]).rowcount

    def read(self) -> Any:
        with psycopg.connect(self.database.url) as connection:
            return connection.execute("SELECT sku FROM orders").fetchall()

    def check(self, answer: Any) -> None:
        assert answer == 1

    def stored(self) -> list[str]:
        return sorted(self.database.rows)

    def shadowed(self) -> list[str]:
        return sorted(self.database.ask("SELECT sku FROM shadow_orders"))


class TestPsycopg(GuardContract):
    @pytest.fixture
    def subject(self, database: Database) -> PsycopgSubject:
        with psycopg.connect(database.url) as connection:
            connection.execute("DELETE FROM orders")
            connection.execute("CREATE TABLE shadow_orders (LIKE orders INCLUDING ALL)")
        return PsycopgSubject(database)

    def bullet(self, armed: Armed, run_id: str = "run-1") -> Any:
        @contextmanager
        def scoped() -> Iterator[None]:
            scope = Scope(Context(run_id=run_id, token="t"), armed, linger_s=0.0, trace_id="a" * 32)
            try:
                with entered(scope):
                    yield
            finally:
                for closer in scope.end():
                    closer.close()

        return scoped()


Body = Callable[[str], None]


def check(database: Database, armed: Armed, body: Body, writes: list[str]) -> None:
    """As a bullet `body` leaves nothing; as a customer it leaves `writes`."""
    with bullet(armed):
        body(database.url)
        assert database.rows == ["first"], "nobody else sees it meanwhile"
    database.assert_nothing_open()
    assert database.rows == ["first"]
    body(database.url)
    assert sorted(database.rows) == sorted(["first", *writes])


def count(connection: Any) -> int:
    return int(connection.execute(COUNT).fetchone()[0])


def test_a_bullet_reads_what_it_committed_also_on_another_connection(
    database: Database, arm_service: Any, telemetry: Telemetry
) -> None:
    def body(url: str) -> None:
        with psycopg.connect(url) as one:
            row = one.execute("INSERT INTO orders (sku) VALUES ('x') RETURNING id").fetchone()
            assert row is not None
            assert row[0] > 1
            one.commit()
            with psycopg.connect(url) as two:
                assert count(two) == 2
            assert count(one) == 2

    check(database, arm_service(), body, ["x"])
    assert telemetry.decisions == [("rolled_back", "INSERT orders")]


def test_a_rollback_undoes_its_own_transaction_alone(database: Database, arm_service: Any) -> None:
    def body(url: str) -> None:
        with psycopg.connect(url) as connection:
            connection.execute(INSERT)
            connection.commit()
            connection.execute("INSERT INTO orders (sku) VALUES ('undone')")
            connection.rollback()
            with pytest.raises(psycopg.errors.UniqueViolation):
                connection.execute(INSERT)
            with pytest.raises(psycopg.errors.InFailedSqlTransaction):
                connection.execute(COUNT)
            connection.rollback()
            assert count(connection) == 2
            with pytest.raises(psycopg.errors.UniqueViolation):
                connection.execute(INSERT)
            connection.commit()  # PostgreSQL makes that a rollback
            assert count(connection) == 2

    check(database, arm_service(), body, ["x"])


def test_autocommit(database: Database, arm_service: Any) -> None:
    def body(url: str) -> None:
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(INSERT)
            connection.rollback()
            with pytest.raises(psycopg.errors.UniqueViolation):
                connection.execute(INSERT)
            assert count(connection) == 2
            connection.execute("BEGIN")
            connection.execute("INSERT INTO orders (sku) VALUES ('undone')")
            connection.execute("ROLLBACK")
            connection.execute("BEGIN")
            connection.execute("INSERT INTO orders (sku) VALUES ('y')")
            connection.execute("COMMIT")
        with psycopg.connect(url) as connection:
            connection.autocommit = True
            connection.execute("INSERT INTO orders (sku) VALUES ('z')")
            connection.autocommit = False
            assert count(connection) == 4

    check(database, arm_service(), body, ["x", "y", "z"])


@pytest.mark.parametrize("autocommit", [False, True])
def test_transaction_blocks(autocommit: bool, database: Database, arm_service: Any) -> None:
    def body(url: str) -> None:
        with psycopg.connect(url, autocommit=autocommit) as connection:
            with connection.transaction():
                connection.execute(INSERT)
                with pytest.raises(psycopg.errors.UniqueViolation), connection.transaction():
                    connection.cursor().executemany("INSERT INTO orders (sku) VALUES (%s)", [["undone"], ["x"]])
                with connection.transaction("named"):
                    connection.execute("INSERT INTO orders (sku) VALUES ('y')")
                with pytest.raises(psycopg.ProgrammingError, match="forbidden"):
                    connection.commit()
            connection.rollback()  # the block has committed
            with connection.transaction(force_rollback=True):
                connection.execute("INSERT INTO orders (sku) VALUES ('forced')")
            with connection.transaction() as outer, connection.transaction():
                connection.execute("INSERT INTO orders (sku) VALUES ('thrown')")
                raise psycopg.Rollback(outer)
            assert count(connection) == 3

    check(database, arm_service(), body, ["x", "y"])


@pytest.mark.parametrize("autocommit", [False, True])
def test_copy_stream_and_executemany(
    autocommit: bool, database: Database, arm_service: Any, telemetry: Telemetry
) -> None:
    def body(url: str) -> None:
        with psycopg.connect(url, autocommit=autocommit) as connection:
            cursor = connection.cursor()
            with cursor.copy("COPY orders (sku) FROM STDIN") as copy:
                for i in range(3):
                    copy.write_row([f"copy{i}"])
            assert cursor.rowcount == 3
            cursor.executemany("INSERT INTO orders (sku) VALUES (%s)", [[f"many{i}"] for i in range(3)])
            assert cursor.rowcount == 3
            cursor.executemany(
                "INSERT INTO orders (sku) VALUES (%s) RETURNING sku", [["back0"], ["back1"]], returning=True
            )
            assert cursor.fetchone() == ("back0",)
            assert cursor.nextset()
            assert cursor.fetchone() == ("back1",)
            streamed = list(cursor.stream("INSERT INTO orders (sku) VALUES ('s0'), ('s1') RETURNING sku"))
            assert streamed == [("s0",), ("s1",)]
            assert len(list(cursor.stream("SELECT * FROM orders"))) == 11
            with cursor.copy("COPY (SELECT sku FROM orders WHERE id > 1) TO STDOUT") as copy:
                assert len(list(copy.rows())) == 10
            connection.commit()
            with pytest.raises(psycopg.errors.UniqueViolation), cursor.copy("COPY orders (sku) FROM STDIN") as copy:
                copy.write_row(["first"])
            connection.rollback()
            assert count(connection) == 11

    names = [f"{kind}{i}" for kind in ("copy", "many") for i in range(3)] + ["back0", "back1", "s0", "s1"]
    check(database, arm_service(), body, names)
    counts = {s.attributes.get("tb.guard.count", 1) for s in telemetry.having("tb.guard.decision", "rolled_back")}
    assert counts == {1, 2, 3}


@pytest.mark.parametrize("autocommit", [False, True])
def test_pipelines(autocommit: bool, database: Database, arm_service: Any) -> None:
    def body(url: str) -> None:
        with psycopg.connect(url, autocommit=autocommit) as connection:
            with connection.pipeline():
                connection.execute(INSERT)
                found = connection.execute("INSERT INTO orders (sku) VALUES ('y') RETURNING sku")
                assert found.fetchone() == ("y",)
            connection.commit()
            with connection.pipeline() as pipeline, connection.transaction():
                connection.execute("INSERT INTO orders (sku) VALUES ('z')")
                pipeline.sync()
            with pytest.raises(psycopg.errors.UniqueViolation), connection.pipeline():
                connection.execute(INSERT)
            connection.rollback()
            assert count(connection) == 4

    check(database, arm_service(), body, ["x", "y", "z"])


def test_server_side_cursors(database: Database, arm_service: Any) -> None:
    def body(url: str) -> None:
        with psycopg.connect(url, row_factory=dict_row) as connection:
            connection.cursor().executemany("INSERT INTO orders (sku) VALUES (%s)", [["x"], ["y"], ["z"]])
            with connection.cursor(name="c", scrollable=True) as cursor:
                cursor.itersize = 2
                cursor.execute("SELECT sku FROM orders ORDER BY id")
                assert [row["sku"] for row in cursor] == ["first", "x", "y", "z"]
                cursor.scroll(0, "absolute")
                assert cursor.fetchone() == {"sku": "first"}
            with connection.cursor(name="held", withhold=True) as cursor:
                cursor.execute("SELECT sku FROM orders ORDER BY id")
                connection.commit()
                assert len(cursor.fetchall()) == 4

    check(database, arm_service(), body, ["x", "y", "z"])


def test_settings_of_the_connection_are_kept(database: Database, arm_service: Any) -> None:
    class Mine(psycopg.Cursor[Any]):
        pass

    def body(url: str) -> None:
        heard: list[str] = []
        with psycopg.connect(url, row_factory=dict_row, cursor_factory=Mine, prepare_threshold=0) as connection:
            connection.add_notice_handler(lambda notice: heard.append(notice.message_primary or ""))
            connection.adapters.register_loader("int8", psycopg.types.string.TextLoader)
            cursor = connection.execute(sql.SQL("SELECT count(*) AS n FROM {}").format(sql.Identifier("orders")))
            assert type(cursor) is Mine
            assert cursor.fetchone() == {"n": "1"}
            connection.execute(b"DO $$ BEGIN RAISE NOTICE 'hello'; END $$")
            assert heard == ["hello"]
            for _ in range(3):
                connection.execute("SELECT %s::int", [1], prepare=True)
                with psycopg.connect(url, prepare_threshold=0) as other:
                    other.execute("SELECT %s::text", ["a"], prepare=True)

    check(database, arm_service(), body, [])


def test_a_connection_from_before_the_bullet_is_left_idle(
    database: Database, arm_service: Any, telemetry: Telemetry
) -> None:
    armed = arm_service()
    with psycopg.connect(database.url) as connection:
        pid = connection.info.backend_pid
        with bullet(armed):
            connection.execute(INSERT)
            with connection.cursor() as cursor:
                assert cursor.execute("SELECT pg_backend_pid()").fetchone() != (pid,)
                assert cursor.connection.execute(COUNT).fetchone() == (2,)
                cursor.connection.commit()
            assert connection.info.transaction_status == psycopg.pq.TransactionStatus.IDLE
        assert count(connection) == 1
        connection.execute("INSERT INTO orders (sku) VALUES ('customer')")
        connection.commit()
    assert database.rows == ["first", "customer"]
    assert telemetry.decisions == [("rolled_back", "INSERT orders")]


def test_a_connection_from_inside_the_bullet_serves_customers_later(database: Database, arm_service: Any) -> None:
    with bullet(arm_service()):
        connection = psycopg.connect(database.url)
        connection.execute("SET application_name = 'mine'")
        connection.execute(INSERT)  # and never committed
        cursor = connection.cursor()
    database.assert_nothing_open()
    with pytest.raises(WriteRefused, match="its bullet is over"):
        cursor.execute("INSERT INTO orders (sku) VALUES ('lost')")
    with connection:
        assert connection.execute("SHOW application_name").fetchone() == ("mine",)
        connection.execute("INSERT INTO orders (sku) VALUES ('customer')")
    assert database.rows == ["first", "customer"]


def test_a_transaction_that_was_left_open_ends_with_the_linger(
    database: Database, arm_service: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended = threading.Event()
    end = Lane.end

    async def end_and_tell(lane: Lane) -> None:
        await end(lane)
        ended.set()

    monkeypatch.setattr(Lane, "end", end_and_tell)
    with bullet(arm_service(linger_s=0.01)), psycopg.connect(database.url) as connection:
        held = psycopg.connect(database.url)
        held.execute(INSERT)
        assert count(connection) == 2
    assert ended.wait(60)
    held.close()
    database.wait_for("SELECT 1 WHERE NOT EXISTS (SELECT 1 FROM pg_locks WHERE relation = 'orders'::regclass)")
    assert database.rows == ["first"]


def test_a_customers_transaction_is_not_joined(database: Database, arm_service: Any, telemetry: Telemetry) -> None:
    armed = arm_service()
    with psycopg.connect(database.url) as connection:
        cursor = connection.execute("INSERT INTO orders (sku) VALUES ('customer')")
        with bullet(armed):
            with pytest.raises(WriteRefused, match="begun outside the bullet"):
                connection.execute(INSERT)
            connection.rollback()
            with pytest.raises(WriteRefused, match="opened outside the bullet"):
                cursor.execute(INSERT)
    assert database.rows == ["first", "customer"]
    assert telemetry.decisions == [("denied", "INSERT orders")] * 2


@pytest.mark.parametrize(
    "way",
    [
        lambda c: c.tpc_begin(c.xid(1, "g", "b")),
        lambda c: c.tpc_commit("g"),
        lambda c: c.execute("PREPARE TRANSACTION 'x'"),
        lambda c: c.execute("VACUUM orders"),
        lambda c: c.execute(f"{INSERT}; COMMIT"),
        lambda c: c.cursor().copy("COPY orders TO '/dev/null'").__enter__(),
    ],
)
def test_what_a_rollback_would_not_undo_is_refused(
    way: Callable[[Any], Any], database: Database, arm_service: Any, telemetry: Telemetry
) -> None:
    with bullet(arm_service()), psycopg.connect(database.url) as connection, pytest.raises(WriteRefused):
        way(connection)
    assert [decision for decision, _ in telemetry.decisions] == ["denied"]
    assert database.rows == ["first"]
    database.assert_nothing_open()


def test_a_rule_that_allows_one_operation_inside_a_lane(
    database: Database, arm_service: Any, telemetry: Telemetry
) -> None:
    """It is committed at once, beside the lane; what is around it is rolled back."""
    with psycopg.connect(database.url, autocommit=True) as connection:
        connection.execute("CREATE TABLE log (line text)")
    rule = Rule(sink="sql", operation="* log", policy="allow")
    with bullet(arm_service(rules=(rule,))), psycopg.connect(database.url) as connection:
        connection.execute(INSERT)
        cursor = connection.execute("INSERT INTO log VALUES (%s) RETURNING line", ["one"])
        assert cursor.fetchone() == ("one",)
        cursor.executemany("INSERT INTO log VALUES (%s)", [["two"], ["three"]])
        assert cursor.rowcount == 2
        with pytest.raises(psycopg.errors.UndefinedColumn):
            connection.execute("INSERT INTO log (nothing) VALUES (1)")
        assert count(connection) == 2, "an error aside does not spoil the lane"
        with pytest.raises(WriteRefused, match="cannot be followed"), cursor.copy("COPY log FROM STDIN"):
            pass
        connection.rollback()
    assert database.ask("SELECT line FROM log") == ["one", "two", "three"]
    assert database.rows == ["first"]


def test_a_rule_that_rolls_back_where_the_policy_is_allow_is_refused(database: Database, arm_service: Any) -> None:
    rule = Rule(sink="sql", operation="DELETE *", policy="rollback")
    with bullet(arm_service(sql="allow", rules=(rule,))), psycopg.connect(database.url) as connection:
        connection.execute(INSERT)
        with pytest.raises(WriteRefused, match="has no lane"):
            connection.execute("DELETE FROM orders")
    assert database.rows == ["first", "x"]


def test_threads_of_one_bullet(database: Database, arm_service: Any) -> None:
    errors: list[BaseException] = []

    def place(sku: str) -> None:
        try:
            for i in range(5):
                with psycopg.connect(database.url) as connection:
                    connection.execute("INSERT INTO orders (sku) VALUES (%s)", [f"{sku}{i}"])
                with psycopg.connect(database.url) as connection:
                    rows = connection.execute("SELECT 1 FROM orders WHERE sku = %s", [f"{sku}{i}"]).fetchall()
                    assert len(rows) == 1
        except BaseException as error:  # noqa: BLE001  # told by the main thread
            errors.append(error)

    with bullet(arm_service()) as scope:
        threads = [threading.Thread(target=place, args=(name,)) for name in "abc"]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(lanes_of(scope, 0.0)._lanes) >= 1
    assert errors == []
    database.assert_nothing_open()
    assert database.rows == ["first"]


def test_a_lanes_backend_killed_in_the_middle(database: Database, arm_service: Any) -> None:
    armed = arm_service()
    with bullet(armed):
        with psycopg.connect(database.url) as connection:
            connection.execute(INSERT)
            found = connection.execute("SELECT pg_backend_pid()").fetchone()
            assert found is not None
            assert database.ask(f"SELECT pg_terminate_backend({found[0]}, 10000)") == [True]
            with pytest.raises(psycopg.OperationalError):
                connection.execute(COUNT)
            connection.rollback()
            assert count(connection) == 1
            connection.execute("INSERT INTO orders (sku) VALUES ('retry')")
        assert database.rows == ["first"]
    assert database.rows == ["first"]
    assert armed.problem == ""
    database.assert_nothing_open()


def test_background_work_within_the_linger_is_still_the_bullets(database: Database, arm_service: Any) -> None:
    with bullet(arm_service(linger_s=60.0)) as scope:
        pass
    with entered(scope), psycopg.connect(database.url) as connection:
        connection.execute(INSERT)
    database.assert_nothing_open()
    assert database.rows == ["first"]


def test_a_lane_can_be_held_for_the_bullets_next_request(database: Database, arm_service: Any) -> None:
    armed = arm_service(hold_s=60.0)
    with bullet(armed), psycopg.connect(database.url) as connection:
        connection.execute(INSERT)
    assert database.rows == ["first"]
    with bullet(armed), psycopg.connect(database.url) as connection:
        assert count(connection) == 2
    with bullet(arm_service()), psycopg.connect(database.url) as connection:
        assert count(connection) == 2, "taken from the one that held it"
    database.assert_nothing_open()


def test_evidence_says_which_database(database: Database, arm_service: Any, telemetry: Telemetry) -> None:
    with bullet(arm_service()), psycopg.connect(database.url) as connection:
        connection.execute(INSERT)
    (span,) = telemetry.having("tb.guard.decision")
    url = database.sqlalchemy_url()
    assert {k: v for k, v in (span.attributes or {}).items() if not k.startswith("tb.")} == {
        "db.system.name": "postgresql",
        "db.operation.name": "INSERT",
        "db.collection.name": "orders",
        "db.namespace": url.database,
        "server.address": "127.0.0.1",
        "server.port": url.port,
    }


@pytest.mark.parametrize("autocommit", [False, True])
def test_noop_sends_nothing_and_answers(
    autocommit: bool, database: Database, arm_service: Any, telemetry: Telemetry
) -> None:
    before = database.ask("SELECT last_value FROM orders_id_seq")
    with (
        bullet(arm_service(sql="noop")),
        psycopg.connect(database.url, autocommit=autocommit, row_factory=dict_row) as connection,
    ):
        cursor = connection.execute("INSERT INTO orders (sku) VALUES (%s) RETURNING id, sku AS name", ["x%s"])
        row = cursor.fetchone()
        assert row is not None
        assert row["id"] < 0
        assert row["name"] == "x%s"
        assert cursor.rowcount == 1
        found = connection.execute("SELECT sku FROM orders WHERE id = %s", [row["id"]]).fetchall()
        assert found == [{"sku": "x%s"}], "it finds what it believes it wrote"
        assert connection.execute("UPDATE orders SET sku = 'y' WHERE id > 0").rowcount == 1
        assert connection.execute("UPDATE orders SET sku = 'y' WHERE id > 0 RETURNING sku").fetchall() == [{"sku": "y"}]
        cursor.executemany("INSERT INTO orders (sku) VALUES (%s)", [["a"], ["b"]])
        assert cursor.rowcount == 2
        cursor.execute("DELETE FROM orders WHERE id < -1000")
        assert cursor.rowcount == 0
        with pytest.raises(psycopg.ProgrammingError, match="didn't produce"):
            cursor.fetchall()
        with connection.pipeline():
            assert connection.execute("INSERT INTO orders (sku) VALUES ('c') RETURNING sku").fetchone() == {"sku": "c"}
        with pytest.raises(WriteRefused, match="cannot follow"), cursor.copy("COPY orders (sku) FROM STDIN"):
            pass
        connection.commit()
    assert database.rows == ["first"]
    assert database.ask("SELECT last_value FROM orders_id_seq") == before
    assert [decision for decision, _ in telemetry.decisions] == ["suppressed"] * 6 + ["denied"]
    database.assert_nothing_open()


@pytest.mark.parametrize("policy", ["shadow", "rollback"])
def test_shadow_by_policy_and_by_rule(policy: str, database: Database, arm_service: Any, telemetry: Telemetry) -> None:
    """Reads of a table that a bullet writes to go to its shadow too."""
    with psycopg.connect(database.url) as connection:
        connection.execute("CREATE TABLE shadow_orders (LIKE orders INCLUDING ALL)")
        connection.execute("CREATE TABLE other (id int)")
    rules = (Rule(sink="sql", operation="* orders", policy="shadow"),) if policy == "rollback" else ()
    with bullet(arm_service(sql=policy, rules=rules)), psycopg.connect(database.url) as connection:
        connection.execute("INSERT INTO orders (id, sku) VALUES (%s, %s)", [7, "x"])
        assert connection.execute("SELECT sku FROM orders WHERE id = %s", [7]).fetchall() == [("x",)]
        connection.cursor().executemany("INSERT INTO orders (id, sku) VALUES (%s, %s)", [[8, "y"], [9, "z"]])
        if policy == "shadow":
            with pytest.raises(WriteRefused, match="no shadow table"):
                connection.execute("INSERT INTO other VALUES (1)")
        else:
            connection.execute("INSERT INTO other VALUES (1)")
            assert connection.execute("SELECT count(*) FROM other").fetchone() == (1,)
    assert database.rows == ["first"]
    assert database.ask("SELECT count(*) FROM other") == [0]
    assert database.ask("SELECT sku FROM shadow_orders ORDER BY id") == ["x", "y", "z"]
    assert [d for d, _ in telemetry.decisions][:2] == ["shadowed"] * 2


def test_sqlalchemys_connections_are_left_to_sqlalchemys_guard(database: Database, arm_service: Any) -> None:
    armed = arm_service()
    engine = sa.create_engine(database.sqlalchemy_url())
    with engine.connect() as connection:
        connection.execute(sa.text(INSERT))
        with bullet(armed):
            connection.commit()  # a customer's, that happens to be made here
        assert database.rows == ["first", "x"]
    engine.dispose()
