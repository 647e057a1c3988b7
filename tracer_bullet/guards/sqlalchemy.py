"""Guard for SQLAlchemy 2, sync and async, Core and ORM.

Three hooks: checking out a connection (bullets get their lane, see lanes.py, which judges raw
cursors too), executing a statement (classified, refused or run, with evidence), and setting
an isolation level (a bullet's lane stays in its transaction). On STANDARD requests each
costs one look at a context variable.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from opentelemetry import trace

from tracer_bullet.context.scope import Scope, live_scope
from tracer_bullet.guards.config import Policy, Sink
from tracer_bullet.guards.evidence import write_attributes
from tracer_bullet.guards.patching import Patch, unwrap, wrap
from tracer_bullet.guards.policy import SqlAction, WriteRefused, sql_action
from tracer_bullet.guards.registry import Armed, Guard
from tracer_bullet.guards.rulings import client_span, owner
from tracer_bullet.guards.statements import Statement, StatementKind, classify

_patches: list[Patch] = []


def _patch() -> None:
    from sqlalchemy import event  # noqa: PLC0415  # only where the service uses it
    from sqlalchemy.engine import Engine  # noqa: PLC0415
    from sqlalchemy.engine.characteristics import IsolationLevelCharacteristic  # noqa: PLC0415

    _patches.extend(
        [
            wrap(Engine, "raw_connection", _raw_connection),
            wrap(Engine, "dispose", _dispose),
            wrap(IsolationLevelCharacteristic, "set_connection_characteristic", _set_isolation),
        ]
    )
    for name, hook in _EXECUTE_HOOKS.items():
        event.listen(Engine, name, hook)


def _unpatch() -> None:
    from sqlalchemy import event  # noqa: PLC0415
    from sqlalchemy.engine import Engine  # noqa: PLC0415

    for name, hook in _EXECUTE_HOOKS.items():
        if event.contains(Engine, name, hook):
            event.remove(Engine, name, hook)
    while _patches:
        unwrap(_patches.pop())


GUARD = Guard(
    name="sqlalchemy", module="sqlalchemy", versions=">=2.0.40,<2.2", sink=Sink.SQL, patch=_patch, unpatch=_unpatch
)


def _policy(scope: Scope) -> Policy:
    return owner(scope).config.policy(Sink.SQL)


def _raw_connection(wrapped: Callable[..., Any], engine: Any, args: Any, kwargs: Any) -> Any:
    scope = live_scope()
    if scope is None or _policy(scope) is Policy.ALLOW:
        return wrapped(*args, **kwargs)
    from tracer_bullet.guards import lanes  # noqa: PLC0415  # imports SQLAlchemy

    if _policy(scope) is Policy.DENY and lanes.obstacle(engine):
        return wrapped(*args, **kwargs)  # its reads are safe anywhere

    def judge(connection: Any, sql: str, count: int, run: Callable[[], Any]) -> Any:
        return _judge(scope, _Execution(engine, connection, sql, count, run))

    return lanes.checkout(engine, scope, owner(scope).config.hold_s, judge)


def _dispose(wrapped: Callable[..., Any], engine: Any, args: Any, kwargs: Any) -> Any:
    from tracer_bullet.guards import lanes  # noqa: PLC0415

    lanes.dispose(engine)
    return wrapped(*args, **kwargs)


def _set_isolation(wrapped: Callable[..., Any], _instance: Any, args: Any, kwargs: Any) -> Any:
    """A change of level would commit (sqlite3) or fail (psycopg) inside the lane's transaction."""
    _dialect, connection, _driver, level = args
    lane = _lane_of(connection)
    if live_scope() is not None and lane is not None:
        lane.set_isolation(level)
        return None
    return wrapped(*args, **kwargs)


def _do_execute(cursor: Any, statement: str, parameters: Any, context: Any) -> bool | None:
    scope = live_scope()
    if scope is None:
        return None
    below, do = _below(cursor), context.dialect.do_execute
    return _run(scope, statement, context, 1, lambda: do(below, statement, parameters, context))


def _do_executemany(cursor: Any, statement: str, parameters: Any, context: Any) -> bool | None:
    scope = live_scope()
    if scope is None:
        return None
    below, do = _below(cursor), context.dialect.do_executemany
    return _run(scope, statement, context, len(parameters), lambda: do(below, statement, parameters, context))


def _do_execute_no_params(cursor: Any, statement: str, context: Any) -> bool | None:
    scope = live_scope()
    if scope is None:
        return None
    below, do = _below(cursor), context.dialect.do_execute_no_params
    return _run(scope, statement, context, 1, lambda: do(below, statement, context))


_EXECUTE_HOOKS: dict[str, Callable[..., bool | None]] = {
    "do_execute": _do_execute,
    "do_executemany": _do_executemany,
    "do_execute_no_params": _do_execute_no_params,
}


@dataclass(frozen=True, slots=True)
class _Execution:
    """One statement about to run: on which engine and lane (None: not on one), with how many parameter sets.

    `span` is the client span that an instrumentation made for it, if one did.
    """

    engine: Any
    lane: Any
    sql: str
    count: int
    run: Callable[[], Any]
    span: Any = None


def _run(scope: Scope, sql: str, context: Any, count: int, run: Callable[[], Any]) -> bool:
    """Judge and run a statement of SQLAlchemy's; always True: it must not run it again."""
    span = getattr(context, "_otel_span", None)
    _judge(scope, _Execution(context.engine, _lane_of(context.root_connection), sql, count, run, span))
    return True


def _judge(scope: Scope, execution: _Execution) -> Any:
    """Run a bullet's statement as its policy says; what running it gave, or None when it was not to run."""
    dialect, lane = execution.engine.dialect.name, execution.lane
    statement = classify(execution.sql, dialect)
    policy = _policy(scope)
    action = sql_action(statement, policy, dialect)
    if policy is Policy.ROLLBACK and lane is None and action.decision:
        action = SqlAction("denied", "its connection was opened outside the bullet")
    if lane is not None and not action.refuse and _steer(lane, statement, dialect):
        return None
    evidence = write_attributes(action.decision, statement.operation, execution.count) if action.decision else {}
    # Never the current span: it is some other call's, around this statement.
    about, theirs = _about(execution.engine, statement), execution.span or trace.INVALID_SPAN
    with client_span(scope, statement.operation, about, evidence, theirs=theirs):
        if action.refuse:
            raise WriteRefused(statement.operation, action.refuse)
        if lane is None:
            return execution.run()
        return _run_in_lane(owner(scope), execution, statement.operation if action.decision else "")


def _run_in_lane(armed: Armed, execution: _Execution, operation: str) -> Any:
    """Run a statement and see that its transaction is still there; `operation` is empty for a read."""
    lane = execution.lane
    try:
        found = execution.run()
    except BaseException:
        if lane.autocommits:
            lane.rollback()
        raise
    if operation:
        _check(armed, lane, operation)
    if lane.autocommits:
        lane.commit()
    return found


def _steer(lane: Any, statement: Statement, dialect: str) -> bool:
    """Keep the application's transaction control inside the lane; True when the statement is thereby done."""
    if statement.kind is StatementKind.BEGIN:
        lane.begin(explicit=True)
        return True
    if statement.kind is StatementKind.COMMIT:
        lane.commit()
        return True
    if statement.kind is StatementKind.ROLLBACK:
        lane.rollback()
        return True
    if statement.operation == "SET TRANSACTION":
        return True  # the lane's transaction has begun already, and keeps its level
    # An error in PostgreSQL spoils the transaction, so even reads need a savepoint to return to;
    # in SQLite a read that opens a transaction could not be upgraded to a write later.
    if statement.kind is not StatementKind.READ or dialect != "sqlite":
        lane.begin()
    return False


def _check(armed: Armed, lane: Any, operation: str) -> None:
    try:
        lane.begin().check(operation)
    except WriteRefused:
        armed.trip(f"{operation} escaped its rollback")
        raise


def _lane_of(connection: Any) -> Any:
    from tracer_bullet.guards.lane_connection import LaneConnection  # noqa: PLC0415

    proxied = getattr(connection, "_dbapi_connection", None)
    # isinstance() would look through the proxy at the connection below.
    return proxied if type(proxied) is LaneConnection else None


def _below(cursor: Any) -> Any:
    """The driver's cursor under a lane's, which would judge the statement again."""
    from tracer_bullet.guards.lane_connection import LaneCursor  # noqa: PLC0415

    return cursor.__wrapped__ if type(cursor) is LaneCursor else cursor


_SYSTEMS = {"mssql": "microsoft.sql_server"}


def _about(engine: Any, statement: Statement) -> dict[str, str | int]:
    """OpenTelemetry's database attributes, without statement text, which may hold values."""
    url = engine.url
    verb, _, table = statement.operation.partition(" ")
    system = engine.dialect.name
    found: dict[str, str | int | None] = {
        "db.system.name": _SYSTEMS.get(system, system),
        "db.operation.name": verb,
        "db.collection.name": table or None,
        "db.namespace": url.database,
        "server.address": url.host,
        "server.port": url.port,
    }
    return {k: v for k, v in found.items() if v is not None}
