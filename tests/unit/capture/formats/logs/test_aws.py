"""Logs of AWS: by position with an optional tail, with the time that each of them means.

The lines in ../golden/logs/aws follow AWS' documentation; their values are made up.
"""

from __future__ import annotations

import pytest

from tests.unit.capture.formats.logs.reading import GOLDEN, one, read
from tracer_bullet.capture.formats.detect import open_recording
from tracer_bullet.capture.formats.logs.lines import columns as c
from tracer_bullet.capture.formats.registry import FORMATS
from tracer_bullet.model.exchange import Lack

AWS = GOLDEN / "aws"
_MS = 1_000_000
_AT_08_15 = 1772439300_000_000_000  # 2026-03-02T08:15:00Z


def test_alb_starts_when_the_request_was_created() -> None:
    found, losses = read(FORMATS["alb"], AWS / "alb.log")
    first = found[0]
    assert (first.request.method, first.request.target) == ("GET", "/items?q=%C3%A4pfel&page=2")
    assert (first.request.scheme, first.request.authority, first.request.http_version) == ("https", "shop.example", "2")
    assert first.started_ns == _AT_08_15 + 31_069 * _MS
    assert first.ended_ns == _AT_08_15 + 31_482 * _MS + 913_000
    assert first.session == "client:198.51.100.23"
    assert not first.lacks & {Lack.START, Lack.DURATION, Lack.SUBSECOND, Lack.AUTHORITY, Lack.SCHEME}
    assert [e.started_ns for e in found] != sorted(e.started_ns for e in found), "files are out of order: not our task"
    assert losses.lost == {c.NO_REQUEST: 1}


def test_alb_without_a_target_with_websockets_and_with_odd_lines() -> None:
    _, refused, socket, spaces, left = read(FORMATS["alb"], AWS / "alb.log")[0]
    assert refused.answer is not None
    assert refused.answer.status == 503
    assert refused.request.authority == "shop.example:8080"
    assert refused.unreplayable == "write-without-body"
    assert socket.unreplayable == "upgrade"
    assert (socket.request.scheme, socket.session) == ("https", "client:2001:db8::77")
    assert socket.started_ns == _AT_08_15 + 30_700 * _MS, "it closed ten minutes later"
    assert spaces.request.target == "/find%20me?a=1%202"
    assert spaces.request.values("user-agent") == ['agent "quoted" "']
    assert left.answer is None
    assert Lack.ANSWER not in left.lacks


def test_alb_lines_of_before_there_was_a_creation_time() -> None:
    dispatched, refused = read(FORMATS["alb"], AWS / "alb-2017.log")[0]
    assert dispatched.ended_ns is not None
    assert dispatched.ended_ns - dispatched.started_ns == 200 * _MS, "what it took is known by its three parts"
    assert Lack.START not in dispatched.lacks
    assert {Lack.START, Lack.DURATION} <= refused.lacks, "-1 is no duration"


def test_alb_quotes_that_nobody_escaped() -> None:
    line = (AWS / "alb.log").read_text().splitlines()[0].replace("Mozilla/5.0 (iPhone;", 'Mozilla "5.0" (iPhone;')
    found = one(FORMATS["alb"], line)
    assert found.request.target == "/items?q=%C3%A4pfel&page=2"
    assert found.started_ns == _AT_08_15 + 31_069 * _MS


def test_the_classic_load_balancer_logs_the_start() -> None:
    found, losses = read(FORMATS["elb"], AWS / "elb.log")
    assert [e.request.target for e in found] == ["/a?b=1", "/orders", "/old"]
    first, post, old = found
    assert first.started_ns == 1455579583_945_958_000
    assert first.ended_ns == first.started_ns + 1_178_000
    assert (post.request.scheme, post.unreplayable) == ("https", "write-without-body")
    assert Lack.DURATION in old.lacks
    assert losses.lost == {c.NO_HTTP: 1}, "a line of a TCP listener"


def test_cloudfront_logs_the_end_in_whole_seconds() -> None:
    found, losses = read(FORMATS["cloudfront"], AWS / "cloudfront.log")
    page, post, socket, gone = found
    assert page.request.target == "/items/%C3%A4pfel.html?q=1&r=%20x"
    assert (page.request.scheme, page.request.authority, page.request.http_version) == ("https", "shop.example", "2")
    assert dict(page.request.headers) == {
        "referer": "https://www.example.com/?a=1", "user-agent": "Mozilla/5.0 (X11; Linux)",
        "cookie": "theme=dark; sid=abc", "host": "shop.example",
    }  # fmt: skip
    assert page.ended_ns == _AT_08_15 + 31_000 * _MS
    assert page.started_ns == page.ended_ns - 125 * _MS
    assert page.first_byte_ns == page.started_ns + 100 * _MS
    assert Lack.SUBSECOND in page.lacks
    assert Lack.START not in page.lacks
    assert page.answer is not None
    assert dict(page.answer.headers) == {
        "content-type": "text/html",
        "content-length": "2039",
    }
    assert post.request.values("user-agent") == ["curl/8 (old)"], "older logs encode twice"
    assert post.session == "client:203.0.113.9"
    assert post.unreplayable == "write-without-body"
    assert socket.unreplayable == "upgrade"
    assert socket.started_ns == _AT_08_15 + (5 * 60_000 + 33_000 - 300_250) * _MS
    assert gone.answer is None
    assert not losses.lost


def test_cloudfront_json_of_version_2_with_milliseconds() -> None:
    found = one(FORMATS["cloudfront"], (AWS / "cloudfront-v2.json").read_bytes())
    assert found.request.target == "/items/%C3%A4pfel.html?q=1&r=%20x"
    assert found.ended_ns == _AT_08_15 + 31_250 * _MS
    assert Lack.SUBSECOND not in found.lacks


def test_cloudfront_fields_may_change_within_a_file() -> None:
    text = (
        "#Fields: cs-method time cs-uri-stem date sc-status\nGET\t08:15:31\t/a\t2026-03-02\t200\n"
        "#Fields: date time cs-uri-stem cs-method sc-status time-taken\n2026-03-02\t08:15:32\t/b\tGET\t200\t0.5\n"
        "2026-03-02\t08:15:32\t/b\n"
    )
    found, losses = read(FORMATS["cloudfront"], text)
    assert [e.request.target for e in found] == ["/a", "/b"]
    assert Lack.START in found[0].lacks
    assert Lack.START not in found[1].lacks
    assert losses.lost == {c.NO_FORM: 1}


@pytest.mark.parametrize(
    ("name", "key"),
    [("alb.log", "alb"), ("alb-2017.log", "alb"), ("elb.log", "elb"), ("cloudfront.log", "cloudfront"),
     ("cloudfront-v2.json", "cloudfront")],
)  # fmt: skip
def test_recognised(name: str, key: str) -> None:
    found, stream = open_recording(AWS / name)
    stream.close()
    assert found is FORMATS[key]
