"""Spans in and graphs out: how fast, beside the floor that the parser sets.

    python -m benchmarks.traces                  # prints Markdown tables; takes a quarter of an hour
    python -m benchmarks.traces 100000           # at these sizes alone

Ingest: spans per CPU second of one core, best of five interleaved rounds. "Parse only" is
protobuf's own C parser with the stock classes, which no Python reader of OTLP can pass
without skipping work. Import and analysis: each row in a process of its own, so that its peak memory
is its own (trace_work.py has what is done, the peers' part too).
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from benchmarks.span_data import otlp_body, write_jaeger_json, write_span_table
from benchmarks.trace_work import NAMES, measured
from tests.servers.otlp import request_json
from tracer_bullet.traces.buffer import SpanBuffer
from tracer_bullet.traces.otlp_json import decode_json
from tracer_bullet.traces.otlp_protobuf import ProtobufDecoder

BODIES = 80
SPANS_A_BODY = 512
ROUNDS = 5
SIZES: tuple[int, ...] = (100_000, 1_000_000, 10_000_000)
IMPORT_SIZES: tuple[int, ...] = (100_000, 1_000_000)
# What is done at which size at most: the peers hold all spans as objects, or as whole columns.
WORKS = {"analyse": 10_000_000, "graph": 10_000_000, "pandas": 10_000_000, "anchors": 1_000_000}
LIMIT_MB = 512


def ingest() -> None:
    bodies = [otlp_body(SPANS_A_BODY, seed, unique=True) for seed in range(BODIES)]
    recurring = [otlp_body(SPANS_A_BODY, seed, unique=False) for seed in range(BODIES)]
    texts = [request_json(ExportTraceServiceRequest.FromString(b)) for b in bodies]
    ways: dict[str, Callable[[], None]] = {
        "protobuf, parse only (stock classes)": lambda: _each(bodies, ExportTraceServiceRequest.FromString),
        "protobuf to columns, 3 of 10 attributes unique": lambda: _each(bodies, ProtobufDecoder().decode),
        "protobuf to columns, all attributes recur": lambda: _each(recurring, ProtobufDecoder().decode),
        "the same, on to the buffer's Arrow table": lambda: _buffered(recurring, ProtobufDecoder().decode),
        "JSON, json.loads only": lambda: _each(texts, json.loads),
        "JSON to columns": lambda: _each(texts, decode_json),
    }
    best = dict.fromkeys(ways, float("inf"))
    for _ in range(ROUNDS):
        for name, work in ways.items():
            began = time.process_time()
            work()
            best[name] = min(best[name], time.process_time() - began)
    size = sum(map(len, bodies)) / BODIES / SPANS_A_BODY
    print(f"\n{SPANS_A_BODY} spans a body, {size:.0f} B and 10 attributes a span\n")
    print("| ingest | spans per CPU second | µs a span |\n|---|---|---|")
    for name, seconds in best.items():
        rate = BODIES * SPANS_A_BODY / seconds
        print(f"| {name} | {rate:,.0f} | {1e6 / rate:.2f} |")


def _each(bodies: list[bytes], decode: Callable[[bytes], object]) -> None:
    for body in bodies:
        decode(body)


def _buffered(bodies: list[bytes], decode: Callable[[bytes], object]) -> None:
    buffer = SpanBuffer(max_spans=BODIES * SPANS_A_BODY)
    for body in bodies:
        buffer.add(decode(body).columns)  # type: ignore[attr-defined]
    assert buffer.table().num_rows == BODIES * SPANS_A_BODY


def imports() -> None:
    print("\n| Jaeger JSON to table | MB | spans/s | CPU s | peak MB |\n|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        for size in IMPORT_SIZES:
            path = Path(folder) / f"{size}.json"
            write_jaeger_json(path, size)
            for work in ("orjson", "import"):
                done = measured(work, path)
                row = f"| {size:,} spans: {NAMES[work]} | {path.stat().st_size / 1e6:.0f} | {done.rate:,.0f} "
                print(f"{row}| {done.cpu_s:.2f} | {done.peak_mb:.0f} |")


def analyses() -> None:
    print(
        "\n| analysis of | memory limit | wall s | spans/s | CPU s | peak MB | found |\n|---|---|---|---|---|---|---|"
    )
    with tempfile.TemporaryDirectory() as folder:
        for size in SIZES:
            path = Path(folder) / f"{size}.parquet"
            write_span_table(path, size)
            for work, most in WORKS.items():
                for limit in (0, LIMIT_MB) if work == "analyse" else (0,):
                    if size <= most:
                        done = measured(work, path, limit)
                        row = f"| {done.spans:,} spans: {NAMES[work]} | {f'{limit} MB' if limit else 'none'} "
                        row += f"| {done.wall_s:.2f} | {done.rate:,.0f} | {done.cpu_s:.2f} | {done.peak_mb:.0f} "
                        print(f"{row}| {done.found} |", flush=True)


if __name__ == "__main__":
    chosen = [int(size) for size in sys.argv[1:]]
    SIZES = tuple(chosen) or SIZES
    IMPORT_SIZES = tuple(size for size in SIZES if size <= max(IMPORT_SIZES))
    ingest()
    imports()
    analyses()
