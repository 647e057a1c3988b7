"""Claim: scenarios run as traffic: on time, every answer checked, demands judged, and nothing is written."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.loads import BROWSE, PATIENT, run_load, write_scenario
from tests.servers.postgres import PostgresServer
from tracer_bullet.model import Outcome
from tracer_bullet.sim import dump_database

LOAD = """
load:
  rate: 8/s
  duration: 5s
  warm_up: 1s
  think: 0.05s..0.1s
  with: [{scenario: browse.yaml, weight: 3}]
  thresholds:
    - error_rate < 50%
    - {expect: "count >= 20", scenario: browse}
    - {expect: "p(50) < 60s", service: payment}
"""


def dumps(shop: Any) -> dict[str, Any]:
    return {name: dump_database(url) for name, url in shop.database_urls.items()}


def steps_of(scenario: Path) -> str:
    """A scenario without the load that it asks for itself."""
    return scenario.read_text().partition("\n# As traffic")[0] + "\n"


@pytest.fixture
def checkout(workspace: Path) -> Path:
    """The workspace's own scenario; the test adds its `load`."""
    return workspace / "scenarios" / "checkout.yaml"


def test_the_shop_under_load(firing_range: Callable[..., Any], checkout: Path, postgres: PostgresServer) -> None:
    write_scenario(checkout.parents[1], "browse", BROWSE)
    checkout.write_text(steps_of(checkout) + LOAD + PATIENT)
    databases = {name: postgres.create_database() for name in ("cart", "checkout", "inventory", "payment")}
    with firing_range(databases=databases) as r:
        before, charges = dumps(r.shop), r.shop.third_party_calls
        verdict, folder, report = run_load(checkout, r)
        assert dumps(r.shop) == before
        assert r.shop.third_party_calls == charges
    assert verdict.outcome is Outcome.PASSED, verdict.findings
    accounting = report.accounting
    assert accounting.begun == accounting.whole == 32, "8 a second for 4 measured seconds"
    assert accounting.failed == 0
    assert accounting.warm_up > 0
    steps = {s.endpoint: s.sent for s in report.steps}
    assert set(steps) == {
        "checkout / browse",
        "checkout / add to cart",
        "checkout / buy",
        "browse / products",
        "browse / again",
    }
    # An iteration that began in the warm-up may have later steps after it.
    assert steps["checkout / browse"] <= steps["checkout / buy"] < steps["browse / products"] <= steps["browse / again"]
    assert [t.met for t in report.thresholds] == [True, True, True], report.thresholds
    assert {s.service for s in report.services} >= {"checkout", "payment"}
    assert report.audited > 20
    assert folder.report.exists()
    assert folder.junit.exists()


def test_a_careless_shop_is_not_loaded(firing_range: Callable[..., Any], checkout: Path) -> None:
    checkout.write_text(
        steps_of(checkout)
        + LOAD.replace("  with: [{scenario: browse.yaml, weight: 3}]\n", "").replace(
            '    - {expect: "count >= 20", scenario: browse}\n', ""
        )
        + PATIENT
    )
    with firing_range(careless={"inventory": ("no_guard",)}) as r:
        verdict, _, report = run_load(checkout, r)
    assert verdict.outcome is Outcome.FAILED
    assert "not-armed" in {f.rule for f in verdict.findings}
    assert report.accounting.sent == report.accounting.warm_up == 0


def test_users_one_after_the_other(firing_range: Callable[..., Any], workspace: Path) -> None:
    load = "load:\n  users: 3\n  duration: 4s\n  between: 0.1s\n" + PATIENT
    file = write_scenario(workspace, "browse", BROWSE + load)
    with firing_range() as r:
        verdict, _, report = run_load(file, r)
    assert verdict.outcome is Outcome.PASSED, verdict.findings
    assert report.model == "closed"
    assert max(point.users for point in report.curve) <= 3
    assert report.accounting.whole >= 3


def test_a_demand_that_is_not_met_and_one_that_nobody_can_know(
    firing_range: Callable[..., Any], workspace: Path
) -> None:
    load = "load:\n  rate: 10/s\n  duration: 2s\n  thresholds: [p(50) < 0.001ms, p(99.9) < 10h]\n" + PATIENT
    file = write_scenario(workspace, "browse", BROWSE + load)
    with firing_range() as r:
        verdict, _, report = run_load(file, r)
    assert verdict.outcome is Outcome.FAILED
    assert [t.met for t in report.thresholds] == [False, None]
    rules = {f.rule for f in verdict.findings}
    assert {"threshold", "threshold-unknown"} <= rules


def test_answers_that_are_not_expected_fail_it(firing_range: Callable[..., Any], workspace: Path) -> None:
    text = BROWSE.replace(
        '    take: {sku: "$.items[0].sku"}',
        '    expect: {json: {"$.items[0].sku": teapot}}\n    take: {sku: "$.items[0].sku"}',
    )
    file = write_scenario(workspace, "browse", text + "load:\n  rate: 5/s\n  duration: 2s\n" + PATIENT)
    with firing_range() as r:
        verdict, _, report = run_load(file, r)
        assert verdict.outcome is Outcome.FAILED
        assert "not-armed" in {f.rule for f in verdict.findings}, "a scenario that fails alone is not sent as traffic"
        verdict, _, report = run_load(file, r, unarmed=True)
    assert verdict.outcome is Outcome.FAILED
    (group,) = [g for g in report.failures if g.step == "browse / products"]
    assert group.count == 10
    assert "teapot" in group.message


PICKY = """
version: 1
name: picky
target: shop
variables: {term: tea, page: 1}
steps:
  - name: search
    request: {path: /products, query: {like: "${term}", page: "${page}"}}
    expect: {json: {"$.items[0].sku": {ne: "${term}"}}}
load:
  rate: 10/s
  duration: 2s
  data: [{file: terms.csv}]
"""


def test_data_varies_and_the_smallest_that_fails_is_told(firing_range: Callable[..., Any], workspace: Path) -> None:
    file = write_scenario(workspace, "picky", PICKY + PATIENT)
    with firing_range() as r:
        import httpx

        sku = httpx.get(f"{r.shop.url}/products").json()["items"][0]["sku"]
        (file.parent / "terms.csv").write_text(f"term,page\ntea,1\n{sku},77\ncoffee,3\n")
        verdict, _, report = run_load(file, r)
    assert verdict.outcome is Outcome.FAILED
    (group,) = report.failures
    assert group.count in (6, 7), "every third of twenty"
    assert group.row == {"term": sku, "page": 77}
    assert group.smallest == {"term": sku}, "the page does not matter"
