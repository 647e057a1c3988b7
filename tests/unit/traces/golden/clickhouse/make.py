"""Writes the files of this folder with ClickHouse in this process (`pip install chdb`): `python make.py`.

The tables are the exporter's own (exporter/clickhouseexporter/internal/sqltemplates, traces_table.sql and
traces_json_table.sql), without codecs, indices and TTL, which do not change what a SELECT gives.
"""

from __future__ import annotations

from pathlib import Path

from chdb import session

HERE = Path(__file__).parent

PLAIN = """
    Timestamp DateTime64(9), TraceId String, SpanId String, ParentSpanId String, TraceState String,
    SpanName LowCardinality(String), SpanKind LowCardinality(String), ServiceName LowCardinality(String),
    ResourceAttributes {map}, ScopeName String, ScopeVersion String, SpanAttributes {map}, Duration UInt64,
    StatusCode LowCardinality(String), StatusMessage String,
    Events Nested (Timestamp DateTime64(9), Name LowCardinality(String), Attributes {map}),
    Links Nested (TraceId String, SpanId String, TraceState String, Attributes {map})
"""
TABLES = {"map": "Map(LowCardinality(String), String)", "json": "JSON"}
ROWS = {
    # What the exporter wrote before version 0.108, and since.
    "map": [
        """('2024-05-01 10:00:00.000000001', '4bf92f3577b34da6a3ce929d0e0e4736', '00f067aa0ba902b7', '', 'ot=th:8',
        'GET /cart', 'SPAN_KIND_SERVER', 'web', {'service.name': 'web', 'host.name': 'h1'}, 'otel.http', '1.0',
        {'http.response.status_code': '500', 'odd': 'a"b\\\\c\\nü'}, 250000000, 'STATUS_CODE_ERROR', 'no stock',
        ['2024-05-01 10:00:00.100000000', '2024-05-01 10:00:00.200000000'], ['cache miss', 'exception'],
        [{'key': 'c1'}, {'exception.type': 'KeyError'}], [], [], [], [])""",
        """('2024-05-01 10:00:00.010000000', '4bf92f3577b34da6a3ce929d0e0e4736', '00f067aa0ba902b8',
        '00f067aa0ba902b7', '', 'stock', 'Client', 'web', {'service.name': 'web', 'host.name': 'h1'}, '', '',
        {'server.address': 'stock'}, 1, 'Unset', '', [], [], [], ['00000000000000000000000000000001'],
        ['0000000000000002'], [''], [{'why': 'batch'}])""",
    ],
    "json": [
        """('2024-05-01 10:00:00.000000001', '4bf92f3577b34da6a3ce929d0e0e4736', '00f067aa0ba902b7', '', '',
        'GET /cart', 'Server', 'web', '{"service.name": "web", "process.pid": 7}', '', '',
        '{"http.response.status_code": 500, "http.route": "/cart", "cached": false, "sizes": [1, 2], "ratio": 0.5}',
        250000000, 'Ok', '',
        ['2024-05-01 10:00:00.100000000'], ['cache miss'], ['{"key.name": "c1"}'], [], [], [], [])""",
    ],
}
FORMATS = {"map": {"JSONEachRow": "jsonl", "JSON": "json", "JSONCompact": "compact.json"},
           "json": {"JSONEachRow": "jsonl"}}  # fmt: skip


def main() -> None:
    db = session.Session()
    for kind, column in TABLES.items():
        table = f"otel_traces_{kind}"
        db.query(
            f"CREATE TABLE {table} ({PLAIN.format(map=column)}) ENGINE = MergeTree ORDER BY (ServiceName, SpanName)"
        )
        for row in ROWS[kind]:
            db.query(f"INSERT INTO {table} VALUES {row}")
        for name, ending in FORMATS[kind].items():
            db.query("SET session_timezone = 'UTC'")
            answer = db.query(f"SELECT * FROM {table} ORDER BY Timestamp", name).bytes()
            (HERE / f"{kind}.{ending}").write_bytes(answer)
    for name in ("iso", "unix_timestamp"):
        setting = f"SETTINGS date_time_output_format = '{name}', output_format_json_quote_64bit_integers = 1"
        answer = db.query(f"SELECT * FROM otel_traces_map ORDER BY Timestamp {setting}", "JSONEachRow").bytes()
        (HERE / f"map-{name.split('_')[0]}.jsonl").write_bytes(answer)


if __name__ == "__main__":
    main()
