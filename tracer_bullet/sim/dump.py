"""All rows of a database, to compare before and after."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import create_async_engine

from tracer_bullet.sim.store import async_url

Dump = dict[str, list[tuple[Any, ...]]]


def dump_database(url: str) -> Dump:
    """Table → rows as tuples, sorted, of every table of a SQLite or PostgreSQL database.

    May be called anywhere, also where an event loop runs. Raises UsageError (TB703) and what
    SQLAlchemy raises when the database is away.
    """
    with ThreadPoolExecutor(max_workers=1) as thread:
        return thread.submit(asyncio.run, _dump(async_url(url))).result()


async def _dump(url: sa.URL) -> Dump:
    engine = create_async_engine(url, poolclass=sa.NullPool)
    try:
        async with engine.connect() as connection:
            return await connection.run_sync(_rows)
    finally:
        await engine.dispose()


def _rows(connection: sa.Connection) -> Dump:
    found = sa.MetaData()
    found.reflect(connection)
    return {
        name: sorted((tuple(row) for row in connection.execute(sa.select(table))), key=repr)
        for name, table in sorted(found.tables.items())
    }
