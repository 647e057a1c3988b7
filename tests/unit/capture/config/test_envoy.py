"""What the snippets for Envoy make the real Envoy write is read back; the real Envoy judges them."""

from __future__ import annotations

import http.client
import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.servers.envoy import EnvoyServer, EnvoyUnavailableError, Recorder, envoy_binary, validate
from tracer_bullet.capture.config import envoy_log, envoy_mirror, envoy_tap
from tracer_bullet.capture.formats.base import ReadOptions
from tracer_bullet.capture.formats.detect import open_recording
from tracer_bullet.capture.selection import why_never
from tracer_bullet.errors import UsageError
from tracer_bullet.model.exchange import Exchange, Lack
from tracer_bullet.model.losses import Losses

BODY = bytes(range(256)) * 4
FILTERS = "type.googleapis.com/envoy.extensions.filters"


@pytest.fixture(autouse=True)
def _needs_envoy() -> None:
    try:
        envoy_binary()
    except EnvoyUnavailableError as error:
        pytest.skip(f"envoy: {error}")


def _around(snippet: str, *ports: int) -> str:
    """A whole configuration with the snippet where it says that it belongs; a cluster a port, named c0, c1 …"""
    found: dict[str, Any] = yaml.safe_load(snippet)
    route: dict[str, Any] = {"cluster": "c0"}
    manager: dict[str, Any] = {
        "@type": f"{FILTERS}.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "in",
        "http_filters": [
            *found.pop("http_filters", []),
            {
                "name": "router",
                "typed_config": {"@type": f"{FILTERS}.http.router.v3.Router"},
            },
        ],
    }
    if "request_mirror_policies" in found:
        route |= found
    else:
        manager |= found
    routes = [{"match": {"prefix": "/"}, "route": route}]
    manager["route_config"] = {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": routes}]}
    listener = {
        "name": "in",
        "address": _address(0),
        "filter_chains": [{"filters": [{"name": "http", "typed_config": manager}]}],
    }
    clusters = [_cluster(f"c{n}", port) for n, port in enumerate(ports)]
    return json.dumps(
        {"admin": {"address": _address(0)}, "static_resources": {"listeners": [listener], "clusters": clusters}}
    )


def _cluster(name: str, port: int) -> dict[str, Any]:
    endpoints = [{"lb_endpoints": [{"endpoint": {"address": _address(port)}}]}]
    return {"name": name, "type": "STATIC", "load_assignment": {"cluster_name": name, "endpoints": endpoints}}


def _address(port: int) -> dict[str, Any]:
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}


def _send(envoy: EnvoyServer, path: str, headers: dict[str, str], body: bytes = BODY) -> None:
    client = http.client.HTTPConnection(envoy.url("in").removeprefix("http://"), timeout=30)
    client.request("POST", path, body, headers)
    assert client.getresponse().read() == b"hello"
    client.close()


def _read(path: Path) -> list[Exchange]:
    losses = Losses()
    reader, stream = open_recording(path)
    with stream:
        found = list(reader.read(stream, losses, ReadOptions()))
    assert not losses.lost, losses
    return found


@pytest.mark.parametrize("snippet", [envoy_log(), envoy_tap("/run/taps/tap", 0), envoy_mirror("c1", 0.01)])
def test_envoy_takes_it(snippet: str, tmp_path: Path) -> None:
    done = validate(_around(snippet, 1, 2), tmp_path)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "deprecated" not in done.stderr.lower()


def test_the_log_is_read_back(tmp_path: Path) -> None:
    log = tmp_path / "access.log"
    trace = f"00-{'a' * 32}-{'b' * 16}-01"
    with Recorder() as target, EnvoyServer(_around(envoy_log(str(log)), target.port), tmp_path / "envoy") as envoy:
        _send(envoy, "/a?b=c", {"traceparent": trace, "user-agent": "theirs", "content-type": "text/plain"})
        _send(envoy, "/bullet", {"x-tracer-bullet": "a.long.token"})
        _send(envoy, "/flagged", {"tracestate": "tb=t"})
    assert "long.token" not in log.read_text()
    first, bullet, flagged = _read(log)
    assert (first.request.method, first.request.target, first.request.scheme) == ("POST", "/a?b=c", "http")
    assert first.request.values("traceparent") == [trace]
    assert first.request.values("user-agent") == ["theirs"]
    assert first.request.values("content-type") == ["text/plain"]
    assert first.answer is not None
    assert first.answer.status == 200
    assert first.ended_ns is not None
    assert first.started_ns <= first.ended_ns
    assert first.started_ns % 1_000_000 != 0  # finer than milliseconds
    assert not {Lack.START, Lack.SUBSECOND, Lack.DURATION} & first.lacks
    assert (why_never(first), why_never(bullet), why_never(flagged)) == ("", "bullet", "bullet")
    assert first.unreplayable == "write-without-body"


def test_the_tap_is_read_back(tmp_path: Path) -> None:
    taps = tmp_path / "taps"
    taps.mkdir()
    snippet = envoy_tap(str(taps / "tap"), 1000)
    with Recorder() as target, EnvoyServer(_around(snippet, target.port), tmp_path / "envoy") as envoy:
        _send(envoy, "/whole", {}, BODY[:1000])
        _send(envoy, "/cut", {}, BODY)
    found = {e.request.target: e for e in _read(taps)}
    assert found["/whole"].request.body == BODY[:1000]
    assert found["/whole"].answer is not None
    assert found["/whole"].answer.body == b"hello"
    assert found["/whole"].first_byte_ns is not None
    assert found["/whole"].first_byte_ns >= found["/whole"].started_ns > 1_600_000_000 * 10**9
    assert found["/whole"].session
    assert Lack.REQUEST_BODY_CUT not in found["/whole"].lacks
    assert found["/cut"].request.body == BODY[:1000]
    assert Lack.REQUEST_BODY_CUT in found["/cut"].lacks


def test_the_mirror_marks_its_copies_alone(tmp_path: Path) -> None:
    with Recorder() as target, Recorder() as shadow:
        config = _around(envoy_mirror("c1"), target.port, shadow.port)
        with EnvoyServer(config, tmp_path / "envoy") as envoy:
            for n in range(5):
                _send(envoy, f"/{n}", {"host": "shop.example"})
        originals, copies = target.take(), shadow.take()
    assert [s.values("x-mirrored") for s in originals] == [[]] * 5
    assert len(copies) == 5
    assert all(s.values("x-mirrored") == ["1"] and s.values("host") == ["shop.example"] for s in copies)
    assert {(s.path, s.body) for s in copies} == {(s.path, s.body) for s in originals}


@pytest.mark.parametrize("wrong", [("tap", 10), ("/a/b", -1), ("/a/b", 1 << 32)])
def test_what_makes_no_tap(wrong: tuple[str, int]) -> None:
    with pytest.raises(UsageError) as caught:
        envoy_tap(*wrong)
    assert caught.value.code == "TB946"


@pytest.mark.parametrize("percent", [0, -1, 100.1])
def test_what_makes_no_mirror(percent: float) -> None:
    with pytest.raises(UsageError) as caught:
        envoy_mirror("c", percent)
    assert caught.value.code == "TB946"
