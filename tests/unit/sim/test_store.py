"""A service's database, on SQLite and on PostgreSQL."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

import asyncpg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracer_bullet.errors import UnreachableError, UsageError
from tracer_bullet.sim import dump_database
from tracer_bullet.sim.store import ConflictError, InvalidValueError, Store, async_url, plain_url
from tracer_bullet.workspace.topology import Table

T = TypeVar("T")
TABLES = {
    "orders": Table.model_validate({"columns": {"total": "integer", "paid": "boolean"}}),
    "lines": Table.model_validate(
        {"columns": {"order_id": {"type": "integer", "references": "orders"}, "sku": "text", "price": "real"}}
    ),
    "stock": Table.model_validate(
        {"key": "sku", "columns": {"sku": "text", "n": "integer"}, "rows": [{"sku": "b", "n": 5}, {"sku": "a", "n": 7}]}
    ),
}


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'test.db'}"
    server: str = request.getfixturevalue("postgres")
    name = f"t{uuid.uuid4().hex}"

    async def create() -> None:
        connection = await asyncpg.connect(server)
        await connection.execute(f"CREATE DATABASE {name}")
        await connection.close()

    asyncio.run(create())
    return server.replace("/postgres?", f"/{name}?")


def using(url: str, work: Callable[[Store], Awaitable[T]], *, pooled: bool = True) -> T:
    async def run() -> T:
        store = Store(url, TABLES, pooled=pooled)
        try:
            await store.open()
            return await work(store)
        finally:
            await store.close()

    return asyncio.run(run())


def test_tables_are_made_with_their_rows_once(url: str) -> None:
    async def sell(store: Store) -> None:
        async with store.writing() as writing:
            await writing.update("stock", {"sku": "a"}, {}, {"n": -2})

    using(url, sell)
    using(url, sell)
    assert dump_database(url) == {"lines": [], "orders": [], "stock": [("a", 3), ("b", 5)]}


@pytest.mark.parametrize("pooled", [True, False])
def test_rows_are_written_together_and_read_again(url: str, pooled: bool) -> None:
    async def work(store: Store) -> Any:
        async with store.writing() as writing:
            order = await writing.insert("orders", {"total": "12", "paid": False})
            line = await writing.insert("lines", {"order_id": order["id"], "sku": "a", "price": 1})
        return order, line, await store.read("orders", {"id": str(order["id"])}), await store.read("stock", {})

    order, line, found, stock = using(url, work, pooled=pooled)
    assert order == {"id": 1, "total": 12, "paid": False}
    assert line == {"id": 1, "order_id": 1, "sku": "a", "price": 1.0}
    assert found == [order]
    assert [row["sku"] for row in stock] == ["a", "b"]


def test_a_unit_of_work_is_all_or_nothing(url: str) -> None:
    async def work(store: Store) -> None:
        async with store.writing() as writing:
            await writing.insert("orders", {"total": 1, "paid": True})
            await writing.insert("lines", {"order_id": 99, "sku": "a", "price": 1})

    with pytest.raises(ConflictError):
        using(url, work)
    assert dump_database(url)["orders"] == []


def test_rows_are_changed_and_removed(url: str) -> None:
    async def work(store: Store) -> None:
        async with store.writing() as writing:
            await writing.update("stock", {"sku": "a"}, {"n": 1}, {})
            await writing.delete("stock", {"sku": "b"})

    using(url, work)
    assert dump_database(url)["stock"] == [("a", 1)]


def test_a_key_that_is_there_is_a_conflict(url: str) -> None:
    async def work(store: Store) -> None:
        async with store.writing() as writing:
            await writing.insert("stock", {"sku": "a", "n": 1})

    with pytest.raises(ConflictError):
        using(url, work)


BAD = [("orders", "total", v) for v in ("x", None, 1.5, True, [], 2**63, "1" * 30)]
BAD += [("lines", "sku", {}), ("lines", "price", "x"), ("lines", "price", None), ("orders", "paid", "maybe")]


@pytest.mark.parametrize(("table", "column", "value"), BAD)
def test_values_that_do_not_fit_are_refused(table: str, column: str, value: Any) -> None:
    with pytest.raises(InvalidValueError, match=f"{table}.{column}"):
        Store("sqlite://", TABLES).values(table, {column: value})


@given(value=st.integers(-(2**63), 2**63 - 1), as_text=st.booleans())
def test_integers_fit(value: int, as_text: bool) -> None:
    fitted = Store("sqlite://", TABLES).values("orders", {"total": str(value) if as_text else value})
    assert fitted == {"total": value}


def test_a_file_has_the_same_name_in_spans_whatever_folder_it_is_in(tmp_path: Path) -> None:
    for folder in (tmp_path / "a", tmp_path / "b"):
        folder.mkdir()

        async def names(store: Store) -> str | None:
            async with store.engine.connect():
                return store.engine.url.database

        assert using(f"sqlite:///{folder / 'test.db'}", names) == "test.db"
        assert dump_database(f"sqlite:///{folder / 'test.db'}")["stock"]


def test_urls() -> None:
    assert str(async_url("postgresql+psycopg://u@h/d")) == "postgresql+asyncpg://u@h/d"
    assert plain_url("sqlite+aiosqlite:////x/y.db") == "sqlite:////x/y.db"
    assert plain_url("postgresql+asyncpg://u:secret@h/d") == "postgresql://u:secret@h/d"
    for bad in ("mysql://h/d", "nonsense", ""):
        with pytest.raises(UsageError) as caught:
            async_url(bad)
        assert caught.value.code == "TB703"


def test_a_database_that_is_away(tmp_path: Path) -> None:
    with pytest.raises(UnreachableError) as caught:
        using(f"sqlite:///{tmp_path / 'no' / 'such' / 'folder.db'}", lambda store: store.read("stock", {}))
    assert caught.value.code == "TB704"
    (tmp_path / "text.db").write_text("this is no database, but it is long enough to be looked at" * 20)
    with pytest.raises(UnreachableError, match=r"text\.db"):
        using(f"sqlite:///{tmp_path / 'text.db'}", lambda store: store.read("stock", {}))
    with pytest.raises(UnreachableError) as caught:
        using("postgresql://u:secret@127.0.0.1:1/d", lambda store: store.read("stock", {}))
    assert caught.value.code == "TB704"
    assert "secret" not in str(caught.value)
