"""What the portable SQL becomes in each dialect, as golden files; a change of them is to be looked at.

After a change: `TRACER_BULLET_UPDATE_GOLDEN=1 python -m pytest tests/unit/graph/engines/test_portable_sql.py`.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.unit.graph.engines.statements import statements
from tracer_bullet.graph.engines.clickhouse import views_over
from tracer_bullet.graph.engines.portable import to_clickhouse, to_spark

GOLDEN = Path(__file__).parent / "golden"
UPDATE = os.environ.get("TRACER_BULLET_UPDATE_GOLDEN", "") not in ("", "0")
DIALECTS: dict[str, Callable[[str], str]] = {
    # Short stand-ins for the views: what they are has tests of its own.
    "clickhouse": lambda query: to_clickhouse(
        query, tuple((name, f"VIEW {name}") for name, _ in views_over("t", 1, 2))
    ),
    "spark": to_spark,
}


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("name", statements())
def test_the_sql_in_a_dialect(dialect: str, name: str) -> None:
    found = DIALECTS[dialect](statements()[name]).replace(" FROM ", "\nFROM ").replace(" JOIN ", "\nJOIN ") + "\n"
    path = GOLDEN / dialect / f"{name}.sql"
    if UPDATE:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(found, encoding="utf-8")
    assert path.exists(), f"no golden file for {name}: see the head of this file"
    assert found == path.read_text(encoding="utf-8")


def test_no_golden_file_is_left_over() -> None:
    known = set(statements())
    for dialect in DIALECTS:
        files = {path.stem: path for path in (GOLDEN / dialect).glob("*.sql")}
        for name in sorted(set(files) - known):
            if UPDATE:
                files.pop(name).unlink()
        assert set(files) == known


def test_a_view_is_put_in_wherever_it_is_named() -> None:
    views = (("source", "SELECT 1 AS x"), ("source_link", "SELECT 2 AS y"))
    query = "SELECT a.x FROM source AS a JOIN source_link ON a.x = source_link.y WHERE a.x IN (SELECT x FROM source)"
    assert to_clickhouse(query, views) == (
        "SELECT a.x AS x FROM (SELECT 1 AS x) AS a JOIN (SELECT 2 AS y) AS source_link ON a.x = source_link.y "
        "WHERE a.x IN (SELECT x FROM (SELECT 1 AS x) AS source)"
    )


def test_an_empty_frame_is_null_in_clickhouse() -> None:
    before = "ORDER BY t ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING"
    query = f"SELECT max(t) OVER ({before}) AS m, lag(t) OVER (ORDER BY t) AS l FROM x"
    found = to_clickhouse(query, ())
    assert "MAX(toNullable(t)) OVER" in found
    assert "(toNullable(t)) OVER (ORDER BY t" in found.partition(" AS m")[2]


def test_spark_numbers_rows_in_an_order() -> None:
    assert "ROW_NUMBER() OVER (ORDER BY 1" in to_spark("SELECT row_number() OVER () AS n FROM x")
