"""Claim: bullets through a real system of services write nothing, and whoever is careless is caught."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from tracer_bullet.model import NodeKind, Outcome, ServiceGraph, Verdict
from tracer_bullet.sim import dump_database
from tracer_bullet.workspace.runs import read_json


def dumps(shop: Any) -> dict[str, Any]:
    return {name: dump_database(url) for name, url in shop.database_urls.items()}


def troubles(verdict: Verdict) -> list[object]:
    """What a reader of a failed test needs to know."""
    missed = [(b.bullet, c.name, c.actual) for b in verdict.bullets for c in b.checks if not c.passed]
    return [*verdict.findings, *missed][:10]


@pytest.fixture
def buy_only(workspace: Path) -> Path:
    """One request a bullet, the one with the most writes."""
    path = workspace / "scenarios" / "buy.yaml"
    path.write_text(
        "version: 1\nname: buy\ntarget: shop\nsteps:\n"
        "  - name: buy\n    request: {method: POST, path: /checkout, json: {items: [{sku: mug, quantity: 1}]},\n"
        "              timeout_s: 120}  # however slow the machine is\n"
        "    expect: {status: 201}\n"
    )
    return path


def test_500_bullets_over_8_connections_write_nothing_and_the_control_does(
    firing_range: Callable[..., Any], buy_only: Path
) -> None:
    with firing_range() as r:
        before = dumps(r.shop)
        verdict, folder = r.fire(buy_only, bullets=500, concurrency=8, settle_s=120.0)
        assert verdict.outcome is Outcome.PASSED, troubles(verdict)
        assert (len(verdict.bullets), verdict.count(Outcome.PASSED)) == (500, 500)
        assert dumps(r.shop) == before
        assert r.shop.third_party_calls == ()
        shots = pq.read_table(folder.shots)
        assert shots.num_rows == 500
        assert set(shots["status"].to_pylist()) == {201}

        control, _ = r.fire(buy_only, bullets=500, concurrency=8, control=True)
        assert control.outcome is Outcome.PASSED
        after = dumps(r.shop)
    new = {
        (name, table): len(rows) - len(before[name][table])
        for name, tables in after.items()
        for table, rows in tables.items()
        if rows != before[name][table]
    }
    assert new == {
        ("inventory", "reservations"): 500,
        ("inventory", "stock"): 0,  # updated, not inserted
        ("checkout", "orders"): 500,
        ("checkout", "order_lines"): 500,
        ("payment", "payments"): 500,
        ("notifications", "messages"): 500,
    }
    assert len(r.shop.third_party_calls) == 500


def test_the_run_folder_holds_graph_verdict_page_and_junit(firing_range: Callable[..., Any]) -> None:
    with firing_range() as r:
        verdict, folder = r.fire(bullets=3, concurrency=2)
    assert verdict.outcome is Outcome.PASSED
    graph = read_json(folder.graph, ServiceGraph)
    services = {n.name for n in graph.nodes if n.kind is NodeKind.SERVICE}
    assert services == {"gateway", "catalog", "cart", "checkout", "inventory", "payment", "notifications"}
    edges = {(e.source, e.target) for e in graph.edges}
    assert ("service:gateway", "service:checkout") in edges
    assert {n.kind for n in graph.nodes} == {NodeKind.HARNESS, NodeKind.SERVICE, NodeKind.STORE, NodeKind.THIRD_PARTY}
    stores = [e for e in graph.edges if e.target.startswith("store:") and e.writes]
    assert stores
    assert all(dict(e.decisions) == {"rolled_back": e.writes} for e in stores)
    assert {p.name for p in folder.path.iterdir()} == {
        "run.json", "shots.parquet", "spans", "graph.json", "analysis.json", "examples.parquet", "verdict.json",
        "report.html", "junit.xml",
    }  # fmt: skip
    manifest = json.loads(folder.manifest.read_text())
    assert manifest["state"] == "finished"
    token = "eyJ"
    for path in folder.path.rglob("*"):
        assert path.is_dir() or token.encode() not in path.read_bytes(), f"{path.name} holds a token"


CARELESS = [
    # service, kind, rule, hop, operation
    ("checkout", "drops_baggage", "carrier-lost", "checkout → payment", "POST /payments"),
    ("checkout", "drops_tracestate", "carrier-lost", "checkout → payment", "POST /payments"),
    ("checkout", "drops_flag", "unmarked-service", "checkout → payment", "POST /payments"),
    ("checkout", "drops_flag", "unguarded-write", "payment → sqlite payment.db", "INSERT payments"),
    ("inventory", "no_guard", "unmarked-service", "checkout → inventory", "POST /reservations"),
    ("inventory", "no_guard", "unguarded-write", "inventory → sqlite inventory.db", "INSERT reservations"),
    ("inventory", "writes_from_pool_thread", "unguarded-write", "inventory → sqlite inventory.db", "UPDATE stock"),
    ("inventory", "writes_from_pool_thread", "scope-lost", "checkout → inventory", "INSERT reservations"),
]


@pytest.mark.parametrize(("service", "kind", "rule", "hop", "operation"), CARELESS)
def test_a_careless_service_is_caught_and_named(
    firing_range: Callable[..., Any], service: str, kind: str, rule: str, hop: str, operation: str
) -> None:
    with firing_range(careless={service: (kind,)}) as r:
        verdict, _ = r.fire(bullets=3)
    assert verdict.outcome is Outcome.FAILED
    assert int(verdict.outcome.exit_code) == 1
    assert (rule, hop, operation) in [(f.rule, f.hop, f.operation) for f in verdict.findings]
    assert len(verdict.bullets) == 1, "the others were not fired"
    assert "not-armed" in {f.rule for f in verdict.findings}


def test_swallowed_errors_are_caught(firing_range: Callable[..., Any]) -> None:
    from tracer_bullet.sim import shop_topology

    shop = shop_topology()
    broken = shop.model_copy(
        update={
            "services": {
                **shop.services,
                "payment": shop.services["payment"].model_copy(
                    update={
                        "operations": {
                            name: op.model_copy(update={"error_rate": 1.0})
                            for name, op in shop.services["payment"].operations.items()
                        }
                    }
                ),
            }
        }
    )
    with firing_range(topology=broken, careless={"checkout": ("swallows_errors",)}) as r:
        verdict, _ = r.fire(bullets=1)
    assert verdict.outcome is Outcome.FAILED
    found = [(f.service, f.hop.split(":")[0], f.operation) for f in verdict.findings if f.rule == "error-swallowed"]
    assert ("checkout", "checkout → 127.0.0.1", "POST") in found


@pytest.mark.parametrize("kind", ["drops_spans", "drops_database_spans"])
def test_a_missing_span_makes_it_inconclusive(firing_range: Callable[..., Any], kind: str) -> None:
    with firing_range(careless={"payment": (kind,)}) as r:
        verdict, _ = r.fire(bullets=2, settle_s=3.0)
    assert verdict.outcome is Outcome.INCONCLUSIVE
    assert int(verdict.outcome.exit_code) == 3
    assert "payment" in {f.service for f in verdict.findings}


def test_without_keys_every_bullet_is_refused_at_the_first_service(firing_range: Callable[..., Any]) -> None:
    with firing_range(keys=False) as r:
        before = dumps(r.shop)
        verdict, _ = r.fire(bullets=1)
        after = dumps(r.shop)
    assert verdict.outcome is Outcome.FAILED
    assert before == after


def test_services_in_processes_of_their_own(firing_range: Callable[..., Any]) -> None:
    with firing_range(mode="processes") as r:
        before = dumps(r.shop)
        verdict, _ = r.fire(bullets=5, concurrency=2, settle_s=60.0)
        assert verdict.outcome is Outcome.PASSED, verdict.findings
        assert dumps(r.shop) == before
