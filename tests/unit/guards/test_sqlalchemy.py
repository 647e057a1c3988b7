"""Claim: inside a bullet SQL runs, reads what it wrote, and leaves nothing; customers' SQL is untouched."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
import sqlalchemy as sa
from opentelemetry.instrumentation.sqlalchemy import SQLAlchemyInstrumentor
from sqlalchemy.engine import Engine
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column
from sqlalchemy.pool import NullPool

from tests.unit.guards.conftest import Telemetry
from tracer_bullet.context.scope import Scope, entered
from tracer_bullet.guards import Armed, WriteRefused
from tracer_bullet.model import Context


class Base(DeclarativeBase):
    pass


class Order(Base):
    __tablename__ = "orders"
    id: Mapped[int] = mapped_column(primary_key=True)
    sku: Mapped[str] = mapped_column(unique=True)


@pytest.fixture
def url(tmp_path: Path) -> str:
    path = f"sqlite:///{tmp_path}/orders.db"
    engine = sa.create_engine(path)
    Base.metadata.create_all(engine)
    with Session(engine) as session:
        session.add(Order(sku="first"))
        session.commit()
    engine.dispose()
    return path


@pytest.fixture
def engine(url: str) -> Iterator[Engine]:
    engine = sa.create_engine(url)
    yield engine
    engine.dispose()


def rows(url: str) -> list[str]:
    """What a stranger to all guards reads from the file."""
    import sqlite3

    with entered(None):
        connection = sqlite3.connect(url.removeprefix("sqlite:///"))
        try:
            return [sku for (sku,) in connection.execute("SELECT sku FROM orders ORDER BY id")]
        finally:
            connection.close()


@contextmanager
def bullet(armed: Armed, trace_id: str = "a" * 32) -> Iterator[Scope]:
    """The scope of a bullet's request, ended as the inbound guards end it."""
    scope = Scope(Context(run_id="run-1", token="t"), armed, linger_s=armed.config.linger_s, trace_id=trace_id)
    try:
        with entered(scope):
            yield scope
    finally:
        for closer in scope.end():
            closer.close()


def test_a_bullet_writes_reads_it_and_leaves_nothing(
    engine: Engine, url: str, arm_service, telemetry: Telemetry
) -> None:
    armed = arm_service()
    with bullet(armed):
        with Session(engine) as session:
            order = Order(sku="bullet")
            session.add(order)
            session.commit()
            session.refresh(order)
            assert order.id == 2
        with Session(engine) as session:  # another session, after the commit
            assert session.scalars(sa.select(Order.sku).order_by(Order.id)).all() == ["first", "bullet"]
        assert rows(url) == ["first"], "nobody else sees it meanwhile"
    assert rows(url) == ["first"]
    assert telemetry.decisions == [("rolled_back", "INSERT orders")]
    with Session(engine) as session:
        session.add(Order(sku="customer"))
        session.commit()
    assert rows(url) == ["first", "customer"]
    assert len(telemetry.decisions) == 1


def test_the_control_without_guards_the_same_code_writes(engine: Engine, url: str) -> None:
    with Session(engine) as session:
        session.add(Order(sku="bullet"))
        session.commit()
    assert rows(url) == ["first", "bullet"]


@pytest.mark.parametrize("way", ["core", "begin", "text", "executemany", "bulk", "driver_sql", "raw", "raw_commit_sql"])
def test_every_way_to_write(way: str, engine: Engine, url: str, arm_service, telemetry: Telemetry) -> None:
    table = Order.__table__
    with bullet(arm_service()):
        if way == "core":
            with engine.connect() as c:
                c.execute(sa.insert(table).values(sku="x"))
                c.commit()
        elif way == "begin":
            with engine.begin() as c:
                c.execute(sa.insert(table).values(sku="x"))
        elif way == "text":
            with engine.begin() as c:
                c.execute(sa.text("WITH a AS (SELECT 'x' AS s) INSERT INTO orders (sku) SELECT s FROM a"))
        elif way == "executemany":
            with engine.begin() as c:
                c.execute(sa.insert(table), [{"sku": f"x{i}"} for i in range(3)])
        elif way == "bulk":
            with Session(engine) as session:
                session.bulk_insert_mappings(Order, [{"sku": f"x{i}"} for i in range(3)])
                session.commit()
        elif way == "driver_sql":
            with engine.connect() as c:
                c.exec_driver_sql("BEGIN")
                c.exec_driver_sql("INSERT INTO orders (sku) VALUES ('x')")
                c.exec_driver_sql("COMMIT")
        else:
            raw = engine.raw_connection()
            cursor = raw.cursor()
            cursor.execute("INSERT INTO orders (sku) VALUES ('x')")
            raw.commit()
            raw.close()
    assert rows(url) == ["first"]
    counts = [s.attributes.get("tb.guard.count", 1) for s in telemetry.having("tb.guard.decision", "rolled_back")]
    assert sum(counts) == (3 if way in ("executemany", "bulk") else 1)


def test_a_failed_write_undoes_only_its_own_transaction(engine: Engine, url: str, arm_service) -> None:
    with bullet(arm_service()):
        with Session(engine) as session:
            session.add(Order(sku="one"))
            session.commit()
            session.add(Order(sku="first"))  # the unique constraint is exercised for real
            with pytest.raises(sa.exc.IntegrityError):
                session.commit()
            session.rollback()
            session.add(Order(sku="two"))
            session.flush()
            session.rollback()
            with session.begin_nested():
                session.add(Order(sku="three"))
            session.commit()
        with Session(engine) as session:
            assert session.scalars(sa.select(Order.sku).order_by(Order.id)).all() == ["first", "one", "three"]
    assert rows(url) == ["first"]


def test_nested_sessions_see_one_another(engine: Engine, url: str, arm_service) -> None:
    with bullet(arm_service()), Session(engine) as outer:
        outer.add(Order(sku="outer"))
        outer.flush()
        with Session(engine) as inner:
            inner.add(Order(sku="inner"))
            inner.commit()
        outer.commit()
        assert len(outer.scalars(sa.select(Order)).all()) == 3
    assert rows(url) == ["first"]


@pytest.mark.parametrize("where", ["engine", "execution_options", "connection"])
def test_autocommit_does_not_escape(where: str, url: str, arm_service, telemetry: Telemetry) -> None:
    """sqlite3 would even commit what is pending when its isolation level is set to None."""
    base = sa.create_engine(url, **({"isolation_level": "AUTOCOMMIT"} if where == "engine" else {}))
    engine = base.execution_options(isolation_level="AUTOCOMMIT") if where == "execution_options" else base
    with bullet(arm_service()), engine.connect() as c:
        c.execute(sa.text("INSERT INTO orders (sku) VALUES ('x')"))
        c.commit()
        if where == "connection":
            c.execution_options(isolation_level="AUTOCOMMIT")
        c.execute(sa.text("INSERT INTO orders (sku) VALUES ('y')"))
        with engine.connect() as other:
            assert other.execute(sa.text("SELECT count(*) FROM orders")).scalar() == 3, "committed at once"
    base.dispose()
    assert rows(url) == ["first"]
    assert [d for d, _ in telemetry.decisions] == ["rolled_back", "rolled_back"]


@pytest.mark.parametrize(
    "sql", ["VACUUM", "PRAGMA journal_mode = DELETE", "SELECT 1; COMMIT", "DELETE FROM orders; COMMIT"]
)
def test_what_a_rollback_would_not_undo_is_refused(
    sql: str, engine: Engine, url: str, arm_service, telemetry: Telemetry
) -> None:
    with bullet(arm_service()), engine.connect() as c, pytest.raises(WriteRefused, match="would not undo"):
        c.exec_driver_sql(sql)
    assert rows(url) == ["first"]
    assert [d for d, _ in telemetry.decisions] == ["denied"]


def test_ddl_is_rolled_back_where_it_can_be(engine: Engine, url: str, arm_service) -> None:
    with bullet(arm_service()), engine.begin() as c:
        c.exec_driver_sql("DROP TABLE orders")
    assert rows(url) == ["first"]


@pytest.mark.parametrize(("policy", "left"), [("deny", ["first"]), ("allow", ["first", "x"])])
def test_the_other_policies(
    policy: str, left: list[str], engine: Engine, url: str, arm_service, telemetry: Telemetry
) -> None:
    with bullet(arm_service(sql=policy)), engine.connect() as c:
        assert c.execute(sa.text("SELECT count(*) FROM orders")).scalar() == 1
        try:
            c.execute(sa.text("INSERT INTO orders (sku) VALUES ('x')"))
            c.commit()
        except WriteRefused:
            assert policy == "deny"
    assert rows(url) == left
    assert telemetry.decisions == [("denied" if policy == "deny" else "allowed", "INSERT orders")]


@pytest.mark.parametrize("policy", ["deny", "rollback"])
@pytest.mark.parametrize("end", ["COMMIT", "END TRANSACTION"])
def test_raw_cursors_are_judged(
    end: str, policy: str, engine: Engine, url: str, arm_service, telemetry: Telemetry
) -> None:
    with bullet(arm_service(sql=policy)):
        raw = engine.raw_connection()
        cursor = raw.cursor()
        try:
            cursor.execute("INSERT INTO orders (sku) VALUES (?)", ["x"])
            cursor.execute(end)
        except WriteRefused:
            assert policy == "deny"
        with pytest.raises(WriteRefused):
            cursor.executescript("INSERT INTO orders (sku) VALUES ('y')")
        assert raw.cursor().execute("SELECT count(*) FROM orders").fetchone() == (1 if policy == "deny" else 2,)
        raw.close()
    assert rows(url) == ["first"]
    assert telemetry.decisions == [("denied" if policy == "deny" else "rolled_back", "INSERT orders")]


def test_a_connection_from_outside_the_bullet_is_refused(engine: Engine, url: str, arm_service) -> None:
    """It may be in the middle of a customer's transaction."""
    armed = arm_service()
    with engine.connect() as c:
        c.execute(sa.text("INSERT INTO orders (sku) VALUES ('customer')"))
        with bullet(armed), pytest.raises(WriteRefused, match="outside the bullet"):
            c.execute(sa.text("INSERT INTO orders (sku) VALUES ('bullet')"))
        c.commit()
    assert rows(url) == ["first", "customer"]


def test_a_connection_kept_past_the_bullet_is_refused_loudly(engine: Engine, url: str, arm_service) -> None:
    """A customer's write on it would be lost in silence."""
    with bullet(arm_service()):
        session = Session(engine)
        session.add(Order(sku="bullet"))
        session.flush()
    with pytest.raises(sa.exc.StatementError, match="its bullet is over"):
        session.execute(sa.text("INSERT INTO orders (sku) VALUES ('customer')"))
    session.close()
    assert rows(url) == ["first"]


def test_a_pool_thread_inside_the_bullet_is_rolled_back(
    engine: Engine, url: str, arm_service, telemetry: Telemetry
) -> None:
    def write() -> None:
        with Session(engine) as session:
            session.add(Order(sku="pool"))
            session.commit()

    armed = arm_service()
    with ThreadPoolExecutor(max_workers=1) as pool:
        with bullet(armed):
            pool.submit(write).result()
        assert rows(url) == ["first"]
        pool.submit(write).result()
    assert rows(url) == ["first", "pool"]
    assert telemetry.decisions == [("rolled_back", "INSERT orders")]


def test_a_worker_started_inside_a_bullet_later_writes_a_customers_row(engine: Engine, url: str, arm_service) -> None:
    """Both kinds of lazy worker: an asyncio task copies the context, a thread gets it from the bridge."""

    def write(sku: str) -> None:
        with Session(engine) as session:
            session.add(Order(sku=sku))
            session.commit()

    async def main() -> None:
        queue: asyncio.Queue[str] = asyncio.Queue()
        go = threading.Event()

        async def work() -> None:
            while True:
                write(await queue.get())
                queue.task_done()

        def thread() -> None:
            go.wait()
            write("from thread")

        with bullet(armed):
            worker = asyncio.create_task(work())
            lazy = threading.Thread(target=thread)
            lazy.start()
            await asyncio.sleep(0)
        queue.put_nowait("from task")
        await queue.join()
        go.set()
        await asyncio.to_thread(lazy.join)
        worker.cancel()

    armed = arm_service(linger_s=0.0)
    asyncio.run(main())
    assert rows(url) == ["first", "from task", "from thread"]


def test_background_work_within_the_linger_is_still_the_bullets(engine: Engine, url: str, arm_service) -> None:
    with bullet(arm_service(linger_s=60.0)) as scope:
        pass
    with entered(scope), Session(engine) as session:
        session.add(Order(sku="late"))
        session.commit()
    assert rows(url) == ["first"]


def test_a_lane_can_be_held_for_the_bullets_next_request(engine: Engine, url: str, arm_service) -> None:
    armed = arm_service(hold_s=60.0)
    with bullet(armed), Session(engine) as session:
        session.add(Order(sku="step one"))
        session.commit()
    assert rows(url) == ["first"]
    with bullet(armed), Session(engine) as session:
        assert session.scalars(sa.select(Order.sku).order_by(Order.id)).all() == ["first", "step one"]
    with bullet(arm_service(), trace_id="b" * 32), Session(engine) as session:
        assert session.scalars(sa.select(Order.sku)).all() == ["first"], "another bullet does not see it"


def test_a_held_lane_ends_by_itself(engine: Engine, url: str, arm_service, monkeypatch) -> None:
    from tracer_bullet.guards.sql.lanes import Lane

    ended = threading.Event()
    rollback = Lane.rollback
    monkeypatch.setattr(Lane, "rollback", lambda lane: (rollback(lane), ended.set()))
    with bullet(arm_service(hold_s=0.01)), Session(engine) as session:
        session.add(Order(sku="held"))
        session.commit()
    assert ended.wait(30)
    with Session(engine) as session:  # SQLite's write lock is free again
        session.add(Order(sku="customer"))
        session.commit()
    assert rows(url) == ["first", "customer"]


def test_bullets_do_not_take_customers_connections(url: str, arm_service) -> None:
    engine = sa.create_engine(url, pool_size=1, max_overflow=0, pool_timeout=0.1)
    with bullet(arm_service()), Session(engine) as session:
        session.execute(sa.select(Order))
        with entered(None), engine.connect() as customer:  # the only connection of the pool is free
            assert customer.execute(sa.select(Order.sku)).scalar() == "first"
    engine.dispose()


def test_databases_that_customers_and_bullets_would_share_are_refused(arm_service) -> None:
    engine = sa.create_engine("sqlite://")
    with bullet(arm_service()), pytest.raises(WriteRefused, match="shares one connection"):
        engine.connect()
    engine.dispose()


def test_async_engines(url: str, arm_service, telemetry: Telemetry) -> None:
    async def main() -> None:
        engine = create_async_engine(url.replace("sqlite:", "sqlite+aiosqlite:"))
        sessions = async_sessionmaker(engine)
        armed = arm_service()
        scope = Scope(Context(run_id="r", token="t"), armed, trace_id="a" * 32)
        with entered(scope):
            async with sessions() as session:
                order = Order(sku="bullet")
                session.add(order)
                await session.commit()
                await session.refresh(order)
            async with sessions() as session:
                assert len((await session.scalars(sa.select(Order))).all()) == 2
        for closer in scope.end():
            await closer.aclose()
        assert rows(url) == ["first"]
        async with sessions() as session:
            session.add(Order(sku="customer"))
            await session.commit()
        await engine.dispose()

    asyncio.run(main())
    assert rows(url) == ["first", "customer"]
    assert telemetry.decisions == [("rolled_back", "INSERT orders")]


@pytest.mark.parametrize("guard_first", [True, False])
def test_opentelemetrys_span_is_marked_whichever_came_first(
    guard_first: bool, url: str, arm_service, telemetry: Telemetry
) -> None:
    armed = arm_service() if guard_first else None
    engine = sa.create_engine(url, poolclass=NullPool)
    instrumentor = SQLAlchemyInstrumentor()
    instrumentor.instrument(engine=engine, tracer_provider=telemetry.provider)
    try:
        with bullet(armed or arm_service()), engine.begin() as c:
            c.execute(sa.insert(Order.__table__).values(sku="x"))
    finally:
        instrumentor.uninstrument()
    (span,) = telemetry.having("tb.guard.decision")
    assert span.instrumentation_scope.name == "opentelemetry.instrumentation.sqlalchemy"
    assert rows(url) == ["first"]


def test_disarming_gives_back_the_originals(arm_service) -> None:
    names = ("raw_connection", "dispose")
    before = [id(vars(Engine)[n]) for n in names]  # a wrapper is equal to what it wraps
    armed = arm_service()
    assert not {id(vars(Engine)[n]) for n in names} & set(before)
    armed.disarm()
    assert [id(vars(Engine)[n]) for n in names] == before


def test_evidence_joins_the_callers_trace_where_no_instrumentation_makes_a_server_span(
    engine: Engine, arm_service, flag_headers, telemetry: Telemetry
) -> None:
    import httpx
    from starlette.applications import Starlette
    from starlette.responses import JSONResponse
    from starlette.routing import Route

    from tracer_bullet.guards.asgi import GuardMiddleware

    def place(request: object) -> JSONResponse:
        with Session(engine) as session:
            session.add(Order(sku="bullet"))
            session.commit()
        return JSONResponse({})

    app = GuardMiddleware(Starlette(routes=[Route("/", place, methods=["POST"])]), arm_service())

    async def main() -> None:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app)) as client:  # type: ignore[arg-type]
            assert (await client.post("http://cart/", headers=flag_headers("d" * 32))).status_code == 200

    asyncio.run(main())
    assert {f"{s.context.trace_id:032x}" for s in telemetry.spans} == {"d" * 32}
    assert telemetry.decisions == [("rolled_back", "INSERT orders")]
