"""The round trip: topology → simulation → spans → graph → topology → simulation → spans → graph."""

from __future__ import annotations

import pytest
from hypothesis import given, settings

from tests.unit.sim.observed import facts, observe, shape, topologies
from tracer_bullet.model import Distribution, ServiceGraph
from tracer_bullet.model.analysis import Analysis, OperationLatency
from tracer_bullet.sim import Topology, shop_topology
from tracer_bullet.sim.from_graph import draft_topology


def assert_round_trip(topology: Topology) -> None:
    """The graph gives back the topology, and that one's graph is the graph."""
    seen = observe(topology)
    again = draft_topology(seen).topology
    assert shape(again) == shape(topology)
    assert facts(observe(again)) == facts(seen)


@settings(max_examples=3, deadline=None)
@given(topology=topologies())
def test_a_topology_comes_back(topology: Topology) -> None:
    assert_round_trip(topology)


@pytest.mark.slow
@settings(max_examples=6, deadline=None)
@given(topology=topologies())
def test_many_topologies_come_back(topology: Topology) -> None:
    assert_round_trip(topology)


def test_the_shop_comes_back_as_far_as_it_was_asked() -> None:
    """`GET /orders/1` and `GET /products` need no body; the rest of the shop is refused before it calls anybody."""
    shop = shop_topology()
    again = shape(draft_topology(observe(shop)).topology)
    wanted = shape(shop)
    assert again["entry"] == wanted["entry"]
    for key, times in again["calls"].items():
        assert wanted["calls"][key] == times
    assert ("gateway", "GET /orders/{id}", "checkout", "GET /orders/{id}") in again["calls"]
    assert again["tables"]["checkout", "GET /orders/{id}", "read", "order_lines"] == 1


def chancy() -> Topology:
    return Topology.model_validate(
        {
            "version": 1,
            "name": "chancy",
            "entry": "web",
            "services": {
                "web": {
                    "operations": {
                        "get": {
                            "http": "GET /",
                            "steps": [
                                {"call": "back.often", "chance": 0.7, "times": 2},
                                {"call": "back.seldom", "chance": 0.2},
                                {"call": "back.always"},
                            ],
                        }
                    }
                },
                "back": {
                    "tables": {"notes": {"columns": {"v": "text"}, "rows": [{"v": "x"}]}},
                    "operations": {
                        "often": {"http": "GET /often", "latency_ms": {"uniform": [20, 30]}},
                        "seldom": {
                            "http": "GET /seldom",
                            "steps": [{"read": "notes", "chance": 0.5, "save": "notes"}],
                        },
                        "always": {"http": "GET /always", "error_rate": 0.25},
                    },
                },
            },
        }
    )


@pytest.fixture(scope="module")
def observed_chances() -> ServiceGraph:
    return observe(chancy(), times=80)


def test_chances_times_and_failures_come_back_about_as_they_were(observed_chances: ServiceGraph) -> None:
    """80 requests with a fixed seed; bounds of four standard deviations."""
    again = draft_topology(observed_chances).topology
    found = shape(again)
    web = ("web", "GET /", "back")
    assert found["calls"][*web, "GET /often"] == 2
    assert found["chances"][*web, "GET /often"] == pytest.approx(0.7, abs=0.21)
    assert found["chances"][*web, "GET /seldom"] == pytest.approx(0.2, abs=0.18)
    assert (*web, "GET /always") not in found["chances"]
    back = again.services["back"].operations
    assert back["get_always"].error_rate == pytest.approx(0.25, abs=0.2)
    assert back["get_often"].error_rate == 0
    assert again.services["web"].operations["get"].error_rate < 0.05, "what back fails by is not web's own"


def test_own_time_is_that_of_the_operation(observed_chances: ServiceGraph) -> None:
    often = draft_topology(observed_chances).topology.services["back"].operations["get_often"].latency_ms
    assert often.lognormal is not None
    assert often.lognormal.median >= 20
    own = Distribution.of([5_000_000] * 90 + [50_000_000] * 10)
    analysis = Analysis(
        start_ns=0,
        end_ns=1,
        traces=1,
        spans=1,
        operations=(
            OperationLatency(
                service="back", name="GET /often", calls=100, errors=0, rate_per_s=1, durations=own, own=own, fan_out=0
            ),
        ),
    )
    exact = draft_topology(observed_chances, analysis).topology.services["back"].operations["get_often"].latency_ms
    assert exact.quantiles is not None
    points = dict(exact.quantiles)
    assert points[0.0] == points[0.5] == 5
    assert points[0.99] == points[1.0] == 50
