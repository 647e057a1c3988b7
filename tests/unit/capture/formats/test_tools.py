"""Speedscale, k6 and Locust: what their records mean."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.unit.capture.formats.samples import K6, LOCUST, SPEEDSCALE, lines
from tracer_bullet.capture.formats.base import Format, ReadOptions
from tracer_bullet.capture.formats.shared import parts
from tracer_bullet.capture.formats.tools import k6, locust, speedscale
from tracer_bullet.capture.formats.tools.k6 import K6Samples
from tracer_bullet.capture.formats.tools.locust import LocustCsv
from tracer_bullet.capture.formats.tools.speedscale import Speedscale
from tracer_bullet.model.exchange import Answer, Exchange, Lack
from tracer_bullet.model.losses import Losses

BLIND = {Lack.REQUEST_HEADERS, Lack.ANSWER_HEADERS, Lack.ANSWER_BODY}


def read(reader: Format, content: bytes, losses: Losses) -> list[Exchange]:
    return list(reader.read(io.BytesIO(content), losses, ReadOptions(authority="shop.example")))


def test_speedscale() -> None:
    losses = Losses()
    (one,) = read(Speedscale(), lines(*SPEEDSCALE), losses)
    assert one.started_ns == parts.iso_ns("2026-01-02T03:04:05.678901Z")
    assert one.ended_ns == one.started_ns + 12_500_000
    assert (one.request.body, one.request.authority, one.session, one.id) == (b'{"a":1}', "shop.example", "s1", "u1")
    assert one.answer == Answer(status=200, headers=(("Set-Cookie", "a=1"), ("Set-Cookie", "b=2")), body=b"ok")
    assert one.lacks == set()
    assert losses.lost == {speedscale.OUTBOUND: 1, speedscale.NO_HTTP: 1}


def test_a_speedscale_body_that_was_not_kept_is_marked() -> None:
    pair: dict[str, Any] = SPEEDSCALE[0]
    asked = {k: v for k, v in pair["http"]["req"].items() if k != "bodyBase64"}
    (one,) = read(Speedscale(), lines({**pair, "http": {**pair["http"], "req": asked}}), Losses())
    assert one.unreplayable == "write-without-body"


def test_k6() -> None:
    losses = Losses()
    get, post = read(K6Samples(), K6, losses)
    end = parts.iso_ns("2026-01-02T02:04:05.678901234Z") or 0
    assert (get.started_ns, get.ended_ns) == (end - 12_500_000, end)
    assert (get.request.target, get.request.http_version) == ("/items?x=1", "2")
    assert get.answer == Answer(status=200, body=None)
    assert get.lacks == BLIND | {Lack.SESSION}
    assert (post.answer, post.session, post.unreplayable) == (None, "vu 3", "write-without-body")
    assert losses.lost == {k6.TEMPLATE: 1}


def test_locust() -> None:
    losses = Losses()
    get, post = read(LocustCsv(), LOCUST, losses)
    assert (get.started_ns, get.ended_ns) == (1767323045_123456000, 1767323045_135956000)
    assert get.lacks == BLIND | {Lack.SESSION, Lack.AUTHORITY, Lack.SCHEME}
    assert get.request.authority == "shop.example"
    assert (post.request.scheme, post.answer, post.unreplayable) == ("https", None, "write-without-body")
    assert losses.lost == {locust.NAMED: 1}


# In a process of its own: importing locust patches the sockets of this one.
_LOGGER = """
import sys
from locust.contrib.csv_request_logger import CsvRequestLogger

logger = CsvRequestLogger(sys.argv[1])
logger._open()
logger._on_request(request_type="GET", name="/a", response_time=1.5, response_length=3, start_time=1.25,
                   exception=ValueError("two\\nlines"))
logger.close()
"""


def test_the_columns_are_those_of_the_locust_that_is_installed(tmp_path: Path) -> None:
    place = tmp_path / "requests.csv"
    subprocess.run([sys.executable, "-W", "ignore", "-c", _LOGGER, place], check=True, capture_output=True, timeout=120)
    losses = Losses()
    content = place.read_bytes()
    assert LocustCsv().recognises(content)
    (one,) = read(LocustCsv(), content, losses)
    assert (one.request.target, one.started_ns, one.ended_ns, one.answer) == ("/a", 1_250_000_000, 1_251_500_000, None)
    assert losses.lost == {locust.BAD_ROW: 1}
