"""Writes the files of this folder and of `../jaeger` with OpenTelemetry's SDK, its exporters, and a Jaeger.

    python -m tests.unit.traces.golden.otel.make JAEGER_OTLP_URL JAEGER_QUERY_URL

It needs `opentelemetry-exporter-otlp-json-http` besides the packages of `dev`.
"""

from __future__ import annotations

import http.server
import json
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import ConsoleSpanExporter, SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.id_generator import IdGenerator
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode, TraceFlags, TraceState

HERE = Path(__file__).parent
BASE_NS = 1_763_650_000_000_000_000
MS = 1_000_000


class Ids(IdGenerator):
    """Ids one after the other; trace 1 begins with zeros, which Jaeger's UI used to cut."""

    def __init__(self) -> None:
        self.spans = 0
        self.traces = 0

    def generate_span_id(self) -> int:
        self.spans += 1
        return 0x00CD_0000_0000_0000 + self.spans

    def generate_trace_id(self) -> int:
        self.traces += 1
        return 0x000A_B000_0000_0000_0000_0000_0000_0000 + self.traces


def spans() -> list[object]:
    """Two traces of two services: every kind, both statuses, events, a link to the other trace, odd attributes."""
    memory, ids = InMemorySpanExporter(), Ids()
    tracers = {}
    for service in ("gateway", "cart"):
        resource = Resource({"service.name": service, "host.name": f"{service}-1", "process.pid": 7})
        provider = TracerProvider(resource=resource, id_generator=ids, shutdown_on_exit=False)
        provider.add_span_processor(SimpleSpanProcessor(memory))
        tracers[service] = provider.get_tracer("shop.instrumentation", "1.2.3")

    def span(service: str, name: str, kind: SpanKind, parent: object, at: int, until: int, **more: object) -> object:
        context = trace.set_span_in_context(parent) if parent is not None else None
        made = tracers[service].start_span(name, context=context, kind=kind, start_time=BASE_NS + at * MS, **more)
        return made, BASE_NS + until * MS

    state = TraceState([("vendor", "1"), ("other", "a:b")])
    outside = SpanContext(0xEE << 112 | 5, 0x77, is_remote=True, trace_flags=TraceFlags(1), trace_state=state)
    root = span("gateway", "POST /orders", SpanKind.SERVER, None, 0, 100)
    root[0].set_attributes(
        {"http.request.method": "POST", "http.response.status_code": 500, "ratio": 0.25, "big": 2**53}
    )
    root[0].set_attributes({"cached": False, "tags": ["a", "b"], "numbers": [1, 2], "text": 'quote " and ü €'})
    inner = span("gateway", "check", SpanKind.INTERNAL, root[0], 5, 8)
    call = span(
        "gateway", "POST", SpanKind.CLIENT, root[0], 10, 90, attributes={"server.address": "cart", "whole": 2.0}
    )
    cart = span("cart", "POST /cart", SpanKind.SERVER, call[0], 15, 80)
    cart[0].add_event("exception", {"exception.type": "OutOfStock", "attempt": 2}, BASE_NS + 70 * MS)
    cart[0].set_status(Status(StatusCode.ERROR, "out of stock"))
    root[0].set_status(Status(StatusCode.ERROR))
    sent = span("cart", "orders send", SpanKind.PRODUCER, cart[0], 60, 65, links=[Link(outside, {"why": "test"})])
    sent[0].set_status(Status(StatusCode.OK))
    got = span("gateway", "orders receive", SpanKind.CONSUMER, None, 200, 201, links=[Link(sent[0].get_span_context())])
    far = trace.NonRecordingSpan(outside)
    child = span("cart", "remote", SpanKind.SERVER, far, 300, 300)
    for made, end in (inner, sent, cart, call, root, got, child):
        made.end(end)
    return list(memory.get_finished_spans())


@contextmanager
def capture() -> Iterator[tuple[str, list[bytes]]]:
    """A server's address, and the bodies that are sent to it."""
    bodies: list[bytes] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            bodies.append(self.rfile.read(int(self.headers["content-length"])))
            self.send_response(200)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            return

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1/traces", bodies
    finally:
        server.shutdown()
        server.server_close()


def get(url: str) -> bytes:
    with urllib.request.urlopen(url) as answer:
        return answer.read()


def main(otlp: str, query: str) -> None:
    from opentelemetry.exporter.otlp.json.http.trace_exporter import OTLPSpanExporter as JsonExporter

    made = spans()
    with (HERE / "console.txt").open("w") as out:
        console = ConsoleSpanExporter(out=out)
        console.export(made)
    with capture() as (url, bodies):
        OTLPSpanExporter(url).export(made)
        JsonExporter(endpoint=url).export(made)
    (HERE / "request.binpb").write_bytes(bodies[0])
    (HERE / "request.json").write_bytes(bodies[1])
    OTLPSpanExporter(f"{otlp}/v1/traces").export(made)
    ids = sorted({f"{s.context.trace_id:032x}" for s in made})
    while json.loads(get(f"{query}/api/traces/{ids[-1]}")).get("errors"):
        time.sleep(0.1)
    jaeger = HERE.parent / "jaeger"
    jaeger.mkdir(exist_ok=True)
    (jaeger / "trace.json").write_bytes(get(f"{query}/api/traces/{ids[0]}"))
    window = f"start={BASE_NS // 1000 - 1}&end={BASE_NS // 1000 + 1_000_000}"
    (jaeger / "search.json").write_bytes(get(f"{query}/api/traces?service=cart&{window}&limit=20"))
    (jaeger / "raw.json").write_bytes(get(f"{query}/api/traces/{ids[0]}?raw=true&prettyPrint=true"))
    (jaeger / "missing.json").write_bytes(_anyway(f"{query}/api/traces/{'1' * 32}"))
    (jaeger / "v3-trace.json").write_bytes(get(f"{query}/api/v3/traces/{ids[0]}"))
    iso = "query.start_time_min=2025-11-20T00:00:00Z&query.start_time_max=2025-11-21T00:00:00Z"
    (jaeger / "v3-search.json").write_bytes(
        get(f"{query}/api/v3/traces?query.service_name=cart&query.num_traces=20&{iso}")
    )


def _anyway(url: str) -> bytes:
    try:
        return get(url)
    except urllib.error.HTTPError as error:
        return error.read()


if __name__ == "__main__":
    main(*sys.argv[1:])
