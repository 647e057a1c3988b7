"""nginx, Apache httpd and Envoy, started here: what they log now is read, and its times are what they are said to be.

A service behind them holds one answer back into the next second, so that start and end of it cannot be mistaken.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.servers.apache import ApacheUnavailableError
from tests.servers.envoy import EnvoyUnavailableError
from tests.servers.nginx import NginxUnavailableError
from tests.unit.capture.formats.logs import configs
from tests.unit.capture.formats.logs.reading import has_headers, is_the_traffic, read
from tests.unit.capture.formats.logs.traffic import REQUESTS, Upstream, ask, upstream, visit
from tracer_bullet.capture.formats.logs.lines import columns as c
from tracer_bullet.capture.formats.registry import FORMATS
from tracer_bullet.model.exchange import Exchange, Lack

_MS = 1_000_000
_S = 1000 * _MS
# Servers cut their stamps to whole milliseconds.
_CUT = 2 * _MS


@pytest.fixture(scope="module")
def service() -> Iterator[Upstream]:
    with upstream() as running:
        yield running


def _is_on_time(exchange: Exchange, sent_ns: int, service: Upstream) -> None:
    """It started after it was sent and before the service had it, and ended after the service answered."""
    assert exchange.request.target == "/slow"
    assert sent_ns - _CUT <= exchange.started_ns <= service.arrived_ns["/slow"] + _CUT
    assert exchange.ended_ns is not None
    assert exchange.ended_ns + _CUT >= service.answered_ns["/slow"]


def test_nginx(tmp_path: Path, service: Upstream) -> None:
    try:
        with configs.nginx(tmp_path, service.port) as port:
            sent = visit(port)["slow"][0]
    except NginxUnavailableError as error:
        pytest.skip(str(error))
    logs = FORMATS["nginx"]
    for name, headers in {
        "custom": ("user-agent", "x-forwarded-for", "x-request-id", "traceparent", "cookie", "host"),
        "json": ("user-agent", "host", "cookie"),
        "none": ("user-agent",),
    }.items():
        found, losses = read(logs, tmp_path / f"{name}.log", log_format=configs.NGINX[name])
        is_the_traffic(found)
        has_headers(found, *headers)
        _is_on_time(found[8], sent, service)
        assert sum(losses.lost.values()) == 3
    found, losses = read(FORMATS["json-log"], tmp_path / "replay.log")
    is_the_traffic(found)
    has_headers(found, "user-agent", "x-forwarded-for", "host")
    _is_on_time(found[8], sent, service)
    assert found[2].unreplayable == ""
    assert sum(losses.lost.values()) == 3
    found, _ = read(logs, tmp_path / "decoded.log", log_format=configs.NGINX["decoded"])
    is_the_traffic(found, decoded=True)
    found, _ = read(logs, tmp_path / "combined.log")
    is_the_traffic(found)
    assert found[8].started_ns // _S > service.arrived_ns["/slow"] // _S, "its time is that of the end"
    assert Lack.START in found[8].lacks


def test_apache(tmp_path: Path, service: Upstream) -> None:
    try:
        with configs.apache(tmp_path, service.port) as port:
            sent = visit(port)["slow"][0]
    except ApacheUnavailableError as error:
        pytest.skip(str(error))
    logs = FORMATS["apache"]
    found, losses = read(logs, tmp_path / "custom.log", log_format=configs.APACHE["custom"])
    is_the_traffic(found, decoded=True)
    has_headers(found, "user-agent", "x-forwarded-for", "x-request-id", "traceparent", "cookie", "host")
    _is_on_time(found[8], sent, service)
    assert losses.repaired[c.NORMALISED] == 1
    for name in ("end", "json"):
        found, _ = read(logs, tmp_path / f"{name}.log", log_format=configs.APACHE[name])
        is_the_traffic(found)
        has_headers(found, "user-agent")
        _is_on_time(found[8], sent, service)
    for name in ("common", "combined"):
        found, losses = read(logs, tmp_path / f"{name}.log")
        is_the_traffic(found)
        assert losses.lost == {c.NO_REQUEST: 3}
        assert found[8].started_ns // _S < service.answered_ns["/slow"] // _S, "its time is that of the start"


def test_envoy(tmp_path: Path, service: Upstream) -> None:
    try:
        with configs.envoy(tmp_path, service.port) as (port, tcp):
            sent = visit(port)["slow"][0]
            ask(tcp, REQUESTS["head"])
    except EnvoyUnavailableError as error:
        pytest.skip(str(error))
    for name, key, log_format in (
        ("default", "envoy", ""),
        ("istio", "envoy", ""),
        ("istio-json", "envoy-json", ""),
        ("custom", "envoy", configs.ENVOY["custom"]),
        ("json", "envoy", configs.ENVOY["json"]),
    ):
        found, losses = read(FORMATS[key], tmp_path / f"{name}.log", log_format=log_format)
        is_the_traffic(found)
        _is_on_time(found[8], sent, service)
        assert sum(losses.lost.values()) == (4 if name == "default" else 3)
