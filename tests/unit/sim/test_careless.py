"""Each carelessness shows its effect at the edge of the service that has it."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from tracer_bullet.errors import UsageError
from tracer_bullet.sim import Simulation, Topology

TRACE_ID = "0b" * 16
SERVER = 2


@dataclass
class Neighbour:
    """A service that somebody else runs; it keeps the headers it got."""

    url: str
    headers: list[dict[str, str]] = field(default_factory=list)


@pytest.fixture
def neighbour() -> Iterator[Neighbour]:
    found: list[dict[str, str]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            found.append({name.lower(): value for name, value in self.headers.items()})
            body = json.dumps({"message_id": 1}).encode()
            self.send_response(201)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield Neighbour(f"http://127.0.0.1:{server.server_port}", found)
        server.shutdown()


CARRIERS = {"traceparent", "baggage", "tracestate", "x-tracer-bullet"}


@pytest.mark.parametrize(
    ("kinds", "lost"),
    [
        ((), set()),
        (("drops_baggage",), {"baggage"}),
        (("drops_tracestate",), {"tracestate"}),
        (("drops_baggage", "drops_tracestate"), {"baggage", "tracestate"}),
        (("drops_flag",), {"baggage", "tracestate", "x-tracer-bullet"}),
        (("no_guard",), {"x-tracer-bullet"}),
    ],
)
def test_headers_are_lost_on_the_wire(
    shop: Topology,
    run: Any,
    buy: Any,
    jwks: str,
    flag_headers: Any,
    neighbour: Neighbour,
    kinds: tuple[str, ...],
    lost: set[str],
) -> None:
    simulation = run(shop, keys=jwks, careless={"checkout": kinds}, external={"notifications": neighbour.url})
    assert buy(simulation, flag_headers(TRACE_ID)).status_code == 201
    (headers,) = neighbour.headers
    assert set(headers) & CARRIERS == CARRIERS - lost
    assert headers["traceparent"].split("-")[1] == TRACE_ID
    if "baggage" not in lost:
        assert headers["baggage"].startswith("request_type=TRACE")


def test_a_lost_flag_makes_those_behind_write(
    shop: Topology, run: Any, buy: Any, jwks: str, flag_headers: Any, dumps: Any, sink: Any
) -> None:
    simulation = run(shop, keys=jwks, careless={"checkout": ["drops_flag"]}, otlp_endpoint=sink.endpoint)
    before = dumps(simulation)
    assert buy(simulation, flag_headers(TRACE_ID)).status_code == 201
    changed = {name for name, rows in dumps(simulation).items() if rows != before[name]}
    assert changed == {"inventory", "payment", "notifications"}
    assert len(simulation.third_party_calls) == 1
    simulation.flush()
    unmarked = {s.service for s in sink.in_trace(TRACE_ID) if "tb.request_type" not in s.attributes}
    assert unmarked == changed | {"catalog"}


@pytest.mark.parametrize("kind", ["no_guard", "writes_from_pool_thread"])
def test_an_unguarded_write_is_real_and_its_span_is_in_the_trace(
    shop: Topology, run: Any, buy: Any, jwks: str, flag_headers: Any, dumps: Any, sink: Any, kind: str
) -> None:
    simulation = run(shop, keys=jwks, careless={"checkout": [kind]}, otlp_endpoint=sink.endpoint)
    before = dumps(simulation)
    assert buy(simulation, flag_headers(TRACE_ID)).status_code == 201
    after = dumps(simulation)
    assert {name for name, rows in after.items() if rows != before[name]} == {"checkout"}
    assert len(after["checkout"]["orders"]) == 2
    simulation.flush()
    spans = [s for s in sink.in_trace(TRACE_ID) if s.service == "checkout"]
    inserts = [s for s in spans if str(s.attributes.get("db.statement", "")).startswith("INSERT")]
    server = next(s for s in spans if s.kind == SERVER)
    assert len(inserts) == 3
    assert {s.parent_id for s in inserts} == {server.span_id}
    assert not any("tb.guard.decision" in s.attributes or "tb.request_type" in s.attributes for s in inserts)
    assert ("tb.request_type" in server.attributes) == (kind == "writes_from_pool_thread")


def test_a_guarded_write_has_its_decision(
    shop: Topology, run: Any, buy: Any, jwks: str, flag_headers: Any, sink: Any
) -> None:
    """The control of the test above."""
    simulation = run(shop, keys=jwks, otlp_endpoint=sink.endpoint)
    assert buy(simulation, flag_headers(TRACE_ID)).status_code == 201
    simulation.flush()
    inserts = [s for s in sink.of("checkout") if str(s.attributes.get("db.statement", "")).startswith("INSERT")]
    assert [s.attributes["tb.guard.decision"] for s in inserts] == ["rolled_back"] * 3


@pytest.mark.parametrize("kind", ["", "drops_spans", "drops_database_spans"])
def test_spans_are_never_exported(shop: Topology, run: Any, buy: Any, sink: Any, kind: str) -> None:
    simulation = run(shop, careless={"inventory": [kind] if kind else []}, otlp_endpoint=sink.endpoint)
    assert buy(simulation).status_code == 201
    simulation.flush()
    spans = sink.of("inventory")
    assert any(s.kind == SERVER for s in spans) == (kind != "drops_spans")
    assert any("db.system" in s.attributes for s in spans) == (kind != "drops_database_spans")
    assert any("db.system" in s.attributes for s in sink.of("checkout"))
    parents, known = {s.parent_id for s in spans}, {s.span_id for s in sink.spans}
    assert (parents <= known) == (kind != "drops_spans")


def broken(shop: Topology, third_party_error_rate: float) -> Topology:
    document = shop.model_dump(mode="json", by_alias=True)
    document["third_parties"]["payment-api"]["operations"]["charge"]["error_rate"] = third_party_error_rate
    return Topology.model_validate(document)


def test_errors_are_passed_on_or_swallowed(shop: Topology, run: Any, buy: Any, dumps: Any) -> None:
    honest = run(broken(shop, 1))
    assert buy(honest).status_code == 502
    swallowing = run(broken(shop, 1), careless={"payment": ["swallows_errors"]})
    answer = buy(swallowing)
    assert answer.status_code == 201
    assert answer.json()["payment"] == {"status": None}
    assert dumps(swallowing)["payment"]["payments"] == []


def test_a_topology_can_be_careless_and_its_user_can_correct_it(shop: Topology, run: Any, buy: Any, dumps: Any) -> None:
    document = broken(shop, 1).model_dump(mode="json", by_alias=True)
    document["services"]["payment"]["careless"] = ["swallows_errors"]
    topology = Topology.model_validate(document)
    assert buy(run(topology)).status_code == 201
    assert buy(run(topology, careless={"payment": []})).status_code == 502


@pytest.mark.parametrize(
    ("careless", "cure"),
    [({"chekout": ["no_guard"]}, "did you mean 'checkout'?"), ({"checkout": ["no_gard"]}, "did you mean 'no_guard'?")],
)
def test_an_unknown_carelessness_is_told(shop: Topology, tmp_path: Any, careless: Any, cure: str) -> None:
    with pytest.raises(UsageError) as caught:
        Simulation(shop, data_dir=tmp_path, careless=careless)
    assert (caught.value.code, caught.value.cure) == ("TB705", cure)
