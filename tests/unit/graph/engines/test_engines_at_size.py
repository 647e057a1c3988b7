"""Equal answers to every query: of ClickHouse over a million spans, of Spark, where each one is slow, over fewer."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.span_data import write_span_table
from tests.servers.clickhouse import ChdbClient, export
from tests.servers.spark import run_analyses
from tests.unit.graph.engines.analyses import ANALYSES
from tests.unit.graph.engines.mirror import MirrorEngine
from tracer_bullet.graph.engines import DuckEngine
from tracer_bullet.graph.engines.clickhouse import ClickHouseEngine

SPANS = 1_000_000
SPARK_SPANS = 20_000


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
    names = [name for name in ANALYSES if name != "graph"]  # which is in "all"
    done = run_analyses(spans, *names)
    assert [line.split()[0] for line in done.splitlines() if line.split()[0] in ANALYSES] == names
