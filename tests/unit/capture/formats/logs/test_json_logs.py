"""JSON access logs whose keys are known: Caddy's, Traefik's, and nginx's variables by their names."""

from __future__ import annotations

import json

from tests.unit.capture.formats.logs.reading import one, read
from tracer_bullet.capture.formats.detect import recognise
from tracer_bullet.capture.formats.logs.lines import columns as c
from tracer_bullet.capture.formats.registry import FORMATS
from tracer_bullet.model.exchange import Lack

LOGS = FORMATS["json-log"]
CADDY = {
    "level": "info", "ts": 1795290303.25, "logger": "http.log.access.log0", "msg": "handled request",
    "request": {
        "remote_ip": "203.0.113.7", "remote_port": "50000", "client_ip": "203.0.113.8", "proto": "HTTP/2.0",
        "method": "GET", "host": "shop.example:8443", "uri": "/items?q=%C3%A4",
        "headers": {"User-Agent": ["curl/8"], "X-Forwarded-For": ["203.0.113.8"], "Accept": ["*/*", "text/html"]},
    },
    "duration": 0.125, "status": 200, "size": 5, "resp_headers": {"Content-Type": ["text/plain"]},
}  # fmt: skip
TRAEFIK = {
    "ClientAddr": "203.0.113.7:50000", "ClientHost": "203.0.113.7", "DownstreamStatus": 201, "Duration": 125000000,
    "RequestAddr": "shop.example", "RequestHost": "shop.example", "RequestMethod": "POST", "RequestPath": "/orders?a=1",
    "RequestProtocol": "HTTP/1.1", "RequestScheme": "https", "StartUTC": "2026-11-21T19:45:03.125000001Z",
    "StartLocal": "2026-11-21T20:45:03.125000001+01:00", "request_User-Agent": "curl/8", "level": "info",
    "time": "2026-11-21T20:45:03+01:00",
}  # fmt: skip
_S = 1_000_000_000


def test_caddy_logs_the_end_and_the_duration() -> None:
    assert recognise(json.dumps(CADDY).encode()) is LOGS
    found = one(LOGS, json.dumps(CADDY))
    assert (found.request.method, found.request.target, found.request.http_version) == ("GET", "/items?q=%C3%A4", "2")
    assert found.request.authority == "shop.example:8443"
    assert found.started_ns == 1795290303_125_000_000
    assert found.ended_ns == 1795290303_250_000_000
    assert found.session == "client:203.0.113.8"
    assert found.request.values("accept") == ["*/*, text/html"]
    assert found.answer is not None
    assert found.answer.headers == (("content-type", "text/plain"),)
    assert not found.lacks & {Lack.START, Lack.DURATION, Lack.SUBSECOND}


def test_traefik_logs_the_start_and_the_duration() -> None:
    assert recognise(json.dumps(TRAEFIK).encode()) is LOGS
    found = one(LOGS, json.dumps(TRAEFIK))
    assert (found.request.method, found.request.target, found.request.scheme) == ("POST", "/orders?a=1", "https")
    assert found.started_ns == 1795290303_125_000_001
    assert found.ended_ns == found.started_ns + 125_000_000
    assert found.request.values("user-agent") == ["curl/8"]
    assert found.unreplayable == "write-without-body"


def test_a_time_under_a_name_of_nobody_must_be_explained() -> None:
    line = json.dumps({"time": "2026-11-21T19:45:03.5Z", "request": "GET /a HTTP/1.1", "status": 200})
    assert recognise(line.encode()) is LOGS
    found, losses = read(LOGS, line)
    assert not found
    assert losses.lost == {c.NO_TIME: 1}
    start, end = one(LOGS, line, log_time="start"), one(LOGS, line, log_time="end")
    assert start.started_ns == end.started_ns == 1795290303_500_000_000
    assert Lack.START in end.lacks
    assert Lack.START not in start.lacks


def test_numbers_of_time_in_any_unit() -> None:
    for number in (1795290303, 1795290303.5, 1795290303500, 1795290303500000, 1795290303500000000, "1795290303.5"):
        line = json.dumps({"@timestamp": number, "request": "GET /a HTTP/1.1", "status": 200})
        found = one(LOGS, line, log_time="start")
        assert found.started_ns // _S == 1795290303
        assert (Lack.SUBSECOND in found.lacks) is (number == 1795290303)


def test_of_several_times_the_finest_that_is_there_counts() -> None:
    keys = {"request": "GET /a HTTP/1.1", "status": 200}
    coarse = one(LOGS, json.dumps({"time_iso8601": "2026-11-21T19:45:03+00:00", **keys}))
    assert Lack.SUBSECOND in coarse.lacks
    fine = one(LOGS, json.dumps({"time_iso8601": "2026-11-21T19:45:03+00:00", "msec": "1795290303.000", **keys}))
    assert Lack.SUBSECOND not in fine.lacks
    assert coarse.started_ns == fine.started_ns == 1795290303 * _S


def test_other_lines_among_them_are_counted() -> None:
    lines = [json.dumps(CADDY), json.dumps({"level": "info", "msg": "serving initial configuration"}), "{broken", "[]"]
    found, losses = read(LOGS, "\n".join(lines))
    assert len(found) == 1
    assert sum(losses.lost.values()) == 3


def test_values_of_other_types_and_depths_than_they_should_have() -> None:
    deep = '{"request":' * 3000 + "1" + "}" * 3000
    odd = json.dumps({"request": {"method": ["GET"], "uri": {}, "headers": 5}, "ts": True, "status": [1e400, None]})
    huge = '{"ts": ' + "9" * 5000 + ', "request": {"method": "GET", "uri": "/", "proto": "HTTP/1.1"}}'
    found, losses = read(LOGS, f"{deep}\n{odd}\n{huge}\n")
    assert not found
    assert sum(losses.lost.values()) == 3
