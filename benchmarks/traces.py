"""Spans in and graphs out: how fast, beside the floor that the parser sets.

    python -m benchmarks.traces            # prints Markdown tables

Ingest: spans per CPU second of one core, best of five interleaved rounds. "Parse only" is
protobuf's own C parser with the stock classes, which no Python reader of OTLP can pass
without skipping work. Graph: each size in a process of its own, so that its peak memory
is its own.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from benchmarks.span_data import otlp_body, write_span_table
from tests.servers.otlp import request_json
from tracer_bullet.graph import EngineOptions, build_graph
from tracer_bullet.model import System
from tracer_bullet.traces.buffer import SpanBuffer
from tracer_bullet.traces.otlp_json import decode_json
from tracer_bullet.traces.otlp_protobuf import ProtobufDecoder

BODIES = 80
SPANS_A_BODY = 512
ROUNDS = 5
SIZES = (100_000, 1_000_000)
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


def graphs() -> None:
    print(
        "\n| graph of | memory limit | wall s | CPU s | peak MB | edges | operations |\n|---|---|---|---|---|---|---|"
    )
    with tempfile.TemporaryDirectory() as folder:
        for size in SIZES:
            path = Path(folder) / f"{size}.parquet"
            write_span_table(path, size)
            for limit in (0, LIMIT_MB):
                command = [sys.executable, "-m", "benchmarks.traces", str(path), str(limit)]
                answer = subprocess.run(command, check=True, capture_output=True, text=True)
                wall, cpu, peak, spans, edges, operations = json.loads(answer.stdout)
                row = f"| {spans:,} spans | {f'{limit} MB' if limit else 'none'} | {wall:.2f} | {cpu:.2f} | {peak:.0f} "
                print(f"{row}| {edges} | {operations} |")


def one_graph(path: str, limit_mb: int) -> None:
    options = EngineOptions(memory_limit_mb=limit_mb or None)
    wall, cpu = time.perf_counter(), time.process_time()
    graph = build_graph(path, System(), options=options)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    # Not getrusage: across fork and exec its maximum is that of the parent.
    status = Path("/proc/self/status").read_text(encoding="ascii")
    peak = int(status.partition("VmHWM:")[2].split()[0]) / 1024
    print(json.dumps([wall, cpu, peak, graph.spans, len(graph.edges), len(graph.operations)]))


if __name__ == "__main__":
    if len(sys.argv) > 2:
        one_graph(sys.argv[1], int(sys.argv[2]))
    else:
        ingest()
        graphs()
