"""What the tests of logs ask of a reader."""

from __future__ import annotations

import io
from pathlib import Path

from tests.unit.capture.formats.logs.traffic import ODD_AGENT, TRACEPARENT
from tracer_bullet.capture.formats.base import Format, ReadOptions
from tracer_bullet.model.exchange import Exchange, Lack
from tracer_bullet.model.losses import Losses

GOLDEN = Path(__file__).parents[1] / "golden" / "logs"
_ASKED = (
    ("GET", "/items?q=%C3%A4&x=1"), ("POST", "/orders"), ("POST", "/logout"), ("HEAD", "/items"), ("GET", "/q"),
    ("GET", "/a%20b%3Fc?d=e"), ("DELETE", "/orders/7"), ("GET", "/p?q=1"), ("GET", "/slow"),
)  # fmt: skip


def read(format: Format, content: bytes | Path | str, **options: str) -> tuple[list[Exchange], Losses]:  # noqa: A002
    """All exchanges of a log, and what was lost."""
    losses = Losses()
    if isinstance(content, Path):
        content = content.read_bytes()
    if isinstance(content, str):
        content = content.encode("latin-1")
    stream = io.BytesIO(content)
    return list(format.read(stream, losses, ReadOptions(**options))), losses  # type: ignore[arg-type]


def one(format: Format, content: bytes | str, **options: str) -> Exchange:  # noqa: A002
    found, losses = read(format, content, **options)
    assert len(found) == 1, losses
    return found[0]


def is_the_traffic(found: list[Exchange], *, decoded: bool = False) -> None:
    """That these are the requests of traffic.REQUESTS, with all that is in every log, and marked as a log's are."""
    asked = [(e.request.method, e.request.target) for e in found]
    expected = list(_ASKED)
    if decoded:  # the server had decoded the `?` of this path: where its query begins is not known any more
        expected[5] = ("GET", "/a%20b?c?d=e")
    assert asked[:9] == expected
    for exchange in found[:9]:
        assert exchange.answer is not None
        assert exchange.answer.status == 200
        assert {Lack.SESSION, Lack.REQUEST_HEADERS, Lack.ANSWER_HEADERS} <= exchange.lacks
        is_head = exchange.request.method == "HEAD"
        assert (Lack.ANSWER_BODY in exchange.lacks) is not is_head
        assert exchange.answer.body == (b"" if is_head else None)
        assert exchange.request.http_version == "1.1"
    assert found[1].unreplayable == "write-without-body" == found[6].unreplayable
    assert found[0].unreplayable == ""


def has_headers(found: list[Exchange], *names: str) -> None:
    """That these headers of the first request were logged, and the odd one's user agent came through unchanged."""
    values = {
        "user-agent": "Mozilla/5.0 (X11) [en]", "referer": "https://www.example.com/start.html",
        "x-forwarded-for": "203.0.113.9, 10.0.0.1", "x-request-id": "6f1c", "traceparent": TRACEPARENT,
        "cookie": "sid=abc", "host": "shop.example",
    }  # fmt: skip
    kept = dict(found[0].request.headers)
    assert kept == {name: values[name] for name in names}
    if "user-agent" in names:
        assert found[4].request.values("user-agent") == [ODD_AGENT]
