"""Recordings of several hosts: each server has endpoints of its own, and what nothing armed is not sent."""

from __future__ import annotations

import pytest

from tests.unit.replay.shop import TARGET, exchange, spec
from tracer_bullet.model.arrival import Arrival
from tracer_bullet.model.exchange import Exchange, Lack
from tracer_bullet.replay.planner import Planner
from tracer_bullet.replay.reading.refusals import NOT_SURVEYED
from tracer_bullet.replay.reading.servers import Servers
from tracer_bullet.replay.survey import survey
from tracer_bullet.workspace.replay import Replay

PAY = "https://pay.test:8443/v1"
TWO = spec(rewrite={"hosts": {"pay.*": PAY}})


def recording() -> list[Exchange]:
    hosts = ("shop.example", "pay.example:443", "shop.example", "pay.example:443")
    return [exchange(n, at=n, session="", authority=host, target="/status") for n, host in enumerate(hosts)]


def plan(recorded: list[Exchange], surveyed: list[Exchange], replay: Replay) -> tuple[list[Arrival], Planner]:
    planner = Planner(replay, survey(surveyed, replay), TARGET)
    return [arrival for arrival, _ in planner.plan(recorded)], planner


def test_a_clean_bullet_at_one_server_arms_nothing_of_another() -> None:
    recorded = recording()
    found = survey(recorded, TWO)
    assert [e.text for e in found.endpoints] == ["GET /status", "GET /status @pay.test:8443/v1"]
    assert [e.requests for e in found.endpoints] == [2, 2]
    planner = Planner(TWO, found, TARGET)
    arming = [arrival for arrival, _ in planner.arming(recorded)]
    assert {planner.origins[a.origin].host for a in arming} == {"127.0.0.1", "pay.test"}
    assert {a.endpoint for a in arming} == {0, 1}
    assert [(a.endpoint, planner.origins[a.origin].host) for a, _ in planner.plan(recorded)] == [
        (0, "127.0.0.1"), (1, "pay.test"), (0, "127.0.0.1"), (1, "pay.test"),
    ]  # fmt: skip


def test_without_other_servers_the_recorded_host_makes_no_difference() -> None:
    assert [e.text for e in survey(recording(), spec()).endpoints] == ["GET /status"]


def test_rpcs_of_two_servers_are_two() -> None:
    rpc = {"method": "POST", "target": "/shop.Cart/Add", "headers": (("content-type", "application/grpc"),)}
    recorded = [exchange(n, at=n, authority=host, **rpc) for n, host in enumerate(("shop.example", "pay.example"))]
    texts = [e.text for e in survey(recorded, TWO).endpoints]
    assert texts == ["POST /shop.Cart/Add", "POST /shop.Cart/Add @pay.test:8443/v1"]


@pytest.mark.parametrize(
    "surveyed",
    [
        [exchange(0, target="/a", session="")],
        # Of this endpoint all was refused at the survey, so nothing armed it.
        [
            exchange(0, target="/a", session=""),
            exchange(1, method="POST", target="/b", body=None, lacks=frozenset({Lack.REQUEST_BODY})),
        ],
    ],
)
def test_what_was_not_surveyed_is_not_sent(surveyed: list[Exchange]) -> None:
    now = [exchange(0, target="/a", session=""), exchange(1, method="POST", target="/b", body=b"x", session="")]
    arrivals, planner = plan(now[1:], [*surveyed, *surveyed], spec())
    assert arrivals == []
    assert planner.refused == {NOT_SURVEYED: 1}
    assert planner.unwritten == 1
    assert [a.head.split(b" ")[1] for a in plan(now[:1], surveyed, spec())[0]] == [b"/a"]


def test_the_first_rule_that_fits_counts() -> None:
    servers = Servers({"pay.*": PAY, "*": "http://rest"})
    assert servers.of("PAY.example:443") == "pay.test:8443/v1"
    assert servers.of("shop.example") == "rest"
    assert Servers({}).of("shop.example") == Servers({"x": PAY}).of("shop.example") == ""
