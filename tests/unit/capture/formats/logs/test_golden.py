"""Logs that nginx, Apache httpd and Envoy wrote are read as what was sent, each by its own meaning of time."""

from __future__ import annotations

import pytest

from tests.unit.capture.formats.logs import configs
from tests.unit.capture.formats.logs.reading import GOLDEN, has_headers, is_the_traffic, read
from tracer_bullet.capture.formats.detect import open_recording
from tracer_bullet.capture.formats.logs.lines import columns as c
from tracer_bullet.capture.formats.registry import FORMATS
from tracer_bullet.model.exchange import Exchange, Lack

NGINX, APACHE, ENVOY = GOLDEN / "nginx", GOLDEN / "apache", GOLDEN / "envoy"
_S = 1_000_000_000


def _slow(found: list[Exchange]) -> Exchange:
    (exchange,) = [e for e in found if e.request.target == "/slow"]
    return exchange


def test_nginx_combined_knows_the_end_alone() -> None:
    found, losses = read(FORMATS["nginx"], NGINX / "combined.log")
    is_the_traffic(found)
    has_headers(found, "user-agent", "referer")
    slow = _slow(found)
    assert slow.started_ns == 1795290398 * _S
    assert slow.ended_ns is None
    assert {Lack.START, Lack.DURATION, Lack.SUBSECOND, Lack.AUTHORITY, Lack.SCHEME} <= slow.lacks
    assert slow.session == "client:127.0.0.1"
    assert losses.lost == {c.NO_REQUEST: 3}


def test_nginx_with_its_milliseconds_knows_the_start() -> None:
    found, losses = read(FORMATS["nginx"], NGINX / "custom.log", log_format=configs.NGINX["custom"])
    is_the_traffic(found)
    has_headers(found, "user-agent", "x-forwarded-for", "x-request-id", "traceparent", "cookie", "host")
    slow = _slow(found)
    assert slow.started_ns == 1795290397_267_000_000
    assert slow.ended_ns == 1795290398_012_000_000
    assert not slow.lacks & {Lack.START, Lack.DURATION, Lack.SUBSECOND, Lack.AUTHORITY, Lack.SCHEME}
    assert found[0].session == "client:203.0.113.9"
    assert found[1].session == "client:127.0.0.1"
    assert found[0].answer is not None
    assert found[0].answer.headers == (("content-type", "text/plain"),)
    # Its length was logged as 0: that is its whole body, and it may be sent again.
    assert found[2].request.body == b""
    assert found[2].unreplayable == ""
    assert sum(losses.lost.values()) == 3


def test_nginx_decoded_paths_are_encoded_again() -> None:
    found, losses = read(FORMATS["nginx"], NGINX / "decoded.log", log_format=configs.NGINX["decoded"])
    is_the_traffic(found, decoded=True)
    assert losses.repaired[c.NORMALISED] == 1
    assert found[0].request.authority == "shop.example:54001"


def test_nginx_json() -> None:
    found, losses = read(FORMATS["nginx"], NGINX / "json.log", log_format=configs.NGINX["json"])
    is_the_traffic(found)
    has_headers(found, "user-agent", "host", "cookie")
    assert _slow(found).started_ns == 1795290397_267_000_000
    assert losses.lost == {c.NO_REQUEST: 3}


def test_nginx_json_without_its_format_when_its_keys_are_its_variables() -> None:
    text = (NGINX / "json.log").read_text(encoding="latin-1")
    renamed = text.replace('"user_agent"', '"http_user_agent"').replace('"host"', '"http_host"')
    found, _ = read(FORMATS["json-log"], renamed.replace('"sid"', '"cookie_sid"'))
    is_the_traffic(found)
    has_headers(found, "user-agent", "host")
    assert _slow(found).started_ns == 1795290397_267_000_000


def test_nginx_without_escapes() -> None:
    found, _ = read(FORMATS["nginx"], NGINX / "none.log", log_format=configs.NGINX["none"])
    is_the_traffic(found)
    has_headers(found, "user-agent")


@pytest.mark.parametrize("name", ["common", "combined"])
def test_apache_knows_the_start(name: str) -> None:
    found, losses = read(FORMATS["apache"], APACHE / f"{name}.log")
    is_the_traffic(found)
    has_headers(found, *(("user-agent", "referer") if name == "combined" else ()))
    slow = _slow(found)
    assert slow.started_ns == 1795290398 * _S
    assert slow.ended_ns is None
    assert {Lack.DURATION, Lack.SUBSECOND} <= slow.lacks
    assert Lack.START not in slow.lacks
    assert losses.lost == {c.NO_REQUEST: 3}


def test_apache_with_a_time_in_three_places() -> None:
    found, losses = read(FORMATS["apache"], APACHE / "custom.log", log_format=configs.APACHE["custom"])
    is_the_traffic(found, decoded=True)
    has_headers(found, "user-agent", "x-forwarded-for", "x-request-id", "traceparent", "cookie", "host")
    slow = _slow(found)
    assert slow.started_ns == 1795290398_102_432_000
    assert slow.ended_ns == slow.started_ns + 913_119_000
    assert not slow.lacks & {Lack.START, Lack.DURATION, Lack.SUBSECOND}
    assert found[2].unreplayable == ""
    assert losses.repaired[c.NORMALISED] == 1


def test_apache_with_the_end_of_requests() -> None:
    found, _ = read(FORMATS["apache"], APACHE / "end.log", log_format=configs.APACHE["end"])
    is_the_traffic(found)
    slow = _slow(found)
    assert (slow.started_ns, slow.ended_ns) == (1795290398_102_000_000, 1795290399_015_000_000)


def test_apache_text_that_looks_like_json() -> None:
    found, _ = read(FORMATS["apache"], APACHE / "json.log", log_format=configs.APACHE["json"])
    is_the_traffic(found)
    has_headers(found, "user-agent")
    assert _slow(found).started_ns == 1795290398_102_432_000


@pytest.mark.parametrize("name", ["default", "istio"])
def test_envoy_texts(name: str) -> None:
    found, losses = read(FORMATS["envoy"], ENVOY / f"{name}.log")
    is_the_traffic(found)
    has_headers(found, "user-agent", "x-forwarded-for", "x-request-id", "host")
    slow = _slow(found)
    assert (slow.started_ns, slow.ended_ns) == (1795290399_600_000_000, 1795290400_053_000_000)
    assert not slow.lacks & {Lack.START, Lack.DURATION, Lack.SUBSECOND, Lack.AUTHORITY}
    assert found[0].session == "client:203.0.113.9"
    assert found[1].session == ("client:127.0.0.1" if name == "istio" else "")
    # Lines of TCP share the file.
    assert losses.lost == {c.NO_REQUEST: 3, **({c.NO_HTTP: 1} if name == "default" else {})}


def test_envoy_json_with_istios_keys() -> None:
    found, losses = read(FORMATS["envoy-json"], ENVOY / "istio-json.log")
    is_the_traffic(found)
    has_headers(found, "user-agent", "x-forwarded-for", "x-request-id", "host")
    assert _slow(found).started_ns == 1795290399_600_000_000
    assert found[1].session == "client:127.0.0.1"
    assert losses.lost == {c.NO_REQUEST: 3}


def test_envoy_format_string() -> None:
    found, losses = read(FORMATS["envoy"], ENVOY / "custom.log", log_format=configs.ENVOY["custom"])
    is_the_traffic(found)
    assert not losses.repaired, "its times are in UTC, whatever their format"
    has_headers(found, "user-agent", "traceparent", "host")
    slow = _slow(found)
    assert slow.started_ns == 1795290399_600_354_000
    assert slow.first_byte_ns == slow.started_ns + 410_968_000
    assert slow.ended_ns == slow.started_ns + 453_132_000
    assert Lack.SCHEME not in slow.lacks


def test_envoy_json_format() -> None:
    found, losses = read(FORMATS["envoy"], ENVOY / "json.log", log_format=configs.ENVOY["json"])
    is_the_traffic(found)
    has_headers(found, "user-agent", "host")
    assert _slow(found).started_ns == 1795290399_600_354_000
    assert sum(losses.lost.values()) == 3


@pytest.mark.parametrize(
    ("log", "key"),
    [
        (NGINX / "combined.log", "access-log"), (APACHE / "common.log", "access-log"), (ENVOY / "default.log", "envoy"),
        (ENVOY / "istio.log", "envoy"), (ENVOY / "istio-json.log", "envoy-json"),
    ],
    ids=lambda value: getattr(value, "stem", value),
)  # fmt: skip
def test_logs_are_recognised(log: object, key: str) -> None:
    found, stream = open_recording(log)  # type: ignore[arg-type]
    stream.close()
    assert found is FORMATS[key]
