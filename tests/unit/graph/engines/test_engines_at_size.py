"""Equal answers to every query at a size: of ClickHouse, and of Spark, where each query takes a second or two.

CI takes fewer spans and queries. The whole claim, every query on a million spans in ClickHouse and on 20,000 in Spark:

    TRACER_BULLET_ENGINE_SPANS=1000000 pytest tests/unit/graph/engines/test_engines_at_size.py
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from benchmarks.span_data import write_span_table
from tests.servers.clickhouse import ChdbClient, export
from tests.servers.spark import run_analyses
from tests.unit.graph.engines.analyses import ANALYSES
from tests.unit.graph.engines.mirror import MirrorEngine
from tracer_bullet.graph.engines import DuckEngine
from tracer_bullet.graph.engines.clickhouse import ClickHouseEngine

ASKED = os.environ.get("TRACER_BULLET_ENGINE_SPANS", "")
SPANS = int(ASKED or 100_000)
SPARK_SPANS = 20_000 if ASKED else 2_000


@pytest.fixture(scope="module")
def spans(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("spans") / "spans.parquet"
    write_span_table(path, SPANS)
    return path


@pytest.mark.slow
def test_clickhouse_answers_as_duckdb(spans: Path, tmp_path: Path) -> None:
    pytest.importorskip("chdb", reason="chDB is not installed")
    name = export(spans, tmp_path)
    for analysis in ANALYSES.values():
        with DuckEngine(spans) as duck, ClickHouseEngine(ChdbClient(), name) as clickhouse:
            both = MirrorEngine(duck, clickhouse)
            analysis(both)
            assert both.queries
    ChdbClient().run(f"DROP TABLE {name}")


@pytest.mark.slow
def test_spark_answers_as_duckdb(tmp_path: Path) -> None:
    spans = tmp_path / "spans.parquet"
    write_span_table(spans, SPARK_SPANS)
    names = [name for name in ANALYSES if name != "graph"] if ASKED else ["graph"]  # which is in "all"
    done = run_analyses(spans, *names)
    assert [line.split()[0] for line in done.splitlines() if line.split()[0] in ANALYSES] == names
