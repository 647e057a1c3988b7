"""`--on`: which engine it names, over which wire ClickHouse is spoken to, and what is said when it does not work."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from unittest.mock import Mock
from urllib.parse import quote

import pytest

from tests.servers.clickhouse import export
from tests.servers.clickhouse_http import PASSWORD, USER, Front, run_front
from tests.unit.graph.test_build_graph import CLIENT, SERVER, span
from tracer_bullet.errors import TracerBulletError, UnreachableError, UsageError
from tracer_bullet.graph.assemble import assemble
from tracer_bullet.graph.engines import DuckEngine, EngineOptions, open_engine
from tracer_bullet.graph.engines.clickhouse import SETTINGS
from tracer_bullet.graph.engines.clickhouse_http import SESSION_TIMEOUT_S
from tracer_bullet.graph.prepare import prepare
from tracer_bullet.model import System
from tracer_bullet.traces import spans_to_table, write_table

SPANS = spans_to_table([span(1, None, CLIENT, "web", 0, 9), span(2, 1, SERVER, "cart", 1, 5)])
LOGIN = f"{USER}:{quote(PASSWORD, safe='')}"


@pytest.fixture
def front(tmp_path: Path) -> Iterator[tuple[Front, str]]:
    pytest.importorskip("chdb", reason="chDB is not installed")
    table = export(SPANS, tmp_path)
    with run_front() as server:
        yield server, table
        server.client.run(f"DROP TABLE {table}")


def failure(on: str, source: object = None) -> TracerBulletError:
    with pytest.raises(TracerBulletError) as raised:
        open_engine(on, source)  # type: ignore[arg-type]
    assert raised.value.cure
    return raised.value


def test_duckdb_is_the_engine_of_this_process(tmp_path: Path) -> None:
    write_table(SPANS, tmp_path / "1.parquet")
    for source in (SPANS, tmp_path, str(tmp_path / "*.parquet")):
        engine = open_engine("duckdb", source, EngineOptions(threads=1))
        assert isinstance(engine, DuckEngine)
        assert engine.rows("SELECT count(*) FROM source") == [(2,)]
        engine.close()
    assert failure("duckdb").code == "TB502"


def test_a_graph_over_http(front: tuple[Front, str]) -> None:
    server, table = front
    on = f"clickhouse://{LOGIN}@{server.address}/default?table={table}"
    engine = open_engine(on, None, EngineOptions(memory_limit_mb=64, threads=1))
    prepare(engine, System())
    found = assemble(engine)
    engine.close()
    with DuckEngine(SPANS) as duck:
        prepare(duck, System())
        assert found == assemble(duck)
    assert server.client.tables() == []
    assert len({asked["session_id"] for asked in server.asked}) == 1, "temporary tables live in one session"
    for asked in server.asked:
        assert SETTINGS.items() <= asked.items()
        assert asked["session_timeout"] == str(SESSION_TIMEOUT_S)
        assert (asked["max_threads"], asked["max_memory_usage"]) == ("1", str(64 << 20))
    changes = {"CREATE", "DROP", "INSERT"}
    assert all(
        s.startswith(("CREATE TEMPORARY TABLE", "DROP TEMPORARY TABLE", "INSERT INTO"))
        for s in server.statements
        if s.split()[0] in changes
    )


def test_each_engine_has_a_session_of_its_own(front: tuple[Front, str]) -> None:
    server, table = front
    for _ in range(2):
        open_engine(f"clickhouse://{LOGIN}@{server.address}/?table={table}", None).close()
    assert len({asked["session_id"] for asked in server.asked}) == 2


def test_a_span_of_time_in_the_address(front: tuple[Front, str]) -> None:
    server, table = front
    on = f"clickhouse://{LOGIN}@{server.address}/default?table={table}&since=1970-01-01T00:00:00.001Z&until=1970-01-02"
    engine = open_engine(on, None)
    assert engine.rows("SELECT service FROM source") == [("cart",)]
    engine.close()
    assert failure(on.replace("1970-01-02", "tomorrow")).code == "TB502"


def test_a_server_that_refuses(front: tuple[Front, str]) -> None:
    server, table = front
    wrong = failure(f"clickhouse://{USER}:{quote('wrong@')}@{server.address}/default?table={table}")
    assert isinstance(wrong, UsageError)
    assert wrong.code == "TB505"
    assert "Authentication failed" in str(wrong)
    assert quote("wrong@") not in str(wrong)
    missing = failure(f"clickhouse://{LOGIN}@{server.address}/default?table=nothing")
    assert missing.code == "TB505"
    assert "default.nothing" in str(missing) or server.address in str(missing)


def test_a_query_that_the_server_gives_up(front: tuple[Front, str]) -> None:
    server, table = front
    engine = open_engine(f"clickhouse://{LOGIN}@{server.address}/default?table={table}", None)
    with pytest.raises(UnreachableError, match="gave a query up") as raised:
        engine.rows("SELECT throwIf(kind > 0) FROM source")
    assert raised.value.code == "TB506"
    engine.close()


def test_nobody_there_or_somebody_else(tmp_path: Path) -> None:
    from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
    from threading import Thread

    class Other(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.send_response(200)
            self.send_header("content-length", "2")
            self.end_headers()
            self.wfile.write(b"hi")

        def log_message(self, *args: object) -> None:
            """Quiet."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Other) as other:
        thread = Thread(target=other.serve_forever, daemon=True)
        thread.start()
        address = f"clickhouse://127.0.0.1:{other.server_address[1]}"
        found = failure(address)
        assert (found.code, found.what) == ("TB504", "what answers is no ClickHouse")
        other.shutdown()
        thread.join()
    gone = failure(address)
    assert isinstance(gone, UnreachableError)
    assert (gone.code, gone.what) == ("TB504", "ClickHouse does not answer")


@pytest.mark.parametrize(
    ("on", "says"),
    [
        ("postgres://x", "no engine 'postgres'"),
        ("spark", "no engine 'spark'"),
        ("clickhouse://h:port/db", "no valid port"),
        ("clickhouse://h/db?tabel=x", "unknown parameter 'tabel'"),
        ("spark://h:7077", "Spark reads Parquet"),
    ],
)
def test_an_address_that_is_none(on: str, says: str) -> None:
    found = failure(on)
    assert isinstance(found, UsageError)
    assert found.code == "TB502"
    assert says in str(found)


def test_a_run_is_nothing_for_clickhouse() -> None:
    assert failure("clickhouse://127.0.0.1:9/db", SPANS).code == "TB502"


def test_without_pyspark_the_extra_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "pyspark", None)
    monkeypatch.setitem(sys.modules, "pyspark.sql", None)
    found = failure("local[2]", tmp_path)
    assert found.code == "TB503"
    assert "tracer-bullet[spark]" in found.cure


def test_an_interrupted_query_is_an_interrupt(monkeypatch: pytest.MonkeyPatch) -> None:
    """DuckDB drops what a signal's handler raised within a query."""
    with DuckEngine(SPANS) as engine:
        broken = Mock(**{"execute.side_effect": RuntimeError("Query interrupted")})
        with monkeypatch.context() as patched:
            patched.setattr(engine, "_connection", broken)
            with pytest.raises(KeyboardInterrupt):
                engine.rows("SELECT 1")
            with pytest.raises(KeyboardInterrupt):
                engine.define("one", "SELECT 1")


def test_too_little_memory_is_told_with_its_cure() -> None:
    with DuckEngine(SPANS, EngineOptions(memory_limit_mb=64)) as engine:
        for ask in (engine.rows, engine.table):
            with pytest.raises(UsageError, match="needs more memory") as told:
                ask("SELECT length(string_agg(repeat('x', 1000), '')) AS n FROM range(400000)")
            assert (told.value.code, "--memory-mb" in told.value.cure) == ("TB508", True)
