"""What a log's time means is known, or asked for; never guessed."""

from __future__ import annotations

import io
import re
from pathlib import Path

import pytest

from tests.unit.capture.formats.logs import configs
from tests.unit.capture.formats.logs.reading import one, read
from tracer_bullet.capture.formats.base import ReadOptions
from tracer_bullet.capture.formats.detect import recognise
from tracer_bullet.capture.formats.logs.choose import format_for
from tracer_bullet.capture.formats.registry import FORMATS
from tracer_bullet.errors import UsageError
from tracer_bullet.model.exchange import Lack
from tracer_bullet.model.losses import Losses

LINE = '203.0.113.7 - anna [21/Nov/2026:19:45:03 +0100] "GET /a HTTP/1.1" 200 5 "-" "curl/8"'
_AT = 1795286703_000_000_000


def _refused(key: str, **options: str) -> UsageError:
    """The error of `read` itself, before anything is read."""
    with pytest.raises(UsageError) as caught:
        FORMATS[key].read(io.BytesIO(LINE.encode()), Losses(), ReadOptions(**options))  # type: ignore[arg-type]
    return caught.value


def test_a_combined_log_of_nobody_known_is_refused_with_both_ways_out() -> None:
    assert recognise(LINE.encode()) is FORMATS["access-log"]
    error = _refused("access-log")
    assert error.code == "TB914"
    assert "--format nginx" in error.cure
    assert "--format apache" in error.cure
    assert "--log-time" in error.cure


@pytest.mark.parametrize(
    ("key", "options", "is_end"),
    [
        ("access-log", {"log_time": "start"}, False), ("access-log", {"log_time": "end"}, True), ("nginx", {}, True),
        ("nginx", {"log_time": "end"}, True), ("apache", {}, False), ("apache", {"log_time": "start"}, False),
        ("access-log", {"log_format": '$remote_addr - $remote_user [$time_local] "$request" $status $body_bytes_sent '
                                      '"$http_referer" "$http_user_agent"'}, True),
        ("access-log", {"log_format": '%h %l %u %t "%r" %>s %b "%{Referer}i" "%{User-Agent}i"'}, False),
        ("access-log", {"log_format": "combined", "log_time": "end"}, True),
        ("access-log", {"log_format": "combined", "log_time": "start"}, False),
        ("nginx", {"log_format": "combined"}, True), ("apache", {"log_format": "combined"}, False),
    ],
)  # fmt: skip
def test_one_line_two_meanings(key: str, options: dict[str, str], is_end: bool) -> None:
    found = one(FORMATS[key], LINE, **options)
    assert found.started_ns == _AT
    assert found.ended_ns is None
    assert (Lack.START in found.lacks) is is_end
    assert {Lack.SUBSECOND, Lack.DURATION} <= found.lacks


@pytest.mark.parametrize(
    ("key", "options"),
    [
        ("nginx", {"log_time": "start"}), ("apache", {"log_time": "end"}), ("envoy", {"log_time": "end"}),
        ("envoy-json", {"log_time": "end"}), ("cloudfront", {"log_time": "start"}),
        ("apache", {"log_time": "start", "log_format": "%{end:msec}t %r"}),
    ],
)  # fmt: skip
def test_what_the_format_proves_cannot_be_said_otherwise(key: str, options: dict[str, str]) -> None:
    assert _refused(key, **options).code == "TB916"


@pytest.mark.parametrize(
    ("key", "log_format", "why"),
    [
        ("nginx", "$remote_addr $status", "$request"), ("nginx", "$request_uri $msec", "$request_method"),
        ("nginx", "$request $status", "$msec"), ("nginx", "$http_a$http_b $request $msec", "http"),
        ("nginx", "escape=xml $request $msec", "escape"), ("apache", "%h %>s", "%r"), ("apache", "%r", "%t"),
        ("apache", "%{%Q}t %r", "%Q"), ("apache", "%{X}i%{Y}i %r %t", "x and y"), ("envoy", "%START_TIME(%!)% x", "%!"),
        ("envoy", "%REQ(:METHOD)% %REQ(:PATH)%", "%START_TIME%"), ("alb", "$request", "always"),
    ],
)  # fmt: skip
def test_formats_that_cannot_be_read(key: str, log_format: str, why: str) -> None:
    error = _refused(key, log_format=log_format)
    assert error.code == "TB915"
    assert why in f"{error.what} {error.why}"


@pytest.mark.parametrize(
    ("log_format", "key"),
    [
        ("main", "nginx"), ("log_format x '$request $msec';", "nginx"), ("$request", "nginx"), ("${request}", "nginx"),
        ('%h %l %u %t "%r" %>s %b', "apache"), ("vhost_combined", "apache"), ('LogFormat "%{X}i %t %r" x', "apache"),
        ("%START_TIME% %REQ(:METHOD)%", "envoy"), ('{"a": "%REQ(X?Y):12%"}', "envoy"), ("a: '%PROTOCOL%'", "envoy"),
    ],
)  # fmt: skip
def test_whose_language_a_format_is_in(log_format: str, key: str) -> None:
    assert format_for(log_format) is not None
    assert type(format_for(log_format)) is type(FORMATS[key])


@pytest.mark.parametrize(("log_format", "code"), [("combined", "TB914"), ("nothing in it", "TB915"), ("", "TB915")])
def test_formats_of_nobody(log_format: str, code: str) -> None:
    with pytest.raises(UsageError) as caught:
        format_for(log_format)
    assert caught.value.code == code


def test_what_the_user_says_stands_in_but_stays_marked() -> None:
    found = one(FORMATS["nginx"], LINE, scheme="https", authority="shop.example")
    assert (found.request.scheme, found.request.authority) == ("https", "shop.example")
    assert {Lack.SCHEME, Lack.AUTHORITY} <= found.lacks


def test_apaches_other_usual_forms_need_no_format() -> None:
    vhost, losses = read(FORMATS["apache"], f"shop.example:8080 {LINE}\n{LINE} 100 200\n")
    assert [e.request.authority for e in vhost] == ["shop.example:8080", ""]
    assert not losses.lost


def test_envoys_cut_paths_are_not_replayed() -> None:
    log_format = "%START_TIME% %REQ(:METHOD)% %REQ(:PATH):8%"
    text = "2026-11-21T19:45:03.183Z GET /orders\n2026-11-21T19:45:03.183Z GET /orders/\n"
    found, losses = read(FORMATS["envoy"], text, log_format=log_format)
    assert [e.request.target for e in found] == ["/orders"]
    assert sum(losses.lost.values()) == 1


def test_a_header_that_may_be_another_one_is_not_kept() -> None:
    log_format = "%START_TIME% %REQ(:METHOD)% %REQ(:PATH)% %REQ(X-A?X-B)% %REQ(X-C):3% %REQ(X-D)%"
    found = one(FORMATS["envoy"], "2026-11-21T19:45:03.183Z GET /a 1 2 3", log_format=log_format)
    assert found.request.headers == (("x-d", "3"),)


@pytest.mark.parametrize(
    ("escape", "logged", "target"),
    [
        ("default", "/orders-", "/orders"),
        ("default", "/a-?b=-", "/a-?b=-"),
        ("json", "/a-", "/a-"),
        ("none", "/a-", "/a-"),
    ],
)
def test_the_dash_that_nginx_writes_for_a_missing_query(escape: str, logged: str, target: str) -> None:
    log_format = f"escape={escape} $msec $request_method $uri$is_args$args"
    assert one(FORMATS["nginx"], f"1795290303.5 GET {logged}", log_format=log_format).request.target == target


def test_the_formats_of_the_documentation() -> None:
    page = (Path(__file__).parents[5] / "docs" / "access-logs.md").read_text(encoding="utf-8")
    shown = re.findall(r"^ +--log-format (?:'(.*)'|\"(.*)\")$", page, re.MULTILINE)
    assert len(shown) == 4
    for single, double in shown:
        log_format = single or re.sub(r'\\([$"])', r"\1", double)
        assert format_for(log_format).read(io.BytesIO(), Losses(), ReadOptions(log_format=log_format)) is not None
    assert configs.NGINX["replay"] in page.replace("\n    ", "\n")


@pytest.mark.parametrize("key", ["nginx", "apache", "access-log"])
def test_values_with_spaces_and_lines_with_more_fields(key: str) -> None:
    spaced = LINE.replace("anna", "anna of the shop")
    more = f'{LINE} "203.0.113.9" "one more" "and another"\n{LINE} 0.005 "x"\n'
    found, losses = read(FORMATS[key], f"{spaced}\n{more}", log_time={"access-log": "end"}.get(key, ""))
    assert [e.request.target for e in found] == ["/a"], "a field more is never taken for a part of another one"
    assert sum(losses.lost.values()) == 2
