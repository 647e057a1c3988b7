"""Claim: a service in another language takes part by forwarding, with stock OpenTelemetry and no code of ours."""

from __future__ import annotations

import json
import socket
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.e2e.conftest import run_cli
from tests.servers.node_relay import NodeRelay, NodeUnavailableError, ensure_relay
from tracer_bullet.context.keys import create_keys
from tracer_bullet.model import Finding, ServiceGraph, Span, Verdict, attributes
from tracer_bullet.runs.store import read_spans
from tracer_bullet.sim import Simulation, Topology, dump_database, load_topology
from tracer_bullet.sim.dump import Dump
from tracer_bullet.workspace.runs import RunFolder, read_json

ORDERS = """
version: 1
name: behind
entry: orders
services:
  orders:
    tables:
      orders: {columns: {sku: text}, rows: [{sku: first}]}
    operations:
      place:
        http: POST /orders
        steps:
          - write: [{insert: orders, row: {sku: "${input.sku}"}, save: order}]
        respond: {status: 201, json: {id: "${order.id}", sku: "${order.sku}"}}
"""
FRONT = """
version: 1
name: before
entry: front
services:
  front:
    operations:
      buy:
        http: POST /buy
        steps:
          - {call: relay.place, with: {sku: "${input.sku}"}, save: order}
        respond: {status: 201, json: "${order}"}
  relay:
    external: http://127.0.0.1:1
    operations:
      place: {http: POST /orders}
"""
SCENARIO = """
version: 1
name: buy
target: chain
steps:
  - name: buy
    request: {method: POST, path: /buy, json: {sku: mug}}
    expect: {status: 201, json: {$.id: 2, $.sku: mug}}
trace:
  - {spans: {service: relay, kind: server, under: {service: front, kind: client}}, count: 1}
  - {spans: {service: orders, kind: server, under: {service: relay, kind: client}}, count: 1}
"""


@dataclass
class Chain:
    """front (guarded) → relay (Node.js) → orders (guarded, with a database), and a workspace to fire from."""

    workspace: Path
    database_url: str

    @property
    def rows(self) -> Dump:
        return dump_database(self.database_url)

    def fire(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return run_cli("fire", "scenarios/buy.yaml", *arguments, cwd=self.workspace)

    @property
    def run(self) -> RunFolder:
        """The folder of the newest run."""
        return RunFolder(path=max((self.workspace / ".tracer-bullet" / "runs").iterdir()))

    @property
    def findings(self) -> tuple[Finding, ...]:
        return read_json(self.run.verdict, Verdict).findings

    def spans(self, service: str) -> list[Span]:
        return [s for s in read_spans(self.run) if s.service == service]

    def carriers(self, service: str) -> str:
        """What the service's guards say that the flag came in."""
        (seal,) = [s for s in self.spans(service) if s.name == attributes.SEAL_SPAN_NAME]
        return seal.attributes[attributes.CARRIERS]


@pytest.fixture
def chain(tmp_path: Path) -> Callable[..., Any]:
    """Starts the chain, each service in a process of its own: `with chain(propagators="tracecontext") as c:`."""
    try:
        ensure_relay()
    except NodeUnavailableError as error:
        pytest.skip(f"Node.js relay: {error}")

    @contextmanager
    def start(*, forwarders: tuple[str, ...] = ("relay",), **relay: str) -> Iterator[Chain]:
        workspace = tmp_path / "workspace"
        keys = workspace / ".tracer-bullet" / "keys"
        create_keys(keys)
        port = _free_port()
        otlp = f"http://127.0.0.1:{port}"
        common: dict[str, Any] = {
            "otlp_endpoint": f"{otlp}/v1/traces",
            "keys": keys / "jwks.json",
            "ports": "free",
            "mode": "processes",
        }
        with (
            Simulation(_topology(tmp_path, ORDERS), data_dir=tmp_path / "behind", **common) as behind,
            NodeRelay(behind.url, otlp, tmp_path / "relay.log", **relay) as node,
            Simulation(
                _topology(tmp_path, FRONT), data_dir=tmp_path / "before", external={"relay": node.url}, **common
            ) as before,
        ):
            target = {"url": before.url, "services": ["front", "orders"], "forwarders": list(forwarders)}
            if not forwarders:
                target["services"] = []  # every service seen must take part
            _write_workspace(workspace, target, port)
            yield Chain(workspace, behind.database_urls["orders"])

    return start


def _topology(folder: Path, text: str) -> Topology:
    path = folder / f"{yaml.safe_load(text)['name']}.yaml"
    path.write_text(text)
    return load_topology(path)


def _write_workspace(workspace: Path, target: dict[str, Any], port: int) -> None:
    (workspace / "scenarios").mkdir()
    (workspace / "scenarios" / "buy.yaml").write_text(SCENARIO)
    settings = {
        "version": 1,
        "targets": {"chain": target},
        "traces": {"source": "embedded", "listen": f"127.0.0.1:{port}", "settle_s": 30},
    }
    (workspace / "tracer-bullet.yaml").write_text(yaml.safe_dump(settings))


def _free_port() -> int:
    """The receiver's: the services must know it before `fire` opens it."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_a_node_service_forwards_the_flag_and_is_in_the_graph(chain: Callable[..., Any]) -> None:
    with chain() as c:
        fired = c.fire()
        assert fired.returncode == 0, fired.stdout + fired.stderr
        assert c.rows == {"orders": [(1, "first")]}
        verdict = json.loads(c.run.verdict.read_text())
        assert (verdict["outcome"], verdict["findings"]) == ("passed", [])
        assert_the_flag_came_through(c)
        assert_the_graph_shows_the_relay(read_json(c.run.graph, ServiceGraph))

        control = c.fire("--control")
        assert control.returncode == 0, control.stdout + control.stderr
        assert c.rows == {"orders": [(1, "first"), (2, "mug")]}


def assert_the_flag_came_through(c: Chain) -> None:
    assert c.carriers("front") == "baggage,tracestate,header"
    assert c.carriers("orders") == "baggage,tracestate", "stock OpenTelemetry does not know our header"
    spans = read_spans(c.run)
    assert len({s.trace_id for s in spans}) == 1
    assert {s.service for s in spans} == {"tracer-bullet", "front", "relay", "orders"}
    assert {s.parent_id for s in spans} <= {None, *(s.span_id for s in spans)}, "nothing hangs in the air"
    assert all(s.resource["telemetry.sdk.language"] == "nodejs" for s in c.spans("relay"))
    assert not any(attributes.REQUEST_TYPE in s.attributes for s in c.spans("relay")), "no code of ours there"
    decisions = [s.attributes[attributes.DECISION] for s in c.spans("orders") if attributes.DECISION in s.attributes]
    assert decisions == ["rolled_back"]


def assert_the_graph_shows_the_relay(graph: ServiceGraph) -> None:
    edges = {(e.source, e.target) for e in graph.edges}
    assert {("service:front", "service:relay"), ("service:relay", "service:orders")} <= edges
    assert ("service:front", "service:orders") not in edges
    (write,) = [e for e in graph.edges if e.writes]
    assert write.source == "service:orders"
    assert write.target.startswith("store:")
    assert dict(write.decisions) == {"rolled_back": 1}


def test_a_node_service_that_forwards_no_baggage_is_named(chain: Callable[..., Any]) -> None:
    with chain(propagators="tracecontext") as c:
        fired = c.fire()
        assert fired.returncode == 1, fired.stdout + fired.stderr
        assert c.rows == {"orders": [(1, "first")]}
    lost = [(f.service, f.hop) for f in c.findings if f.rule == "flag-lost"]
    assert lost == [("orders", "relay → orders")]


def test_a_forwarder_must_be_declared(chain: Callable[..., Any]) -> None:
    with chain(forwarders=()) as c:
        assert c.fire().returncode == 1
        assert c.rows == {"orders": [(1, "first")]}
    found = {(f.rule, f.service, f.hop) for f in c.findings}
    assert ("unmarked-service", "relay", "front → relay") in found
    assert ("carrier-lost", "orders", "relay → orders") in found
