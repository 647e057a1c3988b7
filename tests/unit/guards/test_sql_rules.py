"""Claim: each statement falls under its own rule, and what a rule lets through carries nothing else with it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Engine
from sqlalchemy.orm import Session

from tests.unit.guards.conftest import Telemetry
from tests.unit.guards.sql_stores import DRIVERS, Order, Store, new_store
from tracer_bullet.context.scope import Scope
from tracer_bullet.guards import Policy, Rule, WriteRefused
from tracer_bullet.guards.sql.rules import rule_sql
from tracer_bullet.guards.sql.statements import classify
from tracer_bullet.model import Context

TABLES = ("notes", "audit", "jobs", "shadow_jobs", "items")


@pytest.fixture(params=DRIVERS)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    with new_store(request, request.param, tmp_path) as found:
        for table in TABLES:
            found.run(f"CREATE TABLE {table} (text TEXT)")
        yield found


def rule(operation: str, policy: str, quota: int | None = None) -> Rule:
    return Rule(sink="sql", operation=operation, policy=policy, quota=quota)


def insert(table: str, text: str = "x") -> sa.TextClause:
    return sa.text(f"INSERT INTO {table} (text) VALUES ('{text}')")


def left(store: Store) -> dict[str, list[str]]:
    return {table: store.ask(f"SELECT text FROM {table} ORDER BY text") for table in TABLES}


MIXED = (
    rule("INSERT audit", "allow"),
    rule("INSERT notes", "noop"),
    rule("* jobs", "shadow"),
    rule("* items", "deny"),
)


@pytest.mark.parametrize("policy", ["rollback", "noop", "deny", "allow"])
def test_all_policies_in_one_transaction(policy: str, store: Store, arm_service: Any, telemetry: Telemetry) -> None:
    def body(engine: Engine) -> None:
        with engine.begin() as c:
            for table in ("audit", "notes", "jobs"):
                assert c.execute(insert(table)).rowcount == 1
            seen.update(
                {t: c.execute(sa.text(f"SELECT count(*) FROM {t}")).scalar() for t in ("audit", "notes", "jobs")}
            )
        with engine.connect() as c, pytest.raises(WriteRefused):
            c.execute(insert("items"))

    seen: dict[str, Any] = {}
    store.fire(arm_service(sql=policy, rules=MIXED), body)
    assert seen == {"audit": 1, "notes": 0, "jobs": 1}
    assert left(store) == {"audit": ["x"], "notes": [], "jobs": [], "shadow_jobs": ["x"], "items": []}
    assert telemetry.decisions == [
        ("allowed", "INSERT audit"), ("suppressed", "INSERT notes"), ("shadowed", "INSERT jobs"),
        ("denied", "INSERT items"),
    ]  # fmt: skip


def test_what_is_rolled_back_and_what_is_written_for_real(store: Store, arm_service: Any) -> None:
    """On PostgreSQL both go on beside each other; SQLite has one writer, and the second is told so."""

    def body(engine: Engine) -> None:
        with Session(engine) as session:
            session.execute(insert("audit"))
            if store.driver == "sqlite":
                session.commit()
            session.add(Order(sku="bullet"))
            session.commit()
            assert session.scalars(sa.select(Order.sku).order_by(Order.id)).all() == ["first", "bullet"]
            if store.driver == "sqlite":
                with pytest.raises(WriteRefused, match="one writer"):
                    session.execute(insert("audit", "y"))
                session.rollback()
                return
            session.execute(insert("audit", "y"))
            assert session.scalars(sa.text("SELECT text FROM audit ORDER BY text")).all() == ["x", "y"]
            session.commit()

    store.fire(arm_service(rules=MIXED), body)
    assert store.rows == ["first"]
    assert left(store)["audit"] == (["x"] if store.driver == "sqlite" else ["x", "y"])


def test_sqlite_does_not_wait_for_itself(store: Store, arm_service: Any) -> None:
    if store.driver != "sqlite":
        return

    def body(engine: Engine) -> None:
        with engine.connect() as c:
            c.execute(insert("audit"))
            with pytest.raises(WriteRefused, match="one writer"):
                c.execute(sa.text("DELETE FROM orders"))
            c.commit()

    store.fire(arm_service(rules=MIXED), body)
    assert (store.rows, left(store)["audit"]) == (["first"], ["x"])


def test_the_applications_rollback_undoes_what_was_allowed(store: Store, arm_service: Any) -> None:
    def body(engine: Engine) -> None:
        with engine.connect() as c:
            c.execute(insert("audit", "undone"))
            c.rollback()
            c.execute(insert("audit", "kept"))
            with pytest.raises(ZeroDivisionError), c.begin_nested():  # noqa: PT012
                c.execute(insert("audit", "nested"))
                raise ZeroDivisionError
            c.commit()
            c.execute(insert("audit", "lost"))

    store.fire(arm_service(rules=MIXED), body)
    assert left(store)["audit"] == ["kept"]


def test_autocommit(store: Store, arm_service: Any) -> None:
    def body(engine: Engine) -> None:
        with engine.connect() as c:
            c.execute(insert("audit"))
            c.execute(insert("jobs"))

    store.fire(arm_service(rules=MIXED), body, isolation_level="AUTOCOMMIT")
    assert (left(store)["audit"], left(store)["shadow_jobs"]) == (["x"], ["x"])


def test_raw_cursors_follow_the_rules(store: Store, arm_service: Any, telemetry: Telemetry) -> None:
    def body(engine: Engine) -> None:
        raw = engine.raw_connection()
        cursor = raw.cursor()
        for table in ("audit", "notes", "jobs"):
            cursor.execute(f"INSERT INTO {table} (text) VALUES ('x')")
        with pytest.raises(WriteRefused):
            cursor.execute("DELETE FROM items")
        cursor.execute("SELECT text FROM jobs")
        assert [tuple(row) for row in cursor.fetchall()] == [("x",)]
        cursor.close()
        raw.commit()
        raw.close()

    store.fire(arm_service(rules=MIXED), body)
    assert left(store) == {"audit": ["x"], "notes": [], "jobs": [], "shadow_jobs": ["x"], "items": []}
    assert [d for d, _ in telemetry.decisions] == ["allowed", "suppressed", "shadowed", "denied"]


def test_a_quota_counts_each_row(store: Store, arm_service: Any) -> None:
    def body(engine: Engine) -> None:
        with engine.begin() as c:
            c.execute(sa.text("INSERT INTO audit (text) VALUES (:text)"), [{"text": "a"}, {"text": "b"}])
        with engine.connect() as c:
            with pytest.raises(WriteRefused, match="quota of 3"):
                c.execute(sa.text("INSERT INTO audit (text) VALUES (:text)"), [{"text": "c"}, {"text": "d"}])
            c.execute(insert("audit", "c"))
            c.commit()

    # A run's quota is the process's, and each of these is another rule.
    operation = {"sqlite": "INSERT audit", "psycopg": "INSERT ?udit", "asyncpg": "INSERT a?dit"}[store.driver]
    armed = arm_service(rules=(rule(operation, "allow", quota=3),))
    store.fire(armed, body)
    assert left(store)["audit"] == ["a", "b", "c"]


ALLOW = (rule("INSERT orders", "allow"), rule("SELECT nextval", "deny"))


@pytest.mark.parametrize(
    ("sql", "decision"),
    [
        ("INSERT INTO orders VALUES (1)", "allowed"),
        ("INSERT INTO public.orders VALUES (1)", "allowed"),
        ("INSERT INTO billing.orders VALUES (1)", "rolled_back"),
        ("WITH d AS (DELETE FROM items RETURNING *) INSERT INTO orders SELECT * FROM d", "denied"),
        ("INSERT INTO orders VALUES (1); DELETE FROM items", "denied"),
        ("INSERT INTO orders VALUES (1); COMMIT", "denied"),
        ("EXPLAIN ANALYZE INSERT INTO orders VALUES (1)", "rolled_back"),
        ("SELECT nextval('x')", "denied"),
        ("SELECT nextval('x'), settle(1)", "denied"),
        ("SELECT 1", ""),
        ("BEGIN", ""),
    ],
)
def test_a_rule_covers_what_it_names_and_nothing_else(sql: str, decision: str, arm_service: Any) -> None:
    scope = Scope(Context(run_id="r", token="t"), arm_service(rules=ALLOW))
    assert rule_sql(scope, classify(sql, "postgresql"), "postgresql").decision == decision


def test_parts_under_one_policy_pass_together(arm_service: Any) -> None:
    rules = (rule("INSERT *", "allow"), rule("DELETE items", "allow"))
    scope = Scope(Context(run_id="r", token="t"), arm_service(rules=rules))
    sql = "WITH d AS (DELETE FROM items RETURNING *) INSERT INTO orders SELECT * FROM d"
    assert rule_sql(scope, classify(sql, "postgresql"), "postgresql").policy is Policy.ALLOW
