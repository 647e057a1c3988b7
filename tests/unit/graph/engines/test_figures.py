"""Clocks, critical paths, latency, heatmap and waste: ClickHouse (chDB) answers every query as DuckDB does."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path

import pytest

from tests.servers.clickhouse import ChdbClient, export
from tests.unit.graph.engines.mirror import MirrorEngine
from tests.unit.graph.span_makers import make_span
from tracer_bullet.graph.engines import DuckEngine
from tracer_bullet.graph.engines.clickhouse import ClickHouseEngine
from tracer_bullet.graph.heatmap import make_heatmap
from tracer_bullet.graph.latency import measure_latency
from tracer_bullet.graph.paths import find_critical_paths
from tracer_bullet.graph.prepare import prepare
from tracer_bullet.graph.skew import measure_skew, read_clock
from tracer_bullet.graph.waste import find_waste
from tracer_bullet.model import Span, SpanKind, SpanLink, System, Waste
from tracer_bullet.traces import spans_to_table

pytest.importorskip("chdb", reason="chDB is not installed")

SERVER, CLIENT = SpanKind.SERVER, SpanKind.CLIENT
STORE = {"db__system": "sqlite", "db__name": "/a.db"}


def requests() -> list[Span]:
    """Forty requests over two machines of which one is 50 ms ahead, with repeated, retried and late calls."""
    rng = random.Random(5)
    spans: list[Span] = []
    for trace in range(1, 41):
        at = trace * 1000.0
        way = rng.uniform(0.1, 0.5)
        spans += [
            make_span(1, None, SERVER, "web", at, at + 60, name="GET /", trace=trace, host="a"),
            make_span(2, 1, CLIENT, "web", at + 2, at + 30, trace=trace, host="a", failed=trace % 7 == 0),
            make_span(3, 2, SERVER, "cart", at + 52 + way, at + 80 - way, name="GET /cart", trace=trace, host="b"),
            make_span(4, 1, CLIENT, "web", at + 31, at + 35, trace=trace, host="a", failed=trace % 3 == 0, **STORE),
            make_span(5, 1, CLIENT, "web", at + 35.1, at + 40, trace=trace, host="a", **STORE),
            make_span(
                6, 1, CLIENT, "web", at + 41, at + 42, trace=trace, host="a", server__address="pay",
                http__request__resend_count=str(trace % 2),
            ),
            make_span(7, 1, SpanKind.PRODUCER, "web", at + 43, at + 44, trace=trace, messaging__destination__name="q"),
            make_span(8, 7, SpanKind.CONSUMER, "mail", at + 43.5, at + 90, trace=trace, host="c"),
        ]  # fmt: skip
        for i in range(12 if trace % 4 == 0 else 0):
            spans.append(make_span(20 + i, 3, CLIENT, "cart", at + 53 + i, at + 54 + i, trace=trace, host="b", **STORE))
        if trace % 7 == 0:
            spans.append(make_span(9, 2, SERVER, "slow", at + 3, at + 90, trace=trace))
        if trace % 5 == 0:
            link = SpanLink(trace_id=f"{trace:032x}", span_id=f"{1:016x}")
            spans.append(replace(make_span(10, 1, SpanKind.INTERNAL, "web", at, at + 59, trace=trace), links=(link,)))
    return spans


def test_every_query_answers_as_on_duckdb(tmp_path: Path) -> None:
    table = spans_to_table(requests())
    name = export(table, tmp_path)
    with DuckEngine(table) as duck, ClickHouseEngine(ChdbClient(), name) as clickhouse:
        both = MirrorEngine(duck, clickhouse)
        prepare(both, System())
        skews = measure_skew(both)
        assert [s.corrected for s in skews] == [True]
        assert list(read_clock(both)) == ["b"]
        assert abs(read_clock(both)["b"] - 50_000_000) < 500_000
        critical = find_critical_paths(both, part_spans=100)
        assert critical.traces == 40
        assert critical.total_ms == pytest.approx(40 * 60)
        assert critical.detached > 40
        services, operations, edges = measure_latency(both)
        assert (len(services), len(operations), len(edges)) == (4, 4, 7)
        assert make_heatmap(both) is not None
        assert {p.waste for p in find_waste(both)} == set(Waste)
    ChdbClient().run(f"DROP TABLE {name}")
