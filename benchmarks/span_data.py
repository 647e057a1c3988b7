"""Made-up spans for benchmarks: a shop's traces as OTLP bodies, and as a span table of any size."""

from __future__ import annotations

import json
import random
from pathlib import Path

import duckdb
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tracer_bullet.model import Span, SpanKind, SpanStatus
from tracer_bullet.traces import spans_to_table, write_table

SERVICES = 30
SPANS_A_TRACE = 25
TEMPLATES = 200
BASE_NS = 1_700_000_000_000_000_000


def otlp_body(spans: int, seed: int, *, unique: bool) -> bytes:
    """An export request with 10 attributes a span: all recur, or all but three that are as good as unique."""
    rng = random.Random(seed)
    request = ExportTraceServiceRequest()
    part = request.resource_spans.add()
    for key, value in (("service.name", "checkout"), ("host.name", "host-1"), ("telemetry.sdk.language", "python")):
        part.resource.attributes.add(key=key).value.string_value = value
    scope = part.scope_spans.add()
    scope.scope.name = "opentelemetry.instrumentation.asgi"
    for index in range(spans):
        start = BASE_NS + rng.randrange(10**12)
        span = scope.spans.add(
            trace_id=rng.randbytes(16),
            span_id=rng.randbytes(8),
            parent_span_id=rng.randbytes(8) if index % 10 else b"",
            name="GET /items/{id}",
            kind=2 + index % 2,
            start_time_unix_nano=start,
            end_time_unix_nano=start + rng.randrange(10**9),
        )
        texts = {
            "http.request.method": "GET",
            "url.scheme": "http",
            "http.route": "/items/{id}",
            "network.protocol.version": "1.1",
            "server.address": "shop.example",
            "tb.request_type": "TRACE",
            "url.path": f"/items/{rng.randrange(10**6 if unique else 20)}",
            "client.address": f"10.0.{rng.randrange(256 if unique else 1)}.{rng.randrange(256 if unique else 9)}",
        }
        for key, value in texts.items():
            span.attributes.add(key=key).value.string_value = value
        span.attributes.add(key="http.response.status_code").value.int_value = 200
        span.attributes.add(key="client.port").value.int_value = rng.randrange(1024, 65536 if unique else 1040)
    return request.SerializeToString()


def write_span_table(path: Path, spans: int) -> None:
    """A span table of about `spans` spans in traces of 25: templates made in Python, repeated by DuckDB."""
    templates = path.with_suffix(".templates.parquet")
    write_table(spans_to_table(_templates()), templates)
    copies = -(-spans // (SPANS_A_TRACE * TEMPLATES))
    with duckdb.connect() as con:
        con.read_parquet(str(templates)).create_view("template")
        con.execute(
            f"COPY (SELECT t.* REPLACE (trace_hi + copy * 1000003 AS trace_hi, start_ns + copy * 1000 AS start_ns,"
            f" end_ns + copy * 1000 + (copy * 7919) % 900000 AS end_ns)"
            f" FROM range({copies}) AS c(copy), template t) TO '{path}' (FORMAT parquet, COMPRESSION zstd)"
        )
    templates.unlink()


def write_jaeger_json(path: Path, spans: int) -> None:
    """About `spans` spans as Jaeger's UI exports them: the same traces as in `write_span_table`, under new ids."""
    mark = "f" * 32
    texts = []
    for first in range(0, len(templates := _templates()), SPANS_A_TRACE):
        texts.append(json.dumps(_jaeger(templates[first : first + SPANS_A_TRACE], mark)))
    with path.open("w", encoding="utf-8") as out:
        out.write('{"data": [')
        for number in range(-(-spans // SPANS_A_TRACE)):
            out.write("," * (number > 0) + texts[number % TEMPLATES].replace(mark, f"{number + 1:032x}"))
        out.write("]}")


def _jaeger(spans: list[Span], trace_id: str) -> dict[str, object]:
    processes = {f"p{n}": name for n, name in enumerate(sorted({s.service for s in spans}))}
    keys = {name: key for key, name in processes.items()}
    return {
        "traceID": trace_id,
        "spans": [
            {
                "traceID": trace_id,
                "spanID": s.span_id,
                "operationName": s.name,
                "references": [{"refType": "CHILD_OF", "traceID": trace_id, "spanID": s.parent_id}]
                if s.parent_id
                else [],
                "startTime": s.start_ns // 1_000,
                "duration": (s.end_ns - s.start_ns) // 1_000,
                "tags": [
                    {"key": "span.kind", "type": "string", "value": s.kind.name.lower()},
                    *({"key": k, "type": "string", "value": v} for k, v in s.attributes.items()),
                    *([{"key": "error", "type": "bool", "value": True}] if s.failed else []),
                ],
                "logs": [],
                "processID": keys[s.service],
                "warnings": None,
            }
            for s in spans
        ],
        "processes": {key: {"serviceName": name, "tags": []} for key, name in processes.items()},
    }


def _templates() -> list[Span]:
    rng = random.Random(7)
    return [span for _ in range(TEMPLATES) for span in _trace(rng)]


def _trace(rng: random.Random) -> list[Span]:
    """A call tree: server spans, client spans between them, and a database call under every second service."""
    trace_id = f"{rng.getrandbits(128) | 1:032x}"
    spans: list[Span] = []

    def add(parent: Span | None, service: str, kind: SpanKind, name: str, attributes: dict[str, str]) -> Span:
        start = BASE_NS if parent is None else parent.start_ns + rng.randrange(10**6)
        span = Span(
            trace_id=trace_id,
            span_id=f"{rng.getrandbits(64) | 1:016x}",
            parent_id=None if parent is None else parent.span_id,
            name=name,
            kind=kind,
            service=service,
            start_ns=start,
            end_ns=start + rng.randrange(10**6, 10**8),
            status=SpanStatus.ERROR if rng.random() < 0.01 else SpanStatus.UNSET,
            attributes={"http.request.method": "GET", "tb.request_type": "TRACE", **attributes},
            resource={"service.name": service},
        )
        spans.append(span)
        return span

    servers = [add(None, "service-0", SpanKind.SERVER, "GET /", {})]
    while len(spans) < SPANS_A_TRACE - 2:
        caller = rng.choice(servers)
        callee = f"service-{rng.randrange(SERVICES)}"
        client = add(
            caller, caller.service, SpanKind.CLIENT, "GET", {"server.address": callee, "url.full": "http://x/"}
        )
        servers.append(add(client, callee, SpanKind.SERVER, f"GET /{rng.randrange(28)}", {"url.path": "/x"}))
    for caller in rng.sample(servers, SPANS_A_TRACE - len(spans)):
        store = {"db.system.name": "postgresql", "server.address": f"db-{caller.service}", "db.namespace": "main"}
        add(caller, caller.service, SpanKind.CLIENT, "INSERT", {**store, "tb.guard.decision": "rolled_back"})
    return spans
