"""ClickHouse (chDB) judges and derives as DuckDB does, query by query."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.servers.clickhouse import ChdbClient, export
from tests.unit.graph.engines.mirror import MirrorEngine
from tests.unit.graph.slo.calls import availability, call, latency
from tests.unit.graph.slo.test_derive import OUTER, shop
from tracer_bullet.graph.engines import DuckEngine
from tracer_bullet.graph.engines.clickhouse import ClickHouseEngine
from tracer_bullet.graph.prepare import prepare
from tracer_bullet.graph.skew import measure_skew
from tracer_bullet.graph.slo import derive_objectives, judge_objectives
from tracer_bullet.model import System
from tracer_bullet.traces import spans_to_table

pytest.importorskip("chdb", reason="chDB is not installed")


def test_every_query_answers_as_on_duckdb(tmp_path: Path) -> None:
    odd = [
        call(900_000 + i, i * 10**9, failed=True, name="it's \\ odd", http__response__status_code=str(400 + 50 * i))
        for i in range(4)
    ]
    table = spans_to_table([*shop(60), *odd])
    name = export(table, tmp_path)
    objectives = (
        OUTER,
        latency(0.5, 30, name="l", window_s=7),
        availability(0.5, operation="it's \\ odd"),
        availability(0.5, operation="it's \\ odd", name="strict", client_errors=True),
        availability(0.9, service="nobody", name="n"),
    )
    with DuckEngine(table) as duck, ClickHouseEngine(ChdbClient(), name) as clickhouse:
        both = MirrorEngine(duck, clickhouse)
        prepare(both, System())
        measure_skew(both)
        before = both.queries
        verdicts = judge_objectives(both, objectives)
        assert [(v.calls, v.calls - v.good) for v in verdicts[2:]] == [(4, 2), (4, 4), (0, 0)]
        assert len(derive_objectives(both, OUTER).objectives) == 4
        assert both.queries - before >= 9
    ChdbClient().run(f"DROP TABLE {name}")
