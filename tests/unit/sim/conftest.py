"""A real OTLP/HTTP sink, simulations and a PostgreSQL server, for the tests of sim."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tracer_bullet.sim import Dump, Simulation, Topology, dump_database, shop_topology


@dataclass(frozen=True)
class SeenSpan:
    service: str
    name: str
    kind: int
    trace_id: str
    span_id: str
    parent_id: str
    attributes: dict[str, Any] = field(hash=False)


@dataclass
class Sink:
    """Spans that arrived by OTLP/HTTP protobuf."""

    endpoint: str
    spans: list[SeenSpan] = field(default_factory=list)

    def of(self, service: str) -> list[SeenSpan]:
        return [s for s in self.spans if s.service == service]

    def in_trace(self, trace_id: str) -> list[SeenSpan]:
        return [s for s in self.spans if s.trace_id == trace_id]


@pytest.fixture
def sink() -> Iterator[Sink]:
    found: list[SeenSpan] = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            assert self.headers["content-type"] == "application/x-protobuf"
            found.extend(_spans(ExportTraceServiceRequest.FromString(body)))
            self.send_response(200)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        server.block_on_close = False
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield Sink(f"http://127.0.0.1:{server.server_port}/v1/traces", found)
        server.shutdown()


def _spans(request: ExportTraceServiceRequest) -> Iterator[SeenSpan]:
    for group in request.resource_spans:
        service = next(a.value.string_value for a in group.resource.attributes if a.key == "service.name")
        for scope in group.scope_spans:
            for span in scope.spans:
                values = {a.key: getattr(a.value, a.value.WhichOneof("value")) for a in span.attributes}
                yield SeenSpan(
                    service=service,
                    name=span.name,
                    kind=span.kind,
                    trace_id=span.trace_id.hex(),
                    span_id=span.span_id.hex(),
                    parent_id=span.parent_span_id.hex(),
                    attributes=values,
                )


@pytest.fixture(scope="session")
def shop() -> Topology:
    """The shop, without its latencies."""
    topology = shop_topology().model_dump(mode="json", by_alias=True)
    for part in (*topology["services"].values(), *topology["third_parties"].values()):
        for operation in part["operations"].values():
            operation["latency_ms"] = 0
    return Topology.model_validate(topology)


Run = Callable[..., Simulation]


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    """Starts simulations on free ports, and stops them after the test."""
    running: list[Simulation] = []

    def start(topology: Topology, **settings: Any) -> Simulation:
        settings = {"ports": "free", "data_dir": tmp_path / f"data-{len(running)}", **settings}
        simulation = Simulation(topology, **settings).start()
        running.append(simulation)
        return simulation

    yield start
    for simulation in running:
        simulation.stop()


CHECKOUT = {"items": [{"sku": "mug", "quantity": 2}, {"sku": "book", "quantity": 1}]}


@pytest.fixture
def buy() -> Iterator[Callable[..., httpx.Response]]:
    """Posts a checkout to a simulation."""
    with httpx.Client(trust_env=False, timeout=120) as client:

        def post(simulation: Simulation, headers: dict[str, str] | None = None, **body: Any) -> httpx.Response:
            return client.post(f"{simulation.url}/checkout", json=body or CHECKOUT, headers=headers)

        yield post


Dumps = dict[str, Dump]


@pytest.fixture(scope="session")
def dumps() -> Callable[[Simulation], Dumps]:
    """All rows of all databases of a simulation."""
    return lambda simulation: {name: dump_database(url) for name, url in simulation.database_urls.items()}


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """URL of an empty PostgreSQL database on a Unix socket."""
    initdb = shutil.which("initdb") or next(iter(Path("/usr/lib/postgresql").glob("*/bin/initdb")), None)
    if initdb is None:
        pytest.skip("PostgreSQL is not installed")
    # A short path, for the socket; and the server refuses to run as root.
    folder = Path(tempfile.mkdtemp(prefix="tb-pg-"))
    user = "postgres" if os.geteuid() == 0 else None
    if user is not None:
        shutil.chown(folder, user)
    data = folder / "data"
    subprocess.run([initdb, "-D", data, "-U", "tests", "-A", "trust", "-N"], user=user, check=True, capture_output=True)
    server = subprocess.Popen(
        [str(Path(initdb).with_name("postgres")), "-D", data, "-k", folder, "-h", "", "-F"],
        user=user,
        stderr=subprocess.PIPE,
    )
    assert server.stderr is not None
    while b"ready to accept connections" not in (line := server.stderr.readline()):
        assert line, "PostgreSQL ended"
    yield f"postgresql://tests@/postgres?host={folder}"
    server.send_signal(signal.SIGINT)
    server.communicate()
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def topology_file(tmp_path_factory: pytest.TempPathFactory) -> Callable[[dict[str, Any]], Path]:
    """Writes a topology as a file; JSON is YAML."""
    folder = tmp_path_factory.mktemp("topologies")

    def write(document: dict[str, Any]) -> Path:
        path = folder / f"{len(list(folder.iterdir()))}.yaml"
        path.write_text(json.dumps(document, indent=1), encoding="utf-8")
        return path

    return write
