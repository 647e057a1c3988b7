"""ClickHouse (chDB) gives the answers that DuckDB gives, reads what exporters write, and is left as it was."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings

from tests.servers.clickhouse import DDL, ChdbClient, export
from tests.unit.graph.engines.analyses import ANALYSES
from tests.unit.graph.engines.mirror import MirrorEngine
from tests.unit.graph.engines.statements import statements, templates
from tests.unit.graph.test_graph_properties import SYSTEM, traces
from tracer_bullet.errors import TracerBulletError, UsageError
from tracer_bullet.graph.assemble import assemble
from tracer_bullet.graph.engines import DuckEngine
from tracer_bullet.graph.engines.clickhouse import ClickHouseEngine, views_over
from tracer_bullet.graph.engines.portable import to_clickhouse
from tracer_bullet.graph.prepare import prepare
from tracer_bullet.model import Span, SpanEvent, SpanKind, SpanLink, SpanStatus
from tracer_bullet.traces import spans_to_table

pytest.importorskip("chdb", reason="chDB is not installed")


@settings(max_examples=6, deadline=None)
@given(traces())
def test_the_same_graph_as_duckdb(spans: list[Span]) -> None:
    table = spans_to_table(spans)
    with TemporaryDirectory() as folder:
        name = export(table, Path(folder))
        with DuckEngine(table) as duck, ClickHouseEngine(ChdbClient(), name) as clickhouse:
            both = MirrorEngine(duck, clickhouse)
            prepare(both, SYSTEM)
            assemble(both)
        ChdbClient().run(f"DROP TABLE {name}")


@pytest.mark.parametrize("analysis", ANALYSES)
def test_every_query_answers_as_on_duckdb(analysis: str, rich_spans: list[Span], tmp_path: Path) -> None:
    table = spans_to_table(rich_spans)
    name = export(table, tmp_path)
    with DuckEngine(table) as duck, ClickHouseEngine(ChdbClient(), name) as clickhouse:
        both = MirrorEngine(duck, clickhouse)
        ANALYSES[analysis](both)
        assert both.queries
    ChdbClient().run(f"DROP TABLE {name}")


def test_the_sql_of_all_analyses_can_be_run(rich_spans: list[Span], tmp_path: Path) -> None:
    """Everything in graph/sql/ that needs no other tables than the prepared ones; the rest is run by its analysis."""
    name = export(spans_to_table(rich_spans), tmp_path)
    client = ChdbClient()
    failed = []
    with ClickHouseEngine(client, name) as engine:
        prepare(engine, SYSTEM)
        tables = client.tables()
        for statement, query in statements().items():
            if statement in templates():
                continue
            try:
                engine.rows(query)
            except TracerBulletError as error:
                if "UNKNOWN_TABLE" not in str(error):
                    failed.append((statement, str(error).partition("\n")[0]))
        assert client.tables() == tables
    client.run(f"DROP TABLE {name}")
    assert failed == []


@pytest.fixture(scope="module")
def exported() -> str:
    """Spans as two versions of the exporter wrote them: names of kinds and states, ids in any case and length."""
    client = ChdbClient()
    client.run(DDL.format(table="as_exported", engine="Memory"))
    rows = """
        ('2026-03-01 12:00:00.000000001', 'ABCDEF0123456789ABCDEF0123456789', '00F067AA0BA902B7', '', 'ts', 'GET /',
         'SPAN_KIND_SERVER', 'shop', {'host.name': 'h'}, 'lib', '1', {'a': 'b'}, 5000, 'STATUS_CODE_ERROR', 'bad',
         ['2026-03-01 12:00:00.000000002'], ['exception'], [{'exception.type': 'E', 'exception.message': 'm'}],
         ['00000000000000000000000000000001'], ['8000000000000002'], [''], [{}]),
        ('2026-03-01 12:00:01', 'abcdef0123456789abcdef0123456789', '1', '00f067aa0ba902b7', '', 'INSERT', 'Client',
         '', {}, '', '', {}, 7, 'Ok', '', [], [], [], [], [], [], []),
        ('2026-03-01 12:00:02', '7b', 'ffffffffffffffff', '0000000000000000', '', 'x', 'Unspecified', 's', {}, '', '',
         {}, 0, 'Unset', '', ['2026-03-01 12:00:00'], ['other'], [{}], [''], [''], [''], [{}]),
        ('2026-03-01 12:00:02', '', '01', '', '', 'no trace', '', 's', {}, '', '', {}, 0, '', '', [],[],[],[],[],[],[]),
        ('2026-03-01 12:00:02', '01', '0000000000000000', '', '', 'no span', '', 's', {}, '', '', {}, 0, '', '',
         [],[],[],[],[],[],[])
    """
    client.run(f"INSERT INTO as_exported VALUES {rows}")
    return "as_exported"


def test_spans_as_the_exporter_writes_them(exported: str) -> None:
    start = 1_772_366_400_000_000_000
    with ClickHouseEngine(ChdbClient(), exported) as engine:
        found = engine.rows(
            "SELECT trace_hi, trace_lo, span_id, parent_id, name, kind, service, start_ns, end_ns, status,"
            " status_message, attributes['a'] AS a, resource['host.name'] AS host, scope_name, trace_state"
            " FROM source ORDER BY start_ns"
        )
        attributes = engine.rows("SELECT span_id, key, value FROM source_attribute")
        links = engine.rows("SELECT span_id, linked_hi, linked_lo, linked_span FROM source_link")
        exceptions = engine.rows("SELECT span_id, type, message FROM source_exception")
    high, low, first = 0xABCDEF0123456789 - 2**64, 0xABCDEF0123456789 - 2**64, 0x00F067AA0BA902B7
    assert found == [
        (high, low, first, None, "GET /", 2, "shop", start + 1, start + 5001, 2, "bad", "b", "h", "lib", "ts"),
        (high, low, 1, first, "INSERT", 3, "unknown_service", start + 10**9, start + 10**9 + 7, 1, "", "", "", "", ""),
        (0, 0x7B, -1, None, "x", 0, "s", start + 2 * 10**9, start + 2 * 10**9, 0, "", "", "", "", ""),
    ]
    assert attributes == [(first, "a", "b")]
    assert links == [(first, 0, 1, 2 - 2**63)]
    assert exceptions == [(first, "E", "m")]


def test_a_span_of_time(exported: str) -> None:
    start = 1_772_366_400_000_000_000
    with ClickHouseEngine(ChdbClient(), exported, since_ns=start + 2, until_ns=start + 2 * 10**9) as engine:
        assert engine.rows("SELECT name FROM source") == [("INSERT",)]


def test_the_views_give_back_the_span_table(rich_spans: list[Span], tmp_path: Path) -> None:
    table = spans_to_table(rich_spans)
    name = export(table, tmp_path)
    with DuckEngine(table) as duck, ClickHouseEngine(ChdbClient(), name) as clickhouse:
        both = MirrorEngine(duck, clickhouse)
        for view in ("source_attribute", "source_resource", "source_link", "source_exception"):
            assert both.rows(f"SELECT * FROM {view}"), view
        found = both.table(
            "SELECT trace_hi, trace_lo, span_id, parent_id, name, kind, service, start_ns, end_ns, status,"
            " status_message, cardinality(attributes) AS n, scope_name, trace_state, events, links FROM source"
        )
        assert any(found.column("events").to_pylist())
        assert any(found.column("links").to_pylist())
    ChdbClient().run(f"DROP TABLE {name}")


def test_nothing_is_left_behind(rich_spans: list[Span], tmp_path: Path) -> None:
    client = ChdbClient()
    name = export(spans_to_table(rich_spans), tmp_path)
    everything = "SELECT database, name FROM system.tables WHERE database NOT IN ('system') ORDER BY ALL"
    before = client.arrow(everything)
    engine = ClickHouseEngine(client, name)
    prepare(engine, SYSTEM)
    engine.fill("mine", (("a", "BIGINT"), ("b", "VARCHAR"), ("c", "DOUBLE")), [(1, 'x\n"\\', 0.5), (None, None, None)])
    assert engine.rows("SELECT a, b, c FROM mine ORDER BY a") == [(1, 'x\n"\\', 0.5), (None, None, None)]
    engine.fill("mine", (("a", "INTEGER"),), [])
    assert engine.rows("SELECT a FROM mine") == []
    assert "span" in client.tables()
    engine.close()
    engine.close()
    assert client.tables() == []
    assert client.arrow(everything) == before
    client.run(f"DROP TABLE {name}")


def test_a_table_that_holds_no_spans() -> None:
    client = ChdbClient()
    client.run("CREATE TABLE other (Timestamp DateTime64(9), SpanAttributes JSON, TraceId String) ENGINE = Memory")
    with pytest.raises(UsageError, match=r"SpanId is missing.*SpanAttributes is JSON, not Map") as failure:
        ClickHouseEngine(client, "other", where="h/db.other")
    assert failure.value.code == "TB505"
    client.run("DROP TABLE other")


def test_quotes_in_a_view_stay_whole() -> None:
    assert "FROM `a'b` ARRAY JOIN" in to_clickhouse("SELECT key FROM source_attribute", views_over("`a'b`", None, None))


@pytest.fixture(scope="module")
def rich_spans() -> list[Span]:
    """A few traces that have what the analyses look for."""
    spans = []
    for number in range(1, 31):
        trace = f"{number << 60 | number:032x}"

        def add(
            index: int,
            parent: int | None,
            kind: SpanKind,
            service: str,
            at: int,
            to: int,
            trace: str = trace,
            number: int = number,
            **more: str,
        ) -> None:
            failed = index == 5 and number % 3 == 0
            event = SpanEvent(
                time_ns=at + 10**9,
                name="exception",
                attributes={"exception.type": "Timeout", "exception.message": f"after {number} ms"},
            )
            spans.append(
                Span(
                    trace_id=trace,
                    span_id=f"{index << 56:016x}",
                    parent_id=None if parent is None else f"{parent << 56:016x}",
                    name=more.pop("name", f"op {index}"),
                    kind=kind,
                    service=service,
                    start_ns=10**18 + number * 10**9 + at * 10**6,
                    end_ns=10**18 + number * 10**9 + (to + number % 7) * 10**6,
                    status=SpanStatus.ERROR if failed else SpanStatus.UNSET,
                    status_message="down" if failed else "",
                    attributes={
                        "version": "v2" if number % 3 == 0 else "v1",
                        **{k.replace("__", "."): v for k, v in more.items()},
                    },
                    resource={"host.name": f"host-{service}"},
                    scope_name="lib",
                    trace_state="x=y",
                    events=(event,) if failed else (),
                    links=(SpanLink(trace_id=f"{1 << 60 | 1:032x}", span_id=f"{6 << 56:016x}"),) if index == 7 else (),
                )
            )

        add(1, None, SpanKind.SERVER, "web", 0, 100, name="GET /")
        add(2, 1, SpanKind.CLIENT, "web", 5, 40, server__address="cart")
        add(3, 2, SpanKind.SERVER, "cart", 7, 38, name="GET /cart/{id}")
        for index in (10, 11, 12, 13):
            add(
                index,
                3,
                SpanKind.CLIENT,
                "cart",
                index,
                index + 2,
                db__system__name="postgresql",
                server__address="db",
                db__namespace="main",
                db__query__text=f"SELECT * FROM items WHERE id = {number}",
            )
        add(4, 1, SpanKind.CLIENT, "web", 45, 60, url__full="https://pay.example/charge")
        add(5, 1, SpanKind.CLIENT, "web", 62, 90, peer__service="mainframe")
        add(6, 1, SpanKind.PRODUCER, "web", 91, 92, messaging__system="kafka", messaging__destination__name="orders")
        add(
            7,
            None,
            SpanKind.CONSUMER,
            "mail",
            95,
            140,
            messaging__system="kafka",
            messaging__destination__name="orders",
        )
        add(8, 7, SpanKind.INTERNAL, "mail", 100, 130)
    return spans
