"""Claim: services in other languages under stock OpenTelemetry are forwarders, and behind the sidecar participants."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.servers.envoy import EnvoyServer, EnvoyUnavailableError, envoy_binary
from tests.servers.node_relay import NodeRelay, NodeUnavailableError, ensure_relay
from tests.servers.polyglot import ToolchainUnavailableError, go_service, java_service
from tracer_bullet.conformance import Level, Outcome, ServiceUnderTest, check_service
from tracer_bullet.context.keys import create_keys
from tracer_bullet.envoy import SidecarSpec, render


@pytest.fixture
def node(tmp_path: Path) -> Callable[..., Any]:
    """Starts the service: `with node(propagators="tracecontext") as service:`."""
    try:
        ensure_relay()
    except NodeUnavailableError as error:
        pytest.skip(f"Node.js service: {error}")

    @contextmanager
    def start(**settings: str) -> Iterator[NodeRelay]:
        with NodeRelay("", "", tmp_path / "node.log", script="conformance.js", **settings) as running:
            yield running

    return start


def test_it_is_a_forwarder(node: Callable[..., Any], tmp_path: Path) -> None:
    with node() as service:
        report = check_service(ServiceUnderTest(url=service.url, level=Level.FORWARDER), create_keys(tmp_path))
    assert report.broken == ()
    assert report.conforms


def test_without_the_baggage_propagator_it_is_none(node: Callable[..., Any], tmp_path: Path) -> None:
    with node(propagators="tracecontext") as service:
        report = check_service(ServiceUnderTest(url=service.url, level=Level.FORWARDER), create_keys(tmp_path))
    assert not report.conforms
    assert {"forwards-baggage", "keeps-others", "forwards-lines"} <= set(report.broken)
    assert "forwards-tracestate" not in report.broken


def test_alone_it_takes_part_in_nothing_that_needs_proof(node: Callable[..., Any], tmp_path: Path) -> None:
    with node() as service:
        report = check_service(ServiceUnderTest(url=service.url), create_keys(tmp_path))
    assert {"refuses-forged", "refuses-expired", "refuses-out-of-scope", "problem-json"} <= set(report.broken)


def test_behind_the_sidecar_it_is_a_participant(node: Callable[..., Any], tmp_path: Path) -> None:
    with node() as service:
        assert_a_participant_behind_the_sidecar(service.url, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("start", [go_service, java_service])
def test_go_and_java_are_forwarders_and_participants_behind_the_sidecar(
    start: Callable[[Path], AbstractContextManager[str]], tmp_path: Path
) -> None:
    try:
        with start(tmp_path / "log") as url:
            key = create_keys(tmp_path / "alone")
            assert check_service(ServiceUnderTest(url=url, level=Level.FORWARDER), key).conforms
            assert_a_participant_behind_the_sidecar(url, tmp_path)
    except ToolchainUnavailableError as error:
        pytest.skip(str(error))


def assert_a_participant_behind_the_sidecar(url: str, folder: Path) -> None:
    try:
        envoy_binary()
    except EnvoyUnavailableError as error:
        pytest.skip(str(error))
    key = create_keys(folder / "keys")
    jwks = (folder / "keys" / "jwks.json").read_text()
    inbound = {"upstream": url.removeprefix("http://"), "listen": "127.0.0.1:0"}
    spec = SidecarSpec.model_validate({"version": 1, "service": "other", "admin": "127.0.0.1:0", "inbound": inbound})
    off = spec.model_copy(update={"disabled": True})
    with (
        EnvoyServer(render(spec, jwks), folder / "on") as on,
        EnvoyServer(render(off, jwks), folder / "off") as switched_off,
    ):
        places = [envoy.url("tracer_bullet_inbound") for envoy in (on, switched_off)]
        report = check_service(ServiceUnderTest(url=places[0], service="other", disabled_url=places[1]), key)
    assert report.broken == ()
    assert {r.outcome for r in report.results} == {Outcome.HONOURED}
